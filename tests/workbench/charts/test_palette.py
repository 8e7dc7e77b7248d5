"""The palette: readable in light and dark, and put into every chart."""

from __future__ import annotations

import pytest

from workbench.charts.palette import PALETTE, SENTINELS, colour, theme_css, themed


def _luminance(value: str) -> float:
    channels = [int(value[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["bg", "soft"])
def test_text_has_enough_contrast(theme: int, ground: str) -> None:
    """Every colour in which text is written reaches WCAG's contrast of 4.5 on both grounds, in both themes."""
    below = _luminance(PALETTE[ground][theme])
    for name, pair in PALETTE.items():
        if name in ("bg", "soft", "line", "zone", "fault"):
            continue
        above = _luminance(pair[theme])
        contrast = (max(above, below) + 0.05) / (min(above, below) + 0.05)
        assert contrast >= 4.5, f"{name} on {ground}: {contrast:.2f}"


def test_sentinels_become_variables() -> None:
    """Each sentinel, in either case, becomes its variable; another colour is refused with the way out."""
    assert themed(f"fill: {colour('control')};stroke:{colour('not-run').upper()}") == (
        "fill: var(--control);stroke:var(--notrun)"
    )
    with pytest.raises(ValueError, match=r"#123456.*palette\.colour"):
        themed("fill: #123456")


def test_sentinels_are_no_colours_of_the_palette() -> None:
    """No sentinel can be taken for a real colour, and none stands twice."""
    real = {value for pair in PALETTE.values() for value in pair}
    assert len(set(SENTINELS.values())) == len(PALETTE)
    assert not real & set(SENTINELS.values())


def test_every_theme_gives_every_variable() -> None:
    """The style sheet has each variable in light and dark, for the system's wish and JupyterLab's."""
    css = theme_css(".x")
    for name in PALETTE:
        assert css.count(f"--{name}:") == 4
