# ruff: noqa: PT012 - what must raise is the end of a block, whatever is in it
"""`COMMIT_MARKER`: a lost COMMIT is settled for certain, also where the transaction's id cannot tell."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import threading
from collections.abc import Callable, Iterator

import psycopg
import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection, connections, transaction
from django.db.backends.signals import connection_created
from django.db.models.functions import Now
from django.test import override_settings
from warehouse.models import Account, Entry

from stalwart import database_retry, resilient_transaction
from stalwart.database.marker import row
from stalwart.database.marker.models import CommitMarker
from stalwart.database.outcome import Outcome, Ticket
from stalwart.events import CommitResolved
from stalwart.exceptions import CommitOutcomeUnknown, ConfigurationError
from stalwart.policies.deadline import Deadline
from stalwart.testing import lose_commit_reply
from workbench.servers.proxy import Proxy

pytestmark = pytest.mark.usefixtures("django_db")

ON = {"DATABASE": {"COMMIT_MARKER": True, "RECONNECT_WITHIN": 60}}


@pytest.fixture(scope="module")
def table(_tables) -> Iterator[None]:
    """The real migration, there and back."""
    call_command("migrate", "stalwart_marker", verbosity=0)
    connections.close_all()
    yield
    call_command("migrate", "stalwart_marker", "zero", verbosity=0)
    connections.close_all()


@pytest.fixture
def marked(table) -> Iterator[None]:
    """The marker on, its table empty."""
    CommitMarker.objects.all().delete()
    with override_settings(STALWART=ON):
        yield


@pytest.fixture(scope="module")
def shared_proxy(postgres) -> Iterator[Proxy]:
    with Proxy((postgres.host, postgres.port)) as running:
        yield running


@pytest.fixture
def proxy(shared_proxy, postgres, marked) -> Iterator[Proxy]:
    settings = connection.settings_dict
    connection.close()
    settings["PORT"] = shared_proxy.port
    connection.ensure_connection()
    yield shared_proxy
    shared_proxy.clear()
    connections["default"].close()
    settings["PORT"] = postgres.port


def lose_reply(proxy: Proxy, *, done: bool, **how: object) -> None:
    """Cut the client at the next COMMIT; `done`: behind it, else before it arrives."""
    if done:
        proxy.add("cut_after_message", message="CommandComplete", tag="COMMIT", before_forwarding=True, **how)
    else:
        proxy.add("cut_after_message", message="Query", sql_prefix="INSERT INTO public.stalwart", stream="upstream",
                  before_forwarding=True, **how)  # fmt: skip


@contextlib.contextmanager
def at_reconnects(*acts: Callable[[], None]) -> Iterator[list[Callable[[], None]]]:
    """One act at each of the next connections that Django opens; yields those that are still to come."""
    left = list(acts)

    def opened(connection, **_: object) -> None:
        if left and connection.alias == "default":
            left.pop(0)()

    connection_created.connect(opened)
    try:
        yield left
    finally:
        connection_created.disconnect(opened)


def resolutions(seen: list[object]) -> list[bool]:
    return [event.committed for event in seen if isinstance(event, CommitResolved)]


@pytest.mark.parametrize("form", ["block", "decorator", "database_retry"])
@pytest.mark.parametrize("done", [True, False], ids=["done", "never arrived"])
def test_a_lost_reply_is_settled(proxy, seen, form, done) -> None:
    """Done or not, as a block or a decorated function: the row is there once, and the hooks run once."""
    hooks: list[int] = []

    def work() -> None:
        Entry.objects.create(text="x")
        transaction.on_commit(lambda: hooks.append(1))
        if not resolutions(seen):
            lose_reply(proxy, done=done)

    if form == "block":
        with resilient_transaction():
            work()
    elif form == "database_retry":
        database_retry(transaction.atomic(work))()
    else:
        resilient_transaction(work)()
    assert (Entry.objects.count(), hooks) == (1, [1])
    assert resolutions(seen) == [done]
    # The one that never arrived has left a row that keeps it away for good.
    assert sorted(CommitMarker.objects.values_list("gone", flat=True)) == ([False] if done else [False, True])


def test_only_what_writes_leaves_a_row(postgres, marked) -> None:
    """One for each transaction that wrote; none for reading, for locking, for a rollback, on SQLite, or when it is off."""
    Account.objects.create(name="a")
    with resilient_transaction():
        Account.objects.count()
        Account.objects.select_for_update().get(name="a")
    with resilient_transaction():
        Entry.objects.create(text="rolled back")
        transaction.set_rollback(True)
    with resilient_transaction("lite"):
        Entry.objects.using("lite").create(text="x")
    with override_settings(STALWART={}), resilient_transaction():
        Entry.objects.create(text="off")
    assert CommitMarker.objects.count() == 0
    with resilient_transaction():
        Entry.objects.create(text="x")
        with contextlib.suppress(ZeroDivisionError), resilient_transaction():
            Entry.objects.create(text="y")
            raise ZeroDivisionError
    assert list(CommitMarker.objects.values_list("gone", flat=True)) == [False]


def test_inside_a_test_case_it_is_a_savepoint(postgres, marked) -> None:
    """Where Django's TestCase holds the transaction there is no COMMIT, and no row."""
    around = transaction.atomic()
    around._from_testcase = True
    with around:
        with resilient_transaction():
            Entry.objects.create(text="x")
        assert (Entry.objects.count(), CommitMarker.objects.count()) == (1, 0)
        transaction.set_rollback(True)


