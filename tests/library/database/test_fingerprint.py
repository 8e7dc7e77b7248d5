"""The fingerprint: the same for one statement whatever its values and layout, another one for another statement."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stalwart.database.fingerprint import LONGEST_READ, LONGEST_TEXT, Fingerprint, fingerprint

DJANGO = (
    'SELECT "shop_item"."id", "shop_item"."name" FROM "shop_item" INNER JOIN "shop_maker" ON '
    '("shop_item"."maker_id" = "shop_maker"."id") WHERE ("shop_item"."id" IN (%s, %s) AND '
    'UPPER("shop_maker"."name"::text) LIKE UPPER(%s)) ORDER BY "shop_item"."id" ASC LIMIT 21'
)


def text(sql: object) -> str:
    return fingerprint(sql).text


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1", "SELECT ?"),
        ("select  A.b\n\tfrom T", "SELECT a.b FROM t"),
        ("x = -5", "x = ?"),
        ("x - 5", "x - ?"),
        ("x = - -5", "x = ?"),
        ("(x) -1e-5", "(x) - ?"),
        ("x BETWEEN -1 AND +2.5", "x BETWEEN ? AND ?"),
        ("0xFF 1_000 .5 1.e3 5.", "? ? ? ? ?"),
        ("'it''s' '' 'a\nb'", "? ? ?"),
        (r"E'it\'s' e'\\' N'x' U&'\0041' B'01' X'ff'", "? ? ? ? ? ?"),
        ("$$ 'x' $$, $t$ $$ $t$, a$b$c", "?, ?, a$b$c"),
        ("a = $1 AND b = %s AND c = %(name)s AND d = ? AND e = :who", "a = ? AND b = ? AND c = ? AND d = ? AND e = ?"),
        ("a::numeric(10, 2), '{1,2}'::int[]", "a::numeric(?, ?), ?::int[]"),
        ("IN (1, 2, 3)", "IN (?)"),
        ("in ( 'a' )", "IN (?)"),
        ("IN (%s, NULL, 3)", "IN (?)"),
        ("IN (%s::uuid, %s::uuid)", "IN (?::uuid)"),
        ("IN ((1, 2), (3, 4))", "IN ((?, ?))"),
        ("IN (a, a, b)", "IN (a, b)"),
        ('IN ("a", "a")', 'IN ("a", "a")'),
        ("IN (SELECT 1, 2)", "IN (SELECT ?, ?)"),
        ("= ANY (ARRAY[1, 2])", "= ANY (ARRAY[?])"),
        ("f(1, 2) <> g(1)", "f(?, ?) <> g(?)"),
        ("VALUES (1, 'a'), (2, NULL), (DEFAULT, %s)", "VALUES (?, ?)"),
        ("VALUES (1, now()), (2, now()) RETURNING id", "VALUES (?, now()) RETURNING id"),
        ("a -- x 'y\n b", "a b"),
        ("a /* b /* 'c */ d */ e", "a e"),
        ("a /* never ended", "a"),
        ('SAVEPOINT "s1_x2"', "SAVEPOINT ?"),
        ("RELEASE SAVEPOINT s1", "RELEASE SAVEPOINT ?"),
        ("release s1", "RELEASE ?"),
        ("ROLLBACK TO SAVEPOINT s1", "ROLLBACK TO SAVEPOINT ?"),
        ("rollback to s1", "ROLLBACK TO ?"),
        ("ROLLBACK", "ROLLBACK"),
        ('"a""b"."c" . "d"', '"a""b"."c"."d"'),
        ("`a``b` = 1", "`a``b` = ?"),
        ("'never ended", "?"),
        ("x = \"never ended 'secret", "x = ?"),
        ("$q$ never ended", "?"),
        ("IS NULL OR x = TRUE", "IS NULL OR x = TRUE"),
        ("data ->> 'k' @> '{}' || 'x'", "data ->> ? @> ? || ?"),
        ("data ? 'key'", "data ? ?"),
        ("a[1:2]", "a[? : ?]"),
        ("count(*), t.*", "count(*), t.*"),
        ("a %% 2", "a %% ?"),
        ("", ""),
    ],
)  # fmt: skip
def test_values_and_layout_go_and_names_stay(sql: str, expected: str) -> None:
    """Literals, placeholders, list items, rows, comments and savepoint names vanish; everything else stays legible."""
    assert text(sql) == expected


def test_what_django_writes_is_read_as_a_reader_would() -> None:
    """A statement of the ORM keeps its names and its shape."""
    assert text(DJANGO) == DJANGO.replace("%s, %s", "?").replace("%s", "?").replace("21", "?").replace(
        "UPPER", "upper"
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("SELECT a FROM t", "SELECT b FROM t"),
        ('SELECT "a" FROM t', 'SELECT "A" FROM t'),
        ("f(1)", "f(1, 2)"),
        ("x IS NULL", "x IS NOT NULL"),
        ("x = 1", "x > 1"),
        ("SAVEPOINT a", "RELEASE a"),
        ("INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (1, 2)"),
    ],
)
def test_another_statement_has_another_hash(one: str, other: str) -> None:
    """What a statement does is in its hash."""
    assert fingerprint(one).hash != fingerprint(other).hash


def test_the_hash_is_the_same_on_every_machine() -> None:
    """It is stored and compared across processes, so it must not move by itself."""
    assert fingerprint("SELECT 1") == Fingerprint("41c9c6be1360da6b", "SELECT ?")


def test_mysql_literals() -> None:
    """There a backslash escapes, and double quotes are a literal's."""
    sql = r"""SELECT `a` WHERE b = 'it\'s secret' AND c = "a\"secret" # secret"""
    assert fingerprint(sql, mysql=True).text == "SELECT `a` WHERE b = ? AND c = ?"


