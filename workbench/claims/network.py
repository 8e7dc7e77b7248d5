"""The claims about the network."""

from __future__ import annotations

from workbench.claims.design import Claim, Design, Limit, PartRule, Payloads, Proportion, single

NETWORK = (
    Claim(
        id="NET-1",
        area="Network",
        published="60–80 % less bandwidth",
        metric="bytes on the wire in both directions, headers included, counted at the proxy",
        unit="bytes",
        population="the project's endpoints, each with the same weight",
        control="Stalwart's part off",
        peer="GZipMiddleware",
        rule='interval low ≥ .60; above .80 is "exceeded"; bootstrap over payloads, at least 6, fewer is inconclusive',
        drill="bandwidth",
        design=single(Payloads("bytes:", 0.60, "fewer bytes", "more bytes", upper=0.80, same="body:")),
    ),
    Claim(
        id="NET-2",
        area="Network",
        published="90 % cache hits with ETags",
        metric="hits ÷ conditional requests; beside it hits ÷ possible hits, and the curve over update rates",
        unit="share of conditional requests",
        population="seeded runs of 1,000 resources, Zipf exponent 1.0, each client revisits with probability .7, one "
        "update per 1,000 requests",
        control="Stalwart's part off",
        peer="ConditionalGetMiddleware",
        rule="proportion ≥ .90; the seeded run is the unit, at least 8",
        design=single(
            Proportion("hits", 0.90, "of conditional requests were hits", "requests", least_trials=8)
        ),
    ),
    Claim(
        id="NET-3",
        area="Network",
        published="25 % smaller JSON payloads",
        metric="identity bytes of the JSON responses in the lossless form; beside it the opt-in form (nulls dropped, "
        "declared rounding), and each after compression",
        unit="bytes",
        population="the demo's payload mix, frozen and hashed before any drill",
        control="DjangoJSONEncoder's default",
        peer="–",
        rule="outcome from the lossless variant: reduction ≥ .25; bootstrap over payloads, at least 6",
        design=single(Payloads("lossless:", 0.25, "smaller JSON", "larger JSON")),
        opt_ins=("null dropping", "rounding"),
    ),
    Claim(
        id="NET-4",
        area="Network",
        published="bandwidth is analysed in real time",
        metric="parts: reported against counted bytes; delay of the report",
        unit="relative error; s",
        population="windows of load on the demo",
        control="–",
        peer="–",
        rule="error ≤ 1 %; ≤ 1 s",
        design=Design(
            (
                PartRule(
                    Limit("report_error", 0.01, "off the counted bytes", "share"),
                    "error",
                    "error of reported bytes",
                ),
                PartRule(
                    Limit("report_delay", 1, "until bytes were reported", "s"), "delay", "delay of the report"
                ),
            )
        ),
    ),
)
