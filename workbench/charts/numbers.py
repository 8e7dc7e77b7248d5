"""Numbers as a reader sees them: few digits, units with a space that does not break, never rounded into a claim."""

from __future__ import annotations

import math

SPACE = "\u00a0"
MINUS = "\u2212"
_BYTES = ("B", "kB", "MB", "GB", "TB")


def share(value: float, digits: int = 1) -> str:
    """A share of 1 as per cent; digits are added where rounding would make .9996 a whole, or .0004 nothing."""
    if not math.isfinite(value):
        return "unknown"
    percent = value * 100
    for more in range(digits, digits + 4):
        if round(percent, more) not in (0.0, 100.0) or percent in (0.0, 100.0):
            digits = more
            break
    return f"{_fixed(percent, digits)}{SPACE}%"


def data(value: float) -> str:
    """An amount of bytes, in powers of 1000."""
    size, unit = abs(value), 0
    while size >= 999.5 and unit < len(_BYTES) - 1:
        size, unit = size / 1000, unit + 1
    return f"{_fixed(math.copysign(size, value), 0 if unit == 0 or size >= 100 else 1)}{SPACE}{_BYTES[unit]}"


def seconds(value: float) -> str:
    """A duration; below a second in milliseconds."""
    if 0 < abs(value) < 1:
        return f"{_fixed(value * 1000, 0 if abs(value) >= 0.01 else 1)}{SPACE}ms"
    if abs(value) < 120:
        return f"{_fixed(value, 1)}{SPACE}s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}{SPACE}h {minutes}{SPACE}min" if hours else f"{minutes}{SPACE}min {rest}{SPACE}s"


def count(value: float) -> str:
    """A whole number with separated thousands; others with up to three digits after the point."""
    if not math.isfinite(value):
        return "unknown"
    if value == int(value):
        return f"{int(value):,}".replace("-", MINUS)
    return f"{value:,.3g}".replace("-", MINUS) if abs(value) < 1000 else f"{value:,.0f}".replace("-", MINUS)


def number(value: float | None, unit: str) -> str:
    """A number in its unit, "–" for None.

    Args:
        value: in `unit`.
        unit: "share", "bytes" and "s" are written as such; any other is written behind the number.
    """
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "unknown"
    writer = {"share": share, "bytes": data, "s": seconds}.get(unit)
    return writer(value) if writer else f"{count(value)}{SPACE}{unit}".rstrip()


def whole(text: str) -> str:
    """A number without a nought behind the point: "95 %" for "95.0 %"; for thresholds and axes, which are round."""
    head, dot, tail = text.partition(".0")
    return head + tail if dot and not tail[:1].isdigit() else text


def ticks(top: float, most: int = 5) -> list[float]:
    """Round numbers from nought to `top`, at most `most` steps of them."""
    size = 10.0 ** math.floor(math.log10(top / most))
    step = next(size * factor for factor in (1, 2, 5, 10) if top / (size * factor) <= most)
    return [i * step for i in range(int(top / step + 1e-9) + 1)]


def _fixed(value: float, digits: int) -> str:
    text = f"{value:,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)
