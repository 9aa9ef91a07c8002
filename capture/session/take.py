"""One recording that is being made: its file, its pipeline, and what is remembered of it until it is a summary."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from capture.clock import Clock
from capture.errors import OutputError, UsageError
from capture.event_kinds import EventKind
from capture.events import Event, Progress, State, Summary, VideoSummary
from capture.output.chapters import chapters_between, title_of
from capture.output.ledger import Ledger
from capture.output.ledger_file import LedgerFile
from capture.output.muxer import Muxer
from capture.output.naming import candidates, dated_name
from capture.output.writer import FileWriter
from capture.pipeline.feed import Feed
from capture.session.summaries import improve, judge
from capture.session.vitals import Vitals
from capture.settings import RecordSettings
from capture.timing.timeline import Timeline

if TYPE_CHECKING:
    from capture.playback.preview import Preview

__all__ = ["Take"]


class Take:
    """One recording, made before it begins so that it can begin at any moment.

    The session's thread calls its methods; any thread may call `record_now` and `record_event`; `end` and `conclude`
    run on a thread that may take its time. `settled_at_s` gives the moment up to which nothing can cut the recording
    any more.
    """

    def __init__(
        self,
        feed: Feed,
        settings: RecordSettings,
        clock: Clock,
        *,
        settled_at_s: Callable[[], float],
        on_failure: Callable[[str, BaseException], None],
        emit: Callable[[Event], None],
    ) -> None:
        """Raises `UsageError` and `OutputError` where the file cannot be made."""
        self._feed = feed
        self._settings = settings
        self._clock = clock
        self._settled_at_s = settled_at_s
        self._ledger = Ledger(emit)
        self._ledger_file: LedgerFile | None = None
        self._vitals = Vitals(self.record_event, self.record_now)
        self._asked_at_s = 0.0
        self._preview: Preview | None = None
        self._begun = threading.Event()
        # From when it is a recording that is kept, whatever goes wrong after that.
        self._stands = False
        #: Whether its file is given up as it is, and a thread may still be at it.
        self.is_left = False
        self.is_discarded = False
        self._muxer: Muxer | None = None
        # When the feed is a session's, the take is a part of it.
        self._is_part = False
        self._begun_at_s = self._origin_s = 0.0
        self._stop_s = math.inf
        if not settings.is_numbered:
            # The name is this recorder's from now on, however long it waits.
            self._muxer = Muxer(settings.output, settings.container, overwrite=settings.overwrite)
        self._writer = FileWriter(on_failure, self._settled_s)

    @property
    def stop_s(self) -> float:
        """When it ends: when it was stopped, or has its duration. Infinite while that is open."""
        if not self._is_part:
            return self.timeline.stop_s
        full_s = self._begun_at_s + (self._settings.duration_s or math.inf)
        now_s = self._clock.now_s()
        return min(self._stop_s, full_s + self.timeline.paused_s(now_s) - self.timeline.paused_s(self._begun_at_s))

    def media_s(self, at_s: float) -> float:
        """How much of the recording lies before a moment."""
        return max(0.0, self.timeline.media_s(at_s) - self._origin_s)

    @property
    def timeline(self) -> Timeline:
        return self._feed.pipeline.timeline

    @property
    def path(self) -> str | None:
        """Where the file is; None as long as it has no name."""
        return str(self._muxer.path) if self._muxer is not None else None

    def begin(self, at_s: float) -> None:
        """Record from `at_s` on. Raises `OutputError` where the file cannot be written."""
        if self._muxer is None:
            self._muxer = self._make_numbered_muxer()
        if self._settings.ledger:
            self._begin_ledger(self._muxer.path)
        pipeline, tee = self._feed.pipeline, self._feed.tee
        self._begun_at_s = at_s
        if pipeline.has_begun:
            self._is_part = True
            since_s = max(0.0, self.timeline.media_s(at_s) - self._settings.pre_roll_s)
            self._origin_s = tee.attach_since(self._writer, since_s)
            pipeline.begin_count(self._origin_s)
            if self._feed.ledger is not None:
                for event in self._feed.ledger.between(self._origin_s, math.inf):
                    self._ledger.record(event)
            self._writer.start(self._muxer, pipeline.templates)
        else:
            tee.attach(self._writer)
            self._writer.start(self._muxer, pipeline.templates)
            pipeline.begin(at_s, self._settings.duration_s or math.inf)
        self.expect_progress()
        self._begun.set()

    def _make_numbered_muxer(self) -> Muxer:
        """A file under the first name that is free."""
        path = self._settings.output
        if self._settings.dated:
            path = path.with_name(dated_name(path.suffix, datetime.now().astimezone()))
        for candidate in candidates(path):
            with suppress(UsageError):
                return Muxer(candidate, self._settings.container)
        raise AssertionError("candidates never end")

    def _begin_ledger(self, recording: Path) -> None:
        """Have everything that happens written down. Where that cannot be it is said: the recording is worth more."""
        overwrite = self._settings.overwrite and not self._settings.is_numbered
        try:
            file = self._ledger_file = LedgerFile(recording, self._lose_ledger, overwrite=overwrite)
        except OutputError as error:
            self._lose_ledger(error)
        else:
            self._ledger.copy_to(file.add)

    def _lose_ledger(self, error: OutputError) -> None:
        self.record_now(EventKind.NO_LEDGER, str(error))

    # While it goes on

    def pause(self, at_s: float) -> None:
        self.timeline.pause(at_s)
        self.record_event(Event(EventKind.PAUSE, self.media_s(at_s)))
        self._feed.pipeline.wake()

    def resume(self, at_s: float) -> float:
        """Go on from `at_s`, or from when the last of a preview has been heard, and return which it was."""
        resumed_at_s = max(at_s, self._stop_playing())
        self.timeline.resume(resumed_at_s)
        from_s, to_s = self.timeline.pauses()[-1]
        self.record_event(Event(EventKind.RESUME, self.media_s(to_s), f"after {to_s - from_s:.3f} s"))
        self._feed.pipeline.wake()
        return resumed_at_s

    def stop(self, at_s: float) -> None:
        """End it at `at_s`; an earlier end stays."""
        if self._is_part:
            self._stop_s = min(self._stop_s, max(at_s, self._begun_at_s))
        else:
            self.timeline.stop(at_s)

    def play(self) -> None:
        """Play what was recorded so far; from the beginning again, when that is going on."""
        # Most recordings are never listened to meanwhile.
        from capture.playback.preview import Preview

        self._stop_playing()
        if self._muxer is not None:
            preview = self._preview = Preview(self._muxer.path, lambda: self._tell_preview(preview))
            preview.start()

    def _tell_preview(self, preview: Preview) -> None:
        if preview.error is not None:
            self.record_now(EventKind.NO_PREVIEW, f"the preview failed: {preview.error}")

    def _stop_playing(self) -> float:
        """Be silent; the moment when the last of what was played has been heard."""
        preview, self._preview = self._preview, None
        return preview.stop() if preview is not None else -math.inf

    def mark(self, at_s: float, text: str) -> None:
        """Remember a moment by a name."""
        self.record_event(
            Event(EventKind.MARK, self.media_s(at_s), title_of(text, 1 + self._ledger.count(EventKind.MARK)))
        )

    def record_event(self, event: Event) -> None:
        """Record what happens to it, in its media time."""
        self._ledger.record(event)
        if self._feed.ledger is not None and self._begun.is_set():
            self._feed.ledger.record(event.moved(self._origin_s))

    def record_of_feed(self, event: Event) -> None:
        """Record what happens to the feed, in the feed's media time, as far as it concerns this recording."""
        ends_s = self._origin_s + self._length_s if self.stop_s < math.inf else math.inf
        if event.at_s < ends_s and event.end_s >= self._origin_s:
            to_s = None if event.to_s is None else min(event.to_s, ends_s)
            self._ledger.record(replace(event, to_s=to_s).moved(-self._origin_s))

    def record_now(self, kind: EventKind, detail: str) -> None:
        """Record an event that happens now."""
        self.record_event(Event(kind, self._elapsed_s(), detail))

    def expect_progress(self) -> None:
        """Progress is asked for from now on: when it comes late, nothing ran."""
        self._asked_at_s = self._clock.now_s()

    def progress(self, state: State) -> Progress:
        """The state of the recording, to be asked for several times a second; new troubles become events."""
        pipeline, elapsed_s = self._feed.pipeline, self._elapsed_s()
        before_s, self._asked_at_s = self._asked_at_s, self._clock.now_s()
        self._vitals.look_at_standstill(self.media_s(before_s), elapsed_s)
        self._ledger.settle(elapsed_s)
        levels = pipeline.levels()
        if state is State.RECORDING:
            self._vitals.look_at_levels(levels)
        self._vitals.look_at_disk(self._writer.busy_s if self._begun.is_set() else 0.0)
        fps = self._vitals.fps(elapsed_s, pipeline.frames)
        width, height = pipeline.size
        return Progress(state, elapsed_s, self._size_bytes(), width, height, fps, pipeline.dropped, levels)

    def status(self) -> dict[str, Any]:
        """How it goes, as the remote control tells it."""
        paused_s = self._paused_s(self._now_s()) if self._begun.is_set() else 0.0
        return {
            "path": self.path,
            "elapsed_s": round(self._elapsed_s(), 3),
            "paused_s": round(paused_s, 3),
            "size_bytes": self._size_bytes(),
        }

    def _now_s(self) -> float:
        """The moment that the recording has reached on the clock."""
        return min(self._clock.now_s(), self.stop_s)

    def _elapsed_s(self) -> float:
        return self.media_s(self._now_s()) if self._begun.is_set() else 0.0

    def _size_bytes(self) -> int:
        return self._muxer.size_bytes() if self._muxer is not None else 0

    def _settled_s(self) -> float:
        """Up to which media time what was recorded stays, whatever comes.

        A picture does not wait for that, a crash would cost too much of it: it is cut when it is finished.
        """
        settled_at_s = math.inf if self._settings.wants_video else self._settled_at_s()
        return self.media_s(settled_at_s) if settled_at_s < math.inf else math.inf

    # Ending

    def end(self) -> None:
        """Let what was recorded before the stop reach the file, and close it."""
        path = self.path
        try:
            self._end_feed()
        finally:
            self._writer.close(self._length_s, chapters_between(self._ledger.of(EventKind.MARK), self._length_s))
        if self.path != path:
            self.record_now(EventKind.MOVED, f"somebody moved it to {self.path}")

    def _end_feed(self) -> None:
        """Let the last packets reach the writer."""
        silent_at_s = self._stop_playing()
        if self._is_part:
            self._feed.catch_up(self.timeline.media_s(self.stop_s), self._writer)
            self._feed.tee.detach(self._writer)
            # A pause is that of the take: the buffer and the next take go on.
            self.timeline.resume(max(self._clock.now_s(), silent_at_s))
            self._feed.pipeline.wake()
        else:
            self._feed.pipeline.finish()

    @property
    def _length_s(self) -> float:
        """How long the recording is, once it was stopped."""
        return self.media_s(self.stop_s)

    def _paused_s(self, until_s: float) -> float:
        return self.timeline.paused_s(until_s) - self.timeline.paused_s(self._begun_at_s)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever written."""
        return self._muxer is None or self._muxer.is_empty

    @property
    def is_gone(self) -> bool:
        """Whether the file that was written is there no more."""
        return self._size_bytes() == 0

    def conclude(self, stopped_by: str, *, failed: bool) -> Summary:
        """Give the ended recording its last form, look at it, and tell what became of it."""
        muxer = self._muxer
        assert muxer is not None  # noqa: S101 - it has begun
        self._stands = True
        muxer.keep()
        try:
            return self._summary(muxer, stopped_by, failed=failed)
        finally:
            if self._ledger_file is not None:
                for event in self._ledger.left_out():
                    self._ledger_file.add(event)
                self._ledger_file.end(self._length_s, stopped_by)

    def leave(self) -> None:
        """Wait no longer for the file: it stays as it is, with a thread that may still be at it."""
        self.is_left = self._stands = True

    def describe_left(self, stopped_by: str) -> Summary:
        """What is known of a recording that was left; nothing is read, for its disk may not answer."""
        return self._described(stopped_by, self._length_s, "the file was left unfinished")

    def _summary(self, muxer: Muxer, stopped_by: str, *, failed: bool) -> Summary:
        if not failed:
            improve(muxer.path, self._settings, self._length_s, stopped_by, self.record_now)
        if self.is_gone:
            return self._described(stopped_by, 0.0, "nothing was recorded")
        return self._described(stopped_by, *judge(muxer.path, self._length_s))

    def _described(self, stopped_by: str, duration_s: float, verdict: str) -> Summary:
        self._ledger.settle()
        return Summary(
            path=self.path or "",
            container=self._settings.output.suffix[1:].lower(),
            duration_s=duration_s,
            size_bytes=self._size_bytes(),
            video=self._video_summary(),
            audio=self._feed.pipeline.audio_summaries(self._length_s),
            paused_s=self._paused_s(self.stop_s),
            events=self._ledger.events(),
            stopped_by=stopped_by,
            check=verdict,
            ledger=str(self._ledger_file.path) if self._ledger_file is not None else None,
        )

    def _video_summary(self) -> VideoSummary | None:
        if not self._is_part:
            return self._feed.pipeline.video_summary()
        until_s = self._origin_s + self._length_s
        return self._feed.pipeline.video_between(self._origin_s, until_s, self._writer.written[0])

    def discard(self) -> None:
        """Remove the file, and put back the one it would have replaced; may be called twice.

        A take that has become a recording is left alone.
        """
        if self.is_discarded:
            return
        self.is_discarded = True
        # A take that could not begin has no writer thread, and the feed would wait for it.
        self._feed.tee.detach(self._writer)
        if self._stands:
            return
        # Where it had begun to begin.
        self._writer.close()
        if self._muxer is not None:
            self._muxer.discard()
        if self._ledger_file is not None:
            self._ledger_file.discard()
