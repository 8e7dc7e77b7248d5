"""A .env file says what the usual tools take it to say."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench import dotenv


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=1", {"A": "1"}),
        ("export A=1", {"A": "1"}),
        ("  A = spaced  ", {"A": "spaced"}),
        ("# A=1\n\nB=2 # a comment", {"B": "2"}),
        ("A=with#hash", {"A": "with#hash"}),
        ("A='single # ${B}'", {"A": "single # ${B}"}),
        ('A="double # kept" # cut', {"A": "double # kept"}),
        ('A="two\\nlines"', {"A": "two\nlines"}),
        ('A="real\nlines"\nB=1', {"A": "real\nlines", "B": "1"}),
        ('A="quo\\"ted"', {"A": 'quo"ted'}),
        ("A=", {"A": ""}),
        ("A=x=y", {"A": "x=y"}),
        ("A=1\nB=${A}2\nC=${OUTER}\nD=${NONE:-else}", {"A": "1", "B": "12", "C": "outside", "D": "else"}),
        ("\ufeffA=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("not a variable\nA=1", {"A": "1"}),
        ("postgres=postgres://u:p@h/db?x=1", {"postgres": "postgres://u:p@h/db?x=1"}),
    ],
)
def test_a_line_is_read(tmp_path: Path, text: str, expected: dict[str, str]) -> None:
    """Quotes, export, comments, references and line ends."""
    path = tmp_path / ".env"
    path.write_text(text, encoding="utf-8", newline="")
    assert dotenv.read(path, {"OUTER": "outside"}) == expected
