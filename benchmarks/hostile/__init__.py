"""Files built to keep a reader busy: small headers with enormous sizes and counts, in every container."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from benchmarks.hostile import ebml, iso, sound

__all__ = ["FILES"]

#: Builds a file's content of about this many bytes.
Builder = Callable[[int], bytes]

#: Every file, by its name.
FILES: Final[dict[str, Builder]] = {**iso.FILES, **ebml.FILES, **sound.FILES}
