"""Bodies whose costs are known by construction are weighed, and leaner forms of them compared."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import pytest

from workbench.profile.sizes import codings, leaner, parts
from workbench.profile.sizes.analysis import LARGEST, analysed

CHANCE = random.Random(7)


def rows(count: int, **extra: Any) -> list[dict[str, Any]]:
    return [
        {"id": number, **{key: make(number) if callable(make) else make for key, make in extra.items()}}
        for number in range(count)
    ]


def forms(document: Any, **how: Any) -> dict[str, leaner.Leaner]:
    body = json.dumps(document, **how).encode()
    return {one.kind: one for one in analysed("/x/", "application/json", body).leaner}


def page(body: str) -> str:
    return f"<!doctype html>\n<html><head><title>x</title></head><body>{body}</body></html>"


def html(body: str) -> Any:
    return analysed("/x/", "text/html; charset=utf-8", page(body).encode())


def noise(length: int) -> str:
    return "".join(CHANCE.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=length))


def test_the_dearest_key_is_the_one_that_cannot_be_guessed() -> None:
    """A long key that is the same in every row costs next to nothing; digits of chance cost nearly all."""
    document = {
        "results": rows(400, price=lambda _: CHANCE.random(), exchange="Frankfurter Wertpapierbörse, Parkett")
    }
    found = {
        one.name: one for one in analysed("/x/", "application/json", json.dumps(document).encode()).parts
    }
    assert found["results[].exchange"].bytes > found["results[].price"].bytes
    assert found["results[].price"].share > 0.6
    assert found["results[].exchange"].share < 0.05
    assert found["results[].price"].count == 400
    assert found["results"].share == pytest.approx(1, abs=0.02)


def test_rounding_pays_where_nobody_rounded() -> None:
    """Full digits shrink by more than a third; numbers that were rounded already are left alone."""
    found = forms({"results": rows(500, price=lambda _: CHANCE.random() * 100)})
    assert found["rounded"].text == "500 numbers rounded to 4 digits after the point"
    assert found["rounded"].saved > 0.3 * (found["rounded"].coded + found["rounded"].saved)
    assert found["rounded"].pays
    assert not found["rounded"].same
    assert "rounded" not in forms({"results": rows(500, price=lambda _: round(CHANCE.random() * 100, 2))})


def test_nulls_cost_little_once_they_are_coded() -> None:
    """A tenth of the plain bytes and hardly any of the coded ones: it is shown, and does not pay."""
    found = forms(rows(300, name=lambda _: noise(12), note=None, deleted_at=None))
    form = found["without-nulls"]
    assert form.text == "without 600 keys whose value is null"
    assert not form.pays
    assert form.saved < 0.1 * (form.coded + form.saved)


def test_spaces_are_counted_for_compact_alone() -> None:
    """The other forms are compared with the compact one, so that none of them is credited with its gain."""
    document = rows(200, name=lambda _: noise(8), note=None)
    loose, tight = forms(document, indent=4), forms(document, separators=(",", ":"))
    assert loose["compact"].same
    assert "compact" not in tight
    assert {kind: one.saved for kind, one in loose.items() if kind != "compact"} == {
        kind: one.saved for kind, one in tight.items()
    }


def test_repeated_objects_and_constants_are_named() -> None:
    """What is the same in every row, and an object that many rows hold, are told with their counts."""
    shops = [{"id": number, "name": noise(60), "city": noise(20)} for number in range(5)]
    found = forms(rows(60, currency="EUR", shop=lambda number: shops[number % 5]))
    assert found["objects-once"].text.startswith("5 objects that are there 60 times")
    assert found["columns"].text == "1 list of rows as lists of columns"


def test_constants_are_hoisted_only_where_all_rows_have_them() -> None:
    """One row that differs, or a list that is short, and nothing is taken out."""
    made = leaner._constants(rows(20, currency="EUR", name=str))
    assert made is not None
    assert made[0] == "currency, the same in every row, once"
    assert made[1]["all"] == {"currency": "EUR"}
    assert made[1]["rows"][3] == {"id": 3, "name": "3"}
    assert leaner._constants([*rows(20, currency="EUR"), {"id": 20, "currency": "USD"}]) is None
    assert leaner._constants(rows(19, currency="EUR")) is None


def test_a_long_list_wants_pages_and_a_file_an_address() -> None:
    """Rows beyond a page, and base64 in a field, are the largest costs where they are there."""
    found = forms(rows(1_000, name=lambda _: noise(10)))
    assert found["page"].text == "the first 50 rows of at most 1,000"
    assert found["page"].saved > 0.9 * (found["page"].saved + found["page"].coded)
    picture = base64.b64encode(CHANCE.randbytes(30_000)).decode()
    found = forms({"name": "x", "picture": picture, "text": "plain words " * 100})
    assert found["files"].text == "1 file in base64 at an address of their own"
    assert found["files"].trips == 1
    assert found["files"].bytes < 2_000


def test_a_leaner_form_is_what_it_says() -> None:
    """The bytes of each form are those of a document that was really made: here the columns can be turned back."""
    document = rows(500, a=lambda number: number % 7, b=lambda _: noise(3), c=lambda _: CHANCE.random())
    made = leaner._columns(document)
    assert made is not None
    columns = made[1]
    assert [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ] == document
    assert forms(document)["columns"].bytes == len(parts.dumped(columns))


def test_the_parts_of_a_page_are_told() -> None:
    """Script, style, table, class names and data: addresses, each with its share."""
    picture = base64.b64encode(CHANCE.randbytes(9_000)).decode()
    table = "".join(f'<tr class="row odd"><td>{noise(12)}</td></tr>\n' for _ in range(150))
    script = "".join(f"function {noise(9)}() {{ return '{noise(20)}' }}\n" for _ in range(60))
    seen = html(
        f'<img src="data:image/png;base64,{picture}"><table>{table}</table><script>{script}</script><!-- {noise(400)} -->'
    )
    found = {one.name: one for one in seen.parts}
    assert seen.parts[0].name == "data: addresses"
    assert found["table rows"].count == 150
    assert found["inline scripts"].coded > 1_000
    assert found["comments"].coded > 200
    forms = {one.kind: one for one in seen.leaner}
    assert forms["files"].same
    assert forms["inline-code"].text == "1 script in files, which a browser keeps"
    assert forms["page"].text == "the first 50 of 150 <tr>"


def test_what_is_preformatted_keeps_its_white_space() -> None:
    """Nothing inside pre, textarea, script and style is touched."""
    made = leaner._whitespace(page("<p>a   b</p>\n\n<pre>x   \n  y</pre>   <textarea>  z\n\n</textarea>"))
    assert made is not None
    assert "<p>a b</p> <pre>x   \n  y</pre> <textarea>  z\n\n</textarea>" in made[1]


def test_the_debug_toolbar_is_seen() -> None:
    """Its bytes are not the project's, and are told apart."""
    found = {
        one.kind: one
        for one in html(f'<p>{noise(500)}</p><div id="djDebug" class="x">{noise(30_000)}</div>').leaner
    }
    assert found["toolbar"].trips == 1


