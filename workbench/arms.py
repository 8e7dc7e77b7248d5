"""Arms: the same project with Stalwart off, on, or with what a user would pick instead, by settings alone.

An arm is an overlay over the project's own settings (`workbench.guest.settings` lays it). The project's files are never
touched, and every arm shares INSTALLED_APPS and MIDDLEWARE: only switches differ.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.records import Arm, Wrap
from workbench.schema import to_json

OFF_LABEL = "Stalwart off"
ON_LABEL = "Stalwart on"


def control(part: str) -> Arm:
    """The arm with one part of the library off, as "DATABASE"; every other part stays as the project has it."""
    return Arm("control", OFF_LABEL, {f"STALWART.{part}.ENABLED": False})


def treatment(
    part: str, options: Mapping[str, Any] | None = None, settings: Mapping[str, Any] | None = None
) -> Arm:
    """The arm with that part on, and the opt-ins that the claim names: the part's own, and settings of Django's."""
    extra = {f"STALWART.{part}.{name}": value for name, value in (options or {}).items()}
    on = {"STALWART.ENABLED": True, f"STALWART.{part}.ENABLED": True}
    return Arm("treatment", ON_LABEL, {**on, **extra, **(settings or {})})


def peer(
    part: str, label: str, settings: Mapping[str, Any] | None = None, wraps: tuple[Wrap, ...] = ()
) -> Arm:
    """The arm with the part off and somebody else's tool in its place."""
    return Arm("peer", label, {f"STALWART.{part}.ENABLED": False, **(settings or {})}, wraps)


def write_overlay(
    path: Path,
    base: str,
    arm: Arm,
    shared: Mapping[str, Any],
    sandbox: Mapping[str, Any] | None = None,
    edits: Mapping[str, bytes] | None = None,
) -> None:
    """Write the file that `workbench.guest.settings` reads.

    Args:
        path: where; the file holds a database password, so it belongs into a private folder.
        base: the project's own settings module.
        arm: its settings win over the shared ones.
        shared: what all arms of the trial have: the database, hosts.
        sandbox: for `workbench.guest.sandbox.install`; without it the process is not guarded.
        edits: modules that are compiled from other texts than their files hold, by path; see `workbench.guest.edited`.
    """
    record = to_json(arm)
    overlay = {"base": base, "settings": {**shared, **record["settings"]}, "wraps": record["wraps"]}
    if sandbox is not None:
        overlay["sandbox"] = dict(sandbox)
    if edits:
        overlay["edits"] = {name: base64.b64encode(text).decode() for name, text in edits.items()}
    path.touch(mode=0o600)
    path.write_text(json.dumps(overlay, default=str), encoding="utf-8")
