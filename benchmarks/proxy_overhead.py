"""What the TCP fault proxy costs when no fault is switched on: round trips and throughput, beside a plain relay.

Run it with `python benchmarks/proxy_overhead.py`. Paths are measured in random order within each block (interleaved), so
that a slow moment of the machine falls on all of them; a ratio is taken within a block, against the direct path. Printed
are medians over the blocks, with a 95 % interval for the median from order statistics. `socat`, when found on PATH, is
the peer: a relay written in C that can do no faults.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from math import comb

from workbench.servers.ports import LOOPBACK, free_port
from workbench.servers.proxy import Proxy
from workbench.servers.watchdog import Watchdog

#: What one byte of the client asks the server for.
REPLIES = {b"1": b"x", b"4": b"x" * 4096}
CHUNK = bytes(1 << 18)
PATIENCE = 60.0


def serve() -> None:
    """Be the server: answer each byte with its reply; `s` and eight digits ask for so many bytes."""
    listener = socket.create_server((LOOPBACK, 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=answer, args=(client,), daemon=True).start()


def answer(client: socket.socket) -> None:
    """Serve one connection of the server."""
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with client, contextlib.suppress(OSError):
        while asked := client.recv(9):
            if asked[:1] == b"s":
                left = int(asked[1:])
                while left:
                    left -= client.send(memoryview(CHUNK)[: min(left, len(CHUNK))])
            else:
                client.sendall(REPLIES[asked])


def connect(port: int) -> socket.socket:
    """A connection to one of the paths."""
    client = socket.create_connection((LOOPBACK, port), PATIENCE)
    client.settimeout(None)  # a timeout would add a poll() to every call, on all paths
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def round_trips(client: socket.socket, ask: bytes, count: int) -> list[float]:
    """Seconds that each of `count` questions took until the whole reply was there."""
    size = len(REPLIES[ask])
    took = []
    for _ in range(count):
        began = time.perf_counter()
        client.sendall(ask)
        left = size
        while left:
            piece = client.recv(left)
            if not piece:
                raise ConnectionError("the path ended in the middle of a reply")
            left -= len(piece)
        took.append(time.perf_counter() - began)
    return took


def throughput(client: socket.socket, size: int) -> float:
    """MB/s (10**6 bytes) of one long reply."""
    buffer = bytearray(1 << 20)
    began = time.perf_counter()
    client.sendall(b"s%08d" % size)
    left = size
    while left:
        got = client.recv_into(buffer, min(left, len(buffer)))
        if not got:
            raise ConnectionError("the path ended in the middle of a reply")
        left -= got
    return size / (time.perf_counter() - began) / 1e6


def median_interval(values: list[float]) -> tuple[float, float, float]:
    """The median and an interval that covers the true one with at least 95 % (order statistics)."""
    ordered, n = sorted(values), len(values)
    rank = 0
    while 2 * sum(comb(n, k) for k in range(rank + 1)) / 2**n <= 0.05:
        rank += 1
    low = max(rank - 1, 0)
    return statistics.median(ordered), ordered[low], ordered[n - 1 - low]


@contextlib.contextmanager
def started(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A helper process that ends with the block, or with us."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        Watchdog.current().guard(process.pid)
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            Watchdog.current().release(process.pid)


def wait_for(port: int) -> None:
    """Wait until somebody listens."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection((LOOPBACK, port), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


