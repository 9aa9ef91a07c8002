"""Reads the pictures of a finished recording from any moment on: packets to copy, and those before as frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, islice
from typing import Any, Final, NamedTuple, TypeAlias, cast

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from av.video.stream import VideoStream

from capture.codecs.h264_units import parameters_of
from capture.errors import RecordingError
from capture.media import VIDEO_TICKS_PER_S, as_fraction
from capture.recordings.mp4.runs import Run, StoredTrack
from capture.recordings.proportion import paced
from capture.recordings.rewrite import least_s

__all__ = ["PictureSource", "Stretch"]

_Packet: TypeAlias = "av.Packet[Any]"

#: A decoder returns a frame after this many packets at the latest.
_MOST_BEFORE_FRAME: Final = 32


class Stretch(NamedTuple):
    """The packets of a stretch: those to encode again, the first to copy, and all that follow.

    The frame that is shown at `first_at` comes first; no other begins then or earlier, or at `limit` or later.
    """

    first_at: int
    limit: float
    lead: list[_Packet]
    first: _Packet | None
    following: Iterator[_Packet]


class PictureSource:
    """Reads `track` of `container`, which is open for this alone. Moments are in ticks of 1/90000 s."""

    def __init__(
        self, container: InputContainer, track: VideoStream, stored: StoredTrack | None, *, limits: bool = True
    ) -> None:
        """`stored` is the track by its index, None if it has to be read packet by packet; `limits` as in `paced`."""
        self._limits = limits
        self.track = track
        self._stored = stored
        self._container = container
        self._context = track.codec_context
        self.codec: str = self._context.codec.canonical_name
        #: The unit of the track's times.
        self.unit_s = as_fraction(track.time_base)
        # Floats, because fractions take ten times as long.
        self._ticks_per_unit = float(self.unit_s * VIDEO_TICKS_PER_S)
        header = bytes(self._context.extradata or b"")
        #: Whether packets give the lengths of their units, as in MP4, rather than start codes.
        self.has_lengths = self.codec == "h264" and header[:1] == b"\1"
        #: The parameter sets of H.264, or another codec's header.
        self.parameters: bytes = parameters_of(header) if self.has_lengths else header
        #: Whether frames are stored in the order in which they are shown. Otherwise those before a cut need some from
        #: behind it.
        self.is_in_order = not self._context.has_b_frames
        #: By how many degrees players turn the picture counterclockwise.
        self.rotation = self._rotation()
        #: For how long each frame is shown at least, in ticks.
        self.least = int(least_s(track) * VIDEO_TICKS_PER_S)

    def is_like(self, other: PictureSource) -> bool:
        """Whether packets of both can follow each other."""
        return (
            self.is_in_order
            and other.is_in_order
            and (self.codec, self.has_lengths, self.parameters) == (other.codec, other.has_lengths, other.parameters)
        )

    def at(self, pts: int | None) -> int:
        """Return a time of the track in ticks."""
        return round((pts or 0) * self._ticks_per_unit)

    def all_at(self, times: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return times of the track in ticks, rounded as by `at`."""
        ticks: npt.NDArray[np.int64] = np.rint(times * self._ticks_per_unit).astype(np.int64)
        return ticks

    def with_runs(self, packets: Iterable[_Packet], end: float) -> Iterator[_Packet | Run]:
        """Yield consecutive packets; where that is possible, most of those before `end` as runs."""
        if self._stored is None:
            return iter(packets)
        return self._stored.with_runs(packets, end / self._ticks_per_unit)

    def starts_with_key(self, start: int) -> bool:
        """Whether what comes first in a stretch from `start` on is the first frame of all, or a key frame."""
        if start <= 0:
            return True
        first = next(self._packets_from(self._first_at(start)), None)
        return first is not None and first.is_keyframe and self.at(first.pts) >= start

    def stretch(self, start: int, end: float) -> Stretch:
        """Return the packets from `start` to `end`; finish with it before the next one.

        The frame that is shown at `start` comes first. A frame that would be shown for less than half a slot because of
        the cut is left out: at the start the next one comes in its place, at the end the one before stays.
        """
        first_at = self._first_at(start)
        limit = max(end - self.least + 1, first_at + 1)
        packets = self._packets_from(first_at)
        lead: list[_Packet] = []
        for packet in packets:
            if self.is_past(packet, limit):
                break
            if packet.is_keyframe and self.at(packet.pts) >= start:
                if self.at(packet.pts) <= first_at:
                    lead.clear()
                return Stretch(first_at, limit, lead, packet, packets)
            lead.append(packet)
        return Stretch(first_at, limit, lead, None, packets)

    def _first_at(self, start: int) -> int:
        """Return when the frame is shown that comes first in a stretch. Nothing is cut off from the first frame."""
        return start + self.least - 1 if start > 0 else 0

    def is_past(self, packet: _Packet, end: float) -> bool:
        """Whether nothing that is shown before `end` follows: frames may be stored in another order."""
        return self.at(packet.pts if packet.dts is None else packet.dts) >= end

    def decoded(
        self, packets: Iterable[_Packet], end: float, *, reformats: bool
    ) -> Iterator[tuple[int, av.VideoFrame]]:
        """Yield the frames in the order in which they are shown, with their times; with `reformats`, as we encode them.

        Raises `RecordingError` for pictures that cannot be decoded.
        """
        decoder = cast(av.VideoCodecContext, av.CodecContext.create(self.codec, "r"))
        decoder.extradata = self._context.extradata
        reformatter = VideoReformatter()
        for packet in chain(packets, [None]):
            given: _Packet | None = None
            if packet is not None and not self.is_past(packet, end):
                given = av.Packet(bytes(packet))
                given.pts, given.dts, given.time_base = packet.pts, packet.dts, packet.time_base
            try:
                frames = decoder.decode(given)
            except av.FFmpegError as error:
                raise RecordingError(
                    f"its picture cannot be decoded ({error.strerror})", "see capture check"
                ) from error
            for frame in frames:
                at = self.at(frame.pts)
                if reformats:
                    frame = reformatter.reformat(
                        frame, format="yuv420p", dst_colorspace=Colorspace.ITU601, dst_color_range=ColorRange.MPEG
                    )
                yield at, frame
            if given is None:
                return

    def _rotation(self) -> int:
        """Return by how much the first frame is turned: the file says so, and its decoder does not."""
        with suppress(av.FFmpegError):
            for packet in islice(self._container.demux(self.track), _MOST_BEFORE_FRAME):
                for frame in packet.decode():
                    return frame.rotation
        return 0

    def _packets_from(self, start: int) -> Iterator[_Packet]:
        """Yield the packets from the last key frame up to `start` on."""
        self._container.seek(max(0, int(start / VIDEO_TICKS_PER_S / self.unit_s)), stream=self.track)
        for packet in paced(self._container, [self.track], limits=self._limits):
            if packet.pts is not None and packet.size:
                yield packet
