"""Cuts the picture track of a finished recording: exact to the frame, and nothing from outside is left.

The pictures from the cut to the next key frame are encoded again; from there on the packets are copied. That needs an
encoder that writes the same header as the recording's. Without one all pictures in the cut are encoded again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Final, cast

import av
import numpy as np
from av.container import InputContainer
from av.stream import Stream
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from av.video.stream import VideoStream

from capture.codecs.h264_frame_rate import says_constant_rate
from capture.codecs.h264_units import parameters_of, with_lengths
from capture.codecs.video_context import VIDEO_TIME_BASE
from capture.codecs.video_encoder import VideoEncoder
from capture.errors import RecordingError
from capture.formats import QUALITIES
from capture.media import VIDEO_TICKS_PER_S, as_fraction
from capture.output.frame_times import FrameTimes, rate_of
from capture.pixels.macroblocks import planes_of
from capture.recordings.still_end import repeated

__all__ = ["TrimmedPicture"]

#: The rate of a track that states none.
_DEFAULT_FPS: Final = 30

#: Exactness for pictures whose encoder is unknown.
_UNKNOWN_QUALITY: Final = "high"


class TrimmedPicture:
    """The packets of one track from `from_s` to `to_s`, which is None for the end of the file.

    Their times count from `from_s`, in ticks of 1/90000 s. The frame that is shown at `from_s` comes first. `container`
    is open for this track alone, and has to stay open until the last packet. Raises `RecordingError` for a picture that
    cannot be encoded again.
    """

    #: The unit of the packets' times.
    unit_s: Final = VIDEO_TIME_BASE

    def __init__(self, container: InputContainer, track: VideoStream, from_s: float, to_s: float | None) -> None:
        self._track = track
        unit_s = as_fraction(track.time_base)
        # Floats, because fractions take ten times as long.
        self._ticks_per_unit = float(unit_s * VIDEO_TICKS_PER_S)
        self._start = round(from_s * VIDEO_TICKS_PER_S)
        self._end = math.inf if to_s is None else round(to_s * VIDEO_TICKS_PER_S)
        self._slot = round(VIDEO_TICKS_PER_S / (rate_of(track) or _DEFAULT_FPS))
        self._is_mp4 = "matroska" not in container.format.name
        self._context = track.codec_context
        extradata = bytes(self._context.extradata or b"")
        self._has_lengths = self._context.codec.canonical_name == "h264" and extradata[:1] == b"\1"
        self._parameters = parameters_of(extradata) if self._has_lengths else extradata
        container.seek(max(0, int(from_s / unit_s)), stream=track)
        self._packets = (packet for packet in container.demux(track) if packet.pts is not None and packet.size)
        self._lead, self._following = self._until_copied()
        # Where frames are stored in another order, those before a cut need some from behind it.
        is_in_order = not self._context.has_b_frames
        self._encoder = self._encoder_like_this() if self._lead or not is_in_order else None
        self._is_same = self._encoder is None or (is_in_order and self._writes_same(self._encoder))
        # What comes from an encoder is moved by the muxer. At 24000/1001 fps and the like no grid fits.
        has_grid = as_fraction(track.guessed_rate).denominator == 1
        self._is_guessed = self._is_mp4 and self._is_same and has_grid and from_s > 0
        #: What the muxer makes its stream from.
        self.template: Stream = track
        if self._encoder is not None and not self._is_same:
            self._encoder.template.metadata.update(track.metadata)
            self.template = self._encoder.template

    def packets(self) -> Iterator[av.Packet[Any]]:
        """Yield the packets in their order; call it once."""
        packets = self._all()
        return self._lasting(self._on_grid(packets) if self._is_guessed else packets)

    def _until_copied(self) -> tuple[list[av.Packet[Any]], av.Packet[Any] | None]:
        """Return the packets to encode again, and the first to copy, None if there is none.

        Two key frames in a row would have to have different numbers (`idr_pic_id`), so there are two frames before it.
        """
        lead: list[av.Packet[Any]] = []
        shown = 0
        for packet in self._packets:
            at = self._at(packet.pts)
            if self._is_past(packet):
                break
            if packet.is_keyframe and at >= self._start and (not lead or shown >= 2):
                return lead, packet
            # The frame that is shown at the start counts, too.
            shown = shown + 1 if at > self._start else 1
            lead.append(packet)
        return lead, None

    def _at(self, pts: int | None) -> int:
        return round((pts or 0) * self._ticks_per_unit)

    def _is_past(self, packet: av.Packet[Any]) -> bool:
        """Whether nothing that is shown before the end follows: frames may be stored in another order."""
        return self._at(packet.pts if packet.dts is None else packet.dts) >= self._end

    def _encoder_like_this(self) -> VideoEncoder:
        """Return an encoder that writes the header of the recording, or one that does not if there is none."""
        found = None
        for quality in (_UNKNOWN_QUALITY, *(each for each in QUALITIES if each != _UNKNOWN_QUALITY)):
            encoder = VideoEncoder(
                self._context.codec.canonical_name,
                self._context.width,
                self._context.height,
                float(self._context.framerate or rate_of(self._track) or _DEFAULT_FPS),
                quality=quality,
                constant_fps=says_constant_rate(self._parameters),
            )
            if self._writes_same(encoder):
                if found is not None:
                    found.close()
                return encoder
            if found is None:
                found = encoder
            else:
                encoder.close()
        assert found is not None  # noqa: S101 - there are qualities
        return found

    def _writes_same(self, encoder: VideoEncoder) -> bool:
        return bytes(encoder.template.codec_context.extradata or b"") == self._parameters

    def _all(self) -> Iterator[av.Packet[Any]]:
        if self._encoder is not None:
            again: Iterable[av.Packet[Any]] = self._lead
            if not self._is_same:
                again = chain(self._lead, [self._following] if self._following else [], self._packets)
            yield from self._encoded(again, self._encoder)
            if not self._is_same:
                return
        if self._following is None:
            return
        for packet in chain([self._following], self._packets):
            at = self._at(packet.pts)
            if at >= self._end:
                return
            packet.duration = self._at(packet.duration)
            packet.pts = packet.dts = at - self._start
            packet.time_base = VIDEO_TIME_BASE
            yield packet

    def _encoded(self, packets: Iterable[av.Packet[Any]], encoder: VideoEncoder) -> Iterator[av.Packet[Any]]:
        """Encode the frames again; the one that is shown at the start is moved there."""
        shown: av.VideoFrame | None = None
        last: av.VideoFrame | None = None
        for at, frame in self._decoded(packets):
            if at <= self._start:
                shown = frame
                continue
            if shown is not None:
                yield from self._adapted(encoder.encode_frame(shown, 0))
                shown, last = None, shown
            if at >= self._end:
                break
            is_repeat = last is not None and _are_same(last, frame)
            pts = at - self._start
            yield from self._adapted(encoder.repeat(pts) if is_repeat else encoder.encode_frame(frame, pts))
            last = frame
        if shown is not None:
            yield from self._adapted(encoder.encode_frame(shown, 0))
        yield from self._adapted(encoder.finish())

    def _decoded(self, packets: Iterable[av.Packet[Any]]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Yield the frames in the order in which they are shown, with their times."""
        decoder = cast(av.VideoCodecContext, av.CodecContext.create(self._context.codec.canonical_name, "r"))
        decoder.extradata = self._context.extradata
        reformatter = VideoReformatter()
        for packet in chain(packets, [None]):
            if packet is not None and self._is_past(packet):
                packet = None
            given: av.Packet[Any] | None = None
            if packet is not None:
                given = av.Packet(bytes(packet))
                given.pts, given.dts, given.time_base = packet.pts, packet.dts, packet.time_base
            for frame in decoder.decode(given):
                if frame.rotation:
                    raise RecordingError("its picture is stored turned, which trim cannot keep", "trim it in an editor")
                at = self._at(frame.pts)
                if not self._is_same:
                    frame = reformatter.reformat(
                        frame, format="yuv420p", dst_colorspace=Colorspace.ITU601, dst_color_range=ColorRange.MPEG
                    )
                yield at, frame
            if packet is None:
                return

    def _adapted(self, packets: list[av.Packet[Any]]) -> Iterator[av.Packet[Any]]:
        """Yield the encoder's packets in the form that the recording's have."""
        for packet in packets:
            if not (self._is_same and self._has_lengths):
                yield packet
                continue
            made: av.Packet[Any] = av.Packet(with_lengths(bytes(packet)))
            made.pts, made.dts, made.time_base = packet.pts, packet.dts, packet.time_base
            made.is_keyframe = packet.is_keyframe
            yield made

    def _on_grid(self, packets: Iterator[av.Packet[Any]]) -> Iterator[av.Packet[Any]]:
        """Move the first frames by milliseconds, as in a recording, so that programs guess its frame rate."""
        times = FrameTimes(as_fraction(self._track.guessed_rate), guessed=True)
        before_s = math.inf if self._end == math.inf else (self._end - self._start) / VIDEO_TICKS_PER_S
        for packet in packets:
            ends = (packet.pts or 0) + (packet.duration or 0)
            packet.duration = 0
            times.place(packet, before_s)
            packet.duration = max(0, ends - (packet.pts or 0))
            yield packet

    def _lasting(self, packets: Iterator[av.Packet[Any]]) -> Iterator[av.Packet[Any]]:
        """Yield the packets with their durations: until the next one, the last one until the end.

        Matroska gives every frame the same duration, so a last frame that is shown for longer is repeated.
        """
        before: av.Packet[Any] | None = None
        group: list[bytes] = []
        for packet in packets:
            if not self._is_mp4 and self._end < math.inf:
                if packet.is_keyframe:
                    group.clear()
                group.append(bytes(packet))
            if before is not None:
                if self._is_mp4:
                    before.duration = (packet.pts or 0) - (before.pts or 0)
                yield before
            before = packet
        if before is None:
            return
        if self._end == math.inf:
            yield before
            return
        left = int(self._end) - self._start - (before.pts or 0)
        if self._is_mp4 or left <= 2 * self._slot or not (data := repeated(self.template, group)):
            before.duration = max(1, left)
            yield before
            return
        pts = (before.pts or 0) + left - self._slot
        yield before
        last: av.Packet[Any] = av.Packet(data)
        last.pts = last.dts = pts
        last.time_base, last.duration = VIDEO_TIME_BASE, self._slot
        last.is_keyframe = self._context.codec.canonical_name == "vp8"
        yield last


def _are_same(one: av.VideoFrame, other: av.VideoFrame) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(planes_of(one), planes_of(other), strict=True))
