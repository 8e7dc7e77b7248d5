"""The run folder, where notebooks and the command line meet: `run.json`, the journal, and what belongs beside it.

`WORKBENCH_RUN` names the folder. Without it a notebook joins the newest folder under `reports/`, and notebook 00 makes a
new one.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self, cast

from workbench import host, project
from workbench.errors import WorkbenchError
from workbench.journal import Journal, JournalWriter, read
from workbench.project import Project
from workbench.records import Record, Run

Depth = Literal["quick", "default", "full"]
DEPTHS: tuple[Depth, ...] = ("quick", "default", "full")
VARIABLE = "WORKBENCH_RUN"
SEED = 20261


@dataclass(frozen=True)
class RunFolder:
    """One run on disk.

    Attributes:
        path: the folder.
        id: the run's name in the journal.
        project: what is measured.
        depth: how large the samples are.
        seed: of everything random in the run.
    """

    path: Path
    id: str
    project: Project
    depth: Depth
    seed: int

    @property
    def journal_path(self) -> Path:
        return self.path / "journal.jsonl"

    @property
    def progress_path(self) -> Path:
        """Where kernels tell the command line how far they are; it is removed at the end of the run."""
        return self.path / ".progress.jsonl"

    @classmethod
    def new(
        cls,
        folder: Path | None = None,
        *,
        measured: Project | None = None,
        depth: Depth = "default",
        seed: int = SEED,
        command: str = "",
    ) -> Self:
        """Make a run folder and write the journal's head.

        Args:
            folder: where; a new folder under `reports/` of the working directory by default.
            measured: the project; the demo by default.
            depth: of all drills.
            seed: of the run.
            command: what the user typed, for the page.

        Raises:
            WorkbenchError: the folder cannot be written, or holds a run already.
        """
        measured = measured or project.demo()
        now = datetime.now(UTC)
        name = f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        path = (folder or Path("reports") / name).absolute()
        if any((path / name).exists() for name in ("run.json", "journal.jsonl")):
            raise WorkbenchError(
                f"{path} holds a run already", "name another folder, or leave --out away for a new one"
            )
        facts = {
            "id": name,
            "created": now.isoformat(timespec="seconds"),
            "project": {
                "name": measured.name,
                "root": str(measured.root),
                "settings": measured.settings,
                "demo": measured.demo,
                "interpreter": None if measured.interpreter is None else str(measured.interpreter),
                "source": measured.source,
            },
            "depth": depth,
            "seed": seed,
            "command": command,
        }
        try:
            path.mkdir(parents=True, exist_ok=True)
            (path / "run.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
        except OSError as error:
            raise WorkbenchError(
                f"cannot write to {error.filename or path} ({error.strerror})",
                "name a folder that you may write: --out DIR",
            ) from error
        run = cls(path, name, measured, depth, seed)
        run.append(
            Run(measured.name, measured.settings, depth, seed, host.environment(), command, host.versions())
        )
        return run

    @classmethod
    def open(cls, path: Path) -> Self:
        """The run of an existing folder.

        Raises:
            WorkbenchError: it holds no run.json, or one that cannot be read.
        """
        try:
            facts = json.loads((path / "run.json").read_text(encoding="utf-8"))
            place: dict[str, Any] = facts["project"]
            found = project.reopen(place)
            return cls(path.absolute(), facts["id"], found, cast("Depth", facts["depth"]), int(facts["seed"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WorkbenchError(
                f"{path} holds no run ({type(error).__name__}: {error})",
                f"start one with notebook 00_start_here or `workbench report`, or set {VARIABLE} to its folder",
            ) from error

    @classmethod
    def join(cls) -> Self:
        """The run that `WORKBENCH_RUN` names, else the newest under `reports/` here or above, else a new one for the demo."""
        named = os.environ.get(VARIABLE)
        if named:
            return cls.open(Path(named))
        found = cls._newest_first()
        return found[0] if found else cls.new()

    @classmethod
    def newest_of(cls, measured: Project) -> Self | None:
        """The newest run of a project under `reports/`; None when there is none."""
        same = (run for run in cls._newest_first() if run.project == measured)
        return next(same, None)

    @classmethod
    def _newest_first(cls) -> list[Self]:
        for base in (Path.cwd(), *Path.cwd().parents[:2]):
            runs = sorted(
                (base / "reports").glob("*/run.json"), key=lambda path: path.stat().st_mtime, reverse=True
            )
            if runs:
                return [cls.open(path.parent) for path in runs]
        return []

    def writer(self) -> JournalWriter:
        return JournalWriter(self.journal_path, self.id)

    def append(self, record: Record) -> None:
        """Write one record to the run's journal."""
        self.writer().append(record)

    def journal(self) -> Journal:
        """The journal as it stands now."""
        return read(self.journal_path)
