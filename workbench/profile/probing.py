"""The process in which changes are tried cheaply, and in which questions about the project's models and lines are answered."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.errors import WorkbenchError
from workbench.profile import pages, placing
from workbench.profile.edits import Spot
from workbench.profile.records import Batch, PageView, Site
from workbench.profile.sources import Source, Sources
from workbench.project_process import ProjectProcess
from workbench.schema import from_json, to_json


@dataclass(frozen=True)
class Relation:
    """What is known of a path of relations; see `workbench.guest.apply.relation`."""

    known: bool
    single: bool
    generic: bool
    filtered: tuple[str, ...]
    elsewhere: bool
    unordered: tuple[str, ...]
    tables: tuple[str, ...]
    manager: str
    names: tuple[str, ...]
    query: str = ""


@dataclass(frozen=True)
class Writing:
    """What happens beside the statement when a row is created; see `workbench.guest.apply.writing`."""

    model: str | None
    own: tuple[str, ...]
    signals: tuple[str, ...]
    inherited: bool


@dataclass(frozen=True)
class Laid:
    """A change of the querysets of one place, as the probe process lays it on.

    Attributes:
        model, created: of an evaluation of them.
        verb: a method of querysets.
        names: its arguments.
    """

    model: str
    created: tuple[Site, ...]
    verb: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Tried:
    """A page with changes laid on.

    Attributes:
        view: what it did.
        refused: why a change was not laid on; None when none was refused.
        applied: each was laid on at least once.
    """

    view: PageView
    refused: str | None
    applied: bool


class Probe:
    """A process of the project, started with `attribution`, and its files.

    Args:
        process: which.
        sources: of the project.
    """

    def __init__(self, process: ProjectProcess, sources: Sources) -> None:
        self.process, self.sources = process, sources
        self._relations: dict[tuple[str, str], Relation | None] = {}

    def relation(self, model: str, path: str) -> Relation | None:
        """What is known of a path; None where the model has no such."""
        key = (model, path)
        if key not in self._relations:
            try:
                answer = self.process.call("workbench.guest.apply:relation", model=model, path=path)
            except WorkbenchError:  # a model that Django's registry does not have
                self._relations[key] = None
            else:
                found = from_json(Relation, answer)
                self._relations[key] = found if found.known else None
        return self._relations[key]

    def writing(self, table: str) -> Writing:
        return from_json(Writing, self.process.call("workbench.guest.apply:writing", table=table))

    def visit(
        self,
        url: str,
        laid: Sequence[Laid],
        *,
        headers: Mapping[str, str] | None = None,
        masks: Sequence[int] = (),
        limit: Mapping[str, Any] | None = None,
    ) -> Tried:
        """Visit a page with changes laid on."""
        self.process.call("workbench.guest.apply:lay", changes=[to_json(one) for one in laid])
        try:
            view = pages.visit(self.process, url, "advised", headers=headers, masks=masks, limit=limit)
        finally:
            told = self.process.call("workbench.guest.apply:clear")
        refused = next((one["refused"] for one in told if one["refused"]), None)
        return Tried(view, refused, all(one["applied"] for one in told))

    def spots(self, batch: Batch, manager: str = "objects") -> list[Spot]:
        """Where its querysets can be changed in the source, the best place first.

        Raises:
            NoEditError: nowhere, and why.
        """
        return placing.spots(self.sources, batch.created, self._spans(batch.created), manager)

    def expressions(self, batch: Batch) -> list[tuple[Source, ast.expr]]:
        """The whole expressions that make its querysets, the last first.

        Raises:
            NoEditError: none can be told.
        """
        return placing.expressions(self.sources, batch.created, self._spans(batch.created))

    def _spans(self, sites: Sequence[Site]) -> dict[Site, placing.Span]:
        found = self.process.call("workbench.guest.positions:spans", places=[to_json(site) for site in sites])
        return {
            site: (span[0], span[1], span[2], span[3])
            for site, span in zip(sites, found, strict=True)
            if span is not None
        }
