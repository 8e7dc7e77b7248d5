"""Requests and replies as JSON lines."""

from __future__ import annotations

from pathlib import Path

from workbench.traffic import Reply, Request, read_replies
from workbench.traffic.records import read_requests, to_line, write_requests

REPLY = Reply("a", "read", "GET", "/", 1.0, 1.25, 1.5, 2.0, 200, "ok", None, 10, 20)


def test_requests_survive_their_file(tmp_path: Path) -> None:
    """What was written is read again, line separators and other scripts in a body included."""
    requests = [
        Request("a", 0.5, "GET", "/x?y=1", "read"),
        Request(
            "b", 1, "POST", "/", "order", {"Content-Type": "application/json"}, '{"n": "é\u2028\\n"}', 2.5
        ),
    ]
    write_requests(tmp_path / "plan", requests)
    assert read_requests(tmp_path / "plan") == requests


def test_a_reply_cut_by_a_crash_is_left_out(tmp_path: Path) -> None:
    """The whole replies of a killed load are read, the one it was writing is not."""
    (tmp_path / "out").write_text(to_line(REPLY) + to_line(REPLY)[:-20])
    assert read_replies(tmp_path / "out") == [REPLY]


def test_latency_and_lateness_count_from_the_intended_time() -> None:
    """Latency is done minus intended, lateness sent minus intended, and a dropped request has neither."""
    dropped = Reply(
        "a", "read", "GET", "/", 1.0, None, None, None, None, "dropped", "dropped: 1 in flight", 0, 0
    )
    assert (REPLY.latency, REPLY.lateness) == (1.0, 0.25)
    assert (dropped.latency, dropped.lateness) == (None, None)


def test_only_requests_that_change_nothing_are_safe() -> None:
    """GET is safe; POST, PUT, PATCH and DELETE are not."""
    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
    safe = [Request("a", 0, method, "/", "x").safe for method in methods]
    assert safe == [True, True, False, False, False, False]
