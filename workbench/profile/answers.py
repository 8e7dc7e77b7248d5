"""What pages answer: status, size, how small their bodies become, and how long one warm view takes."""

from __future__ import annotations

import html
import importlib
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench.errors import WorkbenchError

#: What a browser of today asks for.
ACCEPT = "gzip, deflate, br, zstd"
#: Levels that servers use for bodies made for one request.
GZIP, BROTLI, ZSTD = 6, 5, 3
_GZIP_WINDOW = 31  # zlib's largest, in gzip's own wrapping


@dataclass(frozen=True)
class Answer:
    """One response.

    Attributes:
        url: of the page, or what the response says of itself.
        status: 0 when there is none.
        kind: its content type.
        bytes: of the body without a coding; None where it is a stream that was not read.
        sizes: of the body by coding.
        sent: bytes that the project itself sends to a browser; None when that was not tried.
        coding: in which coding.
        milliseconds: of one warm view; None for a response that was there already.
        error: what went wrong.
    """

    url: str
    status: int
    kind: str = ""
    bytes: int | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    sent: int | None = None
    coding: str = ""
    milliseconds: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class Answers:
    """Responses as a table."""

    rows: tuple[Answer, ...]

    def to_dataframe(self) -> Any:
        """A pandas DataFrame, a column for each coding.

        Raises:
            ImportError: there is no pandas.
        """
        import pandas as pd

        lines = [{**vars(row), **row.sizes} for row in self.rows]
        return pd.DataFrame(lines).drop(columns="sizes")

    def _table(self) -> tuple[list[str], list[list[str]]]:
        codings = list(dict.fromkeys(coding for row in self.rows for coding in row.sizes))
        head = ["url", "status", "type", "bytes", *codings, "as sent", "ms", "error"]
        body = [
            [
                row.url,
                str(row.status or ""),
                row.kind,
                _number(row.bytes),
                *(_number(row.sizes.get(coding)) for coding in codings),
                "" if row.sent is None else f"{_number(row.sent)} {row.coding}".strip(),
                "" if row.milliseconds is None else f"{row.milliseconds:.1f}",
                row.error or "",
            ]
            for row in self.rows
        ]
        used = [
            place for place, name in enumerate(head) if any(line[place] for line in body) or name == "url"
        ]
        return [head[place] for place in used], [[line[place] for place in used] for line in body]

    def __repr__(self) -> str:
        head, body = self._table()
        widths = [max(len(line[place]) for line in (head, *body)) for place in range(len(head))]
        lines = (
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True))
            for line in (head, *body)
        )
        return "\n".join([*(line.rstrip() for line in lines), self._note()])

    def _repr_html_(self) -> str:
        head, body = self._table()
        top = "".join(f"<th>{html.escape(name)}</th>" for name in head)
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in line) + "</tr>" for line in body
        )
        return f"<div><table><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table><p>{html.escape(self._note())}</p></div>"

    def _note(self) -> str:
        levels = {"gzip": GZIP, "br": BROTLI, "zstd": ZSTD}
        used = dict.fromkeys(coding for row in self.rows for coding in row.sizes)
        text = ", ".join(f"{coding} at level {levels[coding]}" for coding in used)
        timed = any(row.milliseconds is not None for row in self.rows)
        return "; ".join(
            part
            for part in (f"sizes: {text}" if text else "", "times: one warm view each" if timed else "")
            if part
        )


Observe = Callable[[str, Mapping[str, str]], tuple[Mapping[str, Any], bytes, Any]]


def measured(value: Any, observe: Observe | None) -> Answers:
    """Measure what a step ended with: a URL, a response, or several of either.

    Args:
        value: URLs are visited, responses are taken as they are.
        observe: visits a URL with headers; its view record, its body as sent, its response. None where no page may be visited.

    Raises:
        WorkbenchError: it is something else, or a page that may not be visited.
    """
    if _is_one(value):
        value = [value]
    if not isinstance(value, Iterable) or isinstance(value, (bytes, Mapping)):
        raise _unfit(value)
    return Answers(tuple(_measure(one, observe) for one in value))


