"""What a step allocates: only its own, at its highest point, and what it leaves."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc

import pytest

from workbench.profile import allocations

MIB = 2**20


def test_peak_and_remainder_are_the_steps_own() -> None:
    """A larger peak of before is no part of it, and neither is what is freed meanwhile."""
    before = bytearray(64 * MIB)
    with allocations.measured() as made:
        del before
        kept = bytearray(4 * MIB)
        bytearray(16 * MIB)
    assert made.allocated.tool == "memray"
    assert 20 * MIB <= made.allocated.peak < 24 * MIB
    assert len(kept) <= made.allocated.kept < 6 * MIB


def test_small_objects_count_where_python_holds_their_memory_already() -> None:
    """They take no memory from the system then, and a high-water mark would show nothing."""
    [object() for _ in range(200_000)]
    with allocations.measured() as made:
        kept = [object() for _ in range(100_000)]
    assert made.allocated.kept > len(kept) * 16


def test_without_memray_pythons_own_counter() -> None:
    """The figures are of the same step, the text says what is not in them, and whoever traces already goes on."""
    code = (
        "import sys; sys.modules['memray'] = None\n"
        "from workbench.profile import allocations\n"
        "with allocations.measured() as made: kept = bytearray(4 * 2**20); bytearray(16 * 2**20)\n"
        "print(made.allocated.peak // 2**20, made.allocated.kept // 2**20)\nprint(made.allocated)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("20 4\n")
    assert "Python's allocations only" in done.stdout
    assert "memray is not installed" in done.stdout


def test_a_trace_of_somebody_elses_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was started by the user, who wants to read it."""
    monkeypatch.setitem(sys.modules, "memray", None)
    tracemalloc.start()
    try:
        with allocations.measured() as made:
            bytearray(8 * MIB)
        assert tracemalloc.is_tracing()
    finally:
        tracemalloc.stop()
    assert 8 * MIB <= made.allocated.peak < 9 * MIB


def test_an_error_passes_and_the_figures_are_there() -> None:
    """What was measured up to it is kept."""

    def fail() -> None:
        bytearray(8 * MIB)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), allocations.measured() as made:
        fail()
    assert made.allocated.peak >= 8 * MIB
