"""The statistics against independent computations, published values and their own properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import binomtest, norm, ttest_1samp

from workbench.judge import estimates

#: A shared machine has no deadlines, and the whole folder is to stay quick.
quick = settings(max_examples=50, deadline=None)

positive = st.floats(0.5, 1e6, allow_nan=False)
values = st.floats(0.0, 1e6, allow_nan=False)


def pairs(low: int = 2, high: int = 12) -> st.SearchStrategy[tuple[list[float], list[float]]]:
    return st.integers(low, high).flatmap(
        lambda size: st.tuples(
            st.lists(positive, min_size=size, max_size=size), st.lists(values, min_size=size, max_size=size)
        )
    )


def counts() -> st.SearchStrategy[tuple[int, int, int, int]]:
    return st.tuples(st.integers(2, 2000), st.integers(2, 2000)).flatmap(
        lambda n: st.tuples(st.integers(0, n[0]), st.just(n[0]), st.integers(1, n[1]), st.just(n[1]))
    )


# ------------------------------------------------------------------------------------------ paired reductions


def test_fieller_is_the_inversion_of_the_paired_t_test() -> None:
    """At the bounds of the interval the paired t test of scipy gives exactly .025, on either side."""
    rng = np.random.default_rng(1)
    control, treatment = rng.gamma(20, 5, 9), rng.gamma(20, 1, 9)
    found = estimates.paired_reduction(control, treatment)
    for bound, alternative in ((found.low, "less"), (found.high, "greater")):
        d = treatment - (1 - float(bound)) * control
        assert ttest_1samp(d, 0, alternative=alternative).pvalue == pytest.approx(0.025, rel=1e-6)


def test_the_threshold_test_is_that_of_scipy() -> None:
    """Statistic and p of the test on d agree with scipy's one-sample t test."""
    rng = np.random.default_rng(2)
    control, treatment = rng.gamma(20, 5, 8), rng.gamma(20, 1, 8)
    statistic, p = estimates.threshold_t(control, treatment, 0.75)
    reference = ttest_1samp(treatment - 0.25 * control, 0, alternative="less")
    assert float(statistic) == pytest.approx(reference.statistic)
    assert float(p) == pytest.approx(reference.pvalue)


@quick
@given(pairs(), st.floats(-0.5, 0.99))
def test_interval_and_test_say_the_same(data: tuple[list[float], list[float]], threshold: float) -> None:
    """The lower bound lies above a threshold exactly when the test rejects at .025."""
    found = estimates.paired_reduction(*data)
    _, p = estimates.threshold_t(*data, threshold)
    if float(found.g) < 1 and abs(float(found.low) - threshold) > 1e-6 * (1 + abs(float(found.low))):
        assert (float(found.low) > threshold) == (float(p) < 0.025)


@quick
@given(pairs())
def test_a_paired_interval_holds_its_estimate(data: tuple[list[float], list[float]]) -> None:
    """The estimate lies within its interval, which never passes 1; without an interval g says why."""
    found = estimates.paired_reduction(*data)
    interval = found.floats()
    if interval is None:
        assert float(found.g) >= 1
    else:
        assert interval[1] <= interval[0] <= interval[2] <= 1


@quick
@given(pairs(), st.floats(1e-3, 1e9))
def test_the_unit_does_not_matter(data: tuple[list[float], list[float]], factor: float) -> None:
    """Bytes or gigabytes: scaling both arms leaves estimate and interval unchanged."""
    one = estimates.paired_reduction(*data)
    other = estimates.paired_reduction(*(np.asarray(side) * factor for side in data))
    for name in ("estimate", "low", "high"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-6, atol=1e-6)


@quick
@given(pairs(3, 8))
def test_the_same_pairs_once_more_narrow_the_interval(data: tuple[list[float], list[float]]) -> None:
    """The same pairs seen twice leave the estimate as it is and do not widen the interval."""
    once = estimates.paired_reduction(*data)
    twice = estimates.paired_reduction(*(side * 2 for side in data))
    np.testing.assert_allclose(once.estimate, twice.estimate, rtol=1e-9, atol=1e-9)
    if float(once.g) < 1:
        slack = 1e-9 * (1 + abs(float(once.low)))
        assert float(twice.low) >= float(once.low) - slack
        assert float(twice.high) <= float(once.high) + slack


