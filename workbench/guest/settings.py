"""The settings module of an arm: everything the project's own settings say, then the arm's overlay.

`WORKBENCH_OVERLAY` names a JSON file `{"base": module, "settings": {dotted: value}, "wraps": [...]}`. A dotted name goes
into nested dictionaries: `STALWART.DATABASE.ENABLED` sets one key and leaves the others; `DATABASES.*` puts an entry in the
place of every alias that the project has, so that none of its own databases can be reached, and `DATABASES.alias.*` in the
place of one. With a key `sandbox` the process is guarded before the project's settings run (`workbench.guest.sandbox`); with
`edits` some of the project's modules are compiled from other texts (`workbench.guest.edited`).
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
#: The same among its OPTIONS, where the vendor stays the same.
KEPT_OPTIONS = ("pool", "isolation_level", "server_side_binding")

#: What the project's own settings say, for whoever must judge them; its databases with their passwords are among it.
_own: dict[str, _Any] = {}


def laid_over(settings: dict[str, _Any], dotted: str, value: _Any) -> None:
    """Set one dotted name in `settings`; dictionaries on the way are copied, so that the project's own stay as they are."""
    head, *path = dotted.split(".")
    if path and path[-1] == "*" and len(path) <= 2:
        own = dict(settings.get(head) or {}) or {"default": {}}
        replaced = {path[0]: own.get(path[0]) or {}} if len(path) == 2 else own
        settings[head] = {**own, **{alias: _in_place_of(old, value) for alias, old in replaced.items()}}
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


def _in_place_of(old: dict[str, _Any], entry: dict[str, _Any]) -> dict[str, _Any]:
    """A database's entry that keeps how the project uses it."""
    made = {**{key: old[key] for key in KEPT if key in old}, **entry}
    if old.get("ENGINE") == entry.get("ENGINE"):
        options = old.get("OPTIONS") or {}
        kept = {key: options[key] for key in KEPT_OPTIONS if key in options}
        if kept:
            made["OPTIONS"] = {**kept, **made.get("OPTIONS", {})}
    return made


def _load() -> dict[str, _Any]:
    overlay = _json.loads(_Path(_os.environ["WORKBENCH_OVERLAY"]).read_text(encoding="utf-8"))
    options = overlay.get("sandbox")
    if options:
        from workbench.guest import sandbox

        sandbox.install(options)
    if overlay.get("edits"):
        from workbench.guest import edited

        edited.install(overlay["edits"])
    base = _importlib.import_module(overlay["base"])
    settings = {name: getattr(base, name) for name in dir(base) if name.isupper()}
    _own.update(settings)
    if options:
        from workbench.guest import safe_settings

        safe_settings.lay(settings)
    for dotted, value in overlay["settings"].items():
        laid_over(settings, dotted, value)
    return settings


if "WORKBENCH_OVERLAY" in _os.environ:
    globals().update(_load())
