"""The journal survives concurrent writers and crashes, hides secrets, and tells what is wrong with a file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from workbench.errors import WorkbenchError
from workbench.journal import JournalWriter, read
from workbench.records import Arm, End, Finding, Metric, Plan, Run, Trial
from workbench.redaction import redact_text

ARM = Arm("control", "Stalwart off")


def trial(name: str, drill: str = "bandwidth") -> Trial:
    return Trial(name, drill, 0, "control", 0, 1, {"bytes": Metric(1.0, "bytes")})


def plan(drill: str = "bandwidth") -> Plan:
    return Plan(drill, ("NET-1",), "title", (ARM,), 1, 1)


def test_lines_come_back_in_order(tmp_path: Path) -> None:
    """A reader sees the records as they were appended."""
    writer = JournalWriter(tmp_path / "journal.jsonl", "r1")
    records = [Run("demo", "s", "quick", 1, {}, "c"), plan(), trial("a"), End("complete", 1.0)]
    for record in records:
        writer.append(record)
    journal = read(writer.path)
    assert [line.record for line in journal.lines] == records
    assert {line.run for line in journal.lines} == {"r1"}
    assert journal.run == records[0]


def test_a_newer_plan_replaces_the_drills_earlier_trials(tmp_path: Path) -> None:
    """Running a drill again in the same run counts the second sample only."""
    writer = JournalWriter(tmp_path / "journal.jsonl", "r1")
    for record in (plan(), trial("old"), plan("other"), trial("kept", "other"), plan(), trial("new")):
        writer.append(record)
    journal = read(writer.path)
    assert [one.id for one in journal.trials("bandwidth")] == ["new"]
    assert [one.id for one in journal.trials("other")] == ["kept"]
    assert len(journal.plans) == 2


def test_several_processes_may_write(tmp_path: Path) -> None:
    """Lines of concurrent writers are whole: none is lost, none is torn."""
    path = tmp_path / "journal.jsonl"
    code = (
        "import sys; from pathlib import Path; from workbench.journal import JournalWriter; from workbench.records import Finding\n"
        "writer = JournalWriter(Path(sys.argv[1]), sys.argv[2])\n"
        "for n in range(40): writer.append(Finding(sys.argv[2], str(n), 'x' * 3000))\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, str(path), f"w{n}"]) for n in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    found = [(line.run, line.record.code) for line in read(path).lines if isinstance(line.record, Finding)]
    assert sorted(found) == sorted((f"w{n}", str(k)) for n in range(3) for k in range(40))


def test_a_torn_last_line_is_left_out_and_the_next_writer_goes_on(tmp_path: Path) -> None:
    """A writer that was killed in the middle of a line costs that line only."""
    path = tmp_path / "journal.jsonl"
    JournalWriter(path, "r1").append(Finding("a", "b", "c"))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2])
    assert read(path).torn == 1
    JournalWriter(path, "r2").append(End("complete", 1.0))
    journal = read(path)
    assert [line.kind for line in journal.lines] == ["finding", "end"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no journal line"),
        ('{"schema": 99, "kind": "end"}', "schema 99; this version reads 1"),
        ('{"schema": 1, "kind": "party"}', "unknown kind 'party'"),
        (
            '{"schema": 1, "kind": "end", "run": "r", "t": 1, "status": "bored", "took": 1}',
            "data.status must be one of",
        ),
        (
            '{"schema": 1, "kind": "end", "run": "r", "t": 1, "status": "complete"}',
            "must contain .*took",
        ),
        ("[1]", "a journal line is a JSON object"),
    ],
)
def test_a_wrong_file_is_explained(tmp_path: Path, text: str, message: str) -> None:
    """A journal that does not fit says where and why, in one sentence with the next step."""
    path = tmp_path / "journal.jsonl"
    path.write_text(text + "\n")
    with pytest.raises(WorkbenchError, match=message):
        read(path)


def test_a_missing_file_is_explained(tmp_path: Path) -> None:
    """A mistyped path is no traceback."""
    with pytest.raises(WorkbenchError, match="cannot read the journal"):
        read(tmp_path / "none.jsonl")


def test_secrets_do_not_reach_the_file(tmp_path: Path) -> None:
    """Passwords in DSNs, cookies, tokens and keys are redacted on the way in; other text stays."""
    writer = JournalWriter(tmp_path / "journal.jsonl", "r1")
    data = {
        "dsn": "postgres://app:hunter2@127.0.0.1/db",
        "note": "connect with postgres://app:hunter2@127.0.0.1/db and password=hunter2 please",
        "nested": {
            "SECRET_KEY": "hunter2",
            "Cookie": "hunter2",
            "api_token": ["hunter2"],
            "monkey": "banana",
        },
    }
    writer.append(Finding("a", "b", "Authorization: hunter2", data))
    text = writer.path.read_text()
    assert "hunter2" not in text
    assert "banana" in text
    assert "127.0.0.1/db" in text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Authorization: Bearer hunter2", "Authorization"),
        ("client_secret=hunter2", "client_secret"),
        ("SECRET_KEY='hunter2'", "SECRET_KEY"),
        ("DJANGO_SECRET_KEY=hunter2 DEBUG=1", "DEBUG=1"),
        ("Cookie: a=hunter2; b=hunter2", "Cookie"),
        ("sessionid=hunter2; csrftoken=hunter2", "sessionid"),
        ("curl --api-key hunter2 -v", "-v"),
        ("postgres://u:hun/ter2hunter2@h/db", "@h/db"),
        ('{"password": "hunter2"}', "password"),
        ("password authentication failed for user", "authentication failed for user"),
        ("the token bucket is empty", "bucket is empty"),
    ],
)
def test_secrets_in_text_are_found(text: str, kept: str) -> None:
    """Each common way to write a secret in a line is redacted, and the words around it stay."""
    redacted = redact_text(text)
    assert "hunter2" not in redacted
    assert kept in redacted


def test_numbers_without_a_json_word_become_null(tmp_path: Path) -> None:
    """Infinity and NaN do not make a line that other programs cannot read."""
    writer = JournalWriter(tmp_path / "journal.jsonl", "r1")
    writer.append(Finding("a", "b", "c", {"x": float("nan"), "y": [float("inf"), 1.0]}))
    assert json.loads(writer.path.read_text())["data"] == {"x": None, "y": [None, 1.0]}
    assert read(writer.path).findings[0].data["x"] is None


def test_a_folder_without_write_access_is_explained(tmp_path: Path) -> None:
    """A file in the way of the folder gives one sentence with the next step."""
    (tmp_path / "blocked").write_text("")
    with pytest.raises(WorkbenchError, match="cannot write the journal"):
        JournalWriter(tmp_path / "blocked" / "journal.jsonl", "r1")
