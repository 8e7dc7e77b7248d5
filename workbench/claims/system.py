"""The claims about the system as a whole."""

from __future__ import annotations

from workbench.claims.design import Claim, Design, Limit, Never, PartRule, Proportion, Reduction, single


def _slope(metric: str, limit: float, unit: str, label: str) -> PartRule:
    return PartRule(Limit(metric, limit, f"growth of {label}", unit), metric, label)


_PER_THOUSAND = "per 1,000 requests"

SYSTEM = (
    Claim(
        id="SYS-1",
        area="System",
        published="100 % reliable cleanup on shutdown",
        metric="shutdowns in which a hook did not run once per process, a request in flight was lost, or a server "
        "connection, temp file or thread stayed",
        unit="violations",
        population="SIGTERM under load on the eleven server modes, pooled; the matrix by mode is shown",
        control="Stalwart's part off",
        peer="–",
        rule="zero violations in ≥ 220 pooled trials (full depth); upper bound printed; per-mode matrix",
        design=single(Never("unclean", "unclean shutdowns", "shutdowns", 220)),
    ),
    Claim(
        id="SYS-2",
        area="System",
        published="zero resource leaks",
        metric="parts: slopes of descriptors, threads, connections, sockets and temp files; of resident memory",
        unit="per 1,000 requests; MiB/min",
        population="a soak under load",
        control="Stalwart off",
        peer="–",
        rule="upper bound of each slope below its margin: < 1 per 1,000 requests, resident memory < 1 MiB/min",
        design=Design(
            (
                _slope("descriptors", 1, _PER_THOUSAND, "descriptors"),
                _slope("threads", 1, _PER_THOUSAND, "threads"),
                _slope("connections", 1, _PER_THOUSAND, "connections"),
                _slope("sockets", 1, _PER_THOUSAND, "sockets"),
                _slope("temp_files", 1, _PER_THOUSAND, "temp files"),
                _slope("rss", 1, "MiB/min", "resident memory"),
            )
        ),
    ),
    Claim(
        id="SYS-3",
        area="System",
        published="health is validated around the clock",
        metric="parts: delay until the slowest of the injected conditions is reported; false alarms",
        unit="s; alarms",
        population="injected conditions: database down, demoted primary, disk, memory, dependency",
        control="–",
        peer="–",
        rule="≤ 20 s; 0",
        design=Design(
            (
                PartRule(
                    Limit("slowest_report", 20, "until the slowest condition was reported", "s"),
                    "reported",
                    "all conditions reported",
                ),
                PartRule(Never("false_alarms", "false alarms", "quiet windows"), "false", "false alarms"),
            )
        ),
    ),
    Claim(
        id="SYS-4",
        area="System",
        published="70 % fewer production incidents",
        metric="windows of 20 s that break the objective (99 % good, p95 limit)",
        unit="share of windows",
        population="a simulated game day with a random fault schedule",
        control="Stalwart off",
        peer="–",
        rule="reduction ≥ .70; at least 8 pairs and 13 broken windows in the control arm",
        design=single(
            Reduction(
                "broken_windows",
                0.70,
                "fewer windows that break the objective",
                "more windows that break the objective",
                counted=True,
                events="broken windows",
                least_control_events=13,
            )
        ),
    ),
    Claim(
        id="SYS-5",
        area="System",
        published="zero-downtime restarts, no data loss",
        metric="parts for each server mode: failed requests; lost orders",
        unit="requests; orders",
        population="rolling restarts under load; modes where a lame duck is impossible run with the documented "
        "preStop delay, and say so",
        control="Stalwart's part off",
        peer="–",
        rule="0; 0",
        design=Design(
            (
                PartRule(
                    Never("failed", "failed requests", "requests"), "failed", "failed requests", each=True
                ),
                PartRule(Never("lost_orders", "lost orders", "orders"), "lost", "lost orders", each=True),
            )
        ),
    ),
    Claim(
        id="SYS-6",
        area="System",
        published="degradation is detected, and recovers by itself",
        metric="parts: delay of the detection; false alarms; return to the baseline",
        unit="s; share of windows; episodes",
        population="injected slow-downs: at least 72 windows with and 72 without",
        control="Stalwart's part off",
        peer="–",
        rule="≤ 30 s; ≤ .05; returns",
        design=Design(
            (
                PartRule(
                    Limit("detection_delay", 30, "until the slow-down was reported", "s"),
                    "delay",
                    "delay of detection",
                ),
                PartRule(
                    Proportion("false_alarms", 0.05, "of quiet windows flagged", "windows", at_most=True),
                    "false",
                    "false alarms",
                ),
                PartRule(
                    Never("not_returned", "episodes without return to the baseline", "episodes"),
                    "return",
                    "return to the baseline",
                ),
            )
        ),
        opt_ins=("remedies",),
    ),
    Claim(
        id="SYS-7",
        area="System",
        published="works beside what is there, nothing broken, stable",
        metric="parts: responses whose status or meaning differ; fault-free latency",
        unit="responses; s",
        population="the demo and real third-party projects, in three arms: absent (project untouched), off, on",
        control="absent: the project untouched",
        peer="–",
        rule="identical; p50 ≤ 5 % worse, p95 ≤ max(10 %, 1 ms) worse",
        design=Design(
            (
                PartRule(
                    Never("differing", "differing responses", "responses"), "identical", "identical responses"
                ),
                PartRule(
                    Reduction("p50", -0.05, "less median latency", "more median latency", baseline="absent"),
                    "p50",
                    "median latency",
                ),
                PartRule(
                    # The drill subtracts max(1.10 × p95, p95 + 1 ms) of the absent arm, so that one limit is left.
                    Limit("p95_excess", 0, "of p95 beyond what is allowed", "s"),
                    "p95",
                    "95th percentile of latency",
                ),
            )
        ),
    ),
    Claim(
        id="SYS-8",
        area="System",
        published="stable under varying load, graceful under overload",
        metric="parts: good answers per second at overload against the peak; time to return to the baseline p95; "
        "rejections without 503 and Retry-After",
        unit="share of the peak; s; responses",
        population="load steps to 3 × capacity and back",
        control="Stalwart's part off",
        peer="–",
        rule="≥ .80 of the peak; ≤ 10 s; all",
        design=Design(
            (
                PartRule(
                    Limit("goodput", 0.80, "of the peak at overload", "share", at_least=True),
                    "goodput",
                    "good answers at overload",
                ),
                PartRule(
                    Limit("return_time", 10, "until the baseline was back", "s"),
                    "return",
                    "return to the baseline",
                ),
                PartRule(
                    Never("rude", "rejections without 503 and Retry-After", "rejections"),
                    "rejections",
                    "well-formed rejections",
                ),
            )
        ),
        opt_ins=("load shedding",),
    ),
)
