"""The process in which a project's pages are visited, and the next one where it has died or hangs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Any, Self

from workbench.errors import WorkbenchError
from workbench.profile import pages, plans
from workbench.profile.loading import Loaded
from workbench.profile.records import PageView, Pass, Plan
from workbench.project_process import ProjectProcess

#: Seconds over its time limit that a page gets until its process is said to hang: the guest cuts it and waits for its threads.
GRACE = 10.0
#: Times in a row that a process may fail to start before there is no point in going on.
TRIES = 3


class LostError(Exception):
    """The page took its process with it; the next visit gets a new one. Its text is for people."""


class Visitor:
    """Visits pages in one process as long as that lives; a context manager.

    Args:
        loaded: the project.
        headers: of every request; never told to anybody.
        login: user name whose session every request gets.
        seconds: that one view may take.
    """

    def __init__(
        self, loaded: Loaded, headers: Mapping[str, str], login: str | None = None, seconds: float = 30.0
    ) -> None:
        self._loaded = loaded
        self._given = dict(headers)
        self._login = login
        self._seconds = seconds
        self._process: ProjectProcess | None = None
        self._failures = 0
        self._session: dict[str, str] = {}
        self.blocked: Counter[str] = Counter()
        self._busy = False

    def __enter__(self) -> Self:
        self._started()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def headers(self) -> dict[str, str]:
        """Of every request, the session's cookie among them."""
        cookies = [
            one[name] for one in (self._given, self._session) for name in one if name.lower() == "cookie"
        ]
        rest = {name: value for name, value in self._given.items() if name.lower() != "cookie"}
        return {**rest, "Cookie": "; ".join(cookies)} if cookies else rest

    def visit(self, url: str, pass_: Pass, limit: Mapping[str, Any] | None = None) -> PageView:
        """Visit a page.

        Raises:
            LostError: its process died or hangs.
            WorkbenchError: no process could be started, several times.
        """
        process = self._started()
        try:
            self._busy = True
            view = pages.visit(
                process,
                url,
                pass_,
                headers=self.headers,
                limit={"seconds": self._seconds, **(limit or {})},
                patience=self._seconds + GRACE,
            )
            if self._login is not None and pass_ == "cold":  # noqa: S105 no password
                self._log_in(process)  # a cold view forgets what is cached, sessions may be among it
            self._busy = False
        except WorkbenchError as error:
            self._drop()
            raise LostError(self._told(error, "workbench.guest.pages:visit")) from error
        return view

    def call(self, name: str, timeout: float, **arguments: Any) -> Any:
        """Call a function of the guest about a page, in the same process.

        Raises:
            LostError, WorkbenchError: as `visit`.
        """
        process = self._started()
        try:
            self._busy = True
            answer = process.call(name, timeout, **arguments)
            self._busy = False
        except WorkbenchError as error:
            self._drop()
            raise LostError(self._told(error, name)) from error
        return answer

    def plans(self, warm: PageView, known: Collection[Plan]) -> tuple[Plan, ...]:
        """Plans of the page's statements, but for those that are known.

        Raises:
            LostError, WorkbenchError: as `visit`.
        """
        process = self._started()
        try:
            self._busy = True
            found = plans.of(process, warm, headers=self.headers, known=known)
            self._busy = False
        except WorkbenchError as error:
            self._drop()
            raise LostError(self._told(error, "workbench.guest.plans:catch")) from error
        return found

    def close(self) -> None:
        """End the process, and keep what its sandbox has counted."""
        process, self._process = self._process, None
        if process is not None and self._busy:
            process.close()  # interrupted: it would answer when its page is done
        elif process is not None:
            try:
                self.blocked.update(process.call("workbench.guest.sandbox:blocked", 10))
            except WorkbenchError:
                pass  # a count for people is all that is lost
            finally:
                process.close()

    def _started(self) -> ProjectProcess:
        if self._process is None:
            process = self._loaded.process(attribution=True)
            try:
                process.__enter__()
                if self._login is not None:
                    self._log_in(process)
            except WorkbenchError as error:
                process.close()
                self._failures += 1
                if self._failures < TRIES and self._session == {} and self._login is None:
                    raise LostError(self._told(error, "start")) from error
                raise
            except BaseException:
                process.close()
                raise
            self._failures = 0
            self._process = process
        return self._process

    def _drop(self) -> None:
        process, self._process, self._busy = self._process, None, False
        if process is not None:
            process.close()

    def _log_in(self, process: ProjectProcess) -> None:
        try:
            self._session = process.call("workbench.guest.pages:login", 60, user=self._login)
        except WorkbenchError as error:
            if "LookupError" not in error.problem:
                raise
            raise WorkbenchError(
                f"--login {self._login}:{error.problem.partition('LookupError:')[2]}",
                "name a user that the copy has; --seed, --fixture or --copy-database bring the project's own",
            ) from error

    def _told(self, error: WorkbenchError, call: str) -> str:
        text = error.problem.removeprefix(f"{self._loaded.project.name}: ").replace(
            f"during {call}", "during the visit"
        )
        return text.replace(f"{call} gave no answer", "it gave no answer").replace(
            f"{call} failed", "it failed"
        )