@quick
@given(pairs(), st.randoms())
def test_the_order_of_pairs_does_not_matter(data: tuple[list[float], list[float]], random: object) -> None:
    """Shuffled pairs give the same interval."""
    order = list(range(len(data[0])))
    random.shuffle(order)  # type: ignore[attr-defined]
    one = estimates.paired_reduction(*data)
    other = estimates.paired_reduction(*([side[index] for index in order] for side in data))
    np.testing.assert_allclose(one.low, other.low, rtol=1e-6, atol=1e-6)


def test_pairs_without_any_spread_give_an_interval_of_no_width() -> None:
    """Values that repeat exactly give exactly the estimate as both bounds, not rounding noise."""
    found = estimates.paired_reduction([3e8] * 5, [9e7] * 5)
    assert found.floats() == pytest.approx((0.7, 0.7, 0.7), abs=1e-15)
    assert float(estimates.threshold_t([1000] * 5, [300] * 5, 0.6)[1]) == 0
    assert float(estimates.threshold_t([1000] * 5, [500] * 5, 0.6)[1]) == 1
    assert float(estimates.threshold_t([4] * 5, [1] * 5, 0.75)[0]) == 0


@pytest.mark.parametrize("control", [[0, 0, 0], [0, 0, 5], [1e-320, 0, 0]])
def test_a_control_mean_that_cannot_be_told_from_zero_gives_no_interval(control: list[float]) -> None:
    """Fieller's g reaches 1 and the bounds are NaN: the fault did not bite."""
    found = estimates.paired_reduction(control, [0, 0, 0])
    assert float(found.g) >= 1
    assert found.floats() is None


def test_one_pair_has_no_interval() -> None:
    """A single pair is refused."""
    with pytest.raises(ValueError, match="at least 2 pairs"):
        estimates.paired_reduction([1], [1])


def test_many_data_sets_at_once_give_the_same_as_one_by_one() -> None:
    """The axes before the last broadcast: what calibrates the judge is what judges."""
    rng = np.random.default_rng(3)
    xc, xt = rng.binomial(200, 0.4, (20, 8)), rng.binomial(200, 0.02, (20, 8))
    n = np.full(xc.shape, 200)
    together = estimates.counted_reduction(xc, n, xt, n)
    for index in range(20):
        alone = estimates.counted_reduction(xc[index], n[index], xt[index], n[index])
        assert alone.floats() == pytest.approx(
            (together.estimate[index], together.low[index], together.high[index])
        )
    share = estimates.proportion(xc, n)
    payloads = estimates.payload_reduction(xc + 1, xt)
    for index in range(20):
        assert float(estimates.proportion(xc[index], n[index]).low) == pytest.approx(share.low[index])
        assert float(estimates.payload_reduction(xc[index] + 1, xt[index]).low) == pytest.approx(
            payloads.low[index]
        )


# ------------------------------------------------------------------------------------------ the score interval


def test_the_score_interval_has_koopmans_published_values() -> None:
    """36 of 40 against 16 of 80, the example of Koopman (Biometrics 40, 1984): 2.94 to 7.15.

    His statistic lacks the factor N / (N - 1), which a level that takes it back cancels.
    """
    total = 120
    level = 2 * norm.cdf(norm.ppf(0.975) * math.sqrt((total - 1) / total)) - 1
    low, high = estimates.score_ratio(36, 40, 16, 80, level)
    assert float(low) == pytest.approx(2.94, abs=0.005)
    assert float(high) == pytest.approx(7.15, abs=0.005)


def test_the_score_interval_stays_honest_without_treatment_events() -> None:
    """0 of 200 against 90 of 200 leaves up to 3 % of the failures, where a spread between trials would leave none."""
    low, high = estimates.score_ratio(0, 200, 90, 200, 0.90)
    assert float(low) == 0
    assert float(high) == pytest.approx(0.030, abs=0.0005)


