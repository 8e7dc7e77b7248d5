"""A step's record, from what the process has taken down."""

from __future__ import annotations

from typing import Any

from workbench.steps import observing as steps


def query(line: int, sql: str = "SELECT a FROM b WHERE id = %s", **fields: Any) -> dict[str, Any]:
    site = {"file": "app/views.py", "line": line, "function": "view", "lasti": 2}
    return {"sql": sql, "milliseconds": 1.5, "rows": 1, "origin": "get", "site": site, **fields}


def record(*queries: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"url": "In[1]", "pass": "attributed", "status": 0, "queries": list(queries), **fields}


def test_statements_are_grouped_by_place_and_text() -> None:
    """One line with one text is one row, whatever the values; the costliest comes first."""
    step = steps.step_of(record(query(3), query(7), query(7), query(7, "SELECT c FROM d")))
    rows = step.by_site()
    assert [(row.location, row.runs, row.distinct) for row in rows] == [
        ("app/views.py:7", 2, 2),
        ("app/views.py:3", 1, 1),
        ("app/views.py:7", 1, 1),
    ]
    assert rows[0].milliseconds == 3.0


def test_findings_are_those_of_the_profile() -> None:
    """A loop and a repetition have the labels that the whole document gives them, untested."""
    looped = steps.step_of(record(*(query(7) for _ in range(4))))
    assert [(one.kind, one.location, one.verdict) for one in looped.findings] == [
        ("query-in-loop", "app/views.py:7", "untested")
    ]
    again = steps.step_of(record(query(3), query(4, same_as=0)))
    assert [one.kind for one in again.findings] == ["duplicate"]
    assert steps.step_of(record(query(3), query(4))).findings == ()


def test_without_attribution_nothing_is_concluded() -> None:
    """Values were not compared there: equal ones would look like a loop."""
    step = steps.step_of({**record(*(query(7) for _ in range(4))), "pass": "warm", "milliseconds": 20.0})
    assert step.findings == ()
    assert step.by_site()[0].distinct is None
    assert "6.0 ms in the database of 20.0 ms" in repr(step)


def test_texts_are_escaped_and_cut() -> None:
    """What comes from a project's SQL is no markup of ours, and long statements and long lists end somewhere."""
    step = steps.step_of(record(*(query(line, f"SELECT '<b>' FROM t{'x' * 200}") for line in range(30))))
    page = step._repr_html_()
    assert "<b>'" not in page
    assert "&lt;b&gt;" in page
    assert "x" * 100 not in page
    assert "10 more places" in page
    assert "10 more places" in repr(step)


def test_an_empty_step_says_why() -> None:
    """Nothing was asked, and the frame has its columns."""
    step = steps.step_of(record())
    assert repr(step).startswith("no statement")
    assert list(step.to_dataframe().columns)[:4] == ["location", "began", "milliseconds", "rows"]
