"""Plays the take so far while it is paused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from capture.errors import CaptureError, NotReadyError, RecordingError
from capture.playback.player import Player, choose_player
from capture.recordings.sound_file import SoundFile
from capture.threads.worker import Worker

__all__ = ["Preview"]

#: How long `stop` waits for the output to say how long it stays audible. One that hangs must not delay the recording.
STOP_LIMIT_S: Final = 2.0


class Preview:
    """Plays the sound of the file at `path` once, from the start, in a separate thread.

    That thread calls `on_end` once, after the last sound, a `stop` or a failure; `on_end` must only pass the news on.
    By then `error` holds the failure, if any.
    """

    def __init__(
        self,
        path: Path,
        on_end: Callable[[], None] = lambda: None,
        *,
        choose: Callable[[], Player] = choose_player,
    ) -> None:
        #: Why playing failed: a `NotReadyError` or `RecordingError`.
        self.error: CaptureError | None = None
        self._path = path
        self._on_end = on_end
        self._choose = choose
        self._lock = threading.Lock()
        self._player: Player | None = None
        self._stopping = False
        self._silent_at_s: float | None = None
        self._worker = Worker("preview", self._run)

    @property
    def is_over(self) -> bool:
        """Whether the preview has ended or was never started."""
        return self._worker.join(0.0)

    def start(self) -> None:
        """Start to play. Call it once; it raises nothing."""
        try:
            self._worker.start()
        except NotReadyError as error:
            self.error = error
            self._end()

    def stop(self) -> float:
        """Stop the preview; return the monotonic time, past or future, from which on it is silent.

        Takes milliseconds, or `STOP_LIMIT_S` if the sound server hangs. Any thread but the preview's own may call it,
        more than once, and also before `start`, which then plays nothing.
        """
        with self._lock:
            self._stopping = True
            if self._player is not None:
                self._player.wake()
        self._worker.join(STOP_LIMIT_S)
        return time.monotonic() if self._silent_at_s is None else self._silent_at_s

    def _run(self) -> None:
        try:
            self._play()
        except CaptureError as error:
            self.error = error
        except Exception as error:
            self.error = RecordingError(f"{self._path} cannot be played ({type(error).__name__}: {error})")
            self.error.__cause__ = error
        finally:
            self._end()

    def _end(self) -> None:
        _forget_frames(self.error)
        if self._silent_at_s is None:
            self._silent_at_s = time.monotonic()
        on_end, self._on_end = self._on_end, lambda: None
        on_end()

    def _play(self) -> None:
        with SoundFile(self._path) as file:
            player = self._choose()
            with self._lock:
                if self._stopping:
                    return
                self._player = player
            try:
                player.open()
                for block in file.blocks():
                    if self._stopping:
                        return
                    player.play(block)
                if not self._stopping:
                    player.drain()
            finally:
                left_s = player.stop()
                self._silent_at_s = time.monotonic() + left_s
                player.close()


def _forget_frames(error: BaseException | None) -> None:
    """Drop the tracebacks of an error and of its causes: they refer to the preview, which refers to the error."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
