"""Starts a recording when sound begins and stops it after a silence.

A `SoundDetector` separates sound from noise in one source; it has no side effects. A `SoundTrigger` listens to all
sources and sends the commands: START with a moment before the first sound, STOP with a moment after the last one.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

import numpy as np

from capture.events import Command, Send
from capture.media import SAMPLE_RATE, SampleArray, Samples

__all__ = ["LEAD_S", "TAIL_S", "Detector", "SoundDetector", "SoundTrigger"]

#: The window over which a level is measured: two periods of the lowest voice, yet short enough to find where a word
#: begins.
WINDOW_S: Final = 0.01
_WINDOW: Final = round(WINDOW_S * SAMPLE_RATE)

#: How much is kept before the first sound and after the last one. A file that begins on the word itself sounds clipped;
#: this margin also holds a consonant that the threshold missed.
LEAD_S: Final = 0.1
TAIL_S: Final = 0.2

#: How many windows to measure before looking for sound. With fewer, a steady hiss would count as the start of a sound.
_WARM_UP: Final = 30

#: The noise floor is the level that nine tenths of the last 300 windows (three seconds) reach or exceed: three seconds
#: of speech contain pauses.
_NOISE_WINDOWS: Final = 300
_NOISE_SHARE: Final = 0.1

#: Sound is at least this far above the noise floor. The level of noise varies by 1 to 3 dB between windows, and a voice
#: that is less than this above it is unintelligible.
_MARGIN_DB: Final = 10.0

#: The noise floor is at most this far above the threshold. Anything louder than that by the margin is sound, however
#: steady, such as a tone that plays from the start.
_NOISE_CEILING_DB: Final = 8.0

#: Sound begins when 3 of 6 consecutive windows are loud. A click has one or two.
_LOUD: Final = 3
_OF: Final = 6

#: Sound continues while 2 of 3 consecutive windows are loud; a click does not prolong it.
_STILL_LOUD: Final = 2
_STILL_OF: Final = 3

#: From the first loud window, the search for the beginning goes back through windows at most this far below the level
#: of sound, and through at most this many: the breath and the soft consonant before the vowel.
_RISE_DB: Final = 15.0
_RISE_WINDOWS: Final = 40

#: A source that has delivered nothing for this long counts as silent.
_OVERDUE_S: Final = 0.5

_SILENCE_DB: Final = -120.0

#: A source that is turned down is searched for quieter sound, but for none below this. Of quieter sound, 16 bits leave
#: a few steps.
_LOWEST_THRESHOLD_DB: Final = -80.0


class Detector(Protocol):
    """Finds where sound begins and ends in one source; what counts as sound is its own affair. Used by one thread."""

    #: When a sound began, on the clock of the samples' stamps; None before that.
    began_at_s: float | None
    #: When the last sound ended; minus infinity before the first.
    sound_until_s: float

    def rearm(self) -> None:
        """Wait for the next sound to begin."""

    def push(self, samples: Samples) -> None:
        """Take in a block of samples, float32 (n, channels), that follows the previous one."""


class SoundDetector:
    """Separates sound from noise in one source. Used by one thread.

    Sound is louder than `threshold_dbfs` and well above the source's noise floor. Where the source is turned down, the
    threshold goes down with it: what counts is how loud a sound plays, not how loud it is recorded. The detector
    measures the noise floor while it waits for sound. Once sound has begun, the floor can only fall, so that a steady
    sound is not mistaken for noise.
    """

    def __init__(self, threshold_dbfs: float) -> None:
        self._full_threshold_db = self._threshold_db = threshold_dbfs
        #: When a sound began, on the clock of the samples' stamps; None before that.
        self.began_at_s: float | None = None
        #: When the last window of sound ended; minus infinity before the first.
        self.sound_until_s = -math.inf
        self._noise_db = math.inf
        self._levels = _Levels()
        self._loud: deque[bool] = deque(maxlen=_STILL_OF)
        self._rest: SampleArray = np.zeros((0, 1), np.float32)

    @property
    def limit_db(self) -> float:
        """The level above which a window is sound, in dBFS."""
        noise_db = min(self._noise_db, self._threshold_db + _NOISE_CEILING_DB)
        return max(self._threshold_db, noise_db + _MARGIN_DB)

    def rearm(self) -> None:
        """Wait for the next sound to begin. Earlier windows still count for the noise floor, and for nothing else."""
        self.began_at_s = None

    def push(self, samples: Samples) -> None:
        """Take in a block of samples, float32 (n, channels), that follows the previous one."""
        self._threshold_db = self._threshold_at(samples.attenuation.gain)
        data = samples.data
        if len(self._rest):
            data = np.concatenate((self._rest, data)) if data.shape[1] == self._rest.shape[1] else data
        begins_at_s = samples.ends_at_s - len(data) / SAMPLE_RATE
        count = len(data) // _WINDOW
        self._rest = data[count * _WINDOW :]
        for place, level_db in enumerate(_levels_db(data[: count * _WINDOW], count)):
            self._hear(level_db, begins_at_s + place * WINDOW_S)

    def _threshold_at(self, gain: float) -> float:
        """Return the threshold for a source with this gain. A muted source has no sound, however low the threshold."""
        full_db = self._full_threshold_db
        if not 0.0 < gain < 1.0:
            return full_db
        return min(full_db, max(full_db + 20.0 * math.log10(gain), _LOWEST_THRESHOLD_DB))

    def _hear(self, level_db: float, at_s: float) -> None:
        self._levels.add(level_db)
        is_warm = len(self._levels) >= _WARM_UP
        if is_warm:
            quiet_db = self._levels.quiet_db
            self._noise_db = quiet_db if self.began_at_s is None else min(self._noise_db, quiet_db)
        limit_db = self.limit_db
        if is_warm and self.began_at_s is None:
            self._look_for_beginning(at_s, limit_db)
        self._loud.append(level_db > limit_db)
        if self.began_at_s is not None and sum(self._loud) >= _STILL_LOUD:
            self.sound_until_s = at_s + WINDOW_S

    def _look_for_beginning(self, at_s: float, limit_db: float) -> None:
        """Find out whether sound begins in the newest windows, the last of which began at `at_s`."""
        levels, count = self._levels, len(self._levels)
        if levels.loudest_db <= limit_db:
            return
        # The first time, search all windows of the warm-up.
        for end in range(_OF if count == _WARM_UP else count, count + 1):
            loud = [place for place in range(end - _OF, end) if levels[place] > limit_db]
            if len(loud) >= _LOUD:
                first = loud[0]
                lowest = max(0, first - _RISE_WINDOWS)
                quiet_db = max(limit_db - _RISE_DB, self._noise_db + _MARGIN_DB / 2)
                while first > lowest and levels[first - 1] > quiet_db:
                    first -= 1
                self.began_at_s = at_s - (count - 1 - first) * WINDOW_S
                return


class _Levels:
    """The levels of the last `_NOISE_WINDOWS` windows, oldest first, in dBFS.

    There are a hundred windows a second: so they are kept in order as well, and never sorted.
    """

    def __init__(self) -> None:
        self._recent: deque[float] = deque()
        self._ascending: list[float] = []

    def __len__(self) -> int:
        return len(self._recent)

    def __getitem__(self, place: int) -> float:
        return self._recent[place]

    @property
    def loudest_db(self) -> float:
        """The highest of them; there must be at least one."""
        return self._ascending[-1]

    @property
    def quiet_db(self) -> float:
        """The level that all but `_NOISE_SHARE` of them reach or exceed; there must be at least one."""
        return self._ascending[int(len(self._ascending) * _NOISE_SHARE)]

    def add(self, level_db: float) -> None:
        """Add the level of the next window, and drop the oldest if there are enough."""
        if len(self._recent) == _NOISE_WINDOWS:
            del self._ascending[bisect_left(self._ascending, self._recent.popleft())]
        self._recent.append(level_db)
        insort(self._ascending, level_db)


def _levels_db(data: SampleArray, count: int) -> list[float]:
    """Return the level of each window in dBFS: the mean square of its loudest channel."""
    if count == 0:
        return []
    windows = data.reshape(count, _WINDOW, -1)
    # A third of the time of `square` and `mean`, because it keeps no squares.
    squares = np.einsum("wsc,wsc->wc", windows, windows).max(axis=1) / _WINDOW
    levels: list[float] = np.maximum(_SILENCE_DB, 10 * np.log10(np.maximum(squares, 1e-13))).tolist()
    return levels


class SoundTrigger:
    """Sends START when sound begins in any source, and STOP after `silence_s` without sound in all of them.

    With `silence_s` None it never sends STOP. Each source has its own `listener`, called by the thread that reads the
    source. The session's thread calls everything else. `make_detector` makes what decides for one source; by default,
    everything louder than `threshold_dbfs` is sound.
    """

    def __init__(
        self, threshold_dbfs: float, silence_s: float | None, make_detector: Callable[[], Detector] | None = None
    ) -> None:
        self._make_detector = make_detector or (lambda: SoundDetector(threshold_dbfs))
        self._silence_s = silence_s
        self._lock = threading.Lock()
        self._listeners: list[_Listener] = []
        self._send: Send | None = None
        self._armed = False
        self._quiet_since_s = math.inf
        self._began_at_s = math.inf

    def start(self, send: Send) -> None:
        """Pass commands to `send` from now on."""
        self._send = send

    def stop(self) -> None:
        """Send no more commands."""
        self._send = None

    def listener(self) -> Callable[[Samples], None]:
        """Return a function that must be called with every block of one source, in order."""
        listener = _Listener(self._make_detector)
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
        """Wait for the next sound to begin."""
        with self._lock:
            for listener in self._listeners:
                listener.rearm()
            self._armed = True

    def begin(self, at_s: float) -> None:
        """Note that a recording begins at `at_s`: silence counts from there."""
        with self._lock:
            self._armed = False
        self._began_at_s = self._quiet_since_s = at_s

    def resume(self, at_s: float) -> None:
        """Note that the recording continues at `at_s` after a pause: silence counts from there."""
        self._quiet_since_s = at_s

    @property
    def settled_until_s(self) -> float:
        """The moment up to which the recording certainly goes on. Samples after it may turn out to be after the end."""
        last_s = self._last_sound_s()
        return math.inf if self._silence_s is None or last_s is None else last_s + self._tail_s

    def tick(self, now_s: float) -> None:
        """Send STOP if the silence has lasted long enough. Call this a few times a second, except during a pause."""
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
        """Return when the last sound of this recording ended; None if there was none yet."""
        with self._lock:
            ends_s = [listener.sound_until_s for listener in self._listeners]
        return max((end_s for end_s in ends_s if end_s > self._began_at_s), default=None)


class _Listener:
    """Listens to one source, with a detector for each of its lanes."""

    def __init__(self, make_detector: Callable[[], Detector]) -> None:
        self._make_detector = make_detector
        self._lanes: dict[int, Detector] = {}
        self._heard_until_s = -math.inf

    def hear(self, samples: Samples) -> float | None:
        """Take in a block. Returns when sound began in its lane, or None."""
        detector = self._lanes.get(samples.lane)
        if detector is None:
            detector = self._lanes[samples.lane] = self._make_detector()
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
        """Return the moment up to which the source is known: an overdue source counts as silent."""
        return max(self._heard_until_s, now_s - _OVERDUE_S)
