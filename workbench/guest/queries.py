"""What a page asks of the database: its statements, counted and timed by Django's own execute wrapper."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from django.db import connection
from django.test import Client


def profile(path: str) -> dict[str, Any]:
    """GET one path in this process and count its statements.

    Returns:
        status, body bytes, statements, milliseconds in the database and in all, and the statement that was repeated most
        with its number of runs.
    """
    seen: Counter[str] = Counter()
    spent = 0.0

    def count(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal spent
        before = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            spent += time.perf_counter() - before
            seen[sql] += 1

    client = Client(raise_request_exception=False, headers={"host": "localhost"})
    client.get(path)  # warm: imports, the first connection, templates
    with connection.execute_wrapper(count):
        before = time.perf_counter()
        response = client.get(path)
        body = b"".join(response) if response.streaming else response.content
        took = time.perf_counter() - before
    repeated, runs = seen.most_common(1)[0] if seen else ("", 0)
    return {
        "path": path,
        "status": response.status_code,
        "bytes": len(body),
        "statements": sum(seen.values()),
        "distinct": len(seen),
        "database_ms": spent * 1000,
        "total_ms": took * 1000,
        "repeated": repeated,
        "runs": runs,
    }
