"""The claims about errors and recovery."""

from __future__ import annotations

from workbench.claims.design import Claim, Design, Limit, Never, PartRule, Proportion, Reduction, single

ERRORS = (
    Claim(
        id="ERR-1",
        area="Errors",
        published="90 % of transient errors recover automatically",
        metric="injected transient errors after which the operation took effect exactly once within its deadline",
        unit="share of injected errors that were seen",
        population="transient errors of the database, the cache and an external HTTP service (5xx, reset, time-out)",
        control="Stalwart's part off",
        peer="stamina",
        rule="proportion ≥ .90; at least 3 trials",
        design=single(Proportion("recovered", 0.90, "of transient errors recovered", "injected errors")),
    ),
    Claim(
        id="ERR-2",
        area="Errors",
        published="breakers stop cascades",
        metric="parts: bystander requests answered well (endpoints that do not use the dependency); calls made to it",
        unit="share of requests; calls",
        population="the demo's requests while one dependency hangs",
        control="Stalwart's part off",
        peer="pybreaker",
        rule="≥ .99; reduction ≥ .90",
        design=Design(
            (
                PartRule(
                    Proportion(
                        "bystanders_good", 0.99, "of bystander requests good", "requests", least_trials=8
                    ),
                    "bystanders",
                    "bystander requests",
                ),
                PartRule(
                    Reduction("dependency_calls", 0.90, "fewer calls to it", "more calls to it"),
                    "calls",
                    "calls to the hanging dependency",
                ),
            )
        ),
    ),
    Claim(
        id="ERR-3",
        area="Errors",
        published="patterns are detected",
        metric="parts: pairwise F1 of the grouping; delay until a spike is an event",
        unit="F1; s",
        population="an error corpus labelled by construction, half of it never used while building",
        control="–",
        peer="grouping by message",
        rule="F1 ≥ .95; ≤ 60 s",
        design=Design(
            (
                PartRule(
                    Limit("grouping_f1", 0.95, "pairwise F1 of the grouping", "", at_least=True),
                    "grouping",
                    "grouping of errors",
                ),
                PartRule(
                    Limit("spike_delay", 60, "until a spike was an event", "s"), "spike", "delay of a spike"
                ),
            )
        ),
    ),
    Claim(
        id="ERR-4",
        area="Errors",
        published="80 % less manual intervention",
        metric="stuck-prone episodes from which the service is not back by itself 30 s after the fault healed; when "
        "plain Django recovers too, the claim is void",
        unit="share of episodes",
        population="a simulated game day: hung worker on a dead socket, poisoned persistent connection, exhausted "
        "pool, wedged dependency",
        control="Stalwart off",
        peer="–",
        rule="reduction ≥ .80; at least 8 pairs and 19 stuck episodes in the control arm",
        design=single(
            Reduction(
                "stuck",
                0.80,
                "fewer episodes that need a hand",
                "more episodes that need a hand",
                counted=True,
                events="stuck episodes",
                least_control_events=19,
            )
        ),
    ),
    Claim(
        id="ERR-5",
        area="Errors",
        published="external services fail over",
        metric="parts: failed calls while the primary is killed under load; time to switch; return after heal",
        unit="share of calls; s; episodes",
        population="calls to an external HTTP service with a stand-by",
        control="Stalwart's part off",
        peer="–",
        rule="≤ 1 %; ≤ 1 s; returns",
        design=Design(
            (
                PartRule(
                    Proportion(
                        "calls_failed", 0.01, "of calls failed", "calls", at_most=True, least_trials=8
                    ),
                    "failed",
                    "failed calls",
                ),
                PartRule(
                    Limit("switch_time", 1, "until the stand-by was used", "s"), "switch", "time to switch"
                ),
                PartRule(
                    Never("not_returned", "episodes without return to the primary", "episodes"),
                    "return",
                    "return to the primary",
                ),
            )
        ),
    ),
    Claim(
        id="ERR-6",
        area="Errors",
        published="90 % of issues resolve without manual intervention",
        metric="episodes that the treatment resolves by itself",
        unit="share of episodes",
        population="the same simulated game day as ERR-4",
        control="–",
        peer="–",
        rule="proportion ≥ .90; at least 3 trials",
        design=single(Proportion("resolved", 0.90, "of episodes resolved by themselves", "episodes")),
    ),
)
