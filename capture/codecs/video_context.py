"""Opens one of FFmpeg's video encoders for pictures of one size."""

from __future__ import annotations

import gc
import os
from fractions import Fraction
from typing import Any, Final, cast

import av
from av.codec.context import Flags
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from capture.codecs.h264_frame_rate import with_rate_stated
from capture.codecs.h264_references import with_two_references
from capture.codecs.null_container import open_null_container
from capture.codecs.video_presets import BT709, VIDEO_CODECS
from capture.formats import ENCODERS
from capture.media import VIDEO_TICKS_PER_S

__all__ = ["VIDEO_TIME_BASE", "VideoContext", "opens"]

VIDEO_TIME_BASE: Final = Fraction(1, VIDEO_TICKS_PER_S)

#: A GOP size that never ends a group: at a variable frame rate a count of frames is not a time, so we force key frames.
_NO_KEY_FRAMES_BY_COUNT: Final = 1 << 20

#: A stream of PyAV 19 and its index refer to each other. Until it is collected they keep the encoder: 24 MB at 1080p.
_ARE_CIRCLES: Final = not av.__version__.startswith("18.")


class VideoContext:
    """An open encoder. It holds back no picture. Use it from one thread."""

    def __init__(
        self,
        encoder: str,
        width: int,
        height: int,
        fps: float,
        quality: str,
        *,
        constant_fps: bool = False,
        is_narrow: bool = False,
        is_coarse: bool = False,
    ) -> None:
        """Open `encoder`, one of `VIDEO_CODECS`.

        `is_narrow` chooses its narrow search for motion, `is_coarse` that and its coarse quantiser. Raises
        `av.FFmpegError` or `ValueError`.
        """
        how = VIDEO_CODECS[encoder]
        self._container = open_null_container()
        # Empty once it is closed.
        self._open_streams: list[VideoStream] = []
        search = how.coarse[quality] if is_coarse else how.narrow if is_narrow else {}
        options = {**how.options, **how.quality[quality], **search}
        try:
            stream = cast(
                VideoStream, self._container.add_stream(cast(Any, encoder), rate=_as_rate(fps), options=options)
            )
            context = stream.codec_context
            context.width, context.height, context.pix_fmt = width, height, "yuv420p"
            stream.time_base = context.time_base = VIDEO_TIME_BASE
            context.thread_count = min(how.threads(width, height, fps), os.cpu_count() or 1)
            context.gop_size = _NO_KEY_FRAMES_BY_COUNT
            context.colorspace = how.matrix
            context.color_primaries = context.color_trc = BT709
            context.color_range = ColorRange.MPEG
            context.flags |= Flags.global_header
            if how.bits_per_pixel_s:
                stream.bit_rate = round(how.bits_per_pixel_s * width * height)
            context.open()
            if context.extradata and encoder in ENCODERS["h264"]:
                stated = with_rate_stated(context.extradata, constant=constant_fps)
                context.extradata = with_two_references(stated) if how.from_last_alone else stated
            self._container.start_encoding()
        except (av.FFmpegError, ValueError):
            self.close()
            raise
        self._open_streams.append(stream)
        self.is_narrow, self.is_coarse = is_narrow, is_coarse

    @property
    def stream(self) -> VideoStream:
        """The stream of the encoder, which must be open. Keep a `StreamCopy` of it: the stream keeps the encoder."""
        return self._open_streams[0]

    def encode(self, frame: av.VideoFrame | None) -> list[av.Packet[Any]]:
        """Return the packets of `frame`, or without one what is left. Raises `av.FFmpegError`."""
        return list(self.stream.encode(frame))

    def close(self) -> None:
        """Release the encoder; what is still in it is lost. May be called twice.

        Until then the container and its streams refer to each other, and keep the encoder with its threads.
        """
        was_open = bool(self._open_streams)
        self._open_streams.clear()
        self._container.close()
        if was_open and _ARE_CIRCLES:
            # Takes 5 to 15 ms; a recording that changes its search has frames in the queue for that.
            gc.collect()


def _as_rate(fps: float) -> Fraction:
    return Fraction(fps).limit_denominator(1001)


def opens(encoder: str) -> bool:
    """Whether an encoder that FFmpeg lists can be opened here; many listed ones fail."""
    try:
        context = av.CodecContext.create(encoder, "w")
        context.width, context.height, context.pix_fmt = 640, 480, "yuv420p"  # type: ignore[attr-defined]
        context.time_base = VIDEO_TIME_BASE
        context.open()
    except (av.FFmpegError, ValueError):
        return False
    return True
