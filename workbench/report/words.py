"""Outcomes and lists in words and signs: never colour alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from workbench.records import Outcome, Verdict

#: Outcome to its sign and its word.
OUTCOMES: dict[Outcome, tuple[str, str]] = {
    "supported": ("✓", "Supported"),
    "refuted": ("✕", "Refuted"),
    "inconclusive": ("?", "Inconclusive"),
    "void": ("∅", "Void"),
    "not-run": ("–", "Not run"),
}

_FIGURES = re.compile(r"^(?:(?!\. |; ).)*?\([^;()]*\), claimed [^;]*?; ")
_SMALL = (
    "none",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)


def small(number: int) -> str:
    """A number as a word up to twelve."""
    return _SMALL[number] if 0 <= number < len(_SMALL) else f"{number:,}"


def listed(words: Sequence[str]) -> str:
    """Words as an English list: "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def plural(number: int, one: str, many: str = "") -> str:
    """A number with its noun: "1 pair", "8 pairs"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def without_figures(reason: str) -> str:
    """A judge's reason without the clause of figures ("97.8 % fewer ... claimed at least 95 %;") that opens it.

    The page gives these figures in a place of their own; a reason of another form comes back whole.
    """
    rest = _FIGURES.sub("", reason, count=1)
    return rest[:1].upper() + rest[1:] if rest else reason


def beside_figures(verdict: Verdict) -> str:
    """Why, for a place that gives the figures already; parts that all hold are left to their table."""
    if len(verdict.parts) > 1:
        if verdict.outcome != "supported":
            return verdict.reason
        return f"All {small(len(verdict.parts))} parts hold; the figures are those of the weakest."
    return without_figures(verdict.reason)


def when(t: float) -> str:
    """Seconds since the epoch as a date and time in UTC; "at an unknown time" for what no calendar holds."""
    try:
        return datetime.fromtimestamp(t, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, OSError, ValueError):
        return "at an unknown time"
