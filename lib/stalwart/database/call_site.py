"""The place in the application that a statement comes from: the nearest frame that is the application's own.

Frames of Django, of this library and of Python itself are passed over, and what is installed in site-packages too, unless
there is no other frame: then an app of INSTALLED_APPS counts. Inside `sync_to_async` the coroutine's frames are not on the
thread's stack, so an asynchronous query may have no place. Names only: a path would tell of the machine.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from types import FrameType

import asgiref
import django
from django.apps import apps

import stalwart

_APPLICATION, _INSTALLED, _MACHINERY = "application", "installed", "machinery"
_DEEPEST = 400  # frames looked at
_LONGEST = 200  # characters of the answer


def call_site(frame: FrameType | None) -> str | None:
    """Where a statement comes from, as "shop.views.Checkout.post:42".

    Costs about 0.1 µs for each frame passed over.

    Args:
        frame: where to begin; outer frames follow.

    Returns:
        Module, qualified name and line; None when no frame is the application's.
    """
    installed = None
    for _ in range(_DEEPEST):
        if frame is None:
            break
        kind = _kind(frame.f_code.co_filename)
        if kind is _APPLICATION:
            return _named(frame)
        if kind is _INSTALLED and installed is None:
            installed = frame
        frame = frame.f_back
    return None if installed is None else _named(installed)


def is_application(filename: str) -> bool:
    """Whether a frame of this file is the application's own."""
    return _kind(filename) is _APPLICATION


def _named(frame: FrameType) -> str:
    module = frame.f_globals.get("__name__", "?")
    return f"{module}.{frame.f_code.co_qualname}:{frame.f_lineno}"[-_LONGEST:]


def _folder(path: str | None) -> str:
    return f"{Path(path or '').as_posix()}/"


_MACHINERY_FOLDERS = tuple(
    _folder(str(Path(module.__file__ or "").parent)) for module in (django, stalwart, asgiref)
)
_PYTHON_FOLDER = _folder(str(Path(os.__file__).parent))


@lru_cache(maxsize=4096)
def _kind(filename: str) -> str:
    path = filename.replace("\\", "/")
    if path.startswith(("<frozen ", *_MACHINERY_FOLDERS)):
        return _MACHINERY
    # Before Python's own folder, which may hold these.
    if "/site-packages/" in path or "/dist-packages/" in path:
        folders = (_folder(config.path) for config in apps.app_configs.values())
        return _INSTALLED if path.startswith(tuple(folders)) else _MACHINERY
    return _MACHINERY if path.startswith(_PYTHON_FOLDER) else _APPLICATION
