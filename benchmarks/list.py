"""How long does `capture list` take with many recordings, the first time and with its index?

Usage: python -m benchmarks.list [--files 10000] [--json [FILE]]

Small real recordings are hard-linked under many names. Each run is a process of its own, as a user starts it. `ls -l`
of the same folder is timed beside it. The exit code is 1 when the second run breaks the bound.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from benchmarks.process import Outcome, run
from benchmarks.report import add_json_option, announce, publish, table

SECOND_BOUND_S: Final = 1.5

#: The kinds of recordings among the files.
_ENDINGS: Final = ("mp4", "ogg", "mkv", "m4a", "opus")


def fill(videos: Path, sounds: Path, count: int) -> None:
    """Put `count` recordings under dated names into the two folders."""
    for folder in (videos, sounds):
        folder.mkdir(parents=True)
    originals = []
    for ending in _ENDINGS:
        made = videos.parent / f"original.{ending}"
        command = [sys.executable, "-m", "capture", "record", str(made), "--source", "pattern", "--duration", "2s"]
        subprocess.run([*command, "--quiet", "--no-hotkeys"], check=True, timeout=120)
        originals.append(made)
    for number in range(count):
        original = originals[number % len(originals)]
        day, clock = divmod(number, 24 * 60)
        name = f"Capture 2026-01-{1 + day % 28:02d} {clock // 60:02d}.{clock % 60:02d}.{day // 28:02d}{original.suffix}"
        os.link(original, (videos if original.suffix in (".mp4", ".mkv") else sounds) / name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    add_json_option(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        videos, sounds = home / "Videos" / "Captures", home / "Music" / "Captures"
        announce(f"making {arguments.files} recordings")
        fill(videos, sounds, arguments.files)
        own = {
            "HOME": home,
            "XDG_VIDEOS_DIR": videos.parent,
            "XDG_MUSIC_DIR": sounds.parent,
            "XDG_CACHE_HOME": home / "cache",
            "XDG_CONFIG_HOME": home / "config",
        }
        environment = {**os.environ, **{key: str(value) for key, value in own.items()}}
        listing = [sys.executable, "-m", "capture", "list"]
        commands = {
            "first": listing,
            "second": listing,
            "third, --json": [*listing, "--json"],
            "ls -l": ["ls", "-l", str(videos), str(sounds)],
        }
        runs: dict[str, Outcome] = {what: run(argv, environment, 600.0) for what, argv in commands.items()}
        index_bytes = (home / "cache" / "capture" / "recordings.json").stat().st_size
    rows = [[what, f"{outcome.lasted_s:.2f} s", f"{outcome.cpu_s:.2f} s"] for what, outcome in runs.items()]
    text = table(["run", "time", "processor"], rows)
    figures = {
        "files": arguments.files,
        "index_bytes": index_bytes,
        "runs": {what: {"lasted_s": outcome.lasted_s, "cpu_s": outcome.cpu_s} for what, outcome in runs.items()},
    }
    publish(f"{text}\nindex: {index_bytes / 1e6:.1f} MB", figures, arguments.json)
    failed = any(outcome.exit_code for outcome in runs.values())
    return int(failed or runs["second"].lasted_s > SECOND_BOUND_S)


if __name__ == "__main__":
    sys.exit(main())
