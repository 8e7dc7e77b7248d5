"""``seed``: fills the demo's database with invented data, the same for the same seed."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from workbench.demo.stocks import loading
from workbench.demo.stocks.dataset import Dataset, Size


class Command(BaseCommand):
    """Fill the database; see ``help``."""

    help = "Fills the demo's database with invented exchanges, companies, prices, portfolios and orders. The same seed and sizes give the same rows."

    def add_arguments(self, parser: CommandParser) -> None:
        """The sizes, with the defaults of ``Size``."""
        default = Size()
        parser.add_argument(
            "--bars",
            type=int,
            default=default.bars,
            help="daily price bars in all, such as 1_000_000 (%(default)s)",
        )
        parser.add_argument("--companies", type=int, default=default.companies, help="(%(default)s)")
        parser.add_argument("--portfolios", type=int, default=default.portfolios, help="(%(default)s)")
        parser.add_argument("--seed", type=int, default=default.seed, help="(%(default)s)")
        parser.add_argument("--replace", action="store_true", help="remove all rows that are there first")
        parser.add_argument("--if-empty", action="store_true", help="do nothing when data are there")

    def handle(self, *arguments: Any, **options: Any) -> None:
        """Write the data.

        Raises:
            CommandError: when data are there and neither flag says what to do, or the sizes do not go together.
        """
        try:
            size = Size(**{name: options[name] for name in ("companies", "bars", "portfolios", "seed")})
        except ValueError as error:
            raise CommandError(str(error)) from error
        if not loading.is_empty():
            if options["if_empty"]:
                return
            if not options["replace"]:
                raise CommandError(
                    "the database has data already; add --replace to remove them, or --if-empty to keep them"
                )
            loading.erase()
        started = time.perf_counter()
        loading.load(Dataset(size), self.progress if options["verbosity"] > 1 else lambda text: None)
        if options["verbosity"] > 0:
            self.stdout.write(
                f"seeded {size.companies:,} companies, {size.bars:,} bars and {size.portfolios:,} portfolios "
                f"from seed {size.seed} in {time.perf_counter() - started:.1f} s"
            )

    def progress(self, table: str) -> None:
        """Name the table that is being written."""
        self.stdout.write(f"writing {table}")
