"""What do files cost that every program reads right? The same screen, encoded and written with and without that.

Usage: python -m benchmarks.file_cost [--seconds 60] [--runs 5] [--json [FILE]]

Without: times as they come, no key frame before its time, fragments by length alone, and no table of them. The runs
alternate. The exit code is 1 when bytes or processor time grow by more than their bounds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final
from unittest.mock import patch

import numpy as np

from benchmarks.report import add_json_option, announce, publish, table
from capture.codecs import video_encoder
from capture.codecs.audio_encoder import AudioEncoder
from capture.codecs.video_encoder import VideoEncoder
from capture.formats import CONTAINERS
from capture.media import SAMPLE_RATE, VIDEO_TICKS_PER_S, Pixels
from capture.output import muxer as muxer_module
from capture.output import muxer_options
from capture.output.frame_times import FrameTimes
from capture.output.muxer import Muxer

BYTES_BOUND: Final = 1.01

#: Two runs of the same differ by this much on a busy machine.
CPU_BOUND: Final = 1.05

WIDTH: Final = 1920
HEIGHT: Final = 1080
FPS: Final = 30

#: A typed letter, and how many pixels a page moves in a slot.
_LETTER: Final = (24, 16)
_SCROLLED: Final = 24

#: When the screen rests and repeats, types and scrolls, in every twelve seconds. Then another window covers it.
_PERIOD_S: Final = 12.0
_TYPES_FROM_S: Final = 4.0
_SCROLLS_FROM_S: Final = 10.0
_HEARTBEAT_S: Final = 0.55

_PLAIN_OPTIONS: Final = {"movflags": "hybrid_fragmented+delay_moov", "frag_duration": "300000"}


class _NoIndex:
    """Writes no table of fragments."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def update(self) -> None:
        pass

    def drop_chapters(self) -> None:
        pass


class _Untouched(FrameTimes):
    """Leaves the times of frames as they come."""

    def place(self, packet: object, before_s: float = 0.0) -> None:
        pass


def screen(seconds: float) -> Iterator[tuple[float, Pixels | None, int, int]]:
    """Yield moments with what was drawn, None for a repeat, and the column and the row of it."""
    random = np.random.default_rng(4)
    letters = np.kron(random.integers(0, 2, (2 * HEIGHT // 12, WIDTH // 8), np.uint8) * 200, np.ones((12, 8), np.uint8))
    page = np.ascontiguousarray(np.repeat(letters[..., None], 4, axis=2))
    top, drawn_s = 0, 0.0
    yield 0.0, page[:HEIGHT].copy(), 0, 0
    for slot in range(1, round(seconds * FPS)):
        at_s = slot / FPS + 0.004
        place_s = at_s % _PERIOD_S
        if place_s < 1 / FPS:
            page = np.ascontiguousarray(page[::-1, ::-1])
            yield at_s, page[top : top + HEIGHT].copy(), 0, 0
        elif place_s >= _SCROLLS_FROM_S:
            top = (top + _SCROLLED) % HEIGHT
            yield at_s, page[top : top + HEIGHT].copy(), 0, 0
        elif place_s >= _TYPES_FROM_S and slot % 4 == 0:
            letter = random.integers(0, 255, (*_LETTER, 4), np.uint8)
            yield at_s, letter, 16 * (slot // 4 % 100), 24 * (slot // 400 % 40)
        elif at_s - drawn_s >= _HEARTBEAT_S:
            yield at_s, None, 0, 0
        else:
            continue
        drawn_s = at_s


def write(path: Path, seconds: float) -> tuple[int, float]:
    """Encode and write the screen with a voice-like noise; return the bytes and the processor time."""
    noise = np.random.default_rng(1).normal(0, 0.02, (SAMPLE_RATE, 1)).astype(np.float32).repeat(2, axis=1)
    took_s = 0.0
    video, audio = VideoEncoder("h264", WIDTH, HEIGHT, FPS), AudioEncoder("aac", 2)
    muxer = Muxer(path, CONTAINERS["mp4"], overwrite=True)
    muxer.start([video.template, audio.template])
    heard_s = 0
    for at_s, pixels, left, top in screen(seconds):
        pts = round(at_s * VIDEO_TICKS_PER_S)
        began_s = time.process_time()
        for packet in video.repeat(pts) if pixels is None else video.encode(pixels, pts, left, top):
            muxer.write(0, packet)
        if heard_s <= at_s:
            for heard in audio.encode(noise):
                muxer.write(1, heard)
            heard_s += 1
        took_s += time.process_time() - began_s
    began_s = time.process_time()
    muxer.close()
    took_s += time.process_time() - began_s
    muxer.keep()
    video.finish()
    return path.stat().st_size, took_s


def plainly(path: Path, seconds: float) -> tuple[int, float]:
    """Write the same without what readers need."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(muxer_module, "FrameTimes", _Untouched))
        stack.enter_context(patch.object(muxer_module, "FragmentIndex", _NoIndex))
        stack.enter_context(patch.dict(muxer_options._FRAGMENTED, _PLAIN_OPTIONS))
        for name in ("CHEAP_KEY_FRAME_INTERVAL_S", "NEW_KEY_FRAME_INTERVAL_S"):
            stack.enter_context(patch.object(video_encoder, name, 1e9))
        return write(path, seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--runs", type=int, default=5)
    add_json_option(parser)
    arguments = parser.parse_args()
    found: dict[str, list[tuple[int, float]]] = {"without": [], "with": []}
    with tempfile.TemporaryDirectory() as name:
        for run in range(arguments.runs):
            announce(f"run {run + 1} of {arguments.runs}")
            found["without"].append(plainly(Path(name, "plain.mp4"), arguments.seconds))
            found["with"].append(write(Path(name, "made.mp4"), arguments.seconds))
    # The least of all runs is the one that other programs disturbed least.
    size, cpu_s = ({kind: min(run[place] for run in runs) for kind, runs in found.items()} for place in (0, 1))
    ratios = size["with"] / size["without"], cpu_s["with"] / cpu_s["without"]
    rows = [[kind, f"{size[kind] / 1e6:.3f}", f"{cpu_s[kind]:.2f}"] for kind in found]
    rows.append(["ratio", *(f"{ratio:.4f}" for ratio in ratios)])
    publish(table(["", "MB", "CPU s"], rows), {"bytes": size, "cpu_s": cpu_s}, arguments.json)
    return int(ratios[0] > BYTES_BOUND or ratios[1] > CPU_BOUND)


if __name__ == "__main__":
    sys.exit(main())
