"""The journal inside the page comes out as it went in."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.errors import WorkbenchError
from workbench.journal import Journal, read
from workbench.judge import judge
from workbench.records import Finding
from workbench.report import render, unpack
from workbench.report.embed import embed
from workbench.report.page import UNPACK


def test_the_embedded_journal_is_the_file(everything: Journal, full: str) -> None:
    """Its sha256 is the file's and stands in the page; the verdicts from it are the same."""
    again = unpack(full)
    assert again.sha256 == everything.sha256
    assert f'<code id="sha256">{everything.sha256}</code>' in full
    assert again.lines == everything.lines
    assert judge(again) == judge(everything)


def test_a_large_journal_is_packed(everything: Journal) -> None:
    """From the limit on it is gzipped, far smaller, and has the same sha256."""
    plain, packed = embed(everything), embed(everything, pack_from=1)
    assert packed.packed
    assert not plain.packed
    assert packed.sha256 == plain.sha256
    assert len(packed.json) < len(plain.json) / 2


def test_a_packed_page_unpacks(write: Callable[..., Journal], builders: Any) -> None:
    """A journal beyond 400 kB is packed by itself, says so, and comes out whole."""
    made = write(
        [builders.head(), *(Finding("x", "note", f"{i} " + "<!--</script>" * 40) for i in range(1000))]
    )
    page = render(made)
    assert "packed with gzip and base64" in page
    assert unpack(page).lines == made.lines
    assert len(page.encode()) < 500_000


@pytest.mark.parametrize("size", ["plain", "packed"])
def test_the_command_on_the_page_takes_it_out(
    size: str, write: Callable[..., Journal], builders: Any, tmp_path: Path
) -> None:
    """The command that the page prints writes the very bytes of the journal, with Python alone."""
    many = [Finding("x", "note", "y" * 500) for _ in range(1000)] if size == "packed" else []
    made = write([builders.head(), *many])
    folder = tmp_path / "reader"
    folder.mkdir()
    (folder / "report.html").write_text(render(made), encoding="utf-8")
    code = UNPACK.removeprefix('python -c "').removesuffix('"')
    assert '"' not in code  # the command must survive every shell's double quotes
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, timeout=60)
    assert hashlib.sha256((folder / "journal.jsonl").read_bytes()).hexdigest() == made.sha256


def test_a_changed_journal_is_refused(full: str) -> None:
    """A page in which a figure of the journal was changed does not unpack."""
    with pytest.raises(WorkbenchError, match="it was changed"):
        unpack(full.replace("connection-loss-8-treatment\\", "connection-loss-9-treatment\\"))
    with pytest.raises(WorkbenchError, match="holds no journal"):
        unpack("<html></html>")


def test_half_a_surrogate_pair_does_not_stop_the_report(tmp_path: Path, builders: Any) -> None:
    """A journal with a character that UTF-8 has no bytes for still renders, and says that its bytes differ."""
    path = tmp_path / "journal.jsonl"
    builders.write_to(path, [builders.head(project="HALF")])
    path.write_text(path.read_text(encoding="utf-8").replace("HALF", "a\\ud800b"), encoding="utf-8")
    page = render(read(path))
    page.encode()
    assert "not byte for byte" in page
    assert unpack(page).lines
