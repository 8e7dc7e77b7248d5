class Archive:
    def db_for_read(self, model, **hints):
        return "archive" if model._meta.model_name == "record" else None

    db_for_write = db_for_read
