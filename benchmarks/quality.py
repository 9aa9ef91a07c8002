"""Do we trade quality for speed? Compares file sizes with ffmpeg's at the same similarity to the screen.

Usage: python -m benchmarks.quality [--frames 150] [--only SCENE …] [--json [FILE]]

Scenes: a walkthrough, full motion, gradients that move, the same with grain, and a terminal flooded with text (needs
xterm).

The screen is grabbed 30 times a second, and both encoders get the same pictures. Ours gets those that changed, with
several quantisers, including those of our qualities. ffmpeg encodes as in its documentation (`-preset ultrafast`, crf
23). By default, ffmpeg keeps full colour (4:4:4), which few players show, so it also encodes with colour at half the
size both ways (4:2:0), as we do. `as recorded` is medium quality with the coarser quantiser that it has for grain; the
others keep theirs. Every tenth picture is decoded and compared with the screen (SSIM of the luma).
The sizes are compared at the same similarity: that of ours is read from a parabola through all quantisers, in
logarithms. Single ones say little: a key frame that begins where blocks fit the pattern takes a third of the bytes.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, cast
from unittest.mock import patch

import av
import numpy as np

from benchmarks.desk import HEIGHT, WIDTH, fresh_desk
from benchmarks.process import started
from benchmarks.recorders import FPS
from benchmarks.report import add_json_option, announce, publish, table
from benchmarks.similarity import luma, similarity
from capture.codecs.video_encoder import VideoEncoder
from capture.codecs.video_presets import VIDEO_CODECS
from capture.formats import CONTAINERS
from capture.media import Pixels, Rectangle
from capture.output.muxer import Muxer
from capture.sources.mss_reader import MssReader
from capture.timing.timeline import grid_pts

#: The stimulus of each scene, and its options.
SCENES: Final = {
    "walkthrough": ("walkthrough",),
    "full motion": ("full_motion",),
    "gradients": ("gradients",),
    "grain": ("gradients", "--grain", "8"),
    "terminal": ("terminal",),
}

HEAD: Final = ("", "similarity", "size MB", "ours at ffmpeg's similarity, MB", "to it")

_ENCODER: Final = "libx264"
#: The last three are those of `--quality`.
_QUANTISERS: Final = (16, 17, 18, 20, 24, *(int(way["qp"]) for way in VIDEO_CODECS[_ENCODER].quality.values()))

_COMPARED_EVERY: Final = 10
_WHOLE: Final = Rectangle(0, 0, WIDTH, HEIGHT)


@dataclass(frozen=True, slots=True)
class Encoded:
    """One way to encode the pictures, with its similarity and size."""

    name: str
    similarity: float
    size_mb: float


def pictures_of(scene: str, count: int) -> list[Pixels]:
    """Grab `count` pictures of the screen, one per slot; an unchanged one is the previous object again."""
    module, *options = SCENES[scene]
    stimulus = [sys.executable, "-m", f"benchmarks.stimulus.{module}", *options]
    taken: list[Pixels] = []
    with fresh_desk() as desk, started(stimulus, desk.environment), patch.dict(os.environ, desk.environment):
        reader = MssReader()
        begin_s = time.monotonic()
        for slot in range(count):
            time.sleep(max(0.0, begin_s + slot / FPS - time.monotonic()))
            pixels = reader.grab(_WHOLE)
            taken.append(taken[-1] if taken and np.array_equal(pixels, taken[-1]) else pixels)
        reader.close()
    return taken


def ours(pictures: Sequence[Pixels], quantiser: int | None, folder: Path) -> Encoded:
    """Encode with this project's encoder and muxer: with this quantiser, or as recordings are by default."""
    path = folder / f"{quantiser}.mp4"
    how, name = VIDEO_CODECS[_ENCODER], "as recorded"
    if quantiser is not None:
        words = [word for word, options in how.quality.items() if options["qp"] == str(quantiser)]
        name = " ".join(["qp", str(quantiser), *words])
        how = how._replace(quality={"medium": {"qp": str(quantiser)}}, coarse={})
    muxer = Muxer(path, CONTAINERS["mp4"])
    # The encoder looks its options up again when it changes its search.
    with patch.dict(VIDEO_CODECS, {_ENCODER: how}):
        encoder = VideoEncoder("h264", WIDTH, HEIGHT, FPS)
        muxer.start([encoder.template])
        for slot, pixels in enumerate(pictures):
            if slot and pixels is pictures[slot - 1]:
                continue
            for packet in encoder.encode(pixels, grid_pts(slot, FPS)):
                muxer.write(0, packet)
        for packet in (*encoder.repeat(grid_pts(len(pictures) - 1, FPS)), *encoder.finish()):
            muxer.write(0, packet)
    muxer.close()
    return _judged(f"capture, {name}", path, pictures)


