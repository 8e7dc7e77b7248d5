"""Nothing but an app and its pages."""

from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = "of-the-orchard"
DEBUG = False
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "trees.urls"
INSTALLED_APPS = ["django.contrib.contenttypes", "trees"]
MIDDLEWARE = []
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
