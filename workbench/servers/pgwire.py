"""PostgreSQL's wire protocol as far as a proxy needs it: where each message starts and ends, and the head of some.

The framers count through messages. They keep at most a header and `HEAD` bytes of one watched message, whatever length
the message claims to have, so that hostile input cannot make them grow. Whatever does not look like PostgreSQL, or is
encrypted, turns the conversation opaque: its bytes are relayed all the same, but nothing in it is recognised any more.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

#: Bytes of a watched message's body that are kept: enough for a command tag or the first words of a statement.
HEAD = 256
#: The server's own limit for a start-up packet; a first packet that claims more is not PostgreSQL.
LONGEST_STARTUP = 10_000

CANCEL_REQUEST = 80877102
SSL_REQUEST = 80877103
GSSENC_REQUEST = 80877104

FRONTEND: Mapping[str, int] = MappingProxyType(
    {
        "Bind": ord("B"),
        "Close": ord("C"),
        "CopyData": ord("d"),
        "CopyDone": ord("c"),
        "CopyFail": ord("f"),
        "Describe": ord("D"),
        "Execute": ord("E"),
        "Flush": ord("H"),
        "FunctionCall": ord("F"),
        "Parse": ord("P"),
        "PasswordMessage": ord("p"),
        "Query": ord("Q"),
        "Sync": ord("S"),
        "Terminate": ord("X"),
    }
)
BACKEND: Mapping[str, int] = MappingProxyType(
    {
        "Authentication": ord("R"),
        "BackendKeyData": ord("K"),
        "BindComplete": ord("2"),
        "CloseComplete": ord("3"),
        "CommandComplete": ord("C"),
        "CopyBothResponse": ord("W"),
        "CopyData": ord("d"),
        "CopyDone": ord("c"),
        "CopyInResponse": ord("G"),
        "CopyOutResponse": ord("H"),
        "DataRow": ord("D"),
        "EmptyQueryResponse": ord("I"),
        "ErrorResponse": ord("E"),
        "FunctionCallResponse": ord("V"),
        "NegotiateProtocolVersion": ord("v"),
        "NoData": ord("n"),
        "NoticeResponse": ord("N"),
        "NotificationResponse": ord("A"),
        "ParameterDescription": ord("t"),
        "ParameterStatus": ord("S"),
        "ParseComplete": ord("1"),
        "PortalSuspended": ord("s"),
        "ReadyForQuery": ord("Z"),
        "RowDescription": ord("T"),
    }
)

_HEADER = struct.Struct(">BI")
_read_header = _HEADER.unpack_from
_NOTHING: list[Message] = []


@dataclass(frozen=True, slots=True)
class Message:
    """One watched message.

    Attributes:
        kind: its type byte.
        start: offset of its type byte in the stream of its direction, counted from the connection's first byte.
        end: offset of the first byte after it, which may not have arrived yet.
        head: the first `HEAD` bytes of its body, or all of a shorter body.
    """

    kind: int
    start: int
    end: int
    head: bytes

    @property
    def tag(self) -> str:
        """The command tag, when this is a CommandComplete."""
        return self.head.split(b"\0", 1)[0].decode("utf-8", "replace")

    @property
    def sql(self) -> str:
        """The beginning of the statement, when this is a frontend Query or Parse."""
        body = self.head
        if self.kind == FRONTEND["Parse"]:
            body = body.partition(b"\0")[2]
        return body.split(b"\0", 1)[0].decode("utf-8", "replace")


class Conversation:
    """Both directions of one connection, which must be read together: a negotiation's answer has no framing.

    Attributes:
        protocol: "unknown" until the first packet is read, then "postgres"; "encrypted" or "opaque" for good.
        upstream: the framer of what the client sends.
        downstream: the framer of what the server sends.
    """

    __slots__ = ("downstream", "protocol", "upstream")

    def __init__(self) -> None:
        self.protocol = "unknown"
        self.upstream = FrontendFramer(self)
        self.downstream = BackendFramer(self)

    def close(self, protocol: str) -> None:
        """Stop reading for good."""
        self.protocol = protocol
        for framer in (self.upstream, self.downstream):
            framer.go_opaque()


class Framer:
    """Finds message boundaries in one direction of a stream that arrives in arbitrary pieces.

    Attributes:
        position: bytes fed so far.
        settled: every byte before this offset belongs to a message that is known not to be watched, or that was
            reported. Bytes after it may be the beginning of a watched message; a caller who must be able to withhold
            such a message forwards no further. Always `position - settled < HEAD + 5`.
        opaque: nothing can be recognised any more, in either direction.
        watch: the type bytes to report. May be replaced at any time; a message whose head is incomplete is then judged
            by the new set.
    """

    __slots__ = ("_body", "_kept", "_typed", "conversation", "opaque", "position", "settled", "watch")

    def __init__(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.position = 0
        self.settled = 0
        self.opaque = False
        self.watch: frozenset[int] = frozenset()
        self._body = 0  # bytes of the current message that are still to come and of no interest
        self._kept = b""  # the beginning of a message that cannot be judged yet
        self._typed = False  # whether the unframed beginning is over

    def go_opaque(self) -> None:
        """Report nothing any more; everything counts as settled."""
        self.opaque = True
        self._kept = b""
        self.settled = self.position

    def _preamble(self, data: bytes, at: int) -> int:
        """Consume unframed bytes at the beginning; return the new index. Sets `_typed` when they are over."""
        raise NotImplementedError

    def feed(self, data: bytes) -> list[Message]:
        """Take the next piece of the stream; return the watched messages whose head became known with it."""
        size = len(data)
        self.position += size
        if self.opaque:
            self.settled = self.position
            return _NOTHING
        if self._body >= size and not self._kept:
            self._body -= size
            self.settled = self.position
            return _NOTHING
        if self._kept:
            data = self._kept + data
            size = len(data)
        return self._walk(data, size, self.position - size)

    def _walk(self, data: bytes, size: int, base: int) -> list[Message]:
        found = _NOTHING
        watch = self.watch
        at = self._body
        while at < size:
            if not self._typed:
                at = self._preamble(data, at)
                if self.opaque:
                    return found
                if not self._typed:
                    break
            if at + 5 > size:
                break
            kind, length = _read_header(data, at)
            if length < 4:
                self.conversation.close("opaque")
                return found
            if kind in watch:
                have = min(length - 4, HEAD)
                if at + 5 + have > size:
                    break
                message = Message(kind, base + at, base + at + 1 + length, data[at + 5 : at + 5 + have])
                found = [*found, message]
            at += 1 + length
        self._body = max(at - size, 0)
        self._kept = data[at:]
        # The beginning of a message that nobody watches may go on although its header is incomplete.
        held = bool(self._kept) and self._typed and self._kept[0] in watch
        self.settled = base + at if held else self.position
        return found


class FrontendFramer(Framer):
    """What a client sends: start-up packets without a type byte first, then typed messages."""

    __slots__ = ()

    def _preamble(self, data: bytes, at: int) -> int:
        while not self._typed and at + 8 <= len(data):
            length, code = struct.unpack_from(">II", data, at)
            if length == 8 and code in (SSL_REQUEST, GSSENC_REQUEST):
                self.conversation.downstream.expect_answer()
                at += 8
            elif 8 <= length <= LONGEST_STARTUP and (code >> 16 == 3 or code == CANCEL_REQUEST):
                self._typed = True
                self.conversation.protocol = "postgres"
                at += length
            else:
                self.conversation.close("opaque")
                break
        return at


class BackendFramer(Framer):
    """What a server sends: typed messages, but for the one-byte answers to a negotiation."""

    __slots__ = ("_answers",)

    def __init__(self, conversation: Conversation) -> None:
        super().__init__(conversation)
        self._answers = 0

    def expect_answer(self) -> None:
        """The client asked for encryption: the next thing the server sends is one bare byte."""
        self._answers += 1

    def _preamble(self, data: bytes, at: int) -> int:
        while self._answers and at < len(data):
            answer = data[at : at + 1]
            if answer in (b"S", b"G"):
                self.conversation.close("encrypted")
                return at
            if answer == b"N":
                self._answers -= 1
                at += 1
            else:
                # A server that does not know the request answers with an ordinary ErrorResponse and hangs up.
                self._answers = 0
                self._typed = True
        if at < len(data) and not self._typed:
            if self.conversation.protocol == "unknown":
                # Who speaks before its client could be recognised is not a PostgreSQL server.
                self.conversation.close("opaque")
            self._typed = True
        return at
