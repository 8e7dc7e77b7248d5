"""An arm's wrappers, put around callables of the project when its process starts."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import Any


def resolve(dotted: str) -> tuple[Any, str]:
    """The object that holds the last name of a dotted path, and that name.

    Raises:
        ImportError: when no prefix of the path is a module.
        AttributeError: when the module has no such name.
    """
    parts = dotted.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            holder: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for name in parts[length:-1]:
            holder = getattr(holder, name)
        getattr(holder, parts[-1])
        return holder, parts[-1]
    raise ImportError(f"no module in {dotted!r}")


def apply() -> None:
    """Apply the overlay's wraps; call it after `django.setup()` and before the first request."""
    overlay = json.loads(Path(os.environ["WORKBENCH_OVERLAY"]).read_text(encoding="utf-8"))
    for wrap in overlay["wraps"]:
        holder, name = resolve(wrap["target"])
        source, function = resolve(wrap["with"])
        setattr(holder, name, getattr(source, function)(getattr(holder, name)))
