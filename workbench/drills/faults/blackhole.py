"""Everything sent over the network vanishes, unanswered: a middle box has lost its state or hangs.

The box goes on acknowledging, so neither side's keep-alives notice. Of what healing makes of streams that lost bytes, the
harsher of the two things that real boxes do is taken: they are not reset, they stay open and silent for ever, their end
included. The server keeps their sessions too, with whatever they had locked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from workbench.drills.faults.bite import Bite, Target


@contextmanager
def blackhole(target: Target) -> Iterator[Bite]:
    """Read and throw away what comes on open and new connections; on exit those that lost nothing go on, and new ones work."""
    assert target.proxy is not None, "a black hole needs the proxy between application and server"
    proxy = target.proxy
    bite = Bite("connections")
    before = proxy.counts()
    with proxy.toxic("blackhole", name="blackhole", stream="both", mode="discard", then="silence"):
        try:
            yield bite
        finally:
            after = proxy.counts()
            # What was open at the onset, and what was opened since.
            bite.injected = before.open + after.accepted - before.accepted
            bite.seen = after.lossy - before.lossy
            bite.detail["bytes_discarded"] = after.bytes_discarded - before.bytes_discarded
