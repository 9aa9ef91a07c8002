"""Writes small recordings with FFmpeg alone; the code under test takes no part.

Run as a program, `written.py PATH…` writes each file in a process that dies before closing it, like a killed recorder.
"""

from __future__ import annotations

import heapq
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from capture.formats import CONTAINERS

RATE = 48_000
FPS = 25
WIDTH, HEIGHT = 64, 48

_ENCODERS = {"aac": "aac", "opus": "libopus", "mp3": "libmp3lame", "flac": "flac", "pcm_s16le": "pcm_s16le"}
_FRAGMENTED = {"movflags": "hybrid_fragmented+delay_moov", "frag_duration": "500000"}
_CLUSTERS = {"cluster_time_limit": "500"}
_OPTIONS = {
    "mp4": _FRAGMENTED,
    "mov": _FRAGMENTED,
    "ipod": _FRAGMENTED,
    "matroska": _CLUSTERS,
    "webm": _CLUSTERS,
    "ogg": {"page_duration": "200000"},
}


@dataclass(frozen=True)
class Sound:
    """An audio track: silence, then from `heard_from_s` on a tone of 440 Hz with this `peak`."""

    start_s: float = 0.0
    end_s: float = 2.0
    peak: float = 0.3
    heard_from_s: float = 0.0
    #: Another codec than that of the format.
    codec: str = ""


@dataclass(frozen=True)
class Picture:
    """A video track of grey frames that grow lighter."""

    start_s: float = 0.0
    end_s: float = 2.0


def write(
    path: Path,
    sounds: tuple[Sound, ...] = (Sound(),),
    picture: Picture | None = Picture(),
    *,
    close: bool = True,
) -> Path:
    """Write a recording in the format of the extension; return `path`. Audio formats leave `picture` out."""
    kind = CONTAINERS[path.suffix[1:]]
    options = {**_OPTIONS.get(kind.format, {}), "flush_packets": "1"}
    container = av.open(str(path), "w", format=kind.format, options=options)
    steps: list[Iterator[tuple[float, Any, Any]]] = []
    if picture is not None and kind.video_codec is not None:
        steps.append(_pictures(_add_video(container, kind.video_codec), picture))
    for sound in sounds:
        stream = container.add_stream(_ENCODERS[sound.codec or kind.audio_codec], rate=RATE, layout="stereo")
        assert isinstance(stream, AudioStream)
        steps.append(_samples(stream, sound))
    for _, stream, frame in heapq.merge(*steps, key=lambda step: step[0]):
        container.mux(stream.encode(frame))
    if not close:
        os._exit(0)
    for video in container.streams.video:
        container.mux(video.encode(None))
    for audio in container.streams.audio:
        container.mux(audio.encode(None))
    container.close()
    return path


def _add_video(container: av.container.OutputContainer, codec: str) -> VideoStream:
    stream = container.add_stream("libx264" if codec == "h264" else "libvpx", rate=FPS)
    assert isinstance(stream, VideoStream)
    stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    stream.time_base = stream.codec_context.time_base = Fraction(1, 90_000)
    stream.codec_context.gop_size = FPS
    if codec == "h264":
        stream.codec_context.options = {"preset": "ultrafast", "tune": "zerolatency"}
    else:
        stream.codec_context.options = {"deadline": "realtime", "cpu-used": "16", "lag-in-frames": "0"}
    return stream


def _pictures(stream: VideoStream, picture: Picture) -> Iterator[tuple[float, VideoStream, av.VideoFrame]]:
    for number in range(round((picture.end_s - picture.start_s) * FPS)):
        at_s = picture.start_s + number / FPS
        grey = np.full((HEIGHT * 3 // 2, WIDTH), 16 + number % 200, np.uint8)
        frame = av.VideoFrame.from_ndarray(grey, format="yuv420p")
        frame.pts, frame.time_base = round(at_s * 90_000), Fraction(1, 90_000)
        yield at_s, stream, frame


def _samples(stream: AudioStream, sound: Sound) -> Iterator[tuple[float, AudioStream, av.AudioFrame]]:
    resampler = av.AudioResampler(format=stream.codec_context.format, layout="stereo", rate=RATE)
    size = stream.codec_context.frame_size or 1024
    times = np.arange(round((sound.end_s - sound.start_s) * RATE)) / RATE
    heard = times + sound.start_s >= sound.heard_from_s
    tone = np.where(heard, sound.peak * np.sin(2 * np.pi * 440 * times), 0.0).astype(np.float32)
    for first in range(0, len(tone), size):
        block = tone[first : first + size]
        frame = av.AudioFrame.from_ndarray(np.stack([block, block]), format="fltp", layout="stereo")
        frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
        frame.pts = round(sound.start_s * RATE) + first
        for converted in resampler.resample(frame):
            yield sound.start_s + first / RATE, stream, converted


if __name__ == "__main__" and sys.platform != "win32":
    for name in sys.argv[1:]:
        writer = os.fork()
        if not writer:
            write(Path(name), close=False)
        if os.waitpid(writer, 0)[1] != 0:
            sys.exit(f"{name} could not be written")
