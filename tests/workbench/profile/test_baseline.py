"""Accepted findings: what survives an edit of the project, and what is new."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from workbench.errors import WorkbenchError
from workbench.profile import baseline, ranking
from workbench.profile.records import Finding

VIEWS = """from shop.models import Order


class Lists:
    def orders(self):
        return [order.customer.name for order in Order.objects.all()]


def other(request):
    return [order.customer.name for order in Order.objects.all()]
"""
TEMPLATE = "<ul>\n  {% for order in orders %}<li>{{ order.customer.name }}</li>{% endfor %}\n</ul>\n"
LINE = Finding("n-plus-one", "/orders/", "shop.Order.customer", "views.py:6", 20, verdict="scales", slope=1.0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "views.py").write_text(VIEWS)
    (tmp_path / "orders.html").write_text(TEMPLATE)
    return tmp_path


@pytest.fixture
def accepted(root: Path) -> Callable[..., baseline.Baseline]:
    """Writes findings as a baseline file and reads it again."""

    def accept(*findings: Finding) -> baseline.Baseline:
        path = root / "known.json"
        baseline.write(path, ranking.problems(findings), baseline.key_of(root))
        return baseline.read(path)

    return accept


def fresh(known: baseline.Baseline, root: Path, *findings: Finding) -> list[str]:
    return [one.worst.location for one in known.fresh(ranking.problems(findings), baseline.key_of(root))]


def test_what_was_accepted_is_not_new(root: Path, accepted: Callable[..., baseline.Baseline]) -> None:
    """The same finding on the same line, on whichever page."""
    known = accepted(LINE)
    assert fresh(known, root, LINE, replace(LINE, url="/elsewhere/")) == []


def test_lines_may_move_and_functions_be_edited(
    root: Path, accepted: Callable[..., baseline.Baseline]
) -> None:
    """Lines above it, and other words on its own line, make no new finding; another function does."""
    known = accepted(LINE)
    moved = "# one\n# two\n\n" + VIEWS.replace(
        "order.customer.name for", "order.customer.name.title() for", 1
    )
    (root / "views.py").write_text(moved)
    assert fresh(known, root, replace(LINE, location="views.py:9")) == []
    assert fresh(known, root, replace(LINE, location="views.py:13")) == ["views.py:13"]


def test_a_template_is_known_by_the_text_of_its_line(
    root: Path, accepted: Callable[..., baseline.Baseline]
) -> None:
    """Moved or indented otherwise it is the same; with other words it is another."""
    found = replace(LINE, location="orders.html:2")
    known = accepted(found)
    (root / "orders.html").write_text("<h1>Orders</h1>\n" + TEMPLATE.replace("  {%", "        {%"))
    assert fresh(known, root, replace(found, location="orders.html:3")) == []
    (root / "orders.html").write_text(TEMPLATE.replace("<li>", "<li class='new'>"))
    assert fresh(known, root, found) == ["orders.html:2"]


def test_one_more_line_of_the_same_function_is_new(
    root: Path, accepted: Callable[..., baseline.Baseline]
) -> None:
    """A function that is known for one line does not hide a second one."""
    known = accepted(replace(LINE, location="views.py:10"))
    (root / "views.py").write_text(VIEWS + "    # and again\n    [o.customer for o in Order.objects.all()]\n")
    second = replace(LINE, location="views.py:12", queries=40)
    assert fresh(known, root, replace(LINE, location="views.py:10"), second) == ["views.py:12"]


@pytest.mark.parametrize(
    "change", [{"kind": "count-in-loop"}, {"relation": "shop.Order.lines"}, {"location": "models.py:6"}]
)
def test_another_kind_relation_or_file_is_new(
    root: Path, accepted: Callable[..., baseline.Baseline], change: dict[str, str]
) -> None:
    """Each of them tells findings apart."""
    known = accepted(LINE)
    other = replace(LINE, **change)  # type: ignore[arg-type]
    assert fresh(known, root, other) == [other.location]


def test_an_installed_app_is_the_same_on_every_machine(
    root: Path, accepted: Callable[..., baseline.Baseline]
) -> None:
    """Its folder is not part of what it is known by, and no folder of this machine stands in the file."""
    found = replace(LINE, location="/home/me/.venv/lib/python3.12/site-packages/blog/views.py:7")
    known = accepted(found)
    there = replace(LINE, location="/builds/venv/lib/python3.11/site-packages/blog/views.py:7")
    assert fresh(known, root, there) == []
    assert "/home" not in (root / "known.json").read_text()


def test_what_is_gone_is_named(root: Path, accepted: Callable[..., baseline.Baseline]) -> None:
    """An accepted finding that was not found any more can be taken out."""
    known = accepted(LINE, replace(LINE, location="orders.html:2"))
    gone = known.gone(ranking.problems([LINE]), baseline.key_of(root))
    assert [one.file for one in gone] == ["orders.html"]


def test_the_file_is_the_same_for_the_same_findings(root: Path) -> None:
    """No times and no order of chance: a diff of it shows what changed."""
    both = [LINE, replace(LINE, location="orders.html:2", kind="duplicate", relation=None)]
    key = baseline.key_of(root)
    baseline.write(root / "a.json", ranking.problems(both), key)
    baseline.write(root / "b.json", ranking.problems(both[::-1]), key)
    assert (root / "a.json").read_bytes() == (root / "b.json").read_bytes()
    assert [one["place"] for one in json.loads((root / "a.json").read_text())["findings"]] == [
        "{% for order in orders %}<li>{{ order.customer.name }}</li>{% endfor %}",
        "Lists.orders",
    ]


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 7}', '{"version": 1, "findings": [{"kind": "x"}]}'])
def test_a_file_that_is_none_is_explained(root: Path, text: str) -> None:
    """Every wrong form names the file and how to make it."""
    (root / "known.json").write_text(text)
    with pytest.raises(WorkbenchError, match=r"known\.json") as told:
        baseline.read(root / "known.json")
    assert "--write-baseline" in told.value.next_step
