"""The statements of one call in this very process: a function of the project's, or a notebook's cell.

Nothing is rolled back and nothing is cut short: the call is somebody's own, and does what it does.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping
from typing import Any

from workbench.guest import sandbox
from workbench.guest.attribution import Attribution, attributing
from workbench.guest.capture import Recorder, recording, unwatch


class observing:  # noqa: N801 used as a verb
    """Take down the statements of whatever runs meanwhile, on every alias and thread; a context manager.

    At its end everything is as it was: no class of Django's is patched, no connection watched.

    Args:
        label: stands for the URL.
        attributed: relations, producers and repetitions are told, by frames and by patches that make instances slower; a
            statement's own time is taken without that, the whole call's is not.
        limit: as of `pages.visit`: what cuts the rows of one producer, and after how many statements the call is cut.

    Raises:
        RuntimeError: another page or call is being recorded.
    """

    def __init__(
        self, label: str, *, attributed: bool = True, limit: Mapping[str, Any] | None = None
    ) -> None:
        self._label = label
        self._pass = "truncated" if limit else "attributed" if attributed else "warm"
        self._looking = Attribution(limit) if limit or attributed else None
        self._recorder = Recorder(
            most=int((limit or {}).get("queries", sys.maxsize)),
            explain=None if self._looking is None else self._looking.explain,
        )
        self._stack = contextlib.ExitStack()
        self._kept_from: dict[str, int] = {}
        self._began = self._took = 0.0
        self._error: str | None = None

    def __enter__(self) -> observing:
        self._kept_from = sandbox.blocked()
        self._stack.enter_context(recording(self._recorder))
        self._stack.callback(unwatch)
        if self._looking is not None:
            self._stack.enter_context(attributing(self._looking))
        self._recorder.began = self._began = time.perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        self._took = time.perf_counter() - self._began
        self._error = None if kind is None else kind.__name__
        self._stack.close()

    def as_json(self) -> dict[str, Any]:
        """The fields of the profile's record of a page view, with status 0: there is no response."""
        blocked = {name: times - self._kept_from.get(name, 0) for name, times in sandbox.blocked().items()}
        return {
            "url": self._label,
            "pass": self._pass,
            "status": 0,
            "bytes": 0,
            "milliseconds": self._took * 1000,
            "digest": "",
            "queries": self._recorder.as_json(),
            "batches": [] if self._looking is None else self._looking.as_json(),
            "wrote": self._recorder.wrote,
            "error": self._error,
            "blocked": sorted(name for name, times in blocked.items() if times > 0),
            # A savepoint of the call's own looks like the transactions of a page, which is in one of ours.
            "transactions": [],
        }
