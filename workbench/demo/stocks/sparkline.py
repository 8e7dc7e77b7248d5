"""A line through numbers, as the points of an SVG polyline."""

from __future__ import annotations

from collections.abc import Sequence


def points(values: Sequence[float], width: int, height: int, margin: int = 2) -> str:
    """The ``points`` attribute that draws the values from left to right into a box of the given size in pixels.

    One value, or equal ones, give a level line through the middle.
    """
    if not values:
        return ""
    low, span = min(values), max(values) - min(values)
    across = (width - 2 * margin) / max(len(values) - 1, 1)
    drawn = []
    for place, value in enumerate(values):
        share = (value - low) / span if span else 0.5
        drawn.append(f"{margin + place * across:.1f},{height - margin - share * (height - 2 * margin):.1f}")
    return " ".join(drawn)
