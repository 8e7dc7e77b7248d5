"""How querysets and instances are shown: as tables, by the worker when a cell without the magic shows them.

Formatters of IPython's, and no patch of Django's `__repr__`: a queryset that such a cell iterates itself still fails loudly,
as it would in an async view.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Any

from workbench.magics import rows
from workbench.magics.worker import Worker

QUERYSET = ("django.db.models.query", "QuerySet")
MODEL = ("django.db.models.base", "Model")
PLAIN, HTML = "text/plain", "text/html"


class Displays:
    """The formatters on one shell.

    Args:
        shell: IPython's.
        worker: asks the database.
    """

    def __init__(self, shell: Any, worker: Worker) -> None:
        self._worker = worker
        formatter = shell.display_formatter
        self._bundle = formatter.mimebundle_formatter
        self._plain = formatter.formatters[PLAIN]
        self._html = formatter.formatters[HTML]
        #: The text of the queryset that is being shown, between its two formatters: one statement for both.
        self._text: tuple[weakref.ref[Any], str] | None = None
        self._before: list[tuple[Any, tuple[str, str], Any]] = []

    def install(self) -> None:
        """Register them; also before Django is imported."""
        for formatter, name, function in (
            (self._bundle, QUERYSET, self._queryset),
            (self._plain, QUERYSET, self._queryset_text),
            (self._plain, MODEL, self._instance_text),
            (self._html, MODEL, self._instance_html),
        ):
            before = formatter.for_type_by_name(*name, function)
            self._before.append((formatter, name, before))

    def uninstall(self) -> None:
        """Put back what was registered before."""
        while self._before:
            formatter, (module, name), before = self._before.pop()
            if before is not None:
                formatter.for_type_by_name(module, name, before)
                continue
            formatter.deferred_printers.pop((module, name), None)
            for made in [
                one for one in formatter.type_printers if (one.__module__, one.__name__) == (module, name)
            ]:
                formatter.type_printers.pop(made)

    def _queryset(self, queryset: Any) -> dict[str, str]:
        table = self._ask(lambda: rows.of_queryset(queryset))
        self._text = (weakref.ref(queryset), table.text())
        return {PLAIN: self._text[1], HTML: table.html()}

    def _queryset_text(self, queryset: Any, printer: Any, cycle: bool) -> None:
        known, self._text = self._text, None
        if known is not None and known[0]() is queryset:
            printer.text(known[1])
        else:  # inside of something else
            printer.text(self._ask(lambda: repr(queryset)))

    def _instance_text(self, instance: Any, printer: Any, cycle: bool) -> None:
        # Its __str__ may follow a relation.
        printer.text(self._ask(lambda: repr(instance)))

    def _instance_html(self, instance: Any) -> Any:
        own = getattr(instance, "_repr_html_", None)
        return rows.of_instance(instance).html() if own is None else self._ask(own)

    def _ask(self, call: Callable[[], Any]) -> Any:
        """Hop to the worker where Django would refuse, and only there: it may be waiting for this very thread."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return call()
        return self._worker.run(call)