def test_a_commit_that_is_still_running_is_waited_for(postgres, proxy, seen) -> None:
    """The insert of the same key waits for a deferred trigger inside COMMIT; then it is committed, once."""
    with postgres.connect("library") as admin:
        admin.execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN PERFORM pg_sleep(0.1); RETURN NULL; END';"
            "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON warehouse_entry DEFERRABLE INITIALLY DEFERRED "
            "FOR EACH ROW EXECUTE FUNCTION slow()"
        )
    try:
        with resilient_transaction():
            Entry.objects.create(text="x")
            proxy.add("cut_after_message", message="Query", sql_prefix="INSERT INTO public.stalwart", stream="upstream",
                      partition=True)  # fmt: skip
    finally:
        with postgres.connect("library") as admin:
            admin.execute("DROP TRIGGER slow ON warehouse_entry; DROP FUNCTION slow()")
    assert Entry.objects.count() == 1
    assert resolutions(seen) == [True]


def test_a_session_that_holds_the_key_is_ended(postgres, marked) -> None:
    """It has sent the row and hangs before COMMIT: after a moment it is ended by its transaction id, and nothing is written."""
    key = row.new_key()
    with postgres.connect("library", user="app", autocommit=False) as hanging:
        [xid] = hanging.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()
        hanging.execute("INSERT INTO warehouse_entry (text) VALUES ('x')")
        hanging.execute("INSERT INTO stalwart_commit_marker (key) VALUES (%s)", [key])
        ticket = Ticket(xid, hanging.info.backend_pid, "")
        connection.ensure_connection()
        found = row.resolve(connection, row.find(connection), key, ticket, Deadline.after(30))
        assert found is Outcome.ABORTED
        with pytest.raises(psycopg.OperationalError):
            hanging.execute("COMMIT")
    assert Entry.objects.count() == 0


def test_a_commit_that_arrives_late_fails(postgres, marked) -> None:
    """Once it was found not to be there it can never be: the message that was under way meets our row, and writes nothing."""
    key = row.new_key()
    connection.ensure_connection()
    with postgres.connect("library", user="app", autocommit=False) as late:
        late.execute("INSERT INTO warehouse_entry (text) VALUES ('x')")
        table, ticket = row.find(connection), Ticket(1, 0, "")
        for _ in range(2):  # asked again, as after a lost answer, it says the same
            assert row.resolve(connection, table, key, ticket, Deadline.after(30)) is Outcome.ABORTED
        with pytest.raises(psycopg.errors.UniqueViolation):
            psycopg.ClientCursor(late).execute(f"INSERT INTO {table} (key) VALUES ('{key}'); COMMIT")
        late.rollback()
    assert Entry.objects.count() == 0


