"""What the project could send less of: compression and conditional answers, tried on its own pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.errors import WorkbenchError
from workbench.profile import interleaved, pages
from workbench.profile.loading import Loaded
from workbench.profile.pages import PATIENCE, Baseline
from workbench.profile.records import Advice, Finding, Kind, PageView
from workbench.profile.settings_file import Change, SettingsFile
from workbench.project_process import ProjectProcess

#: Pages that are looked at, bytes from which on an answer is worth it, and milliseconds above which it takes too long to try.
MOST, LEAST, SLOWEST = 4, 1_000, 3_000.0
GZIP = "django.middleware.gzip.GZipMiddleware"
OURS = "stalwart.compression.CompressionMiddleware"
CONDITIONAL = "django.middleware.http.ConditionalGetMiddleware"
#: It must come before what writes to a body, and after what codes one.
_BEFORE = ("django.middleware.locale.LocaleMiddleware", "django.middleware.common.CommonMiddleware")
_TEXTS = ("text/", "application/json", "application/javascript", "application/xml", "image/svg")
_SAVED = 0.10


@dataclass(frozen=True)
class _Page:
    """One page as it is."""

    url: str
    base: Baseline
    answer: Mapping[str, Any]


def advised(
    loaded: Loaded,
    views: Sequence[PageView],
    *,
    headers: Mapping[str, str] | None = None,
    most: int = MOST,
) -> tuple[Finding, ...]:
    """What the project's settings leave to be sent: at most one finding for compression, one for conditional answers.

    They are findings of the project, not of a page; each names the page that gains most. The edited settings file is run
    in a process of its own, beside one with the file as it is.

    Args:
        loaded: the project.
        views: warm ones of its pages; the largest answers are looked at.
        headers: as they were visited with.
        most: pages that are looked at.

    Raises:
        WorkbenchError: the project does not start, which it did before.
    """
    large = sorted(
        (one for one in views if one.status == 200 and one.bytes >= LEAST), key=lambda one: -one.bytes
    )
    urls = list(dict.fromkeys(one.url for one in large))[:most]
    if not urls:
        return ()
    with loaded.process() as process:
        file, facts = SettingsFile.of(loaded, process), process.call("workbench.guest.responses:facts")
        found: list[_Page] = []
        for url in urls:
            base = pages.baseline(process, url, headers=headers)
            answer = _answered(process, url, headers, base)
            if answer["status"] == 200 and not answer["error"]:
                found.append(_Page(url, base, answer))
        findings = []
        plain = [one for one in found if not one.answer["coding"] and one.answer["type"].startswith(_TEXTS)]
        if plain:
            name = OURS if "stalwart" in facts["apps"] else GZIP
            change = file.with_middleware(name)
            findings.append(_compression(loaded, process, file, plain, change, name, headers))
        whole = [one for one in found if not one.answer["not_modified"]]
        if whole and CONDITIONAL not in facts["middleware"]:
            change = file.with_middleware(CONDITIONAL, _BEFORE)
            findings.append(_conditional(loaded, process, file, whole, change, headers))
    return tuple(findings)


def _answered(
    process: ProjectProcess, url: str, headers: Mapping[str, str] | None, base: Baseline
) -> dict[str, Any]:
    answer: dict[str, Any] = process.call(
        "workbench.guest.responses:answered", 2 * PATIENCE, url=url, headers=headers, masks=list(base.masks)
    )
    return answer


def _all_answers(
    process: ProjectProcess, found: Sequence[_Page], headers: Mapping[str, str] | None
) -> dict[str, dict[str, Any]]:
    """Of pages that are warm, as they were in the process to compare with."""
    for one in found:
        pages.visit(process, one.url, "warm", headers=headers)
    return {one.url: _answered(process, one.url, headers, one.base) for one in found}


def _compression(
    loaded: Loaded,
    process: ProjectProcess,
    file: SettingsFile,
    found: Sequence[_Page],
    change: Change,
    name: str,
    headers: Mapping[str, str] | None,
) -> Finding:
    total = sum(one.answer["bytes"] for one in found)
    text = f"{len(found)} of the pages looked at are sent uncompressed, {total:,} bytes together"

    def judged(after: Mapping[str, Mapping[str, Any]]) -> tuple[str, str | None]:
        left = sum(one["bytes"] for one in after.values())
        said = f"{total:,} → {left:,} bytes for {len(found)} pages ({1 - left / total:.0%} less)"
        if name == GZIP:
            said += "; Django pads against BREACH, and pages that repeat a visitor's secret beside his input may be left out"
        fewer = left <= (1 - _SAVED) * total
        return said, None if fewer else f"the answers do not become smaller by it: {total:,} → {left:,} bytes"

    worst = max(found, key=lambda one: float(one.answer["bytes"]))
    advice = _tried(loaded, process, found, worst, change, judged, headers)
    return _finding("uncompressed-response", file, worst.url, text, advice)


def _conditional(
    loaded: Loaded,
    process: ProjectProcess,
    file: SettingsFile,
    found: Sequence[_Page],
    change: Change,
    headers: Mapping[str, str] | None,
) -> Finding:
    text = f"{len(found)} of the pages looked at are sent again to whoever has them unchanged"

    def judged(after: Mapping[str, Mapping[str, Any]]) -> tuple[str, str | None]:
        spared = [one for one in found if after[one.url]["not_modified"]]
        size = sum(int(one.answer["bytes"]) for one in spared)
        said = (
            f"{len(spared)} of {len(found)} pages are answered by 304 the second time, {size:,} bytes less; "
            "each is still made in full, so that it saves the network's time and not the server's"
        )
        reason = "no page is answered by 304: each visit gets other bytes, as a token that changes"
        return said, None if spared else reason

    worst = max(found, key=lambda one: float(one.answer["bytes"]))
    advice = _tried(loaded, process, found, worst, change, judged, headers)
    return _finding("no-conditional-get", file, worst.url, text, advice)


def _finding(kind: Kind, file: SettingsFile, url: str, text: str, advice: Advice) -> Finding:
    return Finding(kind, url, None, file.location("MIDDLEWARE"), 0, text=text, advice=(advice,))


def _tried(
    loaded: Loaded,
    process: ProjectProcess,
    found: Sequence[_Page],
    worst: _Page,
    change: Change,
    judged: Any,
    headers: Mapping[str, str] | None,
) -> Advice:
    """The edited settings file, run beside the one as it is."""
    if change.edits is None:
        return Advice(change.diff, applied=False, rejected="not tried: the settings file could not be edited")
    try:
        with loaded.process(edits=change.edits) as edited:
            after = _all_answers(edited, found, headers)
            if unused := edited.call("workbench.guest.edited:unused"):
                return Advice(change.diff, applied=False, rejected=f"not tried: {unused[0]} is not imported")
            said, rejected = judged(after)
            asked = {**(headers or {}), "Accept-Encoding": "gzip"}
            before_ms, after_ms = interleaved.alternated(
                lambda: pages.visit(process, worst.url, "warm", headers=asked).milliseconds,
                lambda: pages.visit(edited, worst.url, "warm", headers=asked).milliseconds,
                rounds=6,
                seconds=5,
                least=3,
            )
        stable = [one for one in found if one.base.stable]
        other = [one for one in stable if after[one.url]["digest"] != one.answer["digest"]]
        if other:
            # Two processes may differ without any edit: by what each has cached, or drawn at its start.
            with loaded.process() as control:
                again = _all_answers(control, other, headers)
            by_itself = {one.url for one in other if again[one.url]["digest"] != one.answer["digest"]}
            stable = [one for one in stable if one.url not in by_itself]
            other = [one for one in other if one.url not in by_itself]
    except WorkbenchError as error:
        return Advice(change.diff, applied=False, rejected=f"it could not be tried: {error.problem}")
    same = not other
    if len(stable) < len(found):
        said += f"; {len(found) - len(stable)} of the pages change by themselves, and were not compared"
    broken = next((one["error"] for one in after.values() if one["error"]), None)
    if broken or not same:
        rejected = f"a page fails with it: {broken}" if broken else "an answer is another with it"
    gain = interleaved.saving(before_ms, after_ms)
    queries = int(worst.answer["queries"])
    return Advice(
        change.diff,
        applied=True,
        before=interleaved.measured(queries, before_ms),
        after=interleaved.measured(int(after[worst.url]["queries"]), after_ms),
        same_response=same if stable else None,
        rejected=rejected,
        reduction=gain.share,
        reduction_low=gain.low,
        reduction_high=gain.high,
        note=said,
    )
