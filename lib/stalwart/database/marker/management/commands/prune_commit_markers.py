"""`manage.py prune_commit_markers`: delete commit markers that nobody can ask for any more."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DEFAULT_DB_ALIAS
from django.db.models.functions import Now

from stalwart.database.marker.models import CommitMarker
from stalwart.database.marker.row import new_key

_DAY = 86_400
_LEAST = (
    600  # a marker is asked for within seconds of its COMMIT; this is far beyond, also for a paused machine
)
_BATCH = 10_000


class Command(BaseCommand):
    """Run it now and then, as `clearsessions`. It works in batches, each a short transaction of its own.

    A command rather than something that happens by itself: in a request it would take a user's time, and its own COMMIT
    could be lost.
    """

    help = "Delete commit markers that nobody can ask for any more."

    def add_arguments(self, parser: CommandParser) -> None:
        """See `--help`."""
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, help='Alias; "default" if not given.')
        parser.add_argument(
            "--older-than",
            type=int,
            default=_DAY,
            metavar="SECONDS",
            help=f"Default {_DAY}, at least {_LEAST}.",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """See above."""
        seconds: int = options["older_than"]
        if seconds < _LEAST:
            raise CommandError(
                f"--older-than is {seconds}: a marker that is still needed could go; use {_LEAST} or more"
            )
        # The key finds the old rows by the index. Its time is that of a client, whose clock may be wrong; the server's own
        # time in the row decides.
        bound = new_key((int(time.time()) - seconds) * 1000)
        old = CommitMarker.objects.using(options["database"]).filter(
            key__lt=bound, created__lt=Now() - dt.timedelta(seconds=seconds)
        )
        deleted = 0
        while True:
            batch = old.order_by("key").values("key")[:_BATCH]
            count, _per_model = CommitMarker.objects.using(options["database"]).filter(key__in=batch).delete()
            deleted += count
            if count < _BATCH:
                break
        self.stdout.write(f"{deleted} commit markers deleted from {options['database']}")
