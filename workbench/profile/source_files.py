"""Source files read as they are: in their own encoding, with their own line ends."""

from __future__ import annotations

import tokenize
from pathlib import Path


def read(path: Path) -> tuple[str | None, str]:
    """The text and its encoding; None for a text that cannot be read."""
    try:
        data = path.read_bytes()
        encoding, _ = tokenize.detect_encoding(iter(data.splitlines(keepends=True)).__next__)
        return data.decode(encoding), encoding
    except (OSError, SyntaxError, UnicodeDecodeError, StopIteration):
        return None, "utf-8"
