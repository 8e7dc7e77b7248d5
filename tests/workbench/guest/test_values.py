"""Made-up values fit their fields, and are the same in every run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

AWKWARD = """
import decimal, datetime
from django.conf import settings
settings.configure(USE_TZ=True, INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"], DEFAULT_AUTO_FIELD="django.db.models.AutoField")
import django
django.setup()
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from workbench.guest.generate import in_order, _base36
from workbench.guest.values import NothingFits, value_for

class Odd(models.Field):
    empty_strings_allowed = False

class Everything(models.Model):
    short = models.CharField(max_length=3, unique=True)
    one = models.CharField(max_length=1, unique=True)
    email = models.EmailField(max_length=30, unique=True)
    slug = models.SlugField(max_length=20, unique=True)
    link = models.URLField(unique=True)
    kind = models.CharField(max_length=4, choices=[("Group", [("a", "A"), ("b", "B")]), ("c", "C")])
    limited = models.IntegerField(validators=[MinValueValidator(5), MaxValueValidator(9)])
    price = models.DecimalField(max_digits=4, decimal_places=2)
    ratio = models.FloatField()
    small = models.PositiveSmallIntegerField(unique=True)
    when = models.DateTimeField()
    expires = models.DateField()
    lasts = models.DurationField()
    clock = models.TimeField()
    data = models.JSONField()
    blob = models.BinaryField()
    address = models.GenericIPAddressField()
    token = models.UUIDField(unique=True)
    is_deleted = models.BooleanField(default=False)
    is_superuser = models.BooleanField(default=False)
    published = models.BooleanField(default=False)
    odd = Odd()
    parent = models.ForeignKey("self", null=True, on_delete=models.CASCADE)
    other = models.ForeignKey("Other", null=True, on_delete=models.CASCADE)

    class Meta:
        app_label = "auth"

class Other(models.Model):
    everything = models.ForeignKey(Everything, on_delete=models.CASCADE)

    class Meta:
        app_label = "auth"

def field(name):
    return Everything._meta.get_field(name)

def values(name, number=200):
    return [value_for(field(name), one) for one in range(number)]

for name in ("short", "email", "slug", "link", "token", "small"):
    assert len(set(values(name))) == 200, name
assert len(set(values("one", 26))) == 26
for name in ("short", "one", "email", "slug", "link", "limited", "price", "address", "ratio", "clock", "lasts", "kind"):
    for value in values(name, 60):
        field(name).clean(value, None)
assert set(values("kind")) == {"a", "b", "c"}
assert all(value.tzinfo for value in values("when", 5))
assert min(values("expires")) > datetime.date(2030, 1, 1)
assert not any(values("is_deleted")) and values("is_superuser", 3) == [True, False, False]
assert any(values("published")) and not all(values("published"))
assert values("token") == values("token")
try:
    value_for(field("odd"), 1)
except NothingFits as error:
    assert "odd" in str(error)
else:
    raise SystemExit("an unknown field was filled")
# A circle is cut at the key that may be empty.
assert in_order([Other, Everything]) == [Everything, Other]
assert [_base36(1, 4), _base36(36, 4)] == ["0001", "0010"]
"""


def test_every_field_gets_what_it_takes(tmp_path: Path) -> None:
    """Unique where it must be, short enough, within limits and choices, aware of time zones; an unknown type is refused."""
    path = tmp_path / "fields.py"
    path.write_text(AWKWARD)
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
