"""What is said between a running recorder and those who give it orders: one JSON object a line each way, in UTF-8."""

from __future__ import annotations

import json
from typing import Any, Final

__all__ = ["REQUEST_LIMIT_BYTES", "TEXT_LIMIT", "as_line", "cleaned"]

#: The longest request, its line's end included: a text of `TEXT_LIMIT` letters of four bytes fits.
REQUEST_LIMIT_BYTES: Final = 4_096

#: The letters that a text may have: a title, not a document.
TEXT_LIMIT: Final = 1_000


def as_line(message: dict[str, Any]) -> bytes:
    """`message` as it is sent. What JSON has no word for, as a path, is told as text."""
    # Names of files may hold what is no text; the escapes of JSON carry even that, but only where UTF-8 cannot.
    text = json.dumps(message, ensure_ascii=False, default=str)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(message, default=str).encode() + b"\n"


def cleaned(text: str) -> str:
    """`text` on one line without control codes: it will stand in files and on terminals."""
    return "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))
