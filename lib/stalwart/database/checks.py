"""System checks of connection pools: sizes that cannot work are found before the traffic finds them.

stalwart.E010  `OPTIONS["pool"]` is none that psycopg_pool can make
stalwart.W010  no health check: a pool hands out connections that the server has ended
stalwart.W011  any number of threads may wait for a connection
stalwart.W012  a process has more threads than its pool has connections
stalwart.W013  the pools of all processes together are larger than what the server gives
stalwart.W014  the server could not be asked what it gives
stalwart.W015  psycopg_pool is too old to give up the connections to a demoted server
stalwart.W016  settings for pools, and no database has one

W013 and W014 need a query, so they come with `manage.py check --database default` only. How many processes and threads there
will be is known where gunicorn's own environment says so (`WEB_CONCURRENCY`, `GUNICORN_CMD_ARGS`); else one process is
assumed, and W012 is left out. Other programs that use the server (workers, cron) are not known here.
"""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as CheckWarning
from django.db import connections
from django.db.utils import Error as DatabaseError

from stalwart import django_conf
from stalwart.database.classification import classify
from stalwart.database.driver import ask

# Slots that the roles and databases may have; what is kept for superusers and the like is taken off.
_SLOTS = (
    "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
    " - coalesce(current_setting('reserved_connections', true), '0')::int, r.rolconnlimit, d.datconnlimit"
    " FROM pg_roles r, pg_database d WHERE r.rolname = current_user AND d.datname = current_database()"
)


@dataclass(frozen=True, slots=True)
class Deployment:
    """How the site is served, as far as it can be known here.

    Attributes:
        processes: None when not known.
        threads: per process, None when not known.
        source: where that is from.
    """

    processes: int | None
    threads: int | None
    source: str

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Deployment:
        """From the environment of gunicorn: its arguments there, then WEB_CONCURRENCY."""
        parser = argparse.ArgumentParser(add_help=False, exit_on_error=False, allow_abbrev=False)
        parser.add_argument("-w", "--workers", type=int)
        parser.add_argument("--threads", type=int)
        parser.add_argument("-k", "--worker-class")
        try:
            given = parser.parse_known_args(shlex.split(environ.get("GUNICORN_CMD_ARGS", "")))[0]
        except (ValueError, argparse.ArgumentError):
            given = argparse.Namespace(workers=None, threads=None, worker_class=None)
        processes = given.workers
        if processes is None and environ.get("WEB_CONCURRENCY", "").isdecimal():
            processes = int(environ["WEB_CONCURRENCY"])
        threads = given.threads
        if threads is None and given.worker_class == "sync":
            threads = 1
        source = " and ".join(name for name in ("GUNICORN_CMD_ARGS", "WEB_CONCURRENCY") if environ.get(name))
        return cls(processes or None, threads or None, source)


def check_pools(**_: Any) -> list[CheckMessage]:
    """What the settings alone tell."""
    config, deployment = django_conf.current().database, Deployment.read(os.environ)
    if not config.enabled:
        return []
    found: list[CheckMessage] = []
    pooled = _pooled(connections)
    for alias, options in pooled.items():
        where = f'DATABASES["{alias}"]["OPTIONS"]["pool"]'
        pool, problem = _made(options)
        if problem:
            found.append(
                Error(
                    f"{where} cannot work: {problem}",
                    hint="See psycopg_pool.ConnectionPool.",
                    obj=where,
                    id="stalwart.E010",
                )
            )
            continue
        if not connections.settings[alias].get("CONN_HEALTH_CHECKS") and "check" not in options:
            found.append(
                CheckWarning(
                    f"The pool of database {alias!r} hands out connections unchecked.",
                    hint=f'Set DATABASES["{alias}"]["CONN_HEALTH_CHECKS"] = True: else one that the server has ended while it '
                    "lay in the pool fails in a request.",
                    obj=where,
                    id="stalwart.W010",
                )
            )
        if not (pool.max_waiting or config.pool_waiting):
            found.append(
                CheckWarning(
                    f"Any number of threads may wait for a connection of database {alias!r}, each for up to {pool.timeout:g} s.",
                    hint='Set STALWART["DATABASE"]["POOL_WAITING"], or "max_waiting" of the pool, so that one too many fails '
                    "at once; and a timeout that your clients would wait.",
                    obj=where,
                    id="stalwart.W011",
                )
            )
        if deployment.threads and pool.max_size < deployment.threads:
            found.append(
                CheckWarning(
                    f"The pool of database {alias!r} has at most {pool.max_size} connections, and its process "
                    f"{deployment.threads} threads ({deployment.source}).",
                    hint='Raise "max_size" (psycopg_pool\'s default is 4), or know that threads wait for each other.',
                    obj=where,
                    id="stalwart.W012",
                )
            )
        if not hasattr(pool, "drain"):
            found.append(
                CheckWarning(
                    "This psycopg_pool cannot give up the idle connections of a pool.",
                    hint="Update it to 3.3: after a failover they would go on leading to the old server.",
                    obj=where,
                    id="stalwart.W015",
                )
            )
    if not pooled and (config.pool_waiting or config.held_too_long):
        found.append(
            CheckWarning(
                'STALWART["DATABASE"] has POOL_WAITING or HELD_TOO_LONG, and no database has a pool.',
                hint='Add "pool": {...} to the OPTIONS of a PostgreSQL database, or take them out.',
                id="stalwart.W016",
            )
        )
    return found


def check_server_slots(databases: Iterable[str] | None = None, **_: Any) -> list[CheckMessage]:
    """What the servers of the named databases have to say."""
    if not django_conf.current().database.enabled:
        return []
    deployment = Deployment.read(os.environ)
    processes = deployment.processes or 1
    assumed = (
        f"by {deployment.source}"
        if deployment.processes
        else "assumed; set WEB_CONCURRENCY to have it counted"
    )
    found: list[CheckMessage] = []
    for alias, options in _pooled(databases or ()).items():
        pool, problem = _made(options)
        if problem:
            continue
        try:
            connection = connections[alias]
            connection.ensure_connection()
            limits = [limit for limit in ask(connection, _SLOTS)[0] if limit >= 0]  # -1: none
        except DatabaseError as error:
            known = classify(error)
            found.append(
                CheckWarning(
                    f"The server of database {alias!r} could not be asked how many connections it gives "
                    f"({type(error).__name__}{'' if known is None else ': ' + known.error_class.value}).",
                    hint="Run this check again when it answers.",
                    obj=alias,
                    id="stalwart.W014",
                )
            )
            continue
        if pool.max_size * processes > min(limits):
            found.append(
                CheckWarning(
                    f"The pools of database {alias!r} may open {pool.max_size} connections in each of {processes} "
                    f"process{'es' if processes > 1 else ''} ({assumed}), and the server gives {min(limits)} in all.",
                    hint='Lower "max_size", or raise max_connections or the limit of the role or the database.',
                    obj=alias,
                    id="stalwart.W013",
                )
            )
    return found


def _pooled(aliases: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The options of the pools that those databases are to have."""
    found = {alias: (connections.settings[alias].get("OPTIONS") or {}).get("pool") for alias in aliases}
    return {alias: {} if options is True else options for alias, options in found.items() if options}


def _made(options: dict[str, Any]) -> tuple[Any, str]:
    """A pool of that kind, not opened, or what is wrong with it."""
    try:
        from psycopg_pool import ConnectionPool

        return ConnectionPool(open=False, **options), ""
    except (ImportError, TypeError, ValueError) as problem:
        return None, str(problem)
