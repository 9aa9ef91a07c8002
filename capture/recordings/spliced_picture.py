"""Puts the parts of a picture track together: exact to the frame, and nothing from outside is left.

In each part, the pictures up to the next key frame are encoded again; from there on the packets are copied. That needs
an encoder that writes the same header as the first recording's. What has another header is encoded again as a whole,
and without such an encoder everything is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any, Final, cast

import av
import numpy as np
from av.stream import Stream
from av.video.stream import VideoStream

from capture.codecs.h264_frame_rate import says_constant_rate
from capture.codecs.h264_key_numbers import told_apart
from capture.codecs.h264_units import parameters_of, with_lengths, with_start_codes
from capture.codecs.video_context import VIDEO_TIME_BASE
from capture.codecs.video_encoder import VideoEncoder
from capture.errors import RecordingError
from capture.formats import QUALITIES
from capture.media import SAMPLE_RATE, VIDEO_TICKS_PER_S, as_fraction
from capture.output.frame_times import FrameTimes, rate_of
from capture.pixels.macroblocks import planes_of
from capture.recordings.mp4.runs import Run, Store
from capture.recordings.opening import patience_s
from capture.recordings.parts import Part, offsets_of
from capture.recordings.picture_source import PictureSource, Stretch
from capture.recordings.rewrite import opened, read_alone, tracks_of
from capture.recordings.still_end import repeated

__all__ = ["SplicedPicture"]

#: The rate of a track that states none.
_DEFAULT_FPS: Final = 30

#: Exactness for pictures whose encoder is unknown.
_UNKNOWN_QUALITY: Final = "high"

#: In Matroska, a last frame that is shown for longer than this many slots is repeated.
_LONG_SLOTS: Final = 2


class SplicedPicture:
    """The packets of track number `place` of a file that is made of `parts`; with `is_mp4`, of an MP4 or MOV.

    Their times count from its start, in ticks of 1/90000 s. The frame that is shown where a part begins comes first in
    it; what would be shown for less than half a slot at either end of a part is left out. With a `store`, most that are
    copied are runs. The files stay open until `stack` ends. Raises `RecordingError` for a picture that cannot be
    encoded again.
    """

    #: The unit of the packets' times.
    unit_s: Final = VIDEO_TIME_BASE

    def __init__(
        self,
        parts: Sequence[Part],
        place: int,
        stack: ExitStack,
        store: Store | None,
        *,
        is_mp4: bool,
        limits: bool = True,
    ) -> None:
        self._is_mp4 = is_mp4
        self._sources: dict[Path, PictureSource] = {}
        for path in dict.fromkeys(part.path for part in parts):
            container = stack.enter_context(opened(path, timeout_s=patience_s(limits)))
            track = cast(VideoStream, tracks_of(container)[place])
            read_alone(container, track)
            stored = None if store is None else store.track(path, track)
            self._sources[path] = PictureSource(container, track, stored, limits=limits)
        self._parts = parts
        self._offsets = [_ticks(offset) for offset in offsets_of(parts)]
        self._first = self._sources[parts[0].path]
        #: By how many degrees players turn the picture counterclockwise.
        self.rotation = self._first.rotation
        if any(source.rotation != self.rotation for source in self._sources.values()):
            raise RecordingError(
                "the pictures are not turned alike", "turn them upright first: capture export FILE --for web"
            )
        last = parts[-1]
        self._end = math.inf if last.end is None else _ticks(offsets_of(parts)[-1] + last.end - last.begin)
        self._slot = round(VIDEO_TICKS_PER_S / (rate_of(self._first.track) or _DEFAULT_FPS))
        # The first one makes the template.
        self._encoder: VideoEncoder | None = None
        self._quality = _UNKNOWN_QUALITY
        self._is_same = True
        if not all(self._is_copied_whole(part) for part in parts):
            self._find_encoder()
        #: What the muxer makes its stream from.
        self.template: Stream = self._first.track
        if self._encoder is not None and not self._is_same:
            self._encoder.template.metadata.update(self._first.track.metadata)
            self.template = self._encoder.template
        # What comes from an encoder is moved by the muxer. At 24000/1001 fps and the like no grid fits.
        has_grid = as_fraction(self._first.track.guessed_rate).denominator == 1
        is_moved = parts[0].begin > 0 or len(parts) > 1
        self._is_guessed = is_mp4 and self._is_same and has_grid and is_moved

    def packets(self) -> Iterator[av.Packet[Any] | Run]:
        """Yield the packets in their order; call it once."""
        packets = self._all()
        return self._lasting(self._on_grid(packets) if self._is_guessed else packets)

    def _is_copied_whole(self, part: Part) -> bool:
        source = self._sources[part.path]
        return source.is_like(self._first) and source.starts_with_key(_ticks(part.begin))

    def _find_encoder(self) -> None:
        """Find an encoder that writes the header of the first recording; take another if there is none."""
        self._encoder = self._new_encoder()
        self._is_same = self._first.is_in_order and self._writes_same(self._encoder)
        if self._is_same or not self._first.is_in_order:
            return
        for quality in (each for each in QUALITIES if each != _UNKNOWN_QUALITY):
            encoder = self._new_encoder(quality)
            if self._writes_same(encoder):
                self._encoder.close()
                self._encoder, self._quality, self._is_same = encoder, quality, True
                return
            encoder.close()

    def _new_encoder(self, quality: str = _UNKNOWN_QUALITY) -> VideoEncoder:
        track = self._first.track
        return VideoEncoder(
            self._first.codec,
            track.codec_context.width,
            track.codec_context.height,
            float(track.codec_context.framerate or rate_of(track) or _DEFAULT_FPS),
            quality=quality,
            constant_fps=says_constant_rate(self._first.parameters),
        )

    def _writes_same(self, encoder: VideoEncoder) -> bool:
        return bytes(encoder.template.codec_context.extradata or b"") == self._first.parameters

    def _all(self) -> Iterator[av.Packet[Any] | Run]:
        """Yield the packets of all parts."""
        unused = self._encoder
        before = b""
        # Up to where the frames so far are shown.
        filled = 0.0
        for part, offset in zip(self._parts, self._offsets, strict=True):
            source = self._sources[part.path]
            start, end = _ticks(part.begin), math.inf if part.end is None else _ticks(part.end)
            stop = offset + end - start
            if stop - filled < source.least and (filled or part is not self._parts[-1]):
                # The frame before stays for as long, or the next one comes earlier.
                continue
            stretch = source.stretch(start, end)
            lead, following = stretch.lead, stretch.following
            rest = following if stretch.first is None else chain([stretch.first], following)
            is_copied = self._is_same and source.is_like(self._first)
            packets: Iterator[av.Packet[Any] | Run] = _copied(source, rest, start, stretch) if is_copied else iter(())
            if lead or not is_copied:
                encoder, unused = unused or self._new_encoder(self._quality), None
                encoded = lead if is_copied else chain(lead, rest)
                frames = source.decoded(encoded, stretch.limit, reformats=not is_copied)
                packets = chain(self._adapted(_encoded(frames, encoder, start, stretch)), packets)
            for packet in packets:
                if isinstance(packet, Run):
                    before = b""
                    yield packet.at(packet.samples.times + offset)
                    continue
                packet = self._told_apart(packet, before)
                before = bytes(packet) if packet.is_keyframe else b""
                packet.pts = packet.dts = offset + packet.pts if packet.pts else int(filled)
                yield packet
            filled = stop
        if unused is not None:
            unused.close()

    def _told_apart(self, packet: av.Packet[Any], before: bytes) -> av.Packet[Any]:
        """Return the packet, another one in place of a key frame that comes right after one of another encoder."""
        if not (before and packet.is_keyframe and self._first.codec == "h264"):
            return packet
        header = bytes(self.template.codec_context.extradata or b"")
        if header[:1] != b"\1":
            data = told_apart(bytes(packet), before, header)
        else:
            data = told_apart(with_start_codes(bytes(packet)), with_start_codes(before), parameters_of(header))
            data = with_lengths(data)
        made = _packet(data, packet.pts or 0, is_key=True)
        made.duration = packet.duration
        return made

    def _adapted(self, packets: Iterator[av.Packet[Any]]) -> Iterator[av.Packet[Any]]:
        """Yield the encoder's packets in the form that the first recording's have."""
        for packet in packets:
            if self._is_same and self._first.has_lengths:
                yield _packet(with_lengths(bytes(packet)), packet.pts or 0, is_key=packet.is_keyframe)
            else:
                yield packet

    def _on_grid(self, packets: Iterator[av.Packet[Any] | Run]) -> Iterator[av.Packet[Any] | Run]:
        """Move the first frames by milliseconds, as in a recording, so that programs guess its frame rate."""
        times = FrameTimes(as_fraction(self._first.track.guessed_rate), guessed=True)
        unit_s, before_s = float(VIDEO_TIME_BASE), self._end / VIDEO_TICKS_PER_S
        last: int | None = None
        for packet in packets:
            if isinstance(packet, Run):
                yield packet.at(packet.samples.times, last)
                continue
            pts = packet.pts or 0
            if moved := times.moved(pts, 0, unit_s, before_s):
                packet.duration = max(0, (packet.duration or 0) - moved)
                packet.pts = packet.dts = pts + moved
            last = packet.pts
            yield packet

    def _lasting(self, packets: Iterator[av.Packet[Any] | Run]) -> Iterator[av.Packet[Any] | Run]:
        """Yield the packets, the last one with its duration; other frames are shown until the next one.

        Matroska gives every frame the same duration, so a last frame that is shown for longer is repeated.
        """
        before: av.Packet[Any] | None = None
        group: list[bytes] = []
        for packet in packets:
            if isinstance(packet, Run):
                if before is not None:
                    yield before
                yield packet
                # Another packet follows.
                before = None
                continue
            if not self._is_mp4 and self._end < math.inf:
                if packet.is_keyframe:
                    group.clear()
                group.append(bytes(packet))
            if before is not None:
                yield before
            before = packet
        if before is None:
            return
        if self._end == math.inf:
            yield before
            return
        pts, end = before.pts or 0, int(self._end)
        is_short = self._is_mp4 or end - pts <= _LONG_SLOTS * self._slot
        data = b"" if is_short else repeated(self.template, group)
        if not data:
            before.duration = max(1, end - pts)
        yield before
        if data:
            last = _packet(data, end - self._slot, is_key=self._first.codec == "vp8")
            last.duration = self._slot
            yield last


def _ticks(samples: int) -> int:
    return round(samples * VIDEO_TICKS_PER_S / SAMPLE_RATE)


def _packet(data: bytes, pts: int, *, is_key: bool = False) -> av.Packet[Any]:
    packet: av.Packet[Any] = av.Packet(data)
    packet.pts = packet.dts = pts
    packet.time_base, packet.is_keyframe = VIDEO_TIME_BASE, is_key
    return packet


def _copied(
    source: PictureSource, packets: Iterable[av.Packet[Any]], start: int, stretch: Stretch
) -> Iterator[av.Packet[Any] | Run]:
    """Yield the packets of a stretch; their times count from `start`."""
    is_in_ticks = source.unit_s == VIDEO_TIME_BASE
    for packet in source.with_runs(packets, stretch.limit):
        if isinstance(packet, Run):
            yield packet.at(source.all_at(packet.samples.times) - start)
            continue
        at = source.at(packet.pts)
        if at >= stretch.limit:
            return
        if not is_in_ticks:
            packet.duration = source.at(packet.duration)
            packet.time_base = VIDEO_TIME_BASE
        packet.pts = packet.dts = 0 if at <= stretch.first_at else at - start
        yield packet


def _encoded(
    frames: Iterator[tuple[int, av.VideoFrame]], encoder: VideoEncoder, start: int, stretch: Stretch
) -> Iterator[av.Packet[Any]]:
    """Encode the frames of a stretch again; their times count from `start`, and the one shown there is moved there."""
    shown: av.VideoFrame | None = None
    last: av.VideoFrame | None = None
    for at, frame in frames:
        if at <= stretch.first_at:
            shown = frame
            continue
        if shown is not None:
            yield from encoder.encode_frame(shown, 0)
            shown, last = None, shown
        if at >= stretch.limit:
            break
        is_repeat = last is not None and _are_same(last, frame)
        yield from encoder.repeat(at - start) if is_repeat else encoder.encode_frame(frame, at - start)
        last = frame
    if shown is not None:
        yield from encoder.encode_frame(shown, 0)
    yield from encoder.finish()


def _are_same(one: av.VideoFrame, other: av.VideoFrame) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(planes_of(one), planes_of(other), strict=True))
