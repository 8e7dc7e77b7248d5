"""What plans suggest: from plans that a real PostgreSQL made, and nothing where the figures do not show it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from django.db import connection

from stalwart.database.conditions import conditions, equated, sort_columns
from stalwart.database.explain import explain_now
from stalwart.database.explained import Explained
from stalwart.database.plans import nodes
from stalwart.database.suggestions import Suggestion, Table, suggest

TABLES = """
CREATE TABLE q_firm (id int PRIMARY KEY, name varchar(50), sector varchar(20), note text, worth numeric(18,2), since timestamptz,
                     tagged varchar(20), coded int);
INSERT INTO q_firm SELECT n, 'Firm ' || n, 's' || n % 3, repeat('lorem ' || n || ' ', 5), n * 1.5,
                          timestamptz '2020-01-01' + n * interval '1 hour', 't' || n, n FROM generate_series(1, 20000) n;
CREATE INDEX ON q_firm (coded);
CREATE INDEX ON q_firm (upper(tagged));
CREATE TABLE q_deal (id int PRIMARY KEY, firm_id int, amount int);
INSERT INTO q_deal SELECT n, n % 20000, n % 500 FROM generate_series(1, 60000) n;
CREATE TABLE q_few (id int, amount int);
INSERT INTO q_few SELECT n, n FROM generate_series(1, 5) n;
ANALYZE q_firm; ANALYZE q_deal; ANALYZE q_few;
"""


@pytest.fixture(scope="module")
def _filled(_tables: None) -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(TABLES)
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE q_firm, q_deal, q_few")
    connection.close()


def explained(sql: str, *params: object) -> Explained:
    connection.ensure_connection()
    made = explain_now(connection, sql, params or None, writes=True)
    assert made.skipped == ""
    return made


@pytest.mark.usefixtures("_filled", "django_db")
class TestOnARealServer:
    """Each kind once where the figures show it, and its harmless twin."""

    @pytest.mark.parametrize(
        ("sql", "params", "kind", "table", "columns"),
        [
            ("SELECT * FROM q_firm WHERE name = %s", ["x"], "index", "q_firm", ("name",)),
            ("SELECT * FROM q_firm WHERE sector = %s AND worth > %s", ["s1", 29990], "index", "q_firm", ("sector", "worth")),
            ("UPDATE q_firm SET sector = 'x' WHERE worth = %s", [1], "index", "q_firm", ("worth",)),
            ("SELECT * FROM q_firm WHERE note LIKE %s", ["%zzz%"], "trigram", "q_firm", ("note",)),
            ("SELECT * FROM q_firm WHERE UPPER(name::text) LIKE UPPER(%s)", ["%zz%"], "trigram", "q_firm", ("name",)),
            ("SELECT * FROM q_firm WHERE UPPER(name::text) = UPPER(%s)", ["zz"], "functional-index", "q_firm", ("name",)),
            ("SELECT * FROM q_firm WHERE LENGTH(note) = %s", [5], "functional-index", "q_firm", ("note",)),
            ("SELECT * FROM q_firm WHERE (since AT TIME ZONE 'UTC')::date = %s", ["2020-01-01"], "functional-index", "q_firm", ("since",)),
            ("SELECT * FROM q_firm WHERE EXTRACT(month FROM since AT TIME ZONE 'UTC') = %s", [5], "functional-index", "q_firm", ("since",)),
            ("SELECT * FROM q_firm ORDER BY worth DESC LIMIT 10", [], "sort-index", "q_firm", ("worth",)),
            ("SELECT d.* FROM q_deal d ORDER BY amount, firm_id LIMIT 10", [], "sort-index", "q_deal", ("amount", "firm_id")),
            ("SELECT * FROM (SELECT * FROM q_deal a, generate_series(1, 20)) x ORDER BY amount", [], "sort-memory", "q_deal", ("amount",)),
            ("SELECT * FROM q_few f JOIN q_deal d ON d.amount = f.amount WHERE f.id = 3", [], "join-index", "q_deal", ("amount",)),
            ("SELECT id FROM q_deal ORDER BY id LIMIT 20 OFFSET 50000", [], "keyset", "", ()),
            ("SELECT * FROM q_deal", [], "many-rows", "", ()),
            ("SELECT * FROM q_firm WHERE name = ANY(%s)", [[str(n) for n in range(600)]], "long-list", "q_firm", ()),
            ("SELECT count(*) FROM q_firm a, q_deal b", [], "cross-join", "q_firm", ()),
        ],
    )  # fmt: skip
    def test_found(
        self, sql: str, params: list[object], kind: str, table: str, columns: tuple[str, ...]
    ) -> None:
        """The kind, its table and columns, and figures that show it."""
        (found,) = [one for one in explained(sql, *params).suggestions if one.kind == kind]
        assert (found.table, found.columns) == (table, columns)
        assert found.evidence
        assert all(isinstance(value, float) for value in found.evidence.values())
        assert json.loads(json.dumps(found.as_dict()))["kind"] == kind

    @pytest.mark.parametrize(
        ("sql", "params"),
        [
            ("SELECT * FROM q_firm WHERE id = %s", [1]),
            ("SELECT * FROM q_firm WHERE coded = %s", [1]),
            ("SELECT * FROM q_firm WHERE UPPER(tagged) = %s", ["T1"]),
            ("SELECT * FROM q_firm WHERE sector = %s LIMIT 10", ["s1"]),
            ("SELECT count(*) FROM q_firm WHERE sector = %s", ["s1"]),
            ("SELECT * FROM q_firm WHERE (name = %s OR note = %s) LIMIT 10", ["a", "b"]),
            ("SELECT * FROM q_firm ORDER BY id LIMIT 20", []),
            ("SELECT * FROM q_firm ORDER BY coded LIMIT 20", []),
            ("SELECT * FROM q_firm ORDER BY id LIMIT 20 OFFSET 40", []),
            ("SELECT * FROM q_few WHERE amount = %s", [1]),
            ("SELECT * FROM q_few ORDER BY amount", []),
            ("SELECT d.* FROM q_few f JOIN q_deal d ON d.id = f.amount WHERE f.id = 3", []),
            ("SELECT * FROM q_firm WHERE id = ANY(%s)", [[1, 2, 3]]),
            ("SELECT sector, count(*) FROM q_firm GROUP BY sector", []),
            ("INSERT INTO q_few VALUES (1, 2)", []),
        ],
    )  # fmt: skip
    def test_not_found(self, sql: str, params: list[object]) -> None:
        """An index that serves, a small table, a condition that most rows meet, a page that is not deep: nothing."""
        assert explained(sql, *params).suggestions == ()

    def test_an_index_that_is_there_ends_the_suggestion(self) -> None:
        """What was suggested, once done, is not suggested again."""
        sql = "SELECT * FROM q_firm WHERE UPPER(name::text) = UPPER(%s)"
        (found,) = explained(sql, "x").suggestions
        assert "(upper((name)::text))" in found.text
        with connection.cursor() as cursor:
            cursor.execute("CREATE INDEX q_made ON q_firm (upper((name)::text))")
            cursor.execute("ANALYZE q_firm")
        try:
            assert explained(sql, "x").suggestions == ()
        finally:
            with connection.cursor() as cursor:
                cursor.execute("DROP INDEX q_made")


# -- on plans by hand


def scan(condition: str, rows: int = 10, **more: object) -> list[dict[str, object]]:
    return [
        {
            "Plan": {
                "Node Type": "Seq Scan",
                "Relation Name": "t",
                "Filter": condition,
                "Plan Rows": rows,
                **more,
            }
        }
    ]


def kinds(found: tuple[Suggestion, ...]) -> list[str]:
    return [one.kind for one in found]


BIG = {"t": Table(100_000.0)}


@pytest.mark.parametrize(
    "plan", [None, [], {}, [1], ["x"], [{"Plan": None}], [{"Plan": {}}], "SCAN t", ["SCAN t"]]
)
def test_what_is_no_plan_suggests_nothing(plan: object) -> None:
    """SQLite's lines, or a plan of another kind."""
    assert suggest(plan, "SELECT 1", BIG) == ()
    assert not any(node.kind for node in nodes(plan))


