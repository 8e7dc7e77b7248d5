"""What every record shares."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Event:
    """What all records share.

    Attributes:
        operation: what was going on, for a decorator the dotted name of the function.
    """

    level: ClassVar[int] = logging.INFO

    operation: str

    def as_dict(self) -> dict[str, Any]:
        """The record as a dict that `json` can write, with its kind."""
        return {"event": type(self).__name__, **asdict(self)}
