"""Indexes that a model could have: as its Meta would declare them, and as the statement that makes them."""

from __future__ import annotations

import inspect
import os
import re
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connections, models
from django.db.models import functions

#: What a name of ours begins with, so that nothing of anybody else's is ever dropped.
TRIAL = "workbench_trial_"
_INDEX = ("Index", "django.db.models")
_GIN = ("GinIndex", "django.contrib.postgres.indexes")
_OPCLASS = ("OpClass", "django.contrib.postgres.indexes")
_CASES = {"upper": "Upper", "lower": "Lower"}
#: As PostgreSQL writes it in a plan: upper((name)::text).
_CASED = re.compile(r"^(upper|lower)\(\(?\"?(\w+)\"?\)?(?:::text)?\)$", re.IGNORECASE)


def described(
    alias: str, table: str, columns: list[str], expression: str = "", pattern: bool = False
) -> dict[str, Any]:
    """What an index on a table is in Django's words and in the database's.

    Args:
        alias: of the database.
        table: its name there.
        columns: of the index, in order; a minus sign before one that falls.
        expression: as a plan has it, in the place of the columns.
        pattern: for patterns that begin with a percent sign.

    Returns:
        model, file and qualname of its class, app; own (the class lies in the project); call and imports of the declaration
        ("" where there is none); extension and app_needed, or ""; inherited (indexes that its class does not declare itself), meta_base; name and sql of the trial;
        create: the statement for a migration; migration: the latest one of the app; problem: why there is nothing to try.
    """
    connection = connections[alias]
    model = _model(table)
    if model is None:
        return {"problem": f"no model has the table {table}"}
    answer = {**_place(model), "problem": None, "name": TRIAL + "index", "call": "", "imports": []}
    names, problem = _fields(model, columns)
    if problem:
        return {**answer, "problem": problem}
    made = _index(model, names, columns, expression, pattern)
    if isinstance(made, str):
        return {**answer, "problem": made}
    index, call, imports = made
    if pattern and connection.vendor != "postgresql":
        return {**answer, "problem": f"{connection.display_name} has no index for such a pattern"}
    editor = connection.SchemaEditorClass(connection)
    index.name = TRIAL + "index"
    try:
        sql = str(index.create_sql(model, editor))
        index.name = _name(table, columns, pattern)
        create = str(index.create_sql(model, editor))
    except Exception as error:  # noqa: BLE001 a column that the database cannot index says so here
        return {**answer, "problem": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
    if connection.vendor == "postgresql":
        create = create.replace("CREATE INDEX ", "CREATE INDEX CONCURRENTLY ", 1)
    declared = not model._meta.auto_created and model._meta.managed
    return {
        **answer,
        "sql": sql,
        "create": create,
        "call": call if declared else "",
        "imports": [list(one) for one in imports],
        "extension": "pg_trgm" if pattern else "",
        "app_needed": "django.contrib.postgres"
        if pattern and "django.contrib.postgres" not in settings.INSTALLED_APPS
        else "",
    }


def declared(alias: str, table: str) -> dict[str, Any]:
    """The indexes that a model's own Meta declares, as this process has it.

    Returns:
        sql: the statement for each, under the name that a trial uses; errors: what Django's checks say of the model.
    """
    model = _model(table)
    connection = connections[alias]
    if _postgres():
        _know_operator_classes()
    found = []
    for index in model._meta.indexes:
        one = index.clone()
        one.name = TRIAL + "index"
        found.append(str(one.create_sql(model, connection.SchemaEditorClass(connection))))
    errors = [str(one.msg) for one in model.check(databases=[alias]) if one.is_serious()]
    return {"sql": found, "errors": errors}


def database(alias: str) -> dict[str, Any]:
    """Which database this process uses under an alias, as the server itself says."""
    connection = connections[alias]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT current_database(), inet_server_port()")
            name, port = cursor.fetchone()
            return {"name": name, "port": port}
        cursor.execute("PRAGMA database_list")
        return {
            "name": os.path.realpath(next(row[2] for row in cursor.fetchall() if row[1] == "main")),
            "port": None,
        }


def _model(table: str) -> Any:
    found = [
        one
        for one in apps.get_models(include_auto_created=True)
        if one._meta.db_table == table and not one._meta.proxy
    ]
    return found[0] if found else None


def _place(model: Any) -> dict[str, Any]:
    meta = model._meta
    try:
        file = os.path.realpath(inspect.getsourcefile(model) or "")
    except (TypeError, OSError):
        file = ""
    parents = [one for one in model.__mro__[1:] if getattr(getattr(one, "_meta", None), "abstract", False)]
    with_meta = [one for one in parents if "Meta" in vars(one)]
    return {
        "model": meta.label,
        "app": meta.app_label,
        "file": file,
        "qualname": model.__qualname__,
        "inherited": any(getattr(one._meta, "indexes", None) for one in parents),
        # Without a Meta of its own a model has that of its first abstract parent.
        "meta_base": with_meta[0].__name__ if with_meta else None,
        "migration": _latest(meta.app_label),
    }


def _latest(app: str) -> str:
    try:
        from django.db.migrations.loader import MigrationLoader

        leaves = MigrationLoader(None).graph.leaf_nodes(app)
        return leaves[0][1] if leaves else ""
    except Exception:  # noqa: BLE001 migrations that cannot be read have no latest one
        return ""


def _fields(model: Any, columns: list[str]) -> tuple[list[str], str]:
    by_column = {field.column: field.name for field in model._meta.local_concrete_fields}
    names = []
    for column in columns:
        plain = column.lstrip("-")
        if plain not in by_column:
            return [], f"{model._meta.label} has no field for the column {plain}"
        names.append(("-" if column.startswith("-") else "") + by_column[plain])
    return names, ""


def _index(model: Any, names: list[str], columns: list[str], expression: str, pattern: bool) -> Any:
    """The index, its declaration, and the imports of that; or why there is none."""
    name = _name(model._meta.db_table, columns, pattern)
    cased = _CASED.match(expression.replace(" ", "")) if expression else None
    if expression and not (cased and len(names) == 1):
        return f"an index on ({expression}) has no declaration here"
    if pattern:
        if "django.contrib.postgres" not in settings.INSTALLED_APPS and not _postgres():
            return "it needs django.contrib.postgres, which this environment cannot import"
        from django.contrib.postgres.indexes import GinIndex, OpClass

        if cased:
            _know_operator_classes()
            function = getattr(functions, _CASES[cased[1].lower()])
            call = f'GinIndex(OpClass({function.__name__}("{names[0]}"), name="gin_trgm_ops"), name="{name}")'
            index = GinIndex(OpClass(function(names[0]), name="gin_trgm_ops"), name=name)
            return index, call, (_GIN, _OPCLASS, (function.__name__, "django.db.models.functions"))
        call = f'GinIndex(fields=["{names[0]}"], opclasses=["gin_trgm_ops"], name="{name}")'
        return GinIndex(fields=names[:1], opclasses=["gin_trgm_ops"], name=name), call, (_GIN,)
    if cased:
        function = getattr(functions, _CASES[cased[1].lower()])
        call = f'Index({function.__name__}("{names[0]}"), name="{name}")'
        return (
            models.Index(function(names[0]), name=name),
            call,
            (_INDEX, (function.__name__, "django.db.models.functions")),
        )
    listed = ", ".join(f'"{one}"' for one in names)
    return models.Index(fields=names, name=name), f'Index(fields=[{listed}], name="{name}")', (_INDEX,)


def _know_operator_classes() -> None:
    """What django.contrib.postgres does when it is installed; without, an operator class would be written inside the brackets."""
    from django.contrib.postgres.indexes import OpClass
    from django.db.models.expressions import OrderBy
    from django.db.models.functions import Collate
    from django.db.models.indexes import IndexExpression

    IndexExpression.register_wrappers(OrderBy, OpClass, Collate)


def _postgres() -> bool:
    try:
        import django.contrib.postgres.indexes  # noqa: F401
    except ImportError:
        return False
    return True


def _name(table: str, columns: list[str], pattern: bool) -> str:
    """At most 30 letters, as Django's checks want."""
    tail = "_".join(one.lstrip("-") for one in columns) + ("_trgm" if pattern else "_idx")
    return f"{table[: max(0, 29 - len(tail))]}_{tail}"[-30:].lstrip("_0123456789")
