"""What is the least that recording could cost, and how far above that are we?

Usage: python -m benchmarks.limits [--seconds 20] [--only SCENE …] [--size 1920x1080] [--json [FILE]]

The bare work is done once in a single thread: grabbing, converting and encoding the changes of each slot, and encoding
a voice, both for the length of a recording. Their CPU time is the floor. Then `capture` records the same scene for the
same time. The difference is the price of everything else: starting, threads waking each other, placing sound on the
timeline, writing the file, reporting progress.

The floor of the memory is Python with the libraries that a recording loads, and without the code that only the start
uses; what is over it are pictures and encoders. A second table shows what the memory consists of at its peak: code and
tables of libraries, which the system shares between programs; what servers write into; the encoder; and the rest.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, astuple, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from unittest.mock import patch

import av
import numpy as np

from benchmarks.desk import HEIGHT, WIDTH, fresh_desk
from benchmarks.mappings import SAMPLING_S, Held, PeakWatch, held_of
from benchmarks.process import REPOSITORY, Outcome, Sampling, started
from benchmarks.recorders import FPS, Capture, Order
from benchmarks.report import add_json_option, announce, publish, table
from benchmarks.stimulus.voice import spoken_loop
from capture.codecs.audio_encoder import AudioEncoder
from capture.codecs.video_encoder import VideoEncoder
from capture.media import SAMPLE_RATE, Frame, Rectangle
from capture.pixels.frame_pool import FramePool
from capture.pixels.part_converter import PartConverter
from capture.pixels.picture import YuvPicture
from capture.pixels.yuv import yuv_converter
from capture.sources.screen_source import ScreenSource

SCENES: Final = {"still": "still", "walkthrough": "walkthrough", "full motion": "full_motion"}

HEAD: Final = ("", "frames", "grab", "convert", "encode", "sound", "floor", "capture", "over it", "peak MB", "over it")

MEMORY_HEAD: Final = ("peak MB", *(field.name for field in fields(Held)), "whole")

#: Loads what a recording of the screen loads, and prints the memory that this takes and its kinds.
_LOADING: Final = """
from capture.cli.slim_numpy import load_numpy
load_numpy()
import capture.session.session, capture.sources.pulse.device_source, capture.sources.x11.change_watch
import capture.codecs.video_encoder, capture.pipeline.feed, capture.session.take
from capture.system.library_code import unmap_unused_code
unmap_unused_code()
print(open("/proc/self/smaps").read())
"""

#: Samples per block of the sound sources.
_BLOCK: Final = 4_800

Result = TypeVar("Result")


@dataclass(slots=True)
class Work:
    """CPU seconds for each kind of work, and the number of frames."""

    frames: int = 0
    grab_s: float = 0.0
    convert_s: float = 0.0
    encode_s: float = 0.0
    sound_s: float = 0.0

    @property
    def floor_s(self) -> float:
        return self.grab_s + self.convert_s + self.encode_s + self.sound_s


def work_of(seconds: float, environment: Mapping[str, str], size: tuple[int, int]) -> Work:
    """Do the work for `seconds` of the current screen."""
    work = Work()
    with patch.dict(os.environ, environment):
        source = ScreenSource(Rectangle(0, 0, *size), cursor=True)
        source.open()
    try:
        _pictures(source, seconds, work)
    finally:
        source.close()
    _, work.sound_s = _timed(lambda: _sound(seconds))
    return work


def _pictures(source: ScreenSource, seconds: float, work: Work) -> None:
    size = (source.width, source.height)
    pool = FramePool(*size, keeps=True)
    picture = YuvPicture(*size, pool, in_place=True)
    parts = PartConverter(*size, size, yuv_converter(exact=False), pool, picture)

    def convert(frame: Frame) -> av.VideoFrame:
        return picture.put(parts.convert(frame.pixels, frame.left, frame.top, in_place=True))

    encoder = VideoEncoder("h264", *size, FPS)
    begin_s = time.monotonic()
    source.begin(begin_s)
    for slot in range(round(seconds * FPS)):
        time.sleep(max(0.0, begin_s + slot / FPS - time.monotonic()))
        if not source.wait_for_change(begin_s + (slot + 1) / FPS):
            continue
        frame, took_s = _timed(source.grab)
        work.grab_s += took_s
        converted, took_s = _timed(partial(convert, frame))
        work.convert_s += took_s
        _, took_s = _timed(lambda converted=converted, slot=slot: encoder.encode_frame(converted, slot * 3000))  # type: ignore[misc]
        work.encode_s += took_s
        work.frames += 1
    encoder.finish()


def _sound(seconds: float) -> None:
    loop = spoken_loop(SAMPLE_RATE)
    encoder = AudioEncoder("aac", 2)
    for first in range(0, round(seconds * SAMPLE_RATE), _BLOCK):
        mono = loop[np.arange(first, first + _BLOCK) % loop.size]
        encoder.encode(np.repeat(mono[:, None], 2, axis=1))
    encoder.finish()


def _timed(step: Callable[[], Result]) -> tuple[Result, float]:
    began_s = time.process_time()
    result = step()
    return result, time.process_time() - began_s


def loaded() -> Held:
    """Return the memory that Python takes with what a recording loads."""
    loading = [sys.executable, "-c", _LOADING]
    return held_of(subprocess.run(loading, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout)


def measure(scene: str, seconds: float, size: tuple[int, int]) -> tuple[Work, Outcome, Held]:
    """Return the floor of a scene, what `capture` costs on it, and its memory at the peak."""
    stimulus = [sys.executable, "-m", f"benchmarks.stimulus.{SCENES[scene]}"]
    with tempfile.TemporaryDirectory() as folder, fresh_desk(size=size) as desk, started(stimulus, desk.environment):
        work = work_of(seconds, desk.environment, size)
        watch = PeakWatch()
        with Sampling(watch.look, SAMPLING_S):
            recording = Capture().record(Order(Path(folder, "recording.mp4"), seconds, desk))
    return work, recording.outcome, watch.held


def row(scene: str, work: Work, recorder: Outcome, least_mb: float) -> list[str]:
    """Return one line of the table: CPU seconds and their ratio, the peak of the memory and what is over its floor."""
    parts = [getattr(work, field.name) for field in fields(Work)[1:]]
    cells = [f"{part:.2f}" for part in (*parts, work.floor_s, recorder.cpu_s, recorder.cpu_s / work.floor_s)]
    peak_mb = recorder.peak_bytes / 1e6
    return [scene, str(work.frames), *cells, f"{peak_mb:.0f}", f"{peak_mb - least_mb:.0f}"]


def memory_row(name: str, held: Held) -> list[str]:
    """Return one line of the table of the memory."""
    return [name, *(f"{part:.1f}" for part in (*astuple(held), held.whole))]


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    return int(width), int(height)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each measurement (default: 20)")
    parser.add_argument("--only", nargs="+", choices=SCENES, metavar="SCENE", help=f"only these: {', '.join(SCENES)}")
    parser.add_argument(
        "--size", type=_size, default=(WIDTH, HEIGHT), help=f"of the screen (default: {WIDTH}x{HEIGHT})"
    )
    add_json_option(parser)
    options = parser.parse_args()
    rows: list[list[str]] = []
    least = loaded()
    memory = [memory_row("Python and its libraries", least)]
    figures: dict[str, Any] = {"seconds": options.seconds, "size": options.size, "loaded": asdict(least), "scenes": {}}
    for scene in options.only or SCENES:
        announce(scene)
        work, recorder, held = measure(scene, options.seconds, options.size)
        rows.append(row(scene, work, recorder, least.whole))
        memory.append(memory_row(scene, held))
        costs = {"floor_s": work.floor_s, "capture_s": recorder.cpu_s, "peak_mb": recorder.peak_bytes / 1e6}
        figures["scenes"][scene] = asdict(work) | costs | {"held": asdict(held)}
    text = f"CPU seconds; Python and its libraries take {least.whole:.0f} MB"
    publish(f"{text}\n{table(HEAD, rows)}\n{table(MEMORY_HEAD, memory)}", figures, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
