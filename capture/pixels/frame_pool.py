"""Reuses the memory of pictures: new memory costs a tenth of what encoding a picture does, because it is cleared."""

from __future__ import annotations

from collections import deque
from typing import Final

import av

__all__ = ["FramePool"]

#: An encoder that falls behind now and then would otherwise free pictures and need them again soon.
_MOST_SPARE: Final = 2


class FramePool:
    """Pictures in YUV 4:2:0 of one size. Any thread may call its methods.

    One or two that were given back are kept for the next `take`, but only with `keeps`: some encoders still need what
    they were given.
    """

    def __init__(self, width: int, height: int, *, keeps: bool) -> None:
        self._size = (width, height)
        self._spare: deque[av.VideoFrame] = deque(maxlen=_MOST_SPARE if keeps else 0)

    def take(self) -> av.VideoFrame:
        """Return a picture with any content."""
        try:
            return self._spare.pop()
        except IndexError:
            return av.VideoFrame(*self._size, "yuv420p")

    def give_back(self, frame: av.VideoFrame) -> None:
        """Let the next `take` have `frame`, which the caller no longer uses."""
        self._spare.append(frame)

    def clear(self) -> None:
        """Free the spare pictures."""
        self._spare.clear()
