"""Numbers in words."""

from __future__ import annotations

import pytest

from workbench.charts.numbers import number, share, ticks, whole

S = "\u00a0"


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.978, "share", f"97.8{S}%"),
        (0.99996, "share", f"99.996{S}%"),
        (0.0004, "share", f"0.04{S}%"),
        (1.0, "share", f"100.0{S}%"),
        (-0.031, "share", f"−3.1{S}%"),
        (-1e-12, "share", f"0.0{S}%"),
        (999, "bytes", f"999{S}B"),
        (999_600, "bytes", f"1.0{S}MB"),
        (62_310_000, "bytes", f"62.3{S}MB"),
        (0, "s", f"0.0{S}s"),
        (0.0041, "s", f"4.1{S}ms"),
        (9.2, "s", f"9.2{S}s"),
        (3725, "s", f"1{S}h 2{S}min"),
        (12_345, "rows", f"12,345{S}rows"),
        (float("inf"), "s", "unknown"),
        (None, "share", "–"),
    ],
)
def test_numbers_are_written_for_readers(value: float | None, unit: str, said: str) -> None:
    """Few digits, a true minus, a space that does not break, and never rounded to none or all."""
    assert number(value, unit) == said


def test_axes_have_round_numbers() -> None:
    """Ticks are round, few, and within the axis, whatever its size."""
    for top in (1e-9, 0.0123, 0.33, 1, 7, 622e6, 3e12):
        marks = ticks(top)
        assert 3 <= len(marks) <= 6
        assert marks[0] == 0
        assert marks[-1] <= top * 1.000001
    assert whole(share(0.95)) == f"95{S}%"
    assert whole(share(0.95123)) == f"95.1{S}%"
