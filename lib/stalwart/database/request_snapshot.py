"""A request as it was before its view ran, so that a second run finds what the first one found.

What hangs on the request is put back: attributes that were set on it, plain lists and dicts that were changed, its body, the
session and the messages in their own state, lazy objects such as `request.user` that were resolved since, and the fields
and loaded relations of model instances that middleware had put there; also the active language and time zone. A session that
was merely read is loaded again when it is asked for. What lies behind (an uploaded file that was saved, an entry in a
cache) is not of the request and stays.
"""

from __future__ import annotations

import contextvars
import copy
from collections.abc import Callable
from io import BytesIO
from typing import Any

from django.contrib.sessions.backends.base import SessionBase
from django.core.handlers.wsgi import LimitedStream
from django.db.models import Model
from django.http import HttpRequest
from django.utils import timezone, translation
from django.utils.functional import LazyObject, empty

from stalwart.database.instances import copied, keep, refill

_CACHE, _KEY = "_session_cache", "_SessionBase__session_key"
# What these write is in the database, so it is rolled back with the run, or seen to be committed.
_SESSIONS_IN_THE_DATABASE = "django.contrib.sessions.backends.db"

_INPUT = "wsgi.input"
_UNCHANGEABLE = frozenset({str, bytes, int, float, bool, type(None)})
_PLAIN = frozenset({dict, list, set})


def read_ahead(request: HttpRequest, limit: int) -> bytes | None:
    """The body, with the request left as if nobody had read it; None for one that cannot be had twice.

    Args:
        request: whose view has not run.
        limit: bytes; nothing is read of a body that is larger.
    """
    known: bytes | None = request.__dict__.get("_body")
    if known is not None:
        return known if len(known) <= limit else None
    stream: Any = request.__dict__.get("_stream")
    if stream is None:
        return b""
    if getattr(request, "_read_started", False):
        return None  # somebody has had a part of it
    if isinstance(stream, LimitedStream):
        size = stream.limit
    elif stream.seekable():  # ASGI: the whole body has arrived
        size = stream.seek(0, 2)
        stream.seek(0)
    else:
        return None
    if size > limit:
        return None
    body = b""
    if not size:
        return body
    try:
        while len(body) < size and (chunk := stream.read(size - len(body))):
            body += chunk
    except OSError as error:
        request.__dict__["_stream"] = _Broken(error)
        return None
    _give(request, body)
    return body


def _give(request: HttpRequest, body: bytes) -> None:
    request.__dict__["_stream"] = stream = BytesIO(body)
    if _INPUT in request.META:  # some views read it past the request
        request.META[_INPUT] = stream


class _Broken:
    """In the place of a stream that failed while it was read ahead: the view meets the failure when it reads, as ever."""

    def __init__(self, error: OSError) -> None:
        self._error = error

    def read(self, *_: int) -> bytes:
        raise self._error

    readline = read

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        pass


class Snapshot:
    """What `put_back` puts back.

    Args:
        request: whose view has not run.
        body: of the request, from `read_ahead`.

    Raises:
        Exception: whatever comes of copying what middleware has put on the request.
    """

    def __init__(self, request: HttpRequest, body: bytes) -> None:
        self._request = request
        self._body = body
        self._attributes = dict(request.__dict__)
        self._session: SessionBase | None = None
        self._session_key: str | None = None
        self._context = contextvars.copy_context()  # to look up what was active: asking now would be dear
        self._plain: list[tuple[Any, Any]] = []
        self._undo: list[Callable[[], object]] = []
        self._known: set[int] = set()
        for name, value in self._attributes.items():
            if type(value) not in _UNCHANGEABLE:
                self._take(name, value)

    @property
    def is_stale(self) -> bool:
        """Whether the run did to the session, past the database, what cannot be put back."""
        session = self._session
        renewed = session is not None and session.session_key != self._session_key  # login, logout
        return renewed and type(session).__module__ != _SESSIONS_IN_THE_DATABASE

    def put_back(self) -> None:
        """Make the request what it was; any number of times."""
        request = self._request
        HttpRequest.close(request)  # the uploaded files of the run that failed
        request.__dict__.clear()
        request.__dict__.update(self._attributes)
        for value, content in self._plain:
            refill(value, content)
        _give(request, self._body)
        for undo in self._undo:
            undo()
        self._put_language_back()

    def _put_language_back(self) -> None:
        language: str | None = self._context.run(translation.get_language)
        if language is None:
            translation.deactivate_all()
        elif language != translation.get_language():
            translation.activate(language)
        zone = self._context.run(timezone.get_current_timezone)
        if zone == timezone.get_default_timezone():
            timezone.deactivate()
        else:
            timezone.activate(zone)

    def _take(self, name: str, value: Any) -> None:
        if type(value) in _PLAIN:
            # In place: META is the server's environ, too, and middleware may hold on to what it has put there.
            if id(value) not in self._known:
                self._known.add(id(value))
                self._plain.append((value, value.copy()))
        elif isinstance(value, LazyObject):  # before all other classes: to ask one for its class resolves it
            inside = value.__dict__["_wrapped"]
            if inside is empty:
                self._undo.append(lambda: value.__dict__.update(_wrapped=empty))
            else:
                self._take(name, inside)
        elif isinstance(value, Model):
            self._undo += [kept.put_back for kept in keep([value], self._known)]
        elif isinstance(value, SessionBase):
            self._take_session(value)
        elif name == "_messages":
            saved = copied(value.__dict__)
            self._undo.append(lambda: refill(value.__dict__, copied(saved)))

    def _take_session(self, session: SessionBase) -> None:
        self._session, self._session_key = session, session.session_key
        saved = dict(session.__dict__)
        changed = session.modified and _CACHE in saved
        if changed:
            saved[_CACHE] = copy.deepcopy(saved[_CACHE])
        else:
            saved.pop(_CACHE, None)  # the run may change what is inside of it, without saying so

        def undo() -> None:
            refill(session.__dict__, saved)
            if changed:
                session.__dict__[_CACHE] = copy.deepcopy(saved[_CACHE])

        self._undo.append(undo)
