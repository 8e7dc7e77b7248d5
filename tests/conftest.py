"""What every test may use."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from workbench.servers.postgres import PostgresServer


@pytest.fixture
def poll() -> Callable[..., object]:
    """Call a condition until it is true; fail with its last value when the deadline passes."""

    def until(condition: Callable[[], object], timeout: float = 10.0, interval: float = 0.01) -> object:
        deadline = time.monotonic() + timeout
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > deadline:
                pytest.fail(f"still {value!r} after {timeout} s: {condition}")
            time.sleep(interval)

    return until


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One private PostgreSQL for the session. A test may kill it, and has it back up when it ends."""
    from workbench.servers.postgres import PostgresServer

    # Killing processes loses nothing without fsync; deadlocks are looked for soon, so that their tests are quick.
    with PostgresServer(settings={"fsync": "off", "deadlock_timeout": "50ms"}) as server:
        server.wait_ready()
        yield server


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """The name of a fresh, empty database on the session's server; dropped afterwards, sessions and all."""
    name = f"test_{time.monotonic_ns()}"
    postgres.create_database(name)
    yield name
    postgres.drop_database(name)
