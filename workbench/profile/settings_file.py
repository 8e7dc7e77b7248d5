"""The project's settings file: where a setting stands in it, and a change of it as a diff and as a text to run."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

from workbench.profile import model_edits
from workbench.profile.loading import Loaded
from workbench.profile.source_files import read
from workbench.project_process import ProjectProcess


@dataclass(frozen=True)
class Change:
    """A settings file with one more thing in it.

    Attributes:
        diff: of the file; in words where it cannot be edited.
        edits: for a process that runs with it; None where there is no edited text.
    """

    diff: str
    edits: dict[str, bytes] | None = None


@dataclass(frozen=True)
class SettingsFile:
    """One that lies in the project.

    Attributes:
        path: of the file.
        name: below the project's root.
        source: its text; None where it is not the project's own or cannot be read.
        encoding: of the text.
    """

    path: Path
    name: str
    source: str | None
    encoding: str = "utf-8"

    @classmethod
    def of(cls, loaded: Loaded, process: ProjectProcess) -> SettingsFile:
        """The file of the settings module, as the project's own process finds it."""
        found = process.call("workbench.guest.responses:settings_file", name=loaded.project.settings)
        path, root = Path(found or "."), loaded.project.root.resolve()
        if not path.is_file() or not path.resolve().is_relative_to(root) or "site-packages" in path.parts:
            return cls(path, loaded.project.settings, None)
        source, encoding = read(path)
        return cls(path, path.resolve().relative_to(root).as_posix(), source, encoding)

    def location(self, setting: str) -> str:
        """ "file:line" where it is set, else the file's first line."""
        try:
            body = ast.parse(self.source or "").body
        except SyntaxError:
            body = []
        for one in body:
            targets = one.targets if isinstance(one, ast.Assign) else [getattr(one, "target", None)]
            if any(isinstance(target, ast.Name) and target.id == setting for target in targets):
                return f"{self.name}:{one.lineno}"
        return f"{self.name}:1"

    def with_middleware(self, middleware: str, before: tuple[str, ...] = ()) -> Change:
        """One more middleware, before the first of those named that is there."""
        text = self.source and model_edits.with_element(self.source, "MIDDLEWARE", middleware, before)
        return self._change(text, f'in MIDDLEWARE, near its beginning: "{middleware}"')

    def with_database(self, alias: str, keys: tuple[tuple[tuple[str, ...], str], ...]) -> Change:
        """A database's entry with more keys, each a path and Python's text of its value."""
        text = self.source
        words: list[str] = []
        for path, value in reversed(keys):  # each goes to the head of the entry
            text = text and model_edits.with_key(text, "DATABASES", alias, path, value)
            words.insert(0, f'DATABASES["{alias}"]' + "".join(f'["{key}"]' for key in path) + f" = {value}")
        return self._change(text, "\n".join(words))

    def _change(self, text: str | None, words: str) -> Change:
        if not self.source or not text:
            return Change(words)
        try:
            edits = {str(self.path): text.encode(self.encoding)}
        except UnicodeEncodeError:
            return Change(words)
        return Change(model_edits.diff(self.name, self.source, text), edits)
