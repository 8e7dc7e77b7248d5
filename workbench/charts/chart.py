"""A drawn chart, with all that a reader needs who cannot see it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Chart:
    """One picture.

    Attributes:
        name: short, of letters, digits and hyphens.
        svg: an `<svg>` element to be placed inline: no ids, no references, colours as CSS variables of the page.
        alt: one sentence that says what the picture shows.
        caption: one or two sentences to stand below it.
        columns: headings of its data.
        rows: its data, as text.
    """

    name: str
    svg: str
    alt: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