@pytest.mark.parametrize(
    ("x1", "n1", "x0", "n0"),
    [(3, 200, 90, 200), (0, 50, 20, 60), (12, 300, 15, 280), (40, 40, 30, 40), (1, 9, 8, 9)],
)
def test_the_score_statistic_agrees_with_a_numerical_maximum_of_the_likelihood(
    x1: int, n1: int, x0: int, n0: int
) -> None:
    """The closed form of the constrained estimate is the one that a general optimiser finds, and so are the bounds."""

    def z(ratio: float) -> float:
        def loss(p0: float) -> float:
            p1 = ratio * p0
            terms = [(x1, p1), (n1 - x1, 1 - p1), (x0, p0), (n0 - x0, 1 - p0)]
            return -sum(count * math.log(max(p, 1e-300)) for count, p in terms if count)

        p0 = minimize_scalar(
            loss, bounds=(1e-12, min(1, 1 / ratio) - 1e-12), method="bounded", options={"xatol": 1e-12}
        ).x
        p1, total = ratio * p0, n1 + n0
        variance = (p1 * (1 - p1) / n1 + ratio**2 * p0 * (1 - p0) / n0) * total / (total - 1)
        return (x1 / n1 - ratio * x0 / n0) / math.sqrt(variance)

    for ratio in (0.05, 0.4, 0.9, 1.7):
        assert float(estimates.score_z(x1, n1, x0, n0, ratio)) == pytest.approx(z(ratio), rel=1e-3, abs=1e-3)
    _, high = estimates.score_ratio(x1, n1, x0, n0)
    reference = brentq(lambda ratio: z(ratio) + norm.ppf(0.975), x1 / n1 * n0 / x0 + 1e-9, 50)
    assert float(high) == pytest.approx(reference, rel=1e-3)


@quick
@given(counts())
def test_a_score_interval_holds_its_estimate(data: tuple[int, int, int, int]) -> None:
    """The ratio of the two shares lies within its interval."""
    x1, n1, x0, n0 = data
    low, high = estimates.score_ratio(x1, n1, x0, n0)
    ratio = x1 / n1 / (x0 / n0)
    assert float(low) <= ratio * (1 + 1e-9) + 1e-12
    assert float(high) >= ratio * (1 - 1e-9) - 1e-12


@quick
@given(counts())
def test_ten_times_the_requests_narrow_the_score_interval(data: tuple[int, int, int, int]) -> None:
    """The same shares over ten times as many requests leave less room above."""
    once = estimates.score_ratio(*data)
    often = estimates.score_ratio(*(10 * count for count in data))
    assert float(often[1]) <= float(once[1]) * (1 + 1e-9)
    assert float(often[0]) >= float(once[0]) * (1 - 1e-9)


@quick
@given(counts())
def test_the_score_interval_turns_over_with_the_arms(data: tuple[int, int, int, int]) -> None:
    """Swapping the arms gives the reciprocal interval: no arm is favoured."""
    x1, n1, x0, n0 = data
    low, high = estimates.score_ratio(x1, n1, x0, n0)
    swapped = estimates.score_ratio(x0, n0, x1, n1)
    assert float(swapped[0]) * float(high) == pytest.approx(1, rel=1e-5)
    if x1:
        assert float(swapped[1]) * float(low) == pytest.approx(1, rel=1e-5)


def test_the_control_failures_that_a_reduction_needs() -> None:
    """-ln(.025) / (1 - r), rounded up, for the reductions of the table."""
    found = [estimates.least_control_events(r) for r in (0.40, 0.60, 0.80, 0.90, 0.95, 0.99)]
    assert found == [7, 10, 19, 37, 74, 369]


def test_the_needed_control_failures_are_where_the_score_bound_crosses() -> None:
    """With no treatment failure, about 74 control failures are the least at which the score supports 95 %."""
    lows = {x0: 1 - float(estimates.score_ratio(0, 100_000, x0, 100_000)[1]) for x0 in (60, 74, 90)}
    assert lows[60] < 0.95 < lows[90]
    assert lows[74] == pytest.approx(0.95, abs=0.005)


