"""One recording in progress: its file, its part of the feed, and its events, up to its summary."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from capture.clock import Clock
from capture.errors import OutputError
from capture.events import OF_FILES, Event, EventKind, Progress, State, Summary, VideoSummary
from capture.output.chapters import chapters_between, fitted_chapters, title_of
from capture.output.ledger import Ledger
from capture.output.ledger_file import LedgerFile
from capture.output.muxer import Muxer, muxer_under_free_name
from capture.output.naming import dated_name
from capture.output.writer import FileWriter
from capture.pipeline.feed import Feed
from capture.session.previews import Previews
from capture.session.tags import tags_of
from capture.session.vitals import Vitals
from capture.settings.record_settings import RecordSettings
from capture.timing.timeline import Timeline

__all__ = ["Take"]


class Take:
    """One recording. It is created before it starts, so that it can start at any moment.

    The session's thread calls its methods; any thread may call `record_now` and `record_event`; `end` and `conclude`
    run on another thread, because they may take long. `settled_at_s` returns the moment before which everything is
    certain to stay in the recording.
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
        """Raises `UsageError` and `OutputError` when the file cannot be created."""
        self._feed = feed
        self._settings = settings
        self._clock = clock
        self._settled_at_s = settled_at_s
        self._ledger = Ledger(emit)
        self._ledger_file: LedgerFile | None = None
        self._vitals = Vitals()
        self._asked_at_s = 0.0
        self._previews = Previews()
        self._begun = threading.Event()
        # Whether the recording is kept from now on, whatever goes wrong later.
        self._is_kept = False
        #: Whether the file was abandoned as it is; a thread may still be writing to it.
        self.is_left = False
        self.is_discarded = False
        self._muxer: Muxer | None = None
        # Whether the take is only a part of its feed, which then also fills the replay buffer.
        self._is_part = False
        self._begun_at_s = self._origin_s = 0.0
        self._stop_s = math.inf
        if not settings.is_numbered:
            # Reserve the name now, however long the recorder waits.
            self._muxer = Muxer(settings.output, settings.container, overwrite=settings.overwrite)
        self._on_failure = on_failure
        self._writer = FileWriter(on_failure)

    @property
    def stop_s(self) -> float:
        """The moment when it ends: it was stopped, or has its full duration. Infinite while neither is known."""
        if not self._is_part:
            return self.timeline.stop_s
        return min(self._stop_s, self.timeline.full_at_s(self._begun_at_s, self._settings.duration_s or math.inf))

    def media_s(self, at_s: float) -> float:
        """Convert a moment on the clock to seconds into the recording, without pauses."""
        return max(0.0, self.timeline.media_s(at_s) - self._origin_s)

    @property
    def timeline(self) -> Timeline:
        return self._feed.pipeline.timeline

    @property
    def path(self) -> str | None:
        """The path of the file; None as long as it has no name."""
        return str(self._muxer.path) if self._muxer is not None else None

    def begin(self, at_s: float) -> None:
        """Record from `at_s` on. Raises `OutputError` when the file cannot be written."""
        # Once, so that the name and the tags have the same date.
        begun = datetime.now().astimezone()
        if self._muxer is None:
            path = self._settings.output
            if self._settings.dated:
                path = path.with_name(dated_name(path.suffix, begun))
            self._muxer = muxer_under_free_name(path, self._settings.container)
        if self._settings.ledger:
            self._begin_ledger(self._muxer.path)
        pipeline, tee = self._feed.pipeline, self._feed.tee
        tags = tags_of(self._settings, begun)
        self._begun_at_s = at_s
        if pipeline.has_begun:
            self._is_part = True
            since_s = max(0.0, self.timeline.media_s(at_s) - self._settings.pre_roll_s)
            self._origin_s = tee.attach_since(self._writer, since_s)
            pipeline.begin_count(self._origin_s)
            if self._feed.ledger is not None:
                for event in self._feed.ledger.between(self._origin_s, math.inf):
                    self._ledger.record(event)
        else:
            tee.attach(self._writer)
        self._writer.start(self._muxer, pipeline.templates, self._settled_s, tags)
        if not self._is_part:
            pipeline.begin(at_s, self._settings.duration_s or math.inf)
        self.expect_progress()
        self._begun.set()

    def _begin_ledger(self, recording: Path) -> None:
        """Write all events into a ledger. A failure becomes an event and does not stop the recording."""
        overwrite = self._settings.overwrite and not self._settings.is_numbered
        try:
            file = self._ledger_file = LedgerFile(recording, self._lose_ledger, overwrite=overwrite)
        except OutputError as error:
            self._lose_ledger(error)
        else:
            self._ledger.copy_to(file.add)

    def _lose_ledger(self, error: OutputError) -> None:
        self.record_now(EventKind.NO_LEDGER, str(error))

    # While it records

    def pause(self, at_s: float) -> None:
        self.timeline.pause(at_s)
        self.record_event(Event(EventKind.PAUSE, self.media_s(at_s)))
        self._feed.pipeline.wake()

    def resume(self, at_s: float) -> float:
        """Resume at `at_s`, or later, when the end of a preview has been heard; return that moment."""
        resumed_at_s = max(at_s, self._previews.stop())
        self.timeline.resume(resumed_at_s)
        from_s, to_s = self.timeline.pauses()[-1]
        self.record_event(Event(EventKind.RESUME, self.media_s(to_s), f"after {to_s - from_s:.3f} s"))
        self._feed.pipeline.wake()
        return resumed_at_s

    def stop(self, at_s: float) -> None:
        """Stop at `at_s`, unless it was stopped earlier."""
        if self._is_part:
            self._stop_s = min(self._stop_s, max(at_s, self._begun_at_s))
        else:
            self.timeline.stop(at_s)

    def play(self) -> None:
        """Play what was recorded so far, from the start, even if it is already playing."""
        if self._muxer is not None:
            self._previews.play(self._muxer.path, self.record_now)

    def mark(self, at_s: float, text: str) -> None:
        """Add a chapter mark."""
        self.record_event(
            Event(EventKind.MARK, self.media_s(at_s), title_of(text, 1 + self._ledger.count(EventKind.MARK)))
        )

    def record_event(self, event: Event) -> None:
        """Record an event, in the recording's media time; also for clips, unless it concerns this file alone."""
        self._ledger.record(event)
        if self._feed.ledger is not None and self._begun.is_set() and event.kind not in OF_FILES:
            self._feed.ledger.record(event.moved(self._origin_s))

    def record_of_feed(self, event: Event) -> None:
        """Record the part of a feed's event that lies in this recording. The event is in the feed's media time."""
        ends_s = self._origin_s + self._length_s if self.stop_s < math.inf else math.inf
        if self._writer.has_begun and event.at_s < ends_s and event.end_s >= self._origin_s:
            to_s = None if event.to_s is None else min(event.to_s, ends_s)
            self._ledger.record(replace(event, to_s=to_s).moved(-self._origin_s))

    def record_now(self, kind: EventKind, detail: str) -> None:
        """Record an event that happens now."""
        self.record_event(Event(kind, self._elapsed_s(), detail))

    def expect_progress(self) -> None:
        """Progress is asked for from now on: when it comes late, nothing ran."""
        self._asked_at_s = self._clock.now_s()

    def progress(self, state: State) -> Progress:
        """Return the progress, and record new problems as events. To be called several times a second."""
        pipeline, elapsed_s = self._feed.pipeline, self._elapsed_s()
        before_s, self._asked_at_s = self._asked_at_s, self._clock.now_s()
        from_s, has_picture = self.media_s(before_s), pipeline.has_picture
        for event in self._vitals.look_at_standstill(from_s, elapsed_s, has_picture=has_picture):
            self.record_event(event)
        self._ledger.settle(elapsed_s)
        levels = pipeline.levels()
        disk = (self._writer.busy_s, self._writer.behind_s) if self._begun.is_set() else (0.0, 0.0)
        troubles = self._vitals.look_at_levels(levels) if state is State.RECORDING else []
        for kind, detail in (*troubles, *self._vitals.look_at_disk(*disk)):
            self.record_now(kind, detail)
        fps = self._vitals.fps(elapsed_s, pipeline.frames)
        width, height = pipeline.size
        return Progress(
            state, elapsed_s, self._size_bytes(), width, height, fps, pipeline.dropped, levels, done=self._vitals.done
        )

    def status(self) -> dict[str, Any]:
        """Return the state of the recording for an answer to a request."""
        paused_s = self._paused_s(self._now_s()) if self._begun.is_set() else 0.0
        return {
            "path": self.path,
            "elapsed_s": round(self._elapsed_s(), 3),
            "paused_s": round(paused_s, 3),
            "size_bytes": self._size_bytes(),
        }

    def _now_s(self) -> float:
        """Return the moment on the clock that the recording has reached."""
        return min(self._clock.now_s(), self.stop_s)

    def _elapsed_s(self) -> float:
        return self.media_s(self._now_s()) if self._begun.is_set() else 0.0

    def _size_bytes(self) -> int:
        return self._muxer.size_bytes() if self._muxer is not None else 0

    def _settled_s(self) -> float:
        """Return the media time up to which the recording is final and may be written.

        A recording with a picture is written at once, because a crash would cost too much of it; its end is cut off
        when it is finished.
        """
        settled_at_s = math.inf if self._settings.wants_video else self._settled_at_s()
        return self.media_s(settled_at_s) if settled_at_s < math.inf else math.inf

    # Ending

    def end(self) -> None:
        """Write what was recorded before the stop, and close the file."""
        path = self.path
        # Packets from after the stop come while the last ones from before it are awaited.
        self._writer.end_at(self._length_s)
        try:
            self._end_feed()
        finally:
            chapters = chapters_between(self._ledger.of(EventKind.MARK), self._length_s)
            self._writer.close(chapters)
        if left_out := fitted_chapters(chapters, self._settings.container.format, voice=self._settings.voice)[1]:
            self.record_now(EventKind.CHAPTERS, left_out)
        if self.path != path:
            self.record_now(EventKind.MOVED, f"the file was moved to {self.path}")
        if self._writer.close_error is not None:
            self._judge_close(self._writer.close_error)

    def _judge_close(self, error: OutputError) -> None:
        """Report what closing the file reported: as an event if the file holds everything, else as a failure."""
        from capture.session.summaries import is_complete

        if self._muxer is not None and is_complete(self._muxer.path, self._muxer.reached_s):
            self.record_now(EventKind.CLOSE_ERROR, f"{error.message}, but the file is whole")
        else:
            self._on_failure("muxer", error)

    def _end_feed(self) -> None:
        """Let the last packets reach the writer."""
        silent_at_s = self._previews.stop()
        if self._is_part:
            self._feed.catch_up(self.timeline.media_s(self.stop_s), self._writer)
            self._feed.tee.detach(self._writer)
            # A pause ends with its take: the buffer and the next take continue.
            self.timeline.resume(max(self._clock.now_s(), silent_at_s))
            self._feed.pipeline.wake()
        else:
            self._feed.pipeline.finish()

    @property
    def _length_s(self) -> float:
        """The length of the recording, once it was stopped."""
        return self.media_s(self.stop_s)

    def _paused_s(self, until_s: float) -> float:
        return self.timeline.paused_s(until_s) - self.timeline.paused_s(self._begun_at_s)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written."""
        return self._muxer is None or self._muxer.is_empty

    @property
    def is_gone(self) -> bool:
        """Whether the file no longer exists, or is empty."""
        return self._size_bytes() == 0

    def conclude(self, stopped_by: str, *, failed: bool) -> Summary:
        """Improve the file of the ended recording, check it, and return the summary."""
        muxer = self._muxer
        assert muxer is not None  # noqa: S101 - it has begun
        self._is_kept = True
        try:
            muxer.keep()
        except OutputError as error:
            failed = True
            self._on_failure("muxer", error)
            self._name_old_file()
        try:
            return self._summary(muxer, stopped_by, failed=failed)
        finally:
            if self._ledger_file is not None:
                for event in self._ledger.left_out():
                    self._ledger_file.add(event)
                self._ledger_file.end(self._length_s, stopped_by)

    def leave(self) -> None:
        """Abandon the file as it is; a thread may still be writing to it."""
        self.is_left = self._is_kept = True
        self._name_old_file()

    def _name_old_file(self) -> None:
        """Report where the file is that this recording was to replace, if it is still there."""
        if self._muxer is not None and (aside := self._muxer.set_aside) is not None:
            self.record_now(EventKind.OLD_FILE, f"the file that {self.path} was to replace is kept as {aside}")

    def describe_left(self, stopped_by: str) -> Summary:
        """Return the summary of an abandoned recording, without reading the file: its disk may not answer."""
        return self._described(stopped_by, self._length_s, "the file was left unfinished")

    def _summary(self, muxer: Muxer, stopped_by: str, *, failed: bool) -> Summary:
        from capture.session.summaries import improve, judge  # needed only now, and takes 6 ms to load

        if not failed:
            marks, note_done = self._ledger.of(EventKind.MARK), self._vitals.note_done
            improve(muxer.path, self._settings, self._length_s, stopped_by, self.record_now, marks, note_done)
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
        # The frames in the file: its writer may leave out the last repeat.
        pipeline, frames = self._feed.pipeline, self._writer.written[0]
        if self._is_part:
            return pipeline.video_between(self._origin_s, self._origin_s + self._length_s, frames)
        whole = pipeline.video_summary()
        return whole and replace(whole, frames=frames)

    def discard(self) -> None:
        """Delete the file, and restore the one that it would have replaced; may be called twice.

        A take that has become a recording is kept. Raises `OutputError` when the disk does not allow it.
        """
        if self.is_discarded:
            return
        self.is_discarded = True
        # A take that could not start has no writer thread, and the feed would wait for it.
        self._feed.tee.detach(self._writer)
        if self._is_kept:
            return
        self._writer.close()
        try:
            if self._muxer is not None:
                self._muxer.discard()
        finally:
            if self._ledger_file is not None:
                self._ledger_file.discard()
