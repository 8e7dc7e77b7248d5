"""Edits beyond one more call: made where they can be shown to mean the same, else refused with the reason."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from workbench.profile import edits, rewrites
from workbench.profile.edits import Edit, Spot
from workbench.profile.sources import NoEditError, Source, Sources


def source(folder: Path, text: str) -> Source:
    (folder / "v.py").write_text(text)
    return Sources(folder).read("v.py")


def after(folder: Path, edit: Edit) -> str:
    return edits.texts(edit, Sources(folder))["v.py"]


def expression(read: Source) -> ast.expr:
    """The value of the file's last statement."""
    last = read.tree.body[-1]
    assert isinstance(last, ast.Assign | ast.Expr)
    return last.value


@pytest.mark.parametrize(
    ("text", "verb", "path", "expected"),
    [
        ("Item.objects.select_related('maker').filter(a=1)", "select_related", "maker", "Item.objects.filter(a=1)"),
        ("Item.objects.filter(a=1).select_related('maker')", "select_related", "maker", "Item.objects.filter(a=1)"),
        ("Item.objects.select_related('maker')", "select_related", "maker", "Item.objects.all()"),
        ("Item.objects.select_related('maker')[:9]", "select_related", "maker", "Item.objects.all()[:9]"),
        ("a.select_related('maker', 'shelf')", "select_related", "maker", "a.select_related('shelf')"),
        ("a.select_related('shelf', 'maker')", "select_related", "maker", "a.select_related('shelf')"),
        ("a.select_related('maker__land')", "select_related", "maker__land", "a.select_related('maker')"),
        ("a.select_related('maker', 'maker__land')", "select_related", "maker__land", "a.select_related('maker')"),
        ("a.prefetch_related('parts').all()", "prefetch_related", "parts", "a.all()"),
    ],
)  # fmt: skip
def test_an_eager_load_is_taken_out(tmp_path: Path, text: str, verb: str, path: str, expected: str) -> None:
    """What lies above on its way is still loaded, and a manager alone is no queryset."""
    read = source(tmp_path, f"x = {text}  # kept\n")
    edit = rewrites.without_name(read, rewrites.calls_of(expression(read)), verb, path)
    assert after(tmp_path, edit) == f"x = {expected}  # kept\n"


@pytest.mark.parametrize(
    "text",
    ["a.select_related()", "a.select_related(*PATHS)", "a.prefetch_related(Prefetch('maker'))", "a.all()"],
)
def test_an_eager_load_that_is_not_spelled_out_stays(tmp_path: Path, text: str) -> None:
    """Names from elsewhere are shared with others."""
    read = source(tmp_path, f"x = {text}\n")
    with pytest.raises(NoEditError, match="in so many words"):
        rewrites.without_name(read, rewrites.calls_of(expression(read)), "select_related", "maker")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.defer('notes').all()", "a.all()"),
        ("a.defer('notes', 'text')", "a.defer('text')"),
        ("a.only('name')", "a.only('name', 'notes')"),
    ],
)
def test_a_deferred_column_is_loaded(tmp_path: Path, text: str, expected: str) -> None:
    """By the call that leaves it out."""
    read = source(tmp_path, f"x = {text}\n")
    edit = rewrites.undeferred(read, rewrites.calls_of(expression(read)), "notes")
    assert after(tmp_path, edit) == f"x = {expected}\n"


def counted(folder: Path, text: str, taken: tuple[str, ...] = ()) -> str:
    """A file after its one `parts.count()` became an annotation of the queryset that ends at "all()"."""
    read = source(folder, text)
    offset = read.text.index("all()") + len("all()")
    spot = Spot("v.py", offset, read.text[:offset].count("\n") + 1)
    (asking,) = [
        call
        for line in range(1, len(read.starts))
        for call in rewrites.calls_at(read, line, "count", "parts")
    ]
    return after(folder, rewrites.counted(read, spot, asking, "parts", "part", taken=taken))


@pytest.mark.parametrize(
    ("loop", "expected"),
    [
        (
            "    for i in Item.objects.all():\n        x(i.parts.count())\n",
            "    for i in Item.objects.all().annotate({}):\n        x(i.parts_count)\n",
        ),
        (
            "    found = Item.objects.all()\n    return [i.parts.count() for i in found if i.a]\n",
            "    found = Item.objects.all().annotate({})\n    return [i.parts_count for i in found if i.a]\n",
        ),
        (
            "    for i in list(Item.objects.all()[:9]):\n        x(i.parts.count())\n",
            "    for i in list(Item.objects.all().annotate({})[:9]):\n        x(i.parts_count)\n",
        ),
    ],
)
@pytest.mark.parametrize(
    ("head", "new_head", "name"),
    [
        ("from django.db.models import Count\n", "from django.db.models import Count\n", "Count"),
        ("from django.db.models import F\n", "from django.db.models import F, Count\n", "Count"),
        ("from django.db import models\n", "from django.db import models\n", "models.Count"),
        (
            "from __future__ import annotations\nimport os\n",
            "from __future__ import annotations\nfrom django.db.models import Count\nimport os\n",
            "Count",
        ),
        (
            "from django.db.models import (\n    F,\n)\n",
            "from django.db.models import Count\nfrom django.db.models import (\n    F,\n)\n",
            "Count",
        ),
    ],
)
def test_a_count_becomes_an_annotation(
    tmp_path: Path, head: str, new_head: str, name: str, loop: str, expected: str
) -> None:
    """With its import, and by the name that queries have for the relation."""
    made = counted(tmp_path, f"{head}\ndef view(r):\n{loop}")
    call = f'parts_count={name}("part", distinct=True)'
    assert made == f"{new_head}\ndef view(r):\n{expected.format(call)}"


