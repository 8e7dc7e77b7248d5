"""The faults as pytest fixtures: `pytest_plugins = ["stalwart.testing.plugin"]` in the root conftest.py.

Not an entry point, which pytest would load in every environment that has the library, for every test suite that never
asks for a fault, with a dozen fixture names that somebody else may have given.

Each fixture is the function of the same name in `stalwart.testing`, to be used in a `with`. Beyond that the fixture of a fault
fails the test when one was made and never entered, and it ends one that was entered by hand and is still on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from stalwart import events

__all__ = [
    "assert_no_n_plus_one",
    "blackhole",
    "deadlock_with",
    "demote",
    "fail_on_commit_hook",
    "kill_connection_at",
    "lock_timeout_on",
    "lose_commit_reply",
    "max_queries",
    "recorded_events",
    "refuse_connections",
    "serialization_failure_on",
]


def _fixture(name: str, about: str) -> Any:
    def hand_out() -> Iterator[Callable[..., Any]]:
        from stalwart import testing  # Django is needed when a test asks for a fault, not before

        make = getattr(testing, name)
        made: list[testing.Fault] = []

        def making(*args: Any, **kwargs: Any) -> testing.Fault:
            fault: testing.Fault = make(*args, **kwargs)
            made.append(fault)
            return fault

        yield making
        for fault in made:
            fault.heal()
        if not all(fault.entered for fault in made):
            pytest.fail(
                f"{name}(...) was called, but not entered, so nothing was broken: write `with {name}(...):`",
                pytrace=False,
            )

    hand_out.__doc__ = f"{about} Use it as `with {name}(...):`; see stalwart.testing.{name}."
    return pytest.fixture(name=name)(hand_out)


kill_connection_at = _fixture("kill_connection_at", "The session is lost at a statement.")
lose_commit_reply = _fixture("lose_commit_reply", "The connection is lost during COMMIT.")
fail_on_commit_hook = _fixture("fail_on_commit_hook", "A hook after COMMIT fails.")
deadlock_with = _fixture("deadlock_with", "The server ends the transaction for a deadlock.")
serialization_failure_on = _fixture("serialization_failure_on", "Another transaction has changed the rows.")
lock_timeout_on = _fixture("lock_timeout_on", "Another transaction keeps the rows locked.")
demote = _fixture("demote", "The open sessions can only read.")
refuse_connections = _fixture("refuse_connections", "The server is down.")
blackhole = _fixture("blackhole", "Connections are accepted and never answered.")


@pytest.fixture
def recorded_events() -> Iterator[list[events.Event]]:
    """The records of stalwart.events during the test, in order."""
    from stalwart import testing

    with testing.recorded_events() as records:
        yield records


@pytest.fixture
def assert_no_n_plus_one() -> Callable[..., Any]:
    """No statement is sent once for each row; see stalwart.testing.assert_no_n_plus_one."""
    from stalwart import testing

    return testing.assert_no_n_plus_one


@pytest.fixture
def max_queries() -> Callable[..., Any]:
    """No more than so many statements. Use it as `with max_queries(3):`; see stalwart.testing.max_queries."""
    from stalwart import testing

    return testing.max_queries
