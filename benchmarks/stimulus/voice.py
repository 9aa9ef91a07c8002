"""Plays a quiet, speech-like sound while pictures are drawn."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.stimulus import announce_ready
from benchmarks.stimulus.player import player

__all__ = ["Voice", "show_with_voice", "spoken_loop"]

_LEVEL: Final = 0.05
_PITCH_HZ: Final = 140
_HARMONICS: Final = 20
_SYLLABLES_HZ: Final = 4
#: All frequencies are multiples of 1 / this, so that the loop has no seam.
_LOOP_S: Final = 2
#: The usual buffer of a player; smaller ones make the sound server, and with it every recorder, work more.
_LATENCY_S: Final = 0.2


class Voice:
    """Renders the harmonics of a low pitch, which swell and fade like syllables."""

    def __init__(self) -> None:
        self.stream = player(self._render, _LATENCY_S)
        self._loop: npt.NDArray[np.float32] | None = None

    def _render(self, first: int, count: int) -> npt.NDArray[np.float32]:
        if self._loop is None:
            self._loop = spoken_loop(self.stream.rate)
        return self._loop[np.arange(first, first + count) % self._loop.size]


def show_with_voice(draw: Callable[[float], None], fps: float, seconds: float) -> None:
    """Play the voice for `seconds` and call `draw` with the seconds since the start, `fps` times per second."""
    voice = Voice()
    with voice.stream:
        draw(0.0)
        voice.stream.pump_until_steady()
        announce_ready()
        start_s = time.monotonic()
        while (elapsed_s := time.monotonic() - start_s) < seconds:
            slot = int(elapsed_s * fps)
            draw(slot / fps)
            voice.stream.pump_until(start_s + (slot + 1) / fps)


def spoken_loop(rate: int) -> npt.NDArray[np.float32]:
    """Return two seconds of the voice, float32 (n,), that loop without a seam."""
    moments_s = np.arange(_LOOP_S * rate) / rate
    spoken = sum(
        np.sin(2 * np.pi * _PITCH_HZ * harmonic * moments_s) / harmonic for harmonic in range(1, _HARMONICS + 1)
    )
    syllables = np.sin(np.pi * _SYLLABLES_HZ * moments_s) ** 2
    return (_LEVEL * spoken * syllables).astype(np.float32)
