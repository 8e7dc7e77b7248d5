"""The settings module of an arm: everything the project's own settings say, then the arm's overlay.

`WORKBENCH_OVERLAY` names a JSON file `{"base": module, "settings": {dotted: value}, "wraps": [...]}`. A dotted name goes
into nested dictionaries: `STALWART.DATABASE.ENABLED` sets one key and leaves the others; `DATABASES.*` puts an entry in the
place of every alias that the project has, so that none of its own databases can be reached.
"""

import importlib as _importlib
import json as _json
import os as _os
from pathlib import Path as _Path
from typing import Any as _Any

#: What an alias of the project keeps when another database takes its place: how the project uses it.
KEPT = (
    "CONN_MAX_AGE",
    "CONN_HEALTH_CHECKS",
    "ATOMIC_REQUESTS",
    "AUTOCOMMIT",
    "TIME_ZONE",
    "DISABLE_SERVER_SIDE_CURSORS",
)


def laid_over(settings: dict[str, _Any], dotted: str, value: _Any) -> None:
    """Set one dotted name in `settings`; dictionaries on the way are copied, so that the project's own stay as they are."""
    head, *path = dotted.split(".")
    if path == ["*"]:
        own = dict(settings.get(head) or {}) or {"default": {}}
        settings[head] = {
            alias: {**{key: old[key] for key in KEPT if key in old}, **value} for alias, old in own.items()
        }
        return
    if not path:
        settings[head] = value
        return
    place = dict(settings.get(head) or {})
    settings[head] = place
    for step in path[:-1]:
        place[step] = dict(place.get(step) or {})
        place = place[step]
    place[path[-1]] = value


def _load() -> dict[str, _Any]:
    overlay = _json.loads(_Path(_os.environ["WORKBENCH_OVERLAY"]).read_text(encoding="utf-8"))
    base = _importlib.import_module(overlay["base"])
    settings = {name: getattr(base, name) for name in dir(base) if name.isupper()}
    for dotted, value in overlay["settings"].items():
        laid_over(settings, dotted, value)
    return settings


if "WORKBENCH_OVERLAY" in _os.environ:
    globals().update(_load())