def sizes(body: bytes) -> dict[str, int]:
    """Bytes of a body in each coding that this Python has."""
    coder = zlib.compressobj(GZIP, zlib.DEFLATED, _GZIP_WINDOW)
    found = {"gzip": len(coder.compress(body) + coder.flush())}
    if (brotli := _first("brotli", "brotlicffi")) is not None:
        found["br"] = len(brotli.compress(body, quality=BROTLI))
    if (zstd := _first("compression.zstd", "backports.zstd")) is not None:
        found["zstd"] = len(zstd.compress(body, ZSTD))
    return found


def plain(body: bytes, coding: str) -> bytes | None:
    """A body without its coding; None where this Python cannot take it off."""
    try:
        if coding in ("", "identity"):
            return body
        if coding in ("gzip", "x-gzip"):
            return zlib.decompress(body, _GZIP_WINDOW)
        if coding == "deflate":
            return zlib.decompress(body)
        if coding == "br" and (brotli := _first("brotli", "brotlicffi")) is not None:
            return bytes(brotli.decompress(body))
        if coding == "zstd" and (zstd := _first("compression.zstd", "backports.zstd")) is not None:
            return bytes(zstd.decompress(body))
    except Exception:  # noqa: BLE001 every module has an error class of its own for a body that is not what it says
        return None
    return None


def _measure(value: Any, observe: Observe | None) -> Answer:
    if not _is_one(value):
        raise _unfit(value)
    if not isinstance(value, str):
        return _of_response(value)
    if observe is None:
        raise WorkbenchError(
            f"{value} cannot be visited: Django is on databases of its own here, and a page may write",
            "load the project on a private copy, %django load PATH in a fresh kernel; or end with a response",
        )
    return _visited(value, observe)


def _visited(url: str, observe: Observe) -> Answer:
    # The first view fills caches; what a browser is sent is learnt from it.
    first, body, response = observe(url, {"Accept-Encoding": ACCEPT})
    sent, coding = (None, "") if response is None else (len(body), _header(response, "Content-Encoding"))
    view, whole, response = observe(url, {})
    if response is None:
        return Answer(url, 0, error=view["error"] or first["error"])
    made = _of_response(response, whole)
    return Answer(
        url,
        made.status,
        made.kind,
        made.bytes,
        made.sizes,
        sent,
        coding,
        float(view["milliseconds"]),
        view["error"],
    )


def _of_response(response: Any, body: bytes | None = None) -> Answer:
    """Of Django's response, or another library's that has the usual attributes."""
    coding = _header(response, "Content-Encoding")
    if body is None and not getattr(response, "streaming", False):
        content = response.content
        body = content if isinstance(content, bytes) else bytes(content)
    kind = _header(response, "Content-Type")
    url = _name(response)
    if body is None:
        return Answer(
            url,
            response.status_code,
            kind,
            error="a stream, which is not read: it could not be sent any more",
        )
    # What a library has unpacked already still says how it was packed.
    whole = plain(body, coding)
    unpacked = body if whole is None else whole
    return Answer(
        url,
        response.status_code,
        kind,
        len(unpacked),
        sizes(unpacked),
        len(body) if coding and whole is not None else None,
        coding if whole is not None else "",
    )


def _is_one(value: Any) -> bool:
    return isinstance(value, str) or hasattr(value, "status_code")


def _unfit(value: Any) -> WorkbenchError:
    return WorkbenchError(
        f"the last expression is {'nothing' if value is None else f'of type {type(value).__name__}'}",
        'end the cell with a URL ("/stocks/"), a list of URLs, or a response',
    )


def _header(response: Any, name: str) -> str:
    if hasattr(response, "headers"):
        return str(response.headers.get(name) or "")
    return str(response.get(name) or "")  # Django before 3.2


def _name(response: Any) -> str:
    request = getattr(response, "request", None)
    if isinstance(request, Mapping):  # the test client's
        return str(request.get("PATH_INFO", ""))
    return str(getattr(response, "url", "") or type(response).__name__)


def _first(*names: str) -> Any:
    for name in names:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
