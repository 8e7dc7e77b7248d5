"""Progress on the terminal."""

from __future__ import annotations

import os
import sys
import time

from workbench.progress import Step, steps
from workbench.run import RunFolder


class ProgressLine:
    """One line on the terminal that is written over; a line a step where the output is no terminal."""

    def __init__(self, run: RunFolder, total: int, begun: float) -> None:
        self._run, self._total, self._begun = run, total, begun
        self._offset = 0
        self._number = 0
        self._name = ""
        self._last = ""
        self._live = sys.stdout.isatty()

    def next(self, number: int, name: str) -> None:
        self._number, self._name = number, name
        self._print(f"[{number + 1}/{self._total}] {name}")

    def watch(self, name: str) -> None:
        found, self._offset = steps(self._run.progress_path, self._offset)
        for step in found:
            self._print(f"[{self._number + 1}/{self._total}] {name} · {step.line()}")

    def close(self) -> None:
        if self._live and self._last:
            print(flush=True)

    def _print(self, text: str) -> None:
        clock = time.strftime("%M:%S", time.gmtime(time.monotonic() - self._begun))
        text = f"{clock} {text}"
        if self._live:
            width = max(20, os.get_terminal_size().columns - 1)
            shown = text[:width]
            print(f"\r{shown}{' ' * max(0, len(self._last) - len(shown))}", end="", flush=True)
            self._last = shown
        else:
            print(text, flush=True)


class DrillLine:
    """The steps of one drill: one line each, and how far a trial is in a line that is written over.

    Where the output is no terminal, such a line is printed every `SELDOM` seconds.
    """

    SELDOM = 10.0

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._open = False
        self._told = time.monotonic()

    def show(self, step: Step) -> None:
        if not step.passing:
            self.close()
            print(step.line(), flush=True)
            self._told = time.monotonic()
        elif self._live:
            # "Erase to the end of the line": what stood there may have been longer.
            print(f"\r{step.text[: max(20, os.get_terminal_size().columns - 1)]}\x1b[K", end="", flush=True)
            self._open = True
        elif time.monotonic() - self._told >= self.SELDOM:
            print(step.text, flush=True)
            self._told = time.monotonic()

    def close(self) -> None:
        """End the line that is written over."""
        if self._open:
            print(flush=True)
            self._open = False


class PageLine:
    """How far it is, on standard error: one line that is written over; where that is no terminal, a line every `SELDOM` seconds."""

    SELDOM = 10.0

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._stage = ""
        self._told = 0.0
        self._open = False

    def show(self, stage: str, done: int, total: int, what: str) -> None:
        place = f"{stage} [{done + 1}/{total}]" if total > 1 else stage
        line = " ".join(f"{place} {what}".split())
        if self._live:
            print(
                f"\r{line[: max(20, os.get_terminal_size(2).columns - 1)]}\x1b[K",
                end="",
                file=sys.stderr,
                flush=True,
            )
            self._open = True
        elif stage != self._stage or time.monotonic() - self._told >= self.SELDOM:
            print(line, file=sys.stderr, flush=True)
            self._told = time.monotonic()
        self._stage = stage

    def close(self) -> None:
        if self._open:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._open = False
