"""Playing the take so far, while it is paused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from capture.errors import CaptureError, RecordingError
from capture.playback.player import Player, choose_player
from capture.playback.sound_file import SoundFile
from capture.threads.worker import Worker

__all__ = ["Preview"]

#: How long `stop` waits for the output to say what is still heard. One that hangs must not hold up the recording.
STOP_LIMIT_S: Final = 2.0


class Preview:
    """Plays the sound of the file at `path` from its beginning, once, in a thread of its own.

    `on_end` is called once by that thread when nothing is heard any more, or when `stop` was called, or when it failed;
    it must only pass the news on. What was wrong is in `error` by then.
    """

    def __init__(
        self,
        path: Path,
        on_end: Callable[[], None] = lambda: None,
        *,
        choose: Callable[[], Player] = choose_player,
    ) -> None:
        #: Why nothing, or no more, was played: `NotReadyError` or `RecordingError`.
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
        """Whether it has ended, or was never begun."""
        return self._worker.join(0.0)

    def start(self) -> None:
        """Begin to play; to be called once. Raises nothing."""
        self._worker.start()

    def stop(self) -> float:
        """End it, and return the moment (monotonic) from which on nothing of it is heard, be that past or to come.

        Takes milliseconds; where the sound server hangs, `STOP_LIMIT_S`. May be called again, by any thread but the
        preview's own, and before `start`, which then plays nothing.
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
            if self._silent_at_s is None:
                self._silent_at_s = time.monotonic()
            self._on_end()

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
