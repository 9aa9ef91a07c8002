"""Stretching and squeezing sound by a whole number of samples, too gently to hear.

A device's clock and the computer's never run at the same rate. Dropping or repeating a sample now and then clicks;
instead a `SlipResampler` spreads each correction over a thousand times as many samples by band-limited interpolation.
Between corrections it passes samples through untouched, bit for bit.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from capture.media import SampleArray

__all__ = ["OUTPUTS_PER_SLIP", "SlipResampler"]

#: One sample is gained or lost in a thousand, 0.1 %: 1.7 cents of pitch, where the ear needs about 5 at its best.
OUTPUTS_PER_SLIP: Final = 1000

#: Half the length of the interpolating sinc. 16 samples on either side with this window keep everything below 18 kHz at
#: 48 kHz within 0.1 dB and images 80 dB down.
_HALF_TAPS: Final = 16
_KAISER_BETA: Final = 8.0
_TAPS: Final = np.arange(1 - _HALF_TAPS, _HALF_TAPS + 1)


@cache
def _kernels() -> npt.NDArray[np.float32]:
    """The sinc at each of the `OUTPUTS_PER_SLIP` distances between samples that a slip passes through."""
    distance = np.arange(OUTPUTS_PER_SLIP)[:, None] / OUTPUTS_PER_SLIP - _TAPS
    window = np.i0(_KAISER_BETA * np.sqrt(np.maximum(0.0, 1.0 - (distance / _HALF_TAPS) ** 2)))
    weights = np.sinc(distance) * window
    kernels: npt.NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return kernels


class SlipResampler:
    """Turns `n` samples into `n` samples, or, while a slip is under way, into a few more or fewer.

    It holds back the last 16 samples, a third of a millisecond, until more come or `flush` is called. Not thread-safe.
    """

    def __init__(self, channels: int) -> None:
        self._channels = channels
        # The samples around the reading position: _HALF_TAPS already given out, then those still to come.
        self._buffer: SampleArray = np.zeros((_HALF_TAPS, channels), np.float32)
        self._direction = 0
        self._outputs_left = 0
        # How far the next output lies beyond the next sample to come, in parts of OUTPUTS_PER_SLIP.
        self._phase = 0

    @property
    def pending(self) -> int:
        """How many samples are held back."""
        return len(self._buffer) - _HALF_TAPS

    @property
    def slipping(self) -> bool:
        """Whether a correction is under way."""
        return self._outputs_left > 0

    @property
    def remaining(self) -> int:
        """How many more samples the correction under way has yet to gain; negative where it is losing some."""
        return self._direction * round(self._outputs_left / OUTPUTS_PER_SLIP)

    def slip(self, samples: int) -> None:
        """From here on give out `samples` more than come in, or fewer where negative. ValueError while slipping."""
        if self.slipping:
            raise ValueError("a slip is under way")
        self._direction = 1 if samples > 0 else -1
        self._outputs_left = abs(samples) * OUTPUTS_PER_SLIP

    def process(self, data: SampleArray) -> SampleArray:
        """Take float32 (n, channels) and return what is ready, of the same kind."""
        self._buffer = np.concatenate((self._buffer, data))
        ready = []
        if self.slipping:
            ready.append(self._interpolate())
        if not self.slipping:
            count = max(0, len(self._buffer) - 2 * _HALF_TAPS)
            ready.append(self._buffer[_HALF_TAPS : _HALF_TAPS + count])
            self._buffer = self._buffer[count:]
        return np.concatenate(ready)

    def flush(self) -> SampleArray:
        """The samples held back. The resampler starts afresh."""
        if self.slipping:
            tail = self.process(np.zeros((_HALF_TAPS, self._channels), np.float32))
        else:
            tail = self._buffer[_HALF_TAPS:]
        self.__init__(self._channels)  # type: ignore[misc]
        return tail

    def _interpolate(self) -> SampleArray:
        """What can be given out of the slip now: each output lies a thousandth less, or more, than a sample further."""
        stride = OUTPUTS_PER_SLIP - self._direction
        available = (len(self._buffer) - 2 * _HALF_TAPS) * OUTPUTS_PER_SLIP
        count = min(self._outputs_left, max(0, -(-(available - self._phase) // stride)))
        positions = self._phase + np.arange(count + 1) * stride
        whole, phases = np.divmod(positions, OUTPUTS_PER_SLIP)
        around = self._buffer[whole[:-1, None] + _TAPS + _HALF_TAPS]
        output: SampleArray = np.einsum("kt,ktc->kc", _kernels()[phases[:-1]], around)
        self._outputs_left -= count
        self._phase = int(phases[-1])
        self._buffer = self._buffer[int(whole[-1]) :]
        return output
