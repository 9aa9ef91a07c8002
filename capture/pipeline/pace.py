"""Spreads the frames that a slow encoder can take over the time."""

from __future__ import annotations

from typing import Final

__all__ = ["Pace"]

#: The weight of the last frame in the average distance of frames.
_AVERAGED: Final = 0.1


class Pace:
    """Spreads the frames that a slow encoder can take over the time.

    The fuller its queue is, the longer the next frame waits, measured by the average of the last frames. So an encoder
    that is stopped for a while, as by other programs, meets an even spread of frames when it gets to run. One with
    nothing to do gets the next frame at once, so it encodes as many as it can.
    """

    def __init__(self) -> None:
        # The average distance of frames, in slots, in so far as the encoder decided it; and the last frame.
        self._average = 1.0
        self._last = -1
        self._denied = False

    def wait(self, slot: int, filled: float) -> float:
        """Return for how many more slots the picture of `slot` has to wait; none at 0 or less."""
        return 2 * self._average * filled - (slot - self._last) if filled > 0 else 0.0

    def deny(self) -> None:
        """Note that a picture is dropped."""
        self._denied = True

    def admit(self, slot: int) -> None:
        """Note that the picture of `slot` is encoded."""
        self._average += _AVERAGED * ((slot - self._last if self._denied else 1.0) - self._average)
        self._last, self._denied = slot, False
