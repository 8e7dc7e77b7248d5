"""Which rows a second session is to lock, as a user names them, and the SQL that does it."""

from __future__ import annotations

from typing import Any, TypeAlias

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from stalwart.exceptions import ConfigurationError

Rows: TypeAlias = "models.QuerySet[Any] | models.Model | str"
Sql: TypeAlias = tuple[str, list[Any]]


def locking(rows: Rows, connection: BaseDatabaseWrapper, fault: str) -> Sql:
    """A statement that locks the rows.

    Args:
        rows: a queryset (its rows as they are now), an instance, or SQL that takes the lock.
        connection: Django's.
        fault: for the message of the error.

    Raises:
        ConfigurationError: there are no such rows, so nothing could be locked.
    """
    return _statement("SELECT 1 FROM {table} WHERE {key} IN ({values}) FOR UPDATE", rows, connection, fault)


def changing(rows: Rows, connection: BaseDatabaseWrapper, fault: str) -> Sql:
    """A statement that writes new versions of the rows, the same as the old ones; otherwise as `locking`."""
    return _statement("UPDATE {table} SET {key} = {key} WHERE {key} IN ({values})", rows, connection, fault)


def _statement(template: str, rows: Rows, connection: BaseDatabaseWrapper, fault: str) -> Sql:
    if isinstance(rows, str):
        return rows, []
    if isinstance(rows, models.Model):
        model: type[models.Model] = type(rows)
        keys = [] if rows.pk is None else [rows.pk]
    elif isinstance(rows, models.QuerySet):
        model = rows.model
        keys = list(rows.using(connection.alias).order_by("pk").values_list("pk", flat=True))
    else:
        raise ConfigurationError(
            f"{fault} cannot lock {rows!r}; give it a queryset, a model's instance, or SQL that takes the lock"
        )
    if not keys:
        raise ConfigurationError(
            f"{fault}: there is no row of {model._meta.label} to be locked; make it, and commit it, before the fault begins"
        )
    field: Any = model._meta.pk
    if len(getattr(field, "columns", [""])) > 1:
        raise ConfigurationError(
            f"{fault}: {model._meta.label} has a key of several columns; give SQL that takes the lock"
        )
    quote = connection.ops.quote_name
    statement = template.format(
        table=quote(model._meta.db_table), key=quote(field.column), values=", ".join(["%s"] * len(keys))
    )
    return statement, [field.get_db_prep_value(key, connection) for key in keys]
