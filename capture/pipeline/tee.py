"""Where a pipeline's packets go: into the replay buffer, and into the file of the take that is being made."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import dropwhile
from typing import TYPE_CHECKING, Any

from capture.media import in_seconds
from capture.output.writer import FileWriter
from capture.replay.buffer import ReplayBuffer
from capture.replay.packets import as_packet
from capture.threads.mailbox import Closed

if TYPE_CHECKING:
    import av

__all__ = ["PacketSink", "Tee"]

#: Takes packets from an encoder, several at once: each hand-over wakes a thread.
PacketSink = Callable[[list["av.Packet[Any]"]], None]


class Tee:
    """Hands every packet to all that want it, each track's in their order; any thread may call any method.

    A file that takes nothing more is left out, the others go on.
    """

    def __init__(self) -> None:
        #: Set before the first packet comes, where one is kept.
        self.buffer: ReplayBuffer | None = None
        self._writers: list[FileWriter] = []
        # Which of them want which track no more.
        self._left_out: set[tuple[FileWriter, int]] = set()
        # Which of them can use a track only from the next key frame on.
        self._await_key: set[tuple[FileWriter, int]] = set()
        self._changed = threading.Condition()
        # Up to when each track has come, in media time.
        self._reached_s: dict[int, float] = {}

    def put(self, track: int, packets: list[av.Packet[Any]]) -> None:
        """Hand on what a track's encoder made. Waits where a file cannot keep up."""
        if not packets:
            return
        last = packets[-1]
        # Before the packets are given away: writing changes them.
        reached_s = in_seconds((last.pts or 0) + (last.duration or 0), last.time_base)
        with self._changed:
            # The buffer copies.
            if self.buffer is not None:
                self.buffer.add(track, packets)
            wanted = [(writer, self._wanted(writer, track, packets)) for writer in self._writers]
        # Not while others are kept from the buffer: a file whose disk stands still is waited for as long as that takes.
        for writer, part in wanted:
            try:
                writer.put(track, part)
            except Closed:
                self.detach(writer)
        with self._changed:
            self._reached_s[track] = reached_s
            self._changed.notify_all()

    def _wanted(self, writer: FileWriter, track: int, packets: list[av.Packet[Any]]) -> list[av.Packet[Any]]:
        """What of them `writer` has a use for."""
        key = (writer, track)
        if key in self._left_out:
            return []
        if key in self._await_key:
            packets = list(dropwhile(lambda packet: not packet.is_keyframe, packets))
            if packets:
                self._await_key.remove(key)
        return packets

    def attach(self, writer: FileWriter) -> None:
        """Have `writer` get everything from here on."""
        with self._changed:
            self._writers.append(writer)

    def attach_since(self, writer: FileWriter, since_s: float) -> float:
        """Have `writer` get what the buffer holds from `since_s` on, and everything after; where that begins.

        Both in media time; `writer` counts from the moment that is returned, a little before `since_s`.
        """
        assert self.buffer is not None  # noqa: S101 - there is something to begin with
        with self._changed:
            clip = self.buffer.snapshot_since(since_s)
            packets: list[tuple[int, av.Packet[Any]]] = []
            for track, (part, found) in enumerate(zip(clip.tracks, clip.packets(), strict=True)):
                copies = [as_packet(kept, part.time_base) for kept in found]
                if part.is_picture and not copies:
                    # The buffer is too small for what comes between two key frames.
                    self._await_key.add((writer, track))
                for note in clip.notes(track) if copies else ():
                    copies[0].set_sidedata(note)
                packets += [(track, copy) for copy in copies]
            packets.sort(key=lambda item: float((item[1].dts or 0) * (item[1].time_base or 0)))
            writer.begin_with(packets, clip.start_s)
            self._writers.append(writer)
            return clip.start_s

    def detach(self, writer: FileWriter) -> None:
        """Give `writer` nothing more."""
        with self._changed, suppress(ValueError):
            for marked in (self._left_out, self._await_key):
                marked -= {each for each in marked if each[0] is writer}
            self._writers.remove(writer)

    def leave_out(self, writer: FileWriter, track: int) -> None:
        """Give `writer` nothing more of a track."""
        with self._changed:
            self._left_out.add((writer, track))

    def await_reached(self, at_s: float, timeout_s: float, *, but: int | None = None) -> bool:
        """Wait until every track has come up to `at_s` in media time; whether that was so within `timeout_s`.

        Track number `but` is not waited for.
        """

        def is_met() -> bool:
            return all(reached_s >= at_s for track, reached_s in self._reached_s.items() if track != but)

        with self._changed:
            return self._changed.wait_for(is_met, timeout_s)
