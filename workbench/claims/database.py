"""The claims about the database."""

from __future__ import annotations

from workbench.claims.design import Claim, Design, Never, PartRule, Proportion, Reduction, single

_RETRIES = ("request retry", "transparent reads", "overdue replies", "pool")

DATABASE = (
    Claim(
        id="DB-1",
        area="Database",
        published="95 % fewer connection-related failures",
        metric="scheduled requests that were not answered correctly within 5 s; rejected, dropped, late and "
        "circuit-open ones count, indeterminate ones are counted both ways",
        unit="share of scheduled requests",
        population="the demo under gunicorn (gthread, 2 workers of 4 threads), persistent connections without health "
        "checks, open loop at 40 requests/s of which 25 % are orders; every trial holds each fault kind once, in "
        "seeded order: back ends terminated, whole server killed and restarted, TCP reset, blackhole, slots exhausted",
        control="Stalwart's part off",
        peer="CONN_HEALTH_CHECKS and tenacity around the view (full jitter, stop after 4 s)",
        rule="reduction ≥ .95; the paired interval and the score interval must both lie above, with indeterminate "
        "requests counted as failures and as successes; at least 8 pairs and 74 failures in the control arm, fewer "
        "is inconclusive; one violation of the bank invariant in the treatment arm refutes",
        drill="connection-loss",
        design=single(
            Reduction(
                metric="failures",
                threshold=0.95,
                fewer="fewer failed requests",
                more="more failed requests",
                counted=True,
                unknown="failures_if_unknown_succeeded",
                events="failures",
                least_pairs=8,
                least_control_events=74,
            )
        ),
        opt_ins=_RETRIES,
    ),
    Claim(
        id="DB-2",
        area="Database",
        published="80 % of transient database errors recover by retry",
        metric="injected transient errors after which the operation took effect exactly once within its deadline",
        unit="share of injected errors that were seen",
        population="deadlocks, serialization failures, lock time-outs, lost connections, restarts",
        control="Stalwart's part off",
        peer="tenacity around atomic",
        rule="proportion ≥ .80; exact interval at the effective sample size; at least 3 trials, fewer is inconclusive",
        drill="transient-errors",
        design=single(Proportion("recovered", 0.80, "of transient errors recovered", "injected errors")),
        opt_ins=_RETRIES,
    ),
    Claim(
        id="DB-3",
        area="Database",
        published="40 % less database-related memory",
        metric="peak of allocated memory, with the growth of resident memory as check",
        unit="bytes",
        population="the demo's heavy database workloads: exports, list pages, a long-lived worker",
        control="Stalwart's part off",
        peer=".iterator()",
        rule="reduction ≥ .40; at least 8 pairs",
        design=single(
            Reduction("peak_memory", 0.40, "less peak memory", "more peak memory", check="rss_growth")
        ),
    ),
    Claim(
        id="DB-4",
        area="Database",
        published="60 % better connection efficiency",
        metric="time spent obtaining a usable connection, at equal throughput; the server connections held are shown "
        "beside it. The merit is that of Django's own pool setting, switched on and checked by us",
        unit="s per request",
        population="requests to the demo",
        control="CONN_MAX_AGE=0",
        peer="persistent connections",
        rule="reduction ≥ .60; at least 8 pairs",
        drill="connection-efficiency",
        design=single(
            Reduction(
                "acquire_time", 0.60, "less time to a usable connection", "more time to a usable connection"
            )
        ),
        opt_ins=("pool",),
    ),
    Claim(
        id="DB-5",
        area="Database",
        published="slow queries are detected, with suggestions",
        metric="parts: planted slow queries found; clean queries flagged; suggestions measured before and after",
        unit="share of queries",
        population="at least 72 planted slow queries and 72 clean ones",
        control="Stalwart's part off",
        peer="–",
        rule="recall ≥ .95; false ≤ .05; all measured",
        drill="slow-queries",
        design=Design(
            (
                PartRule(
                    Proportion("planted_found", 0.95, "of planted slow queries found", "planted queries"),
                    "recall",
                    "planted slow queries found",
                    "detection",
                ),
                PartRule(
                    Proportion(
                        "clean_flagged", 0.05, "of clean queries flagged", "clean queries", at_most=True
                    ),
                    "false",
                    "clean queries flagged",
                    "detection",
                ),
                PartRule(
                    Never(
                        "suggestions_unmeasured",
                        "suggestions without a measurement",
                        "suggestions",
                        1,
                        "of suggestions measured",
                    ),
                    "measured",
                    "suggestions measured",
                    "measured",
                ),
            )
        ),
    ),
)
