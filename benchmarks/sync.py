"""Are picture and sound in sync? Records flashes and beeps, and compares the file with when they happened.

Usage: python -m benchmarks.sync [--seconds 60] [--only CASE] [--desk x11|sway|here] [--pipewire] [--json [FILE]]

Four cases, each on a new desk, each recorded by `capture` and then, with the same stimulus, by ffmpeg:

- playing: sound is playing when the recording begins;
- busy: the same, and a running clock keeps part of the screen changing. The clock gives the drift of the picture frame
  by frame, to a fraction of a millisecond per minute; with flashes alone it is uncertain by several;
- silent: the first sound comes three seconds after the start, from an unused sink;
- plain: the same on PulseAudio's own null sink, on X11.

With `--desk sway` the screen is that of a private sway, and the other recorder wf-recorder; with `--desk here` it is
that of the Wayland session in which this runs, GNOME's for example, and there is no other recorder: give the permission
first, by `capture record`, and do not touch the desktop. With `--pipewire` the sound server is PipeWire.

Offsets are positive if the picture is late. The exit code is 1 when `capture` breaks a bound.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.decoding import read_picture, read_sound
from benchmarks.desk import DESKS, DeskKind, fresh_desk
from benchmarks.process import started
from benchmarks.recorders import RECORDERS, Capture, Order, Recorder, WfRecorder
from benchmarks.report import add_json_option, announce, publish, table
from benchmarks.synchrony import BOUNDS, WAYLAND_BOUNDS, Synchrony, Truth, judge


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of recording: its sink and the options of its stimulus."""

    plain_sink: bool
    stimulus_options: tuple[str, ...]


CASES: Final = {
    "playing": Case(False, ()),
    "busy": Case(False, ("--clock",)),
    "silent": Case(False, ("--silent-start", "3")),
    "plain": Case(True, ("--silent-start", "3")),
}


#: What is compared on each desk. A screen that rests is recorded with every frame anew.
PEERS: Final[dict[DeskKind, tuple[Recorder, ...]]] = {
    "x11": RECORDERS,
    "sway": (Capture(), WfRecorder(on_still_screen=True)),
    "here": (Capture(),),
}


def measure(case: Case, recorder: Recorder, seconds: float, kind: DeskKind, *, on_pipewire: bool) -> Synchrony:
    """Record the stimulus once and judge the file."""
    with tempfile.TemporaryDirectory() as folder:
        log, path = Path(folder, "truth.jsonl"), Path(folder, "recording.mp4")
        stimulus = [sys.executable, "-m", "benchmarks.stimulus.flash_beep", "--log", str(log), *case.stimulus_options]
        desk_of_case = fresh_desk(case.plain_sink, kind=kind, on_pipewire=on_pipewire)
        with desk_of_case as desk, started(stimulus, desk.environment):
            recording = recorder.record(Order(path, seconds, desk))
        launched_s, has_clock = recording.outcome.launched_s, "--clock" in case.stimulus_options
        truth = Truth.of(log)
        return judge(read_picture(path), read_sound(path), truth, seconds, launched_s, has_clock=has_clock)


def row(case: str, recorder: str, found: Synchrony) -> list[str]:
    """Return one line of the table."""
    return [
        f"{case}, {recorder}",
        f"{found.pairs}",
        f"{found.missing}",
        f"{found.median_ms:+.1f}",
        f"{found.worst_ms:+.1f}",
        f"{found.drift_ms:+.1f} ± {found.drift_error_ms:.1f}",
        f"{found.end_minus_start_ms:+.1f}",
        f"{found.starts_apart_ms:+.1f}",
        f"{found.ends_apart_ms:+.1f}",
        f"{found.duration_error_s:+.3f}",
        f"{found.stimulus_worst_ms:.1f}",
    ]


HEAD: Final = (
    "ms",
    "pairs",
    "missing",
    "median",
    "worst",
    "drift/min",
    "end-start",
    "starts",
    "ends",
    "duration s",
    "stimulus",
)


def bounds_row(bounds: Mapping[str, float]) -> list[str]:
    """Return the line with the bounds of each column."""
    of_pairs = [bounds[name] for name in ("missing", "median_ms", "worst_ms", "drift_ms")]
    of_tracks = [bounds[name] for name in ("starts_apart_ms", "ends_apart_ms", "duration_error_s")]
    return ["bounds", "", *(f"{bound:g}" for bound in of_pairs), "", *(f"{bound:.3g}" for bound in of_tracks), ""]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each recording (default: 60)")
    parser.add_argument("--only", choices=CASES, help="only this case")
    names = [recorder.name for recorder in (*RECORDERS, WfRecorder())]
    parser.add_argument("--recorder", choices=names, help="only this recorder")
    parser.add_argument("--desk", choices=DESKS, default="x11", help="what is recorded (default: x11)")
    parser.add_argument("--pipewire", action="store_true", help="with PipeWire's sound")
    add_json_option(parser)
    options = parser.parse_args()
    rows: list[list[str]] = []
    bounds = BOUNDS if options.desk == "x11" else WAYLAND_BOUNDS
    figures: dict[str, Any] = {"seconds": options.seconds, "bounds": bounds, "cases": {}, "broken": []}
    for name, case in CASES.items():
        if case.plain_sink and options.desk != "x11":
            continue
        for recorder in PEERS[options.desk]:
            if options.only not in (None, name) or options.recorder not in (None, recorder.name):
                continue
            announce(f"{name}: {recorder.name} records for {options.seconds:g} s")
            found = measure(case, recorder, options.seconds, options.desk, on_pipewire=options.pipewire)
            rows.append(row(name, recorder.name, found))
            figures["cases"].setdefault(name, {})[recorder.name] = asdict(found)
            if recorder.name == Capture.name:
                figures["broken"] += [f"{name}: {figure}" for figure in found.broken_bounds(bounds)]
    verdict = "all within bounds"
    if figures["broken"]:
        verdict = "out of bounds: " + ", ".join(figures["broken"])
    elif not any(Capture.name in measured for measured in figures["cases"].values()):
        verdict = "not measured"
    publish(f"{table(HEAD, [*rows, bounds_row(bounds)])}\n\ncapture: {verdict}", figures, options.json)
    return 1 if figures["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
