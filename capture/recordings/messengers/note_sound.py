"""What the headers of a voice note say about its sound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

__all__ = ["CUT_OFF", "NOT_SOUND", "NoteSound", "Read"]

#: Returns up to this many bytes from a position.
Read: TypeAlias = Callable[[int, int], bytes]

NOT_SOUND: Final = "it is not a sound file, or its start is damaged"
CUT_OFF: Final = "its end is missing"


class NoteSound(NamedTuple):
    """What the headers say. `codec` is "" and the length None where they do not; `problem` is "" for none."""

    #: FFmpeg's name for the demuxer of the container; "" if it is none that is known here.
    form: str = ""
    codec: str = ""
    channels: int = 0
    duration_s: float | None = None
    problem: str = ""
    #: When it was recorded, in seconds since 1970, where the container has a date.
    recorded_at_s: float | None = None
    has_picture: bool = False

    @property
    def is_damaged(self) -> bool:
        """Whether it is not worth copying; what only lacks its end is."""
        return self.problem == NOT_SOUND

    @property
    def is_speech(self) -> bool:
        """Whether only voice notes are like this, whatever their names: one channel of Opus, or a codec of phones."""
        return not self.has_picture and ((self.codec, self.channels) == ("opus", 1) or self.codec in _OF_PHONES)


#: These codecs transmit speech and nothing else.
_OF_PHONES: Final = frozenset({"amr_nb", "amr_wb"})
