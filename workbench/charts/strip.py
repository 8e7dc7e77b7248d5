"""The small strip of a scorecard's row: the interval on its axis, with the published number and its zone.

Hand-written, as it is repeated for every claim: twelve elements instead of a figure.
"""

from __future__ import annotations

from html import escape

from workbench.charts.drawing import clean
from workbench.charts.scale import Scale, deciding
from workbench.claims import Claim
from workbench.records import Verdict

LEFT, WIDTH, MIDDLE = 8.0, 284.0, 15.0


def strip(claim: Claim, verdict: Verdict) -> str:
    """The strip as an `<svg>` element; without an interval, the axis with the published number alone."""
    scale = deciding(claim, verdict)
    start, end = (LEFT + WIDTH * place for place in scale.zone)
    edge = LEFT + WIDTH * scale.place(scale.threshold)
    shapes = [
        f'<line x1="{LEFT:g}" x2="{LEFT + WIDTH:g}" y1="{MIDDLE:g}" y2="{MIDDLE:g}" class="axis"/>',
        f'<rect x="{start:.1f}" y="3" width="{end - start:.1f}" height="24" class="zone"/>',
        f'<line x1="{edge:.1f}" x2="{edge:.1f}" y1="2" y2="28" class="threshold"/>',
        *_interval(scale, verdict),
    ]
    return (
        f'<svg viewBox="0 0 300 30" role="img" aria-label="{escape(alt(claim, verdict))}" class="{verdict.outcome}">'
        f"{''.join(shapes)}</svg>"
    )


def _interval(scale: Scale, verdict: Verdict) -> list[str]:
    if verdict.low is None or verdict.high is None or verdict.estimate is None:
        return []
    low, high, at = (
        LEFT + WIDTH * scale.place(value) for value in (verdict.low, verdict.high, verdict.estimate)
    )
    shapes = [
        f'<line x1="{low:.1f}" x2="{max(high, low + 0.1):.1f}" y1="{MIDDLE:g}" y2="{MIDDLE:g}" class="ci"/>',
        f'<circle cx="{at:.1f}" cy="{MIDDLE:g}" r="5" class="dot"/>',
    ]
    # An arrow head where the interval goes on beyond the axis, so that the picture does not look better than it is.
    if verdict.low < scale.low:
        shapes.append(f'<path d="M{LEFT + 3:g} {MIDDLE - 6:g}l-7 6l7 6" class="off"/>')
    if verdict.high > scale.high:
        shapes.append(f'<path d="M{LEFT + WIDTH - 3:g} {MIDDLE - 6:g}l7 6l-7 6" class="off"/>')
    return shapes


def alt(claim: Claim, verdict: Verdict) -> str:
    """What the strip shows, in one sentence."""
    scale = deciding(claim, verdict)
    head = f"{clean(claim.published, 120)}: "
    if verdict.estimate is None or verdict.low is None or verdict.high is None:
        return f"{head}{verdict.outcome.replace('-', ' ')}, no interval; published: {scale.published}."
    return (
        f"{head}measured {scale.write(verdict.estimate)}, interval {scale.write(verdict.low)} to"
        f" {scale.write(verdict.high)}; published: {scale.published}; {verdict.outcome}."
    )
