"""The bank's clerks: threads of the project that place orders one after the other, whatever happens to the database.

Each order is written in one of three ways, in turn:

* `keyed`, the demo's own `place_order`: `@database_retry` around `atomic`, and the client's id is the ledger's key, so that a
  repeat finds its predecessor;
* `retried`, the same without such a key: it is made inside the transaction, as most applications make theirs;
* `block`, the same body in `with resilient_transaction()`.

Without a key of the client's nothing but the way of retrying stands between an order and its double. The key that is made
begins with the client's id, which the application never looks at: by it the checker counts what became of each order.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from django.db import close_old_connections, connection, transaction

from stalwart import database_retry, resilient_transaction
from stalwart.database.classification import classify
from stalwart.exceptions import CommitOutcomeUnknown, StalwartError
from workbench.demo.stocks import orders
from workbench.demo.stocks.models import Side

FORMS = ("keyed", "retried", "block")
LARGEST = 3  #: shares in an order
#: Seconds that a client waits before its next order, at most: after an answer, and after a failure, when a real one would
#: not hammer at a closed door either. Without it the control arm would count its failures by the ten thousand.
PAUSE, PAUSE_AFTER_FAILURE = 0.04, 0.3


def keyed(order: orders.OrderIntent) -> orders.OrderResult:
    return orders.place_order(order)


@database_retry
def retried(order: orders.OrderIntent) -> orders.OrderResult:
    with transaction.atomic():
        return orders.execute(_with_a_key_of_its_own(order))


def block(order: orders.OrderIntent) -> orders.OrderResult:
    with resilient_transaction():
        return orders.execute(_with_a_key_of_its_own(order))


def _with_a_key_of_its_own(order: orders.OrderIntent) -> orders.OrderIntent:
    return replace(order, reference=f"{order.reference}:{secrets.token_hex(6)}")


class Clerks:
    """Threads that place orders until they are stopped.

    Args:
        name: first part of every order's id.
        threads: how many.
        seed: of what they order.
        places: pairs of portfolio and symbol to choose from.
        out: file for one JSON line an answer.
    """

    def __init__(self, name: str, threads: int, seed: int, places: list[tuple[int, str]], out: str) -> None:
        self._name, self._seed, self._places = name, seed, places
        self._out = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._threads = [
            threading.Thread(target=self._work, args=(number,), daemon=True) for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def counts(self) -> dict[str, int]:
        """Answers so far by outcome."""
        with self._lock:
            return dict(self._counts)

    def stop(self, within: float) -> int:
        """Let every thread finish its order; how many had not after so many seconds."""
        self._stopping.set()
        deadline = time.monotonic() + within
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return sum(thread.is_alive() for thread in self._threads)

    def _work(self, number: int) -> None:
        chance = random.Random(f"{self._seed}/{self._name}/{number}")
        for count in itertools.count():
            if self._stopping.is_set():
                break
            portfolio, symbol = chance.choice(self._places)
            side, quantity = chance.choice([Side.BUY, Side.SELL]), chance.randint(1, LARGEST)
            name = f"{self._name}-{number}-{count}"
            answer = _answer(
                FORMS[count % len(FORMS)], orders.OrderIntent(name, portfolio, symbol, side, quantity)
            )
            self._tell(answer)
            longest = PAUSE if answer["outcome"] == "ok" else PAUSE_AFTER_FAILURE
            self._stopping.wait(chance.uniform(0, longest))
        connection.close()

    def _tell(self, answer: dict[str, Any]) -> None:
        # One write, so that a killed process leaves whole lines.
        os.write(self._out, json.dumps(answer).encode() + b"\n")
        with self._lock:
            self._counts[answer["outcome"]] += 1


def _answer(form: str, order: orders.OrderIntent) -> dict[str, Any]:
    """Place one order as a request would, and say what its client is told."""
    place: Callable[[orders.OrderIntent], Any] = globals()[form]  # by name: an arm may have wrapped it
    close_old_connections()  # what Django does before each request
    before = time.monotonic()
    outcome, error = "ok", None
    try:
        place(order)
    except CommitOutcomeUnknown as unknown:
        outcome, error = "indeterminate", type(unknown).__name__
    except orders.OrderRefusedError as refusal:
        outcome, error = "refused", type(refusal).__name__
    except Exception as failure:  # noqa: BLE001 whatever leaves the operation is its outcome
        outcome, error = "failed", _reason(failure)
    took = time.monotonic() - before
    close_old_connections()
    return {
        "id": order.reference,
        "form": form,
        "outcome": outcome,
        "error": error,
        "seconds": round(took, 4),
    }


def _reason(failure: Exception) -> str:
    """The exception's type, and for an error of the database what kind of failure it was in the end."""
    known = None if isinstance(failure, StalwartError) else classify(failure)
    name = type(failure).__name__
    return name if known is None else f"{name} ({known.error_class.value})"


_clerks: list[Clerks] = []


def start(name: str, threads: int, seed: int, places: list[tuple[int, str]], out: str) -> None:
    """Set the clerks of this process to work; returns at once."""
    _clerks.append(Clerks(name, threads, seed, places, out))


def counts() -> dict[str, int]:
    """Answers so far by outcome."""
    return dict(sum((Counter(one.counts()) for one in _clerks), Counter[str]()))


def stop(within: float) -> int:
    """Let the clerks finish; how many hang."""
    return sum(one.stop(within) for one in _clerks)
