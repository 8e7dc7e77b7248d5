"""``payload_mix``: holds the demo's responses against the frozen mix."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from workbench.demo.stocks import loading
from workbench.demo.stocks.dataset import Dataset
from workbench.demo.stocks.payloads import FILE, SIZE, WHY, compute_mix, frozen_mix
from workbench.servers.quotes import QuotesServer


class Command(BaseCommand):
    """Compare, or freeze anew; see ``help``."""

    help = "Fetches every payload of the mix, from its data set written in a transaction that is rolled back, and compares."

    def add_arguments(self, parser: CommandParser) -> None:
        """Only ``--write``."""
        parser.add_argument("--write", action="store_true", help=f"freeze what is found now. {WHY}")

    def handle(self, *arguments: Any, **options: Any) -> None:
        """Compare.

        Raises:
            CommandError: when anything differs from the frozen mix.
        """
        with QuotesServer() as quotes, transaction.atomic():
            loading.erase()
            loading.load(Dataset(SIZE))
            settings.QUOTES_URL = quotes.url  # a well-behaved one, whatever the environment names
            now = compute_mix()
            transaction.set_rollback(True)  # whatever data were there are there again
        if options["write"]:
            FILE.write_text(now.as_json(), encoding="utf-8")
        elif differences := frozen_mix().differences(now):
            raise CommandError("\n".join([*differences, WHY]))
        self.stdout.write(
            f"{len(now.payloads)} payloads, {sum(one.bytes for one in now.payloads):,} bytes, sha256 {now.sha256}"
        )
