"""Defines what a player of sound can do, and chooses the adapter for this system."""

from __future__ import annotations

import sys
from typing import Protocol

from capture.media import SampleArray

__all__ = ["Player", "choose_player"]


class Player(Protocol):
    """Plays to the default output of the system. One thread calls all methods; any may call `wake` and `heard_s`."""

    def open(self) -> None:
        """Connect. Raises `NotReadyError` when there is no output."""
        ...

    def play(self, samples: SampleArray) -> None:
        """Play float32 samples (n, 2); block until the output has taken them, or until `wake`.

        Raises `SourceLostError` when the output is gone.
        """
        ...

    def drain(self) -> None:
        """Block until everything was heard, or until `wake`."""
        ...

    def wake(self) -> None:
        """Make the current call return at once, and all later ones."""
        ...

    def stop(self) -> float:
        """Stop playing; return for how many seconds from now the output is still audible."""
        ...

    def heard_s(self) -> float:
        """Return how many seconds of what it was given were heard: about, and after `stop` as exactly as it knows."""
        ...

    def close(self) -> None:
        """Release the output; may be called twice."""
        ...


def choose_player(name: str = "capture preview") -> Player:
    """Return the player for this system, not yet opened. The desktop's mixer may show it as `name`."""
    if sys.platform == "linux":
        from capture.playback.pulse_player import PulsePlayer

        return PulsePlayer(name)
    from capture.playback.soundcard_player import SoundcardPlayer

    return SoundcardPlayer()
