"""The WSGI application of an arm: the project's own, under the arm's settings and with its wraps."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "workbench.guest.settings")

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.utils.module_loading import import_string

from workbench.guest import wraps

application = get_wsgi_application()
wraps.apply()
# A project that wraps its application (Sentry, WhiteNoise) is measured as it is served.
if getattr(settings, "WSGI_APPLICATION", None):
    application = import_string(settings.WSGI_APPLICATION)
