"""Querysets and instances as small tables: a few rows, nothing that would ask the database once more for each.

A foreign key is shown by its value: its object would be a statement for every row. A column that was deferred stays out, for
the same reason.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: Rows and columns that are shown, and characters of a value.
ROWS, COLUMNS, WIDTH = 20, 12, 50


@dataclass(frozen=True)
class Rows:
    """The first rows of a result.

    Attributes:
        title: what it is, as "QuerySet of stocks.Company".
        columns: names of all columns.
        rows: their values.
        more: there are further rows.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
    more: bool = False

    def text(self) -> str:
        """For a terminal."""
        if not self.rows:
            return f"{self.title}: no rows"
        frame = self._frame()
        table = frame.to_string() if frame is not None else self._plain()
        return f"{self._caption()}\n{table}"

    def html(self) -> str:
        """For a notebook."""
        caption = html.escape(self._caption() if self.rows else f"{self.title}: no rows")
        if not self.rows:
            return f"<p>{caption}</p>"
        frame = self._frame()
        table = frame.to_html(border=0) if frame is not None else self._markup()
        return f"<div>{table}<p>{caption}</p></div>"

    def _caption(self) -> str:
        number = len(self.rows)
        rows = f"the first {number} rows" if self.more else f"{number} row{'' if number == 1 else 's'}"
        left = len(self.columns) - COLUMNS
        return f"{self.title}: {rows}" + (f", {COLUMNS} of {len(self.columns)} columns" if left > 0 else "")

    def _cells(self) -> list[list[str]]:
        return [[_short(row.get(name)) for name in self.columns[:COLUMNS]] for row in self.rows]

    def _frame(self) -> Any:
        try:
            import pandas as pd
        except ImportError:  # a project's own environment need not have it
            return None
        return pd.DataFrame(self._cells(), columns=list(self.columns[:COLUMNS]))

    def _plain(self) -> str:
        lines = [list(self.columns[:COLUMNS]), *self._cells()]
        widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
        return "\n".join(
            "  ".join(value.rjust(width) for value, width in zip(line, widths, strict=True)) for line in lines
        )

    def _markup(self) -> str:
        def line(tag: str, values: Sequence[str]) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(value)}</{tag}>" for value in values) + "</tr>"

        head = line("th", self.columns[:COLUMNS])
        return f"<table><thead>{head}</thead><tbody>{''.join(line('td', row) for row in self._cells())}</tbody></table>"


def of_queryset(queryset: Any, most: int = ROWS) -> Rows:
    """The first rows of a queryset, in one statement; in none where it was evaluated already.

    The queryset itself stays as it was: unevaluated it will ask again, as it would have without being shown.

    Raises:
        Exception: what its evaluation raises.
    """
    title = f"{type(queryset).__name__} of {queryset.model._meta.label}"
    kept = queryset._result_cache
    if kept is None:
        kept = queryset[: most + 1]
        kept._prefetch_related_lookups = ()  # statements for what the table does not show
    found = list(kept[: most + 1])
    rows = [_row(one, queryset) for one in found[:most]]
    columns = dict.fromkeys(name for row in rows for name in row)
    return Rows(title, list(columns), rows, more=len(found) > most)


def of_instance(instance: Any) -> Rows:
    """The fields of one instance, as far as they are loaded."""
    values = _loaded(instance)
    rows = [{"field": name, "value": value} for name, value in values.items()]
    return Rows(instance._meta.label, ["field", "value"], rows)


def _row(found: Any, queryset: Any) -> dict[str, Any]:
    if isinstance(found, Mapping):
        return dict(found)
    if hasattr(found, "_meta") and hasattr(found, "_state"):
        extra = (*queryset.query.annotation_select, *queryset.query.extra_select)
        return {**_loaded(found), **{name: found.__dict__[name] for name in extra if name in found.__dict__}}
    if hasattr(found, "_asdict"):  # values_list(named=True)
        return dict(found._asdict())
    if isinstance(found, tuple):
        names = _names(queryset)
        named = names if len(names) == len(found) else [str(place) for place in range(len(found))]
        return dict(zip(named, found, strict=True))
    return {(_names(queryset) or ["value"])[0]: found}


def _names(queryset: Any) -> list[str]:
    """The columns of `values_list`, in its order."""
    return [str(name) for name in queryset._fields or ()]


def _loaded(instance: Any) -> dict[str, Any]:
    held = instance.__dict__
    return {
        field.attname: held[field.attname]
        for field in instance._meta.concrete_fields
        if field.attname in held
    }


def _short(value: Any) -> str:
    text = " ".join(str(value).split()) if value is not None else ""
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"
