"""What is said of verdicts as a whole: the strongest statement that the data support, and the exit code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from workbench.claims import Claim, PartRule
from workbench.judge.wording import bound, plural
from workbench.records import Part, Verdict

#: Word and icon of each outcome; never colour alone.
ICONS = {"supported": "✓", "refuted": "✕", "inconclusive": "?", "void": "∅", "not-run": "–"}
WORDS = {
    "supported": "Supported",
    "refuted": "Refuted",
    "inconclusive": "Inconclusive",
    "void": "Void",
    "not-run": "Not run",
}


def strongest(claim: Claim, verdict: Verdict) -> str:
    """The strongest statement that the interval supports, whatever the outcome: "at least 41 % fewer bytes".

    Rounded to the careful side. "" where nothing can be said.
    """
    design = claim.design.parts
    if verdict.outcome in ("void", "not-run"):
        return ""
    if len(design) == 1 and not design[0].each:
        text = _bounded(design[0], verdict)
        return f"exceeded: {text}" if text and verdict.code == "exceeded" else text
    said = []
    for rule in dict.fromkeys(part.rule for part in design):
        named = {part.name: part for part in design if part.rule == rule}
        found = [part for part in verdict.parts if _base(part.name, named)]
        said.append(_joined(named, found))
    return "; ".join(text for text in said if text)


def _base(name: str, named: Mapping[str, PartRule]) -> PartRule | None:
    """The rule's part that a verdict's part stands for: itself, or one of several server modes ("gthread/failed")."""
    return named.get(name) or named.get(name.rpartition("/")[2])


def _joined(named: Mapping[str, PartRule], found: Sequence[Part]) -> str:
    """One statement for all parts of a rule, the weakest; parts are named when not all of them support one."""
    texts = [
        (text, part) for part in found if (base := _base(part.name, named)) and (text := _bounded(base, part))
    ]
    if not texts:
        return ""
    text, _ = min(texts, key=lambda one: one[1].low if one[1].low is not None else 0.0)
    if len(texts) == len(found):
        return text
    return f"{text}, for {' and '.join(named[part.name].label if part.name in named else part.name for _, part in texts)}"


def _bounded(part: PartRule, found: Verdict | Part) -> str:
    # A violated invariant's interval may be that of the invariant, on another scale than the claim's.
    if found.low is None or found.high is None or found.code == "invariant-violated":
        return ""
    return bound(part.rule, found.low, found.high)


def more_needed(verdict: Verdict) -> str:
    """ "18 more trials would decide"; "" where that cannot be told."""
    if verdict.needed is None or verdict.needed <= verdict.trials:
        return ""
    return f"{plural(verdict.needed - verdict.trials, 'more trial')} would decide"


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """3 when a claim is void, else 1 when one is refuted, else 2 when one is inconclusive, else 0; not-run is no result."""
    outcomes = {verdict.outcome for verdict in verdicts}
    for outcome, code in (("void", 3), ("refuted", 1), ("inconclusive", 2)):
        if outcome in outcomes:
            return code
    return 0
