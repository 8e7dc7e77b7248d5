#!/usr/bin/env python
"""Django's command line on the demo, for a database of your own (``STALWART_DEMO_DATABASE``).

``python -m workbench.demo`` is the same with a private PostgreSQL and the quote service started for you.
"""

from __future__ import annotations

import os
import sys

from django.core.management import execute_from_command_line


def main(arguments: list[str]) -> None:
    """Run one Django command with the demo's settings."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "workbench.demo.settings")
    execute_from_command_line(arguments)


if __name__ == "__main__":
    main(sys.argv)
