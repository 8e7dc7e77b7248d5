"""Changes of models and settings files: what is written stays, what is not understood is left alone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from workbench.profile.model_edits import IndexCode, diff, with_element, with_index, with_key

PLAIN = IndexCode('Index(fields=["name"])', (("Index", "django.db.models"),))
HEAD = "from django.db import models\n\n\n"


def indexed(source: str, code: IndexCode = PLAIN, qualname: str = "Item", **options: object) -> str | None:
    return with_index(source, qualname, code, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "class Item(models.Model):\n    name = models.TextField()  # its name\n\n    def __str__(self):\n        return self.name\n",
            "class Item(models.Model):\n    name = models.TextField()  # its name\n\n    class Meta:\n        indexes = [models.Index(fields=[\"name\"])]\n\n    def __str__(self):\n        return self.name\n",
        ),
        (
            "class Item(models.Model):\n\tname = models.TextField()\n",
            "class Item(models.Model):\n\tname = models.TextField()\n\n\tclass Meta:\n\t\tindexes = [models.Index(fields=[\"name\"])]\n",
        ),
        (
            "class Item(models.Model):\n    name = models.TextField()\n    class Meta:\n        ordering = ['é']",
            "class Item(models.Model):\n    name = models.TextField()\n    class Meta:\n        ordering = ['é']\n        indexes = [models.Index(fields=[\"name\"])]\n",
        ),
        (
            "class Item(models.Model):\n    class Meta:\n        indexes = []\n",
            "class Item(models.Model):\n    class Meta:\n        indexes = [models.Index(fields=[\"name\"])]\n",
        ),
        (
            "class Item(models.Model):\n    class Meta:\n        indexes = (models.Index(fields=['é']),)\n",
            "class Item(models.Model):\n    class Meta:\n        indexes = (models.Index(fields=['é']), models.Index(fields=[\"name\"]),)\n",
        ),
        (
            "class Item(models.Model):\n    class Meta:\n        indexes = [\n            models.Index(fields=['a']),  # one\n        ]\n",
            "class Item(models.Model):\n    class Meta:\n        indexes = [\n            models.Index(fields=['a']),  # one\n            models.Index(fields=[\"name\"]),\n        ]\n",
        ),
    ],
)  # fmt: skip
def test_an_index_comes_into_the_model(before: str, after: str) -> None:
    """With a Meta and without, with indexes and without, tabs and letters beyond ASCII included."""
    assert indexed(HEAD + before) == HEAD + after


def test_line_ends_stay_as_they_are() -> None:
    """A file from Windows keeps its own in every line, the new ones included."""
    source = (HEAD + "class Item(models.Model):\n    name = models.TextField()\n").replace("\n", "\r\n")
    text = indexed(source)
    assert text is not None
    assert "indexes" in text
    assert text.replace("\r\n", "").count("\n") == 0


def test_names_are_imported_where_they_are_missing() -> None:
    """`models.Index` where `models` is there, the name itself where it is imported, else one more import."""
    body = "\n\nclass Item(Model):\n    name = TextField()\n"
    text = indexed("from django.db.models import Model, TextField" + body)
    assert text is not None
    assert text.startswith(
        "from django.db.models import Model, TextField\nfrom django.db.models import Index\n"
    )
    assert 'indexes = [Index(fields=["name"])]' in text
    text = indexed("from django.db.models import Index as I, Model" + body)
    assert text is not None
    assert 'indexes = [I(fields=["name"])]' in text
    gin = IndexCode('GinIndex(fields=["name"])', (("GinIndex", "django.contrib.postgres.indexes"),))
    text = indexed(HEAD + body, gin)
    assert text is not None
    assert text.startswith(
        "from django.db import models\nfrom django.contrib.postgres.indexes import GinIndex\n"
    )


def test_an_abstract_model_s_meta_is_carried_on() -> None:
    """A Meta of its own would hide the ordering that it has from there."""
    source = HEAD + "class Item(base.Named, Other):\n    size = models.IntegerField()\n"
    text = indexed(source, meta_base="Named")
    assert text is not None
    assert "    class Meta(base.Named.Meta):\n" in text
    assert indexed(source, meta_base="Elsewhere") is None


@pytest.mark.parametrize(
    "source",
    [
        "class Item(models.Model): pass\n",
        "class Item(models.Model):\n    class Meta: ordering = ['a']\n",
        "class Item(models.Model):\n    class Meta:\n        indexes = made()\n",
        "class Item(models.Model):\n    def save(self):\n        pass\n",
        "if a:\n    class Item(models.Model):\n        n = 1\nelse:\n    class Item(models.Model):\n        n = 2\n",
        "class Other(models.Model):\n    n = 1\n",
        "class Item(models.Model:\n",
    ],
)
def test_what_is_not_understood_is_left_alone(source: str) -> None:
    """No text rather than a wrong one."""
    assert indexed(HEAD + source) is None


def test_inherited_indexes_are_not_hidden() -> None:
    """A list of its own would take the place of those of an abstract model; one that it has is lengthened."""
    fields = "class Item(Base):\n    n = 1\n"
    meta = fields + "    class Meta:\n        ordering = ['n']\n"
    assert indexed(HEAD + fields, inherited=True) is None
    assert indexed(HEAD + meta, inherited=True) is None
    assert indexed(HEAD + meta + "        indexes = [*Base.Meta.indexes]\n", inherited=True) is not None


def test_a_nested_class_is_found_by_its_qualified_name() -> None:
    """The other of that name stays as it is."""
    source = (
        HEAD
        + "class Item(models.Model):\n    n = 1\n\n\nclass Outer:\n    class Item(models.Model):\n        n = 1\n"
    )
    text = indexed(source, qualname="Outer.Item")
    assert text is not None
    assert text.endswith("        n = 1\n\n        class Meta:\n            indexes = [models.Index(fields=[\"name\"])]\n")  # fmt: skip


GZIP = "django.middleware.gzip.GZipMiddleware"


def test_middleware_goes_where_it_belongs() -> None:
    """Behind the security middleware, or before the one that it must precede; one on each line where they are so."""
    lines = 'MIDDLEWARE = [\n    "django.middleware.security.SecurityMiddleware",  # TLS\n    "a.B",\n]\n'
    assert with_element(lines, "MIDDLEWARE", GZIP) == lines.replace('    "a.B"', f'    "{GZIP}",\n    "a.B"')
    assert with_element(lines, "MIDDLEWARE", GZIP, before=["a.B"]) == lines.replace(
        '    "a.B"', f'    "{GZIP}",\n    "a.B"'
    )
    assert with_element("MIDDLEWARE = ['a.B']\n", "MIDDLEWARE", GZIP) == f"MIDDLEWARE = ['{GZIP}', 'a.B']\n"
    assert with_element("MIDDLEWARE = []\n", "MIDDLEWARE", GZIP) == f'MIDDLEWARE = ["{GZIP}"]\n'
    assert with_element("MIDDLEWARE = ('a.B',)\n", "MIDDLEWARE", GZIP) == f"MIDDLEWARE = ('{GZIP}', 'a.B',)\n"


def test_a_list_that_is_computed_is_lengthened_at_the_end() -> None:
    """Also one that another module brings; a file without the name says nothing of it."""
    line = f'\nMIDDLEWARE = ["{GZIP}", *MIDDLEWARE]\n'
    for source in (
        "MIDDLEWARE = base() + own\n",
        "MIDDLEWARE = ['a']\nMIDDLEWARE += b\n",
        "from .base import *\n",
    ):
        text = with_element(source, "MIDDLEWARE", GZIP)
        assert text is not None
        assert text.replace("'", '"') == source.replace("'", '"') + line
    assert with_element("DEBUG = True\n", "MIDDLEWARE", GZIP) is None
    text = with_element("from .base import *\n", "MIDDLEWARE", "a.B", before=["c.D"])
    assert text == 'from .base import *\n\nMIDDLEWARE = [*MIDDLEWARE, "a.B"]\n'


def test_a_database_s_entry_gets_a_key() -> None:
    """In the literal where it is one, below OPTIONS too, else by a line at the end."""
    plain = 'DATABASES = {"default": {"ENGINE": "x"}}\n'
    assert with_key(plain, "DATABASES", "default", ["CONN_MAX_AGE"], "60") == (
        'DATABASES = {"default": {"CONN_MAX_AGE": 60, "ENGINE": "x"}}\n'
    )
    assert with_key(plain, "DATABASES", "default", ["OPTIONS", "pool"], "True") == (
        'DATABASES = {"default": {"OPTIONS": {"pool": True}, "ENGINE": "x"}}\n'
    )
    lines = (
        'DATABASES = {\n    "default": {\n        "ENGINE": "x",\n        "OPTIONS": {"a": 1},\n    },\n}\n'
    )
    assert with_key(lines, "DATABASES", "default", ["OPTIONS", "pool"], "True") == lines.replace(
        '{"a": 1}', '{"pool": True, "a": 1}'
    )
    assert with_key(lines, "DATABASES", "default", ["CONN_MAX_AGE"], "60") == lines.replace(
        '        "ENGINE"', '        "CONN_MAX_AGE": 60,\n        "ENGINE"'
    )
    for source in (
        'DATABASES = {"default": env.db()}\n',
        'DATABASES = {"default": {"CONN_MAX_AGE": 0}}\n',
        'DATABASES = {"default": {**base}}\n',
        'DATABASES = {"default": {}}\nDATABASES["default"]["CONN_MAX_AGE"] = 0\n',
    ):
        text = with_key(source, "DATABASES", "default", ["CONN_MAX_AGE"], "60")
        assert text == source + '\nDATABASES["default"]["CONN_MAX_AGE"] = 60\n'
    text = with_key("from .base import *", "DATABASES", "default", ["OPTIONS", "pool"], "True")
    assert text == 'from .base import *\n\nDATABASES["default"].setdefault("OPTIONS", {})["pool"] = True\n'


def test_the_diff_applies(tmp_path: Path) -> None:
    """With version control's own tool, a file without a line end at its end included."""
    for before in ("a = 1\nMIDDLEWARE = []\n", "MIDDLEWARE = base()"):
        after = with_element(before, "MIDDLEWARE", GZIP)
        assert after is not None
        (tmp_path / "settings.py").write_text(before)
        subprocess.run(
            ["git", "apply", "-"],
            input=diff("settings.py", before, after),
            text=True,
            cwd=tmp_path,
            check=True,
        )
        assert (tmp_path / "settings.py").read_text() == after
