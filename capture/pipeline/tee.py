"""Passes a pipeline's packets to the replay buffer and to the files being written."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from itertools import dropwhile
from typing import TYPE_CHECKING, Any

from capture.media import in_seconds
from capture.output.writer import FileWriter
from capture.threads.mailbox import Closed

if TYPE_CHECKING:
    import av

    from capture.replay.buffer import ReplayBuffer

__all__ = ["PacketSink", "Tee"]

#: Takes packets from an encoder, several per call, because each call wakes a thread.
PacketSink = Callable[[list["av.Packet[Any]"]], None]


class Tee:
    """Passes every packet to the replay buffer and to all writers, in order per track. Any thread may call any method.

    A writer that has ended is detached; the others go on.
    """

    def __init__(self) -> None:
        #: The replay buffer, if there is one; set it before the first packet.
        self.buffer: ReplayBuffer | None = None
        self._writers: list[FileWriter] = []
        # Tracks that a writer no longer gets.
        self._left_out: set[tuple[FileWriter, int]] = set()
        # Tracks that a writer can only use from the next key frame on.
        self._await_key: set[tuple[FileWriter, int]] = set()
        # Tracks whose packets were all from before the media time at which a writer begins.
        self._await_begin: dict[tuple[FileWriter, int], float] = {}
        self._changed = threading.Condition()
        # The media time that each track has reached.
        self._reached_s: dict[int, float] = {}

    def put(self, track: int, packets: list[av.Packet[Any]]) -> None:
        """Pass on packets of a track's encoder. Blocks while a file cannot keep up."""
        if not packets:
            return
        last = packets[-1]
        # Compute this before passing on the packets: writing changes them.
        reached_s = in_seconds((last.pts or 0) + (last.duration or 0), last.time_base)
        with self._changed:
            # The buffer copies the packets.
            if self.buffer is not None:
                self.buffer.add(track, packets)
            wanted = [(writer, self._wanted(writer, track, packets)) for writer in self._writers]
        # Write without the lock: a file on a stalled disk blocks for as long as that takes, and would block the buffer.
        for writer, part in wanted:
            try:
                writer.put(track, part)
            except Closed:
                self.detach(writer)
        with self._changed:
            self._reached_s[track] = reached_s
            self._changed.notify_all()

    def _wanted(self, writer: FileWriter, track: int, packets: list[av.Packet[Any]]) -> list[av.Packet[Any]]:
        """Return the packets that `writer` can use."""
        key = (writer, track)
        if key in self._left_out:
            return []
        if key in self._await_key:
            packets = list(dropwhile(lambda packet: not packet.is_keyframe, packets))
            if packets:
                self._await_key.remove(key)
        if key in self._await_begin:
            assert self.buffer is not None  # noqa: S101 - only `attach_since` adds tracks
            first_pts = self.buffer.sound_start(track, self._await_begin[key])
            packets = list(dropwhile(lambda packet: (packet.pts or 0) < first_pts, packets))
            if packets:
                del self._await_begin[key]
                if notes := self.buffer.notes(track):
                    from capture.replay.packets import copy_of

                    # The packet of the buffer and of other writers stays as it is.
                    packets[0] = copy_of(packets[0])
                    for note in notes:
                        packets[0].set_sidedata(note)
        return packets

    def attach(self, writer: FileWriter) -> None:
        """Pass everything from now on to `writer`."""
        with self._changed:
            self._writers.append(writer)

    def attach_since(self, writer: FileWriter, since_s: float) -> float:
        """Pass the buffered packets from `since_s` on and everything after to `writer`; return where they begin.

        Both are media times. `writer` counts from the returned time, a little before `since_s`.
        """
        from capture.replay.packets import as_packet

        assert self.buffer is not None  # noqa: S101 - only called with a replay buffer
        with self._changed:
            clip = self.buffer.snapshot_since(since_s)
            packets: list[tuple[int, av.Packet[Any]]] = []
            for track, (part, found) in enumerate(zip(clip.tracks, clip.packets(), strict=True)):
                copies = [as_packet(kept, part.time_base) for kept in found]
                if part.is_picture and not copies:
                    # The buffer is too small for the packets between two key frames.
                    self._await_key.add((writer, track))
                elif not copies:
                    # A slow device, or the silence of one that delivers nothing.
                    self._await_begin[writer, track] = clip.start_s
                for note in clip.notes(track) if copies else ():
                    copies[0].set_sidedata(note)
                packets += [(track, copy) for copy in copies]
            packets.sort(key=lambda item: float((item[1].dts or 0) * (item[1].time_base or 0)))
            writer.prepend(packets, clip.start_s)
            self._writers.append(writer)
            return clip.start_s

    def detach(self, writer: FileWriter) -> None:
        """Pass nothing more to `writer`."""
        with self._changed, suppress(ValueError):
            for marked in (self._left_out, self._await_key):
                marked -= {each for each in marked if each[0] is writer}
            self._await_begin = {each: begin_s for each, begin_s in self._await_begin.items() if each[0] is not writer}
            self._writers.remove(writer)

    def leave_out(self, writer: FileWriter, track: int) -> None:
        """Pass nothing more of a track to `writer`."""
        with self._changed:
            self._left_out.add((writer, track))

    def await_reached(self, at_s: float, timeout_s: float, tracks: Collection[int], *, patiently: bool = False) -> bool:
        """Wait until every one of `tracks` has reached the media time `at_s`.

        Returns False if that took longer than `timeout_s`; `patiently`, if nothing came closer for that long.
        """

        def behind() -> dict[int, float]:
            # A track without a packet has reached nothing: the silence of a device without data is written late.
            reached = {track: self._reached_s.get(track, 0.0) for track in tracks}
            return {track: reached_s for track, reached_s in reached.items() if reached_s < at_s}

        with self._changed:
            while True:
                before = behind()
                if self._changed.wait_for(lambda: not behind(), timeout_s):
                    return True
                if not patiently or behind() == before:
                    return False
