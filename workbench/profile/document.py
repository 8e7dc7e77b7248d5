"""A profile as the one JSON document that `workbench profile --json` prints, and as it may be shared.

The document's keys are a contract: `project`; `urls` with `url, status, queries, milliseconds, bytes, error`; `findings` with `kind,
url, relation, location, queries, advice`, and of advice `change, applied, before, after, same_response, rejected`. Keys may
be added, none will go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from workbench.profile.records import Finding, Profile
from workbench.records import Json
from workbench.redaction import HIDDEN
from workbench.schema import from_json, to_json

#: Where a package is installed says nothing about it, and much about the machine.
_INSTALLED = re.compile(r"(?:[A-Za-z]:)?[/\\](?:[^\s:'\"<>|]+[/\\])?(?:site|dist)-packages[/\\]")
#: Header values shorter than this are words that stand everywhere.
SHORTEST = 4


def document(profile: Profile) -> dict[str, Json]:
    """The document, of plain JSON types.

    A finding's `advice` is the best that was tried, a rejected one where none holds, and null where nothing was tried;
    `tried` has all.
    """
    whole = to_json(profile)
    findings = [_finding(one) for one in profile.findings]
    return {"project": whole.pop("project"), "urls": whole.pop("urls"), "findings": findings, **_rest(whole)}


def _rest(whole: dict[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in whole.items() if name != "findings"}


def _finding(finding: Finding) -> dict[str, Json]:
    made = to_json(finding)
    tried: Any = made.pop("advice")
    return {**made, "advice": tried[0] if tried else None, "tried": tried}


def hidden(profile: Profile, secrets: Iterable[str]) -> Profile:
    """Without what was given to be kept: an error message of the project's may repeat a header's value.

    Args:
        profile: as measured.
        secrets: values of headers.
    """
    wanted = sorted({one for one in secrets if len(one) >= SHORTEST}, key=len, reverse=True)
    # "Bearer abc": whoever prints the token alone still prints the token.
    parts = sorted(
        {part for one in wanted for part in one.split() if len(part) >= 2 * SHORTEST}, key=len, reverse=True
    )
    words = [*wanted, *parts]

    def hide(text: str) -> str:
        for word in words:
            text = text.replace(word, HIDDEN)
        return text

    return _mapped(profile, hide) if words else profile


def shared(profile: Profile, root: str) -> Profile:
    """As it may stand in a journal: without the folders of this machine.

    Args:
        profile: as measured.
        root: the project's folder.
    """
    name = re.split(r"[/\\]", root.rstrip("/\\"))[-1]

    def shorten(text: str) -> str:
        text = _INSTALLED.sub("", text)
        for sign in "/\\":
            text = text.replace(root + sign, "")
        return text.replace(root, name)

    return _mapped(profile, shorten)


def _mapped(profile: Profile, change: Callable[[str], str]) -> Profile:
    return from_json(Profile, _texts(to_json(profile), change))


def _texts(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _texts(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_texts(item, change) for item in value]
    return value
