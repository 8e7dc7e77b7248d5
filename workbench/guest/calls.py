"""The statements of one call in this very process: a function of the project's, or a notebook's cell.

Nothing is rolled back and nothing is cut short: the call is somebody's own, and does what it does.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from workbench.guest import sandbox
from workbench.guest.attribution import Attribution, attributing
from workbench.guest.capture import Recorder, recording


class Observed:
    """What was taken down of one call, once it has ended."""

    def __init__(self, label: str, pass_: str, recorder: Recorder, looking: Attribution | None) -> None:
        self._label = label
        self._pass = pass_
        self._recorder = recorder
        self._looking = looking
        self._kept_from = sandbox.blocked()
        self.seconds = 0.0
        self.error: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The fields of the profile's record of a page view, with status 0: there is no response."""
        blocked = {name: times - self._kept_from.get(name, 0) for name, times in sandbox.blocked().items()}
        return {
            "url": self._label,
            "pass": self._pass,
            "status": 0,
            "bytes": 0,
            "milliseconds": self.seconds * 1000,
            "digest": "",
            "queries": self._recorder.as_json(),
            "batches": [] if self._looking is None else self._looking.as_json(),
            "wrote": self._recorder.wrote,
            "error": self.error,
            "blocked": sorted(name for name, times in blocked.items() if times > 0),
            # A savepoint of the call's own looks like the transactions of a page, which is in one of ours.
            "transactions": [],
        }


@contextlib.contextmanager
def observing(
    label: str, *, attributed: bool = True, limit: Mapping[str, Any] | None = None
) -> Iterator[Observed]:
    """Take down the statements of whatever runs meanwhile, on every alias and thread.

    At its end everything is as it was: no class of Django's is patched, no connection watched. That holds for an interruption
    at any moment too, for plain `with` blocks in a generator leave no step between two of them.

    Args:
        label: stands for the URL.
        attributed: relations, producers and repetitions are told, by frames and by patches that make instances slower; a
            statement's own time is taken without that, the whole call's is not.
        limit: as of `pages.visit`: what cuts the rows of one producer, and after how many statements the call is cut.

    Raises:
        RuntimeError: another page or call is being recorded.
    """
    looking = Attribution(limit) if limit or attributed else None
    recorder = Recorder(
        most=int((limit or {}).get("queries", sys.maxsize)),
        explain=None if looking is None else looking.explain,
    )
    made = Observed(
        label, "truncated" if limit else "attributed" if attributed else "warm", recorder, looking
    )
    with recording(recorder, leave=True), _maybe(looking):
        recorder.began = time.perf_counter()
        try:
            yield made
        except BaseException as error:
            made.error = type(error).__name__
            raise
        finally:
            made.seconds = time.perf_counter() - recorder.began


def _maybe(looking: Attribution | None) -> Any:
    return contextlib.nullcontext() if looking is None else attributing(looking)
