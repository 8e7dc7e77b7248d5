"""What `%load_ext workbench` puts on a shell, and `%unload_ext` takes off again."""

from __future__ import annotations

from typing import Any

from workbench.magics import connections
from workbench.magics.automatic import Automatic
from workbench.magics.commands import Commands
from workbench.magics.displays import Displays
from workbench.magics.worker import Worker

_loaded: dict[int, Extension] = {}


class Extension:
    """Everything of ours on one shell."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._worker = Worker()
        self._automatic = Automatic(shell, self._worker)
        self._displays = Displays(shell, self._worker)
        self._commands = Commands(shell, self._worker, self._automatic)
        self._before: dict[tuple[str, str], Any] = {}

    def install(self) -> None:
        listed = self._shell.magics_manager.magics
        for kind, names in self._commands.magics.items():
            for name in names:
                self._before[kind, name] = listed[kind].get(name)
        self._shell.register_magics(self._commands)
        self._displays.install()

    def uninstall(self) -> None:
        self._automatic.turn(False)
        self._displays.uninstall()
        listed = self._shell.magics_manager.magics
        for (kind, name), before in self._before.items():
            if before is None:
                listed[kind].pop(name, None)
            else:
                listed[kind][name] = before
        self._shell.magics_manager.registry.pop(type(self._commands).__name__, None)
        self._worker.close()
        connections.forget()


def load(shell: Any) -> None:
    """See `workbench.magics.load`."""
    if id(shell) not in _loaded:
        _loaded[id(shell)] = made = Extension(shell)
        made.install()


def unload(shell: Any) -> None:
    """See `workbench.magics.unload`."""
    made = _loaded.pop(id(shell), None)
    if made is not None:
        made.uninstall()
