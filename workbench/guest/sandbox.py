"""What a project may not do while it is looked at: send mail, reach other servers, queue tasks, write where it really works.

`install` runs before a line of the project does (`workbench.guest.settings` calls it), since settings and apps already connect
to things. The network is guarded by an audit hook, which sees every Python socket however it was made; database drivers written
in C open sockets of their own and are guarded at their `connect`. Everything that is asked for in vain is counted.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import socket
import sys
from typing import Any

#: What usually listens on a port, for people.
_KNOWN = {
    25: "mail server", 465: "mail server", 587: "mail server", 80: "HTTP", 443: "HTTPS", 3306: "MySQL", 4317: "telemetry",
    5432: "PostgreSQL", 5672: "message broker", 6379: "Redis", 8125: "statsd", 9200: "Elasticsearch", 11211: "memcached",
    27017: "MongoDB",
}  # fmt: skip
_LOCAL = ("", "localhost", "127.0.0.1", "::1", "0.0.0.0", "::")  # noqa: S104 names to look up, nothing is bound

_counts: dict[str, int] = {}
_options: dict[str, Any] = {}
_trusted: Any = None


class BlockedError(ConnectionRefusedError):
    """The sandbox refused; to the project it looks as if nobody listened there."""


def note(what: str, times: int = 1) -> None:
    """Count something that was stubbed or blocked; `times` 0 lists it as replaced though nobody has asked for it yet."""
    _counts[what] = _counts.get(what, 0) + times


def blocked() -> dict[str, int]:
    """What was stubbed or blocked so far in this process, with how often it was asked for."""
    return dict(_counts)


def active() -> bool:
    """Whether this process has a sandbox."""
    return bool(_options)


def folder() -> str:
    """The private folder of files that the project writes."""
    return str(_options["folder"])


def install(options: dict[str, Any]) -> None:
    """Guard this process, for good: an audit hook cannot be taken away.

    Args:
        options: `folder` (private; files may be written and SQLite databases opened below it), `databases` (host and port
            of each server of ours), `allow_network`.
    """
    if _options:
        return
    _options.update(options)
    _options["folder"] = os.path.realpath(options["folder"])
    sys.addaudithook(_audit)
    _guard_drivers()


def is_on() -> bool:
    """Whether this process is inside the sandbox, and so on private databases."""
    return bool(_options)


def trust(asks: Any) -> None:
    """Let through what a judge says is not the project's: in a notebook's kernel the process is not the project's alone.

    Args:
        asks: called where the sandbox would refuse; whether the caller may pass.
    """
    global _trusted
    _trusted = asks


def after_setup() -> None:
    """Do what needs the apps loaded: stub Celery's tasks, and hurry SQLite."""
    if not _options:
        return
    from django.db.backends.signals import connection_created

    connection_created.connect(_hurry, dispatch_uid="workbench.guest.sandbox")
    if "celery" in sys.modules:
        _stub_celery()


def _hurry(sender: Any, connection: Any, **_: Any) -> None:
    """Our SQLite files are thrown away: no statement waits for the disk."""
    if connection.vendor == "sqlite":
        connection.connection.execute("PRAGMA synchronous = OFF")


def _stub_celery() -> None:
    try:
        task = importlib.import_module("celery.app.task")
        base = importlib.import_module("celery.app.base")
        result = importlib.import_module("celery.result")
        states = importlib.import_module("celery.states")
    except ImportError:
        return
    note("task (Celery)", 0)

    def queued(name: str) -> Any:
        note("task (Celery)")
        note(f"task {name}")
        return result.EagerResult("workbench-blocked", None, states.PENDING)

    def apply_async(self: Any, *args: Any, **options: Any) -> Any:
        return queued(self.name)

    def send_task(self: Any, name: str, *args: Any, **options: Any) -> Any:
        return queued(name)

    task.Task.apply_async = apply_async
    base.Celery.send_task = send_task


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" or event == "socket.sendto":
        _connecting(arguments[0], arguments[1])
    elif event == "socket.getaddrinfo" or event == "socket.gethostbyname":
        _resolving(arguments[0], arguments[1] if event == "socket.getaddrinfo" else None)
    elif event == "sqlite3.connect":
        _opening(arguments[0])


