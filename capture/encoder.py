"""Frames and samples in, packets out.

An encoder belongs to no file: its packets can go to several sinks, each of which makes its stream from `template`.
Every encoder is used by one thread. Encoding, scaling and converting release the interpreter's lock; opening holds it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, Literal, cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.codec.context import Flags
from av.container import OutputContainer
from av.video.frame import PictureType
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from av.video.stream import VideoStream

from capture.errors import EncoderError, NotReadyError
from capture.media import SAMPLE_RATE, Pixels, Rectangle, SampleArray
from capture.repacketizer import Repacketizer
from capture.settings import ENCODERS
from capture.timeline import VIDEO_TICKS_PER_S

__all__ = ["AudioEncoder", "VideoEncoder", "is_repeat"]

VIDEO_TIME_BASE: Final = Fraction(1, VIDEO_TICKS_PER_S)

#: A player can only begin, and a cut only be made, at a key frame: so often while the picture changes; at a repeat a
#: little earlier, as the next chance may be a heartbeat of 0.6 s away; and less often while nothing has changed since
#: the last one, where each would cost as much as minutes of repeats and show the same picture.
KEY_FRAME_INTERVAL_S: Final = 1.9
REPEAT_KEY_FRAME_INTERVAL_S: Final = 1.3
STILL_KEY_FRAME_INTERVAL_S: Final = 10.0

#: What H.273 numbers BT.709: primaries, transfer and matrix alike. Converting and tagging must agree, or players that
#: trust the tag show colours that are visibly off.
_BT709: Final = 1

#: What it numbers the matrix of BT.601, the only one that VP8 knows: decoders take it for that whatever the file says.
_BT601: Final = 5

#: A group of pictures that ends only where a key frame is forced: at a variable rate a count of frames is no time.
_NO_KEY_FRAMES_BY_COUNT: Final = 1 << 20

#: A row of colour in 4:2:0 is made of the two rows that it covers and, as swscale filters, of the one above and the one
#: below. So a change reaches a pair of rows beyond itself, and to convert these takes another pair. Columns are
#: averaged in pairs and reach no further.
_REACH_ROWS: Final = 2

#: With fewer rows than this swscale weighs the first ones otherwise: seen with up to six.
_LEAST_ROWS: Final = 16

#: Parts are converted in whole steps of so many columns: as many as one step of swscale's loops, and few sizes.
_STEP_COLUMNS: Final = 16


@dataclass(frozen=True, slots=True)
class _VideoCodec:
    """How to run one of FFmpeg's encoders so that no frame stays inside it: a held frame is lost in a crash."""

    options: Mapping[str, str]
    #: What stands for constant quality, by the words of `--quality`.
    quality: Mapping[str, Mapping[str, str]]
    #: For encoders that want a ceiling: bits per pixel and second at medium quality.
    bits_per_pixel_s: float = 0.0
    #: From RGB: what to convert by, and how H.273 numbers it.
    matrix: tuple[Colorspace, int] = (Colorspace.ITU709, _BT709)
    max_threads: int = 4
    #: Whether it is done with a picture when it has encoded it, so that the next can be made in the same memory.
    copies: bool = False


def _levels(option: str, low: int, medium: int, high: int) -> Mapping[str, Mapping[str, str]]:
    return {"low": {option: str(low)}, "medium": {option: str(medium)}, "high": {option: str(high)}}


