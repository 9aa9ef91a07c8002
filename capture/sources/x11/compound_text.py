"""Decodes compound text, in which X11 programs from before Unicode write titles (X Consortium Standard, version 1.1).

It begins in Latin-1; escape sequences switch to other character sets, as in ISO 2022.
"""

from __future__ import annotations

import codecs
import re
from typing import Final, NamedTuple

__all__ = ["decoded"]


class _CharacterSet(NamedTuple):
    """A set whose characters have `width` bytes. The codec takes these with the highest bit set, after `prefix`.

    Without a codec, the characters are unknown.
    """

    codec: str
    width: int = 1
    prefix: bytes = b""

    def text(self, codes: bytes) -> str:
        if self.codec == "ascii":
            return codes.decode("ascii", "replace")
        if not self.codec:
            return "\ufffd" * -(-len(codes) // self.width)
        high = bytes(code | 0x80 for code in codes)
        letters = (high[at : at + self.width] for at in range(0, len(high), self.width))
        return b"".join(self.prefix + letter for letter in letters).decode(self.codec, "replace")


_ASCII: Final = _CharacterSet("ascii")
_LATIN_1: Final = _CharacterSet("iso8859_1")

#: The sets that Python can decode, by the last byte of their escape sequence; of 94, 96, and 94² characters.
_OF_94: Final = {b"B": _ASCII, b"J": _ASCII, b"I": _CharacterSet("shift_jis")}
_OF_96: Final = {
    bytes((last,)): _CharacterSet(f"iso8859_{part}")
    for last, part in zip(b"ABCDFGHLMTVY_bf", (1, 2, 3, 4, 7, 6, 8, 5, 9, 11, 10, 13, 14, 15, 16), strict=True)
}
_OF_94_SQUARED: Final = {
    b"A": _CharacterSet("gb2312", 2),
    b"B": _CharacterSet("euc_jp", 2),
    b"C": _CharacterSet("euc_kr", 2),
    b"D": _CharacterSet("euc_jp", 2, b"\x8f"),
}

#: Python has no codec for the others: the Chinese sets of Taiwan.
_UNKNOWN: Final = _CharacterSet("", 2)

_PART: Final = re.compile(
    rb"\x1b%G(?P<utf8>.*?)(?:\x1b%@|$)"
    # A segment in a named encoding: its length in two bytes of seven bits, the name, and the text after a 0x02.
    rb"|\x1b%/[0-4](?P<high>[\x80-\xff])(?P<low>[\x80-\xff])"
    rb"|\x1b(?P<kind>\$?[(),-]?)(?P<last>[@-~])"
    # The direction of writing.
    rb"|\x9b[12]?\]"
    rb"|(?P<left>[\x21-\x7e]+)|(?P<right>[\xa0-\xff]+)|(?P<other>.)",
    re.DOTALL,
)


def decoded(text: bytes) -> str:
    """Return the characters of compound text; those that are broken or unknown become U+FFFD."""
    left, right = _ASCII, _LATIN_1
    found: list[str] = []
    at = 0
    while part := _PART.match(text, at):
        at = part.end()
        if part["utf8"] is not None:
            found.append(part["utf8"].decode(errors="replace"))
        elif part["high"] is not None:
            end = at + (part["high"][0] & 0x7F) * 128 + (part["low"][0] & 0x7F)
            found.append(_in_named_encoding(text[at:end]))
            at = end
        elif part["last"] is not None:
            chosen = _set_of(part["kind"], part["last"])
            if part["kind"].endswith((b")", b"-")):
                right = chosen
            else:
                left = chosen
        elif part["left"] is not None:
            found.append(left.text(part["left"]))
        elif part["right"] is not None:
            found.append(right.text(part["right"]))
        elif part["other"] is not None:
            found.append(part["other"].decode("latin-1"))
    return "".join(found)


def _set_of(kind: bytes, last: bytes) -> _CharacterSet:
    sets = _OF_94_SQUARED if kind.startswith(b"$") else _OF_96 if kind == b"-" else _OF_94
    return sets.get(last, _UNKNOWN)


def _in_named_encoding(segment: bytes) -> str:
    name, _, text = segment.partition(b"\x02")
    try:
        # The names are those of X11's fonts, as in `big5-0`.
        return codecs.lookup(name.decode("ascii", "replace").removesuffix("-0")).decode(text, "replace")[0]
    except LookupError:
        return "\ufffd"
