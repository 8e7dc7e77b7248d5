"""The boundary-kill matrix: one transaction, every kind of fault at every boundary between its statements.

    python benchmarks/boundary_kills.py            both arms: plain `atomic`, and `resilient_transaction`

A private PostgreSQL is reached through the fault proxy. The transaction locks and reads a row, inserts with generated keys
one by one and in bulk, swallows an IntegrityError inside a savepoint, updates, and registers hooks. After each run it is looked at
what is there. "right": the rows, keys and hooks of a run without a fault. "error": the block raised the error that is named, and
nothing was written. "DOUBT": it raised, and all is written, so that who tries again writes twice. "LOST" (it ended well,
and nothing is there) and "WRONG" (something else is there) must never be.

A fault strikes before the statement that its column names. "statement lost" and "reply lost" cut the connection at that
statement, before the server has heard of it or after it was done; for the last column that is COMMIT itself. "swallowed" is the
same in a black hole: nothing is cut, the connection only stays silent. Plain Django would wait for ever, so in both arms a reply
that is overdue after half a second counts as a lost connection (`reply_within`) for these two. A deadlock and
a serialization failure need statements of their own, which the body then sends at that boundary. The exit code is 1 when a
cell of the resilient arm is not right.

The tests run the same cells (tests/library/database/test_transaction_faults.py).
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import Error, IntegrityError, connection, transaction
from django.db.models import F

from stalwart.database import reply_within
from stalwart.exceptions import StalwartError

BOUNDARIES = (
    "SELECT FOR UPDATE", "INSERT", "SAVEPOINT", "INSERT that fails", "SAVEPOINT 2", "RELEASE", "UPDATE", "UPDATE 2", "COMMIT",
)  # fmt: skip
UNDONE = 3  # what is sent at this boundary is rolled back with its savepoint
Step = Callable[[int], None]


@dataclass
class Stage:
    """What a run needs.

    Attributes:
        server, proxy: `workbench.servers`, the database's only way being through the proxy.
        database: its name on the server.
        account, entry: models with `name` (unique) and `value`, and with `text`.
    """

    server: Any
    proxy: Any
    database: str
    account: Any
    entry: Any
    opponent: threading.Thread | None = None

    def prepare(self) -> None:
        """The rows of the beginning."""
        self.proxy.clear()
        connection.close()
        self.entry.objects.all().delete()
        self.account.objects.all().delete()
        self.account.objects.bulk_create([self.account(name=name, value=0) for name in "axyz"])

    def contents(self) -> tuple[list[tuple[int, str]], dict[str, int]]:
        """What is there, once the server is up and the fault is over."""
        if self.opponent is not None:
            self.opponent.join(30)
        for _ in range(50):  # a server that lost a back end a moment ago throws everybody out once more
            self.server.wait_ready()
            with contextlib.suppress(Error):
                rows = list(self.entry.objects.order_by("id").values_list("id", "text"))
                return rows, dict(self.account.objects.values_list("name", "value"))
            connection.close()
        raise AssertionError("the server does not come back")

    def pid(self) -> int:
        connection.ensure_connection()
        return connection.connection.info.backend_pid


# -- the faults


def terminate(stage: Stage) -> None:
    """As an administrator does, or a failover."""
    assert stage.pid() in stage.server.terminate_backends(stage.database)


def kill_backend(stage: Stage) -> None:
    """SIGKILL of the back end, upon which the server throws everybody out and recovers."""
    stage.server.kill_backend(stage.pid())


def reset(stage: Stage) -> None:
    """A real RST on the connection."""
    connection.ensure_connection()
    assert stage.proxy.reset_all()


def kill_server(stage: Stage) -> None:
    """SIGKILL of the whole server, which is started again at once."""
    stage.server.kill()
    stage.server.start()


def lose_statement(stage: Stage) -> None:
    """The next message never arrives."""
    stage.proxy.add("cut_after_message", message="Query", stream="upstream", before_forwarding=True)


def lose_reply(stage: Stage) -> None:
    """The next statement is done, and its reply is lost."""
    stage.proxy.add("cut_after_message", message="CommandComplete", before_forwarding=True)


def swallow_statement(stage: Stage) -> None:
    """The next message falls into a black hole."""
    _swallow(stage, "upstream")


def swallow_reply(stage: Stage) -> None:
    """The next statement is done, and its reply falls into a black hole."""
    _swallow(stage, "downstream")


def _swallow(stage: Stage, stream: str) -> None:
    """What was lost stays lost and the connection silent; the network heals at once, for whoever connects anew."""
    before = stage.proxy.counts().lossy
    stage.proxy.add("blackhole", name="hole", stream=stream, then="silence")

    def heal() -> None:
        deadline = time.monotonic() + 30
        while stage.proxy.counts().lossy == before and time.monotonic() < deadline:
            time.sleep(0.005)
        stage.proxy.remove("hole")

    stage.opponent = threading.Thread(target=heal, daemon=True)
    stage.opponent.start()


def deadlock(stage: Stage) -> None:
    """Another session takes two rows in the other order, and the transaction is the victim."""
    stage.account.objects.filter(name="y").update(value=F("value") + 1)
    table, holding, pid = stage.account._meta.db_table, threading.Event(), []

    def other_order() -> None:
        with stage.server.connect(stage.database, autocommit=False) as other:
            other.execute("SET deadlock_timeout = '1min'")  # the one that looks first is the victim
            pid.append(other.info.backend_pid)
            other.execute(f"UPDATE {table} SET value = value WHERE name = 'x'")
            holding.set()
            other.execute(f"UPDATE {table} SET value = value WHERE name = 'y'")
            other.rollback()

    stage.opponent = threading.Thread(target=other_order, daemon=True)
    stage.opponent.start()
    assert holding.wait(30)
    with stage.server.connect() as admin:
        deadline = time.monotonic() + 30
        waits = "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = %s"
        while admin.execute(waits, pid).fetchone() != (True,):
            assert time.monotonic() < deadline
    stage.account.objects.filter(name="x").update(value=F("value") + 1)


def conflict(stage: Stage) -> None:
    """Another session has changed a row since the snapshot (REPEATABLE READ)."""
    assert stage.account.objects.filter(name="z").exists()
    with stage.server.connect(stage.database) as other:
        other.execute(f"UPDATE {stage.account._meta.db_table} SET value = value + 1 WHERE name = 'x'")
    stage.account.objects.filter(name="x").update(value=F("value") + 1)


FAULTS: dict[str, Callable[[Stage], None]] = {
    "back end terminated": terminate,
    "back end SIGKILLed": kill_backend,
    "TCP reset": reset,
    "server SIGKILLed, restarted": kill_server,
    "statement lost": lose_statement,
    "reply lost": lose_reply,
    "statement swallowed": swallow_statement,
    "reply swallowed": swallow_reply,
    "deadlock": deadlock,
    "serialization failure": conflict,
}
_OVERDUE = {"statement swallowed": 0.5, "reply swallowed": 0.5}  # seconds
_LEVELS = {"serialization failure": "repeatable read"}
_SIDE_ROWS = {"deadlock": {"x": 1, "y": 1}, "serialization failure": {"x": 2}}


# -- the transaction


def program(stage: Stage, block: Any, step: Step, keys: list[int], hooks: list[int]) -> None:
    """The transaction; `step` is called at each boundary. Gives the keys that it has seen, and the hooks that ran."""
    account, entry = stage.account.objects, stage.entry.objects
    with block:
        step(0)
        row = account.select_for_update().get(name="a")
        step(1)
        first = entry.create(text="first")
        transaction.on_commit(lambda: hooks.append(1))
        step(2)
        with contextlib.suppress(IntegrityError), transaction.atomic():
            entry.create(text="rolled back")
            transaction.on_commit(lambda: hooks.append(2))
            step(3)
            account.create(name="a")
        step(4)
        with transaction.atomic():
            several = entry.bulk_create([stage.entry(text="x"), stage.entry(text="y")])
            step(5)
        row.value += 10
        step(6)
        row.save()
        step(7)
        account.filter(name="a").update(value=F("value") + 1)
        keys += [first.pk, *(each.pk for each in several)]
        step(8)


def run(stage: Stage, block: Callable[..., Any], fault: str, boundary: int) -> str:
    """One cell: the word for what came of it."""
    stage.prepare()
    struck: list[int] = []
    keys: list[int] = []
    hooks: list[int] = []

    def step(number: int) -> None:
        if number == boundary and not struck:
            struck.append(number)
            FAULTS[fault](stage)

    raised: Exception | None = None
    try:
        with reply_within(_OVERDUE.get(fault)):
            program(stage, block(isolation=_LEVELS.get(fault)), step, keys, hooks)
    except Exception as error:  # noqa: BLE001  every one is an outcome
        raised = error
    assert struck, "the fault did not strike"
    if fault in _OVERDUE and stage.opponent is not None:
        stage.opponent.join(30)  # it commands the proxy as well
        stage.proxy.reset_silent()  # the server still keeps the session of plain Django, with its locks
    stage.proxy.clear()
    connection.close()
    if raised is not None and not isinstance(raised, (Error, StalwartError)):
        raise raised
    return _judge(stage, fault, boundary, keys, hooks, raised)


def _judge(
    stage: Stage, fault: str, boundary: int, keys: list[int], hooks: list[int], raised: Exception | None
) -> str:
    rows, values = stage.contents()
    theirs = {"x": 1} if fault == "serialization failure" else {}
    untouched = {name: theirs.get(name, 0) for name in "axyz"}
    done = {**untouched, "a": 11}
    if boundary != UNDONE:
        done |= _SIDE_ROWS.get(fault, {})
    wanted = list(zip(keys, ["first", "x", "y"], strict=False))
    if raised is None:
        if rows == wanted and values == done and hooks == [1]:
            return "right"
        return "LOST" if not rows else "WRONG"
    if not rows and values == untouched and hooks == []:
        return f"error: {type(raised).__name__}"
    return f"{'DOUBT' if values == done else 'WRONG'}: {type(raised).__name__}"


# -- the table


def plain_atomic(isolation: str | None = None) -> Any:
    """Django's own, at an isolation level."""

    @contextlib.contextmanager
    def block() -> Any:
        with transaction.atomic():
            if isolation is not None:
                with connection.cursor() as cursor:
                    cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {isolation}")
            yield

    return block()


