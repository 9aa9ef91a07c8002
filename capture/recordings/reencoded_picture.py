"""Encodes the picture of a recording once more, at another size and rate."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, Final, cast

import av
from av.container import InputContainer, OutputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from av.video.stream import VideoStream

from capture.media import in_seconds
from capture.recordings.decoded_pictures import PictureReader, Shown, at_constant_rate, shown
from capture.recordings.encoding_plan import Plan, Style
from capture.recordings.opening import origin_s
from capture.recordings.progress import OnProgress

__all__ = ["VIDEO_ENCODERS", "ReencodedPicture"]

#: FFmpeg's encoder for each codec, with its options. Frames are stored in the order they are shown in: MP4 keeps as the
#: length of a frame the distance to the next one that is stored, which would make the last frame end too late.
VIDEO_ENCODERS: Final = {
    "h264": ("libx264", {"preset": "veryfast", "bf": "0"}),
    "vp8": ("libvpx", {"deadline": "good", "cpu-used": "5", "auto-alt-ref": "0"}),
}

#: The time base of pictures at a variable rate.
_TICKS: Final = Fraction(1, 90_000)

#: Frames are at least this many ticks apart, a millisecond.
_LEAST_TICKS: Final = 90

#: FFmpeg's numbers for how colours are stored: as RGB, by BT.709, and unknown.
_AS_RGB: Final = 0
_BT709: Final = 1
_UNMARKED: Final = 2

#: From this height on, what has no other mark is BT.709; FFmpeg's converter takes BT.601.
_HD_HEIGHT: Final = 720


class ReencodedPicture:
    """Encodes one picture track at another size and rate."""

    def __init__(
        self,
        container: InputContainer,
        source: VideoStream,
        made: OutputContainer,
        codec: str,
        plan: Plan,
        style: Style,
        end_s: float,
        on_progress: OnProgress,
    ) -> None:
        name, defaults = VIDEO_ENCODERS[codec]
        options = dict(defaults)
        # The average is far below what a variable rate reaches, and Matroska would state it as the rate.
        rate = style.constant_fps or source.guessed_rate or Fraction(30)
        # H.264 states whether its frame rate is constant.
        own = {"force-cfr": "1" if style.constant_fps is not None else "0"}
        if math.isinf(plan.picture_rate):
            options["crf"] = str(style.crf)
        else:
            # With its default, the size of a short film is too far off, and a second attempt is needed.
            own["ratetol"] = "0.1"
        if codec == "h264":
            options["x264-params"] = ":".join(f"{name}={value}" for name, value in own.items())
        if style.key_frames_s is not None:
            group = str(max(1, round(float(rate) * style.key_frames_s)))
            options |= {"g": group, "keyint_min": group, "sc_threshold": "0"}
        stream = made.add_stream(cast(Any, name), rate=rate, options=options)
        assert isinstance(stream, VideoStream)  # noqa: S101
        context = stream.codec_context
        stream.width, stream.height, stream.pix_fmt = *plan.size, "yuv420p"
        self._unit = _TICKS if style.constant_fps is None else 1 / rate
        stream.time_base = context.time_base = self._unit
        if not math.isinf(plan.picture_rate):
            stream.bit_rate = round(plan.picture_rate)
        elif codec == "vp8":
            stream.bit_rate = 12 * plan.size[0] * plan.size[1]
        self._colours = _Colours(source, context, plan.size, bt709=style.bt709)
        self.frames = PictureReader(container, source, on_progress)
        self._origin_s = origin_s(container)
        self._stream = stream
        self._constant_fps = style.constant_fps
        self._slot = round(1 / self._unit / max(Fraction(1), rate))
        self._end_s = end_s

    def packets(self) -> Iterator[tuple[float, av.Packet[Any]]]:
        """Decode the track; yield the packets of its new form, with their times in seconds."""
        pictures = shown(self.frames, self._origin_s, self._end_s)
        rate = self._constant_fps
        placed = self._at_their_times(pictures) if rate is None else self._at_slots(pictures, rate)
        for frame, pts, duration in placed:
            frame.pts, frame.time_base, frame.duration = pts, self._unit, duration
            frame.pict_type = av.video.frame.PictureType.NONE
            for packet in self._stream.encode(frame):
                yield in_seconds(packet.dts, packet.time_base), packet
        for packet in self._stream.encode(None):
            yield in_seconds(packet.dts, packet.time_base), packet

    def _at_slots(self, pictures: Iterable[Shown], fps: Fraction) -> Iterator[tuple[av.VideoFrame, int, int]]:
        before: av.VideoFrame | None = None
        for slot, frame in at_constant_rate(pictures, fps):
            if frame is not before:
                before, fitted = frame, self._colours.fitted(frame)
            yield fitted, slot, 1

    def _at_their_times(self, pictures: Iterable[Shown]) -> Iterator[tuple[av.VideoFrame, int, int]]:
        """Yield each frame with its pts and its length.

        A last frame that stays on for long comes again at the end, for players that show it for one slot only.
        """
        last: av.VideoFrame | None = None
        last_pts = -_LEAST_TICKS
        for frame, from_s, _ in pictures:
            pts = max(round(from_s / self._unit), last_pts + _LEAST_TICKS)
            if last is not None:
                yield last, last_pts, pts - last_pts
            last, last_pts = self._colours.fitted(frame), pts
        if last is None:
            return
        end = round(self._end_s / self._unit)
        again = end - self._slot
        if again > last_pts + self._slot:
            yield last, last_pts, again - last_pts
            last_pts = again
        yield last, last_pts, max(1, end - last_pts)


class _Colours:
    """Converts frames to the size and the colours of the new track, and marks it with them."""

    def __init__(self, source: VideoStream, context: VideoCodecContext, size: tuple[int, int], *, bt709: bool) -> None:
        given = source.codec_context
        is_rgb = bool(given.format and given.format.is_rgb) or given.colorspace == _AS_RGB
        self._size = size
        self._from: Colorspace | None = None
        self._to: Colorspace | None = None
        if bt709 or is_rgb:
            self._to = Colorspace.ITU709
            if not is_rgb and given.colorspace == _UNMARKED:
                self._from = Colorspace.ITU709 if given.height >= _HD_HEIGHT else Colorspace.ITU601
            context.colorspace = context.color_primaries = context.color_trc = _BT709
        else:
            context.colorspace = given.colorspace
            context.color_primaries, context.color_trc = given.color_primaries, given.color_trc
        context.color_range = ColorRange.MPEG
        self._reformatter = VideoReformatter()

    def fitted(self, frame: av.VideoFrame) -> av.VideoFrame:
        return self._reformatter.reformat(
            frame,
            *self._size,
            "yuv420p",
            src_colorspace=self._from,
            dst_colorspace=self._to,
            src_color_range=frame.color_range or None,
            dst_color_range=ColorRange.MPEG,
        )
