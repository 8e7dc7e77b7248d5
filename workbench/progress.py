"""How far a run is: lines that a kernel writes and the command line, or the notebook's own display, shows."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Step:
    """One state of a drill.

    Attributes:
        drill: its id.
        done, total: trials; a total of 0 where they are not counted.
        text: what is going on, as "pair 3 of 8, Stalwart on".
        left: seconds that this drill still needs, estimated from its finished trials.
        passing: tells how far one trial is; the next one takes its place.
    """

    drill: str
    done: int
    total: int
    text: str
    left: float | None
    passing: bool = False

    def line(self) -> str:
        if not self.total:
            return f"{self.drill}: {self.text}"
        left = "" if self.left is None else f", about {duration(self.left)} left"
        return f"{self.drill}: {self.text} ({self.done} of {self.total} trials done{left})"


Show = Callable[[Step], None]


def duration(seconds: float) -> str:
    """Seconds as a person says them: "40 s", "3 min"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min"


class Progress:
    """Tells everyone who wants to know.

    Args:
        total: trials of the drill.
        drill: its id.
        expected: seconds for one trial, until one has been timed.
        path: the run's progress file.
        show: further listener, as a notebook's display.
    """

    def __init__(
        self, drill: str, total: int, expected: float, path: Path | None = None, show: Show | None = None
    ) -> None:
        self._drill, self._total, self._path, self._show = drill, total, path, show
        self._expected = expected
        self._done = 0
        self._begun: float | None = None

    def begin(self, text: str) -> None:
        """A trial starts."""
        if self._begun is None:
            self._begun = time.monotonic()
        self._tell(text)

    def within(self, text: str) -> None:
        """A trial has come so far."""
        self._tell(text, passing=True)

    def finish(self) -> None:
        """The oldest trial is over."""
        self._done += 1
        if self._done == self._total:
            self._tell("done")

    def _tell(self, text: str, *, passing: bool = False) -> None:
        spent = time.monotonic() - (self._begun or 0.0)
        each = spent / self._done if self._done else self._expected
        left = each * (self._total - self._done) or None
        tell(Step(self._drill, self._done, self._total, text, left, passing), self._path, self._show)


def tell(step: Step, path: Path | None, show: Show | None) -> None:
    """Write a step to a run's progress file, and show it, where there is one."""
    if path is not None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(step)) + "\n")
    if show is not None:
        show(step)


def steps(path: Path, offset: int = 0) -> tuple[list[Step], int]:
    """The steps written since `offset`, and the offset to ask for next."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read()
    except OSError:
        return [], offset
    whole, _, _ = data.rpartition(b"\n")
    return [Step(**json.loads(line)) for line in whole.splitlines()], offset + len(whole) + bool(whole)
