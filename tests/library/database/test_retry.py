"""`database_retry` against real faults of a real PostgreSQL, and of SQLite."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import (
    DatabaseError,
    IntegrityError,
    InternalError,
    OperationalError,
    connection,
    connections,
    transaction,
)
from django.db.models import F
from django.test import TestCase, override_settings
from warehouse.models import Account, Entry

from stalwart import database_retry, resilient_transaction
from stalwart.database.classification import ErrorClass
from stalwart.events import ConnectionRestored, OutcomeUnknown, RetryGivenUp, RetryScheduled
from stalwart.exceptions import CommitOutcomeUnknown, ConfigurationError, RetryInsideTransaction

pytestmark = pytest.mark.usefixtures("django_db")


def backend_pid() -> int:
    connection.ensure_connection()
    return connection.connection.info.backend_pid


def terminate_own_backend(postgres) -> None:
    assert backend_pid() in postgres.terminate_backends("library")


def run_sql(sql: str, *params: object) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall() if cursor.description else []


def test_read_after_idle_session_was_terminated_is_repeated(postgres, seen) -> None:
    """A read on a session that the server ended while it was idle is made again, on a new connection."""
    Account.objects.create(name="a", value=7)
    terminate_own_backend(postgres)
    calls = []

    @database_retry
    def read() -> int:
        calls.append(1)
        return Account.objects.get(name="a").value

    assert read() == 7
    assert len(calls) == 2
    assert [type(event) for event in seen] == [RetryScheduled, ConnectionRestored]
    assert seen[0].code == "57P01"


def test_write_after_idle_session_was_terminated_is_repeated(postgres) -> None:
    """A write in autocommit mode is made again when the session was dead before it was sent, and is there once."""
    Account.objects.count()
    terminate_own_backend(postgres)
    database_retry(Entry.objects.create)(text="once")
    assert Entry.objects.count() == 1


@pytest.mark.parametrize("fault", ["terminate", "kill backend", "kill server"])
def test_fault_inside_atomic_is_repeated(postgres, fault) -> None:
    """A session lost in the middle of a transaction costs nothing: the call is made again and its rows are there once."""
    calls = []

    @database_retry
    def order() -> None:
        calls.append(1)
        with transaction.atomic():
            Entry.objects.create(text="first")
            if len(calls) == 1:
                hurt(postgres, fault)
            Entry.objects.create(text="second")

    order()
    assert len(calls) == 2
    assert list(Entry.objects.order_by("id").values_list("text", flat=True)) == ["first", "second"]


def hurt(postgres, fault: str) -> None:
    if fault == "terminate":
        terminate_own_backend(postgres)
    elif fault == "kill backend":
        postgres.kill_backend(backend_pid())
    else:
        postgres.kill()
        postgres.start()


def test_statement_running_when_terminated_is_repeated(postgres, poll) -> None:
    """A read that runs while its session is ended is made again."""
    calls = []

    @database_retry
    def slow_read() -> list[tuple]:
        calls.append(1)
        return run_sql("SELECT pg_sleep(%s)", 30 if len(calls) == 1 else 0)

    def terminate() -> None:
        with postgres.connect() as admin:
            poll(
                lambda: admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"
                ).fetchall()
            )

    with ThreadPoolExecutor() as pool:
        future = pool.submit(terminate)
        slow_read()
        future.result()
    assert len(calls) == 2


def test_write_in_autocommit_lost_in_flight_is_unknown(postgres, poll, seen) -> None:
    """A write in autocommit mode whose session dies under it raises CommitOutcomeUnknown and is not repeated."""
    calls = []

    @database_retry
    def slow_write() -> None:
        calls.append(1)
        run_sql("INSERT INTO warehouse_entry (text) SELECT 'x' FROM pg_sleep(30)")

    def kill() -> None:
        with postgres.connect() as admin:
            pids = poll(
                lambda: admin.execute(
                    "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'INSERT INTO warehouse_entry%'"
                ).fetchall()
            )
        postgres.kill_backend(pids[0][0])

    with ThreadPoolExecutor() as pool:
        future = pool.submit(kill)
        with pytest.raises(CommitOutcomeUnknown) as caught:
            slow_write()
        future.result()
    assert len(calls) == 1
    assert (caught.value.alias, caught.value.during) == ("default", "INSERT")
    assert isinstance(caught.value.__cause__, OperationalError)
    assert isinstance(seen[-1], OutcomeUnknown)


def test_whole_server_restart_is_survived_by_one_call(postgres, seen) -> None:
    """A call that begins while the server is down waits for it and succeeds, in two calls."""
    Account.objects.create(name="a", value=3)
    postgres.kill()
    back = threading.Timer(0.3, postgres.start)
    back.start()
    calls = []

    @database_retry
    def read() -> int:
        calls.append(1)
        return Account.objects.get(name="a").value

    try:
        assert read() == 3
    finally:
        back.join()
    assert len(calls) == 2
    restored = next(event for event in seen if isinstance(event, ConnectionRestored))
    assert restored.attempts > 1


@override_settings(STALWART={"DATABASE": {"RECONNECT_WITHIN": 0.1}})
def test_server_that_stays_down_ends_in_the_database_error(postgres, seen) -> None:
    """When no usable connection comes in time, the database's own error is raised, with a note on what was tried."""
    postgres.kill()
    connection.close()
    calls = []

    @database_retry
    def read() -> int:
        calls.append(1)
        return Account.objects.count()

    with pytest.raises(OperationalError) as caught:
        read()
    assert len(calls) == 1
    assert "no usable connection to 'default'" in caught.value.__notes__[0]
    assert isinstance(seen[-1], RetryGivenUp)


