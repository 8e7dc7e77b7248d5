"""The load process: reads the requests, says `ready`, is told when the schedule starts, sends, writes one reply a line.

It is started by `workbench.traffic.Load`. The clock is `time.monotonic()`, which on Linux is the same for all processes
(CLOCK_MONOTONIC; so it is on macOS and Windows, the latter with steps of 16 ms before Python 3.13), so the
start time that the driver names means the same moment here.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
from collections.abc import Sequence
from pathlib import Path

from workbench.traffic.client import OpenLoop, Pool
from workbench.traffic.records import Reply, Request, read_requests, to_line


def allow_files(count: int) -> None:
    """Raise the limit of open files to what the sockets need, as far as the system lets us."""
    try:
        import resource
    except ImportError:  # Windows has no such limit on sockets
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def send(requests: Sequence[Request], options: argparse.Namespace, zero: float) -> None:
    """Send the schedule; each reply is in the file as soon as it is known, so that a crash loses none of them."""
    with options.out.open("w", encoding="utf-8", newline="\n", buffering=1) as lines:

        def report(reply: Reply) -> None:
            lines.write(to_line(reply))

        pool = Pool(options.host, options.port, options.connections)
        try:
            await OpenLoop(pool, report, max_in_flight=options.max_in_flight, zero=zero).run(requests)
        finally:
            pool.close()


def main() -> int:
    """The process's entry; its exit code is 0 when every scheduled request has its reply in the file."""
    parser = argparse.ArgumentParser(prog="python -m workbench.traffic", description="Open-loop HTTP load.")
    parser.add_argument(
        "plan", type=Path, help="requests, one JSON object a line, in the order of their times"
    )
    parser.add_argument("out", type=Path, help="where the replies go, one JSON object a line")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--max-in-flight", type=int, required=True)
    parser.add_argument(
        "--connections", type=int, required=True, help="idle connections that are kept; 0 for none"
    )
    options = parser.parse_args()
    requests = read_requests(options.plan)
    allow_files(options.max_in_flight + options.connections + 64)
    gc.collect()
    gc.freeze()  # the plan never becomes garbage; walking it again and again would make the generator late
    print("ready", flush=True)
    word = sys.stdin.readline()
    if not word:
        return 1  # the driver ended before it named a start
    try:
        asyncio.run(send(requests, options, float(word)))
    except BaseExceptionGroup as group:  # the driver shows the last line of a plain traceback
        raise group.exceptions[0] from None
    return 0


if __name__ == "__main__":
    sys.exit(main())
