"""How long bytes take to arrive: whole round trips of TCP's slow start, then the line's own speed."""

from __future__ import annotations

from dataclasses import dataclass

#: A sender begins with ten segments (RFC 6928) of what fits into an Ethernet frame, and doubles after each round trip.
FIRST_WINDOW = 10 * 1460
#: Bytes of headers, and of TLS's records around them, that come with every response.
HEADERS = 600


@dataclass(frozen=True)
class Network:
    """A line between server and reader.

    Attributes:
        name: for people.
        round_trip: seconds.
        bandwidth: bytes a second.
    """

    name: str
    round_trip: float
    bandwidth: float


NETWORKS = (
    Network("office (100 Mb/s, 30 ms)", 0.030, 12_500_000),
    Network("mobile (20 Mb/s, 50 ms)", 0.050, 2_500_000),
    Network("far away (2 Mb/s, 150 ms)", 0.150, 250_000),
)


def round_trips(body: int) -> int:
    """Round trips in which a fresh connection delivers a body, its headers included."""
    left, window, trips = body + HEADERS, FIRST_WINDOW, 0
    while left > 0:
        left -= window
        window *= 2
        trips += 1
    return trips


def seconds(body: int, network: Network) -> float:
    """The time until a body is there: each round trip lasts as long as the line takes for its window, if that is longer."""
    left, window, took = body + HEADERS, float(FIRST_WINDOW), 0.0
    while left > 0:
        sent = min(left, window)
        left -= int(sent)
        # The last window need not be waited for by anybody but the reader.
        took += max(network.round_trip if left > 0 else network.round_trip / 2, sent / network.bandwidth)
        window *= 2
    return took
