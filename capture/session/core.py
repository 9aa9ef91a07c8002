"""The state that the parts of a session share: the current take, the failure, the inbox and the feed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from capture.clock import Clock
from capture.errors import CaptureError, NoRoomError, RecordingError
from capture.events import Event, EventKind, EventSink, Request, State, Summary, kind_of
from capture.session.inbox import Inbox, WorkerFailure, refuse
from capture.settings.record_settings import RecordSettings

if TYPE_CHECKING:
    from capture.pipeline.feed import Feed
    from capture.session.clip_saver import ClipSaver
    from capture.session.take import Take

__all__ = ["SessionCore"]


class SessionCore:
    """The shared state of a session.

    Only the session's thread changes it, except `hears_keys`. Any thread may call `record_event`, `record_of_feed` and
    `on_worker_failure`.
    """

    def __init__(self, settings: RecordSettings, clock: Clock, emit: EventSink) -> None:
        self.settings = settings
        self.clock = clock
        self.emit = emit
        self.inbox = Inbox()
        #: Saves clips from the replay buffer; None without one.
        self.clips: ClipSaver | None = None
        if settings.replay_s is not None:
            # Imported here: what reads and writes clips takes 8 ms to load, and few recorders keep a buffer.
            from capture.session.clip_saver import ClipSaver

            self.clips = ClipSaver(settings, emit)
        self.state = State.IDLE
        #: The first error that ended a recording early; what was recorded until then is in the file.
        self.error: CaptureError | None = None
        #: The error that ended the current recording early.
        self.failure: CaptureError | None = None
        #: Whether the session ends after the current recording.
        self.over = False
        #: True once we have given up on a thread that is blocked on the disk.
        self.is_stuck = False
        #: The summary of every recording that was kept.
        self.summaries: list[Summary] = []
        #: False once it is known that no hotkeys work, or none that ends a recording.
        self.hears_keys = True
        self.feed: Feed | None = None
        self.take: Take | None = None
        self._early: list[Event] = []
        # Held while an event finds out which take it belongs to.
        self._adopting = threading.Lock()

    def adopt(self, take: Take) -> None:
        """Make `take` the current one. It also gets the events that came before it."""
        self.failure = None
        with self._adopting:
            early, self._early, self.take = self._early, [], take
        for event in early:
            take.record_event(event)

    def release(self) -> None:
        """Let go of the recording that has ended, before the next one is prepared."""
        self.take = self.feed = None

    def abandon(self, error: CaptureError) -> None:
        """Stop waiting for a thread that hangs."""
        self.over = self.is_stuck = True
        self.fail(error)

    def record_event(self, kind: EventKind, detail: str) -> None:
        """Record an event that happens now; any thread. While there is no take, the next one gets it."""
        if kind == EventKind.NO_HOTKEYS:
            self.hears_keys = False
        with self._adopting:
            take = self.take
            if take is None:
                self._early.append(Event(kind, 0.0, detail))
        if take is not None:
            take.record_now(kind, detail)

    def answer(self, request: Request) -> None:
        """Answer a request with the state of the session."""
        if request.answer is not None:
            status = self.take.status() if self.take is not None else {"path": None, "elapsed_s": 0.0}
            buffer_s, buffer_bytes = self.buffered
            buffered = {
                "buffer_s": round(buffer_s, 3),
                "buffer_bytes": buffer_bytes,
                "replay_s": self.settings.replay_s,
                "clip_done": round(self.clips.done, 3) if self.clips is not None else 0.0,
            }
            request.answer({"ok": True, "state": self.state.value, **status, **buffered})

    def on_worker_failure(self, worker: str, error: BaseException) -> None:
        self.inbox.put(WorkerFailure(worker, error))

    def note_failure(self, failure: WorkerFailure) -> CaptureError:
        """End the recording with this failure, unless an earlier one did; return the failure that it ends with."""
        error = failure.error
        # A full disk or file ends a recording, but not a replay buffer in memory.
        goes_on = self.settings.standby and isinstance(error, NoRoomError)
        self.over |= not goes_on
        if self.failure is not None:
            return self.failure
        if not isinstance(error, CaptureError):
            cause, error = error, RecordingError(f"the {failure.worker} failed ({type(error).__name__}: {error})")
            error.__cause__ = cause
        self.fail(error)
        self.record_event(kind_of(error), str(error))
        return error

    def fail(self, error: CaptureError) -> None:
        """Make `error` the failure of the current recording, and the session's error if it is the first."""
        self.failure = error
        self.error = self.error or error

    def record_of_feed(self, event: Event) -> None:
        """Add an event of the picture or the sound to the current recording; without one, drop it."""
        take = self.take
        if take is not None and self.state not in (State.FINISHED, State.DISCARDED, State.FAILED):
            take.record_of_feed(event)

    def save_clip(self, request: Request) -> None:
        """Save the replay buffer up to the moment of the request, on another thread."""
        feed = self.feed
        if feed is None or self.clips is None or not feed.is_buffering:
            refuse(request, "this recorder keeps no replay buffer: start one with capture replay --last 60s")
            return
        self.clips.save(feed, request)

    @property
    def buffered(self) -> tuple[float, int]:
        """The seconds and bytes in the replay buffer."""
        buffer = self.feed.buffer if self.feed is not None else None
        return (buffer.seconds, buffer.size_bytes) if buffer is not None else (0.0, 0)
