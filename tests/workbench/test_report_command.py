"""`workbench report` on a user's own project: measured, written, and the project left exactly as it was."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import nbformat

from workbench.claims import CLAIMS

SHOP = Path(__file__).resolve().parents[1] / "projects" / "shop"


def fingerprint(folder: Path) -> dict[str, str]:
    """Every file with its content, byte code aside."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_a_users_project_is_measured_and_left_alone(world: Any) -> None:
    """The page, the journal and the notebooks are written; NET-1 is judged on the project's URLs; nothing of it changes."""
    folder: Path = world.temp.parent
    project = folder / "shop"
    shutil.copytree(SHOP, project, ignore=shutil.ignore_patterns("__pycache__"))
    before = fingerprint(project)
    code, out, err = world.workbench(
        "report", "--quick", "--project", str(project), "--out", "run", timeout=300
    )
    assert code == 0, err
    page = Path(out.strip().splitlines()[-1])
    assert page == folder / "run" / "report.html"
    assert fingerprint(project) == before
    assert world.is_clean(), (world.living(), world.lying())

    text = page.read_text(encoding="utf-8")
    assert all(one.id in text for one in CLAIMS)
    assert len(text.encode()) < 2_000_000
    notebooks = sorted(path.name for path in (folder / "run").glob("*.ipynb"))
    assert notebooks == [
        "00_start_here.ipynb",
        "03_compression.ipynb",
        "08_your_project.ipynb",
        "09_scorecard.ipynb",
    ]
    for name in notebooks:
        cells = nbformat.read(folder / "run" / name, as_version=4).cells
        assert all(cell.execution_count for cell in cells if cell.cell_type == "code"), name
    everything = text + "".join(
        (folder / "run" / name).read_text(encoding="utf-8") for name in (*notebooks, "journal.jsonl")
    )
    assert "what its pages ask of the database" in text
    assert "/broken/" in text
    assert "the-shop-secret-key-must-not-leak" not in everything

    code, out, err = world.workbench("judge", "run/journal.jsonl", "--json")
    verdicts = {one["claim"]: one for one in json.loads(out)}
    assert list(verdicts) == [one.id for one in CLAIMS]
    assert verdicts["NET-1"]["outcome"] in ("supported", "refuted", "inconclusive")
    assert verdicts["NET-1"]["low"] is not None
    assert verdicts["DB-1"]["outcome"] == "not-run"
    assert code == {"supported": 0, "refuted": 1, "inconclusive": 2}[verdicts["NET-1"]["outcome"]]
    assert set(verdicts["NET-1"]) == {
        "claim", "outcome", "code", "estimate", "low", "high", "level", "threshold", "trials", "needed", "reason", "parts",
    }  # fmt: skip


def test_what_does_not_answer_is_named(world: Any) -> None:
    """URLs that fail or want a POST are left out and named in the journal; arguments and nesting are understood."""
    code, _, err = world.workbench("drill", "NET-1", "--project", str(SHOP), "--out", "run", timeout=120)
    assert code == 0, err
    lines = (world.temp.parent / "run" / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    trials = [one for one in map(json.loads, lines) if one["kind"] == "trial"]
    for trial in trials:
        measured = {name.removeprefix("bytes:GET ") for name in trial["metrics"] if name.startswith("bytes:")}
        assert measured == {
            "/",
            "/all/",
            "/some/",
            "/few/",
            "/one/",
            "/nested/deep/",
            "/regular/",
            "/größe/",
            "/letter/",
        }
        assert trial["validity"]["notes"] == ["/broken/ answered 500", "/order/ answered 405"]
    assert not [name for name in ("db.sqlite3", "mails", "cached") if (SHOP / name).exists()]
