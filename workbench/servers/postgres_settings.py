"""PostgreSQL's settings for a private server: ours, the caller's, and how they are written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from workbench.errors import WorkbenchError

FILE = "workbench.conf"
DEFAULTS: Mapping[str, object] = {
    "log_timezone": "UTC",
    "timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "dynamic_shared_memory_type": "mmap",  # segments in /dev/shm would outlive a SIGKILL
}
#: What makes the server private, and found by us, cannot be set by a caller.
OURS = frozenset(
    {
        "config_file",
        "data_directory",
        "external_pid_file",
        "hba_file",
        "ident_file",
        "listen_addresses",
        "log_destination",
        "logging_collector",
        "port",
        "unix_socket_directories",
    }
)


def with_defaults(settings: Mapping[str, object]) -> dict[str, object]:
    """The caller's settings over the defaults.

    Raises:
        WorkbenchError: when one of them is ours to make.
    """
    if forbidden := OURS & settings.keys():
        raise WorkbenchError(
            f"these settings belong to the private server itself: {', '.join(sorted(forbidden))}",
            "leave them out",
        )
    return {**DEFAULTS, **settings}


def include_settings(data: Path) -> None:
    """Let the data directory's own configuration, as initdb wrote it, end with our file."""
    with (data / "postgresql.conf").open("a") as text:
        text.write(f"include '{FILE}'\n")
    (data / FILE).touch(mode=0o600)


def write_settings(data: Path, settings: Mapping[str, object], host: str, port: int) -> None:
    """Write our file. Settings among the server's arguments would overrule a drill's ALTER SYSTEM."""
    private = {"listen_addresses": host, "port": port, "unix_socket_directories": ""}
    lines = [f"{name} = {quoted(value)}\n" for name, value in {**settings, **private}.items()]
    (data / FILE).write_text("".join(lines))


def quoted(value: object) -> str:
    """A value as the file wants it; True and False are ``on`` and ``off``."""
    text = ("on" if value else "off") if isinstance(value, bool) else str(value)
    return "'" + text.replace("'", "''") + "'"