@pytest.mark.parametrize("marker", [True, False], ids=["marker", "id alone"])
def test_after_a_crash_that_lost_the_commit(postgres, proxy, seen, marker) -> None:
    """COMMIT was done and never reached the disk, and its id is another's by now: replayed. By the id alone: unknown."""
    with postgres.connect() as admin:
        admin.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
        admin.execute("SELECT pg_reload_conf()")
        victim = postgres.connect()
    xids: list[int] = []

    def crash() -> None:
        postgres.kill_backend(victim.info.backend_pid)
        postgres.wait_ready()
        with postgres.connect("library") as other:
            while len(xids) < 2 or xids[-1] < xids[0]:
                [xid] = other.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()
                xids.append(xid)

    try:
        expected = contextlib.nullcontext() if marker else pytest.raises(CommitOutcomeUnknown)
        plain = {"DATABASE": {"COMMIT_MARKER": marker, "RECONNECT_WITHIN": 60}}
        with override_settings(STALWART=plain), expected, at_reconnects(crash), resilient_transaction(), connection.cursor() as cursor:  # fmt: skip
            cursor.execute("SET LOCAL synchronous_commit = off")
            Entry.objects.create(text="x")
            sql = "SELECT pg_current_xact_id()::text::bigint"  # past the log: the replay has another one
            xids.extend(connection.connection.execute(sql).fetchone())
            lose_reply(proxy, done=True)
    finally:
        with contextlib.suppress(psycopg.OperationalError):
            victim.close()
        with postgres.connect() as admin:
            admin.execute("ALTER SYSTEM RESET wal_writer_delay")
            admin.execute("SELECT pg_reload_conf()")
    assert xids[1] <= xids[0] <= xids[-1], "the crash did not lose the id, so this shows nothing"
    assert resolutions(seen) == ([False] if marker else [])
    assert Entry.objects.count() == (1 if marker else 0)


@pytest.mark.parametrize("marker", [True, False], ids=["marker", "id alone"])
def test_after_a_promotion(postgres, proxy, seen, marker) -> None:
    """A standby with another time line takes over: the id is not trusted any more, the row is there."""

    def become_standby() -> None:
        postgres.kill()
        (postgres.data_dir / "standby.signal").touch()
        postgres.start()

    def promote() -> None:
        with postgres.connect() as admin:
            assert admin.execute("SELECT pg_is_in_recovery(), pg_promote()").fetchone() == (True, True)

    acts = [become_standby, promote] if marker else [become_standby]
    expected = contextlib.nullcontext() if marker else pytest.raises(CommitOutcomeUnknown)
    plain = {"DATABASE": {"COMMIT_MARKER": marker, "RECONNECT_WITHIN": 60}}
    with override_settings(STALWART=plain), expected, at_reconnects(*acts) as left, resilient_transaction():
        Entry.objects.create(text="x")
        lose_reply(proxy, done=True)
    assert left == []
    if not marker:
        promote()
    assert resolutions(seen) == ([True] if marker else [])
    assert Entry.objects.count() == 1


@pytest.mark.parametrize("done", [True, False], ids=["done", "never arrived"])
def test_a_loss_while_asking_is_asked_again(postgres, proxy, seen, done) -> None:
    """The connection that asks is cut behind its own COMMIT: its row is not taken for that of the transaction."""

    def cut_again() -> None:
        proxy.clear()
        proxy.add("cut_after_message", message="CommandComplete", tag="COMMIT", before_forwarding=True)

    with at_reconnects(cut_again, proxy.clear) as left, resilient_transaction():
        Entry.objects.create(text="x")
        lose_reply(proxy, done=done)
    assert left == []
    assert resolutions(seen) == [done]
    assert Entry.objects.count() == 1


@pytest.mark.parametrize("committed", [True, False])
def test_the_faults_of_users_tests_reach_it(marked, seen, committed) -> None:
    """COMMIT with its row is still sent by the method of Django's that `stalwart.testing` stands at."""
    with lose_commit_reply(committed=committed, even_on="library"), resilient_transaction():
        Entry.objects.create(text="x")
    assert Entry.objects.count() == 1
    assert resolutions(seen) == [committed]


@override_settings(STALWART={"DATABASE": {"COMMIT_MARKER": True, "RECONNECT_WITHIN": 0.3}})
def test_without_a_connection_it_is_unknown(proxy) -> None:
    """Nobody can be asked: CommitOutcomeUnknown, and no guess."""
    with pytest.raises(CommitOutcomeUnknown), resilient_transaction():
        Entry.objects.create(text="x")
        lose_reply(proxy, done=True)
        proxy.add("refuse")
    proxy.clear()
    assert Entry.objects.count() == 1


