"""Shows the last picture of a Matroska file once more, right before the file's new end.

Matroska gives every frame the same duration. If a frame that is shown for longer came last, the picture would end long
before the sound.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import av
from av.stream import Stream
from av.video.stream import VideoStream

from capture.codecs.h264_slices import SliceWriter
from capture.codecs.h264_units import parameters_of, with_lengths, with_start_codes
from capture.codecs.video_encoder import VideoEncoder
from capture.errors import EncoderError
from capture.media import as_fraction, in_seconds
from capture.recordings.rewrite import opened, tracks_of

__all__ = ["Repeat", "repeat_at_end", "repeated"]


class Repeat(NamedTuple):
    """A packet that shows the last picture again, and the number of its track."""

    place: int
    packet: av.Packet[Any]

    @property
    def at_s(self) -> float:
        return in_seconds(self.packet.pts, self.packet.time_base)


def repeat_at_end(path: Path, end_s: float) -> Repeat | None:
    """Return what to add to a recording that is cut at `end_s`, in the time of its packets; None if nothing is needed.

    Nothing can be added to H.264 that repeats cannot follow; its picture then ends with the last frame.
    """
    with opened(path) as container:
        if "matroska" not in container.format.name:
            return None
        tracks = tracks_of(container)
        found = next(((place, track) for place, track in enumerate(tracks) if isinstance(track, VideoStream)), None)
        if found is None:
            return None
        place, track = found
        # The last picture is decoded from its key frame on.
        group: list[av.Packet[Any]] = []
        for packet in container.demux(track):
            if packet.pts is None or in_seconds(packet.pts, packet.time_base) >= end_s:
                break
            if packet.is_keyframe:
                group.clear()
            group.append(packet)
        if not group:
            return None
        unit_s, slot = as_fraction(track.time_base), group[-1].duration or 0
        pts = round(end_s / unit_s) - slot
        if pts <= (group[-1].pts or 0) + slot:
            return None
        data = repeated(track, [bytes(packet) for packet in group])
        if not data:
            return None
        repeat: av.Packet[Any] = av.Packet(data)
        repeat.pts = repeat.dts = pts
        repeat.time_base, repeat.duration = unit_s, slot
        repeat.is_keyframe = track.codec_context.codec.canonical_name == "vp8"
        return Repeat(place, repeat)


def repeated(track: Stream, group: list[bytes]) -> bytes:
    """Return a packet that shows the last picture of `group` again; empty if it cannot be repeated.

    `group` begins with a key frame of `track`, which comes from a file or an encoder.
    """
    assert isinstance(track, VideoStream)  # noqa: S101 - only pictures are repeated
    return _in_h264(track, group) if track.codec_context.codec.canonical_name == "h264" else _in_vp8(track, group)


def _in_h264(track: VideoStream, group: list[bytes]) -> bytes:
    """Return ten bytes that repeat the last picture of a group; empty if repeats cannot follow it."""
    header = bytes(track.codec_context.extradata or b"")
    has_lengths = header[:1] == b"\1"
    writer = SliceWriter.of(parameters_of(header) if has_lengths else header, from_last_alone=True)
    if writer is None:
        return b""
    try:
        for packet in group:
            writer.followed(with_start_codes(packet) if has_lengths else packet)
    except EncoderError:
        return b""
    return with_lengths(writer.picture()) if has_lengths else writer.picture()


def _in_vp8(track: VideoStream, group: list[bytes]) -> bytes:
    """Return a key frame with the last picture of a group; empty if it cannot be decoded."""
    decoder = av.CodecContext.create("vp8", "r")
    frames = [frame for packet in group for frame in decoder.decode(av.Packet(packet))]
    if not frames:
        return b""
    size = track.codec_context.width, track.codec_context.height
    encoder = VideoEncoder("vp8", *size, float(track.average_rate or 30), quality="high")
    try:
        return b"".join(bytes(packet) for packet in encoder.encode_frame(frames[-1], 0))
    finally:
        encoder.close()
