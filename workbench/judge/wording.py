"""Numbers and intervals in words: the one place that says how they are written."""

from __future__ import annotations

import math
from collections.abc import Callable

from workbench.claims import Limit, Never, Payloads, Proportion, Reduction, Rule

_MINUS = "−"


def percent(value: float, against: float | None = None) -> str:
    """A share as "97.8", with more decimals where one would make it look equal to `against`."""
    for decimals in (1, 2, 3, 4):
        text = f"{100 * value:.{decimals}f}"
        if against is None or value == against or text != f"{100 * against:.{decimals}f}":
            break
    return _sign(text)


def whole(value: float) -> str:
    """A threshold as "95" or "99.5"."""
    return _sign(f"{100 * value:.6g}")


def amount(value: float, unit: str) -> str:
    """A value with its unit: "4.25 s", "0.31 %"."""
    if unit == "share":
        return f"{_sign(f'{100 * value:.3g}')} %"
    number = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{_sign(number)} {unit}".rstrip()


def plural(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun: "1 pair", "1,812 failures"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _sign(text: str) -> str:
    text = text.replace("-", _MINUS)
    return text if any(digit in "123456789" for digit in text) else text.removeprefix(_MINUS)


def change(value: float, rule: Reduction | Payloads, against: float | None = None) -> str:
    """A reduction in words: "97.8 % fewer failed requests"; below zero "12.0 % more failed requests"."""
    if value < 0:
        return f"{percent(-value)} % {rule.more}"
    return f"{percent(value, against)} % {rule.fewer}"


def claimed(rule: Rule) -> str:
    """What the rule asks for: "at least 95 %"."""
    match rule:
        case Reduction(threshold=threshold) if threshold < 0:
            return f"at most {whole(-threshold)} % more"
        case Reduction(threshold=threshold):
            return f"at least {whole(threshold)} %"
        case Payloads(threshold=threshold, upper=None):
            return f"at least {whole(threshold)} %"
        case Payloads(threshold=threshold, upper=float(upper)):
            return f"{whole(threshold)}–{whole(upper)} %"
        case Proportion(threshold=threshold, at_most=at_most):
            return f"at {'most' if at_most else 'least'} {whole(threshold)} %"
        case Limit(limit=limit, unit=unit, at_least=at_least):
            return f"at {'least' if at_least else 'most'} {amount(limit, unit)}"
        case _:
            return "none"


def span(rule: Rule, low: float, high: float, against: float | None = None) -> str:
    """The bounds alone: "96.1 – 99.0 %"."""
    if isinstance(rule, Limit):
        return f"{amount(low, rule.unit)} – {amount(high, rule.unit)}"
    joint = " – " if low >= 0 else " to "
    return f"{percent(low, against)}{joint}{percent(high, against)} %"


def figure(rule: Rule, estimate: float | None, low: float | None, high: float | None) -> str:
    """Estimate and interval for a table: "97.8 % (96.1 – 99.0 %)"; "" without an estimate."""
    if estimate is None:
        return ""
    against = None if isinstance(rule, Limit | Never) else rule.threshold
    text = amount(estimate, rule.unit) if isinstance(rule, Limit) else f"{percent(estimate, against)} %"
    if low is None or high is None:
        return text
    return f"{text} ({span(rule, low, high, against)})"


def bound(rule: Rule, low: float, high: float) -> str:
    """The strongest statement that an interval supports, rounded to the careful side; "" when there is none."""
    match rule:
        case Reduction() | Payloads():
            if low >= 0.005:
                return f"at least {_down(low)} % {rule.fewer}"
            if high <= -0.005:
                return f"at least {_down(-high)} % {rule.more}"
            return ""
        case Proportion(at_most=False):
            return f"at least {_down(low)} % {rule.phrase}" if low > 0 else ""
        case Proportion():
            return f"at most {_up(high)} % {rule.phrase}" if high < 1 else ""
        case Limit(at_least=True):
            return f"at least {amount(_careful(low, math.floor), rule.unit)} {rule.phrase}"
        case Limit():
            return f"at most {amount(_careful(high, math.ceil), rule.unit)} {rule.phrase}"
        case Never():
            phrase = rule.phrase or f"of {rule.unit} without"
            return f"more than {_down(low, 1)} % {phrase}" if low > 0 else ""


def _down(value: float, decimals: int = 0) -> str:
    return _rounded(value, decimals, math.floor)


def _up(value: float, decimals: int = 0) -> str:
    return _rounded(value, decimals, math.ceil)


def _rounded(value: float, decimals: int, towards: Callable[[float], int]) -> str:
    # Near none and all, whole percents say too little.
    if decimals == 0 and not 0.01 <= value <= 0.99:
        decimals = 1
    scale = 10**decimals
    # .29 * 100 is 28.999999999999996: what is whole but for the last bits stays as it is.
    hundred = towards(round(100 * value * scale, 9)) / scale
    return f"{hundred:.{decimals}f}".removesuffix(".0")


def _careful(value: float, towards: Callable[[float], int]) -> float:
    """Rounded to three digits, to the side given, so that `amount` does not round to the other."""
    if value == 0 or not math.isfinite(value):
        return value
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 2)
    return towards(round(value / step, 6)) * step
