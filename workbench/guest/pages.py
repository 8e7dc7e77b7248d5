"""One page of the project, visited inside its own process and observed; nothing of the visit stays.

What a web server would do is done by Django's test client: every middleware runs, cookies start empty, the body is read to its end.
The tools that watch a project while it is being written (debug toolbar, silk) are left out: no visitor of the real site pays
for them.
"""

from __future__ import annotations

import gc
import io
import re
import threading
import time
import urllib.parse
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core.cache import caches
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache
from django.http.request import validate_host
from django.test import Client

from workbench.guest import digests, sandbox
from workbench.guest.attribution import Attribution, attributing
from workbench.guest.bounds import bounded
from workbench.guest.capture import PageCutError, Recorder, recording
from workbench.guest.undo import RolledBack

#: Passes that look at everything, and whose times therefore count for nothing.
LOOKING = frozenset({"attributed", "truncated", "advised"})
PASSES = LOOKING | {"cold", "warm"}

#: Bounds of one view: statements, seconds, bytes of a stream that may have no end.
STATEMENTS, SECONDS, BYTES = 10_000, 60.0, 64 * 2**20
#: How long threads that the view started may go on after it.
THREADS = 2.0

#: Middleware for developers; it would be measured instead of the page.
_TOOLS = ("debug_toolbar.middleware.", "silk.middleware.", "pyinstrument.middleware.")

_SECRET = re.compile(
    r"(?i)((?:password|passwd|pwd|secret|token|api[_-]?key|authorization|sessionid|cookie)[\"']?\s*[=:]\s*)"
    r"(?:(?:bearer|basic|token)\s+)?(?:'[^']*'|\"[^\"]*\"|[^\s,;&]+)"
)
_CREDENTIALS = re.compile(r"(\b[a-z][a-z0-9+.\-]*://[^\s:/@]*:)[^\s@]+@", re.IGNORECASE)

_handler: Any = None
_baselines: dict[str, int] = {}


def visit(
    url: str,
    pass_: str,
    headers: Mapping[str, str] | None = None,
    limit: Mapping[str, Any] | None = None,
    masks: Sequence[int] = (),
) -> dict[str, Any]:
    """GET one page and tell what it did.

    Args:
        url: path with query; or whole, and its host is asked for.
        pass_: "cold" empties what caches of this process hold; "warm" is timed; "attributed" tells producers; "truncated" also
            cuts the rows of one; "advised" is attributed with what `workbench.guest.apply` has laid on.
        headers: of the request; `SERVER_NAME` and other names of the WSGI environment are taken as such.
        limit: `site` (or `batch`) and `rows`: see `attribution.Attribution`; `queries` and `seconds`: bounds other than the usual.
        masks: positions of words of the body that change by themselves, from `baseline`.

    Returns:
        The fields of the profile's record of a page view.

    Raises:
        ValueError: no such pass.
    """
    if pass_ not in PASSES:
        raise ValueError(f"no such pass: {pass_!r}; one of {', '.join(sorted(PASSES))}")
    return observed(url, pass_, headers, limit, masks)[0]