def test_a_long_text_is_cut_and_its_hash_is_not() -> None:
    """The text ends in "…" between two words; statements that differ behind the cut have other hashes."""
    columns = ", ".join(f'"t"."column_{number}"' for number in range(200))
    one, other = (fingerprint(f"SELECT {columns} FROM {table}") for table in ("a", "b"))
    assert one.text == other.text
    assert len(one.text) <= LONGEST_TEXT
    assert re.search(r'"column_\d+", …$', one.text)
    assert one.hash != other.hash


@pytest.mark.parametrize("sql", [b"SELECT \xff 'x'", None, 5, ["a", 'b "'], memoryview(b"x")])
def test_any_object_has_a_fingerprint(sql: object) -> None:
    """Bytes, and objects of the driver, are read by their text."""
    assert len(fingerprint(sql).hash) == 16


def test_an_object_that_cannot_be_read_has_one_too() -> None:
    """Somebody's `__str__` may raise; the statement itself was fine."""

    class Awkward:
        def __str__(self) -> str:
            raise RuntimeError("no")

    assert text(Awkward()) == "awkward"


def test_a_literal_object_of_psycopg_shows_no_value() -> None:
    """The text of a composed statement that nobody rendered is a Python repr, whose values go like any other."""
    from psycopg import sql

    made = sql.SQL("SELECT {} + {}").format(sql.Literal("secret"), sql.Literal(4711))
    assert "secret" not in text(made)
    assert "4711" not in text(made)


# -- properties

LITERALS = st.one_of(
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.text(alphabet=st.characters(exclude_characters="\0")).map(lambda s: "'" + s.replace("'", "''") + "'"),
    st.text(alphabet="abc'\\ \n").map(lambda s: "E'" + s.replace("\\", "\\\\").replace("'", "\\'") + "'"),
    st.text(alphabet="abc'\"\\ ;-").map(lambda s: f"$q${s}$q$"),
    st.sampled_from(["%s", "$1", "?", ":name", "%(name)s"]),
)
GAPS = st.sampled_from([" ", "\n", "  ", " /* a 'comment' */ ", " -- one\n", "\t/* /* nested */ */"])
TEMPLATES = st.sampled_from(
    [
        "SELECT {g}a FROM t{g}WHERE b = {v} AND c <> {v}{g}LIMIT {v}",
        'UPDATE "t" SET{g}"a" = {v}, "b" = {v} WHERE{g}"id" IN ({l})',
        "INSERT INTO t VALUES ({v}, {v}), ({v},{g}{v})",
        "SELECT f({v}){g}+ {v}, ARRAY[{l}] FROM (VALUES ({v})) x",
    ]
)
FRAGMENTS = st.lists(
    st.sampled_from(
        ["'", "''", '"', '""', "`", "$", "$$", "$a$", "--", "/*", "*/", "\n", " ", "(", ")", "[", "]", ",", ";", ".", "::",
         ":a", "?", "%s", "%(a)s", "$1", "-", "+", "1", "1e", "1e-5", "E'", "\\", "\\'", "x", "IN", "VALUES", "ARRAY",
         "SAVEPOINT", "RELEASE", "ROLLBACK", "TO", "NULL", "DEFAULT", "SELECT", "…", "İ", "²", "\0", "\ud800", "a\"b", "%"]
    ),
    max_size=60,
).map("".join)  # fmt: skip
ANYTHING = st.one_of(st.text(), FRAGMENTS, st.lists(FRAGMENTS, min_size=2, max_size=3).map(" ".join))


