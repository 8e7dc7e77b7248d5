"""The proxy's own process: `python -m workbench.servers.proxy_process`, started by `workbench.servers.proxy.Proxy`.

It reads one JSON line from its standard input (the control token comes that way too: arguments and environment can be
read by others), answers with one JSON line on its standard output, and serves until the input ends, which it does
however its owner ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from workbench.servers.control import Control
from workbench.servers.eventlog import EventLog
from workbench.servers.hub import ProxyHub
from workbench.servers.listener import LOOPBACK

#: How often to look whether the owner is still the parent, seconds: a process that the owner has forked may keep the
#: other end of our input open after the owner's death.
PARENT_CHECK = 0.5
CLOSE_WITHIN = 2.0


async def serve(config: dict[str, Any]) -> int:
    """Run the proxy until the owner is gone or sends SIGTERM; returns the exit code."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    events = EventLog(Path(config["log"]))
    host, port = config["upstream"]
    try:
        hub = ProxyHub(config["name"], (host, port), port=config["port"], seed=config["seed"], events=events)
    except OSError as error:
        _answer(error=f"cannot listen on {LOOPBACK}:{config['port']}: {error}")
        events.close()
        return 3
    server = await asyncio.start_server(Control(hub, config["token"]).serve, LOOPBACK, 0)
    if sys.platform != "win32":
        loop.add_signal_handler(signal.SIGTERM, stop.set)
    threading.Thread(target=_wait_for_end_of_input, args=(loop, stop), daemon=True).start()
    _answer(port=hub.port, control=server.sockets[0].getsockname()[1])
    while not stop.is_set() and _owner_lives(config["owner"]):
        try:
            await asyncio.wait_for(stop.wait(), PARENT_CHECK)
        except TimeoutError:
            continue
    server.close()
    hub.close()
    deadline = loop.time() + CLOSE_WITHIN
    while not hub.idle and loop.time() < deadline:
        await asyncio.sleep(0.005)
    hub.log("stop", **hub.counts())
    events.close()
    return 0


def _answer(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


def _owner_lives(owner: int) -> bool:
    return sys.platform == "win32" or os.getppid() == owner


def _wait_for_end_of_input(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    # The raw descriptor: a buffered reader's lock, held here for ever, would trip the interpreter's shutdown.
    try:
        while os.read(0, 4096):
            pass
    except OSError:
        pass  # as good as its end
    with suppress(RuntimeError):  # the loop is closed already
        loop.call_soon_threadsafe(stop.set)


def _raise_file_limit() -> None:
    """Two descriptors per connection: the usual soft limit of 1024 would be reached at 500 clients."""
    if sys.platform == "win32":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # macOS names a hard limit that it does not grant; the soft one stays
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> int:
    """Read the configuration and serve."""
    # A Ctrl-C in the terminal is the owner's affair: it heals first, and then closes our input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    line = sys.stdin.buffer.readline()
    if not line:
        return 0  # the owner died before it said what to do
    _raise_file_limit()
    # The same loop everywhere: Windows' default one has no add_reader.
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(serve(json.loads(line)))


if __name__ == "__main__":
    sys.exit(main())