@pytest.mark.parametrize(
    "text",
    [
        "def view(r):\n    found = Item.objects.all()\n    found = found[:3]\n    return [i.parts.count() for i in found]\n",
        "def view(r, found):\n    x = Item.objects.all()\n    return [i.parts.count() for i in found]\n",
        "def view(r, found=None):\n    found = Item.objects.all()\n    return [i.parts.count() for i in found]\n",
        "def number(i):\n    return i.parts.count()\n\ndef view(r):\n    return [number(i) for i in Item.objects.all()]\n",
        "def view(r):\n    for i in Item.objects.all():\n        x(i.owner.parts.count())\n",
        "def view(r):\n    for i in both(Item.objects.all(), other):\n        x(i.parts.count())\n",
        "def view(r):\n    for i in [*Item.objects.all(), other]:\n        x(i.parts.count())\n",
    ],
)
def test_a_count_of_rows_from_elsewhere_stays(tmp_path: Path, text: str) -> None:
    """The name is bound twice, given by a caller, of another object, or goes over more than the annotated rows."""
    with pytest.raises(NoEditError, match=r"elsewhere|not written as"):
        counted(tmp_path, f"import os\n{text}")


def test_an_annotation_takes_no_name_that_is_taken(tmp_path: Path) -> None:
    """The model may have a field, or the file a Count, of its own."""
    text = "def view(r):\n    return [i.parts.count() for i in Item.objects.all()]\n"
    with pytest.raises(NoEditError, match="has a parts_count already"):
        counted(tmp_path, f"import os\n{text}", ("parts_count",))
    with pytest.raises(NoEditError, match="Count of its own"):
        counted(tmp_path, f"import os\nCount = 1\n{text}")


def test_a_loop_reads_in_pieces_where_it_goes_over_a_queryset_once(tmp_path: Path) -> None:
    """A name may be used again, and a list is made to be."""
    read = source(tmp_path, "x = [i for i in Item.objects.all()]\n")
    (call,) = [node for node in ast.walk(read.tree) if isinstance(node, ast.Call)]
    assert after(tmp_path, rewrites.in_pieces(read, call, 2000)) == (
        "x = [i for i in Item.objects.all().iterator(chunk_size=2000)]\n"
    )
    read = source(tmp_path, "x = Item.objects.all()\n")
    with pytest.raises(NoEditError, match="may be used again"):
        rewrites.in_pieces(read, expression(read), 2000)


def test_rows_created_in_a_loop_become_one_statement(tmp_path: Path) -> None:
    """Where that is all that the loop does."""
    text = "def view(r):\n    for n in range(5):\n        Part.objects.create(item_id=1, name=f'new {n}')  # why\n"
    read = source(tmp_path, text)
    (create,) = rewrites.calls_at(read, 3, "create")
    assert after(tmp_path, rewrites.written_at_once(read, create)) == (
        "def view(r):\n    Part.objects.bulk_create([Part(item_id=1, name=f'new {n}') for n in range(5)])  # why\n"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("for n in rows:\n    x = Part.objects.create(a=n)\n", "does more"),
        ("for n in rows:\n    Part.objects.create(a=n)\n    done()\n", "does more"),
        ("for n in rows:\n    Part.objects.create(a=made(n))\n", "may depend"),
        ("for n in rows():\n    Part.objects.create(a=n)\n", "may depend"),
        ("for n in rows:\n    item.parts.create(a=n)\n", "not created by Model.objects"),
        ("for n in rows:\n    Part.objects.create(a=n)\nprint(n)\n", "used outside"),
        ("try:\n    for n in rows:\n        Part.objects.create(a=n)\nfinally: pass\n", "try or with"),
        ("for n in rows:\n    Part.objects.create(\n        a=n)\n", "several lines"),
    ],
)
def test_rows_that_may_depend_on_one_another_are_written_one_by_one(
    tmp_path: Path, text: str, reason: str
) -> None:
    """Whatever is not seen to be independent."""
    read = source(tmp_path, text)
    (create,) = [
        node
        for node in ast.walk(read.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "create"
    ]
    with pytest.raises(NoEditError, match=reason):
        rewrites.written_at_once(read, create)
