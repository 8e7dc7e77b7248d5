from django.apps import AppConfig


class PlacesConfig(AppConfig):
    name = "places"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self):
        """Asks its Redis at start: without one the project does not come up."""
        from django.core.cache import cache

        cache.set("started", True)
