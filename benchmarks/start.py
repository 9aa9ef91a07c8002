"""How long until it records? From the launch of the command to the first frame and the first samples in the file, and
to the first bytes of a recording of the picture alone.

Usage: python -m benchmarks.start [--runs 5] [--desk x11|sway] [--json [FILE]]

Nothing here relies on the recorder's own report. The screen shows a running clock, so the first frame shows when it was
grabbed. A hum plays continuously, so real sound starts where the hum starts in the file; the beeps over it give the
moment. The time of `capture --help` is that of starting the program. On the desk `sway`, capture is measured alone.
The exit code is 1 when `capture` takes longer than the bound.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.alignment import common_shift_s
from benchmarks.decoding import read_picture, read_sound
from benchmarks.desk import DeskKind, fresh_desk
from benchmarks.onsets import HUM_LEVEL, beep_onsets_s, sound_start_s
from benchmarks.process import run, started
from benchmarks.recorders import RECORDERS, Capture, Order, Recorder
from benchmarks.report import add_json_option, announce, publish, table
from benchmarks.synchrony import Truth, clock_readings

BOUND_S: Final = 0.7

#: Long enough for at least four beeps.
_RECORDED_S: Final = 6.0
_FRAMES_READ: Final = 10

#: How often to look whether a file has bytes.
_LOOKING_S: Final = 0.001


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds from the launch to the first frame and the first sound in the file."""

    first_frame_s: float
    first_sound_s: float

    @property
    def both_s(self) -> float:
        """When both picture and sound are recorded."""
        return max(self.first_frame_s, self.first_sound_s)


def measure(recorder: Recorder, kind: DeskKind) -> Start:
    """Launch once, on a new desk with sound already playing."""
    with tempfile.TemporaryDirectory() as folder, fresh_desk(kind=kind) as desk:
        log, path = Path(folder, "truth.jsonl"), Path(folder, "recording.mp4")
        stimulus = [sys.executable, "-m", "benchmarks.stimulus.flash_beep", "--clock", "--log", str(log)]
        with started(stimulus, desk.environment):
            launched_s = recorder.record(Order(path, _RECORDED_S, desk)).outcome.launched_s
        return Start(_first_frame_at_s(path, launched_s) - launched_s, _first_sound_at_s(path, log) - launched_s)


def _first_frame_at_s(path: Path, launched_s: float) -> float:
    picture = read_picture(path, _FRAMES_READ)
    shown = clock_readings(picture, launched_s)
    if shown.pts_s.size == 0:
        raise ValueError("no clock is visible in the first frames")
    # If a flash covers the clock in the first frame, use a later one.
    return float(shown.moment_s[0] - (shown.pts_s[0] - picture.start_s))


def _first_sound_at_s(path: Path, log: Path) -> float:
    sound = read_sound(path)
    begins_s = sound_start_s(sound.samples, sound.rate, sound.start_s, HUM_LEVEL / 4)
    beeps_s = beep_onsets_s(sound.samples, sound.rate, sound.start_s)
    if begins_s is None:
        raise ValueError("the recording is silent")
    return begins_s - common_shift_s(Truth.of(log).beep_s, beeps_s)


def first_bytes_s(recorder: Recorder, kind: DeskKind) -> float:
    """Return the seconds from the launch to the first bytes of a recording of the picture alone."""
    appeared_s: list[float] = []
    ended = threading.Event()
    with tempfile.TemporaryDirectory() as folder, fresh_desk(kind=kind) as desk:
        path = Path(folder, "recording.mp4")

        def watch() -> None:
            while not (ended.is_set() or (path.exists() and path.stat().st_size)):
                time.sleep(_LOOKING_S)
            appeared_s.append(time.monotonic())

        watching = threading.Thread(target=watch, name="watch", daemon=True)
        watching.start()
        launched_s = recorder.record(Order(path, 1.0, desk, sound=False)).outcome.launched_s
        ended.set()
        watching.join()
    return appeared_s[0] - launched_s


def help_takes_s() -> float:
    """Return how long `capture --help` takes."""
    return run([sys.executable, "-m", "capture", "--help"], os.environ, 60.0).lasted_s


def row(name: str, values_s: Sequence[float]) -> list[str]:
    """Return one line of the table: the median and the worst."""
    return [name, f"{statistics.median(values_s):.2f}", f"{max(values_s):.2f}"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="launches of each recorder, in turn (default: 5)")
    parser.add_argument("--recorder", choices=[recorder.name for recorder in RECORDERS], help="only this recorder")
    parser.add_argument("--desk", choices=("x11", "sway"), default="x11", help="what is recorded (default: x11)")
    add_json_option(parser)
    options = parser.parse_args()
    on_desk = RECORDERS if options.desk == "x11" else (Capture(),)
    chosen = [recorder for recorder in on_desk if options.recorder in (None, recorder.name)]
    starts: dict[str, list[Start]] = {recorder.name: [] for recorder in chosen}
    bytes_s: dict[str, list[float]] = {recorder.name: [] for recorder in chosen}
    helps_s: list[float] = []
    for turn in range(options.runs):
        for recorder in chosen:
            announce(f"run {turn + 1}: {recorder.name}")
            starts[recorder.name].append(measure(recorder, options.desk))
            bytes_s[recorder.name].append(first_bytes_s(recorder, options.desk))
        if Capture.name in starts:
            helps_s.append(help_takes_s())
    rows: list[list[str]] = []
    for name, measured in starts.items():
        rows.append(row(f"{name}, first frame", [start.first_frame_s for start in measured]))
        rows.append(row(f"{name}, first sound", [start.first_sound_s for start in measured]))
        rows.append(row(f"{name}, first bytes, picture alone", bytes_s[name]))
    late = False
    if Capture.name in starts:
        rows.append(row("capture --help", helps_s))
        late = statistics.median(start.both_s for start in starts[Capture.name]) > BOUND_S
    verdict = f"records {'later than' if late else 'within'} {BOUND_S:g} s" if helps_s else "not measured"
    figures: dict[str, Any] = {
        "bound_s": BOUND_S,
        "late": late,
        "starts": {name: [asdict(start) for start in measured] for name, measured in starts.items()},
        "first_bytes_s": bytes_s,
        "help_s": helps_s,
    }
    publish(f"{table(('seconds', 'median', 'worst'), rows)}\n\ncapture: {verdict}", figures, options.json)
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
