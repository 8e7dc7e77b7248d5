"""Management commands of the project, called by the workbench."""

from __future__ import annotations

import io
from typing import Any

from django.core.management import call_command


def command(name: str, arguments: list[str] | None = None, **options: Any) -> str:
    """Run one command and return what it printed."""
    out = io.StringIO()
    call_command(name, *(arguments or []), stdout=out, **options)
    return out.getvalue()
