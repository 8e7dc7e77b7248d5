"""NET-1: the bytes on the wire of each endpoint, headers included, counted at the proxy between client and server."""

from __future__ import annotations

import http.client
import json
import time
import urllib.parse
import zlib
from pathlib import Path

import workbench.demo.stocks
from workbench import arms
from workbench.drills.base import Drill, Task
from workbench.drills.environment import Environment, Size
from workbench.errors import WorkbenchError
from workbench.records import Arm, Evidence, Metric, Trial, Validity
from workbench.run import Depth
from workbench.servers.proxy import Proxy
from workbench.traffic.outcome import decode

#: What today's browsers send; no brotli, which the library treats as an extra.
ACCEPT = "gzip, deflate, zstd"
#: Seconds and bytes that one response may take.
LONGEST, LARGEST = 20.0, 200_000_000
MIX = Path(workbench.demo.stocks.__file__).parent / "payload_mix.json"


def arms_of(environment: Environment, depth: Depth) -> tuple[Arm, ...]:
    both = (arms.control("COMPRESSION"), arms.treatment("COMPRESSION"))
    if depth != "full":
        return both
    stack = ["django.middleware.gzip.GZipMiddleware", *environment.middleware()]
    return (*both, arms.peer("COMPRESSION", "GZipMiddleware", {"MIDDLEWARE": stack}))


def run(environment: Environment, task: Task) -> Trial:
    """GET every endpoint once over a connection of its own, and count what crossed the wire in both directions."""
    size, paths = _endpoints(environment)
    metrics: dict[str, Metric] = {}
    skipped: list[str] = []
    if environment.project.demo:
        environment.quotes()  # one of the endpoints asks it
    with (
        environment.database(size) as dbname,
        environment.web(
            task.arm, dbname, ready_path=paths[0] if environment.project.demo else None, workers=1
        ) as web,
        Proxy((web.host, web.port), name="http", seed=task.seed) as proxy,
    ):
        for path in paths:
            try:
                counted, status, body = _measure(proxy, path)
            except (OSError, http.client.HTTPException, ValueError) as error:
                skipped.append(f"{path}: {type(error).__name__}")
                continue
            if status != 200:
                skipped.append(f"{path} answered {status}")
                continue
            metrics[f"bytes:GET {path}"] = Metric(counted, "bytes")
            if environment.project.demo:
                # Its bodies are the same every time, so that a difference between the arms is a changed meaning.
                metrics[f"body:GET {path}"] = Metric(zlib.crc32(body), "crc")
    if not metrics:
        raise WorkbenchError(
            f"{environment.project.name}: no URL without arguments answered a GET ({'; '.join(skipped[:3])})",
            "give the project an endpoint that answers without login, or measure the demo",
        )
    counts = [metric.value for name, metric in metrics.items() if name.startswith("bytes:")]
    metrics["bytes"] = Metric(sum(counts), "bytes")
    seen = len(counts)
    return Trial(
        id=task.id,
        drill=task.drill,
        block=task.block,
        arm=task.arm.name,
        order=task.order,
        seed=task.seed,
        metrics=metrics,
        evidence=(
            Evidence(
                "none", f"http:{web.port}", len(paths), seen, "responses counted at the proxy", 0.0, 0.0
            ),
        ),
        validity=Validity(manipulated=seen > 0, notes=tuple(skipped)),
    )


def _endpoints(environment: Environment) -> tuple[Size, list[str]]:
    """The demo's frozen mix, or every URL of the project that a plain GET reaches."""
    if environment.project.demo:
        mix = json.loads(MIX.read_text(encoding="utf-8"))
        return Size(**mix["size"]), [entry["path"] for entry in mix["payloads"]]
    with environment.process(arms.control("COMPRESSION"), environment.template()) as process:
        paths = process.call("workbench.guest.probe:plain_paths")
    if not paths:
        raise WorkbenchError(
            f"{environment.project.name} has no URL that takes no argument",
            "measure the demo, or give it such a URL",
        )
    return Size(0), paths


def quoted(path: str) -> str:
    """A path of the URL configuration as it stands in a request line; the demo's frozen paths have their query."""
    head, mark, query = path.partition("?") if "/?" in path else (path, "", "")
    return urllib.parse.quote(head, safe="/") + mark + query


def _read(response: http.client.HTTPResponse) -> bytes:
    """The body, within a total time and size: an endless stream is no payload.

    Raises:
        TimeoutError: it is longer than that.
    """
    deadline = time.monotonic() + LONGEST
    pieces, size = [], 0
    while piece := response.read1(65536):
        pieces.append(piece)
        size += len(piece)
        if size > LARGEST or time.monotonic() > deadline:
            raise TimeoutError(f"more than {LARGEST} bytes or {LONGEST} s")
    return b"".join(pieces)


def _measure(proxy: Proxy, path: str) -> tuple[int, int, bytes]:
    """Bytes on the wire, the status, and the body as the client understands it."""
    before = proxy.counts()
    connection = http.client.HTTPConnection(proxy.host, proxy.port, timeout=LONGEST)
    try:
        connection.request(
            "GET", quoted(path), headers={"Accept-Encoding": ACCEPT, "Accept": "*/*", "Connection": "close"}
        )
        response = connection.getresponse()
        # Closed by hand: after "Connection: close" the socket is the response's, and read1 leaves it open at the end.
        with response:
            raw = _read(response)
        body = decode(raw, response.getheader("Content-Encoding") or "")
    finally:
        connection.close()
    # The last bytes are counted when the proxy has seen the connection's end, a moment after the client read them.
    deadline = time.monotonic() + 5
    while (after := proxy.counts()).open and time.monotonic() < deadline:
        time.sleep(0.005)
    return after.bytes_up + after.bytes_down - before.bytes_up - before.bytes_down, response.status, body


BANDWIDTH = Drill(
    id="bandwidth",
    claims=("NET-1",),
    title="Bytes on the wire of every endpoint, headers included",
    run=run,
    blocks={"quick": 1, "default": 1, "full": 1},
    arms=arms_of,
    seconds=6.0,
    workload={"accept_encoding": ACCEPT},
    demo_only=False,
)