def table(stage: Stage, name: str, block: Callable[..., Any]) -> bool:
    """Print one arm; whether all is right."""
    print(f"\n{name}\n\n| fault \\ before | " + " | ".join(BOUNDARIES) + " |")
    print("|---|" + "---|" * len(BOUNDARIES))
    right = True
    for fault in FAULTS:
        cells = [run(stage, block, fault, boundary) for boundary in range(len(BOUNDARIES))]
        right &= all(cell == "right" for cell in cells)
        print(f"| {fault} | " + " | ".join(cells) + " |", flush=True)
    return right


def make_models(database: dict[str, Any]) -> tuple[Any, Any]:
    import django
    from django.conf import settings

    settings.configure(
        DATABASES={"default": database},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        LOGGING_CONFIG=None,
    )
    django.setup()
    from django.db import models

    class Account(models.Model):
        name = models.CharField(max_length=50, unique=True)
        value = models.IntegerField(default=0)

        class Meta:
            app_label = "benchmark"

    class Entry(models.Model):
        text = models.CharField(max_length=50)

        class Meta:
            app_label = "benchmark"

    with connection.schema_editor() as editor:
        editor.create_model(Account)
        editor.create_model(Entry)
    return Account, Entry


def main() -> int:
    import logging

    from stalwart import resilient_transaction
    from workbench.servers.postgres import PostgresServer
    from workbench.servers.proxy import Proxy

    logging.disable(logging.WARNING)
    with PostgresServer(settings={"fsync": "off", "deadlock_timeout": "50ms"}) as server:
        server.wait_ready()
        server.create_database("benchmark")
        with Proxy((server.host, server.port)) as proxy:
            account, entry = make_models(server.django_database("benchmark", port=proxy.port))
            stage = Stage(server, proxy, "benchmark", account, entry)
            table(stage, "transaction.atomic", plain_atomic)
            right = table(stage, "resilient_transaction", resilient_transaction)
            connection.close()
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
