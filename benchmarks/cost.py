"""What does recording cost? Processor time, memory, lost frames and size, beside ffmpeg on the same screen and sound.

Usage: python -m benchmarks.cost [--seconds 20] [--runs 3] [--only SCENE] [--json [FILE]]

Scenes, 1920×1080 at 30 frames a second with internal audio: a still page, a walkthrough (typing, scrolling, a window
dragged), full motion; and sound alone. The recorders take turns. Processor time is that of the recorder and its
children, user and system. Figures are medians of all runs; the ratio to ffmpeg is the median of the ratios run by run,
because the speed of a machine changes from minute to minute. `lost` are slots for which there was no time; `moved` are
frames in the file whose picture as a whole differs from the one before: in full motion all should.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from benchmarks.decoding import read_picture
from benchmarks.desk import fresh_desk
from benchmarks.process import started
from benchmarks.recorders import FPS, RECORDERS, Recorder, Recording
from benchmarks.report import add_json_option, announce, publish, table

#: What is shown and played, by the name of the stimulus, and the extension of the file.
SCENES: Final = {
    "still": ("still", ".mp4"),
    "walkthrough": ("walkthrough", ".mp4"),
    "full-motion": ("full_motion", ".mp4"),
    "sound-alone": ("still", ".ogg"),
}

HEAD: Final = ("", "CPU s", "to ffmpeg", "peak MB", "frames", "lost", "moved", "size MB")
#: The columns after the ratio: which figure, and how it is written.
COLUMNS: Final = (("peak_mb", ".0f"), ("frames", "g"), ("lost", "g"), ("moved", "g"), ("size_mb", ".2f"))

_BYTES_PER_MB: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Cost:
    """What one recording took and gave; no frames where there is no picture."""

    cpu_s: float
    peak_mb: float
    size_mb: float
    frames: float | None = None
    lost: float | None = None
    moved: float | None = None


def measure(scene: str, recorder: Recorder, seconds: float) -> Cost:
    """Record the scene once, on a desk of its own."""
    program, extension = SCENES[scene]
    stimulus = [sys.executable, "-m", f"benchmarks.stimulus.{program}"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"recording{extension}")
        with fresh_desk() as desk, started(stimulus, desk.environment):
            recording = recorder.record(path, seconds, desk.environment, desk.sink)
        return cost_of(recording, seconds)


def cost_of(recording: Recording, seconds: float) -> Cost:
    """Account for a finished recording."""
    outcome = recording.outcome
    size_mb = recording.path.stat().st_size / _BYTES_PER_MB
    cost = Cost(outcome.cpu_s, outcome.peak_bytes / _BYTES_PER_MB, size_mb)
    if recording.path.suffix == ".ogg":
        return cost
    picture = read_picture(recording.path)
    frames = picture.pts_s.size
    # Who leaves out unchanged frames says himself how many were lost; who writes every slot has lost what is not there.
    video = recording.summary.get("video")
    lost = video["dropped"] if video else max(0, round(seconds * FPS) - frames)
    return Cost(cost.cpu_s, cost.peak_mb, cost.size_mb, frames, lost, picture.moved)


def medians(costs: Sequence[Cost]) -> dict[str, float | None]:
    """Each figure's median, by the figure's name."""
    columns = {field.name: [getattr(cost, field.name) for cost in costs] for field in fields(Cost)}
    return {name: None if None in column else statistics.median(column) for name, column in columns.items()}


def ratio(costs: Sequence[Cost], others: Sequence[Cost]) -> float:
    """The median of the ratios of processor time, run by run."""
    return statistics.median(cost.cpu_s / other.cpu_s for cost, other in zip(costs, others, strict=True))


def row(name: str, costs: Sequence[Cost], baseline: Sequence[Cost]) -> list[str]:
    """One line of the table."""
    middle = medians(costs)
    compared = f"{ratio(costs, baseline):.2f}" if baseline else "-"
    return [name, f"{middle['cpu_s']:.2f}", compared, *(_cell(middle[figure], form) for figure, form in COLUMNS)]


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each recording (default: 20)")
    parser.add_argument("--runs", type=int, default=3, help="recordings by each recorder of each scene (default: 3)")
    parser.add_argument("--only", choices=SCENES, help="this scene alone")
    parser.add_argument("--recorder", choices=[recorder.name for recorder in RECORDERS], help="this recorder alone")
    add_json_option(parser)
    options = parser.parse_args()
    chosen = [recorder for recorder in RECORDERS if options.recorder in (None, recorder.name)]
    rows: list[list[str]] = []
    figures: dict[str, Any] = {"seconds": options.seconds, "scenes": {}}
    for scene in SCENES if options.only is None else (options.only,):
        costs: dict[str, list[Cost]] = {recorder.name: [] for recorder in chosen}
        for turn in range(options.runs):
            for recorder in chosen:
                announce(f"{scene}, run {turn + 1}: {recorder.name}")
                costs[recorder.name].append(measure(scene, recorder, options.seconds))
        baseline = costs.get("ffmpeg", [])
        rows += [row(f"{scene}, {name}", measured, baseline) for name, measured in costs.items()]
        figures["scenes"][scene] = {
            name: {
                "runs": [asdict(cost) for cost in measured],
                "median": medians(measured),
                "cpu_to_ffmpeg": ratio(measured, baseline) if baseline else None,
            }
            for name, measured in costs.items()
        }
    publish(table(HEAD, rows), figures, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
