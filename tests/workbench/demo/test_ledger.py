"""The ledger's model refuses whatever would change the past."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Demo = Any

ATTEMPTS = {
    "entry.save()": "AppendOnlyError",
    "entry.delete()": "AppendOnlyError",
    "LedgerEntry.objects.update(cash_delta=1)": "AppendOnlyError",
    "LedgerEntry.objects.filter(pk=entry.pk).delete()": "AppendOnlyError",
    # A new object under an old id: Django's plain save would be an UPDATE of the older entry.
    "LedgerEntry(**{**fields, 'cash_delta': -1}).save()": "IntegrityError",
    "entry.order.delete()": "ProtectedError",
    "entry.portfolio.delete()": "ProtectedError",
}


def test_the_past_cannot_be_changed(demo: Demo) -> None:
    """Every way that the model offers to change or remove an entry is refused, and the entry stays as it was."""
    outcomes, unchanged = demo.script(
        f"""
        from django.db import transaction
        from workbench.demo.stocks.models import LedgerEntry
        entry = LedgerEntry.objects.select_related("order", "portfolio").order_by("pk").first()
        fields = {{field.attname: getattr(entry, field.attname) for field in LedgerEntry._meta.concrete_fields}}
        outcomes = {{}}
        for attempt in {list(ATTEMPTS)!r}:
            try:
                with transaction.atomic():
                    exec(attempt)
            except Exception as problem:
                outcomes[attempt] = type(problem).__name__
        now = LedgerEntry.objects.get(pk=entry.pk)
        result = [outcomes, fields == {{name: getattr(now, name) for name in fields}}]
        """
    )
    assert outcomes == ATTEMPTS
    assert unchanged is True
