"""What can make sound audible, and which adapter does on which system."""

from __future__ import annotations

import sys
from typing import Protocol

from capture.media import SampleArray

__all__ = ["Player", "choose_player"]


class Player(Protocol):
    """The default output of the system. All methods are called by one thread, but for `wake`, which any may call."""

    def open(self) -> None:
        """Connect. Raises `NotReadyError` where there is no output."""
        ...

    def play(self, samples: SampleArray) -> None:
        """Hand over samples (n, 2), blocking until the output has taken them, or until `wake`.

        Raises `SourceLostError` when the output is gone.
        """
        ...

    def drain(self) -> None:
        """Block until all that was handed over has been heard, or until `wake`."""
        ...

    def wake(self) -> None:
        """Make the thread in any of these return at once, and all that follow."""
        ...

    def stop(self) -> float:
        """Play nothing more; return for how many more seconds from now something is heard all the same."""
        ...

    def close(self) -> None:
        """Give the output back; may be called twice."""
        ...


def choose_player() -> Player:
    """The adapter for this system, not yet opened."""
    if sys.platform == "linux":
        from capture.playback.pulse_player import PulsePlayer

        return PulsePlayer()
    from capture.playback.soundcard_player import SoundcardPlayer

    return SoundcardPlayer()
