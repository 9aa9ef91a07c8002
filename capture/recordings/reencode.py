"""Encodes a recording once more: other codecs, another bit rate, a smaller picture. One pass from file to file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, cast

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from capture.formats import Container
from capture.media import SAMPLE_RATE
from capture.output.chapters import WITH_CHAPTERS, as_ffmpeg, fitted_chapters
from capture.output.tags import lasting
from capture.recordings.progress import OnProgress, unwatched
from capture.recordings.rewrite import chapters_of, opened, tracks_of, zero_s

__all__ = ["AUDIO_ENCODERS", "MOST_SOUND", "VIDEO_ENCODERS", "Plan", "even", "reencode"]

#: The most bits per second that an audio track gets.
MOST_SOUND: Final = 128_000

#: Below this many bits per second stereo audibly suffers, so the track becomes mono.
_STEREO_FROM: Final = 48_000

#: FFmpeg's encoder for each codec, with its options. Frames are stored in the order they are shown in: MP4 keeps as the
#: length of a frame the distance to the next one that is stored, which would make the last frame end too late.
VIDEO_ENCODERS: Final = {
    "h264": ("libx264", {"preset": "veryfast", "bf": "0"}),
    "vp8": ("libvpx", {"deadline": "good", "cpu-used": "5", "auto-alt-ref": "0"}),
}

#: FFmpeg's encoder for each codec, with the sample format that it takes.
AUDIO_ENCODERS: Final = {
    "aac": ("aac", "fltp"),
    "opus": ("libopus", "flt"),
    "mp3": ("libmp3lame", "fltp"),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """How to encode one attempt, in bits per second; a rate of 0 leaves that kind of track out.

    An infinite `picture_rate` asks for constant quality instead of a bit rate. `sound_rate` is that of one track,
    `size` the width and height of the picture.
    """

    picture_rate: float
    sound_rate: float
    size: tuple[int, int] = (0, 0)


def even(length: float) -> int:
    """Return the nearest even number, at least 2: yuv420p pictures have even sizes."""
    return max(2, 2 * round(length / 2))


def reencode(
    recording: Path,
    path: Path,
    kind: Container,
    plan: Plan,
    duration_s: float,
    on_progress: OnProgress = unwatched,
) -> None:
    """Write `recording`, `duration_s` long, to `path` as `kind` with its chapters, overwriting what is there.

    Raises `RecordingError` when the recording cannot be opened, and what FFmpeg raises.
    """
    options = {"movflags": "+faststart"} if kind.format in ("mp4", "mov", "ipod") else {}
    with (
        opened(recording) as source,
        av.open(str(path), "w", format=kind.format, container_options=options) as made,
    ):
        lanes: dict[int, _PictureLane | _SoundLane] = {}
        sounds = 0
        for stream in tracks_of(source):
            if isinstance(stream, VideoStream) and plan.picture_rate:
                lanes[stream.index] = _PictureLane(stream, made, str(kind.video_codec), plan, duration_s)
            elif isinstance(stream, AudioStream) and plan.sound_rate and sounds < kind.max_audio_tracks:
                lanes[stream.index] = _SoundLane(stream, made, kind.audio_codec, plan.sound_rate, zero_s(source))
                sounds += 1
        # Those of Ogg are with its track.
        of_tracks = tracks_of(source)[0].metadata if source.format.name == "ogg" else {}
        made.metadata.update(lasting({**of_tracks, **source.metadata}))
        made.start_encoding()
        for packet in source.demux([source.streams[index] for index in lanes]):
            if packet.pos is not None and source.size:
                on_progress(packet.pos / source.size)
            for frame in packet.decode():
                made.mux(lanes[packet.stream_index].take(cast(Any, frame)))
        for lane in lanes.values():
            made.mux(lane.finish())
        if kind.format in WITH_CHAPTERS:
            made.set_chapters(as_ffmpeg(fitted_chapters(chapters_of(source), kind.format)[0]))


class _PictureLane:
    """Encodes one picture track at another size and rate; every frame keeps its pts."""

    def __init__(self, source: VideoStream, made: OutputContainer, codec: str, plan: Plan, end_s: float) -> None:
        name, options = VIDEO_ENCODERS[codec]
        # The average is far below what a variable rate reaches, and Matroska would state it as the rate.
        rate = source.guessed_rate or Fraction(30)
        if math.isinf(plan.picture_rate):
            options = {**options, "crf": "20"}
        stream = made.add_stream(cast(Any, name), rate=rate, options=options)
        assert isinstance(stream, VideoStream)  # noqa: S101
        context = stream.codec_context
        stream.width, stream.height, stream.pix_fmt = *plan.size, "yuv420p"
        stream.time_base = context.time_base = Fraction(1, 90_000)
        if not math.isinf(plan.picture_rate):
            stream.bit_rate = round(plan.picture_rate)
        elif codec == "vp8":
            stream.bit_rate = 12 * plan.size[0] * plan.size[1]
        given = source.codec_context
        context.colorspace, context.color_range = given.colorspace, given.color_range
        context.color_primaries, context.color_trc = given.color_primaries, given.color_trc
        self._stream = stream
        self._size = plan.size
        self._slot = round(90_000 / max(1.0, float(rate)))
        self._end = round(end_s * 90_000)
        self._reformatter = VideoReformatter()
        # The latest frame is encoded once it is known for how long it is shown.
        self._last: av.VideoFrame | None = None
        self._last_pts = -1

    def take(self, frame: av.VideoFrame) -> list[av.Packet[Any]]:
        """Take the next frame; return the packets that are ready."""
        pts = max(round((frame.time or 0.0) * 90_000), self._last_pts + 90)
        packets = [] if self._last is None else self._encode(self._last, pts)
        self._last, self._last_pts = self._reformatter.reformat(frame, *self._size, "yuv420p"), pts
        return packets

    def _encode(self, frame: av.VideoFrame, until: int) -> list[av.Packet[Any]]:
        """Encode the latest frame, which is shown until this pts."""
        frame.pts, frame.time_base = self._last_pts, Fraction(1, 90_000)
        frame.duration = max(1, until - self._last_pts)
        frame.pict_type = av.video.frame.PictureType.NONE
        return self._stream.encode(frame)

    def finish(self) -> list[av.Packet[Any]]:
        """Return the remaining packets.

        A last frame that stays on for long is sent again at the end, for players that show it for one slot only.
        """
        packets: list[av.Packet[Any]] = []
        if self._last is not None:
            last = self._end - self._slot
            if last > self._last_pts + self._slot:
                packets += self._encode(self._last, last)
                self._last_pts = last
            packets += self._encode(self._last, self._end)
        return packets + self._stream.encode(None)


class _SoundLane:
    """Encodes one audio track at another rate."""

    def __init__(self, source: AudioStream, made: OutputContainer, codec: str, rate: float, zero: float) -> None:
        name, form = AUDIO_ENCODERS[codec]
        mono = source.codec_context.channels == 1 or rate < _STEREO_FROM
        layout = "mono" if mono else "stereo"
        stream = made.add_stream(cast(Any, name), rate=SAMPLE_RATE)
        assert isinstance(stream, AudioStream)  # noqa: S101
        stream.codec_context.layout, stream.codec_context.format = layout, form
        stream.bit_rate = round(rate)
        self._stream = stream
        self._resampler = av.AudioResampler(form, layout, SAMPLE_RATE)
        self._zero_s = zero
        self._next: int | None = None

    def take(self, frame: av.AudioFrame) -> list[av.Packet[Any]]:
        """Encode the next samples; return the packets that are ready."""
        if self._next is None:
            self._next = max(0, round(((frame.time or 0.0) - self._zero_s) * SAMPLE_RATE))
        return self._encode(frame)

    def finish(self) -> list[av.Packet[Any]]:
        """Return the remaining packets."""
        return [*self._encode(None), *self._stream.encode(None)]

    def _encode(self, frame: av.AudioFrame | None) -> list[av.Packet[Any]]:
        packets: list[av.Packet[Any]] = []
        if self._next is None:
            return packets
        for part in self._resampler.resample(frame):
            part.pts, part.time_base = self._next, Fraction(1, SAMPLE_RATE)
            self._next += part.samples
            packets += self._stream.encode(part)
        return packets
