"""The seed command, on PostgreSQL and SQLite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    Demo = Any

#: Defines `fingerprint`: a hash over every table as Django reads it, so that a database's own forms do not matter.
FINGERPRINT = """
import hashlib
from django.core.management import call_command
from workbench.demo.stocks.loading import MODELS

def fingerprint():
    whole = hashlib.sha256()
    for model in MODELS:
        for row in model._base_manager.order_by("pk").values_list():
            whole.update(repr(row).encode())
    return whole.hexdigest()

def seed(number):
    call_command("seed", companies=4, bars=203, portfolios=2, seed=number, replace=True, verbosity=0)
    return fingerprint()
"""


def test_the_same_seed_gives_the_same_tables_in_both_databases(demo: Demo, sqlite: Demo) -> None:
    """COPY into PostgreSQL and batches into SQLite leave the same rows, again and again; another seed leaves others."""
    first, other, again = demo.script(FINGERPRINT + "result = [seed(5), seed(6), seed(5)]")
    assert first == again != other
    assert sqlite.script(FINGERPRINT + "call_command('migrate', verbosity=0)\nresult = seed(5)") == first


def test_data_are_not_overwritten_by_accident(demo: Demo) -> None:
    """Into a database with data nothing is written, unless the command says what is to become of them."""
    before, refused, after = demo.script(
        FINGERPRINT
        + """
from django.core.management.base import CommandError
before = fingerprint()
try:
    call_command("seed", bars=100)
except CommandError as error:
    refused = str(error)
call_command("seed", bars=100, if_empty=True)
result = [before, refused, fingerprint()]
"""
    )
    assert before == after
    assert "--replace" in refused


def test_new_rows_get_new_keys(demo: Demo) -> None:
    """The rows that brought their own keys do not stand in the way of later ones."""
    assert demo.script(
        """
        from workbench.demo.stocks.models import Company, DailyBar, Portfolio
        last = Portfolio.objects.order_by("pk").last()
        new = Portfolio.objects.create(name="n", owner="o", currency="USD", opening_cash=1, cash=1)
        bar = DailyBar.objects.order_by("pk").last()
        old, bar.pk, bar.date = bar.pk, None, "2030-01-01"
        bar.save()
        result = [new.pk - last.pk, bar.pk - old]
        """
    ) == [1, 1]


@pytest.mark.parametrize("arguments", [("--companies=0",), ("--bars=3", "--companies=4")])
def test_impossible_sizes_are_one_sentence(empty: Demo, arguments: tuple[str, ...]) -> None:
    """Sizes that do not go together end the command with a sentence, not a traceback."""
    ended = empty.run("seed", *arguments)
    assert ended.returncode == 1
    assert ended.stderr.startswith("CommandError")
