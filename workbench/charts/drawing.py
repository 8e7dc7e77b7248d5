"""A matplotlib figure to draw on, and its way to an inline SVG element. No pyplot, so no state is shared."""

from __future__ import annotations

import io
import re
import warnings
from typing import Any
from xml.etree import ElementTree as ET

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from workbench.charts.palette import colour, themed

_RC: Any = {
    "svg.fonttype": "none",  # text stays text: it can be read, searched and styled
    "svg.hashsalt": "stalwart",  # the same data give the same bytes
    "text.parse_math": False,  # a dollar sign in somebody's path is a dollar sign
    "font.size": 12.5,
    "path.simplify": False,
}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")


def clean(text: str, limit: int = 60) -> str:
    """Foreign text as it may stand in a chart: without characters that XML forbids, on one line, not longer than `limit`."""
    text = _NOT_XML.sub("\ufffd", " ".join(text.split()))
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def figure(width: float, height: float) -> Figure:
    """An empty figure whose units are CSS pixels."""
    with mpl.rc_context(_RC):
        made = Figure(figsize=(width / 72, height / 72), dpi=72)
        FigureCanvasSVG(made)
    made.patch.set_visible(False)
    return made


def axes(fig: Figure, left: float, top: float, right: float, bottom: float) -> Any:
    """Axes with the given margins, in pixels, without frame and ticks; grid lines are up to the chart."""
    width, height = (side * 72 for side in fig.get_size_inches())
    with mpl.rc_context(_RC):
        made: Any = fig.add_axes(
            (
                left / width,
                bottom / height,
                (width - left - right) / width,
                (height - top - bottom) / height,
            )
        )
    made.patch.set_visible(False)
    for spine in made.spines.values():
        spine.set_visible(False)
    made.set_axisbelow(True)
    made.tick_params(length=0, colors=colour("mute"), labelcolor=colour("mute"), labelsize=12.5, pad=6)
    return made


def text(ax: Any, x: float, y: float, words: str, name: str = "fg", **options: Any) -> Any:
    """Write on the axes in a colour of the palette."""
    options = {"color": colour(name), "fontsize": 12.5, "va": "center", "clip_on": False, **options}
    with mpl.rc_context(_RC):
        return ax.text(x, y, words, parse_math=False, **options)


def to_svg(fig: Figure, alt: str) -> str:
    """The figure as an `<svg>` element for an HTML page.

    Ids, references and matplotlib's style sheet are taken out: inlined, they would clash with those of other charts
    and restyle the page around them.

    Args:
        fig: as drawn.
        alt: what it shows; becomes its accessible name.
    """
    buffer = io.StringIO()
    with mpl.rc_context(_RC), warnings.catch_warnings():
        # Glyphs are only measured here; the reader's browser has the fonts that draw them.
        warnings.simplefilter("ignore", UserWarning)
        fig.savefig(
            buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
    root = ET.fromstring(buffer.getvalue())  # noqa: S314 matplotlib's own output
    shapes = {
        element.get("id"): element for element in root.iter() if _tag(element) == "path" and element.get("id")
    }
    made = ET.Element("svg")
    width, height = (f"{side * 72:g}" for side in fig.get_size_inches())
    made.attrib.update(
        {
            "viewBox": f"0 0 {width} {height}",
            "width": width,
            "height": height,
            "role": "img",
            "aria-label": _NOT_XML.sub("\ufffd", alt),
            "style": "stroke-linejoin:round;stroke-linecap:butt",
        }
    )
    for child in root:
        made.extend(_copy(child, shapes))
    return ET.tostring(made, encoding="unicode")


def _tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _copy(element: ET.Element, shapes: dict[str | None, ET.Element]) -> list[ET.Element]:
    """The element as it may stand in the page: none, one, or (for a mere group) what it holds."""
    tag = _tag(element)
    if tag in ("metadata", "defs", "style"):
        return []
    children = [copy for child in element for copy in _copy(child, shapes)]
    attributes = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
    attributes.pop("id", None)
    attributes.pop("clip-path", None)  # a reference by id; charts keep within their axes by themselves
    if tag == "g" and not attributes:
        return children
    if tag == "use":
        shape = shapes[attributes.pop("href").lstrip("#")]
        x, y = attributes.pop("x", "0"), attributes.pop("y", "0")
        attributes |= {"d": shape.get("d", ""), "transform": f"translate({x} {y})"}
        tag = "path"
    if attributes.get("transform", "").startswith("rotate(-0 "):
        del attributes["transform"]
    made = ET.Element(tag, {key: _tidy(key, value) for key, value in attributes.items()})
    made.text = element.text if tag == "text" else None
    made.extend(children)
    return [made]


def _tidy(key: str, value: str) -> str:
    value = _LONG_NUMBER.sub(lambda match: f"{float(match[0]):.2f}".rstrip("0").rstrip("."), value)
    if key == "d":
        return " ".join(value.split())
    if key == "style":
        # The page's own font; a face named here would be looked for on the reader's machine.
        parts = [part.strip() for part in value.split(";")]
        kept = [
            re.sub(r"^font: .*?([\d.]+px).*$", r"font-size:\1", part)
            for part in parts
            if part and not part.startswith("font-family")
        ]
        bold = ["font-weight:650"] if re.search(r"font: (?:\w+ )*(?:bold|600|700) ", value) else []
        return themed(";".join(kept + bold))
    return themed(value) if key in ("fill", "stroke") else value
