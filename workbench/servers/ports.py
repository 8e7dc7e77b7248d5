"""A free TCP port on the loopback interface, outside the range that the system hands to outgoing connections."""

from __future__ import annotations

import random
import socket
from pathlib import Path

from workbench.errors import WorkbenchError

#: Below Linux's default ephemeral range (32768-60999) and the ranges of macOS and Windows (49152-65535). A port taken
#: from the ephemeral range can be given to somebody's outgoing connection while our server is down on purpose.
CANDIDATES = range(20000, 32000)
LOOPBACK = "127.0.0.1"


def ephemeral() -> range:
    """The system's range for outgoing connections; where it cannot be read, the widest default."""
    try:
        low, high = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    except (OSError, ValueError):
        return range(32768, 65536)
    return range(int(low), int(high) + 1)


def is_free(port: int) -> bool:
    """Whether a listener could bind the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Pick a port that nobody listens on now.

    Raises:
        WorkbenchError: when a thousand candidates in a row are taken.
    """
    taken = ephemeral()
    chooser = random.SystemRandom()
    for _ in range(1000):
        port = chooser.choice(CANDIDATES)
        if port not in taken and is_free(port):
            return port
    raise WorkbenchError(
        f"no free TCP port between {CANDIDATES[0]} and {CANDIDATES[-1]} on {LOOPBACK}",
        "close programs that hold many ports, or look for leaked servers with `ps`",
    )
