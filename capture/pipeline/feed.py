"""A pipeline and where its packets go: to the file of one take, or for all takes of a session and its replay buffer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from capture.clock import Clock
from capture.event_kinds import EventKind
from capture.events import Event
from capture.output.chapters import title_of
from capture.output.ledger import Ledger
from capture.output.writer import FileWriter
from capture.pipeline.devices import DeviceSet
from capture.pipeline.pipeline import Pipeline
from capture.pipeline.tee import Tee
from capture.replay.buffer import ReplayBuffer
from capture.replay.packets import ReplayTrack
from capture.settings import RecordSettings

__all__ = ["Feed"]

#: How long what was recorded up to a moment may take to come out as packets, when it is asked for: a block of sound and
#: a frame of its encoder.
CATCH_UP_S: Final = 0.15

#: How much longer where a device delivers nothing: the silence that stands for it is written late, see `STARVED_S`.
SILENCE_S: Final = 1.2

#: What of the sound may still be in its encoder when no more comes, as in a pause.
_INSIDE_S: Final = 0.1


class Feed:
    """Made with `inputs` open. With `settings.replay_s` what comes out is kept for that long as well."""

    def __init__(
        self,
        inputs: DeviceSet,
        settings: RecordSettings,
        clock: Clock,
        *,
        on_failure: Callable[[str, BaseException], None],
        record_event: Callable[[Event], None],
    ) -> None:
        """Raises `NotReadyError` where an encoder cannot be opened."""
        self.outlets = Tee()
        #: What happened to what is kept, in media time; None where nothing is kept.
        self.ledger = Ledger(span_s=settings.replay_s) if settings.replay_s is not None else None
        self._record_event = record_event
        self.pipeline = Pipeline(
            inputs, settings, clock, self.outlets.put, on_failure=on_failure, record_event=self._note
        )
        if settings.replay_s is not None:
            tracks = [ReplayTrack.of(template) for template in self.pipeline.templates]
            self.outlets.buffer = ReplayBuffer(settings.replay_s, settings.buffer_bytes, tracks)

    def _note(self, event: Event) -> None:
        if self.ledger is not None:
            self.ledger.record(event)
        self._record_event(event)

    def mark(self, at_s: float, text: str) -> Event:
        """Remember a moment of what is kept by a name, while nothing else is recorded; `at_s` is on the clock."""
        assert self.ledger is not None  # noqa: S101 - something is kept
        mark = Event(
            EventKind.MARK, self.pipeline.timeline.media_s(at_s), title_of(text, 1 + self.ledger.count(EventKind.MARK))
        )
        self.ledger.record(mark)
        return mark

    @property
    def buffer(self) -> ReplayBuffer | None:
        """The last seconds of what came out; None where nothing is kept."""
        return self.outlets.buffer

    @property
    def keeps(self) -> bool:
        """Whether what is recorded now is kept."""
        return self.buffer is not None and self.pipeline.has_begun

    def catch_up(self, media_s: float, writer: FileWriter | None = None) -> None:
        """Have everything up to a moment that is now, or just over, come out; any thread.

        Takes a blink, and a second where a device delivers nothing. A `writer` gets no pictures after the blink.
        """
        pipeline, outlets = self.pipeline, self.outlets
        pipeline.flush()
        if outlets.await_reached(media_s, CATCH_UP_S):
            return
        pictures = 0 if pipeline.has_picture else None
        if writer is not None and pictures is not None:
            outlets.leave_out(writer, pictures)
        outlets.await_reached(media_s - _INSIDE_S, SILENCE_S, but=pictures)
