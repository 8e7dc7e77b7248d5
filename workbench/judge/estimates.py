"""The statistics: pure functions from numbers to an estimate with its interval.

All take arrays whose last axis is the pairs (trials, payloads) and broadcast over the axes before it, so that the
simulation that calibrates the judge runs the very code that judges. The sources are named at each function.
Numbers that cannot be told come out as NaN, never as an exception or a warning.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betaincinv, ndtr
from scipy.stats import norm
from scipy.stats import t as student

Floats = npt.NDArray[np.float64]
LEVEL = 0.95
#: One-sided error of each bound of a two-sided 95 % interval.
ALPHA = 0.025


@dataclass(frozen=True)
class Interval:
    """An estimate with its bounds, each of the shape of the axes before the last."""

    estimate: Floats
    low: Floats
    high: Floats

    def floats(self) -> tuple[float, float, float] | None:
        """The three numbers of a single estimate; None when one of them is not finite."""
        numbers = (float(self.estimate), float(self.low), float(self.high))
        return numbers if all(math.isfinite(number) for number in numbers) else None


@dataclass(frozen=True)
class Reduction(Interval):
    """`1 - treatment / control` of two means over pairs.

    Attributes:
        g: Fieller's g. At 1 or more the control mean cannot be told from zero, and there is no interval.
    """

    g: Floats


def paired_reduction(control: npt.ArrayLike, treatment: npt.ArrayLike, level: float = LEVEL) -> Reduction:
    """The reduction of a mean over pairs, with Fieller's interval.

    It is the set of reductions that the paired t test on `treatment - (1 - reduction) * control` does not reject
    (E. C. Fieller, "Some problems in interval estimation", JRSS B 16, 1954).

    Args:
        control, treatment: non-negative values, the last axis being the pairs, at least two.
        level: of the two-sided interval.
    """
    c, t = np.asarray(control, dtype=float), np.asarray(treatment, dtype=float)
    pairs = c.shape[-1]
    if pairs < 2:
        raise ValueError(f"an interval needs at least 2 pairs, got {pairs}")
    with np.errstate(all="ignore"):
        # Divided by the control mean, all that follows is free of the unit and far from overflow.
        largest = c.max(axis=-1, keepdims=True)
        c, t = c / largest, t / largest
        mean = c.mean(axis=-1, keepdims=True)
        c, t = c / mean, t / mean
        q = student.ppf((1 + level) / 2, pairs - 1)
        theta = t.mean(axis=-1)
        # Fieller's quadratic in terms of d = treatment - theta * control, whose mean is 0: the textbook form
        # cancels to noise when the spread is small or the arms move together.
        off = c - 1.0
        d = t - theta[..., None] - theta[..., None] * off
        scale = (pairs - 1) * pairs
        vcc, vdd, vdc = ((x * y).sum(axis=-1) / scale for x, y in ((off, off), (d, d), (d, off)))
        g = q**2 * vcc
        half = q * np.sqrt(np.maximum(vdd - q**2 * (vcc * vdd - vdc**2), 0.0))
        middle = theta - q**2 * vdc / (1 - g)
        low, high = 1 - middle - half / (1 - g), 1 - middle + half / (1 - g)
        estimate = 1 - theta
        g = np.where(np.isfinite(g), g, np.inf)
        void = g >= 1
        return Reduction(
            estimate=estimate,
            low=np.where(void, np.nan, np.minimum(low, estimate)),
            # What cannot be negative cannot fall by more than all of it.
            high=np.where(void, np.nan, np.minimum(np.maximum(high, estimate), 1.0)),
            g=g,
        )


def threshold_t(control: npt.ArrayLike, treatment: npt.ArrayLike, reduction: float) -> tuple[Floats, Floats]:
    """The paired t test of "the true reduction is at most `reduction`" against "it is greater".

    Returns:
        The t statistic (negative when the data favour the claim) and the one-sided p. Without any spread the
        statistic is infinite, or zero exactly on the threshold.
    """
    c, t = np.asarray(control, dtype=float), np.asarray(treatment, dtype=float)
    pairs = c.shape[-1]
    with np.errstate(all="ignore"):
        d = t - (1 - reduction) * c
        mean, error = d.mean(axis=-1), d.std(axis=-1, ddof=1) / math.sqrt(pairs)
        statistic = np.where(error > 0, mean / error, np.where(mean == 0, 0.0, np.sign(mean) * np.inf))
        return statistic, np.asarray(student.cdf(statistic, pairs - 1))


def score_z(
    x1: npt.ArrayLike, n1: npt.ArrayLike, x0: npt.ArrayLike, n0: npt.ArrayLike, ratio: npt.ArrayLike
) -> Floats:
    """The score statistic of Miettinen and Nurminen for "p1 / p0 equals `ratio`".

    (O. Miettinen, M. Nurminen, "Comparative analysis of two rates", Statistics in Medicine 4, 1985; without its
    factor N / (N - 1) it is Koopman's.) Positive when p1 / p0 is seen above `ratio`.

    Args:
        x1, n1: events and exposure of the treatment arm.
        x0, n0: events and exposure of the control arm.
        ratio: above zero.
    """
    x1, n1, x0, n0, ratio = (np.asarray(value, dtype=float) for value in (x1, n1, x0, n0, ratio))
    with np.errstate(all="ignore"):
        total = n1 + n0
        # p0 under p1 = ratio * p0: the smaller root of a*p*p - b*p + c, in the form that does not cancel.
        a, b, c = total * ratio, n1 * ratio + x1 + n0 + x0 * ratio, x1 + x0
        p0 = 2 * c / (b + np.sqrt(np.maximum(b * b - 4 * a * c, 0.0)))
        p1 = np.minimum(ratio * p0, 1.0)
        variance = (p1 * (1 - p1) / n1 + ratio**2 * p0 * (1 - p0) / n0) * total / (total - 1)
        off = x1 / n1 - ratio * x0 / n0
        return np.where(variance > 0, off / np.sqrt(variance), np.where(off == 0, 0.0, np.sign(off) * np.inf))


def score_ratio(
    x1: npt.ArrayLike, n1: npt.ArrayLike, x0: npt.ArrayLike, n0: npt.ArrayLike, level: float = LEVEL
) -> tuple[Floats, Floats]:
    """The score interval of p1 / p0: the ratios that `score_z` does not reject.

    Stays honest where a spread between trials cannot be: with no event at all in the treatment arm.

    Returns:
        Its bounds; the lower is 0 without treatment events, the upper infinite without control events.
    """
    x1, n1, x0, n0 = np.broadcast_arrays(*(np.asarray(value, dtype=float) for value in (x1, n1, x0, n0)))
    z = norm.ppf((1 + level) / 2)
    low = _bisect(lambda ratio: score_z(x1, n1, x0, n0, ratio) > z, x1.shape)
    high = _bisect(lambda ratio: score_z(x1, n1, x0, n0, ratio) > -z, x1.shape)
    return np.where(x1 > 0, low, 0.0), np.where(x0 > 0, high, np.inf)


def _bisect(below: Callable[[Floats], npt.NDArray[np.bool_]], shape: tuple[int, ...]) -> Floats:
    """The ratio at which `below` turns false, searched on ratio / (1 + ratio), which is bounded."""
    left, right = np.zeros(shape), np.ones(shape)
    for _ in range(52):  # the bits of a double; one more would reach 1, whose ratio is infinite
        middle = (left + right) / 2
        holds = below(middle / (1 - middle))
        left, right = np.where(holds, middle, left), np.where(holds, right, middle)
    return np.asarray(left / (1 - left))


@dataclass(frozen=True)
class CountedReduction(Reduction):
    """A reduction that two methods witness; `low` is the lower of their lower bounds.

    Attributes:
        paired_low: Fieller's lower bound, over pairs.
        score_low: the score interval's lower bound, over requests.
    """

    paired_low: Floats
    score_low: Floats


def counted_reduction(
    control_events: npt.ArrayLike,
    control_exposure: npt.ArrayLike,
    treatment_events: npt.ArrayLike,
    treatment_exposure: npt.ArrayLike,
    level: float = LEVEL,
) -> CountedReduction:
    """The reduction of a share of failures: Fieller over pairs, and the score over requests as second witness.

    "Supported" needs both lower bounds above the threshold: the first knows that requests of a trial fail together,
    the second stays honest when few or none fail. The upper bound is Fieller's.
    """
    xc, nc, xt, nt = (
        np.asarray(value, dtype=float)
        for value in (control_events, control_exposure, treatment_events, treatment_exposure)
    )
    with np.errstate(all="ignore"):
        paired = paired_reduction(xc / nc, xt / nt, level)
    _, ratio = score_ratio(xt.sum(-1), nt.sum(-1), xc.sum(-1), nc.sum(-1), level)
    score_low = 1 - ratio
    return CountedReduction(
        estimate=paired.estimate,
        low=np.minimum(paired.low, score_low),
        high=paired.high,
        g=paired.g,
        paired_low=paired.low,
        score_low=score_low,
    )


def least_control_events(reduction: float, alpha: float = ALPHA) -> int:
    """The control failures below which a claimed reduction cannot be shown even with none in the treatment arm."""
    return math.ceil(-math.log(alpha) / (1 - reduction))


def proportion(events: npt.ArrayLike, exposure: npt.ArrayLike, level: float = LEVEL) -> Interval:
    """A share with the exact interval of Clopper and Pearson, at the effective size of a clustered sample.

    Units of one trial succeed or fail together, which makes n of them worth fewer. The effective size is
    p * (1 - p) / v, v the variance of p over trials (linearised ratio), at most n, times the squared ratio of the
    t quantiles for the few trials that v rests on (E. L. Korn, B. I. Graubard, Survey Methodology 24, 1998).
    One unit per trial, or a share of 0 or 1 (where no spread can be seen), is worth what it counts.

    Args:
        events, exposure: of each trial, on the last axis; trials without exposure count for nothing.
    """
    size = effective_size(events, exposure, level)
    with np.errstate(all="ignore"):
        share = np.asarray(events, dtype=float).sum(axis=-1) / np.asarray(exposure, dtype=float).sum(axis=-1)
    return exact_share(share * size, size, level)


def effective_size(events: npt.ArrayLike, exposure: npt.ArrayLike, level: float = LEVEL) -> Floats:
    """How many independent units a clustered sample is worth; see `proportion`."""
    x, m = np.asarray(events, dtype=float), np.asarray(exposure, dtype=float)
    with np.errstate(all="ignore"):
        n, k, trials = m.sum(axis=-1), x.sum(axis=-1), (m > 0).sum(axis=-1)
        p = k / n
        variance = trials / (trials - 1) * ((x - p[..., None] * m) ** 2).sum(axis=-1) / n**2
        tail = (1 + level) / 2
        few = (student.ppf(tail, n - 1) / student.ppf(tail, trials - 1)) ** 2
        clustered = (m.max(axis=-1) > 1) & (trials > 1) & (variance > 0) & (k > 0) & (k < n)
        return np.asarray(np.where(clustered, np.minimum(p * (1 - p) / variance, n) * few, n))


def exact_share(events: npt.ArrayLike, size: npt.ArrayLike, level: float = LEVEL) -> Interval:
    """Clopper and Pearson's interval of a share; `size` need not be whole."""
    k, n = np.asarray(events, dtype=float), np.asarray(size, dtype=float)
    tail = (1 - level) / 2
    with np.errstate(all="ignore"):
        low = np.where(k > 0, betaincinv(k, n - k + 1, tail), 0.0)
        high = np.where(k < n, betaincinv(k + 1, n - k, 1 - tail), 1.0)
        share = k / n
        return Interval(share, np.minimum(low, share), np.maximum(high, share))


def payload_reduction(
    control: npt.ArrayLike,
    treatment: npt.ArrayLike,
    *,
    level: float = LEVEL,
    resamples: int = 4000,
    seed: int = 20_260_101,
) -> Interval:
    """`1 - sum(treatment) / sum(control)` over payloads, with a bootstrap interval over payloads.

    Bytes repeat exactly, so the payloads are the sample. The percentiles are widened to what Student's t asks for
    at this number of payloads (T. C. Hesterberg, "What teachers should know about the bootstrap", The American
    Statistician 69, 2015): the plain ones are too narrow for few. Payloads that all shrink alike give an interval
    of no width, not NaN.

    Args:
        control, treatment: bytes of each payload on the last axis, at least two, the control's above zero.
        resamples, seed: fixed, so that a journal judged again gives the same numbers.
    """
    c, t = np.asarray(control, dtype=float), np.asarray(treatment, dtype=float)
    payloads = c.shape[-1]
    if payloads < 2:
        raise ValueError(f"an interval needs at least 2 payloads, got {payloads}")
    weights = np.random.default_rng(seed).multinomial(
        payloads, np.full(payloads, 1 / payloads), size=resamples
    )
    with np.errstate(all="ignore"):
        estimate = 1 - t.sum(axis=-1) / c.sum(axis=-1)
        drawn = 1 - (t @ weights.T) / (c @ weights.T)
        tail = ndtr(-student.ppf((1 + level) / 2, payloads - 1) * math.sqrt(payloads / (payloads - 1)))
        low, high = np.quantile(drawn, [tail, 1 - tail], axis=-1)
        return Interval(estimate, np.minimum(low, estimate), np.minimum(np.maximum(high, estimate), 1.0))


def student_quantile(trials: int, level: float = LEVEL) -> float:
    """The t quantile of a two-sided interval over this many trials."""
    return float(student.ppf((1 + level) / 2, trials - 1))


def mean(values: npt.ArrayLike, level: float = LEVEL) -> Interval:
    """A mean over trials (last axis, at least two) with Student's interval."""
    x = np.asarray(values, dtype=float)
    if x.shape[-1] < 2:
        raise ValueError(f"an interval needs at least 2 trials, got {x.shape[-1]}")
    with np.errstate(all="ignore"):
        centre = x.mean(axis=-1)
        half = student.ppf((1 + level) / 2, x.shape[-1] - 1) * x.std(axis=-1, ddof=1) / math.sqrt(x.shape[-1])
        return Interval(centre, centre - half, centre + half)
