"""``python -m workbench.demo COMMAND``: Django's command line on the demo, with everything that it needs started first.

A private PostgreSQL (migrated, and seeded with a small data set) and the quote service run as long as the command does.
With ``STALWART_DEMO_DATABASE`` set, that database is used as it is; ``STALWART_DEMO_QUOTES`` likewise.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import ExitStack
from typing import NoReturn

from workbench.demo.environment import DATABASE_VARIABLE, QUOTES_VARIABLE
from workbench.errors import WorkbenchError

DATABASE = "demo"
#: Commands that only print, for which no server need be started.
PRINTING = {"help", "version", "-h", "--help", "--version"}


def run(arguments: list[str]) -> None:
    """Start what is missing, run one Django command, end what was started, also after Ctrl-C.

    Args:
        arguments: as ``sys.argv``, the program's name first.

    Raises:
        WorkbenchError: when PostgreSQL or the quote service cannot be started.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "workbench.demo.settings")
    given = arguments[1:]
    with ExitStack() as servers:
        if given and not PRINTING & set(given):
            provide_quotes(servers)
            provide_database(servers)
        if given[:1] == ["runserver"] and "--noreload" not in given:
            # The reloader runs the server in a child, which would outlive this process if that were killed.
            arguments = [*arguments, "--noreload"]
        # Late: Django reads its settings, and they the environment, when it is first used.
        from django.core.management import execute_from_command_line

        execute_from_command_line(arguments)


def provide_quotes(servers: ExitStack) -> None:
    """Start the quote service, unless the environment names one."""
    if os.environ.get(QUOTES_VARIABLE):
        return
    from workbench.servers.quotes import QuotesServer

    quotes = servers.enter_context(QuotesServer())
    os.environ[QUOTES_VARIABLE] = quotes.url
    say(f"quote service on {quotes.url}")


def provide_database(servers: ExitStack) -> None:
    """Start PostgreSQL, migrate and seed, unless the environment names a database."""
    if os.environ.get(DATABASE_VARIABLE):
        return
    from workbench.servers.postgres import PostgresServer

    say("starting a private PostgreSQL")
    server = servers.enter_context(PostgresServer())
    server.create_database(DATABASE)
    os.environ[DATABASE_VARIABLE] = json.dumps(server.django_database(DATABASE))
    say(f"PostgreSQL {server.version} on {server.host}:{server.port}; it is thrown away at the end")

    import django
    from django.core.management import call_command
    from django.db import connections

    django.setup()
    # Entered after the server, so left before it: the server then need not end our connections.
    servers.callback(connections.close_all)
    call_command("migrate", verbosity=0)
    call_command("seed", if_empty=True)


def say(text: str) -> None:
    """One line for the user; on stderr, since a command's own output may be piped."""
    print(f"demo: {text}", file=sys.stderr, flush=True)


def terminated(number: int, frame: object) -> NoReturn:
    """Turn SIGTERM into an exception, so that what was started is ended in order."""
    raise SystemExit(128 + number)


def main() -> int:
    """The command line; returns the exit code."""
    signal.signal(signal.SIGTERM, terminated)
    try:
        run([f"{sys.executable} -m workbench.demo", *sys.argv[1:]])
    except WorkbenchError as error:
        say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
