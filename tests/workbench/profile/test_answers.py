"""Sizes of answers: what is measured of bodies, coded or not."""

from __future__ import annotations

import gzip
from types import SimpleNamespace
from typing import Any

import pytest
from backports import zstd

from workbench.errors import WorkbenchError
from workbench.profile import answers

BODY = b'{"name": "value"}' * 500


def response(body: bytes, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return SimpleNamespace(status_code=200, content=body, headers=named)


def test_sizes_are_those_of_real_codings() -> None:
    """Each coding that this Python has, and what it makes can be read again."""
    found = answers.sizes(BODY)
    assert found["gzip"] < len(BODY) / 20
    assert found["zstd"] < len(BODY) / 20
    assert abs(found["gzip"] - len(gzip.compress(BODY, 6))) < 20


@pytest.mark.parametrize(
    ("coding", "body"), [("gzip", gzip.compress(BODY, mtime=0)), ("zstd", zstd.compress(BODY))]
)
def test_a_coded_body_is_measured_without_its_coding(coding: str, body: bytes) -> None:
    """Both sizes: as it is, and as it was sent."""
    (row,) = answers.measured(response(body, Content_Encoding=coding), None).rows
    assert (row.bytes, row.sent, row.coding) == (len(BODY), len(body), coding)
    assert row.sizes == answers.sizes(BODY)


def test_a_library_that_has_unpacked_already() -> None:
    """The header still names a coding, the content is plain: it is measured as it is."""
    (row,) = answers.measured(response(BODY, Content_Encoding="gzip"), None).rows
    assert (row.bytes, row.sent, row.coding) == (len(BODY), None, "")


def test_pages_are_visited_twice_and_timed_the_second_time() -> None:
    """The first view tells what a browser is sent, the second, plain and warm, has the time."""
    asked: list[tuple[str, dict[str, str]]] = []

    def observe(url: str, headers: Any) -> Any:
        asked.append((url, dict(headers)))
        coded = "Accept-Encoding" in headers
        body = gzip.compress(BODY, mtime=0) if coded else BODY
        made = response(body, **({"Content_Encoding": "gzip"} if coded else {}))
        return {"milliseconds": 9.0 if coded else 2.0, "error": None}, body, made

    (row,) = answers.measured("/page/", observe).rows
    assert [url for url, _ in asked] == ["/page/", "/page/"]
    assert (row.milliseconds, row.bytes, row.sent, row.coding) == (
        2.0,
        len(BODY),
        len(gzip.compress(BODY, mtime=0)),
        "gzip",
    )


def test_a_page_without_an_answer_is_a_row() -> None:
    """Its error stands in the table, and the others are measured."""

    def observe(url: str, headers: Any) -> Any:
        if url == "/broken/":
            return {"milliseconds": 1.0, "error": "RuntimeError: always"}, b"", None
        return {"milliseconds": 1.0, "error": None}, BODY, response(BODY)

    made = answers.measured(["/broken/", "/fine/"], observe)
    assert [(row.status, row.error) for row in made.rows] == [(0, "RuntimeError: always"), (200, None)]
    assert "RuntimeError: always" in repr(made)
    assert "RuntimeError: always" in made._repr_html_()


@pytest.mark.parametrize("value", [None, 3, b"/page/", {"url": "/"}, [3]])
def test_anything_else_is_refused_with_what_to_do(value: object) -> None:
    """The message names the type, and what a cell may end with."""
    with pytest.raises(WorkbenchError, match=r"the last expression is .*\n.*end the cell with a URL"):
        answers.measured(value, None)


def test_a_url_is_not_visited_where_it_may_not_be() -> None:
    """Without a private copy a page might write somewhere real."""
    with pytest.raises(WorkbenchError, match="a page may write"):
        answers.measured(["/page/"], None)
