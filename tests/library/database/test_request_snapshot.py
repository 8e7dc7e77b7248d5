"""A request that is put back to what it was, and a body that can be had twice."""

from __future__ import annotations

import io
import threading
from tempfile import SpooledTemporaryFile
from typing import Any

import pytest
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, UnreadablePostError
from django.test import RequestFactory
from warehouse.models import Company, Item

from stalwart.conf import DatabaseConfig
from stalwart.database.request_run import NAME, Run
from stalwart.database.request_snapshot import Snapshot, read_ahead


class Pipe:
    """A stream that gives two bytes at a time, as a socket may; its error comes once, and then the end."""

    def __init__(self, content: bytes, error: OSError | None = None) -> None:
        self._content = io.BytesIO(content)
        self._error = error

    def read(self, size: int = -1) -> bytes:
        chunk = self._content.read(min(2, size))
        error, self._error = (self._error, None) if not chunk else (None, self._error)
        if error is not None:
            raise error
        return chunk

    readline = read


def wsgi(stream: Any, length: object) -> WSGIRequest:
    environ = RequestFactory()._base_environ(REQUEST_METHOD="POST", CONTENT_LENGTH=str(length))
    environ["wsgi.input"] = stream
    return WSGIRequest(environ)


def asgi(content: bytes) -> ASGIRequest:
    file = SpooledTemporaryFile(max_size=4)  # noqa: SIM115  the request closes it
    file.write(content)
    file.seek(0)
    return ASGIRequest({"type": "http", "method": "POST", "path": "/", "headers": []}, file)


def test_body_that_comes_in_pieces_is_read_whole() -> None:
    """One read of a socket may give less than was asked for."""
    request = wsgi(Pipe(b"abcdefg"), 7)
    assert read_ahead(request, 7) == b"abcdefg"
    assert not request._read_started
    assert request.body == b"abcdefg"


def test_body_that_is_shorter_than_announced() -> None:
    """A client that stops early: what has come is the body, as for Django."""
    assert read_ahead(wsgi(io.BytesIO(b"abc"), 7), 7) == b"abc"


def test_body_above_the_limit_is_not_touched() -> None:
    """Not a byte is taken from the stream."""
    stream = io.BytesIO(b"abcdefg")
    assert read_ahead(wsgi(stream, 7), 6) is None
    assert stream.tell() == 0
    request = asgi(b"abcdefg")
    assert read_ahead(request, 6) is None
    assert request.body == b"abcdefg"
    request.close()


def test_body_that_was_read_before() -> None:
    """What `request.body` has read is known, and counts against the limit."""
    request = wsgi(io.BytesIO(b"abcdefg"), 7)
    assert request.body == b"abcdefg"
    assert read_ahead(request, 7) == b"abcdefg"
    assert read_ahead(request, 6) is None


def test_body_that_asgi_holds() -> None:
    """It has arrived, in memory or in a file; without an announced length, too."""
    request = asgi(b"abcdefg")
    held = request._stream
    assert read_ahead(request, 7) == b"abcdefg"
    assert request.read() == b"abcdefg"
    held.close()


def test_client_that_hangs_up() -> None:
    """The failure is met where the view reads, as without us, as often as it reads."""
    request = wsgi(Pipe(b"ab", ConnectionResetError("gone")), 7)
    assert read_ahead(request, 7) is None
    with pytest.raises(UnreadablePostError, match="gone"):
        _ = request.body
    other = wsgi(Pipe(b"ab", ConnectionResetError("gone")), 7)
    read_ahead(other, 7)
    for _ in range(2):
        with pytest.raises(UnreadablePostError, match="gone"):
            other.read(1)


def test_request_without_a_stream_has_an_empty_body() -> None:
    """A bare HttpRequest, as tests make them."""
    assert read_ahead(HttpRequest(), 0) == b""


def test_stream_of_an_unknown_kind_is_left_alone() -> None:
    """How long it is, is not known."""
    request = HttpRequest()
    request._stream = stream = Pipe(b"abc")  # type: ignore[attr-defined]
    stream.seekable = lambda: False  # type: ignore[attr-defined]
    assert read_ahead(request, 9) is None


def test_instances_with_their_relations() -> None:
    """Fields, fields inside of fields, the state and the loaded relations of an instance, also one that points back."""
    request = RequestFactory().get("/")
    company = Company(name="acme", country=["IT"])
    item = Item(company=company, price=1)
    company._state.fields_cache["favourite"] = item
    request.item = item  # type: ignore[attr-defined]
    snapshot = Snapshot(request, b"")
    for _ in range(2):
        item.price += 1
        item.pk = 7
        item._state.adding = False
        company.name = "other"
        company.country.append("DE")
        item._state.fields_cache["extra"] = Company(name="extra")
        item.company = Company(name="third")
        snapshot.put_back()
        assert (item.price, item.pk, item._state.adding) == (1, None, True)
        assert item.company is company
        assert (company.name, company.country) == ("acme", ["IT"])
        assert set(item._state.fields_cache) == {"company"}


def test_containers_stay_the_same_objects() -> None:
    """Whoever holds on to a list of the request finds the old content in it."""
    request = RequestFactory().get("/")
    request.names = names = ["one"]  # type: ignore[attr-defined]
    request.tags = tags = {"a"}  # type: ignore[attr-defined]
    snapshot = Snapshot(request, b"")
    names.append("two")
    tags.add("b")
    request.META["X"] = 1
    snapshot.put_back()
    assert (names, tags) == (["one"], {"a"})
    assert "X" not in request.environ
    assert request.environ is request.META


def test_session_put_back_more_than_once() -> None:
    """A session that middleware has changed has its changes again, each time anew."""
    request = RequestFactory().get("/")
    request.session = SessionStore()
    request.session["cart"] = {"items": []}
    snapshot = Snapshot(request, b"")
    for _ in range(2):
        request.session["cart"]["items"].append("book")
        request.session.pop("cart")
        snapshot.put_back()
        assert request.session["cart"] == {"items": []}
        request.session["cart"]["items"].append("pen")
        assert request.session.modified


def test_what_cannot_be_copied_cannot_be_put_back() -> None:
    """The request passes, with nothing of ours on it, and is not run again."""
    request = RequestFactory().get("/")
    request.session = SessionStore()
    request.session["lock"] = threading.Lock()
    config = DatabaseConfig(request_retries=1)
    assert Run.begin(request, config, shared=False, before=None) is None
    assert NAME not in request.__dict__
