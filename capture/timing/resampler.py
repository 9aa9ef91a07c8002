"""Inaudibly stretches or shrinks sound by a whole number of samples.

A device's clock and the computer's never run at the same rate. Dropping or repeating single samples clicks, so a
`SlipResampler` spreads each correction over a thousand times as many samples, by band-limited interpolation. Between
corrections it passes samples through bit for bit.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from capture.media import SampleArray

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["OUTPUTS_PER_SLIP", "SlipResampler"]

#: A correction gains or loses one sample in a thousand, 0.1 %. That is 1.7 cents of pitch; a good ear needs about 5.
OUTPUTS_PER_SLIP: Final = 1000

#: Half the length of the interpolating sinc. At 48 kHz, 16 samples on either side with this window keep everything
#: below 18 kHz within 0.1 dB, and images 80 dB down.
_HALF_TAPS: Final = 16
_KAISER_BETA: Final = 8.0
_TAPS: Final = np.arange(1 - _HALF_TAPS, _HALF_TAPS + 1)


@cache
def _kernels() -> npt.NDArray[np.float32]:
    """Return the windowed sinc at each of the `OUTPUTS_PER_SLIP` positions between two samples, one per row."""
    distance = np.arange(OUTPUTS_PER_SLIP)[:, None] / OUTPUTS_PER_SLIP - _TAPS
    window = np.i0(_KAISER_BETA * np.sqrt(np.maximum(0.0, 1.0 - (distance / _HALF_TAPS) ** 2)))
    weights = np.sinc(distance) * window
    kernels: npt.NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return kernels


class SlipResampler:
    """Passes samples through; during a slip, returns slightly more or fewer than it takes.

    It holds back the last 16 samples, a third of a millisecond, until more arrive or `flush` is called. Not
    thread-safe.
    """

    def __init__(self, channels: int) -> None:
        self._channels = channels
        # The samples around the read position: _HALF_TAPS already returned, then those not yet returned.
        self._buffer: SampleArray = np.zeros((_HALF_TAPS, channels), np.float32)
        self._direction = 0
        self._outputs_left = 0
        # How far the next output lies past the next unread sample, in units of 1 / OUTPUTS_PER_SLIP.
        self._phase = 0

    @property
    def pending(self) -> int:
        """Number of samples held back."""
        return len(self._buffer) - _HALF_TAPS

    @property
    def slipping(self) -> bool:
        """Whether a correction is under way."""
        return self._outputs_left > 0

    @property
    def remaining(self) -> int:
        """Number of samples the current correction still has to gain; negative if it is losing samples."""
        return self._direction * round(self._outputs_left / OUTPUTS_PER_SLIP)

    def slip(self, samples: int) -> None:
        """Start to return `samples` more than come in, or fewer if negative. Raises `ValueError` while slipping."""
        if self.slipping:
            raise ValueError("a slip is under way")
        self._direction = 1 if samples > 0 else -1
        self._outputs_left = abs(samples) * OUTPUTS_PER_SLIP

    def process(self, data: SampleArray) -> SampleArray:
        """Take float32 (n, channels); return the samples that are ready, in the same format."""
        self._buffer = np.concatenate((self._buffer, data))
        ready = []
        if self.slipping:
            ready.append(self._interpolate())
        if not self.slipping:
            count = max(0, len(self._buffer) - 2 * _HALF_TAPS)
            ready.append(self._buffer[_HALF_TAPS : _HALF_TAPS + count])
            self._buffer = self._buffer[count:]
        return ready[0] if len(ready) == 1 else np.concatenate(ready)

    def flush(self) -> SampleArray:
        """Return the samples held back and reset the resampler."""
        if self.slipping:
            tail = self.process(np.zeros((_HALF_TAPS, self._channels), np.float32))
        else:
            tail = self._buffer[_HALF_TAPS:]
        self.__init__(self._channels)  # type: ignore[misc]
        return tail

    def _interpolate(self) -> SampleArray:
        """Return the outputs of the slip that are ready; the step between two is one sample, less or more a thousandth.

        Until the phase wraps, outputs, the samples around them and the kernels all advance in step. So each such run is
        computed from two views of memory, with no copy.
        """
        if len(self._buffer) < len(_TAPS):
            return self._buffer[:0]
        # Channel by channel, so that the samples of a window lie side by side.
        windows = sliding_window_view(np.ascontiguousarray(self._buffer.T), len(_TAPS), axis=1)[:, 1:]
        kernels = _kernels()
        parts, read = [], 0
        while self._outputs_left and (room := windows.shape[1] - read) > 0:
            gains = self._direction > 0
            run = self._phase + 1 if gains else OUTPUTS_PER_SLIP - self._phase
            count = min(run, room, self._outputs_left)
            if gains:
                weights = kernels[self._phase - count + 1 : self._phase + 1][::-1]
            else:
                weights = kernels[self._phase : self._phase + count]
            parts.append(np.einsum("kt,ckt->kc", weights, windows[:, read : read + count]))
            self._outputs_left -= count
            self._phase -= self._direction * count
            read += count
            # A phase past either end of the sample moves on to the previous or the next one.
            beyond, self._phase = divmod(self._phase, OUTPUTS_PER_SLIP)
            read += beyond
        self._buffer = self._buffer[read:]
        return np.concatenate(parts) if parts else self._buffer[:0]
