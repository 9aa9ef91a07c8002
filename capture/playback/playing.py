"""Plays the sound of a recording: from any position, at any speed, with pauses."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from capture.errors import CaptureError, RecordingError
from capture.media import SampleArray
from capture.playback.player import Player
from capture.playback.tempo import Tempo
from capture.recordings.sound_file import BLOCK_SAMPLES, SoundFile
from capture.threads.worker import Worker

__all__ = ["Playing"]

#: How long a command waits for the output to fall silent. One that hangs must not stop the user from ending it.
_SILENCE_LIMIT_S: Final = 2.0


class Playing:
    """Plays the file at `path` once, from `from_s`, `speed` times as fast, in a thread of its own.

    `track` is one audio track, counted from 0; without it all are mixed. `choose` makes a player: there is a new one
    after each pause and seek, so that nothing is heard that the last one still had. One thread calls the methods.
    """

    def __init__(
        self,
        path: Path,
        *,
        choose: Callable[[], Player],
        from_s: float = 0.0,
        speed: float = 1.0,
        track: int | None = None,
    ) -> None:
        #: Why it ended early: a `RecordingError` or `NotReadyError`.
        self.error: CaptureError | None = None
        #: Whether everything was heard.
        self.reached_end = False
        self._path = path
        self._track = track
        self._choose = choose
        # Guards all that follows. Notified when a part has ended, and when the next one may begin.
        self._changed = threading.Condition()
        self._from_s = from_s
        self._speed = speed
        self._part: _Part | None = None
        self._paused = False
        self._stopping = False
        # Whether a command is about to say how the next part begins.
        self._held = False
        self._worker = Worker("playing", self._run)

    @property
    def speed(self) -> float:
        return self._speed

    @property
    def is_paused(self) -> bool:
        return self._paused

    @property
    def position_s(self) -> float:
        """The place in the recording that is heard now, in seconds."""
        with self._changed:
            return self._from_s + (0.0 if self._part is None else self._part.heard_s() * self._speed)

    def start(self) -> None:
        """Start to play. Call it once; it raises nothing."""
        self._worker.start()

    def wait(self, timeout_s: float) -> bool:
        """Wait until it has ended, in whatever way; return False if it has not after `timeout_s`."""
        return self._worker.join(timeout_s)

    def pause(self) -> None:
        """Fall silent at once; `position_s` is where `resume` goes on."""
        with self._changed:
            self._paused = True
            self._fall_silent()
            self._go_on()

    def resume(self) -> None:
        with self._changed:
            self._paused = False
            self._go_on()

    def seek(self, to_s: float) -> None:
        """Go on at `to_s`, or at the start if that is before it."""
        with self._changed:
            self._fall_silent()
            self._from_s = max(0.0, to_s)
            self._go_on()

    def change_speed(self, speed: float) -> None:
        """Go on at another speed."""
        with self._changed:
            self._fall_silent()
            self._speed = speed
            self._go_on()

    def stop(self) -> None:
        """Fall silent for good, within `_SILENCE_LIMIT_S`; may be called twice, and before `start`."""
        with self._changed:
            self._stopping = True
            self._fall_silent()
            self._go_on()
        self._worker.join(_SILENCE_LIMIT_S)

    def _fall_silent(self) -> None:
        """End the part that plays, and wait until it has said how far it came. The next one waits for `_go_on`."""
        self._held, part = True, self._part
        if part is not None:
            part.cut()
            if not self._changed.wait_for(lambda: self._part is not part, _SILENCE_LIMIT_S):
                self._part = None

    def _go_on(self) -> None:
        self._held = False
        self._changed.notify_all()

    def _run(self) -> None:
        tracks = None if self._track is None else (self._track,)
        try:
            while not self.reached_end:
                with self._changed:
                    self._changed.wait_for(lambda: self._stopping or not (self._paused or self._held))
                    if self._stopping:
                        return
                    part = self._part = _Part(self._choose)
                    from_s, speed = self._from_s, self._speed
                try:
                    with SoundFile(self._path, from_s=from_s, tracks=tracks) as file:
                        self.reached_end = part.play(_at_tempo(file, speed))
                finally:
                    with self._changed:
                        # Otherwise a command has given up waiting for it.
                        if self._part is part:
                            self._from_s, self._part = from_s + part.heard_s() * speed, None
                        self._changed.notify_all()
        except CaptureError as error:
            self.error = error
        except Exception as error:
            self.error = RecordingError(f"{self._path} cannot be played ({type(error).__name__}: {error})")


class _Part:
    """What is played with one player: up to a command, or to the end. `play` is for one thread."""

    def __init__(self, choose: Callable[[], Player]) -> None:
        self._choose = choose
        self._lock = threading.Lock()
        self._player: Player | None = None
        self._is_cut = False

    def play(self, blocks: Iterator[SampleArray]) -> bool:
        """Play the blocks; return whether all were heard."""
        # Read first: a file that does not open needs no output.
        first = next(blocks, None)
        if first is None:
            return True
        player = self._choose()
        with self._lock:
            if self._is_cut:
                return False
            self._player = player
        try:
            player.open()
            for block in itertools.chain([first], blocks):
                if self._is_cut:
                    return False
                player.play(block)
            if not self._is_cut:
                player.drain()
            return not self._is_cut
        finally:
            player.stop()
            player.close()

    def cut(self) -> None:
        """Make `play` return soon. Any thread may call it."""
        with self._lock:
            self._is_cut = True
            if self._player is not None:
                self._player.wake()

    def heard_s(self) -> float:
        """Return how much was heard, at the usual speed. Any thread may call it."""
        player = self._player
        return 0.0 if player is None else player.heard_s()


def _at_tempo(file: SoundFile, speed: float) -> Iterator[SampleArray]:
    """Yield the sound of `file`, faster or slower, in blocks of at most 0.1 s."""
    tempo = Tempo(speed)
    for decoded in file.blocks():
        yield from _in_blocks(tempo.take(decoded))
    yield from _in_blocks(tempo.finish())


def _in_blocks(samples: SampleArray) -> Iterator[SampleArray]:
    for start in range(0, len(samples), BLOCK_SAMPLES):
        yield samples[start : start + BLOCK_SAMPLES]
