"""What came of having a statement explained. Apart from `explain`, which is loaded only when something is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stalwart.database.suggestions import Suggestion


@dataclass(frozen=True, slots=True)
class Explained:
    """The plan of a statement, or why there is none.

    Attributes:
        plan: what the server gave, without values: PostgreSQL's JSON, or the lines of SQLite's query plan.
        generic: it was made without the values, so it holds for any.
        suggestions: what it suggests.
        skipped: why there is no plan, "" when there is one.
    """

    plan: Any = None
    generic: bool = False
    suggestions: tuple[Suggestion, ...] = field(default=())
    skipped: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For `json`."""
        return {
            "plan": self.plan,
            "generic": self.generic,
            "suggestions": [one.as_dict() for one in self.suggestions],
            "skipped": self.skipped,
        }


NOT_EXPLAINED = Explained(skipped="not asked for")
