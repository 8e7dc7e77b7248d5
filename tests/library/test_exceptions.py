"""The errors: tree, messages, pickling."""

from __future__ import annotations

import copy
import pickle

import pytest
from django.db import DatabaseError

from stalwart import exceptions
from stalwart.exceptions import (
    BulkheadFull,
    CircuitOpen,
    CommitOutcomeUnknown,
    ConfigurationError,
    ReplayMismatch,
    RetryInsideTransaction,
    StalwartError,
    TransactionLost,
)

ALL = [
    CommitOutcomeUnknown("default"),
    CommitOutcomeUnknown("other", 4711, "INSERT"),
    ReplayMismatch("SELECT 1", 2),
    TransactionLost("default", "it was closed"),
    RetryInsideTransaction("shop.views.buy", "default"),
    CircuitOpen("quotes", 1.25),
    CircuitOpen("quotes", float("inf")),
    BulkheadFull("quotes", 8),
    ConfigurationError("no"),
]


@pytest.mark.parametrize("error", ALL, ids=repr)
def test_survive_pickling_and_copying(error) -> None:
    """Errors cross process borders with their attributes, their text and their notes."""
    error.add_note("a note")
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert vars(twin) == vars(error)


@pytest.mark.parametrize("error", ALL, ids=repr)
def test_are_stalwarts_and_no_database_errors(error) -> None:
    """`except StalwartError` catches them, an application's own retry over DatabaseError does not."""
    assert isinstance(error, StalwartError)
    assert not isinstance(error, DatabaseError)


def test_the_docstring_draws_every_error() -> None:
    """The tree in the docstring is complete."""
    kinds = [
        value
        for value in vars(exceptions).values()
        if isinstance(value, type) and issubclass(value, Exception)
    ]
    assert len(kinds) == 8
    assert all(kind.__name__ in exceptions.__doc__ for kind in kinds)


def test_messages_carry_what_is_known() -> None:
    """An unknown outcome names database, transaction and statement, and says what to do."""
    text = str(CommitOutcomeUnknown("other", 4711, "INSERT"))
    assert all(part in text for part in ("'other'", "4711", "INSERT", "Look whether"))