def test_wrong_password_is_not_waited_for(postgres) -> None:
    """An error while connecting that no waiting heals is raised after one call."""
    connection.close()
    calls = []

    @database_retry
    def read() -> int:
        calls.append(1)
        return Account.objects.count()

    right = connection.settings_dict["PASSWORD"]
    connection.settings_dict["PASSWORD"] = "wrong"
    try:
        with pytest.raises(OperationalError, match="password"):
            read()
    finally:
        connection.settings_dict["PASSWORD"] = right
    assert len(calls) == 1


def test_deadlock_is_repeated() -> None:
    """Of two transactions that lock each other out, the victim is run again and both take effect."""
    Account.objects.bulk_create([Account(name="a"), Account(name="b")])
    meet = threading.Barrier(2)
    calls = []

    @database_retry
    def move(first: str, second: str) -> None:
        calls.append(first)
        with transaction.atomic():
            Account.objects.filter(name=first).update(value=F("value") + 1)
            if len(calls) <= 2:
                meet.wait(10)
            Account.objects.filter(name=second).update(value=F("value") + 1)

    def other() -> None:
        try:
            move("b", "a")
        finally:
            connections.close_all()

    thread = threading.Thread(target=other)
    thread.start()
    move("a", "b")
    thread.join()
    assert len(calls) == 3
    assert list(Account.objects.values_list("value", flat=True)) == [2, 2]


