"""The thread that owns the file of one take: packets of every track in, in the order they come."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from capture.errors import CaptureError
from capture.media import in_seconds
from capture.output.muxer import Chapter, Muxer
from capture.threads.mailbox import Mailbox
from capture.threads.worker import Worker

if TYPE_CHECKING:
    import av
    from av.stream import Stream

__all__ = ["FileWriter"]

#: How much waits in memory for a disk that stands still: a minute of a lively screen, an hour of sound. Beyond that
#: everything waits with it: frames are left out and counted, and sound has a queue of its own.
BYTES_QUEUED: Final = 64_000_000

#: What a packet takes in memory beside its content.
_PACKET_BYTES: Final = 500


class FileWriter:
    """Writes what it is given to a file; made, started and closed by one thread, `put` is for any.

    Times are media time of this file. Packets from `settled_s` on wait in memory: the end of a recording that stops by
    silence is known only when the silence has lasted, and lies before it. `on_failure` also hears of a disk that is
    nearly full; what comes is written all the same, as long as the file can still be finished.
    """

    def __init__(
        self,
        on_failure: Callable[[str, BaseException], None],
        settled_s: Callable[[], float] = lambda: math.inf,
    ) -> None:
        self._settled_s = settled_s
        self._inlet: Mailbox[tuple[int, list[av.Packet[Any]]]] = Mailbox(BYTES_QUEUED, _weight)
        self._waiting: deque[tuple[int, av.Packet[Any]]] = deque()
        self._begins_s = 0.0
        self._last_dts: dict[int, int] = {}
        #: How many packets of each track were written; to be read when it is closed.
        self.written: Counter[int] = Counter()
        self._end_s = math.inf
        self._chapters: Sequence[Chapter] = ()
        self._on_failure = on_failure
        self._worker = Worker("muxer", self._run, closes=[self._inlet], on_failure=on_failure)

    def start(self, muxer: Muxer, templates: Sequence[Stream]) -> None:
        """Open the file of `muxer` with a track for each template. Raises `OutputError`."""
        self._muxer = muxer
        muxer.start(templates)
        self._worker.start()

    def begin_with(self, packets: Iterable[tuple[int, av.Packet[Any]]], begins_s: float) -> None:
        """Before `start`: write these first, and count from `begins_s` in the media time of all packets."""
        self._waiting.extend(packets)
        self._begins_s = begins_s

    def put(self, track: int, packets: list[av.Packet[Any]]) -> None:
        """Have packets written, waiting for room. Raises `Closed` where nothing is written any more."""
        if packets:
            self._inlet.put((track, packets))

    @property
    def busy_s(self) -> float:
        """For how long the disk has been taking what is being written to it now; any thread may ask."""
        return self._muxer.busy_s

    def close(self, end_s: float = math.inf, chapters: Sequence[Chapter] = ()) -> None:
        """Write what was given, but nothing that begins at `end_s` or later in media time, and finish the file."""
        self._end_s, self._chapters = end_s, chapters
        self._inlet.close()
        self._worker.join()

    def _run(self) -> None:
        try:
            while True:
                self._tell(self._muxer.look_at_disk())
                track, packets = self._inlet.get()
                self._waiting.extend((track, packet) for packet in packets)
                self._write_settled(self._settled_s())
        finally:
            self._finish()

    def _tell(self, trouble: CaptureError | None) -> None:
        """Have the recording end because of the disk; until then it is written on."""
        if trouble is not None:
            self._on_failure(self._worker.name, trouble)

    def _write_settled(self, settled_s: float) -> None:
        """Write in the order of arrival, as far as it is settled."""
        while self._waiting and (settled_s == math.inf or _at_s(self._waiting[0][1]) - self._begins_s < settled_s):
            self._write(*self._waiting.popleft())

    def _write(self, track: int, packet: av.Packet[Any]) -> None:
        if self._muxer.is_full:
            self._tell(self._muxer.note_full())
            return
        if self._begins_s and packet.time_base and packet.pts is not None and packet.dts is not None:
            moved = -round(self._begins_s / packet.time_base)
            if track in self._last_dts:
                # What came first may have been moved behind a picture that was still being encoded.
                moved = max(moved, self._last_dts[track] + 1 - packet.dts)
            packet.pts, packet.dts = packet.pts + moved, packet.dts + moved
            self._last_dts[track] = packet.dts
        self.written[track] += 1
        self._muxer.write(track, packet)

    def _finish(self) -> None:
        try:
            for track, packet in self._waiting:
                if _at_s(packet) - self._begins_s < self._end_s:
                    self._write(track, packet)
        finally:
            self._muxer.close(self._chapters)


def _weight(item: tuple[int, list[av.Packet[Any]]]) -> int:
    return sum(packet.size + _PACKET_BYTES for packet in item[1])


def _at_s(packet: av.Packet[Any]) -> float:
    return in_seconds(packet.pts, packet.time_base)
