"""A pipeline with its tee and replay buffer, for one take or for all takes of a session."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from capture.clock import Clock
from capture.events import Event, EventKind
from capture.output.chapters import title_of
from capture.output.ledger import Ledger
from capture.output.writer import FileWriter
from capture.pipeline.devices import DeviceSet
from capture.pipeline.pipeline import Pipeline
from capture.pipeline.tee import Tee
from capture.settings.record_settings import RecordSettings

if TYPE_CHECKING:
    from capture.replay.buffer import ReplayBuffer

__all__ = ["Feed"]

#: How long the sound and pictures up to now may take to come out as packets: a block of sound and an encoder frame.
CATCH_UP_S: Final = 0.15

#: How much longer when a device delivers nothing, because its silence is written late: see `STARVED_S`.
SILENCE_S: Final = 1.5

#: How much sound may stay in its encoder while no more arrives, as in a pause.
_INSIDE_S: Final = 0.1


class Feed:
    """A pipeline whose packets go to a tee. With `settings.replay_s`, the last seconds are kept in a replay buffer.

    `inputs` must be open.
    """

    def __init__(
        self,
        inputs: DeviceSet,
        settings: RecordSettings,
        clock: Clock,
        *,
        on_failure: Callable[[str, BaseException], None],
        record_event: Callable[[Event], None],
    ) -> None:
        """Raises `NotReadyError` when an encoder cannot be opened."""
        self.tee = Tee()
        #: The events of the last `replay_s` seconds, in media time; None without a replay buffer.
        self.ledger = Ledger(span_s=settings.replay_s) if settings.replay_s is not None else None
        note = record_event if self.ledger is None else _noting(self.ledger, record_event)
        self.pipeline = Pipeline(inputs, settings, clock, self.tee.put, on_failure=on_failure, record_event=note)
        if settings.replay_s is not None:
            # Imported here: few recorders keep a buffer.
            from capture.replay.buffer import ReplayBuffer
            from capture.replay.packets import ReplayTrack

            tracks = list(map(ReplayTrack.of, self.pipeline.stream_copies))
            self.tee.buffer = ReplayBuffer(settings.replay_s, settings.buffer_bytes, tracks)

    def mark(self, at_s: float, text: str) -> Event:
        """Add a chapter mark to the replay buffer while no take is recorded; `at_s` is on the session's clock."""
        assert self.ledger is not None  # noqa: S101 - only called with a replay buffer
        mark = Event(
            EventKind.MARK, self.pipeline.timeline.media_s(at_s), title_of(text, 1 + self.ledger.count(EventKind.MARK))
        )
        self.ledger.record(mark)
        return mark

    @property
    def buffer(self) -> ReplayBuffer | None:
        """The replay buffer, or None without one."""
        return self.tee.buffer

    @property
    def is_buffering(self) -> bool:
        """Whether the replay buffer is being filled."""
        return self.buffer is not None and self.pipeline.has_begun

    def catch_up(self, media_s: float, writer: FileWriter | None = None) -> None:
        """Wait until all tracks have packets up to `media_s`, which is now or just past. Any thread may call this.

        Takes up to `CATCH_UP_S`, and about a second more when a device delivers nothing, or as long as the sound takes
        on a machine that is too slow. `writer` gets no pictures after `CATCH_UP_S`.
        """
        pipeline, tee = self.pipeline, self.tee
        pipeline.flush()
        tracks = range(len(pipeline.templates))
        if tee.await_reached(media_s, CATCH_UP_S, tracks):
            return
        sound = tracks[1:] if pipeline.has_picture else tracks
        if writer is not None and pipeline.has_picture:
            tee.leave_out(writer, tracks[0])
        tee.await_reached(media_s - _INSIDE_S, SILENCE_S, sound, patiently=True)


def _noting(ledger: Ledger, record_event: Callable[[Event], None]) -> Callable[[Event], None]:
    """Return a function that logs an event in `ledger` and passes it on. A method would tie pipeline and feed together.

    Two objects that refer to each other outlive the recording until Python looks for such circles.
    """

    def note(event: Event) -> None:
        ledger.record(event)
        record_event(event)

    return note
