"""The deadline, with a clock that the test turns."""

from __future__ import annotations

from stalwart.policies.deadline import Deadline


def test_waits_that_do_not_fit() -> None:
    """A wait fits when it ends before the deadline; at or past it, none does."""
    now = [100.0]
    deadline = Deadline.after(4, lambda: now[0])
    assert deadline.remaining() == 4
    assert deadline.fits(3.9)
    assert not deadline.fits(4)
    now[0] = 103
    assert deadline.fits(0.5)
    assert not deadline.fits(1.5)
    now[0] = 110
    assert deadline.remaining() == 0
    assert not deadline.fits(0)