@contextlib.contextmanager
def all_paths() -> Iterator[dict[str, int]]:
    """The ports of the paths to one server: direct, through the proxy, through the peer."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(started([sys.executable, __file__, "--serve"]))
        assert server.stdout is not None
        port = int(server.stdout.readline())
        proxy = stack.enter_context(Proxy((LOOPBACK, port)))
        paths = {"direct": port, "proxy": proxy.port}
        socat = shutil.which("socat")
        if socat is not None:
            paths["socat"] = free_port()
            listen = f"TCP-LISTEN:{paths['socat']},bind={LOOPBACK},fork,reuseaddr,nodelay"
            stack.enter_context(
                started([socat, "-b", str(1 << 17), listen, f"TCP:{LOOPBACK}:{port},nodelay"])
            )
            wait_for(paths["socat"])
        yield paths


def measure(blocks: int, count: int, megabytes: int, seed: int) -> dict[str, dict[str, list[float]]]:
    """All measures of all paths: measure -> path -> one value per block."""
    measures: dict[str, Callable[[socket.socket], dict[str, float]]] = {
        "1 byte": lambda client: percentiles(round_trips(client, b"1", count)),
        "4 KB reply": lambda client: percentiles(round_trips(client, b"4", count)),
        "throughput": lambda client: {"MB/s": throughput(client, megabytes * 1_000_000)},
    }
    chooser = random.Random(seed)
    values: dict[str, dict[str, list[float]]] = {}
    with all_paths() as paths, contextlib.ExitStack() as stack:
        clients = {path: stack.enter_context(connect(port)) for path, port in paths.items()}
        for client in clients.values():
            round_trips(client, b"1", 200)  # warm up
        for _ in range(blocks):
            for measure_name, run in measures.items():
                for path in chooser.sample(list(clients), len(clients)):
                    for unit, value in run(clients[path]).items():
                        values.setdefault(f"{measure_name}, {unit}", {}).setdefault(path, []).append(value)
    return values


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Median and 99th percentile in microseconds."""
    ordered = sorted(seconds)
    return {"median µs": statistics.median(ordered) * 1e6, "p99 µs": ordered[int(len(ordered) * 0.99)] * 1e6}


def show(values: dict[str, dict[str, list[float]]]) -> list[dict[str, object]]:
    """Print the table; return its rows."""
    rows: list[dict[str, object]] = []
    print(f"{'measure':24} {'path':8} {'median [95 % interval]':30} {'ratio to direct':26} {'added':>10}")
    for measure_name, paths in values.items():
        for path in sorted(paths, key=lambda path: path != "direct"):
            series = paths[path]
            middle, low, high = median_interval(series)
            ratio = [a / b for a, b in zip(series, paths["direct"], strict=True)]
            added = statistics.median(a - b for a, b in zip(series, paths["direct"], strict=True))
            r, r_low, r_high = median_interval(ratio)
            of_direct = "" if path == "direct" else f"{r:.2f} [{r_low:.2f}, {r_high:.2f}]"
            extra = "" if path == "direct" or "MB/s" in measure_name else f"{added:.1f} µs"
            print(
                f"{measure_name:24} {path:8} {f'{middle:.1f} [{low:.1f}, {high:.1f}]':30} {of_direct:26} {extra:>10}"
            )
            rows.append(
                {
                    "measure": measure_name,
                    "path": path,
                    "median": middle,
                    "interval": [low, high],
                    "ratio": [r, r_low, r_high],
                    "added": added,
                    "blocks": len(series),
                }
            )
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--blocks", type=int, default=30, help="blocks; each measures every path once (30)")
    parser.add_argument("--count", type=int, default=500, help="round trips per path and block (500)")
    parser.add_argument("--megabytes", type=int, default=50, help="size of the long reply, at most 99 (50)")
    parser.add_argument("--seed", type=int, default=0, help="of the order of the paths (0)")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON as well")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
    if not 1 <= options.megabytes <= 99 or options.blocks < 6 or options.count < 100:
        parser.error(
            "needs 1 to 99 megabytes, at least 6 blocks (for the interval) and 100 round trips (for the p99)"
        )
    print(
        f"{options.blocks} blocks of {options.count} round trips, {os.cpu_count()} CPUs, Python {sys.version.split()[0]}"
    )
    if shutil.which("socat") is None:
        print("socat is not on PATH: no peer in this run (Debian: apt-get install socat)")
    rows = show(measure(options.blocks, options.count, options.megabytes, options.seed))
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
