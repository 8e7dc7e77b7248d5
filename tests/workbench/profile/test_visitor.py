"""The process that visits pages: it hangs, it dies, it logs in, and the next visit goes on."""

from __future__ import annotations

import os
import signal

import pytest

from workbench.errors import WorkbenchError
from workbench.profile import visitor
from workbench.profile.loading import Loaded
from workbench.profile.visitor import LostError, Visitor


def test_a_process_that_hangs_or_dies_is_followed_by_another(
    awkward: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped by the kernel it gives no answer, and is given up; killed it is told as ended; the page after it is seen."""
    monkeypatch.setattr(visitor, "GRACE", 0.5)
    with Visitor(awkward, {}, seconds=2) as visits:
        assert visits.visit("/", "cold").status == 200
        first = visits._process
        assert first is not None
        os.kill(first.pid, signal.SIGSTOP)
        with pytest.raises(LostError, match=r"gave no answer within 2"):
            visits.visit("/", "warm")
        assert visits.visit("/", "warm").status == 200
        second = visits._process
        assert second is not None
        os.kill(second.pid, signal.SIGKILL)
        with pytest.raises(LostError, match="its process ended during the visit"):
            visits.visit("/", "warm")
        assert visits.visit("/", "warm").status == 200


def test_a_user_who_is_not_there_is_told_before_anything_is_visited(awkward: Loaded) -> None:
    """The name, and where users come from."""
    with pytest.raises(WorkbenchError, match="--login nobody") as told, Visitor(awkward, {}, "nobody"):
        pass
    assert "--fixture" in told.value.next_step


def test_cookies_of_a_header_and_of_the_session_are_one(awkward: Loaded) -> None:
    """A client sends one Cookie header."""
    made = Visitor(awkward, {"cookie": "theme=dark", "X-Key": "1"})
    made._session = {"Cookie": "sessionid=2"}
    assert made.headers == {"X-Key": "1", "Cookie": "theme=dark; sessionid=2"}