def _connecting(connection: Any, address: Any) -> None:
    family = getattr(connection, "family", None)
    if isinstance(address, tuple) and family in (socket.AF_INET, socket.AF_INET6):
        host, port = str(address[0]), int(address[1])
        if _options["allow_network"] or _is_ours(host, port):
            return
        _refuse(f"{_KNOWN.get(port, 'network')} {host}:{port}")
    elif family == getattr(socket, "AF_UNIX", -1) and not _options["allow_network"]:
        path = os.fsdecode(address)
        if not _is_private(path):
            _refuse(f"socket {path}")


def _resolving(host: Any, port: Any) -> None:
    name = os.fsdecode(host) if isinstance(host, (str, bytes)) else ""
    # A number needs no name server; whether it may be connected to is decided then.
    if _options["allow_network"] or name in _LOCAL or name == socket.gethostname() or _is_number(name):
        return
    number = int(port) if str(port).isdigit() else None
    _refuse(f"{_KNOWN.get(number or 0, 'network')} {name}" + ("" if number is None else f":{number}"))


def _opening(database: Any) -> None:
    path = os.fsdecode(database) if isinstance(database, (str, bytes, os.PathLike)) else str(database)
    if path in ("", ":memory:") or path.startswith("file::memory:") or "mode=memory" in path:
        return
    plain = path[5:].partition("?")[0] if path.startswith("file:") else path
    if not _is_private(plain):
        _refuse(f"SQLite {os.path.basename(plain)}")


def _guard_drivers() -> None:
    """Only our servers may be connected to through libpq and the like; what the settings say is replaced already."""
    for name in ("psycopg", "psycopg2", "MySQLdb"):
        if importlib.util.find_spec(name) is None:
            continue
        try:
            driver: Any = importlib.import_module(name)
            if name == "psycopg":
                for one in (driver.Connection, driver.AsyncConnection):
                    _guard_class(one, importlib.import_module("psycopg.conninfo").conninfo_to_dict)
                driver.connect = driver.Connection.connect
            elif name == "psycopg2":
                driver.connect = _guarded(driver.connect, _parts2)
            else:
                driver.connect = _guarded(driver.connect, lambda *args, **options: options)
        except Exception:  # noqa: BLE001, S112 a driver that cannot be imported cannot connect either
            continue


def _guard_class(one: Any, parts: Any) -> None:
    plain = one.connect.__func__

    def connect(cls: Any, /, conninfo: str = "", **options: Any) -> Any:
        _only_ours({**parts(conninfo), **options})
        return plain(cls, conninfo, **options)

    one.connect = classmethod(connect)


def _guarded(plain: Any, parts: Any) -> Any:
    def connect(*args: Any, **options: Any) -> Any:
        _only_ours(parts(*args, **options))
        return plain(*args, **options)

    return connect


def _parts2(
    dsn: str | None = None, connection_factory: Any = None, cursor_factory: Any = None, **options: Any
) -> Any:
    extensions = importlib.import_module("psycopg2.extensions")
    given = {key: value for key, value in options.items() if key != "async_" and key != "async"}
    return extensions.parse_dsn(extensions.make_dsn(dsn, **given))


def _only_ours(parts: dict[str, Any]) -> None:
    host, port = str(parts.get("host") or ""), str(parts.get("port") or "")
    # Several hosts, or several ports, are never ours.
    if not port.isdigit() or not _is_ours(host, int(port)):
        _refuse(f"database {host or '(local socket)'}:{port or 'default'}")


def _is_ours(host: str, port: int) -> bool:
    return any(host == one[0] and port == int(one[1]) for one in _options["databases"])


def _is_private(path: str) -> bool:
    return os.path.realpath(path).startswith(_options["folder"] + os.sep)


def _is_number(name: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, name.partition("%")[0])
            return True
        except OSError:
            continue
    return False


def _refuse(what: str) -> None:
    if _trusted is not None and _trusted():
        return
    note(what)
    raise BlockedError(f"the workbench's sandbox blocks {what} (--allow-network lets it through)")