def baseline(
    url: str, headers: Mapping[str, str] | None = None, limit: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Visit a page twice and compare: what of its answer changes by itself?

    Args:
        url, headers, limit: as for `visit`.

    Returns:
        stable, the masks to hand to `visit` (positions of words), and the digest under them; and why it is not stable.
    """
    first, one, response = observed(url, "warm", headers, limit, ())
    second, other, again = observed(url, "warm", headers, limit, ())
    error = first["error"] or second["error"]
    if response is None or again is None:
        return {"stable": False, "masks": [], "digest": "", "reason": error or "it gave no answer"}
    masks = digests.differing(_plain(response, one), _plain(again, other))
    if masks is None:
        return {"stable": False, "masks": [], "digest": "", "reason": "two visits gave different bodies"}
    a, b = digests.digest(response, one, masks), digests.digest(again, other, masks)
    reason = None if a == b else "two visits gave different statuses, headers or cookies"
    return {"stable": a == b, "masks": masks, "digest": a, "reason": reason}


def login(user: str) -> dict[str, str]:
    """Log a user of the private copy in, and return the headers of the session; the session is kept there.

    Args:
        user: value of the model's own user name field.

    Raises:
        LookupError: there is no such user.
    """
    from django.contrib.auth import get_user_model

    model: Any = get_user_model()
    found = model._default_manager.filter(**{model.USERNAME_FIELD: user}).first()
    if found is None:
        raise LookupError(f"there is no user {user!r} in the private copy")
    client = Client()
    client.force_login(found)
    return {"Cookie": "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())}


def observed(
    url: str,
    pass_: str,
    headers: Mapping[str, str] | None = None,
    limit: Mapping[str, Any] | None = None,
    masks: Sequence[int] = (),
) -> tuple[dict[str, Any], bytes, Any]:
    """As `visit`, with the body as it was sent and the response itself (None where there is none), for code in this process."""
    limit = limit or {}
    kept_from = sandbox.blocked()
    looking = Attribution(limit) if pass_ in LOOKING else None
    recorder = Recorder(
        most=int(limit.get("queries", _most(url, pass_))),
        explain=None if looking is None else looking.explain,
    )
    client, path, extra = _prepare(url, headers)
    if pass_ == "cold":  # noqa: S105 no password
        _forget()
    gc.collect()  # before the clock starts, so that it does not fall into one pass and not the other
    response, body, error, took = None, b"", None, 0.0
    undo = RolledBack()
    try:
        with undo, recording(recorder), _maybe(looking):
            before = set(threading.enumerate())
            recorder.began = began = time.perf_counter()
            try:
                with bounded(recorder, float(limit.get("seconds", SECONDS))):
                    response = client.get(path, **extra)
                    undo.commit_hooks()
                    body = _read(response)
            except PageCutError:
                error, response = recorder.cut, None
            finally:
                took = time.perf_counter() - began
            _wait_for(set(threading.enumerate()) - before)
    except PageCutError:  # it rang while the page was being left
        error, response = recorder.cut, None
    except (Exception, SystemExit) as raised:  # noqa: BLE001 whatever the project raises is a row
        error, response = _line(raised), None
    else:
        error = error or _raised(response)
    if error is None and undo.errors:
        error = _redacted(undo.errors[0])
    if error is None and undo.notes and any(one.failed for one in recorder.seen):
        error = _redacted(f"no connection to {undo.notes[0]}")
    queries = recorder.as_json()
    if pass_ not in ("truncated", "advised") and response is not None:
        _baselines[url] = max(len(queries), 1)
    view = {
        "url": url,
        "pass": pass_,
        "status": 0 if response is None else response.status_code,
        "bytes": len(body),
        "milliseconds": took * 1000,
        "digest": "" if response is None else digests.digest(response, body, masks),
        "queries": queries,
        "batches": [] if looking is None else looking.as_json(),
        "wrote": recorder.wrote,
        "error": error,
        "blocked": _since(kept_from),
        "transactions": recorder.transactions(),
    }
    return view, body, response


def _since(before: Mapping[str, int]) -> list[str]:
    """What the sandbox kept the page from: each by its name, with how often where it was more than once."""
    found = []
    for name, count in sandbox.blocked().items():
        times = count - before.get(name, 0)
        if times > 0:
            found.append(name if times == 1 else f"{name} ({times} times)")
    return sorted(found)


def _most(url: str, pass_: str) -> int:
    """A page that sees fewer rows than it counted may loop without end: three times what it needs is enough."""
    known = _baselines.get(url)
    return 3 * known + 50 if known is not None and pass_ in ("truncated", "advised") else STATEMENTS


class _maybe:  # noqa: N801 used as a verb
    """Attribution, when there is one."""

    def __init__(self, looking: Attribution | None) -> None:
        self._inner = None if looking is None else attributing(looking)

    def __enter__(self) -> None:
        if self._inner is not None:
            self._inner.__enter__()

    def __exit__(self, *_: object) -> None:
        if self._inner is not None:
            self._inner.__exit__()


def _prepare(url: str, headers: Mapping[str, str] | None) -> tuple[Client, str, dict[str, Any]]:
    """A client with fresh cookies, on middlewares that were made once, as a server makes them."""
    global _handler
    parts = urllib.parse.urlsplit(url)
    path = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
    client = Client(raise_request_exception=False)
    if _handler is None:
        listed = settings.MIDDLEWARE
        settings.MIDDLEWARE = [one for one in listed or () if not str(one).startswith(_TOOLS)]
        try:
            client.handler.load_middleware()
        finally:
            settings.MIDDLEWARE = listed
        _handler = client.handler
    client.handler = _handler
    extra: dict[str, Any] = {"SERVER_NAME": parts.hostname or _host()}
    if parts.port:
        extra["SERVER_PORT"] = str(parts.port)
    if parts.scheme == "https" or settings.SECURE_SSL_REDIRECT:
        extra["secure"] = True
        proxy = settings.SECURE_PROXY_SSL_HEADER
        if proxy:
            extra[proxy[0]] = proxy[1]
    for name, value in (headers or {}).items():
        key = name.upper().replace("-", "_")
        if key == "HOST":
            host = urllib.parse.urlsplit(f"//{value}")
            extra["SERVER_NAME"], extra["HTTP_HOST"] = host.hostname or str(value), value
        elif key in ("SERVER_NAME", "SERVER_PORT", "REMOTE_ADDR", "CONTENT_TYPE") or key.startswith("HTTP_"):
            extra[key] = value
        else:
            extra[f"HTTP_{key}"] = value
    # A browser always names the host, and a middleware that chooses a URL configuration by it may read nothing else.
    extra.setdefault("HTTP_HOST", _authority(extra))
    return client, path, extra


def _authority(extra: Mapping[str, Any]) -> str:
    name = str(extra["SERVER_NAME"])
    name = f"[{name}]" if ":" in name else name
    return f"{name}:{extra['SERVER_PORT']}" if "SERVER_PORT" in extra else name


def _host() -> str:
    """A host that the project answers to; many refuse the test client's, and some even this machine's."""
    allowed = list(settings.ALLOWED_HOSTS or (["localhost"] if settings.DEBUG else []))
    for host in ("localhost", "127.0.0.1", "testserver"):
        if validate_host(host, allowed):
            return host
    named = [host for host in allowed if host and host != "*"]
    return named[0].lstrip(".") if named else "localhost"


def _forget() -> None:
    """Empty what this process has cached; a cache outside of it is not ours to empty."""
    for cache in caches.all(initialized_only=True):
        if isinstance(
            cache, (LocMemCache, DummyCache)
        ):  # what the sandbox puts in a remote one's place is one of them
            cache.clear()
    from django.apps import apps

    for label, name in (("contenttypes", "ContentType"), ("sites", "Site")):
        if apps.is_installed(f"django.contrib.{label}"):
            apps.get_model(label, name)._default_manager.clear_cache()


def _read(response: Any) -> bytes:
    """The whole body, a stream's too, up to a bound."""
    if not response.streaming:
        return bytes(response.content)
    body = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an asynchronous stream, read in order
        for chunk in response:
            body.write(chunk)
            if body.tell() >= BYTES:
                break
    response.close()
    return body.getvalue()


def _plain(response: Any, body: bytes) -> bytes:
    coding = {name.lower(): value for name, value in response.items()}.get("content-encoding", "")
    return digests.unpacked(body, coding)


def _wait_for(started: set[threading.Thread]) -> None:
    """What a view's own threads ask belongs to the page; one that goes on for good is left behind."""
    deadline = time.monotonic() + THREADS
    for thread in started:
        if thread.name.startswith(("workbench-", "asyncio_", "ThreadPoolExecutor-")):
            continue  # pools keep theirs for the next task
        thread.join(max(0.0, deadline - time.monotonic()))


def _raised(response: Any) -> str | None:
    info = getattr(response, "exc_info", None)
    if info:
        return _line(info[1])
    if response.status_code >= 500:
        return f"it answered {response.status_code}"
    return None


def _line(error: BaseException) -> str:
    """An error in one line, without what may be secret: the database's own detail lines name values."""
    text = str(error).strip().splitlines()
    return _redacted(f"{type(error).__name__}: {text[0]}" if text else type(error).__name__)


def _redacted(text: str) -> str:
    text = _CREDENTIALS.sub(r"\1********@", text)
    return _SECRET.sub(r"\1********", text)[:300]
