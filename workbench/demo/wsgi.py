"""The WSGI door of the demo, for gunicorn and Django's own server."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "workbench.demo.settings")
application = get_wsgi_application()
