"""Edits of source text: at the right place, and nothing else changed, to the byte."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from workbench.profile import edits, placing
from workbench.profile.edits import Call, Edit
from workbench.profile.records import Site
from workbench.profile.sources import NoEditError, Sources


class Marked:
    """A project whose files mark the expressions at which a queryset came into being, in order: «1 expression», «2 …».

    Files are given by name; their marks are taken out before they are written.
    """

    def __init__(self, root: Path, files: dict[str, str], encoding: str = "utf-8") -> None:
        self.root, self.sources = root, Sources(root)
        found: dict[int, tuple[Site, placing.Span]] = {}
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(self._unmarked(name, text, found).encode(encoding))
        self.spans = dict(found.values())
        self.created = tuple(found[number][0] for number in sorted(found))

    def _unmarked(self, name: str, text: str, found: dict[int, tuple[Site, placing.Span]]) -> str:
        plain, begun = "", []
        for part in re.split(r"(«\d|»)", text):
            if part[:1] == "«":
                begun.append((int(part[1:]), plain))
            elif part == "»":
                number, before = begun.pop()
                first, last = self._place(before), self._place(plain)
                function = (re.findall(r"def (\w+)", before) or ["<module>"])[-1]
                site = Site(name, first[0], function, 2 * number)
                found[number] = (site, (first[0], last[0], first[1], last[1]))
            else:
                plain += part
        return plain

    def _place(self, before: str) -> tuple[int, int]:
        lines = re.split(r"\r\n|\r|\n", before.removeprefix("\ufeff"))
        return len(lines), len(lines[-1].encode())

    def edit(self, verb: str = "select_related", *names: str) -> Edit:
        spot = placing.spots(self.sources, self.created, self.spans, "objects")[0]
        return Edit((Call(spot, verb, names or ("maker",)),))

    def texts(self, *edited: Edit) -> dict[str, str]:
        return edits.texts(sum(edited or (self.edit(),), Edit()), self.sources)


def changed(tmp_path: Path, text: str, *rest: str) -> str:
    """A file's text with `.select_related("maker")` where it belongs."""
    (made,) = Marked(tmp_path, {"shop/views.py": text}).texts().values()
    return made


def same_quotes(text: str) -> str:
    return text.replace("'", '"')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = «1Item.objects.all()»\n", "Item.objects.all().select_related('maker')"),
        ('x = «1Item.objects.filter(a="b")»\n', 'Item.objects.filter(a="b").select_related("maker")'),
        ("x = «1Item.objects.get(pk=1)»\n", "Item.objects.select_related('maker').get(pk=1)"),
        ("x = «2«1Item.objects.filter(a=1)».first()»\n", ".filter(a=1).select_related('maker').first()"),
        ("for x in «1Item.objects.all()».iterator(): pass\n", ".all().select_related('maker').iterator()"),
        ("x = «2«1Item.objects.all()»[:5]»\n", "Item.objects.all().select_related('maker')[:5]"),
        ("y = «1Item.objects.all()»\nx = «2y[3:9]»\n", "x = y.select_related('maker')[3:9]"),
        ("x = «1get_object_or_404(Item, pk=1)»\n", "get_object_or_404(Item.objects.select_related('maker'), pk=1)"),
        ("x = «1get_object_or_404(m.Item, pk=1)»\n", "(m.Item.objects.select_related('maker'), pk=1)"),
        ("x = «2get_object_or_404(«1Item.objects.all()», pk=1)»\n", ".all().select_related('maker'), pk=1)"),
        ("p = «2Paginator(«1items.order_by(1)», 9).get_page(1)»\n", "items.order_by(1).select_related('maker'), 9)"),
        ("x = «1Item.objects.active()»\n", "Item.objects.active().select_related('maker')"),
        ("x = «2«1a.filter(b=1)» | c.filter(d=1)»\n", "a.filter(b=1).select_related('maker') | c.filter(d=1)"),
        ("a = 1; x = «1Item.objects.all()»; b = 2\n", "; x = Item.objects.all().select_related('maker'); b"),
        ("x = [*«1Item.objects.all()», *Item.objects.all()]\n", "[*Item.objects.all().select_related('maker'), *It"),
        ("x = [*Item.objects.all(), *«1Item.objects.all()»]\n", "*Item.objects.all().select_related('maker')]"),
        ("é = '日本'; x = «1Item.objects.all()»\n", "é = '日本'; x = Item.objects.all().select_related('maker')\n"),
        ("if 1:\n\tx = «1Item.objects.all()»\t# why\n", "\tx = Item.objects.all().select_related('maker')\t# why\n"),
        ("\x0c\nx = '\u2028'; y = «1Item.objects.all()»", "y = Item.objects.all().select_related('maker')"),
    ],
)  # fmt: skip
def test_a_call_goes_where_the_queryset_can_take_it(tmp_path: Path, text: str, expected: str) -> None:
    """After what refines it, before what ends it, cuts it or wraps it; on the very expression, whatever stands beside."""
    made = changed(tmp_path, text)
    assert same_quotes(expected) in same_quotes(made)
    lead = ".objects" if "404(Item," in text or "m.Item" in text else ""
    plain = re.sub(r"«\d|»", "", text)
    assert re.sub(re.escape(lead) + r"""\.select_related\(["']maker["']\)""", "", made) == plain


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_chain_over_several_lines_gets_a_line_more(tmp_path: Path, end: str) -> None:
    """With the file's own indentation and line end; a comment keeps its line, and a backslash chain stays on one."""
    text = "x = (\n    «2«1Item.objects\n    .filter(a=1)»\n    .order_by('b')»\n)\n".replace("\n", end)
    assert f"    .order_by('b'){end}    .select_related('maker'){end})" in changed(tmp_path / "1", text)
    commented = "x = (\n    «1Item.objects\n    .filter(a='b')»  # why\n)\n".replace("\n", end)
    assert f".filter(a='b').select_related('maker')  # why{end}" in changed(tmp_path / "2", commented)
    broken = "x = «1Item.objects \\\n    .filter(a='b')»\n".replace("\n", end)
    assert f"    .filter(a='b').select_related('maker'){end}" in changed(tmp_path / "3", broken)


