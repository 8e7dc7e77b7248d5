"""What is suggested for a slow statement is tried on a real server and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from workbench import arms, project
from workbench.drills.environment import Environment
from workbench.project_process import ProjectProcess

TRY = "workbench.guest.remedies:tried"
ROWS = """
CREATE TABLE thing (id bigint PRIMARY KEY, "Size" int, name text, weight numeric);
INSERT INTO thing SELECT n, n % 20011, md5(n::text), n / 7.0 FROM generate_series(1, 60000) n;
ANALYZE thing
"""


#: Statement, its values, and the suggestions that must be tried for it.
STATEMENTS: list[tuple[str, list[Any], list[str]]] = [
    ('SELECT id FROM thing WHERE "Size" = %s', [-1], ["index"]),
    ("SELECT id FROM thing WHERE upper(name) LIKE %s", ["%ZZZ%"], ["trigram"]),
    ("SELECT id FROM thing WHERE substring(name, %s, %s) = %s", [2, 5, "zzzzz"], ["functional-index"]),
    ("SELECT id FROM thing WHERE weight * %s = %s", [3, -1], ["functional-index"]),
    ("SELECT id, name FROM thing ORDER BY weight DESC LIMIT 5", [], ["sort-index"]),
    ('UPDATE thing SET name = %s WHERE "Size" = %s', ["changed", 7], ["index"]),
    ('SELECT * FROM "thing" ORDER BY "thing"."id" ASC LIMIT 10 OFFSET 50000', [], ["keyset"]),
    ('SELECT * FROM "thing" WHERE "thing"."id" > %s ORDER BY "thing"."id" DESC LIMIT 10 OFFSET 50000', [5], ["keyset"]),
    ("SELECT id, name FROM thing", [], ["many-rows"]),
]  # fmt: skip
STATE = """
SELECT (SELECT md5(string_agg(t::text, ',' ORDER BY id)) FROM thing t),
       (SELECT array_agg(indexname::text ORDER BY 1) FROM pg_indexes WHERE tablename = 'thing'),
       (SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm')
"""


@pytest.fixture(scope="module")
def environment() -> Iterator[Environment]:
    with Environment(project.demo(), 1) as environment:
        environment.server.create_database("things")
        with environment.server.connect("things") as connection:
            connection.execute("SET ROLE app")
            for statement in ROWS.split(";"):
                connection.execute(statement)
        yield environment


@pytest.fixture(scope="module")
def process(environment: Environment) -> Iterator[ProjectProcess]:
    with environment.process(arms.treatment("DATABASE"), "things") as process:
        yield process


@pytest.mark.parametrize(("sql", "params", "kinds"), STATEMENTS, ids=[one[0] for one in STATEMENTS])
def test_it_is_tried_and_taken_back(
    environment: Environment, process: ProjectProcess, sql: str, params: list[Any], kinds: list[str]
) -> None:
    """Each has times before, with it and after; rows, indexes and extensions are then what they were."""

    def state() -> Any:
        with environment.server.connect("things") as connection:
            return connection.execute(STATE).fetchone()

    before = state()
    found = process.call(TRY, sql=sql, params=params)
    assert [one["kind"] for one in found] == kinds
    assert [one["why"] for one in found] == [""] * len(kinds)
    assert all(one[moment] > 0 for one in found for moment in ("before", "with", "after"))
    assert state() == before


def test_a_deep_page_goes_on_to_the_same_rows(environment: Environment, process: ProjectProcess) -> None:
    """What takes the place of an OFFSET gives the page that was asked for, in either direction, with a condition or without."""
    for sql, params, kinds in STATEMENTS:
        if kinds == ["keyset"]:
            remedy = process.call("workbench.guest.remedies:instead", sql=sql, params=params)
            with environment.server.connect("things") as connection:
                wanted = connection.execute(sql, params).fetchall()
                assert connection.execute(remedy["sql"], remedy["params"]).fetchall() == wanted


def test_what_cannot_be_tried_says_so(process: ProjectProcess) -> None:
    """A page in an order of several directions cannot go on from a row: it counts as not measured, with a reason."""
    sql = 'SELECT * FROM "thing" ORDER BY "thing"."name" ASC, "thing"."id" DESC LIMIT 10 OFFSET 50000'
    found = {one["kind"]: one for one in process.call(TRY, sql=sql, params=[])}
    assert found["keyset"]["why"] == "it cannot be tried without the programmer"


def test_a_statement_without_a_plan_has_nothing_to_try(process: ProjectProcess) -> None:
    """SET is neither explained nor run."""
    assert process.call(TRY, sql="SET statement_timeout = 0", params=[]) == []
