"""Whether an argument is a number that can be reckoned with."""

from __future__ import annotations

import math


def is_finite(value: object) -> bool:
    """Whether it is a finite int or float; False, and no TypeError, for anything else, so that a message can name it."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
