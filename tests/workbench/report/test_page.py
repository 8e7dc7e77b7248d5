"""The report as a page: complete, self-contained, well-formed, and safe whatever the journal holds."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from workbench.claims import CLAIMS, PROMISES
from workbench.journal import Journal
from workbench.judge import judge
from workbench.records import End, Finding, Intent, Plan
from workbench.report import claim_html, render, scorecard_html

VOID = {"meta", "br", "hr", "img", "input", "link"}
#: Elements of SVG that may be written closed in themselves.
SHAPES = {"path", "line", "rect", "circle", "text", "g", "svg"}
HOSTILE = (
    "</script><script>alert(1)</script><!-- ]]> \u2028 C:\\Temp\\new 日本語 & \"q\" 'a' {{ 7*7 }} $x$ \x07"
)


class Page(HTMLParser):
    """Parses strictly: every tag closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.parents: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice: {names}"
        self.tags.append((tag, dict(attrs)))
        self.parents.append((tag, self.open[-1] if self.open else ""))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID | SHAPES, f"<{tag}/> closes itself"
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> out of order, open: {self.open[-3:]}"

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


@pytest.fixture
def page(full: str) -> Page:
    """The whole synthetic run, rendered and parsed."""
    return Page(full)


def test_all_claims_and_promises_are_there(full: str, page: Page) -> None:
    """Every claim stands in the scorecard with its published text and an outcome in words; every promise is listed."""
    assert len(CLAIMS) == 27
    rows = re.findall(r'<th class="claim".*?</tr>', full, re.DOTALL)
    assert len(rows) == 27
    for one, row in zip(CLAIMS, rows, strict=True):
        shown = Page(f"<table><tr>{row}</table>").text
        assert one.id in shown
        assert one.published in shown
        assert re.search(r"Supported|Refuted|Inconclusive|Void|Not run", shown)
    for promise in PROMISES:
        assert promise.text in page.text
        assert promise.why in page.text


def test_nothing_is_loaded_from_anywhere(full: str, page: Page) -> None:
    """The page has no subresource: no src, no link, no url(), no import, and no href that leaves it."""
    for tag, attributes in page.tags:
        assert tag not in {"link", "img", "iframe", "object", "embed", "image", "use", "base"}
        assert "src" not in attributes
        assert not any(name.startswith("on") for name in attributes), f"{tag}: inline handler"
        for name in ("href", "xlink:href", "action", "srcset", "poster", "background"):
            assert (attributes.get(name) or "#").startswith("#"), attributes
    visible = re.sub(r'<script type="application/json".*?</script>', "", full, flags=re.DOTALL)
    assert "url(" not in visible
    assert "@import" not in visible
    assert "://" not in visible


def test_the_page_begins_with_its_doctype(full: str) -> None:
    """Nothing stands before the doctype, which would put browsers into quirks mode."""
    assert full.startswith("<!doctype html>")


def test_size_stays_small(full: str) -> None:
    """A default run's report stays far below two megabytes."""
    assert len(full.encode()) < 700_000


def test_ids_are_unique_and_links_arrive(page: Page) -> None:
    """No id stands twice, and every link points to one that is there."""
    ids = [attributes["id"] for _, attributes in page.tags if attributes.get("id")]
    assert len(ids) == len(set(ids))
    targets = {(attributes["href"] or "")[1:] for _, attributes in page.tags if "href" in attributes}
    assert {"scorecard", "DB-1", "DB-2", "MEM-4", "NET-1"} <= targets <= set(ids)


def test_headings_do_not_skip_a_level(page: Page) -> None:
    """One h1, and no heading is more than one level below the one before it."""
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_pictures_are_xml_with_a_name_and_colours_of_the_palette(full: str) -> None:
    """Every SVG parses as XML, is named in a sentence, and has no colour that would not follow the theme."""
    pictures = re.findall(r"<svg.*?</svg>", full, re.DOTALL)
    assert len(pictures) > 35
    for picture in pictures:
        root = ET.fromstring(picture)
        assert root.get("role") == "img"
        assert len(root.get("aria-label", "")) > 20
        assert not re.search(r"#[0-9a-fA-F]{3,8}\b", re.sub(r"<text.*?</text>", "", picture))
        assert not any(element.get("id") for element in root.iter())


def test_every_chart_has_its_data_as_a_table(full: str) -> None:
    """The accessible name of each chart in a figure is the caption of a table."""
    captions = re.findall(r"<caption><span>(.*?)</span></caption>", full)
    charts = re.findall(r'<div class="plot[^"]*"><svg[^>]*aria-label="([^"]*)"', full)
    assert len(charts) >= 8
    assert set(charts) <= set(captions)


def test_tables_have_captions_and_scopes(page: Page) -> None:
    """Every table has a caption, every th a scope, and the page its language."""
    tags = [tag for tag, _ in page.tags]
    assert tags.count("table") == tags.count("caption")
    assert all(attributes.get("scope") for tag, attributes in page.tags if tag == "th")
    assert ("html", "en") in [(tag, attributes.get("lang")) for tag, attributes in page.tags]


