"""The table of commit markers."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from stalwart.database.marker.row import TABLE


class CommitMarker(models.Model):
    """One committed transaction, or one of which it was found that it never will be.

    Attributes:
        key: made for one COMMIT; it begins with the time, so that new rows stand side by side in the index.
        created: by the server's clock, when the transaction began.
        gone: the transaction was found not to be committed, and with this row in its way it cannot be any more.
    """

    key = models.UUIDField(primary_key=True)
    created = models.DateTimeField(db_default=Now())
    gone = models.BooleanField(db_default=False)

    objects: ClassVar[models.Manager[CommitMarker]] = models.Manager()

    class Meta:
        db_table = TABLE

    def __str__(self) -> str:
        return str(self.key)
