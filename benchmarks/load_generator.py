"""How many requests per second one load process sends on time, against a trivial application under gunicorn.

    python benchmarks/load_generator.py [--rates 250,500,1000] [--seconds 5] [--workers 1] [--seed 1]

Generator and server share the machine, as they do in a trial. A rate is sustained when 99 in 100 requests left less
than 5 ms after their intended time and all were answered. Where `wrk` is on PATH, it says what the server can do at most
(closed loop, so its latencies leave out the waiting that it caused itself).
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import subprocess
import tempfile
from pathlib import Path

from workbench.servers.web import GunicornServer
from workbench.traffic import Load, Request, Summary, arrivals

LIMIT = 0.005
APP = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", "15")])
    return [b'{"hello": true}']
"""


def measure(
    server: GunicornServer, rate: float, seconds: float, seed: int, out: Path
) -> tuple[Summary, float]:
    """One load; its numbers, and the processor seconds that the generator used per second of load."""
    requests = [Request(str(n), at, "GET", "/", "read") for n, at in enumerate(arrivals(rate, seconds, seed))]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with Load(server.host, server.port, requests, out=out) as load:
        load.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return load.summary(), used / seconds


def cross_check(server: GunicornServer, seconds: float) -> str:
    """The server's closed-loop throughput as wrk sees it."""
    if shutil.which("wrk") is None:
        return "wrk is not on PATH: no cross-check"
    said = subprocess.run(
        ["wrk", "-t1", "-c8", f"-d{max(int(seconds), 1)}s", server.url],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    return f"wrk, 8 connections, closed loop: {found[1] if found else '?'} requests/s at most"


def main() -> None:
    """Print one row for each rate, and the highest rate that was sustained with all those below it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--rates", default="100,250,500,750,1000,1500,2000", help="requests per second, rising"
    )
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sustained: float | None = None
    failed = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "trivial.py").write_text(APP)
        with GunicornServer("trivial:application", cwd=folder, env={}, workers=options.workers) as server:
            print(
                f"{os.cpu_count()} processors, load before {os.getloadavg()[0]:.1f}; {options.seconds:g} s each"
            )
            print("requests/s      ok  dropped  failed  late p99 ms   latency p50 / p99 ms   generator CPU")
            for rate in (float(word) for word in options.rates.split(",")):
                result, used = measure(server, rate, options.seconds, options.seed, folder / "replies.jsonl")
                late = result.lateness_p99 or 0.0
                counts = result.outcomes
                print(
                    f"{rate:10g} {counts['ok']:7d} {counts['dropped']:8d} {counts['failed']:7d} {late * 1e3:15.2f}   "
                    f"{(result.latency_p50 or 0) * 1e3:12.2f} / {(result.latency_p99 or 0) * 1e3:.2f} {used:14.0%}",
                    flush=True,
                )
                failed = failed or late >= LIMIT or counts["ok"] != result.total
                if not failed:
                    sustained = rate
            print(cross_check(server, options.seconds))
    print(f"sustained with p99 lateness below {LIMIT * 1e3:g} ms: {sustained or 'none'} requests/s")


if __name__ == "__main__":
    main()