def test_a_run_claim_tells_its_whole_story(page: Page) -> None:
    """DB-1 has its evidence, guard rails, peer, threats, every trial, the command and the hash of the plan."""
    for words in (
        "Did the fault bite?",
        "server killed and restarted",
        "Guard rails",
        "What a user would pick instead",
        "tenacity around the view",
        "order o-317 is in the ledger 2 times",
        "Exclusions and threats",
        "black hole and slots exhausted",
        "connection-loss-8-treatment",
        "workbench drill connection-loss --seed 7",
        "Plan, written before the first trial",
    ):
        assert words in page.text


def test_texts_of_the_journal_are_only_text(write: Callable[..., Journal], builders: Any) -> None:
    """Markup, template syntax, control characters and long words in a journal change neither page nor script."""
    b = builders
    loss = b.connection_loss(8)
    loss[0] = Plan(**{**vars(loss[0]), "title": HOSTILE, "command": HOSTILE, "arms": b.ARMS})
    made = write(
        [
            b.head(
                project=HOSTILE,
                settings="x" * 5000,
                environment={HOSTILE: {HOSTILE: [HOSTILE]}},
                command=HOSTILE,
            ),
            *loss,
            Intent("t", HOSTILE, HOSTILE, HOSTILE),
            Finding("DB-1", HOSTILE, HOSTILE, {HOSTILE: HOSTILE}),
            Finding("DB-3", "not-run", HOSTILE),
            End("failed", 3.0, HOSTILE),
        ]
    )
    for text in (render(made), scorecard_html(made), claim_html(made, "DB-1")):
        page = Page(text)
        assert "<script>alert" not in text.lower()
        scripts = [attributes for tag, attributes in page.tags if tag == "script"]
        assert len(scripts) in (0, 2)
        assert "{{ 7*7 }}" in page.text
        assert "C:\\Temp\\new 日本語" in page.text


def test_an_empty_run_still_makes_a_page(write: Callable[..., Journal], builders: Any) -> None:
    """A journal with a head alone gives all 27 claims as not run, and says that the run did not end."""
    made = write([builders.head()])
    text = render(made)
    page = Page(text)
    assert text.count("– </span> Not run") + text.count('aria-hidden="true">–</span> Not run') >= 27
    assert "None of the 27 published claims" in page.text
    assert "the run was cut off" in page.text


def test_an_interrupted_run_says_what_may_be_broken(write: Callable[..., Journal], builders: Any) -> None:
    """A fault that the journal does not show as healed is named, with what heals it."""
    records = builders.connection_loss(2)[:9]
    made = write(
        [
            builders.head(),
            *records,
            Intent("t9", "server-killed", "postgres:1", "start the server"),
            End("interrupted", 9.0),
        ]
    )
    page = Page(render(made))
    assert "The run was interrupted." in page.text
    assert (
        "server killed and restarted at postgres:1 (trial t9) was healed; what heals it: start the server."
        in page.text
    )


def test_excluded_trials_are_counted_and_named(write: Callable[..., Journal], builders: Any) -> None:
    """Trials excluded by code stand in the section with their code, and do not vanish from the table of trials."""
    made = write([builders.head(), *builders.connection_loss(8, bad=2), End("complete", 9.0)])
    page = Page(render(made))
    assert "load-not-met: 6" in page.text
    assert "24, 24, 18" in page.text


def test_a_void_claim_gives_its_reason(write: Callable[..., Journal], builders: Any) -> None:
    """When every trial is excluded, or the control arm did not fail, no interval is shown and the reason is."""
    made = write([builders.head(), *builders.transient_errors(3, share=0.0)[:1], End("complete", 9.0)])
    verdict = next(one for one in judge(made) if one.claim == "DB-2")
    page = Page(render(made))
    assert verdict.estimate is None
    assert verdict.reason in page.text


def test_a_skipped_part_is_named(write: Callable[..., Journal], builders: Any) -> None:
    """A part that this depth left out stands among the parts and the threats, with its reason."""
    made = write([builders.head(), *builders.large_querysets(skip_million=True), End("complete", 9.0)])
    page = Page(claim_html(made, "mem-4"))
    assert "Part not run: rows-1000000" in page.text
    assert "10⁶ rows need the default depth" in page.text


def test_fragments_restyle_nothing_around_them(everything: Journal) -> None:
    """Every CSS rule of a fragment lies below its own class, and a fragment carries neither ids nor scripts."""
    for text in (scorecard_html(everything), claim_html(everything, "DB-1")):
        page = Page(text)
        assert not any("id" in attributes or tag == "script" for tag, attributes in page.tags)
        sheet = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
        css = re.sub(r"/\*.*?\*/|@media[^{]*\{", "", sheet, flags=re.DOTALL)
        selectors = [part for rule in re.findall(r"([^{}@;]+)\{", css) for part in rule.split(",")]
        assert len(selectors) > 60
        assert all(part.strip().startswith((".stalwart", "[data-jp-theme-light=")) for part in selectors), (
            selectors
        )
        assert all(".stalwart" in part for part in selectors)