def test_serialization_failure_at_commit_is_repeated(postgres) -> None:
    """A COMMIT that the server refuses with 40001 was surely not done: the call is made again."""
    Account.objects.bulk_create([Account(name="a", value=1), Account(name="b", value=1)])
    calls = []

    @database_retry
    def withdraw() -> None:
        calls.append(1)
        with transaction.atomic():
            run_sql("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
            total = sum(Account.objects.values_list("value", flat=True))
            if len(calls) == 1:
                interfere(postgres)
            Account.objects.filter(name="a").update(value=total)

    withdraw()
    assert len(calls) == 2
    assert Account.objects.get(name="a").value == 10


def interfere(postgres) -> None:
    """A serializable transaction that read what the other writes, and wrote what it read."""
    with postgres.connect("library", autocommit=False) as other:
        other.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        other.execute("SELECT sum(value) FROM warehouse_account")
        other.execute("UPDATE warehouse_account SET value = 9 WHERE name = 'b'")
        other.commit()


def test_deferred_unique_violation_at_commit_is_raised_as_it_is(postgres) -> None:
    """A COMMIT refused with 23505 is a definite error: no repeat, no unknown outcome."""
    run_sql("ALTER TABLE warehouse_entry ADD CONSTRAINT one UNIQUE (text) DEFERRABLE INITIALLY DEFERRED")
    calls = []

    @database_retry
    def twice() -> None:
        calls.append(1)
        with transaction.atomic():
            Entry.objects.create(text="same")
            Entry.objects.create(text="same")

    try:
        with pytest.raises(IntegrityError):
            twice()
    finally:
        run_sql("ALTER TABLE warehouse_entry DROP CONSTRAINT one")
    assert len(calls) == 1


def test_lock_timeout_is_repeated(postgres) -> None:
    """A row that is locked for a while is waited for, over several calls."""
    Account.objects.create(name="a")
    calls = []
    with postgres.connect("library", autocommit=False) as other:
        other.execute("UPDATE warehouse_account SET value = 5")

        @database_retry
        def write() -> None:
            calls.append(1)
            if len(calls) == 2:
                other.rollback()
            with transaction.atomic():
                run_sql("SET LOCAL lock_timeout = '20ms'")
                Account.objects.update(value=1)

        write()
    assert len(calls) == 2


def test_statement_timeout_is_never_repeated() -> None:
    """A statement that took too long would take too long again: one call."""
    calls = []

    @database_retry
    def slow() -> None:
        calls.append(1)
        with transaction.atomic():
            run_sql("SET LOCAL statement_timeout = '20ms'")
            run_sql("SELECT pg_sleep(5)")

    with pytest.raises(OperationalError, match="statement timeout"):
        slow()
    assert len(calls) == 1


def test_read_only_server_is_repeated_on_a_new_connection(postgres) -> None:
    """A session on a server that only reads is replaced, and the call made again, once the server takes writes."""
    run_sql("ALTER DATABASE library SET default_transaction_read_only = on")
    connection.close()
    calls = []

    @database_retry
    def write() -> None:
        calls.append(1)
        if len(calls) == 1:
            connection.ensure_connection()
            with postgres.connect("postgres") as admin:
                admin.execute("ALTER DATABASE library RESET default_transaction_read_only")
        Entry.objects.create(text="x")

    write()
    assert len(calls) == 2
    assert Entry.objects.count() == 1


def test_read_only_error_is_an_internal_error_of_django() -> None:
    """Django's class of the error does not matter: 25006 arrives as InternalError and is of the class role."""
    calls = []

    @database_retry(max_retries=1)
    def write() -> None:
        calls.append(1)
        with transaction.atomic():
            run_sql("SET TRANSACTION READ ONLY")
            Entry.objects.create(text="x")

    with pytest.raises(InternalError):
        write()
    assert len(calls) == 2


def test_idle_in_transaction_timeout_is_repeated(poll, postgres) -> None:
    """A session that the server ended for idling inside a transaction (25P03) is replaced and the call made again."""
    calls = []

    @database_retry
    def idle() -> None:
        calls.append(1)
        with transaction.atomic():
            if len(calls) == 1:
                run_sql("SET LOCAL idle_in_transaction_session_timeout = '10ms'")
                pid = backend_pid()
                poll(lambda: pid not in postgres.backends("library"))
            Entry.objects.create(text="x")

    idle()
    assert len(calls) == 2
    assert Entry.objects.count() == 1


def test_failing_on_commit_hook_is_not_repeated(seen) -> None:
    """A hook that fails after the commit must not make three copies of the rows: one call, one row."""
    calls = []

    def hook() -> None:
        raise OperationalError("server closed the connection unexpectedly")

    @database_retry
    def write() -> None:
        calls.append(1)
        with transaction.atomic():
            transaction.on_commit(hook)
            Entry.objects.create(text="x")

    with pytest.raises(OperationalError):
        write()
    assert len(calls) == 1
    assert Entry.objects.count() == 1


def test_hook_whose_query_fails_is_not_repeated(postgres) -> None:
    """A real lost connection inside an on_commit hook is no reason to run the committed call again."""
    calls = []

    def hook() -> None:
        terminate_own_backend(postgres)
        Account.objects.count()

    @database_retry
    def write() -> None:
        calls.append(1)
        with transaction.atomic():
            Entry.objects.create(text="x")
            transaction.on_commit(hook)

    with pytest.raises(OperationalError):
        write()
    assert len(calls) == 1
    assert Entry.objects.count() == 1


@pytest.mark.parametrize("first", ["atomic", "autocommit"])
def test_call_that_committed_something_is_not_repeated(postgres, first) -> None:
    """After a first write is committed, a later failure is raised with a note instead of writing the first again."""
    calls = []

    @database_retry
    def write() -> None:
        calls.append(1)
        if first == "atomic":
            with transaction.atomic():
                Entry.objects.create(text="first")
        else:
            Entry.objects.create(text="first")
        terminate_own_backend(postgres)
        Account.objects.count()

    with pytest.raises(OperationalError) as caught:
        write()
    assert len(calls) == 1
    assert "already committed" in caught.value.__notes__[0]
    assert Entry.objects.count() == 1


def test_write_of_a_rolled_back_savepoint_does_not_count_as_committed(postgres) -> None:
    """A write that was rolled back with its savepoint leaves the call free to be repeated."""
    calls = []

    @database_retry
    def write() -> None:
        calls.append(1)
        with transaction.atomic(), contextlib.suppress(ZeroDivisionError), transaction.atomic():
            Entry.objects.create(text="undone")
            1 / 0  # noqa: B018  rolls the savepoint back
        if len(calls) == 1:
            terminate_own_backend(postgres)
        Account.objects.count()

    write()
    assert len(calls) == 2
    assert Entry.objects.count() == 0


def test_error_swallowed_inside_atomic_is_no_unknown_outcome(postgres) -> None:
    """A COMMIT on a connection that a statement had lost before never reached the server: the call is repeated."""
    calls = []

    @database_retry
    def write() -> None:
        calls.append(1)
        with transaction.atomic():
            Entry.objects.create(text="x")
            if len(calls) == 1:
                terminate_own_backend(postgres)
                with contextlib.suppress(DatabaseError):
                    Account.objects.count()
                connection.needs_rollback = False

    write()
    assert len(calls) == 2
    assert Entry.objects.count() == 1


@contextlib.contextmanager
def autocommit_off():
    transaction.set_autocommit(False)
    try:
        yield
    finally:
        transaction.set_autocommit(True)


@pytest.mark.parametrize("somebody_elses", [transaction.atomic, autocommit_off])
def test_inside_an_outer_transaction_the_call_is_refused(somebody_elses) -> None:
    """Inside somebody else's transaction a repeat cannot succeed: the call is refused before it begins, with the way out."""
    calls = []

    @database_retry
    def read() -> None:
        calls.append(1)

    with somebody_elses(), pytest.raises(RetryInsideTransaction, match="outermost function") as caught:
        read()
    assert calls == []
    assert caught.value.alias == "default"


def test_inside_a_transaction_on_another_database_the_call_is_made() -> None:
    """A function that names its database may be called inside a transaction on another one."""

    @database_retry(using="default")
    def read() -> int:
        return Account.objects.count()

    with transaction.atomic(using="lite"):
        assert read() == 0


def test_inside_a_layer_of_ours_the_call_passes_straight_through(postgres) -> None:
    """Inside a decorated function's own block, or a resilient one, the outer layer repeats, so that the inner call is made."""
    calls = []

    @database_retry
    def inner() -> None:
        calls.append(1)
        if len(calls) == 1:
            terminate_own_backend(postgres)
        Entry.objects.create(text="x")

    @database_retry
    def outer() -> None:
        with transaction.atomic():
            Account.objects.count()
            inner()

    outer()
    assert len(calls) == 2
    with resilient_transaction():
        inner()
    assert Entry.objects.count() == 2


class InATestCase(TestCase):
    """Not collected by itself: run by the test below."""

    __test__ = False

    def runTest(self) -> None:
        @database_retry
        def write() -> None:
            with transaction.atomic():
                Entry.objects.create(text="x")

        write()
        assert Entry.objects.count() == 1
        with pytest.raises(RetryInsideTransaction), transaction.atomic():
            write()


def test_in_a_django_testcase_the_call_is_made() -> None:
    """The transaction that TestCase wraps around each test is none that the code has opened; one inside it is."""
    result = InATestCase().run()
    assert result is not None
    assert result.wasSuccessful(), result.errors + result.failures


def test_nested_decorators_make_at_most_n_plus_one_calls() -> None:
    """Three decorators of three repeats each make four calls of a function that always fails, not sixty-four."""
    calls = []

    @database_retry(max_retries=3, delay=0)
    @database_retry(max_retries=3, delay=0)
    @database_retry(max_retries=3, delay=0)
    def always() -> None:
        calls.append(1)
        with transaction.atomic():
            run_sql("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$")

    with pytest.raises(OperationalError) as caught:
        always()
    assert len(calls) == 4
    assert len(caught.value.__notes__) == 1
    assert "Calls: 4" in caught.value.__notes__[0]


def test_given_up_survives_being_wrapped() -> None:
    """An error that wraps one that an inner layer gave up on is not repeated by an outer one."""
    calls = []

    @database_retry(max_retries=1, delay=0)
    def inner() -> None:
        calls.append(1)
        run_sql("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40P01'; END $$")

    @database_retry(max_retries=1, delay=0, on=LookupError)
    def outer() -> None:
        try:
            inner()
        except DatabaseError as error:
            raise LookupError from error

    with pytest.raises(LookupError):
        outer()
    assert len(calls) == 2


def test_errors_handled_by_the_caller_do_not_count(postgres) -> None:
    """What the caller was handling when it called is in every error's context, and is not taken for a failure of ours."""
    calls = []

    @database_retry
    def fails() -> None:
        calls.append(1)
        raise LookupError("none of the database's business")

    try:
        run_sql("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$")
    except OperationalError:
        with pytest.raises(LookupError):
            fails()
    assert len(calls) == 1


def test_handled_unique_violation_does_not_hide_a_lost_connection(postgres) -> None:
    """An IntegrityError that the function handled lies in the context of the later failure and does not replace it."""
    Account.objects.create(name="a", value=4)
    calls = []

    @database_retry
    def get_or_make() -> int:
        calls.append(1)
        try:
            with transaction.atomic():
                Account.objects.create(name="a")
        except IntegrityError:
            if len(calls) == 1:
                terminate_own_backend(postgres)
            return Account.objects.get(name="a").value

    assert get_or_make() == 4
    assert len(calls) == 2


def test_unique_violation_is_repeated_only_on_request() -> None:
    """on=ErrorClass.CONDITIONAL makes a taken key a reason to run again; without it there is one call."""
    Account.objects.create(name="a")
    calls = []

    def take() -> str:
        calls.append(1)
        with transaction.atomic():
            name = "a" if len(calls) == 1 else "b"
            return Account.objects.create(name=name).name

    with pytest.raises(IntegrityError):
        database_retry(take)()
    calls.clear()
    assert database_retry(on=ErrorClass.CONDITIONAL)(take)() == "b"
    assert len(calls) == 2


def test_own_exception_types_can_be_added() -> None:
    """on=SomeError repeats for exceptions that are none of the database's."""
    calls = []

    @database_retry(on=ConnectionResetError, delay=0)
    def flaky() -> int:
        calls.append(1)
        if len(calls) < 3:
            raise ConnectionResetError
        return len(calls)

    assert flaky() == 3


def test_base_exceptions_are_never_repeated() -> None:
    """KeyboardInterrupt ends the call at once, whatever `on` says."""
    calls = []

    @database_retry(on=Exception)
    def interrupted() -> None:
        calls.append(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(calls) == 1


def test_too_many_parameters_is_a_mistake_not_an_outage() -> None:
    """psycopg's code-less OperationalError on a healthy connection is not taken for a lost one."""
    calls = []

    @database_retry
    def huge() -> None:
        calls.append(1)
        connection.ensure_connection()
        with connection.wrap_database_errors:
            connection.connection.execute(f"SELECT {', '.join(['%s'] * 66_000)}", range(66_000))

    with pytest.raises(OperationalError):
        huge()
    assert len(calls) == 1


@pytest.mark.parametrize("setting", [{"ENABLED": False}, {"DATABASE": {"ENABLED": False}}])
def test_off_calls_straight_through(postgres, setting) -> None:
    """Switched off, as a whole or by part, a failure is raised at the first call, without a note."""
    Account.objects.count()
    terminate_own_backend(postgres)
    calls = []

    @database_retry
    def read() -> None:
        calls.append(1)
        Account.objects.count()

    with override_settings(STALWART=setting), pytest.raises(OperationalError) as caught:
        read()
    assert len(calls) == 1
    assert not hasattr(caught.value, "__notes__")
    connection.close()
    read()
    assert len(calls) == 2


def test_generators_and_non_functions_are_refused() -> None:
    """What cannot be repeated is refused when it is decorated, with the next step."""

    def generator():
        yield 1

    async def asynchronous_generator():
        yield 1

    for refused in (generator, asynchronous_generator):
        with pytest.raises(TypeError, match="chunk_queryset"):
            database_retry(refused)
    with pytest.raises(TypeError, match="below it"):
        database_retry(classmethod(lambda cls: None))
    with pytest.raises(TypeError, match="decorates functions"):
        database_retry(Account)
    for arguments in (
        {"max_retries": -1},
        {"delay": -1},
        {"backoff": 0.5},
        {"on": "40001"},
        {"max_retries": True},
        {"delay": "0.1"},
        {"delay": None},
        {"on": 7},
        {"using": 7},
        {"using": []},
    ):
        with pytest.raises(ConfigurationError):
            database_retry(**arguments)


def test_decorated_function_keeps_its_name_and_arguments() -> None:
    """The decorator hands arguments and result through and keeps the function's name."""

    @database_retry(max_retries=1)
    def add(a: int, *, b: int = 2) -> int:
        """Adds."""
        return a + b

    assert add(1, b=3) == 4
    assert (add.__name__, add.__doc__) == ("add", "Adds.")


def test_connections_of_the_other_alias_are_left_alone(postgres) -> None:
    """With using="lite" a failure of "default" is raised as it is: what the call did there was not watched."""
    Account.objects.count()
    terminate_own_backend(postgres)
    calls = []

    @database_retry(using="lite", max_retries=1, delay=0)
    def read() -> None:
        calls.append(1)
        Account.objects.count()

    with pytest.raises(OperationalError):
        read()
    assert len(calls) == 1
    connection.close()


def test_a_loss_that_the_call_got_over_excuses_no_later_one(postgres, monkeypatch) -> None:
    """A call that caught a loss and connected anew, then committed and met a loss while leaving its block, is not repeated."""
    calls = []

    @database_retry
    def write() -> None:
        calls.append(1)
        Account.objects.count()
        terminate_own_backend(postgres)
        with contextlib.suppress(OperationalError):
            Account.objects.count()
        connection.close()
        with transaction.atomic():
            Entry.objects.create(text="x")

            def fail(*args: object, **kwargs: object) -> None:
                # COMMIT is done; Django puts autocommit back on, and meets a session that is gone.
                monkeypatch.undo()
                terminate_own_backend(postgres)
                with connection.wrap_database_errors:
                    connection.connection.execute("SELECT 1")

            monkeypatch.setattr(connections["default"], "_set_autocommit", fail)

    with pytest.raises(OperationalError):
        write()
    connection.close()
    assert Entry.objects.count() == 1
    assert len(calls) == 1
