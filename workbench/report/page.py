"""The one renderer, for the file and for the notebook."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from workbench.charts import intervals
from workbench.charts.numbers import data
from workbench.charts.palette import theme_css
from workbench.claims import CLAIMS, claim
from workbench.journal import Journal
from workbench.judge import judge
from workbench.profile import journalled
from workbench.profile.records import Profile
from workbench.records import Verdict
from workbench.report import pictures, project, surroundings
from workbench.report.embed import embed
from workbench.report.guards import guards
from workbench.report.scorecard import scorecard
from workbench.report.section import plan_of, section
from workbench.report.words import OUTCOMES

TEMPLATES = Path(__file__).parent / "templates"

#: Takes the journal out of a page with nothing but Python.
UNPACK = (
    'python -c "import base64, gzip, json, re;'
    " page = open('report.html', encoding='utf-8').read();"
    r""" held = json.loads(re.search(r'id=.journal.>(.*?)</script', page, re.S)[1]);"""
    " data = held['data'];"
    " raw = data.encode() if held['encoding'] == 'text' else gzip.decompress(base64.b64decode(data));"
    " open('journal.jsonl', 'wb').write(raw)\""
)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _css() -> Markup:
    sheet = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    return Markup(theme_css(".stalwart") + sheet)  # noqa: S704 our own sheet


def _script() -> Markup:
    return Markup((TEMPLATES / "script.js").read_text(encoding="utf-8"))  # noqa: S704 our own script


def _write(template: str, values: dict[str, Any]) -> str:
    text = _environment().get_template(template).render(outcomes=OUTCOMES, css=_css(), **values)
    # Half a surrogate pair, as a broken file name may leave it in a journal, cannot be written as UTF-8.
    return text.encode("utf-8", "replace").decode()


def render(journal: Journal, *, verdicts: Sequence[Verdict] | None = None) -> str:
    """The whole report as one self-contained HTML page.

    Args:
        journal: as read.
        verdicts: on all claims, when they are already there; judged from the journal otherwise.
    """
    by_claim = _by_claim(journal, verdicts)
    shown = [one for one in CLAIMS if by_claim[one.id].outcome != "not-run" or plan_of(one, journal)]
    ordered = [by_claim[one.id] for one in CLAIMS]
    overview = intervals.draw(CLAIMS, ordered)
    embedded = embed(journal)
    run = journal.run
    profile = journalled.profile_of(journal.findings)
    # A profile alone judges no claim, and says nothing about them.
    judged = profile is None or bool(journal.plans) or any(one.code == "not-run" for one in journal.findings)
    title = "Do the published improvements hold?" if judged else "What do its pages ask of the database?"
    return _write(
        "page.html",
        {
            "headline": title,
            "title": f"{title} {run.project if run else ''}".rstrip(),
            "judged": judged,
            "p": None if profile is None else project.section(profile),
            "meta": surroundings.meta(journal),
            "warnings": surroundings.warnings(journal),
            "score": scorecard(CLAIMS, by_claim, frozenset(one.id for one in shown)),
            "links": True,
            "overview": pictures.picture(overview, intervals.draw(CLAIMS, ordered, width=pictures.NARROW)),
            "overview_table": pictures.data_table(overview),
            "claims": [section(one, by_claim[one.id], journal) for one in shown],
            "guards": guards(journal),
            "level": 2,
            "promises": surroundings.promises(),
            "environment": surroundings.environment(journal),
            "plans": surroundings.plans(journal),
            "command": run.command if run else "",
            "embedded": embedded,
            "embedded_size": data(embedded.size),
            "file_sha256": journal.sha256,
            "torn": journal.torn,
            "unpack_command": UNPACK,
            "script": _script(),
        },
    )


def scorecard_html(journal: Journal, *, verdicts: Sequence[Verdict] | None = None) -> str:
    """The scorecard alone, as a fragment for a notebook; its style sheet restyles nothing around it."""
    by_claim = _by_claim(journal, verdicts)
    return _write(
        "fragment.html", {"body": "scorecard.html", "score": scorecard(CLAIMS, by_claim), "links": False}
    )


def claim_html(journal: Journal, claim_id: str, *, verdicts: Sequence[Verdict] | None = None) -> str:
    """The section of one claim, as a fragment for a notebook.

    Raises:
        WorkbenchError: when there is no such claim; it names the nearest.
    """
    wanted = claim(claim_id)
    verdict = _by_claim(journal, verdicts)[wanted.id]
    return _write("fragment.html", {"body": "claim.html", "c": section(wanted, verdict, journal), "level": 3})


def project_html(profile: Profile) -> str:
    """The section of a profiled project, as a fragment for a notebook."""
    return _write("fragment.html", {"body": "project.html", "p": project.section(profile), "level": 3})


def guard_html(journal: Journal, drill: str) -> str:
    """The section of a drill that decides no claim, as a fragment for a notebook.

    Raises:
        LookupError: the journal holds none of that id.
    """
    found = {one.id: one for one in guards(journal)}
    return _write("fragment.html", {"body": "guard.html", "g": found[drill], "level": 3})


def _by_claim(journal: Journal, verdicts: Sequence[Verdict] | None) -> dict[str, Verdict]:
    return {verdict.claim: verdict for verdict in (judge(journal) if verdicts is None else verdicts)}
