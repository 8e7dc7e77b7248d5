"""A small transaction that counts, and threads that run it at the same time.

It adds one to some rows and writes one entry without a unique key: an effect that happens twice is there twice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from django.db import close_old_connections, connection, transaction

from stalwart import database_retry, resilient_transaction
from stalwart.exceptions import CommitOutcomeUnknown

_crowds: list[tuple[list[threading.Thread], list[dict[str, Any]]]] = []


def plain(job: dict[str, Any]) -> None:
    with transaction.atomic():
        _count(job)


@database_retry
def retried(job: dict[str, Any]) -> None:
    with transaction.atomic():
        _count(job)


def block(job: dict[str, Any]) -> None:
    with resilient_transaction():
        _count(job)


def _count(job: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        for row in job.get("rows", ()):
            cursor.execute("UPDATE tally SET number = number + 1 WHERE id = %s", [row])
            time.sleep(job.get("think", 0))  # what an application does between two statements
        if hold := job.get("hold", 0):
            cursor.execute("SELECT pg_sleep(%s)", [hold])
        cursor.execute("INSERT INTO tally_entry (name) VALUES (%s)", [job["name"]])


def crowd(lists: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Run each list of jobs in a thread of its own, all at once.

    A job is `{name, form, rows, think, hold}`: form "plain", "retried" or "block"; rows to count on, in that order; seconds
    between two rows; seconds for which the server keeps the transaction busy.

    Returns:
        An answer a job: its name, outcome ("ok", "failed", "indeterminate"), error, seconds, and when it ended
        (`time.monotonic`, which is one for all processes of a machine).
    """
    begin(lists)
    return finish()


def begin(lists: list[list[dict[str, Any]]]) -> None:
    """Set threads to work as `crowd` does, and return at once; `finish` waits for them."""
    start = threading.Barrier(len(lists))
    answers: list[dict[str, Any]] = []

    def work(jobs: list[dict[str, Any]]) -> None:
        start.wait()
        for job in jobs:
            answers.append(_answer(job))  # noqa: PERF401 the other threads append as well
        connection.close()

    threads = [threading.Thread(target=work, args=(jobs,), daemon=True) for jobs in lists]
    for thread in threads:
        thread.start()
    _crowds.append((threads, answers))


def finish() -> list[dict[str, Any]]:
    """The answers of the crowd that was begun last."""
    threads, answers = _crowds.pop()
    for thread in threads:
        thread.join()
    return answers


def steadily(writers: int, seconds: float, pause: float, rows: int) -> list[dict[str, Any]]:
    """Write again and again for some seconds, each writer to its own row; answers as `crowd`, with the thread's number."""
    end = time.monotonic() + seconds
    answers: list[dict[str, Any]] = []

    def work(number: int) -> None:
        count = 0
        while time.monotonic() < end:
            form = ("retried", "block")[count % 2]
            job = {"name": f"{number}-{count}", "form": form, "rows": [number % rows + 1]}
            answers.append({**_answer(job), "thread": number})
            count += 1
            time.sleep(pause)
        connection.close()

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def _answer(job: dict[str, Any]) -> dict[str, Any]:
    run: Callable[[dict[str, Any]], None] = globals()[job["form"]]  # by name: an arm may have wrapped it
    close_old_connections()  # what Django does before each request
    before = time.monotonic()
    outcome, error = "ok", None
    try:
        run(job)
    except CommitOutcomeUnknown as unknown:
        outcome, error = "indeterminate", type(unknown).__name__
    except Exception as failure:  # noqa: BLE001 whatever leaves the operation is its outcome
        outcome, error = "failed", type(failure).__name__
    ended = time.monotonic()
    close_old_connections()
    return {
        "name": job["name"],
        "form": job["form"],
        "outcome": outcome,
        "error": error,
        "seconds": ended - before,
        "ended": ended,
    }