# ------------------------------------------------------------------------------------------ proportions


@pytest.mark.parametrize(("k", "n"), [(0, 12), (7, 20), (72, 72), (199, 200), (1, 1)])
def test_the_exact_interval_is_scipys(k: int, n: int) -> None:
    """For whole numbers the interval is that of scipy's binomial test."""
    reference = binomtest(k, n).proportion_ci(0.95, "exact")
    found = estimates.exact_share(k, n).floats()
    assert found == pytest.approx((k / n, reference.low, reference.high))


@pytest.mark.parametrize(("share", "least"), [(0.80, 17), (0.90, 36), (0.95, 72), (0.99, 368)])
def test_how_many_successes_in_a_row_show_a_share(share: float, least: int) -> None:
    """All-success samples support a share from the published size on."""
    assert float(estimates.proportion([least], [least]).low) >= share
    assert float(estimates.proportion([least - 1], [least - 1]).low) < share


def test_units_that_fail_together_are_worth_less() -> None:
    """The same 80 of 100 is wider when each trial is all or nothing than when all trials are alike."""
    alike = estimates.proportion([8] * 10, [10] * 10)
    together = estimates.proportion([10] * 8 + [0] * 2, [10] * 10)
    assert float(estimates.effective_size([8] * 10, [10] * 10)) == 100
    assert float(estimates.effective_size([10] * 8 + [0] * 2, [10] * 10)) < 10
    assert float(together.low) < float(alike.low)
    assert float(together.high) > float(alike.high)


@quick
@given(
    st.lists(
        st.integers(1, 40).flatmap(lambda m: st.tuples(st.integers(0, m), st.just(m))),
        min_size=1,
        max_size=15,
    )
)
def test_a_share_lies_within_its_interval(data: list[tuple[int, int]]) -> None:
    """Estimate, bounds and the range from 0 to 1 are in order, and clustering never adds to the sample."""
    events, exposure = zip(*data, strict=True)
    interval = estimates.proportion(events, exposure).floats()
    assert interval is not None
    assert 0 <= interval[1] <= interval[0] <= interval[2] <= 1
    assert float(estimates.effective_size(events, exposure)) <= sum(exposure)


# ------------------------------------------------------------------------------------------ payloads and means


@quick
@given(pairs(2, 30), st.floats(1e-3, 1e6))
def test_a_payload_interval_holds_its_estimate_and_knows_no_unit(
    data: tuple[list[float], list[float]], factor: float
) -> None:
    """The estimate lies within its interval, scaling both arms changes nothing, and the same call gives the same."""
    found = estimates.payload_reduction(*data)
    interval = found.floats()
    assert interval is not None
    assert interval[1] <= interval[0] <= interval[2] <= 1
    scaled = estimates.payload_reduction(*(np.asarray(side) * factor for side in data))
    np.testing.assert_allclose(found.low, scaled.low, rtol=1e-6, atol=1e-6)
    assert estimates.payload_reduction(*data).floats() == interval


def test_payloads_that_shrink_alike_give_no_width_and_no_nan() -> None:
    """Where scipy's BCa gives NaN, the interval is the point itself."""
    found = estimates.payload_reduction([100, 2000, 30_000, 50], [25, 500, 7500, 12.5]).floats()
    assert found == pytest.approx((0.75, 0.75, 0.75))


def test_one_payload_has_no_interval() -> None:
    """A single payload is refused."""
    with pytest.raises(ValueError, match="at least 2 payloads"):
        estimates.payload_reduction([1], [1])


def test_a_mean_is_students() -> None:
    """The interval of a mean is scipy's, and one value is refused."""
    sample = [4.1, 4.4, 3.9, 4.6, 5.0]
    reference = ttest_1samp(sample, 0).confidence_interval(0.95)
    assert estimates.mean(sample).floats() == pytest.approx((4.4, reference.low, reference.high))
    with pytest.raises(ValueError, match="at least 2 trials"):
        estimates.mean([1.0])