@pytest.mark.parametrize(
    ("files", "file", "expected"),
    [
        (
            {"views.py": "def items():\n    return «2Item.objects.all()»\n\ndef view(r):\n    return «3items()»\n"},
            "views.py",
            "def view(r):\n    return items().select_related('maker')\n",
        ),
        (
            {
                "models.py": "class Q:\n    def active(self):\n        'those'\n        return «2self.filter(a=1)»\n",
                "views.py": "def view(r):\n    return list(«3«1Item.objects.active()».order_by('b')»)\n",
            },
            "views.py",
            "list(Item.objects.active().order_by('b').select_related('maker'))",
        ),
        (
            {
                "models.py": "class Q:\n    def active(self):\n        return «2self.filter(a=1)»\n",
                "views.py": "def view(r):\n    return list(«1Item.objects.active()»)\n",
            },
            "views.py",
            "list(Item.objects.active().select_related('maker'))",
        ),
        (
            {
                "models.py": "class M:\n    @property\n    def live(self):\n        return «1self.items.all()»\n",
                "views.py": "def view(r):\n    return list(«2route.live»)\n",
            },
            "views.py",
            "list(route.live.select_related('maker'))",
        ),
        (
            {"views.py": "def bars(c):\n    x = list(«1c.bars.all()»)\n    return x[::-1]\n\ndef v(r):\n    «2bars(c)»\n"},
            "views.py",
            "x = list(c.bars.all().select_related('maker'))",
        ),
        (
            {
                "views.py": "class V(ListView):\n    def get_queryset(self):\n"
                "        return «1super().get_queryset()»\n"
            },
            "views.py",
            "return super().get_queryset().select_related('maker')",
        ),
    ],
)  # fmt: skip
def test_a_helper_that_only_returns_is_left_alone(
    tmp_path: Path, files: dict[str, str], file: str, expected: str
) -> None:
    """Its caller is changed, which is fewer pages; a helper that does more with the rows must be changed itself."""
    assert same_quotes(expected) in same_quotes(Marked(tmp_path, files).texts()[file])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("    model = Item\n", "    model = Item\n    queryset = Item.objects.select_related('maker')\n"),
        (
            "    model = m.Item  # why\n    x = 1\n",
            "# why\n    queryset = m.Item.objects.select_related('maker')\n    x",
        ),
        (
            "    model = Item; x = 1\n",
            "    model = Item; queryset = Item.objects.select_related('maker'); x = 1\n",
        ),
        (
            "\tmodel = Item\r\n\tx = 1\r\n",
            "\tmodel = Item\r\n\tqueryset = Item.objects.select_related('maker')\r\n\tx",
        ),
        (
            "    queryset = Item.objects.all()\n",
            "    queryset = Item.objects.all().select_related('maker')\n",
        ),
        (
            "    model = Item\n    queryset = Item.objects.live()\n",
            "Item.objects.live().select_related('maker')\n",
        ),
    ],
)
def test_a_generic_view_gets_a_queryset(tmp_path: Path, body: str, expected: str) -> None:
    """There is no line of code to change: the class statement stands for the view, decorated or within another one."""
    text = "@decorated\nclass Outer:\n    pass\n\n@decorated\nclass Items(ListView):\n".replace(
        "\n", "\r\n" if "\r" in body else "\n"
    )
    text += body
    (tmp_path / "views.py").write_bytes(text.encode())
    (spot,) = placing.spots(Sources(tmp_path), (Site("views.py", 5, "Items"),), {}, "objects")
    (made,) = edits.texts(Edit((Call(spot, "select_related", ("maker",)),)), Sources(tmp_path)).values()
    assert same_quotes(expected) in same_quotes(made)


