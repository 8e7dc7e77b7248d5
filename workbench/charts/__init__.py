"""The charts, one to a file. Each yields its picture as inline SVG, one sentence that says what it shows, and its data."""

from __future__ import annotations

from workbench.charts.chart import Chart

__all__ = ["Chart"]
