"""The protocol between a running recorder and its remote control: one JSON object per line each way, in UTF-8."""

from __future__ import annotations

from typing import Any, Final

from capture.strict_json import to_json

__all__ = ["REQUEST_LIMIT_BYTES", "TEXT_LIMIT", "as_line", "cleaned"]

#: The longest request, including its line end: a text of `TEXT_LIMIT` characters of four bytes each fits.
REQUEST_LIMIT_BYTES: Final = 4_096

#: The longest text, in characters: a title, not a document.
TEXT_LIMIT: Final = 1_000


def as_line(message: dict[str, Any]) -> bytes:
    """Return `message` as the line to send. Values that JSON does not know, such as paths, become strings."""
    # File names may contain lone surrogates, which UTF-8 cannot encode; only then are JSON's escapes used.
    text = to_json(message, ascii_only=False, default=str)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        return to_json(message, default=str).encode() + b"\n"


def cleaned(text: str) -> str:
    """Return `text` on one line, without control codes: it will be written to files and shown on terminals."""
    return "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))