def test_where_no_edit_can_be_made_it_says_why(tmp_path: Path) -> None:
    """Somebody else's package, a view that inherits its queryset, a file that is gone or no Python, two on one line."""
    (tmp_path / "views.py").write_text(
        "class Items(Base):\n    pass\n\ndef view(r):\n    return [*Item.objects.all(), *Item.objects.filter(a=1)]\n"
        "\ndef other(r):\n    return Item.objects.filter(a=1)\n"
    )
    (tmp_path / "broken.py").write_text("def view(:\n")
    package = tmp_path / "lib" / "site-packages" / "oscar" / "views.py"
    package.parent.mkdir(parents=True)
    package.write_text("x = Item.objects.all()\n")
    sources = Sources(tmp_path)
    for site, reason in (
        (Site(str(package), 1, "view", 4), "made in oscar, which is not the project's own code"),
        (Site("views.py", 1, "Items"), "has its queryset from Base: give it one of its own"),
        (Site("gone.py", 1, "view", 4), "gone.py cannot be read: No such file"),
        (Site("broken.py", 1, "view", 4), "broken.py cannot be read as Python"),
        (Site("views.py", 5, "view", 4), "does not tell which of 2 querysets at views.py:5"),
        (Site("views.py", 2, "view", 4), "no queryset is made at views.py:2"),
    ):
        with pytest.raises(NoEditError, match=re.escape(reason)):
            placing.spots(sources, (site,), {}, "objects")
    with pytest.raises(NoEditError, match="no line of the project makes this queryset"):
        placing.spots(sources, (), {}, "objects")
    # One chain on the line is told without columns too, as on Python 3.9.
    (spot,) = placing.spots(sources, (Site("views.py", 8, "other", 4),), {}, "objects")
    assert sources.read("views.py").text[: spot.offset].endswith("Item.objects.filter(a=1)")


def test_calls_at_one_place_become_one(tmp_path: Path) -> None:
    """Paths of one verb in one call, joins before prefetches, and each once."""
    made = Marked(tmp_path, {"v.py": "x = «1Item.objects.all()»  # 'quoted' like this\n"})
    wanted = [
        made.edit("prefetch_related", "parts"),
        made.edit("select_related", "maker"),
        made.edit("select_related", "shelf"),
        made.edit("select_related", "maker"),
    ]
    assert made.texts(*wanted)["v.py"] == (
        "x = Item.objects.all().select_related('maker', 'shelf').prefetch_related('parts')"
        "  # 'quoted' like this\n"
    )


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ('x = 1\ny = «1Item.objects.all()»\nz = "é"\n', "utf-8"),
        ('x = 1\r\ny = «1Item.objects.all()»\r\nz = "é"\r\n', "utf-8"),
        ('# -*- coding: latin-1 -*-\nz = "é"; y = «1Item.objects.all()»\n', "latin-1"),
        ('\ufeffx = 1\ny = «1Item.objects.all()»\nz = "é"\n', "utf-8"),
        ("x = 1\ny = «1Item.objects.all()»", "utf-8"),
        ("x = '''\r\n\x0c'''\n\ty = 0\n" .replace("\ty", "y") + "y = «1Item.objects.all()»\n", "utf-8"),
    ],
)  # fmt: skip
def test_the_diff_is_the_edit(tmp_path: Path, text: str, encoding: str) -> None:
    """What `patch` makes of the file by the diff is what was run, byte for byte; the project's file stays as it is."""
    made = Marked(tmp_path, {"shop/views.py": text}, encoding)
    path = tmp_path / "shop" / "views.py"
    before = path.read_bytes()
    edit = made.edit()
    ((where, data),) = edits.overlay(edit, made.sources).items()
    assert (Path(where), path.read_bytes()) == (path, before)
    assert data != before
    compile(data, where, "exec")
    diff = edits.diff(edit, made.sources)
    assert diff.startswith("--- a/shop/views.py\n+++ b/shop/views.py\n@@ ")
    changes = [line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("---", "+++")]
    assert len(changes) == 2
    (tmp_path / "p.diff").write_bytes(
        diff.encode(made.sources.read("shop/views.py").encoding.replace("-sig", ""))
    )
    subprocess.run(
        ["patch", "-p1", "--binary", "-s", "-i", "p.diff"], cwd=tmp_path, check=True, capture_output=True
    )
    assert path.read_bytes() == data


def test_changes_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    """Overlapping ones, what would be no Python, and letters that the file's encoding does not have."""
    made = Marked(tmp_path, {"v.py": "# coding: ascii\nx = «1Item.objects.all()»\n"}, "ascii")
    source = made.sources.read("v.py")
    inside = edits.Replacement("v.py", 20, 24, "Part")
    for edit, reason in (
        (Edit(replacements=(inside, edits.Replacement("v.py", 22, 26, "x"))), "overlap"),
        (Edit(replacements=(edits.Replacement("v.py", 20, 20, "("),)), "would break v.py"),
        (made.edit("select_related", "größe"), "would break v.py"),
    ):
        with pytest.raises(NoEditError, match=reason):
            edits.texts(edit, made.sources)
    assert source.text[20:24] == "Item"