def test_the_tables_place_is_known_whatever_the_body_does_to_the_search_path(postgres, marked) -> None:
    """A search path of the transaction's own does not hide the table at COMMIT."""
    with resilient_transaction():
        Entry.objects.create(text="x")
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL search_path = pg_temp")
    assert (Entry.objects.count(), CommitMarker.objects.count()) == (1, 1)


def test_a_role_that_may_not_write_the_row_is_told(postgres, marked) -> None:
    """A role that the body takes on cannot insert: the database's error says so, with a note, and nothing is written."""
    with postgres.connect("library") as admin:
        admin.execute("CREATE ROLE tenant; GRANT tenant TO app; GRANT INSERT ON warehouse_entry TO tenant")
    try:
        with pytest.raises(ProgrammingError) as caught, resilient_transaction():
            Entry.objects.create(text="x")
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL ROLE tenant")
        assert "needs INSERT" in caught.value.__notes__[-1]
        assert Entry.objects.count() == 0
    finally:
        connection.close()
        with postgres.connect("library") as admin:
            admin.execute("DROP OWNED BY tenant; DROP ROLE tenant")


@override_settings(STALWART=ON)
def test_without_its_table_the_first_write_says_so(postgres, table) -> None:
    """Before the statement is sent, not at COMMIT; reading goes on, and a table that comes is found by the same connection."""
    connection.close()
    with postgres.connect("library") as admin:
        admin.execute("ALTER TABLE stalwart_commit_marker RENAME TO hidden")
    try:
        with resilient_transaction():
            assert Entry.objects.count() == 0
        for writes in (
            lambda: Entry.objects.create(text="x"),
            lambda: connection.cursor().copy("COPY warehouse_entry (text) FROM STDIN"),
        ):
            with pytest.raises(ConfigurationError, match="migrate stalwart_marker --database=default"), resilient_transaction():  # fmt: skip
                writes()
        with pytest.raises(ConfigurationError, match="migrate stalwart_marker"):
            database_retry(transaction.atomic(lambda: Entry.objects.create(text="x")))()
    finally:
        with postgres.connect("library") as admin:
            admin.execute("ALTER TABLE hidden RENAME TO stalwart_commit_marker")
    with resilient_transaction():
        Entry.objects.create(text="x")
    assert Entry.objects.count() == 1


def test_the_app_must_be_installed() -> None:
    """The system check: the setting without the app is an error."""
    apps = ["stalwart", "warehouse"]
    with override_settings(STALWART=ON):
        assert [message.id for message in run_checks()] == []
        with override_settings(INSTALLED_APPS=apps):
            assert [message.id for message in run_checks()] == ["stalwart.E020"]
    with override_settings(INSTALLED_APPS=apps):
        assert [message.id for message in run_checks()] == []


def test_the_migration_is_that_of_the_model(table) -> None:
    """No change of the model is without a migration."""
    call_command("makemigrations", "stalwart_marker", check=True, dry_run=True, verbosity=0)


def test_keys_grow_with_time_and_are_nobodys_twice() -> None:
    """Later ones are greater, so that the index grows at its end; many threads make no key twice."""
    assert row.new_key(1) < row.new_key(2) < row.new_key()
    keys: list[object] = []
    threads = [
        threading.Thread(target=lambda: keys.extend(row.new_key(7) for _ in range(500))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(keys)) == 2000


def test_pruning_deletes_what_is_old_by_key_and_by_the_servers_clock(postgres, marked) -> None:
    """Old rows go; a new one stays also when the client that made its key had a clock of the past."""
    old, day = Now() - dt.timedelta(days=2), 86_400_000
    made = row.new_key().int >> 80
    CommitMarker.objects.create(key=row.new_key(made - 2 * day), created=old)
    CommitMarker.objects.create(key=row.new_key(made - 2 * day), created=Now())
    CommitMarker.objects.create(key=row.new_key(), created=Now())
    said = io.StringIO()
    call_command("prune_commit_markers", stdout=said)
    assert said.getvalue() == "1 commit markers deleted from default\n"
    assert CommitMarker.objects.count() == 2
    with pytest.raises(CommandError, match="600"):
        call_command("prune_commit_markers", older_than=5)
