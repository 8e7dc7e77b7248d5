"""One made-up value for one field of one row; the same row gets the same value in every run."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from typing import Any

from django.conf import settings
from django.core import validators
from django.db import models

_WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "harbor", "island", "juniper", "kestrel", "lagoon", "meadow", "nectar", "orchard", "prairie", "quarry", "river", "summit", "timber", "umber", "valley", "willow", "yonder", "zephyr")  # fmt: skip
#: Flags that hide a row or give it rights: left off, so that pages have something to show.
_OFF = (
    "delet",
    "archiv",
    "hidden",
    "ban",
    "block",
    "disabl",
    "spam",
    "super",
    "staff",
    "admin",
    "private",
    "draft",
    "expired",
    "closed",
    "reject",
)
_AHEAD = ("end", "expire", "until", "due", "deadline", "valid_to", "expiry", "finish")
_START = dt.datetime(2026, 1, 15, 9, 0)  # noqa: DTZ001 made aware below, where the project wants that


class NothingFits(Exception):
    """No value can be made up for a field."""


def value_for(field: Any, number: int) -> Any:
    """The value of a field that is no relation.

    Args:
        field: its `_meta` field.
        number: of the row, from 0.

    Raises:
        NothingFits: its type is unknown, it may not be empty and has no default.
    """
    if field.primary_key and isinstance(field, models.AutoField):
        return number + 1
    if isinstance(field, models.UUIDField):
        return uuid.uuid5(uuid.NAMESPACE_OID, f"{field.model._meta.label + field.name} {number}")
    choices = [] if field.unique else _choices(field)
    if choices:
        return choices[number % len(choices)]
    for kind, make in _MAKERS:
        if isinstance(field, kind):
            return make(field, number)
    if field.has_default():
        return field.get_default()
    if field.null:
        return None
    base = getattr(field, "base_field", None)
    name = type(field).__name__
    if base is not None and "Range" not in name:
        return [value_for(base, number)]
    if "HStore" in name or "JSON" in name:
        return {}
    if "Array" in name or "Multi" in name:
        return []
    if "SearchVector" in name or field.empty_strings_allowed:
        return ""
    raise NothingFits(f"nothing can be made up for {field.name} ({name})")


def _choices(field: Any) -> list[Any]:
    found: list[Any] = []
    for value, label in field.flatchoices or ():
        if value not in (None, "") and not isinstance(label, (list, tuple)):
            found.append(value)
    # Some choices are computed from the installation and do not fit the column.
    longest = getattr(field, "max_length", None)
    return [one for one in found if not longest or not isinstance(one, str) or len(one) <= longest]


def _text(field: Any, number: int) -> str:
    name, longest = field.name.lower(), field.max_length or 200
    if "password" in name:
        return "!"[:longest]
    kinds = {type(one) for one in field.validators}
    if isinstance(field, models.EmailField) or "email" in name or validators.EmailValidator in kinds:
        text = f"{_word(number)}{number}@example.com"
    elif isinstance(field, models.URLField) or validators.URLValidator in kinds:
        text = f"https://example.com/{_word(number)}-{number}"
    elif (
        isinstance(field, models.SlugField)
        or "slug" in name
        or "username" in name
        or "nick" in name
        or "code" in name
    ):
        text = f"{_word(number)}-{number}"
    elif name in ("timezone", "time_zone", "tz"):
        text = "UTC"
    elif name in ("lang", "language", "locale", "language_code"):
        text = str(settings.LANGUAGE_CODE)
    elif "colo" in name and longest < 10:
        text = "#4682b4"
    elif "phone" in name:
        text = f"+441632960{number % 1000:03d}"
    else:
        text = f"{_word(number).capitalize()} {_word(number * 7 + 3)} {number}"
    if len(text) <= longest:
        return text
    # A short column: the row's number in base 36, which stays unique the longest.
    short = _base36(number + 36 ** max(0, longest - 1))[-longest:]
    return short if longest < 4 else text[: longest - 3] + short[-3:]


def _base36(number: int) -> str:
    digits, text = "abcdefghijklmnopqrstuvwxyz0123456789", ""
    while number:
        number, rest = divmod(number, 36)
        text = digits[rest] + text
    return text or "a"


def _word(number: int) -> str:
    return _WORDS[number % len(_WORDS)]


def _long_text(field: Any, number: int) -> str:
    if field.unique or (field.max_length and field.max_length < 300):
        return _text(field, number)
    return " ".join(_word(number * 5 + one) for one in range(60)).capitalize() + "."


def _flag(field: Any, number: int) -> bool:
    name = field.name.lower()
    if name in ("is_superuser", "is_staff"):
        return number == 0
    if any(word in name for word in _OFF):
        return False
    return True if name.startswith("is_active") else number % 8 != 7 or bool(field.get_default())


def _whole(field: Any, number: int) -> int:
    low, high = _limits(field)
    if field.unique:
        return max(low, number + 1 if low < 1 else low + number)
    if field.has_default() and isinstance(field.get_default(), int) and number % 3 == 0:
        return int(field.get_default())
    return min(high, max(low, number * 7 % 97 + 1))


def _limits(field: Any) -> tuple[int, int]:
    low, high = 0, 30_000
    for one in field.validators:
        limit = (
            one.limit_value()
            if callable(getattr(one, "limit_value", None))
            else getattr(one, "limit_value", None)
        )
        if isinstance(limit, (int, float, decimal.Decimal)):
            if isinstance(one, validators.MinValueValidator):
                low = max(low, int(limit))
            elif isinstance(one, validators.MaxValueValidator):
                high = min(high, int(limit))
    return low, max(low, high)


def _decimal(field: Any, number: int) -> decimal.Decimal:
    low, high = _limits(field)
    places = field.decimal_places or 0
    room = 10 ** max(0, (field.max_digits or 10) - places) - 1
    whole = min(room, high, max(low, number * 7 % 97 + 1))
    cents = number % 10**places if places and whole < min(room, high) else 0
    return decimal.Decimal(whole) + decimal.Decimal(cents).scaleb(-places)


def _moment(field: Any, number: int) -> dt.datetime:
    hours = dt.timedelta(hours=7 * number + 1)
    name = field.name.lower()
    when = (
        _START + hours + dt.timedelta(days=3650) if any(word in name for word in _AHEAD) else _START - hours
    )
    return when.replace(tzinfo=dt.timezone.utc) if settings.USE_TZ else when  # noqa: UP017 Python 3.9 has no dt.UTC


def _day(field: Any, number: int) -> dt.date:
    when = _START.date()
    days = dt.timedelta(days=number)
    return (
        when + days + dt.timedelta(days=3650)
        if any(word in field.name.lower() for word in _AHEAD)
        else when - days
    )


def _default_or(empty: Any) -> Any:
    def make(field: Any, number: int) -> Any:
        if field.has_default():
            return field.get_default()
        return None if field.null else empty()

    return make


def _file(field: Any, number: int) -> str:
    return "generated.png"


#: The first that fits; more special fields before those they derive from.
_MAKERS: tuple[tuple[Any, Any], ...] = (
    (models.FileField, _file),
    (models.BooleanField, _flag),
    (models.DateTimeField, _moment),
    (models.DateField, _day),
    (models.TimeField, lambda field, number: dt.time(number % 24, number * 7 % 60)),
    (models.DurationField, lambda field, number: dt.timedelta(minutes=number + 1)),
    (models.DecimalField, _decimal),
    (models.FloatField, lambda field, number: float(_decimal_like(field, number))),
    (models.IntegerField, _whole),
    (models.GenericIPAddressField, lambda field, number: f"192.0.2.{number % 250 + 1}"),
    (models.BinaryField, lambda field, number: b"\0" * 16),
    (models.JSONField, _default_or(dict)),
    (models.FilePathField, _default_or(str)),
    (models.TextField, _long_text),
    (models.CharField, _text),
)


def _decimal_like(field: Any, number: int) -> float:
    low, high = _limits(field)
    return min(float(high), max(float(low), number * 7 % 97 + 0.5))