_VIDEO_CODECS: Final[Mapping[str, _VideoCodec]] = {
    # zerolatency means sliced threads and no lookahead: one frame in, one packet out.
    "libx264": _VideoCodec(
        {"preset": "ultrafast", "tune": "zerolatency", "forced-idr": "1"}, _levels("crf", 28, 22, 16), copies=True
    ),
    "h264_nvenc": _VideoCodec(
        {"preset": "p2", "tune": "ull", "rc": "constqp", "delay": "0", "zerolatency": "1", "forced-idr": "1"},
        _levels("qp", 30, 24, 18),
    ),
    "h264_qsv": _VideoCodec(
        {"preset": "veryfast", "async_depth": "1", "forced_idr": "1"}, _levels("global_quality", 30, 24, 18)
    ),
    "h264_amf": _VideoCodec(
        {"usage": "ultralowlatency", "rc": "cqp", "forced_idr": "1"},
        {name: {"qp_i": qp, "qp_p": qp} for name, qp in (("low", "30"), ("medium", "24"), ("high", "18"))},
    ),
    "h264_videotoolbox": _VideoCodec({"realtime": "1"}, {"low": {}, "medium": {}, "high": {}}, 3.0),
    # 16 is VP8's fastest: 1080p at 30 fps with half of two cores to spare. With less than this ceiling it spends more
    # time, and where it may quantise coarser than this, text that scrolls turns to mush: 28 dB at any level of quality.
    "libvpx": _VideoCodec(
        {"deadline": "realtime", "cpu-used": "16", "lag-in-frames": "0", "auto-alt-ref": "0"},
        {
            name: {"crf": crf, "qmax": qmax}
            for name, crf, qmax in (("low", "30", "34"), ("medium", "18", "26"), ("high", "8", "18"))
        },
        12.0,
        (Colorspace.ITU601, _BT601),
        # VP8's threads wait for each other row by row. As soon as something else wants the processor, two of them take
        # ten times as long as one alone; on an idle machine they save a quarter, and the files are larger.
        max_threads=1,
        copies=True,
    ),
}


class _Repeat:
    """Says of a packet that it shows the picture before it once more.

    Each packet needs one of its own: PyAV finds them by their address and forgets them with the first that is freed.
    """

    __slots__ = ()


def is_repeat(packet: av.Packet[Any]) -> bool:
    """Whether the packet, as a `VideoEncoder` returned it, shows the same picture as the one before it."""
    return isinstance(packet.opaque, _Repeat)


