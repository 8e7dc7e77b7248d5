class Router:
    """Events live in a database of their own; reads of everything else go to the replica."""

    def db_for_read(self, model, **hints):
        return "events" if model.__name__ == "Event" else "replica"

    def db_for_write(self, model, **hints):
        return "events" if model.__name__ == "Event" else "default"

    def allow_relation(self, one, other, **hints):
        return True

    def allow_migrate(self, db, app_label, model_name=None, **hints):
        return (db == "events") == (model_name == "event")