def test_without_statistics_nothing_is_suggested() -> None:
    """A scan of a table that nothing is known of is no evidence."""
    assert suggest(scan("(a = '?'::text)")) == ()
    assert suggest(scan("(a = '?'::text)"), "", {"t": Table(500.0)}) == ()
    assert kinds(suggest(scan("(a = '?'::text)"), "", BIG)) == ["index"]


def test_a_scan_that_most_rows_pass_is_no_case_for_an_index() -> None:
    """Reading all is quicker then."""
    assert "index" not in kinds(suggest(scan("(a = '?'::text)", rows=60_000), "", BIG))


def test_each_thing_is_suggested_once() -> None:
    """A table that is read twice in a plan has one line."""
    inner = scan("(a = ?)")[0]["Plan"]
    plan = [{"Plan": {"Node Type": "Append", "Plan Rows": 20, "Plans": [inner, inner]}}]
    assert kinds(suggest(plan, "", BIG)) == ["index"]


def test_rows_of_parallel_workers_are_added_up() -> None:
    """The planner gives the rows of one of them."""
    inner = scan("(a = ?)", rows=1000)[0]["Plan"]
    plan = [{"Plan": {"Node Type": "Gather", "Plan Rows": 2400, "Workers Planned": 2, "Plans": [inner]}}]
    assert [node.rows for node in nodes(plan)] == [2400, 2400]