class VideoEncoder:
    """Encodes pictures of one size.

    `codec` is `h264` or `vp8`; `encoder` one of FFmpeg's names for it, or `auto`. The input is `width` x `height`, both
    even; `scale` makes the encoded picture another size. Raises `NotReadyError` where the encoder cannot be opened.
    """

    def __init__(
        self,
        codec: str,
        width: int,
        height: int,
        fps: float,
        *,
        scale: tuple[int, int] | None = None,
        quality: str = "medium",
        encoder: str = "auto",
    ) -> None:
        known = ENCODERS[codec]
        self.codec = codec
        self.encoder = known[0] if encoder == "auto" else encoder
        if self.encoder not in known:
            raise NotReadyError(f"the encoder {encoder!r} cannot make {codec}", f"use auto or {', '.join(known)}")
        self.width, self.height = scale or (width, height)
        self._picture = _Picture(width, height)
        self._reformatter = VideoReformatter()
        self._part_reformatter = VideoReformatter()
        self._matrix, _ = _VIDEO_CODECS[self.encoder].matrix
        self._converts_parts = scale in (None, (width, height)) and _VIDEO_CODECS[self.encoder].copies
        self._converted: av.VideoFrame | None = None
        self._last_key_pts = -VIDEO_TICKS_PER_S * 3600
        self._changed_since_key = True
        try:
            self._open(fps, quality)
        except (av.FFmpegError, ValueError) as error:
            openable = ", ".join(name for name in known if name != self.encoder and _opens(name)) or "none here"
            raise NotReadyError(
                f"the encoder {self.encoder} cannot be opened ({error})", f"these can: {openable}"
            ) from error

    def _open(self, fps: float, quality: str) -> None:
        how = _VIDEO_CODECS[self.encoder]
        self._bench = _bench()
        options = {**how.options, **how.quality[quality]}
        stream = cast(VideoStream, self._bench.add_stream(cast(Any, self.encoder), rate=_as_rate(fps), options=options))
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = self.width, self.height, "yuv420p"
        stream.time_base = context.time_base = VIDEO_TIME_BASE
        context.thread_count = min(how.max_threads, os.cpu_count() or 1)
        context.gop_size = _NO_KEY_FRAMES_BY_COUNT
        _, context.colorspace = how.matrix
        context.color_primaries = context.color_trc = _BT709
        context.color_range = ColorRange.MPEG
        context.flags |= Flags.global_header
        if how.bits_per_pixel_s:
            stream.bit_rate = round(how.bits_per_pixel_s * self.width * self.height)
        self._bench.start_encoding()
        self.template = stream

    def encode(self, pixels: Pixels, pts: int, left: int = 0, top: int = 0) -> list[av.Packet[Any]]:
        """Encode a new picture: uint8 (height, width, 4), C-contiguous rows, shown from `pts` / 90000 s on.

        A smaller one is a part, at column `left` and row `top` of the picture before, which is as it was around it.
        The memory of `pixels` is kept, and parts are written into it.
        """
        part = self._picture.take(pixels, left, top)
        if part is None or self._converted is None or not self._converts_parts:
            self._converted = self._convert(self._reformatter, self._picture.pixels, self.width, self.height)
        else:
            self._convert_part(part, self._converted)
        self._changed_since_key = True
        return self._encode_converted(pts, KEY_FRAME_INTERVAL_S)

    def _convert_part(self, part: Rectangle, converted: av.VideoFrame) -> None:
        """Bring `converted` up to date where the picture changed."""
        whole = self._picture.pixels
        height, width = whole.shape[:2]
        left, right = part.left // _STEP_COLUMNS * _STEP_COLUMNS, _rounded_up(part.right, _STEP_COLUMNS, width)
        top, bottom = max(0, (part.top & ~1) - _REACH_ROWS), _rounded_up(part.bottom + _REACH_ROWS, 2, height)
        read_top = max(0, top - _REACH_ROWS)
        read_bottom = min(height, max(bottom + _REACH_ROWS, read_top + _LEAST_ROWS))
        pixels = whole[read_top:read_bottom, left:right]
        fresh = self._convert(self._part_reformatter, pixels, right - left, read_bottom - read_top)
        for number, (source, target) in enumerate(zip(fresh.planes, converted.planes, strict=True)):
            size = 1 if number == 0 else 2
            rows = slice((top - read_top) // size, (bottom - read_top) // size)
            place = slice(top // size, bottom // size), slice(left // size, right // size)
            _values(target)[place] = _values(source)[rows]

    def _convert(self, reformatter: VideoReformatter, pixels: Pixels, width: int, height: int) -> av.VideoFrame:
        return reformatter.reformat(
            av.VideoFrame.from_numpy_buffer(pixels, "bgra"),
            width,
            height,
            "yuv420p",
            dst_colorspace=self._matrix,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )

    def encode_frame(self, frame: av.VideoFrame, pts: int) -> list[av.Packet[Any]]:
        """Encode a picture that was decoded from what this kind of encoder made, of its size; it is not converted."""
        self._converted = frame
        self._changed_since_key = True
        return self._encode_converted(pts, KEY_FRAME_INTERVAL_S)

    def repeat(self, pts: int) -> list[av.Packet[Any]]:
        """Encode the last picture once more, at `pts`; nothing is converted. `is_repeat` is true of the packets."""
        if self._converted is None:
            return []
        interval_s = REPEAT_KEY_FRAME_INTERVAL_S if self._changed_since_key else STILL_KEY_FRAME_INTERVAL_S
        packets = self._encode_converted(pts, interval_s)
        for packet in packets:
            packet.opaque = _Repeat()
        return packets

    def finish(self) -> list[av.Packet[Any]]:
        """What is still inside; the encoder takes nothing more."""
        packets = self.template.encode(None)
        self._bench.close()
        return packets

    def _encode_converted(self, pts: int, key_interval_s: float) -> list[av.Packet[Any]]:
        frame = self._converted
        assert frame is not None  # noqa: S101 - both callers made sure
        frame.pts, frame.time_base = pts, VIDEO_TIME_BASE
        wants_key = pts - self._last_key_pts >= key_interval_s * VIDEO_TICKS_PER_S
        frame.pict_type = PictureType.I if wants_key else PictureType.NONE
        if wants_key:
            self._last_key_pts = pts
            self._changed_since_key = False
        try:
            return self.template.encode(frame)
        except av.FFmpegError as error:
            raise EncoderError(
                f"{self.encoder} refused a frame ({error})", "try another --encoder or --quality"
            ) from error


class _Picture:
    """The whole of the last picture, of which only parts may come."""

    def __init__(self, width: int, height: int) -> None:
        self._width = width
        self._height = height
        self.pixels: Pixels

    def take(self, pixels: Pixels, left: int, top: int) -> Rectangle | None:
        """Keep `pixels`; return where they lie in the picture, None where they are all of it."""
        height, width = pixels.shape[:2]
        if (width, height) == (self._width, self._height):
            self.pixels = pixels
            return None
        self.pixels[top : top + height, left : left + width] = pixels
        return Rectangle(left, top, width, height)


def _rounded_up(value: int, step: int, most: int) -> int:
    return min(most, -(-value // step) * step)


def _values(plane: VideoPlane) -> Pixels:
    """A plane's own memory as rows of values."""
    values: Pixels = np.frombuffer(cast(Any, plane), np.uint8).reshape(plane.height, plane.line_size)
    return values[:, : plane.width]


def _bench() -> OutputContainer:
    """A container that goes nowhere: in PyAV an encoder whose stream can serve as a template lives in one."""
    return av.open("-", "w", format="null")


def _as_rate(fps: float) -> Fraction:
    return Fraction(fps).limit_denominator(1001)


def _opens(encoder: str) -> bool:
    """Whether an encoder that FFmpeg lists really works here: many are listed and fail only when opened."""
    try:
        context = av.CodecContext.create(encoder, "w")
        context.width, context.height, context.pix_fmt = 640, 480, "yuv420p"  # type: ignore[attr-defined]
        context.time_base = VIDEO_TIME_BASE
        context.open()
    except (av.FFmpegError, ValueError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class _AudioCodec:
    encoder: str
    sample_format: Literal["flt", "fltp", "s16", "s16p"]
    bit_rate_per_channel: int = 0
    options: Mapping[str, str] | None = None


_AUDIO_CODECS: Final[Mapping[str, _AudioCodec]] = {
    # The other way of FFmpeg's encoder to share out its bits, `twoloop`, takes up to four times as long, and what comes
    # back is further from what went in: 29 against 54 dB on a voice, 23.5 against 25.5 on chords with noise (FFmpeg 8).
    "aac": _AudioCodec("aac", "fltp", 80_000, {"aac_coder": "fast"}),
    # 20 ms is what Opus is tuned for and what every player and messenger expects.
    "opus": _AudioCodec("libopus", "flt", 64_000, {"frame_duration": "20"}),
    "mp3": _AudioCodec("libmp3lame", "fltp", 96_000),
    "flac": _AudioCodec("flac", "s16"),
    "pcm_s16le": _AudioCodec("pcm_s16le", "s16"),
}


#: A voice note as messengers make theirs: wideband, up to 8 kHz, is nearly all that there is in a voice.
VOICE_SAMPLE_RATE: Final = 16_000

#: Speech in SILK, the coder of voices and of voice notes. libopus has three ways to be told so: `voip`, which also
#: takes everything below 60 to 100 Hz away and shifts what is left of a low voice; a signal type, which FFmpeg does not
#: pass on; and losses to be feared, as only SILK can repeat what was lost. From 9 % on SILK is certain (libopus 1.5,
#: opus_encode_native), and sentences come back with a correlation of 0.98 where `voip` keeps 0.96.
#: Of 26 kb/s that it may use, it uses 24 on speech, which is what messengers spend.
_VOICE_CODEC: Final = _AudioCodec(
    "libopus",
    "flt",
    26_000,
    {
        "application": "audio",
        "fec": "1",
        "packet_loss": "9",
        "frame_duration": "20",
        "compression_level": "10",
        "vbr": "on",
    },
)

#: Frames of 20 ms in a packet of 60 ms.
_VOICE_FRAMES_PER_PACKET: Final = 3


class AudioEncoder:
    """Encodes an unbroken run of samples; the first is at pts 0. `codec` is a name from `settings.CONTAINERS`.

    With `voice`, which needs `opus`, all channels are mixed to one at 16 kHz and packets hold three frames of 20 ms, as
    messengers write their voice notes. Raises `NotReadyError` where `codec` cannot be written so.
    """

    def __init__(self, codec: str, channels: int, *, voice: bool = False) -> None:
        if voice and codec != "opus":
            raise NotReadyError(f"voice notes are Opus, and {codec} was asked for", "end the name in .ogg or .opus")
        how = _VOICE_CODEC if voice else _AUDIO_CODECS[codec]
        self.codec = codec
        self._sample_rate = VOICE_SAMPLE_RATE if voice else SAMPLE_RATE
        self._channels = 1 if voice or channels == 1 else 2
        self._format = how.sample_format
        self._layout = "mono" if self._channels == 1 else "stereo"
        self._narrower = _Narrower() if voice else None
        self._repacketizer = Repacketizer(_VOICE_FRAMES_PER_PACKET) if voice else None
        self._bench = _bench()
        stream = cast(
            AudioStream,
            self._bench.add_stream(cast(Any, how.encoder), rate=self._sample_rate, options=dict(how.options or {})),
        )
        context = stream.codec_context
        context.layout = self._layout
        context.format = how.sample_format
        stream.time_base = context.time_base = Fraction(1, self._sample_rate)
        context.flags |= Flags.global_header
        if how.bit_rate_per_channel:
            stream.bit_rate = how.bit_rate_per_channel * self._channels
        self._bench.start_encoding()
        self.template = stream
        self._count = 0
        self._encoded = 0

    @property
    def sample_rate(self) -> int:
        """Of what is encoded, in Hz; what is taken in has `SAMPLE_RATE`."""
        return self._sample_rate

    @property
    def channels(self) -> int:
        """Of what is encoded."""
        return self._channels

    @property
    def duration_s(self) -> float:
        """Seconds of sound that were taken in."""
        return self._count / SAMPLE_RATE

    def encode(self, samples: SampleArray) -> list[av.Packet[Any]]:
        """Take float32 (n, channels) at `SAMPLE_RATE`, any n; return the packets that became complete.

        PyAV cuts what it is given into the encoder's frames and keeps the rest for the next call.
        """
        if len(samples) == 0:
            return []
        self._count += len(samples)
        return self._encode(self._narrower.take(samples) if self._narrower is not None else samples)

    def finish(self) -> list[av.Packet[Any]]:
        """The rest, as a shorter last frame; the encoder takes nothing more."""
        packets = []
        if self._narrower is not None and self._count:
            # As long as what was taken in: the resampler ends a little earlier or later, and says nothing at all of the
            # shortest sounds.
            left = math.ceil(self._count * self._sample_rate / SAMPLE_RATE) - self._encoded
            rest = np.zeros((left, 1), np.float32)
            found = self._narrower.finish()[:left]
            rest[: len(found)] = found
            packets += self._encode(rest)
        packets += self._grouped(self.template.encode(None))
        if self._repacketizer is not None:
            packets += self._repacketizer.finish()
        self._bench.close()
        return packets

    def _encode(self, samples: SampleArray) -> list[av.Packet[Any]]:
        """Encode float32 (n, channels) at the encoder's own rate."""
        if len(samples) == 0:
            return []
        frame = av.AudioFrame.from_ndarray(self._arranged(samples), format=self._format, layout=self._layout)
        frame.sample_rate, frame.pts, frame.time_base = self._sample_rate, self._encoded, Fraction(1, self._sample_rate)
        self._encoded += len(samples)
        try:
            return self._grouped(self.template.encode(frame))
        except av.FFmpegError as error:
            raise EncoderError(f"the {self.codec} encoder refused sound ({error})") from error

    def _grouped(self, packets: list[av.Packet[Any]]) -> list[av.Packet[Any]]:
        if self._repacketizer is None:
            return packets
        return [group for packet in packets for group in self._repacketizer.add(packet)]

    def _arranged(self, samples: SampleArray) -> np.ndarray[Any, Any]:
        """In the sample format of the encoder: a row a channel where it is planar, else one interleaved row."""
        if self._format.startswith("s16"):
            values: np.ndarray[Any, Any] = np.rint(np.clip(samples, -1.0, 1.0) * 32767).astype(np.int16)
        else:
            values = samples
        return np.ascontiguousarray(values.T if self._format.endswith("p") else values.reshape(1, -1))


class _Narrower:
    """Samples of any channels at `SAMPLE_RATE` in, one channel at `VOICE_SAMPLE_RATE` out, in step and at its level."""

    def __init__(self) -> None:
        self._resampler = av.AudioResampler(format="flt", layout="mono", rate=VOICE_SAMPLE_RATE)
        self._count = 0

    def take(self, samples: SampleArray) -> SampleArray:
        """Take float32 (n, channels); return float32 (m, 1), what is ready."""
        # The mean cannot clip, and leaves what is the same on both sides as loud as it was.
        mixed = np.ascontiguousarray(samples.mean(axis=1, dtype=np.float32).reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(mixed, format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, self._count, Fraction(1, SAMPLE_RATE)
        self._count += len(samples)
        return _joined(self._resampler.resample(frame))

    def finish(self) -> SampleArray:
        """The rest, float32 (m, 1)."""
        return _joined(self._resampler.resample(None))


def _joined(frames: Sequence[av.AudioFrame]) -> SampleArray:
    rows = [np.zeros((1, 0), np.float32), *(frame.to_ndarray() for frame in frames)]
    return cast(SampleArray, np.concatenate(rows, axis=1).reshape(-1, 1))