@given(st.data(), TEMPLATES)
def test_values_layout_and_length_of_lists_do_not_matter(data: st.DataObject, template: str) -> None:
    """Two drawings of all values, gaps and lists give one fingerprint."""

    def fill(kind: re.Match[str]) -> str:
        if kind.group() == "{l}":
            return ", ".join(data.draw(st.lists(LITERALS, min_size=1, max_size=5)))
        return data.draw(LITERALS if kind.group() == "{v}" else GAPS)

    one, other = (re.sub(r"\{[lvg]\}", fill, template) for _ in range(2))
    assert fingerprint(one) == fingerprint(other)


@given(ANYTHING, st.booleans())
def test_a_fingerprint_of_a_fingerprint_is_the_same(sql: str, mysql: bool) -> None:
    """Whatever comes in, nothing is raised, and the text is at rest."""
    made = fingerprint(sql, mysql=mysql)
    assert len(made.text) <= LONGEST_TEXT
    assert fingerprint(made.text, mysql=mysql) == made or made.text.endswith("…")
    assert text(made.text) == made.text or mysql


@given(st.text(alphabet=st.characters(codec="ascii", categories=["L", "N"]), min_size=8), FRAGMENTS)
def test_what_stands_in_a_literal_never_comes_out(secret: str, before: str) -> None:
    """A value in quotes is in no fingerprint, whatever broken text stands before it and swallows its quotes."""
    secret = f"Zq7{secret}7qZ"
    literal = "'" + secret + "'"
    shown = text(f"SELECT {literal}, x FROM t WHERE y = {literal}")
    assert "zq7" not in shown.lower()
    # Behind an unbalanced quote the literal is outside of quotes for any reader of the text, the server too.
    if not set("'\"`$\\") & set(before) and "--" not in before and "/*" not in before:
        assert "zq7" not in text(f"{before} {literal}").lower()


@pytest.mark.parametrize(
    "piece",
    ["'", "''", '"', '""', "(", ")", "IN (", "IN ((", "/*", "/**/", "--", "$a$", "$", "%s, ", "1, ", "-", "- ", "a.", '"a".',
     "VALUES (1), ", "IN (1, IN (1, ", "((1,1),", "E'\\", "::", "e1e+", "ARRAY[", '"a", ', "ROLLBACK TO ", "\\", "[", "IN (%s, "]
)  # fmt: skip
def test_time_grows_with_the_length_only(piece: str) -> None:
    """A hostile text of four times the length takes about four times as long, not sixteen."""

    def least(length: int) -> float:
        times = []
        for turn in range(7):
            sql = (f"{turn} " + piece * length)[:length]
            before = time.process_time()
            fingerprint(sql)
            times.append(time.process_time() - before)
        return min(times)

    small, large = least(LONGEST_READ // 8), least(LONGEST_READ // 2)
    assert large < 10 * max(small, 0.0005)


def test_what_lies_beyond_the_limit_is_not_read() -> None:
    """A statement of many megabytes takes no longer than its beginning."""
    sql = "SELECT " + "a, " * LONGEST_READ
    assert fingerprint(sql) == fingerprint(sql + "b" * 10_000_000)
