"""What must be the case before anything is broken: a test database, a test that commits, a database that has sessions."""

from __future__ import annotations

import re
from pathlib import PurePath

from django.db.backends.base.base import BaseDatabaseWrapper

from stalwart.database.isolation import is_psycopg3
from stalwart.exceptions import ConfigurationError


def check(connection: BaseDatabaseWrapper, fault: str, even_on: str | None) -> None:
    """Refuse a database that is no test database, and a test that runs inside a transaction of its own.

    Raises:
        ConfigurationError: see above; the message says what to do.
    """
    name = str(connection.settings_dict["NAME"])
    opened = getattr(getattr(connection.connection, "info", None), "dbname", name)
    # Two names where the settings were changed after the connection was opened.
    doubtful = [each for each in (opened, name) if each != even_on and not _is_for_tests(connection, each)]
    if doubtful:
        raise ConfigurationError(
            f"{fault} refuses to act on database {doubtful[0]!r} (alias {connection.alias!r}), which is not known to be a test "
            f"database: its name does not begin with 'test_', and is not the alias's TEST['NAME']. Let Django's or pytest-django's "
            f"test runner make one, or, if it really is to be broken, say {fault}(..., even_on={doubtful[0]!r})"
        )
    if any(getattr(block, "_from_testcase", False) for block in connection.atomic_blocks):
        raise ConfigurationError(
            f"{fault} would test nothing: this test runs inside a transaction of its own, in which nothing is committed and "
            "neither database_retry nor resilient_transaction repeats anything. Use TransactionTestCase instead of TestCase; "
            "with pytest-django, the fixture transactional_db or @pytest.mark.django_db(transaction=True)"
        )


def require_postgresql(connection: BaseDatabaseWrapper, fault: str) -> None:
    """Refuse databases that have no sessions to end, and drivers that are not known here."""
    if connection.vendor == "postgresql" and is_psycopg3():
        return
    what = connection.display_name + (" with psycopg2" if connection.vendor == "postgresql" else "")
    raise ConfigurationError(
        f"{fault} is built for PostgreSQL with psycopg 3, and alias {connection.alias!r} is {what}; "
        "of the faults, lock_timeout_on works on SQLite"
    )


def require_no_transaction(connection: BaseDatabaseWrapper, fault: str) -> None:
    """Refuse to change a session's settings where a rollback would change them again."""
    if connection.in_atomic_block:
        raise ConfigurationError(
            f"{fault} changes settings of the session, which cannot be done in the middle of a transaction: "
            "enter it before the atomic block"
        )


def _is_for_tests(connection: BaseDatabaseWrapper, name: str) -> bool:
    if connection.vendor == "sqlite" and (name == ":memory:" or "mode=memory" in name):
        return True
    wanted = (connection.settings_dict.get("TEST") or {}).get("NAME")
    # Copies of it that belong to the workers of a parallel run have a suffix.
    if wanted and re.fullmatch(rf"{re.escape(str(wanted))}(_\w+)?", name):
        return True
    return (PurePath(name).name if connection.vendor == "sqlite" else name).startswith("test_")
