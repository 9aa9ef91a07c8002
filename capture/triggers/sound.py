"""Sound that begins and ends a recording.

A `SoundDetector` listens to one source and tells what of it is sound and what is its noise; it is pure. A
`SoundTrigger` listens to all of them and gives the commands: START with the moment before the first sound, STOP with
the moment after the last one.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

import numpy as np

from capture.events import Command, Send
from capture.media import SAMPLE_RATE, SampleArray, Samples

__all__ = ["LEAD_S", "TAIL_S", "SoundDetector", "SoundTrigger"]

#: Levels are taken over this long: two periods of the lowest voice, and short enough to find where a word begins.
WINDOW_S: Final = 0.01
_WINDOW: Final = round(WINDOW_S * SAMPLE_RATE)

#: What stays before the first sound and behind the last one. Listeners find a file that begins on the word itself
#: clipped; the consonant that the threshold missed lies in here as well.
LEAD_S: Final = 0.1
TAIL_S: Final = 0.2

#: A source is known by this much of it: with less, a steady hiss would be taken for a beginning.
_ACQUAINTANCE: Final = 30

#: The noise is what the source does not fall below for nine tenths of this long, three seconds: there are pauses in
#: three seconds of speech.
_NOISE_WINDOWS: Final = 300
_NOISE_SHARE: Final = 0.1

#: Sound stands out of the noise by this much. The level of noise wavers by 1 to 3 dB from window to window, and a voice
#: that is less than this above it is not understood.
_MARGIN_DB: Final = 10.0

#: Noise is quiet: no more than this above the threshold. What stands out of that by the margin is sound, however steady
#: it is, as a tone that was there from the beginning.
_NOISE_CEILING_DB: Final = 8.0

#: So many of so many windows in a row make a beginning. A click has one or two.
_LOUD: Final = 3
_OF: Final = 6

#: So many of so many windows in a row are sound that goes on; a click does not prolong it.
_STILL_LOUD: Final = 2
_STILL_OF: Final = 3

#: From where sound is certain, the beginning is looked for backwards through what is this much quieter, for this long:
#: the breath and the soft consonant before the vowel.
_RISE_DB: Final = 15.0
_RISE_WINDOWS: Final = 40

#: Nothing was delivered for this long after sound could have come: so there was none.
_OVERDUE_S: Final = 0.5

_SILENCE_DB: Final = -120.0


class SoundDetector:
    """Tells sound from noise in one source. Used by one thread.

    What is louder than `threshold_dbfs` and stands out of the source's own noise is sound. The noise is measured while
    the detector waits; after a beginning was found it may only be found to be lower, so that a steady sound is not
    mistaken for it.
    """

    def __init__(self, threshold_dbfs: float) -> None:
        self._threshold_db = threshold_dbfs
        #: When a sound began, on the clock of the stamps; None while none has.
        self.began_at_s: float | None = None
        #: When the last window of sound ended; minus infinity before there was one.
        self.sound_until_s = -math.inf
        self._noise_db = math.inf
        self._levels: deque[float] = deque(maxlen=_NOISE_WINDOWS)
        self._loud: deque[bool] = deque(maxlen=_STILL_OF)
        self._rest: SampleArray = np.zeros((0, 1), np.float32)

    @property
    def limit_db(self) -> float:
        """The level from which on a window is sound, in dBFS."""
        noise_db = min(self._noise_db, self._threshold_db + _NOISE_CEILING_DB)
        return max(self._threshold_db, noise_db + _MARGIN_DB)

    def rearm(self) -> None:
        """Wait for the next beginning. What was heard until now tells the noise, and nothing else."""
        self.began_at_s = None

    def push(self, samples: Samples) -> None:
        """Listen to a block: float32 (n, channels); blocks follow each other."""
        data = samples.data
        if len(self._rest):
            data = np.concatenate((self._rest, data)) if data.shape[1] == self._rest.shape[1] else data
        begins_at_s = samples.ends_at_s - len(data) / SAMPLE_RATE
        count = len(data) // _WINDOW
        self._rest = data[count * _WINDOW :]
        for place, level_db in enumerate(_levels_db(data[: count * _WINDOW], count)):
            self._hear(level_db, begins_at_s + place * WINDOW_S)

    def _hear(self, level_db: float, at_s: float) -> None:
        self._levels.append(level_db)
        if len(self._levels) >= _ACQUAINTANCE:
            self._measure_noise()
            if self.began_at_s is None:
                self._look_for_beginning(at_s)
        self._loud.append(level_db > self.limit_db)
        if self.began_at_s is not None and sum(self._loud) >= _STILL_LOUD:
            self.sound_until_s = at_s + WINDOW_S

    def _measure_noise(self) -> None:
        place = int(len(self._levels) * _NOISE_SHARE)
        quiet_db = sorted(self._levels)[place]
        self._noise_db = quiet_db if self.began_at_s is None else min(self._noise_db, quiet_db)

    def _look_for_beginning(self, at_s: float) -> None:
        """Decide whether the newest windows, of which the last began at `at_s`, hold a beginning."""
        newest = list(self._levels)
        # The first time, all that was heard while the source was not known yet is looked through.
        for end in range(_OF if len(newest) == _ACQUAINTANCE else len(newest), len(newest) + 1):
            loud = [place for place in range(end - _OF, end) if newest[place] > self.limit_db]
            if len(loud) >= _LOUD:
                first = loud[0]
                lowest = max(0, first - _RISE_WINDOWS)
                quiet_db = max(self.limit_db - _RISE_DB, self._noise_db + _MARGIN_DB / 2)
                while first > lowest and newest[first - 1] > quiet_db:
                    first -= 1
                self.began_at_s = at_s - (len(newest) - 1 - first) * WINDOW_S
                return


def _levels_db(data: SampleArray, count: int) -> list[float]:
    """The level of each window, in dBFS of its mean square, of the loudest channel."""
    if count == 0:
        return []
    squares = np.square(data, dtype=np.float64).reshape(count, _WINDOW, -1).mean(axis=1).max(axis=1)
    levels: list[float] = np.maximum(_SILENCE_DB, 10 * np.log10(np.maximum(squares, 1e-13))).tolist()
    return levels


class SoundTrigger:
    """Gives START when any source's sound begins, and STOP when none had any for `silence_s`; None never stops.

    Each source is heard through a `listener` of its own, called by the thread that reads it; everything else belongs to
    the thread of the session.
    """

    def __init__(self, threshold_dbfs: float, silence_s: float | None) -> None:
        self._threshold_dbfs = threshold_dbfs
        self._silence_s = silence_s
        self._lock = threading.Lock()
        self._listeners: list[_Listener] = []
        self._send: Send | None = None
        self._armed = False
        self._quiet_since_s = math.inf
        self._began_at_s = math.inf

    def start(self, send: Send) -> None:
        """Give commands to `send` from here on."""
        self._send = send

    def stop(self) -> None:
        self._send = None

    def listener(self) -> Callable[[Samples], None]:
        """What is to be given every block of one source, as it comes."""
        listener = _Listener(self._threshold_dbfs)
        self._listeners.append(listener)

        def hear(samples: Samples) -> None:
            with self._lock:
                began_at_s = listener.hear(samples)
                if began_at_s is None or not self._armed:
                    return
                self._armed = False
            if self._send is not None:
                self._send(Command.START, "sound", at_s=began_at_s - LEAD_S)

        return hear

    def arm(self) -> None:
        """Wait for the next beginning."""
        with self._lock:
            for listener in self._listeners:
                listener.rearm()
            self._armed = True

    def begin(self, at_s: float) -> None:
        """A recording begins at `at_s`: it takes silence from there on to end it."""
        with self._lock:
            self._armed = False
        self._began_at_s = self._quiet_since_s = at_s

    def resume(self, at_s: float) -> None:
        """It goes on after a pause: silence counts from here."""
        self._quiet_since_s = at_s

    @property
    def settled_until_s(self) -> float:
        """Up to when it is settled that the recording goes on: what is later may turn out to be behind its end."""
        last_s = self._last_sound_s()
        return math.inf if self._silence_s is None or last_s is None else last_s + self._tail_s

    def tick(self, now_s: float) -> None:
        """Look whether silence has lasted long enough; to be called a few times a second, but not in a pause."""
        if self._silence_s is None or self._send is None or not self._listeners:
            return
        last_s = self._last_sound_s()
        over_at_s = max(self._quiet_since_s, last_s or self._quiet_since_s) + self._silence_s
        if min(listener.heard_until_s(now_s) for listener in self._listeners) >= over_at_s:
            self._send(Command.STOP, "silence", at_s=over_at_s if last_s is None else last_s + self._tail_s)

    @property
    def _tail_s(self) -> float:
        return min(TAIL_S, self._silence_s or TAIL_S)

    def _last_sound_s(self) -> float | None:
        """When the last sound of this recording ended."""
        with self._lock:
            ends_s = [listener.sound_until_s for listener in self._listeners]
        return max((end_s for end_s in ends_s if end_s > self._began_at_s), default=None)


class _Listener:
    """The ears of one source: a detector for each of its lanes."""

    def __init__(self, threshold_dbfs: float) -> None:
        self._threshold_dbfs = threshold_dbfs
        self._lanes: dict[int, SoundDetector] = {}
        self._heard_until_s = -math.inf

    def hear(self, samples: Samples) -> float | None:
        """Take a block in; when a sound began, if one did."""
        detector = self._lanes.get(samples.lane)
        if detector is None:
            detector = self._lanes[samples.lane] = SoundDetector(self._threshold_dbfs)
        detector.push(samples)
        self._heard_until_s = samples.ends_at_s
        return detector.began_at_s

    def rearm(self) -> None:
        for detector in self._lanes.values():
            detector.rearm()

    @property
    def sound_until_s(self) -> float:
        return max((detector.sound_until_s for detector in self._lanes.values()), default=-math.inf)

    def heard_until_s(self, now_s: float) -> float:
        """Up to when all that there was to hear has been heard."""
        return max(self._heard_until_s, now_s - _OVERDUE_S)