def ffmpeg(pictures: Sequence[Pixels], folder: Path, pixel_format: str = "") -> Encoded:
    """Encode with ffmpeg, with its default pixel format or the given one."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise FileNotFoundError("ffmpeg is not installed")
    path = folder / "ffmpeg.mp4"
    argv = [program, "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "bgr0", "-s", f"{WIDTH}x{HEIGHT}"]
    argv += ["-r", str(FPS), "-i", "-", "-c:v", "libx264", "-preset", "ultrafast"]
    argv += ["-pix_fmt", pixel_format] if pixel_format else []
    argv += ["-y", str(path)]
    encoding = subprocess.Popen(argv, stdin=subprocess.PIPE)
    assert encoding.stdin is not None  # noqa: S101 - it is a pipe
    for pixels in pictures:
        encoding.stdin.write(pixels.tobytes())
    encoding.stdin.close()
    if encoding.wait() != 0:
        raise RuntimeError("ffmpeg failed")
    return _judged(f"ffmpeg {pixel_format}".rstrip(), path, pictures)


def _judged(name: str, path: Path, pictures: Sequence[Pixels]) -> Encoded:
    wanted = range(_COMPARED_EVERY // 2, len(pictures), _COMPARED_EVERY)
    found = [similarity(luma(pictures[slot]), luma(pixels)) for slot, pixels in _shown(path, wanted)]
    return Encoded(name, sum(found) / len(found), path.stat().st_size / 1e6)


def _shown(path: Path, slots: Sequence[int]) -> Iterator[tuple[int, Pixels]]:
    """Yield each of the slots with the picture that a player shows in it."""
    left = list(slots)
    with av.open(str(path)) as container:
        last: av.VideoFrame | None = None
        for frame in container.decode(video=0):
            begins = round(Fraction(frame.pts or 0) * (frame.time_base or 0) * FPS)
            while last is not None and left and left[0] < begins:
                yield left.pop(0), cast(Pixels, last.to_ndarray(format="bgra"))
            last = frame
        for slot in left:
            assert last is not None  # noqa: S101 - there is a picture in every file
            yield slot, cast(Pixels, last.to_ndarray(format="bgra"))


def size_at(wanted: float, found: Sequence[Encoded]) -> float:
    """Return the size in MB at which our encoder would reach the similarity `wanted`."""
    # The distance from similarity 1 falls nearly exponentially with size, so in logarithms it is nearly a line.
    lacks = [math.log(1 - one.similarity) for one in found]
    sizes = [math.log(one.size_mb) for one in found]
    return math.exp(float(np.polyval(np.polyfit(lacks, sizes, 2), math.log(1 - wanted))))


def _row(scene: str, one: Encoded, *compared: str) -> list[str]:
    return [f"{scene}, {one.name}", f"{one.similarity:.5f}", f"{one.size_mb:.2f}", *compared]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=150, help="pictures per scene (default: 150)")
    parser.add_argument("--only", nargs="+", choices=SCENES, metavar="SCENE", help=f"only these: {', '.join(SCENES)}")
    add_json_option(parser)
    options = parser.parse_args()
    rows: list[list[str]] = []
    figures: dict[str, Any] = {"frames": options.frames, "scenes": {}}
    for scene in options.only or SCENES:
        announce(scene)
        pictures = pictures_of(scene, options.frames)
        with tempfile.TemporaryDirectory() as folder:
            theirs = [ffmpeg(pictures, Path(folder)), ffmpeg(pictures, Path(folder), "yuv420p")]
            recorded = ours(pictures, None, Path(folder))
            found = [ours(pictures, quantiser, Path(folder)) for quantiser in _QUANTISERS]
        ratios = {}
        for one in theirs:
            size_mb = size_at(one.similarity, found)
            ratios[one.name] = size_mb / one.size_mb
            rows.append(_row(scene, one, f"{size_mb:.2f}", f"{ratios[one.name]:.2f}"))
        rows += [_row(scene, one, "-", "-") for one in (recorded, *found)]
        encoded = [asdict(one) for one in (*theirs, recorded, *found)]
        figures["scenes"][scene] = {"encoded": encoded, "size_to": ratios}
    publish(table(HEAD, rows), figures, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
