"""PostgreSQL's plans as JSON: their nodes, and their expressions without the values that stand in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# Names of things and words of the server. Whatever stands under another key may hold values.
_NAMES = frozenset(
    {
        "Node Type", "Relation Name", "Alias", "Schema", "Index Name", "Join Type", "Strategy", "Partial Mode",
        "Parent Relationship", "Subplan Name", "Scan Direction", "Command", "Operation", "CTE Name", "Function Name",
    }
)  # fmt: skip
_PIECES = re.compile(
    r"""(?P<kept>"(?:[^"]++|"")*+"|\$\d++|[^\W\d][\w$]*+(?!'))"""
    r"""|(?P<like>!?~~\*?\s++)?(?:[eE]?'(?P<text>(?:[^'\\]++|''|\\.)*+)'?|(?P<number>\d[\w.]*+))""",
    re.DOTALL,
)
_COUNTED = re.compile(r"\{\?\*\d+\}")


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a plan and those above it.

    Attributes:
        facts: as the server gave them.
        above: its parents, the nearest first.
    """

    facts: Mapping[str, Any]
    above: tuple[Mapping[str, Any], ...] = ()

    @property
    def kind(self) -> str:
        return str(self.facts.get("Node Type", ""))

    @property
    def relation(self) -> str:
        """The table that it scans, "" for another node."""
        return str(self.facts.get("Relation Name", ""))

    @property
    def rows(self) -> float:
        """Rows that the planner expects of it, of all parallel workers together."""
        rows = float(self.facts.get("Plan Rows", 0))
        workers = next(
            (int(one["Workers Planned"]) for one in self.above if "Workers Planned" in one),
            0,
        )
        # The planner counts the leader as a worker that has less time the more others there are.
        return rows * (workers + max(0.0, 1 - 0.3 * workers)) if workers else rows

    @property
    def children(self) -> list[Node]:
        return [Node(child, (self.facts, *self.above)) for child in self.facts.get("Plans", ())]


def nodes(plan: Any) -> Iterator[Node]:
    """All nodes of what `EXPLAIN (FORMAT JSON)` gives, parents first; none of anything else."""
    top = plan[0] if isinstance(plan, list) and plan else plan
    if not isinstance(top, Mapping) or not isinstance(top.get("Plan"), Mapping):
        return
    waiting = [Node(top["Plan"])]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += reversed(node.children)


def without_values(plan: Any, key: str = "") -> Any:
    """A copy of a plan in which no value of a row or a parameter is left.

    Literals become '?' and numbers in expressions ?. Of a pattern its outer percent signs stay ('%?%'), of an array the
    number of its items ('{?*250}'): the suggestions need no more.
    """
    if isinstance(plan, Mapping):
        return {name: without_values(value, name) for name, value in plan.items()}
    if isinstance(plan, list | tuple):
        return [without_values(one, key) for one in plan]
    if isinstance(plan, str) and key not in _NAMES:
        return _PIECES.sub(_without_value, plan)
    return plan


def _without_value(found: re.Match[str]) -> str:
    if found["kept"] is not None:
        return found.group()
    like = found["like"] or ""
    if found["number"] is not None:
        return f"{like}?"
    text = found["text"]
    if like:
        shape = (
            ("%" if text.startswith("%") else "") + "?" + ("%" if text.endswith("%") and text != "%" else "")
        )
    elif _COUNTED.fullmatch(text):
        shape = text  # taken out before
    elif text.startswith("{") and text.endswith("}"):
        shape = f"{{?*{text.count(',') + 1}}}"
    else:
        shape = "?"
    return f"{like}'{shape}'"