@pytest.mark.parametrize("tag", ["li", "script", "style", "svg", "tr", "option"])
def test_tags_that_are_never_closed_are_read_once(tag: str) -> None:
    """Each match ends where the next of its kind begins, so that the time does not grow with the square of a hostile page."""
    text = f"<{tag}>x y " * 2_000
    found = [match.group() for match in parts.elements(tag).finditer(text)]
    assert found == [f"<{tag}>x y "] * 2_000
    assert html(text).bytes > len(text)


def test_a_tag_without_an_end_hides_no_toolbar() -> None:
    """The search for the debug toolbar does not go on beyond the tag in which it began."""
    assert parts.TOOLBAR.search("<div " * 1_000 + 'id="djDebug"') is not None
    match = parts.TOOLBAR.search('<div class="a"><p id="djDebug">')
    assert match is None


def test_what_cannot_be_taken_apart_says_why() -> None:
    """Broken, deep, huge and foreign bodies are coded all the same, with a word about it."""
    for kind, body, note in (
        ("application/json", b'{"a": ', "cannot be read as such"),
        ("application/json", b"[" * 100_000, "cannot be read as such"),
        ("application/pdf", b"%PDF", "application/pdf is not taken apart"),
        ("", b"x", "a body without a type"),
        ("application/json", b'"' + b"x" * LARGEST + b'"', "too many to be taken apart"),
    ):
        found = analysed("/x/", kind, body)
        assert note in found.note
        assert found.coded > 0
        assert found.bytes == len(body)


def test_codings_are_real() -> None:
    """Each level of each coding that this Python has gives bytes and a time, and higher levels are no larger for long."""
    body = json.dumps(rows(300, name=lambda _: noise(10))).encode()
    found = codings.table(body)
    assert {one.coding for one in found} >= {"gzip", "zstd"}
    assert all(0 < one.bytes < len(body) and one.milliseconds > 0 for one in found)
    gzip = {one.level: one.bytes for one in found if one.coding == "gzip"}
    assert gzip[9] <= gzip[6] <= gzip[1]
