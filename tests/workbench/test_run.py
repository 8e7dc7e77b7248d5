"""Run folders: made, joined, found again, and never written over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from workbench.errors import WorkbenchError
from workbench.progress import Progress, Step, duration, steps
from workbench.records import Finding, Run
from workbench.run import VARIABLE, RunFolder


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)


def test_a_new_run_has_its_head(tmp_path: Path) -> None:
    """The journal starts with project, depth, seed and environment, without paths of the machine."""
    run = RunFolder.new(tmp_path / "r", depth="quick", seed=5, command="workbench report")
    head = run.journal().run
    assert isinstance(head, Run)
    assert (head.depth, head.seed, head.command) == ("quick", 5, "workbench report")
    assert head.environment["cores"] == os.cpu_count()
    assert str(tmp_path) not in run.journal_path.read_text()


def test_a_run_is_opened_as_it_was(tmp_path: Path) -> None:
    """run.json says all that a kernel needs."""
    run = RunFolder.new(tmp_path / "r", depth="full", seed=9)
    assert RunFolder.open(tmp_path / "r") == run


def test_a_folder_with_a_run_is_not_written_over(tmp_path: Path) -> None:
    """A second run under the same --out is refused."""
    RunFolder.new(tmp_path / "r")
    with pytest.raises(WorkbenchError, match="holds a run already"):
        RunFolder.new(tmp_path / "r")


def test_the_named_run_is_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """WORKBENCH_RUN wins over everything else."""
    named = RunFolder.new(tmp_path / "r")
    RunFolder.new()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "r"))
    assert RunFolder.join() == named


def test_the_newest_run_is_joined_also_from_a_folder_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook in notebooks/ finds the newest run under reports/ of the checkout."""
    old, new = RunFolder.new(), RunFolder.new()
    os.utime(old.path / "run.json", (1, 1))
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert RunFolder.join() == new


def test_without_any_run_one_is_made() -> None:
    """A notebook that is opened first makes the run that it needs."""
    assert RunFolder.join().project.demo


def test_a_folder_without_a_run_is_explained(tmp_path: Path) -> None:
    """A wrong WORKBENCH_RUN gives one sentence."""
    with pytest.raises(WorkbenchError, match="holds no run"):
        RunFolder.open(tmp_path)


def test_a_place_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    """A file in the way of the run folder gives one sentence."""
    (tmp_path / "blocked").write_text("")
    with pytest.raises(WorkbenchError, match="cannot write to"):
        RunFolder.new(tmp_path / "blocked" / "r")


def test_records_are_appended(tmp_path: Path) -> None:
    """What a notebook appends stands in the run's journal."""
    run = RunFolder.new(tmp_path / "r")
    run.append(Finding("NET-1", "not-run", "why"))
    assert RunFolder.open(run.path).journal().findings == [Finding("NET-1", "not-run", "why")]


def test_progress_reaches_the_command_line(tmp_path: Path) -> None:
    """Each step is read once, in order, with the time left."""
    path = tmp_path / "p.jsonl"
    seen: list[Step] = []
    progress = Progress("bandwidth", 2, expected=8.0, path=path, show=seen.append)
    progress.begin("block 1 of 1, Stalwart off")
    first, offset = steps(path)
    assert [step.left for step in first] == [16.0]
    assert steps(path, offset) == ([], offset)
    progress.finish()
    progress.begin("block 1 of 1, Stalwart on")
    progress.finish()
    rest, _ = steps(path, offset)
    assert [step.done for step in rest] == [1, 2]
    assert [*first, *rest] == seen
    assert "1 of 2 trials done" in rest[0].line()


def test_a_half_written_step_waits(tmp_path: Path) -> None:
    """A line that is being written is read when it is whole."""
    path = tmp_path / "p.jsonl"
    path.write_text('{"drill": "x"')
    assert steps(path) == ([], 0)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (59.6, "60 s"), (89, "89 s"), (150, "2 min"), (3600, "60 min")]
)
def test_durations_read_well(seconds: float, text: str) -> None:
    """Seconds below a minute and a half, minutes above."""
    assert duration(seconds) == text
