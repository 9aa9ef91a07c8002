"""How long does `capture trim` take with an hour of MP4, for a short part, a long one, and without a minute of it?

Usage: python -m benchmarks.trim [--minutes 60] [--json [FILE]]

The recording is one minute of the test picture and tone, joined to itself. Each run is a process of its own, as a user
starts it. Copying the file (`cp`), and `ffmpeg -c copy` if it is installed, which neither cuts exactly nor checks what
it wrote, are timed beside it. The exit code is 1 when a part breaks the bound; where other programs keep the machine
busy, CPU time counts.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from benchmarks.process import Outcome, run
from benchmarks.report import add_json_option, announce, publish, table

BOUND_S: Final = 1.5

_MINUTE_S: Final = 60

#: How many times a file is joined to itself at once.
_COPIES: Final = 10


def recording(folder: Path, minutes: int) -> Path:
    """Write a recording that is this long, in whole minutes."""
    path = folder / "minute.mp4"
    capture = [sys.executable, "-m", "capture"]
    record = ["record", str(path), "--source", "pattern", "--duration", f"{_MINUTE_S}s", "--no-hotkeys"]
    subprocess.run([*capture, *record, "--quiet"], check=True, timeout=2 * _MINUTE_S)
    parts, made = [path] * minutes, 0
    while len(parts) > 1:
        group, parts = parts[:_COPIES], parts[_COPIES:]
        joined = folder / f"joined{made}.mp4"
        subprocess.run([*capture, "join", *map(str, group), "-o", str(joined), "--quiet"], check=True, timeout=600)
        parts.append(joined)
        made += 1
    return parts[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=60)
    add_json_option(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        announce(f"making a recording of {arguments.minutes} minutes")
        path = recording(folder, arguments.minutes)
        whole_s = arguments.minutes * _MINUTE_S
        trim = [sys.executable, "-m", "capture", "trim", str(path), "--quiet", "-o"]
        cases = {
            "a minute of it": [*trim, "short.mp4", "--from", f"{whole_s / 2 + 0.5}s", "--to", f"{whole_s / 2 + 60}s"],
            "five sixths": [*trim, "long.mp4", "--from", f"{whole_s / 12}s", "--to", f"{whole_s * 11 / 12}s"],
            "without its second minute": [*trim, "cut.mp4", "--cut", "60-120"],
            "cp": ["cp", str(path), "copy.mp4"],
        }
        if (ffmpeg := shutil.which("ffmpeg")) is not None:
            begin, end = f"{whole_s / 12}", f"{whole_s * 11 / 12}"
            cases["ffmpeg -c copy, five sixths"] = [
                *(ffmpeg, "-v", "error", "-ss", begin, "-to", end, "-i", str(path), "-c", "copy", "ffmpeg.mp4")
            ]
        outcomes: dict[str, Outcome] = {}
        for what, command in cases.items():
            announce(what)
            placed = [str(folder / word) if word.endswith(".mp4") else word for word in command]
            outcomes[what] = run(placed, os.environ, 600.0)
            if outcomes[what].exit_code:
                sys.exit(f"{what}: {outcomes[what].errors}")
    rows = [[what, f"{one.lasted_s:.2f} s", f"{one.cpu_s:.2f} s"] for what, one in outcomes.items()]
    figures = {
        "minutes": arguments.minutes,
        "runs": {what: {"lasted_s": one.lasted_s, "cpu_s": one.cpu_s} for what, one in outcomes.items()},
    }
    publish(table(["run", "time", "processor"], rows), figures, arguments.json)
    parts = (outcomes["a minute of it"], outcomes["five sixths"])
    return int(any(min(one.lasted_s, one.cpu_s) > BOUND_S for one in parts))


if __name__ == "__main__":
    sys.exit(main())
