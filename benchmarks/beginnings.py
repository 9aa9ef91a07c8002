"""Does FFmpeg keep every picture, however a file begins? Converts files without any option, picture by picture.

Usage: python -m benchmarks.beginnings [--rates 24 25 30 50 60] [--format mp4] [--json [FILE]]

For each way to begin and each frame rate, a file is made and converted by Debian's FFmpeg and by the one of the package
imageio-ffmpeg. A cell has two figures, one for each: by how many milliseconds the worst picture is off, or how many
pictures are missing. The exit code is 1 if one is missing, or off by more than a slot and a tenth: what comes right
after the last frame on the grid of a file may be shown that much later.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import imageio_ffmpeg  # type: ignore[import-untyped]

from benchmarks.reading.beginnings import KINDS, Drawn, make
from benchmarks.reading.pictures import picture
from benchmarks.reading.programs import first_shown_s
from benchmarks.report import add_json_option, announce, publish, table
from capture.formats import CONTAINERS
from capture.media import Pixels

_RATES: Final = (24, 25, 30, 50, 60)
_PROGRAMS: Final = {"ffmpeg": "ffmpeg", "imageio-ffmpeg": imageio_ffmpeg.get_ffmpeg_exe()}

#: Small pictures, because only their numbers count.
_EVERY: Final = 5

_BOUND_SLOTS: Final = 1.1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=int, nargs="+", default=_RATES)
    with_picture = [name for name, kind in CONTAINERS.items() if kind.video_codec]
    parser.add_argument("--format", choices=with_picture, default="mp4")
    add_json_option(parser)
    arguments = parser.parse_args()
    found: list[dict[str, Any]] = []
    rows, is_good = [], True
    for kind in KINDS:
        announce(kind)
        cells = []
        for fps in arguments.rates:
            with tempfile.TemporaryDirectory() as name:
                path = Path(name, f"made.{arguments.format}")
                drawn = make(kind, path, fps, _small)
                results = [_judged(path, program, drawn) for program in _PROGRAMS.values()]
            cells.append(" / ".join(_cell(*result) for result in results))
            is_good = is_good and all(not missing and off_s < _BOUND_SLOTS / fps for missing, off_s in results)
            found += [
                {"kind": kind, "fps": fps, "program": program, "missing": missing, "off_s": off_s}
                for program, (missing, off_s) in zip(_PROGRAMS, results, strict=True)
            ]
        rows.append([kind, *cells])
    head = [f"off by ms, {' / '.join(_PROGRAMS)}", *(f"{fps} fps" for fps in arguments.rates)]
    publish(table(head, rows), {"results": found}, arguments.json)
    return int(not is_good)


def _cell(missing: int, off_s: float) -> str:
    return f"{missing} missing" if missing else f"{1000 * off_s:.0f}"


def _small(number: int) -> Pixels:
    return picture(number)[::_EVERY, ::_EVERY].copy()


def _judged(path: Path, program: str, drawn: Drawn) -> tuple[int, float]:
    """Convert a file; return how many of the pictures are missing, and by how much the worst of the others is off."""
    made = path.with_stem("converted")
    command = [program, "-v", "error", "-y", "-i", str(path), str(made)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=60)
    shown_s, _ = first_shown_s(made)
    off_s = [abs(shown_s[number] - at_s) for number, at_s in drawn if number in shown_s]
    return len(drawn) - len(off_s), max(off_s, default=0.0)


if __name__ == "__main__":
    sys.exit(main())
