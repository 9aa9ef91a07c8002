"""How long does it take to make a recording fit into a size, and to make a GIF of one?

Usage: python -m benchmarks.fitting [--against FOLDER] [--json [FILE]]

The recordings are in HD at 30 fps: 25 s to fit into 1 MB, and 5 s for a GIF. Two pictures are tried: the built-in test
picture, and one that moves as a whole, like a film. Each run is a process of its own. `--against` runs the same with
the code in another folder, such as a git worktree of an older commit, right before each. The exit code is 1 when a run
breaks its bound. Where other programs keep the machine busy, CPU time counts, shared among the processors.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.process import REPOSITORY, Outcome, run
from benchmarks.report import add_json_option, announce, publish, table
from benchmarks.stimulus import full_motion
from capture.codecs.audio_encoder import AudioEncoder
from capture.codecs.video_encoder import VideoEncoder
from capture.formats import CONTAINERS
from capture.media import SAMPLE_RATE, Pixels
from capture.output.muxer import Muxer
from capture.sources.pattern import draw_pattern, pattern_tone

WIDTH: Final = 1920
HEIGHT: Final = 1080
FPS: Final = 30

#: The work: its name, the length of the recording, the program, and how long it may take.
WORK: Final = (
    ("1 MB of 25 s", 25.0, "fit(path, 1_000_000)", 6.0),
    ("GIF of 5 s", 5.0, "convert(path, 'gif')", 3.0),
)

_TIMEOUT_S: Final = 300.0

HEAD: Final = ("", "code", "time", "CPU", "memory", "size", "")


def _film() -> Callable[[float], Pixels]:
    pixels = full_motion.picture(WIDTH, HEIGHT)

    def draw(at_s: float) -> Pixels:
        return np.ascontiguousarray(np.roll(pixels, -11 * round(at_s * FPS), axis=0))

    return draw


PICTURES: Final[dict[str, Callable[[], Callable[[float], Pixels]]]] = {
    "test picture": lambda: lambda at_s: draw_pattern(at_s, WIDTH, HEIGHT),
    "film": _film,
}


def record(path: Path, draw: Callable[[float], Pixels], length_s: float) -> None:
    """Write an MP4 of this length as the recorder encodes it, with a beep each second."""
    kind = CONTAINERS["mp4"]
    video, audio = VideoEncoder("h264", WIDTH, HEIGHT, FPS), AudioEncoder("aac", 2)
    muxer = Muxer(path, kind)
    muxer.start([video.template, audio.template])
    for slot in range(round(length_s * FPS)):
        for packet in video.encode(draw(slot / FPS), slot * 90_000 // FPS):
            muxer.write(0, packet)
        for packet in audio.encode(pattern_tone(slot * SAMPLE_RATE // FPS, SAMPLE_RATE // FPS)):
            muxer.write(1, packet)
    for packet in video.finish():
        muxer.write(0, packet)
    for packet in audio.finish():
        muxer.write(1, packet)
    muxer.close()
    muxer.keep()


def timed(recording: Path, program: str, code: Path) -> tuple[Outcome, int]:
    """Run the program on a copy of the recording with the code in a folder; return also the size of what it made."""
    with tempfile.TemporaryDirectory(dir=recording.parent) as folder:
        path = shutil.copy(recording, folder)
        lines = f"from pathlib import Path; from capture.recordings.transcode import *; path = Path({path!r})"
        # Without -P, the folder that it starts in would come before the path.
        command = [sys.executable, "-P", "-c", f"{lines}; print({program})"]
        done = run(command, {**os.environ, "PYTHONPATH": str(code)}, _TIMEOUT_S)
        if done.exit_code:
            raise RuntimeError(done.errors)
        return done, Path(done.output.strip()).stat().st_size


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="another version of the code")
    add_json_option(parser)
    arguments = parser.parse_args()
    codes = {"this": REPOSITORY}
    if arguments.against is not None:
        codes = {"other": arguments.against.resolve(), **codes}
    rows: list[tuple[str, ...]] = []
    figures: list[dict[str, Any]] = []
    in_bounds = True
    with tempfile.TemporaryDirectory(prefix="fitting-") as folder:
        for picture, drawing in PICTURES.items():
            for name, length_s, program, bound_s in WORK:
                announce(f"{picture}, {name}")
                recording = Path(folder, "recording.mp4")
                record(recording, drawing(), length_s)
                for code, place in codes.items():
                    done, size_bytes = timed(recording, program, place)
                    least_s = min(done.lasted_s, done.cpu_s / (os.cpu_count() or 1))
                    is_within = code != "this" or least_s <= bound_s
                    in_bounds &= is_within
                    costs = f"{done.lasted_s:.1f} s", f"{done.cpu_s:.1f} s", f"{done.peak_bytes / 1e6:.0f} MB"
                    said = "" if is_within else f"more than {bound_s:g} s"
                    rows.append((f"{picture}, {name}", code, *costs, f"{size_bytes / 1e3:.0f} KB", said))
                    figures.append(
                        {
                            "picture": picture,
                            "work": name,
                            "code": code,
                            "lasted_s": done.lasted_s,
                            "cpu_s": done.cpu_s,
                            "peak_bytes": done.peak_bytes,
                            "size_bytes": size_bytes,
                        }
                    )
                recording.unlink()
    publish(table(HEAD, rows), {"runs": figures, "in_bounds": in_bounds}, arguments.json)
    return 0 if in_bounds else 1


if __name__ == "__main__":
    sys.exit(main())
