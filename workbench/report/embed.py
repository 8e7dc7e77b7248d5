"""The journal inside the page: its exact bytes, with their sha256, so that a report can be judged again years later."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from dataclasses import dataclass
from html.parser import HTMLParser

from workbench.errors import WorkbenchError
from workbench.journal import Journal, decode, encode

#: The `id` of the script element that holds it.
ELEMENT = "journal"
#: Bytes from which on the journal is packed.
PACK_FROM = 400_000


@dataclass(frozen=True)
class Embedded:
    """What stands in the page.

    Attributes:
        json: the script element's content, safe inside HTML.
        sha256: of the journal's text.
        size: of the journal's text, in bytes.
        lines: of the journal.
        packed: it is gzipped and in base64.
        same_file: the text is, byte for byte, the file that was read.
    """

    json: str
    sha256: str
    size: int
    lines: int
    packed: bool
    same_file: bool


def embed(journal: Journal, *, pack_from: int = PACK_FROM) -> Embedded:
    """The journal as the content of a `<script type="application/json">`.

    Args:
        journal: as read.
        pack_from: bytes of text from which on it is gzipped and written in base64.
    """
    raw = "".join(f"{encode(line)}\n" for line in journal.lines).encode("utf-8", "replace")
    sha256 = hashlib.sha256(raw).hexdigest()
    packed = len(raw) >= pack_from
    content = {
        "name": "journal.jsonl",
        "sha256": sha256,
        "encoding": "gzip+base64" if packed else "text",
        # mtime=0: the same journal gives the same page.
        "data": base64.b64encode(gzip.compress(raw, mtime=0)).decode() if packed else raw.decode(),
    }
    return Embedded(
        json=_script_safe(json.dumps(content, ensure_ascii=False)),
        sha256=sha256,
        size=len(raw),
        lines=len(journal.lines),
        packed=packed,
        same_file=sha256 == journal.sha256,
    )


def _script_safe(text: str) -> str:
    """JSON that cannot end or confuse the script element around it: `</script`, `<!--` and `]]>` never stand in it."""
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def unpack(page: str) -> Journal:
    """The journal that stands in a page which `render` made.

    Raises:
        WorkbenchError: when there is none, or it does not have the sha256 that stands beside it.
    """
    finder = _Finder()
    finder.feed(page)
    if not finder.found:
        raise WorkbenchError("the page holds no journal", "name a report.html that `workbench report` wrote")
    content = json.loads("".join(finder.found))
    data = content["data"]
    raw = gzip.decompress(base64.b64decode(data)) if content["encoding"] == "gzip+base64" else data.encode()
    sha256 = hashlib.sha256(raw).hexdigest()
    if sha256 != content["sha256"]:
        raise WorkbenchError(
            f"the journal in the page has sha256 {sha256}, not {content['sha256']}: it was changed",
            "take an unchanged copy of the report, or the journal.jsonl beside it",
        )
    return Journal(
        lines=tuple(decode(text) for text in raw.decode().split("\n") if text.strip()), sha256=sha256
    )


class _Finder(HTMLParser):
    """Collects the content of the journal's script element."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag == "script" and ("id", ELEMENT) in attrs

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.found.append(data)
