"""The command line's lists and machine-readable output."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from workbench import cli
from workbench.claims import CLAIMS
from workbench.commands.progress_line import DrillLine
from workbench.progress import Step
from workbench.records import End
from workbench.run import RunFolder


def test_claims_are_listed_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    """`workbench claims --json` has every claim with id, published text and rule."""
    assert cli.main(["claims", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in rows] == [one.id for one in CLAIMS]
    assert all(row["published"] and row["rule"] for row in rows)


def test_claims_are_listed_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """Each claim stands with its published words."""
    assert cli.main(["claims"]) == 0
    text = capsys.readouterr().out
    assert all(one.published in text for one in CLAIMS)


def test_drills_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """`workbench drill list` names each drill and its claims."""
    assert cli.main(["drill", "list"]) == 0
    assert "connection-loss" in capsys.readouterr().out


def test_an_empty_run_is_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A journal with a head alone gives 27 claims that were not run, and exit code 0."""
    run = RunFolder.new(tmp_path / "r")
    run.append(End("interrupted", 1.0))
    assert cli.main(["judge", str(run.journal_path), "--json"]) == 0
    verdicts = json.loads(capsys.readouterr().out)
    assert {one["outcome"] for one in verdicts} == {"not-run"}
    assert cli.main(["judge", str(run.journal_path), "--claim", "db-1"]) == 0
    assert "DB-1" in capsys.readouterr().out


def test_an_unknown_claim_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped id costs one sentence that names the nearest."""
    run = RunFolder.new(tmp_path / "r")
    assert cli.main(["judge", str(run.journal_path), "--claim", "DB-11"]) == 3
    assert "DB-1" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["report", "--help"],
        ["drill", "--help"],
        ["judge", "--help"],
        ["claims", "--help"],
        ["lab", "--help"],
    ],
)
def test_every_command_has_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Help is there for each command and says what it does."""
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 0
    assert "usage: workbench" in capsys.readouterr().out


def test_a_reader_that_goes_away_is_no_error() -> None:
    """`workbench claims | head -1` ends silently."""
    command = f"{sys.executable} -m workbench claims | head -n 1"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == ""


def test_minutes_are_the_banks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A drill without a length refuses one, and the bank refuses a senseless one, before anything is started."""
    out = ["--out", str(tmp_path / "r")]
    assert cli.main(["drill", "DB-2", "--minutes", "1", *out]) == 2
    assert "--pairs" in capsys.readouterr().err
    assert cli.main(["drill", "bank", "--minutes", "0", *out]) == 2
    assert "0 minutes cannot be run" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_how_far_a_trial_is_does_not_flood_a_log(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the output is no terminal, steps are lines, and what passes is printed seldom."""
    line = DrillLine()
    line.show(Step("bank", 0, 3, "block 1 of 1", None))
    for second in range(100):
        line.show(Step("bank", 0, 3, f"{second} of 60 s", None, passing=True))
    assert capsys.readouterr().out == "bank: block 1 of 1 (0 of 3 trials done)\n"
    monkeypatch.setattr(DrillLine, "SELDOM", 0.0)
    line.show(Step("bank", 0, 3, "7 of 60 s", None, passing=True))
    assert capsys.readouterr().out == "7 of 60 s\n"
