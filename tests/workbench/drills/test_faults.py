"""The faults bite where they say, are counted by server or proxy, heal, and leave everybody else alone."""

from __future__ import annotations

import select
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import psycopg
import pytest

from workbench.drills.faults import FAULTS, Bite, Target
from workbench.servers.postgres import PostgresServer

Poll = Callable[..., object]
Session = psycopg.Connection[Any]
REFUSED = r"slots are reserved|too many clients"


def port_of(target: Target) -> int:
    """The proxy's port."""
    assert target.proxy is not None
    return target.proxy.port


def login(target: Target, port: int | None = None) -> Session:
    """A session of the application's role, through the proxy unless a port is given."""
    entry = target.server.django_database(target.dbname)
    return psycopg.connect(
        host=target.server.host,
        port=port or port_of(target),
        dbname=target.dbname,
        user=entry["USER"],
        password=entry["PASSWORD"],
        sslmode="disable",
        autocommit=True,
    )


def send(session: Session, query: bytes) -> None:
    """Send a query without waiting for its answer."""
    session.pgconn.send_query(query)
    session.pgconn.flush()


def is_quiet(session: Session) -> bool:
    """Whether nothing at all, not even an end, comes from the other side for a while."""
    return not select.select([session.pgconn.socket], [], [], 0.2)[0]


def evidence(kind: str, bite: Bite) -> tuple[int, int]:
    """Injected and seen, as the journal will have them."""
    record = bite.evidence(kind, "somewhere", 0.0, 1.0, {})
    return record.injected, record.seen


def test_a_black_hole_swallows_and_leaves_silence(target: Target) -> None:
    """Open and new connections get no answer; healed, new ones and idle ones work, those that lost bytes stay silent."""
    with login(target) as idle, login(target) as busy:
        with FAULTS["blackhole"].inject(target) as bite:
            send(busy, b"SELECT 1")
            assert is_quiet(busy)
            with socket.create_connection((target.server.host, port_of(target))) as late:
                late.sendall(
                    b"\0\0\0\x08\x04\xd2\x16\x2f"
                )  # does the server speak TLS? It always answers that.
                assert not select.select([late], [], [], 0.2)[0]
        assert evidence("blackhole", bite) == (3, 2)
        assert bite.detail["bytes_discarded"] > len("SELECT 1")
        assert idle.execute("SELECT 2").fetchone() == (2,)
        with login(target) as fresh:
            assert fresh.execute("SELECT 3").fetchone() == (3,)
        assert is_quiet(busy)
        # The server knows nothing of it, and keeps the session with whatever it has locked.
        assert busy.info.backend_pid in target.server.backends(target.dbname)
        busy.close()
        assert busy.info.status is psycopg.pq.ConnStatus.BAD
    assert target.server.backends(target.dbname)


def test_a_black_hole_that_nobody_meets_is_not_seen(target: Target) -> None:
    """Without a byte on the wire there is no evidence, so that the trial cannot count."""
    with login(target), FAULTS["blackhole"].inject(target) as bite:
        pass
    assert evidence("blackhole", bite) == (1, 0)


def test_without_slots_the_application_is_refused(target: Target, postgres: PostgresServer) -> None:
    """Its back ends end and its logins are refused (53300), those of tools are not; healed, it gets in again."""
    direct = postgres.port
    with login(target, direct) as lost, postgres.connect() as other:
        with FAULTS["slots-exhausted"].inject(target) as bite:
            with pytest.raises(psycopg.errors.AdminShutdown):
                lost.execute("SELECT 1")
            for _ in range(2):
                with pytest.raises(psycopg.OperationalError, match=REFUSED):
                    login(target, direct)
            with postgres.connect() as tool:
                assert tool.execute("SELECT 1").fetchone() == (1,)
        assert evidence("slots-exhausted", bite) == (1, 2)
        assert other.execute("SELECT 1").fetchone() == (1,)
        with login(target, direct) as again:
            assert again.execute("SELECT 1").fetchone() == (1,)


def test_who_slips_in_while_slots_are_short_is_put_out_again(
    target: Target, postgres: PostgresServer, poll: Poll
) -> None:
    """A slot that somebody else gives up goes to whoever asks first; sustaining the fault takes it back."""

    def slip_in() -> Session | None:
        with suppress(psycopg.OperationalError):  # the server frees a slot a moment after its session's end
            return login(target, postgres.port)
        return None

    with postgres.connect() as other, FAULTS["slots-exhausted"].inject(target) as bite:
        other.close()
        with cast("Session", poll(slip_in)) as lucky:
            bite.sustain()
            with pytest.raises(psycopg.errors.AdminShutdown):
                lucky.execute("SELECT 1")
        with pytest.raises(psycopg.OperationalError, match=REFUSED):
            login(target, postgres.port)
    injected, seen = evidence("slots-exhausted", bite)
    assert injected == 1
    assert seen >= 1


HOLD = """
import sys
import psycopg
from workbench.drills.faults.slots_exhausted import SlotHolder

class Server:
    place = sys.stdin.readline().strip()

    def connect(self, dbname, *, user, connect_timeout):
        return psycopg.connect(self.place, dbname=dbname, user=user, connect_timeout=connect_timeout)

with SlotHolder(Server()) as holder:
    holder.take()
    print(len(holder), flush=True)
    sys.stdin.read()
"""


def test_slots_are_free_again_when_the_driver_is_killed(postgres: PostgresServer, poll: Poll) -> None:
    """The sessions are sockets of the driver's process, so that a SIGKILL heals the fault."""
    place = f"host={postgres.host} port={postgres.port} password={postgres.password} sslmode=disable"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process, process.stdin as words, process.stdout as answer:
        words.write(f"{place}\n")
        words.flush()
        held = int(answer.readline())
        try:
            assert held > 10
            assert len(postgres.backends("postgres")) == held
        finally:
            process.kill()
    poll(lambda: not postgres.backends("postgres"))
