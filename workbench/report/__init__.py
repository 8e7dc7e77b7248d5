"""The report: one renderer for the self-contained page and for the fragments that notebooks show."""

from __future__ import annotations

from workbench.report.embed import unpack
from workbench.report.page import claim_html, guard_html, project_html, render, scorecard_html

__all__ = ["claim_html", "guard_html", "project_html", "render", "scorecard_html", "unpack"]
