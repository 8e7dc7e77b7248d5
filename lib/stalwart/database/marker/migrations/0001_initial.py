"""The table of commit markers."""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models
from django.db.models.functions import Now


class Migration(migrations.Migration):
    """Creates it."""

    initial = True
    dependencies: ClassVar[list[tuple[str, str]]] = []
    operations: ClassVar[list[migrations.operations.base.Operation]] = [
        migrations.CreateModel(
            name="CommitMarker",
            fields=[
                ("key", models.UUIDField(primary_key=True, serialize=False)),
                ("created", models.DateTimeField(db_default=Now())),
                ("gone", models.BooleanField(db_default=False)),
            ],
            options={"db_table": "stalwart_commit_marker"},
        ),
    ]