@pytest.mark.parametrize(
    ("text", "left", "columns", "operator", "computed"),
    [
        ("(a = 5)", "a", ("a",), "=", False),
        ("((a)::text = '?'::text)", "(a)::text", ("a",), "=", False),
        ("(t.\"Odd\" >= '?'::numeric)", 't."Odd"', ("Odd",), ">=", False),
        ("(a = ANY ('{?*3}'::integer[]))", "a", ("a",), "=", False),
        ("(a = $1)", "a", ("a",), "=", False),
        ("(lower((a)::text) = '?'::text)", "lower((a)::text)", ("a",), "=", True),
        ("((a % ?) = ?)", "a % ?", ("a",), "=", True),
    ],
)
def test_conditions_are_read(
    text: str, left: str, columns: tuple[str, ...], operator: str, computed: bool
) -> None:
    """A column, its casts, and what is computed from it."""
    (found,) = conditions(text.replace("5", "?"))
    assert (found.left, found.columns, found.operator, found.computed) == (left, columns, operator, computed)


@pytest.mark.parametrize(
    "text", ["", "(a IS NULL)", "(hashed SubPlan ?)", "((a = ?) OR (b = ?))", "(a <> ?)", "(a !~~ '%?%'::text)", "(a = b)", "((("]
)  # fmt: skip
def test_what_is_not_understood_is_left_out(text: str) -> None:
    """No guess."""
    assert conditions(text) == []


def test_parts_that_must_all_hold_are_told_apart() -> None:
    """AND inside quotes and brackets is not the outer one."""
    text = "((a = '? AND ?'::text) AND ((b)::text ~~ '%?'::text) AND ((c = ?) OR (d = ?)))"
    assert [one.columns for one in conditions(text)] == [("a",), ("b",)]


def test_columns_of_joins_and_sorts() -> None:
    """Of the table asked for; none where a key is computed."""
    assert equated("((a.x = b.y) AND (b.z = a.w))", "b") == ("y", "z")
    assert equated("((a.x)::text = (b.y)::text)", "a") == ("x",)
    assert sort_columns(["t.worth DESC NULLS LAST", '"Odd"']) == ("worth", "Odd")
    assert sort_columns(["lower(name)", "id"]) == ()
