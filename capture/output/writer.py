"""Runs the thread that writes one take to its file: takes the packets of all tracks in order of arrival."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from capture.errors import CaptureError, NoRoomError, OutputError
from capture.media import in_seconds
from capture.output.chapters import Chapter
from capture.output.muxer import Muxer
from capture.output.tags import NO_TAGS, Tags
from capture.threads.mailbox import Mailbox
from capture.threads.worker import Worker

if TYPE_CHECKING:
    import av
    from av.stream import Stream

__all__ = ["FileWriter"]

#: How much may wait in memory for a stalled disk: a minute of a lively screen, an hour of sound. Beyond that the tracks
#: block: frames are dropped and counted, and sound has a queue of its own.
BYTES_QUEUED: Final = 64_000_000

#: The memory that a packet takes beside its payload.
_PACKET_BYTES: Final = 500

#: The name of the thread, which a failure is reported under.
_NAME: Final = "muxer"


class FileWriter:
    """Writes packets to a file. One thread creates, starts and closes it; any thread may call `put`.

    Times are media time of this file. Packets from `settled_s()` on wait in memory: when silence ends a recording, its
    end lies before the silence, and is known only after it. `on_failure` is also called when the disk is nearly full;
    later packets are still written as long as the file can be finished.
    """

    def __init__(self, on_failure: Callable[[str, BaseException], None]) -> None:
        self._settled_s: Callable[[], float] = lambda: math.inf
        self._inlet: Mailbox[tuple[int, list[av.Packet[Any]]]] = Mailbox(BYTES_QUEUED, _weight)
        self._waiting: deque[tuple[int, av.Packet[Any]]] = deque()
        self._begins_s = 0.0
        self._last_dts: dict[int, int] = {}
        #: How many packets of each track were written. Read it after `close`.
        self.written: Counter[int] = Counter()
        #: What closing the file reported. The file may be whole all the same; this is no failure yet.
        self.close_error: OutputError | None = None
        self._end_s = math.inf
        # Where the recording was when the room ended.
        self._full_at_s = math.inf
        self._chapters: Sequence[Chapter] = ()
        self._on_failure = on_failure
        self._worker: Worker | None = None

    def start(
        self,
        muxer: Muxer,
        templates: Sequence[Stream],
        settled_s: Callable[[], float] = lambda: math.inf,
        tags: Tags = NO_TAGS,
    ) -> None:
        """Open the file of `muxer` with a track for each template, and start writing. Raises `OutputError`."""
        self._muxer = muxer
        muxer.start(templates, tags.of_file, track_names=tags.of_tracks, durable=True)
        self._settled_s = settled_s
        self._worker = Worker(_NAME, self._run, closes=[self._inlet], on_failure=self._on_failure)
        self._worker.start()

    def prepend(self, packets: Iterable[tuple[int, av.Packet[Any]]], begins_s: float) -> None:
        """Write these packets first, and subtract `begins_s` from the times of all packets. Call it before `start`."""
        self._waiting.extend(packets)
        self._begins_s = begins_s

    @property
    def has_begun(self) -> bool:
        """Whether it was started."""
        return self._worker is not None

    def put(self, track: int, packets: list[av.Packet[Any]]) -> None:
        """Queue packets, waiting for room. Raises `Closed` after the end of writing."""
        if packets:
            self._inlet.put((track, packets))

    @property
    def busy_s(self) -> float:
        """How long the current write has been blocked on the disk; 0 without one. Any thread may ask."""
        return self._muxer.busy_s

    @property
    def behind_s(self) -> float:
        """How much a power cut would cost now: the age of the oldest write not on the disk. Any thread may ask."""
        return self._muxer.behind_s

    def end_at(self, end_s: float) -> None:
        """Write no more packets that start at or after `end_s` in media time. Any thread may call this."""
        self._end_s = end_s

    def close(self, chapters: Sequence[Chapter] = ()) -> None:
        """Write the queued packets, and finish the file."""
        self._chapters = chapters
        self._inlet.close()
        if self._worker is not None:
            self._worker.join()

    def _run(self) -> None:
        try:
            while True:
                self._report(self._muxer.check_disk())
                track, packets = self._inlet.get()
                self._waiting.extend((track, packet) for packet in packets)
                self._write_settled(self._settled_s())
                self._muxer.update_header()
        finally:
            self._finish()

    def _report(self, trouble: CaptureError | None) -> None:
        """Report a problem with the disk, which ends the recording; until then writing goes on.

        The last of the room is for what other tracks still have to deliver, so that all end together.
        """
        if isinstance(trouble, NoRoomError):
            self._full_at_s = self._muxer.reached_s
        if trouble is not None:
            self._on_failure(_NAME, trouble)

    def _write_settled(self, settled_s: float) -> None:
        """Write the waiting packets in the order of arrival, up to the first one that is not settled."""
        while self._waiting and (settled_s == math.inf or _at_s(self._waiting[0][1]) - self._begins_s < settled_s):
            self._write(*self._waiting.popleft())

    def _write(self, track: int, packet: av.Packet[Any]) -> None:
        # An empty packet ends a FLAC stream: it brings the final header, and takes no room.
        end_s = min(self._end_s, self._full_at_s)
        if packet.size and end_s < math.inf and _at_s(packet) - self._begins_s >= end_s:
            return
        if packet.size and self._muxer.is_full:
            self._report(self._muxer.report_full())
            return
        if self._begins_s and packet.time_base and packet.pts is not None and packet.dts is not None:
            moved = -round(self._begins_s / packet.time_base)
            if track in self._last_dts:
                # An earlier packet may have been moved behind a frame that was still being encoded.
                moved = max(moved, self._last_dts[track] + 1 - packet.dts)
            packet.pts, packet.dts = packet.pts + moved, packet.dts + moved
            self._last_dts[track] = packet.dts
        self.written[track] += self._muxer.write(track, packet, self._end_s)

    def _finish(self) -> None:
        try:
            for track, packet in self._waiting:
                self._write(track, packet)
        finally:
            # It may be a method of the caller, who holds this writer: that would be a circle.
            self._settled_s = lambda: math.inf
            try:
                self._muxer.close(self._chapters, self._end_s)
            except OutputError as error:
                if not error.at_close:
                    raise
                # Without its frames, which hold this writer.
                self.close_error = error.with_traceback(None)


def _weight(item: tuple[int, list[av.Packet[Any]]]) -> int:
    return sum(packet.size + _PACKET_BYTES for packet in item[1])


def _at_s(packet: av.Packet[Any]) -> float:
    return in_seconds(packet.pts, packet.time_base)
