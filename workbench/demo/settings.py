"""Settings of the demo project: a small backend as many run it, with the library installed and every part of it on.

Plain names at module level, so that an arm can lay its own values over them. Two environment variables are read:
``STALWART_DEMO_DATABASE`` (JSON of one ``DATABASES`` entry) and ``STALWART_DEMO_QUOTES`` (base URL of the external quote
service). ``python -m workbench.demo`` sets both.
"""

from __future__ import annotations

import os
from typing import Any

from workbench.demo.environment import DATABASE_VARIABLE, QUOTES_VARIABLE, databases

SECRET_KEY = "demo-only: nothing is signed with it, and the demo listens on the loopback interface"  # noqa: S105
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "[::1]"]
ROOT_URLCONF = "workbench.demo.urls"
WSGI_APPLICATION = "workbench.demo.wsgi.application"
ASGI_APPLICATION = "workbench.demo.asgi.application"

INSTALLED_APPS = ["stalwart", "workbench.demo.stocks"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    # Outside everything that writes or changes a body, so that it compresses what is really sent.
    "stalwart.compression.CompressionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "workbench.demo.errors.ErrorMiddleware",
    # Last, so that it hears of an error before the one above answers it. It does nothing until STALWART says so.
    "stalwart.database.RequestRetryMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": []},
    }
]

DATABASES = databases(os.environ.get(DATABASE_VARIABLE))
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-gb"

#: Base URL of the external quote service, and how long a call to it may take (seconds).
QUOTES_URL = os.environ.get(QUOTES_VARIABLE, "")
QUOTES_TIMEOUT = 2.0

STALWART: dict[str, Any] = {"ENABLED": True}
