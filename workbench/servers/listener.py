"""The proxy's listening socket, which can refuse connections or leave them unanswered, and come back on its port."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable

LOOPBACK = "127.0.0.1"
BACKLOG = 512


class Listener:
    """Accepts on a loopback port.

    Args:
        port: the port; 0 lets the system choose.
        accepted: called with each accepted, non-blocking socket and its peer's address.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, port: int, accepted: Callable[[socket.socket, tuple[str, int]], None]) -> None:
        self._accepted = accepted
        self._socket: socket.socket | None = None
        self._filler: socket.socket | None = None
        self._filler_address: tuple[str, int] | None = None
        self.port = port
        self.mode = "closed"
        self._listen()
        self.set_mode("open")

    def set_mode(self, mode: str) -> None:
        """Change what new connections meet.

        Args:
            mode: "open"; "refuse", the port is closed, and the system answers with "connection refused"; "silent", new
                connections are never answered, so that the client's connect times out; "closed", as refuse, for good.

        Raises:
            OSError: the port was taken by somebody else while it was refused.
        """
        if mode == self.mode:
            return
        if self._filler is not None:
            self._filler.close()
            self._filler = None
            if self._socket is not None:
                self._socket.listen(BACKLOG)
        if mode in ("refuse", "closed"):
            self._close()
        elif self._socket is None:
            self._listen()
        if mode == "silent":
            self._fall_silent()
        elif mode == "open" and self._socket is not None:
            asyncio.get_running_loop().add_reader(self._socket, self._accept)
        self.mode = mode

    def _listen(self) -> None:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            if sys.platform != "win32":  # there it would let two programs share the port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((LOOPBACK, self.port))
            listener.listen(BACKLOG)
            listener.setblocking(False)
        except OSError:
            listener.close()
            raise
        self._socket = listener
        self.port = listener.getsockname()[1]

    def _close(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
            self._filler_address = None

    def _accept(self) -> None:
        while self._socket is not None:
            try:
                client, address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                # Out of file descriptors, say: the waiting client stays in the queue until the next try.
                loop = asyncio.get_running_loop()
                loop.remove_reader(self._socket)
                loop.call_later(0.1, self._resume)
                return
            if address == self._filler_address:
                self._filler_address = None
                client.close()
                continue
            client.setblocking(False)
            self._accepted(client, address)

    def _resume(self) -> None:
        if self._socket is not None and self.mode == "open":
            asyncio.get_running_loop().add_reader(self._socket, self._accept)

    def _fall_silent(self) -> None:
        """Shrink the accept queue to one place, fill it ourselves, and accept no more.

        Linux then drops every further SYN, as a black hole does, and answers the client's next attempt (after 1 s, 3 s,
        7 s) when the queue has room again. Other systems may complete a few handshakes first: their clients connect
        and get no answer.
        """
        assert self._socket is not None
        self._accept()  # who is in the queue already was there before the fault
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.listen(0)
        self._filler = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._filler.setblocking(False)
        self._filler.connect_ex((LOOPBACK, self.port))
        self._filler_address = self._filler.getsockname()
