"""Finds flashes in the brightness of frames, and beeps and the start of sound in samples."""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "BEEP_HZ",
    "BEEP_S",
    "HUM_HZ",
    "HUM_LEVEL",
    "Floats",
    "Waveform",
    "beep_onsets_s",
    "flash_onsets_s",
    "sound_start_s",
]

Floats: TypeAlias = npt.NDArray[np.float64]
Waveform: TypeAlias = npt.NDArray[np.float32]

#: The beep, and the quiet hum under it.
BEEP_HZ: Final = 1000.0
BEEP_S: Final = 0.05
HUM_HZ: Final = 200.0
HUM_LEVEL: Final = 0.02

#: A whole number of periods both of the beep and of its frequency distance from the hum, so neither ripples the
#: envelope.
_WINDOW_S: Final = 0.005
#: Anything shorter than this is a click.
_SHORTEST_BEEP_S: Final = BEEP_S / 2
#: A beep that is interrupted for less than this counts as one beep.
_LONGEST_BREAK_S: Final = 0.1


def flash_onsets_s(pts_s: Floats, luma: Floats) -> Floats:
    """Return the pts of the first frame of each flash, brighter than the middle of the range that occurs."""
    if luma.size == 0:
        return np.empty(0)
    bright = luma > (luma.min() + luma.max()) / 2
    rises = np.flatnonzero(bright[1:] & ~bright[:-1]) + 1
    return pts_s[rises]


def beep_onsets_s(samples: Waveform, rate: int, start_s: float) -> Floats:
    """Return when each beep begins, to a fraction of a sample; the first sample is at `start_s`.

    The envelope of a tone that starts abruptly, averaged over a window around each sample, rises linearly and crosses
    half its height where the tone starts.
    """
    envelope = _envelope(samples, rate)
    if envelope.size == 0 or envelope.max() <= 0.0:
        return np.empty(0)
    half = envelope.max() / 2
    loud = envelope > half
    rises = np.flatnonzero(loud[1:] & ~loud[:-1]) + 1
    falls = np.flatnonzero(~loud[1:] & loud[:-1]) + 1
    onsets: list[float] = []
    last_fall = -rate
    for rise in rises:
        later = falls[falls > rise]
        fall = int(later[0]) if later.size else loud.size
        if fall - rise >= _SHORTEST_BEEP_S * rate:
            if rise - last_fall > _LONGEST_BREAK_S * rate:
                below, above = envelope[rise - 1], envelope[rise]
                onsets.append(start_s + (rise - 1 + (half - below) / (above - below)) / rate)
            last_fall = fall
    return np.array(onsets)


def sound_start_s(samples: Waveform, rate: int, start_s: float, level: float) -> float | None:
    """Return the moment of the first sample at or above `level`, or None if there is none."""
    sounding = np.flatnonzero(np.abs(samples) >= level)
    return start_s + int(sounding[0]) / rate if sounding.size else None


def _envelope(samples: Waveform, rate: int) -> Floats:
    width = round(_WINDOW_S * rate) | 1
    if samples.size < width:
        return np.empty(0)
    turning = samples * np.exp(-2j * np.pi * BEEP_HZ / rate * np.arange(samples.size))
    padded = np.concatenate((np.zeros(width // 2 + 1), turning, np.zeros(width // 2)))
    summed = np.cumsum(padded)
    return np.asarray(np.abs(summed[width:] - summed[:-width]) / width * 2, np.float64)
