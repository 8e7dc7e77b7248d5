"""The colours of the report, and the one function that puts them into a drawn chart.

matplotlib cannot draw in CSS variables, so charts are drawn in *sentinels*: colours that nobody would choose, one for
each name of the palette. `themed` replaces them by `var(--name)`, and light, dark and print styles then apply to
charts as to text.
"""

from __future__ import annotations

import re

#: Name of the CSS variable, its value on a light page, its value on a dark one. Text colours reach a contrast of 4.5
#: on `bg` and on `soft`; a test holds them to it.
PALETTE: dict[str, tuple[str, str]] = {
    "bg": ("#ffffff", "#0f1419"),
    "fg": ("#1b1f24", "#e6edf3"),
    "mute": ("#57606a", "#9da7b1"),
    "line": ("#d8dee4", "#2f3740"),
    "soft": ("#f6f8fa", "#171d24"),
    "control": ("#a85300", "#f0a35e"),
    "treatment": ("#0b62a8", "#6cb6ff"),
    "peer": ("#7d4ba3", "#d2a8ff"),
    "supported": ("#1a7735", "#57c26f"),
    "refuted": ("#b3261e", "#ff8178"),
    "inconclusive": ("#855d00", "#e0b040"),
    "void": ("#5f6770", "#9da7b1"),
    "notrun": ("#656e78", "#8b96a1"),
    "zone": ("#1a7f3714", "#57c26f1c"),
    "fault": ("#b3261e1f", "#ff81782e"),
}

#: Name to the colour that matplotlib is given. The first sentinel is far from anything matplotlib draws by itself.
SENTINELS: dict[str, str] = {name: f"#{0xA7C3E1 + 7 * index:06x}" for index, name in enumerate(PALETTE)}

_HEX = re.compile(r"#[0-9a-fA-F]{3,8}\b")


def colour(name: str) -> str:
    """The sentinel to draw with.

    Args:
        name: of the palette; an outcome's name will do ("not-run" is `notrun`), and "absent" is drawn as the control.

    Raises:
        KeyError: for a name that the palette does not have.
    """
    return SENTINELS[{"not-run": "notrun", "absent": "control"}.get(name, name)]


def themed(style: str) -> str:
    """A style or attribute value with every sentinel replaced by its CSS variable.

    Raises:
        ValueError: when another colour is left, which would not follow the page's theme.
    """
    variables = {sentinel: f"var(--{name})" for name, sentinel in SENTINELS.items()}
    result = _HEX.sub(lambda match: variables.get(match[0].lower(), match[0]), style)
    left = _HEX.search(result)
    if left:
        raise ValueError(
            f"{left[0]} in {style!r} is no colour of the palette; draw with palette.colour(name)"
        )
    return result


def theme_css(scope: str) -> str:
    """The CSS that gives every variable its value, for light and dark pages, JupyterLab's themes, and paper.

    Args:
        scope: the selector of the element that carries the variables.
    """

    def block(index: int, scheme: str) -> str:
        values = ";".join(f"--{name}:{pair[index]}" for name, pair in PALETTE.items())
        return f"{{color-scheme:{scheme};{values}}}"

    light, dark = block(0, "light"), block(1, "dark")
    return (
        f"{scope}{light}\n"
        f"@media screen and (prefers-color-scheme:dark){{{scope}{dark}}}\n"
        # JupyterLab's own theme wins over the system's wish, on the screen; paper stays light.
        f'@media screen{{[data-jp-theme-light="true"] {scope}{light}[data-jp-theme-light="false"] {scope}{dark}}}\n'
    )
