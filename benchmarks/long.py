"""Does a recorder stay the same for hours? CPU, memory, descriptors, threads and sync for each quarter of an hour.

Usage: python -m benchmarks.long [--hours 4] [--quarter 15] [--replay 60] [--json [FILE]]

One recording of 1080p30 with internal audio that also keeps a replay buffer (`record --replay`), in Matroska: FFmpeg
keeps the index of an MP4 in memory, 21 MB an hour. A script works on the desk: each quarter has a still page, a
walkthrough, a page that scrolls in Firefox, a flooded terminal, a film (with FILM=FILE in the environment, played by
mpv) and gradients, as far as these programs are there. A minute of flashes and beeps ends the quarter. Then the replay
buffer is saved as a clip, and CPU, memory, descriptors, threads and the slots lost so far are read. At the end, the
flashes and beeps of each quarter in the recording and in the clip are compared with when they happened: offsets are in
ms, positive if the picture is late. `--quarter` is in minutes.

The exit code is 1 if a quarter's memory is above 1.1 times the first one's, if descriptors or threads have become more,
if a slot was lost, or if the sync is out of the bounds of `benchmarks.sync`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.decoding import read_picture, read_sound
from benchmarks.desk import Desk, fresh_desk
from benchmarks.onsets import beep_onsets_s, flash_onsets_s
from benchmarks.process import cpu_s, descriptors, resident_bytes, started, threads
from benchmarks.remote import Remote, recorder, until
from benchmarks.report import add_json_option, announce, publish, table
from benchmarks.synchrony import BOUNDS, Truth, offsets_s
from capture.events import EventKind
from capture.output.naming import ledger_of

GROWTH_BOUND: Final = 1.1

_BYTES_PER_MB: Final = 1_000_000

#: The end of each quarter, with flashes and beeps, and how much of its edges is not compared.
_FLASHES_S: Final = 60.0
_EDGE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Part:
    """A part of each quarter: its stimulus, its share of the time before the flashes, and the program it needs."""

    stimulus: str
    share: float
    program: str | None = None


PARTS: Final = (
    Part("still", 0.25),
    Part("walkthrough", 0.35),
    Part("browser", 0.15, "firefox-esr"),
    Part("terminal", 0.05, "xterm"),
    Part("film", 0.1, "mpv"),
    Part("gradients", 0.1),
)


@dataclass(frozen=True, slots=True)
class Quarter:
    """What a recorder has used and kept at the end of a quarter, and the sync of its flashes and beeps."""

    ends_at_min: float
    cpu_percent: float
    memory_mb: float
    buffer_mb: float
    descriptors: int
    threads: int
    lost: int
    size_mb: float
    #: In the recording and in the clip, the median and the worst; None until they are read.
    sync_ms: tuple[float, float] | None = None
    clip_sync_ms: tuple[float, float] | None = None


def parts() -> list[Part]:
    """Return the parts whose programs are there."""
    return [
        part
        for part in PARTS
        if (part.program is None or shutil.which(part.program)) and (part.stimulus != "film" or "FILM" in os.environ)
    ]


def work(desk: Desk, length_s: float, log: Path) -> None:
    """Let the parts of a quarter follow each other on the desk; the flashes and beeps write their moments to `log`."""
    shown = parts()
    whole = sum(part.share for part in shown)
    for part in shown:
        _show(desk, [f"benchmarks.stimulus.{part.stimulus}"], (length_s - _FLASHES_S) * part.share / whole)
    _show(desk, ["benchmarks.stimulus.flash_beep", "--log", str(log)], _FLASHES_S)


def _show(desk: Desk, module: list[str], seconds: float) -> None:
    ends_at_s = time.monotonic() + seconds
    with started([sys.executable, "-m", *module], desk.environment):
        time.sleep(max(0.0, ends_at_s - time.monotonic()))


def measure(quarters: int, length_s: float, buffer_s: float, folder: Path) -> list[Quarter]:
    """Record for so many quarters; return what was read at the end of each."""
    found: list[Quarter] = []
    path = folder / "long.mkv"
    with fresh_desk() as desk:
        remote = Remote(desk.environment)
        with recorder(desk, "record", str(path), "--replay", f"{buffer_s:g}s", "--no-hotkeys", "--log") as process:
            until(lambda: remote.state() == "recording", "a recording")
            begun_s, before_s, before_cpu_s = time.monotonic(), time.monotonic(), cpu_s(process.pid)
            for number in range(quarters):
                work(desk, begun_s + (number + 1) * length_s - time.monotonic(), folder / f"{number}.jsonl")
                now_s, used_s = time.monotonic(), cpu_s(process.pid)
                status = remote.status()
                found.append(
                    Quarter(
                        (now_s - begun_s) / 60,
                        100 * (used_s - before_cpu_s) / (now_s - before_s),
                        resident_bytes(process.pid) / _BYTES_PER_MB,
                        status["buffer_bytes"] / _BYTES_PER_MB,
                        descriptors(process.pid),
                        threads(process.pid),
                        lost_slots(ledger_of(path)),
                        path.stat().st_size / _BYTES_PER_MB,
                    )
                )
                remote.ask("clip", output=str(folder / f"{number}.mkv"))
                announce(f"quarter {number + 1}: {found[-1]}")
                before_s, before_cpu_s = time.monotonic(), cpu_s(process.pid)
    return [
        replace(
            quarter,
            sync_ms=sync_of(path, Truth.of(folder / f"{number}.jsonl"), 60 * quarter.ends_at_min),
            clip_sync_ms=sync_of(folder / f"{number}.mkv", Truth.of(folder / f"{number}.jsonl")),
        )
        for number, quarter in enumerate(found)
    ]


def lost_slots(ledger: Path) -> int:
    """Return how many slots were dropped so far; later lines of the same event replace earlier ones."""
    lines = [json.loads(line) for line in ledger.read_text("utf-8").splitlines()]
    return sum({line["at_s"]: line["count"] for line in lines if line["kind"] == EventKind.DROPPED}.values())


def sync_of(path: Path, truth: Truth, ends_at_s: float | None = None) -> tuple[float, float]:
    """Return the median and the worst offset in ms: of the flashes before `ends_at_s`, or in the whole file."""
    between_s = None if ends_at_s is None else (ends_at_s - _FLASHES_S + _EDGE_S, ends_at_s)
    picture, sound = read_picture(path, between_s=between_s), read_sound(path, between_s=between_s)
    found_ms = 1000 * offsets_s(
        truth,
        flash_onsets_s(picture.pts_s, picture.luma),
        beep_onsets_s(sound.samples, sound.rate, sound.start_s),
    )
    return float(np.median(found_ms)), float(found_ms[np.argmax(np.abs(found_ms))])


def broken_bounds(found: Sequence[Quarter]) -> list[str]:
    """Return a description of each bound that a quarter breaks."""
    first, broken = found[0], []
    for quarter in found:
        when = f"after {quarter.ends_at_min:.0f} min"
        if quarter.memory_mb - quarter.buffer_mb > GROWTH_BOUND * (first.memory_mb - first.buffer_mb):
            broken.append(f"{when}: {quarter.memory_mb:.0f} MB, at first {first.memory_mb:.0f}")
        if quarter.descriptors > first.descriptors or quarter.threads > first.threads:
            broken.append(f"{when}: {quarter.descriptors} descriptors, {quarter.threads} threads")
        if quarter.lost:
            broken.append(f"{when}: {quarter.lost} slots lost")
        for where, sync_ms in (("recording", quarter.sync_ms), ("clip", quarter.clip_sync_ms)):
            if sync_ms and (abs(sync_ms[0]) > BOUNDS["median_ms"] or abs(sync_ms[1]) > BOUNDS["worst_ms"]):
                broken.append(f"{when}: sync of the {where} {sync_ms[0]:+.1f}, worst {sync_ms[1]:+.1f} ms")
    return broken


HEAD: Final = ("until min", "CPU %", "MB", "buffer MB", "fds", "threads", "lost", "file MB", "sync ms", "clip ms")


def row(quarter: Quarter) -> list[str]:
    """Return one line of the table."""

    def shown(sync_ms: tuple[float, float] | None) -> str:
        return "-" if sync_ms is None else f"{sync_ms[0]:+.1f} ({sync_ms[1]:+.1f})"

    return [
        f"{quarter.ends_at_min:.0f}",
        f"{quarter.cpu_percent:.1f}",
        f"{quarter.memory_mb:.0f}",
        f"{quarter.buffer_mb:.1f}",
        f"{quarter.descriptors}",
        f"{quarter.threads}",
        f"{quarter.lost}",
        f"{quarter.size_mb:.1f}",
        shown(quarter.sync_ms),
        shown(quarter.clip_sync_ms),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=4.0, help="length of the recording (default: 4)")
    parser.add_argument("--quarter", type=float, default=15.0, help="minutes between two rows (default: 15)")
    parser.add_argument("--replay", type=float, default=60.0, help="seconds in the replay buffer (default: 60)")
    add_json_option(parser)
    options = parser.parse_args()
    quarters = max(1, round(60 * options.hours / options.quarter))
    with tempfile.TemporaryDirectory() as folder:
        found = measure(quarters, 60 * options.quarter, options.replay, Path(folder))
    broken = broken_bounds(found)
    text = table(HEAD, [row(quarter) for quarter in found])
    figures = {"quarters": [asdict(quarter) for quarter in found], "broken_bounds": broken}
    publish("\n".join([text, *(f"BROKEN  {line}" for line in broken)]), figures, options.json)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
