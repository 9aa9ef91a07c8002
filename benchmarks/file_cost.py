"""What do files cost that every program reads right? The same screen, encoded and written with and without that.

Usage: python -m benchmarks.file_cost [--key-frames] [--seconds 60] [--runs 5] [--json [FILE]]

Without: times as they come, no key frame before its time, fragments by length alone, and no table of them. The runs
alternate. The exit code is 1 when bytes or processor time grow by more than their bounds.

With `--key-frames`, it prints what other rules for key frames would cost for six kinds of screen: how many bytes more
than with one in 8 s of change alone, and how many key frames there are.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final
from unittest.mock import patch

import numpy as np

from benchmarks.report import add_json_option, announce, publish, table
from benchmarks.stimulus.screens import FPS, HEIGHT, SCREENS, WIDTH, Drawn, typing_scrolling_windows
from capture.codecs import video_encoder
from capture.codecs.audio_encoder import AudioEncoder
from capture.codecs.video_encoder import VideoEncoder
from capture.formats import CONTAINERS
from capture.media import SAMPLE_RATE, VIDEO_TICKS_PER_S
from capture.output import muxer as muxer_module
from capture.output import muxer_options
from capture.output.frame_times import FrameTimes
from capture.output.muxer import Muxer

BYTES_BOUND: Final = 1.01

#: Two runs of the same differ by this much on a busy machine.
CPU_BOUND: Final = 1.05

#: The intervals of key frames in `video_encoder` by each rule.
_NO_OTHERS: Final = {"CHEAP_KEY_FRAME_INTERVAL_S": 1e9, "NEW_KEY_FRAME_INTERVAL_S": 1e9}
KEY_FRAME_RULES: Final[dict[str, dict[str, float]]] = {
    "8 s alone": _NO_OTHERS,
    "as they are": {},
    "every 2 s": {**_NO_OTHERS, "KEY_FRAME_INTERVAL_S": 2.0},
}

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


def write(path: Path, seconds: float) -> tuple[int, float]:
    """Encode and write the screen with a voice-like noise; return the bytes and the processor time."""
    noise = np.random.default_rng(1).normal(0, 0.02, (SAMPLE_RATE, 1)).astype(np.float32).repeat(2, axis=1)
    took_s = 0.0
    video, audio = VideoEncoder("h264", WIDTH, HEIGHT, FPS), AudioEncoder("aac", 2)
    muxer = Muxer(path, CONTAINERS["mp4"], overwrite=True)
    muxer.start([video.template, audio.template])
    heard_s = 0
    for at_s, pixels, left, top in typing_scrolling_windows(seconds):
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
        stack.enter_context(_intervals(KEY_FRAME_RULES["8 s alone"]))
        return write(path, seconds)


@contextmanager
def _intervals(intervals_s: Mapping[str, float]) -> Iterator[None]:
    """Let encoders that are made meanwhile place their key frames by other intervals."""
    with ExitStack() as stack:
        for name, interval_s in intervals_s.items():
            stack.enter_context(patch.object(video_encoder, name, interval_s))
        yield


def encoded_bytes(drawn: Iterable[Drawn]) -> tuple[int, int]:
    """Return how many bytes the pictures take, and how many of them are key frames."""
    video = VideoEncoder("h264", WIDTH, HEIGHT, FPS)
    size = keys = 0
    for at_s, pixels, left, top in drawn:
        pts = round(at_s * VIDEO_TICKS_PER_S)
        for packet in video.repeat(pts) if pixels is None else video.encode(pixels, pts, left, top):
            size, keys = size + packet.size, keys + packet.is_keyframe
    video.close()
    return size, keys


def print_key_frames(seconds: float, destination: str | None) -> None:
    """Print what key frames cost by each rule, for each kind of screen."""
    rows, figures = [], {}
    for kind, screen in SCREENS.items():
        announce(kind)
        found = {}
        for rule, intervals_s in KEY_FRAME_RULES.items():
            with _intervals(intervals_s):
                found[rule] = encoded_bytes(screen(seconds))
        least = found["8 s alone"][0]
        figures[kind] = {rule: {"bytes": size, "key_frames": keys} for rule, (size, keys) in found.items()}
        rows.append(
            [
                kind,
                f"{least / 1e6:.2f}",
                *(f"{100 * (size / least - 1):+.1f} %, {keys}" for size, keys in found.values()),
            ]
        )
    publish(table(["bytes and key frames", "MB, 8 s", *KEY_FRAME_RULES], rows), figures, destination)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--key-frames", action="store_true", help="print what key frames cost")
    add_json_option(parser)
    arguments = parser.parse_args()
    if arguments.key_frames:
        print_key_frames(arguments.seconds, arguments.json)
        return 0
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
