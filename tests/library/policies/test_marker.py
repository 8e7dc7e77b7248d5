"""The mark of what was given up on."""

from __future__ import annotations

import pickle

from stalwart.policies.marker import is_marked, links, mark


def test_links_of_circles_and_groups() -> None:
    """Causes, contexts and members are walked once each, circles too, up to what was there before."""
    first, second, third, before = OSError(1), OSError(2), OSError(3), OSError(4)
    group = ExceptionGroup("several", [second])
    first.__cause__, first.__context__ = group, third
    second.__context__ = first
    third.__context__ = before
    assert set(links(first)) == {first, second, third, group, before}
    assert set(links(first, before)) == {first, second, third, group}
    mark(before)
    assert is_marked(first)
    assert not is_marked(first, before)


def test_the_mark_crosses_process_borders() -> None:
    """A failure that comes back from a process pool is still known."""
    error = OSError("down")
    assert not is_marked(error)
    mark(error)
    assert is_marked(pickle.loads(pickle.dumps(error)))
