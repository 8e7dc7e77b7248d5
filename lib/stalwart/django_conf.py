"""Where the parts read their settings from: `current()`, cheap enough for every call.

The parsed records are kept until Django says that the setting changed (`override_settings`, pytest-django's
`settings`), so a change takes effect at the next call. To switch a part at run time, go that way too, or call
`refresh()` after you assigned to `settings.STALWART`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed

from stalwart.conf import Config, Problem, parse

_current: Config | None = None
_listeners: list[Callable[[], None]] = []


def current() -> Config:
    """The settings as they are now. Values that cannot work are at their defaults; `manage.py check` shows them."""
    return _current if _current is not None else _read()


def problems() -> tuple[Problem, ...]:
    """What is wrong with `settings.STALWART`, for the system check."""
    return parse(getattr(settings, "STALWART", None))[1]


def refresh() -> None:
    """Forget what was read; the next `current()` reads `settings.STALWART` again."""
    global _current
    _current = None
    for listener in _listeners:
        listener()


def on_refresh(listener: Callable[[], None]) -> None:
    """Call `listener` whenever what was read is forgotten, for those who keep a value of their own."""
    if listener not in _listeners:
        _listeners.append(listener)


def _read() -> Config:
    global _current
    config = parse(getattr(settings, "STALWART", None))[0]
    _current = config
    return config


def _on_setting_changed(*, setting: str, **_: Any) -> None:
    if setting == "STALWART":
        refresh()


setting_changed.connect(_on_setting_changed, dispatch_uid="stalwart.django_conf")
