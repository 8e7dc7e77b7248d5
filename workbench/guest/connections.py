"""Requests as a server makes them: connections are kept or closed between them as the settings say.

A page view in a transaction that is rolled back keeps its connection, and Django's test client keeps those of all requests; here
neither is so. Only for pages that write nothing.
"""

from __future__ import annotations

import io
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

from django.core import signals
from django.core.handlers.wsgi import WSGIRequest
from django.db import connections, reset_queries
from django.db.backends.signals import connection_created

from workbench.guest import digests, pages
from workbench.guest.bounds import bounded
from workbench.guest.capture import PageCutError, Recorder

#: The server's sessions that this process has had so far: a pool hands the same ones out again.
_known: set[Any] = set()


def requests(
    url: str, times: int, headers: Mapping[str, str] | None = None, masks: Sequence[int] = ()
) -> dict[str, Any]:
    """Make some requests one after the other.

    Args:
        url, headers, masks: as for `pages.visit`.
        times: how many.

    Returns:
        milliseconds of each, digests that were seen, opened (connections that the server had to open), error.
    """
    sessions: set[Any] = set()

    def opened(connection: Any, **_: Any) -> None:
        sessions.add(_session(connection))

    _known.update(
        _session(one) for one in connections.all(initialized_only=True) if one.connection is not None
    )
    connection_created.connect(opened, weak=False, dispatch_uid=__name__)
    took: list[float] = []
    seen: set[str] = set()
    error = None
    try:
        for _ in range(times):
            began = time.perf_counter()
            response, body = _one(url, headers)
            took.append((time.perf_counter() - began) * 1000)
            seen.add(digests.digest(response, body, masks))
            error = error or pages._raised(response)
    except (Exception, PageCutError) as raised:  # noqa: BLE001 whatever the project raises is an answer
        error = pages._line(raised)
    finally:
        connection_created.disconnect(dispatch_uid=__name__)
    number = len(sessions - _known)
    _known.update(sessions)
    return {"milliseconds": took, "digests": sorted(seen), "opened": number, "error": error}


def _one(url: str, headers: Mapping[str, str] | None) -> tuple[Any, bytes]:
    client, path, extra = pages._prepare(url, headers)
    parts = urllib.parse.urlsplit(path)
    secure = bool(extra.pop("secure", False))
    environ = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        # As a server hands it over: bytes in the clothes of Latin-1.
        "PATH_INFO": urllib.parse.unquote_to_bytes(parts.path).decode("latin-1"),
        "QUERY_STRING": parts.query,
        "SERVER_PORT": "443" if secure else "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https" if secure else "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        **extra,
    }
    with bounded(Recorder(places=False), pages.SECONDS):
        signals.request_started.send(sender=type(client.handler), environ=environ)
        response = client.handler.get_response(WSGIRequest(environ))
        body = pages._read(response)
        response.close()  # Django then closes what is too old to be kept
    reset_queries()
    return response, body


def _session(connection: Any) -> Any:
    """What tells the server's sessions apart."""
    raw = connection.connection
    info = getattr(raw, "info", None)
    return getattr(info, "backend_pid", None) or id(raw)
