"""The opt-ins of the database claims, as their treatment arms switch them on: Django's own pool, and retries beyond the default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: What the claims on lost connections and on transient errors switch on beside the pool. A reply counts as overdue after a
#: second: the demo's statements take milliseconds, even behind a lock or a busy processor only tenths, and in the longest
#: black hole a statement and two logins may fall before the 5 s of a request are over. Three repeats of a request, as of a
#: transaction by default.
RETRIES: Mapping[str, Any] = {"REQUEST_RETRIES": 3, "TRANSPARENT_READS": True, "REPLY_WITHIN": 1.0}

#: Of each gunicorn worker: a thread uses one connection at a time.
THREADS = 4
#: psycopg_pool's options. All sessions that the threads can use are kept open. With its defaults the pool tries a lost
#: connection again after 1, 2, 4, ... seconds, so that it can stay empty for seconds after the server is back, and a thread
#: waits for it up to 30 s, which no request has. Here whoever asks waits half a second, and a failed attempt is not put
#: off: the next one to ask makes the next attempt.
POOL: Mapping[str, Any] = {
    "min_size": THREADS,
    "max_size": THREADS,
    "timeout": 0.5,
    "reconnect_timeout": 0.0,
}


def pooled() -> dict[str, Any]:
    """The settings of an arm with a pool: connections are checked when they are handed out, and Django keeps none itself."""
    return {
        "DATABASES.default.OPTIONS.pool": dict(POOL),
        "DATABASES.default.CONN_MAX_AGE": 0,  # Django refuses a pool beside connections that it keeps
        "DATABASES.default.CONN_HEALTH_CHECKS": True,
    }
