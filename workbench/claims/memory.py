"""The claims about memory."""

from __future__ import annotations

from workbench.claims.design import Claim, Design, Limit, PartRule, Proportion, Reduction, single

#: Three: allocated bytes repeat nearly exactly, and the t quantile of three pairs (4.30) pays for so few.
_LEAST_PAIRS = 3


def _rows(count: int) -> PartRule:
    return PartRule(
        Reduction(
            "peak_memory",
            0.70,
            "less peak memory",
            "more peak memory",
            least_pairs=_LEAST_PAIRS,
            same=("rows", "checksum"),
            check="rss_growth",
        ),
        name=f"rows-{count}",
        label=f"{count:,} rows",
        trials=f"rows-{count}",
    )


def _pool(name: str, label: str) -> PartRule:
    rule = Reduction("acquire_use_release", 0.50, "less time per use", "more time per use")
    return PartRule(rule, name=name, label=label, trials=name)


MEMORY = (
    Claim(
        id="MEM-1",
        area="Memory",
        published="35 % better cleanup efficiency",
        metric="garbage-collection pause; rail: peak resident memory not more than 10 % worse",
        unit="s per 1,000 requests",
        population="requests to the demo with a realistic long-lived heap",
        control="Stalwart's part off",
        peer="gc.freeze() alone",
        rule="reduction ≥ .35; peak resident memory not > 10 % worse; at least 8 pairs",
        design=single(
            Reduction("gc_pause", 0.35, "less collection pause", "more collection pause"),
            rails=(
                PartRule(
                    Reduction("peak_rss", -0.10, "less resident memory", "more resident memory"),
                    "peak_rss",
                    "peak resident memory",
                ),
            ),
        ),
    ),
    Claim(
        id="MEM-2",
        area="Memory",
        published="50 % less object-allocation overhead (pools)",
        metric="time for one acquire, use and release, against constructing anew",
        unit="s",
        population="parts: compressors; 1 MiB buffers; compiled parsers and templates. Plain objects are run as a "
        "check of the method: there pooling must come out worse",
        control="construct anew",
        peer="a pool on queue.Queue",
        rule="each part: reduction ≥ .50; at least 8 pairs",
        design=Design(
            (
                _pool("compressors", "compressors"),
                _pool("buffers", "1 MiB buffers"),
                _pool("parsers", "compiled parsers and templates"),
            )
        ),
    ),
    Claim(
        id="MEM-3",
        area="Memory",
        published="leaks and pressure are detected in real time",
        metric="parts: delay from the onset of pressure to the event; windows until a planted leak is found; false events",
        unit="s; windows; share of windows",
        population="planted leaks of 1 MB/min (objects, descriptors, threads), and at least 72 leak-free windows",
        control="Stalwart's part off",
        peer="–",
        rule="≤ 5 s; ≤ 3 windows; ≤ .05",
        design=Design(
            (
                PartRule(
                    Limit("pressure_delay", 5, "from the onset of pressure to the event", "s"),
                    "delay",
                    "delay of the pressure event",
                ),
                PartRule(
                    Limit("leak_windows", 3, "until a planted leak was found", "windows"),
                    "leaks",
                    "planted leaks found",
                ),
                PartRule(
                    Proportion("false_events", 0.05, "of leak-free windows flagged", "windows", at_most=True),
                    "false",
                    "false events",
                ),
            )
        ),
    ),
    Claim(
        id="MEM-4",
        area="Memory",
        published="70 % less memory for large datasets",
        metric="peak of allocated memory from the first row to the last, with the growth of resident memory as check",
        unit="bytes",
        population="querysets of 10⁵ and of 10⁶ rows, one part each; both arms must see the same rows",
        control="list(queryset)",
        peer=".iterator()",
        rule="reduction ≥ .70; for each part at least 3 pairs, fewer is inconclusive",
        drill="large-querysets",
        design=Design((_rows(100_000), _rows(1_000_000))),
    ),
)
