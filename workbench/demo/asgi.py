"""The ASGI door of the demo."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "workbench.demo.settings")
application = get_asgi_application()
