"""Opens recordings and ledgers again. FFmpeg decodes them; the package under test takes no part."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

import av
import av.video.plane
import numpy as np
import numpy.typing as npt
from av.container import InputContainer

Picture: TypeAlias = npt.NDArray[np.uint8]
Sound: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Pictures:
    """A video track. `moments_s` are the presentation times of all frames, `end_s` is the end of the last one."""

    moments_s: list[float]
    end_s: float
    #: The last frame: (height, width, 3), RGB.
    last: Picture

    @property
    def last_bgr(self) -> Picture:
        return self.last[..., ::-1]


def pictures(path: Path) -> Pictures:
    """Decode the video track. A truncated file is no error: the end is missing then."""
    moments_s: list[float] = []
    end_s = 0.0
    last: av.VideoFrame | None = None
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        try:
            for packet in container.demux(stream):
                if packet.pts is not None and packet.time_base is not None:
                    end_s = max(end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                for last in packet.decode():
                    assert last is not None
                    moments_s.append(float(last.time))
        except av.error.InvalidDataError:
            pass
    assert last is not None
    return Pictures(moments_s, end_s, _rgb(last))


def each_picture(path: Path) -> Iterator[tuple[float, Picture]]:
    """Yield every frame: presentation time in seconds, and (height, width, 3) RGB."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            assert frame.time is not None
            yield frame.time, _rgb(frame)


def exact_last(path: Path) -> Picture:
    """Return the last frame as RGB, by the formula of BT.601: FFmpeg's tables are off by up to two levels."""
    with av.open(str(path)) as container:
        *_, last = container.decode(video=0)
    luma, *chroma = (_plane(plane) for plane in last.planes)
    blueness, redness = ((plane.repeat(2, 0).repeat(2, 1) - 128) / 224 for plane in chroma)
    # The shares of red and blue in luma.
    of_red, of_blue = 0.299, 0.114
    bright = (luma - 16) / 219
    red, blue = bright + 2 * (1 - of_red) * redness, bright + 2 * (1 - of_blue) * blueness
    green = (bright - of_red * red - of_blue * blue) / (1 - of_red - of_blue)
    return np.rint(255 * np.clip(np.stack((red, green, blue), axis=-1), 0, 1)).astype(np.uint8)


def _mono(frame: av.AudioFrame) -> npt.NDArray[np.float32]:
    return np.asarray(frame.to_ndarray().mean(axis=0), np.float32)


def _plane(plane: av.video.plane.VideoPlane) -> npt.NDArray[np.float64]:
    rows = np.frombuffer(cast(Any, plane), np.uint8).reshape(plane.height, plane.line_size)
    return np.asarray(rows[:, : plane.width], np.float64)


def _rgb(frame: av.VideoFrame) -> Picture:
    return np.asarray(frame.to_ndarray(format="rgb24"))


def everything_shown(path: Path) -> Iterator[Picture]:
    """Yield every frame in the file, also those that players skip because of an edit list."""
    with _without_edits(path) as container:
        for frame in container.decode(video=0):
            yield _rgb(frame)


def everything_heard(path: Path, number: int = 0) -> Sound:
    """Return all samples of an audio track, mixed down to one channel, also those that players skip."""
    parts: list[Sound] = []
    with _without_edits(path) as container:
        stream = container.streams.audio[number]
        context = stream.codec_context
        resampler = av.AudioResampler(format="fltp", layout=stream.layout, rate=stream.rate)
        for packet in container.demux(stream):
            # A copy of its bytes: side data says what to skip.
            for frame in context.decode(av.Packet(bytes(packet)) if packet.size else None):
                frame.pts = None
                parts += [_mono(converted) for converted in resampler.resample(frame)]
    return np.concatenate(parts)


def _without_edits(path: Path) -> InputContainer:
    options = {"ignore_editlist": "1"} if path.suffix in (".mp4", ".mov", ".m4a") else {}
    return av.open(str(path), options=options)


@dataclass(frozen=True)
class Track:
    """An audio track mixed down to one channel. `start_s` is the presentation time of its first sample."""

    samples: Sound
    rate: int
    start_s: float

    @property
    def end_s(self) -> float:
        return self.start_s + len(self.samples) / self.rate

    def between(self, start_s: float, end_s: float) -> Sound:
        return self.samples[round((start_s - self.start_s) * self.rate) : round((end_s - self.start_s) * self.rate)]


def sound(path: Path, number: int = 0) -> Track:
    """Decode audio track `number`. A truncated file is no error: the end is missing then."""
    parts: list[Sound] = []
    start_s: float | None = None
    with av.open(str(path)) as container:
        stream = container.streams.audio[number]
        resampler = av.AudioResampler(format="fltp", layout=stream.layout, rate=stream.rate)
        try:
            for frame in container.decode(stream):
                if start_s is None:
                    start_s = frame.time
                parts += [_mono(converted) for converted in resampler.resample(frame)]
        except av.error.InvalidDataError:
            pass
        return Track(np.concatenate(parts) if parts else np.zeros(0, np.float32), stream.rate, start_s or 0.0)


def loudness(samples: Sound, hz: float, rate: int) -> float:
    """Return the amplitude of the sine of `hz` in `samples`."""
    phase = 2j * np.pi * hz / rate * np.arange(len(samples))
    window = np.hanning(len(samples))
    return float(2 * abs(np.sum(samples * window * np.exp(-phase))) / np.sum(window))


def usual_loudness(samples: Sound, hz: float, rate: int) -> float:
    """Return the amplitude of the sine of `hz` in most of `samples`: short gaps and jumps do not count."""
    length = rate // 20
    return float(
        np.median([loudness(piece, hz, rate) for piece in np.split(samples, range(length, len(samples), length))])
    )


def first_loud_s(track: Track, level: float = 0.05) -> float:
    """Return when the sound first exceeds `level`, in seconds."""
    loud = np.flatnonzero(np.abs(track.samples) > level)
    assert len(loud), "there is no sound in it"
    return track.start_s + float(loud[0]) / track.rate


def chapters(path: Path) -> list[tuple[str, float, float]]:
    """Return the chapters as players show them: title, start and end in seconds."""
    return [
        (chapter["tags"]["title"], float(chapter["start_time"]), float(chapter["end_time"]))
        for chapter in probe(path)["chapters"]
    ]


def probe(path: Path) -> dict[str, Any]:
    """Return what ffprobe reports about the file, its streams and chapters."""
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-show_format", "-show_streams", "-show_chapters", "-of", "json", path],
        capture_output=True,
        check=True,
        timeout=60,
    )
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def ledger_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a ledger, decoded."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def traced_headers(path: Path) -> str:
    """Return what FFmpeg's own parser says of the headers in a file's picture."""
    traced = subprocess.run(
        ["ffmpeg", "-i", str(path), "-map", "0:v", "-c", "copy", "-bsf:v", "trace_headers", "-f", "null", "-"],
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
        timeout=30,
    )
    return traced.stderr


def stated_rate_flags(path: Path) -> set[str]:
    """Return the values of `fixed_frame_rate_flag` in a file's H.264."""
    lines = traced_headers(path).splitlines()
    return {line.split("=")[-1].strip() for line in lines if "fixed_frame_rate_flag" in line}
