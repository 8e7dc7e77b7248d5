"""The server is down, silent, or no primary any more."""

from __future__ import annotations

import pytest
from django.db import InternalError, OperationalError, connection, connections, transaction
from django.test import override_settings
from warehouse.models import Entry

from stalwart import database_retry, resilient_transaction
from stalwart.events import ConnectionRestored
from stalwart.exceptions import ConfigurationError
from stalwart.testing import FaultDidNotBite, blackhole, demote, refuse_connections


def write() -> None:
    with transaction.atomic():
        Entry.objects.create(text="x")


def test_plain_django_is_refused() -> None:
    """The open session is ended, a new one is refused by the operating system, and afterwards all is well."""
    Entry.objects.count()
    with refuse_connections() as fault:
        with pytest.raises(OperationalError):
            Entry.objects.count()
        connection.close()
        with pytest.raises(OperationalError, match="refused"):
            Entry.objects.count()
    assert fault.bites == 1
    assert Entry.objects.count() == 0


@pytest.mark.parametrize("how", ["retry", "block"])
def test_stalwart_waits_until_the_server_is_back(seen, how) -> None:
    """Three attempts are refused, by whomever they are made (leaving `atomic` makes one), the fourth is the one."""
    Entry.objects.count()
    with refuse_connections(times=3) as fault:
        if how == "retry":
            database_retry(delay=0)(write)()
        else:
            with resilient_transaction():
                Entry.objects.create(text="x")
    assert fault.bites == 3
    assert Entry.objects.count() == 1
    assert [type(event) for event in seen].count(ConnectionRestored) == 1


def test_an_outage_may_have_a_length() -> None:
    """It is over by itself."""
    with refuse_connections(seconds=0.3) as fault:
        database_retry(delay=0)(write)()
    assert fault.bites >= 1
    assert Entry.objects.count() == 1


@override_settings(STALWART={"DATABASE": {"RECONNECT_WITHIN": 0.2}})
def test_an_outage_that_is_too_long_is_the_databases_error() -> None:
    """After RECONNECT_WITHIN, with a note; nothing is written."""
    Entry.objects.count()
    with pytest.raises(OperationalError) as caught, refuse_connections():
        database_retry(delay=0)(write)()
    assert any("no usable connection" in note for note in caught.value.__notes__)
    assert Entry.objects.count() == 0


def test_hooks_of_others_are_not_in_the_way(monkeypatch) -> None:
    """A connection object whose `get_new_connection` somebody replaced, keeping the one that was there, is refused, too."""
    kept = connection.get_new_connection
    monkeypatch.setattr(connection, "get_new_connection", lambda params: kept(params))
    with pytest.raises(OperationalError, match="refused"), refuse_connections():
        Entry.objects.count()


def test_open_sessions_may_stay() -> None:
    """end_sessions=False: code that has a connection goes on with it, and the fault does not bite."""
    Entry.objects.count()
    with (
        pytest.raises(FaultDidNotBite, match="Nobody tried to connect"),
        refuse_connections(end_sessions=False),
    ):
        write()
    assert Entry.objects.count() == 1


def test_a_black_hole_takes_the_drivers_timeout(monkeypatch) -> None:
    """Two seconds of silence, then the driver gives up by itself; database_retry tries again and gets through."""
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "connect_timeout", 1)
    Entry.objects.count()
    with blackhole() as fault:
        database_retry(delay=0)(write)()
    assert fault.bites == 1
    assert Entry.objects.count() == 1


def test_a_black_hole_without_a_timeout_is_refused(monkeypatch) -> None:
    """It would hold the test for minutes; so it would the application."""
    monkeypatch.delitem(connection.settings_dict["OPTIONS"], "connect_timeout")
    with pytest.raises(ConfigurationError, match="connect_timeout"), blackhole():
        pass


@pytest.mark.parametrize("fault", [refuse_connections, blackhole])
def test_pools_open_their_own_connections(monkeypatch, fault) -> None:
    """So they cannot be refused, and that is said."""
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "pool", True)
    with pytest.raises(ConfigurationError, match="pool"), fault():
        pass


@override_settings(
    STALWART={"DATABASE": {"ENABLED": False}}
)  # else the refused session is left at the first refusal
def test_a_demoted_primary_goes_on_reading() -> None:
    """Plain Django: reads go well, each write is refused with 25006; the session is as before when it is over."""
    with demote() as fault:
        assert Entry.objects.count() == 0
        for _ in range(2):
            with pytest.raises(InternalError) as caught:
                write()
            assert caught.value.__cause__.sqlstate == "25006"
    assert fault.bites == 2
    write()
    assert Entry.objects.count() == 1


@pytest.mark.parametrize("how", ["retry", "block"])
def test_stalwart_goes_on_to_the_new_primary(how) -> None:
    """Two more connections find the old one; the third is the new one."""
    with demote(connects=2):
        if how == "retry":
            database_retry(delay=0)(write)()
        else:
            with resilient_transaction():
                Entry.objects.create(text="x")
    assert Entry.objects.count() == 1


def test_demote_wants_no_transaction() -> None:
    """A rollback would take its setting back."""
    with pytest.raises(ConfigurationError, match="before the atomic block"), transaction.atomic(), demote():
        pass
    with pytest.raises(ConfigurationError, match="connects is -1"):
        demote(connects=-1)


def test_a_session_that_cannot_be_set_back_is_ended(postgres, poll) -> None:
    """A transaction that is still open when the fault ends would keep the setting."""
    with demote(), pytest.raises(InternalError):
        write()
    connections.close_all()
    transaction.set_autocommit(False)
    with demote():
        with pytest.raises(InternalError):
            Entry.objects.create(text="x")
        pid = connection.connection.info.backend_pid
    assert pid not in postgres.backends("library")
