"""What does recording cost? CPU time, memory, lost frames and size, compared with ffmpeg on the same screen and sound.

Usage: python -m benchmarks.cost [--seconds 60] [--runs 3] [--only SCENE …] [--json [FILE]]

Scenes, 1920×1080 at 30 and at 60 fps with internal audio: a still page, a walkthrough (typing, scrolling, a window
being dragged) and full motion; the walkthrough at a constant frame rate; gradients that move, without and with grain; a
terminal flooded with text (needs xterm); and sound alone. The recorders take turns. `ffmpeg` halves the colours, as
nearly every player needs it (`-pix_fmt yuv420p`); `ffmpeg 4:4:4` is what it writes here without that option. CPU time
is user and system time of the recorder and its children. Figures are medians of all runs; the ratio to ffmpeg is the
median of the ratios of single runs, because the speed of a machine changes from minute to minute. `lost` counts slots
that were dropped. `moved` counts frames in the file that differ as a whole from the previous frame; in full motion all
should. The exit code is 1 when a bound on the ratio, the memory or the lost slots is broken.
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
from benchmarks.recorders import FPS, FULL_COLOUR, RECORDERS, Order, Recorder, Recording
from benchmarks.report import add_json_option, announce, publish, table


@dataclass(frozen=True, slots=True)
class Scene:
    """The stimulus to record, how to record it, and what that may cost."""

    stimulus: str
    options: tuple[str, ...] = ()
    fps: int = FPS
    constant_fps: bool = False
    extension: str = ".mp4"
    #: The most CPU time as a fraction of ffmpeg's; None without a bound.
    bound: float | None = None
    #: Whether losing a slot, or taking much memory, breaks a bound. Where slots are lost, frames wait in memory.
    whole: bool = True


SCENES: Final = {
    "still": Scene("still", bound=0.05),
    "walkthrough": Scene("walkthrough", bound=0.20),
    "walkthrough, constant rate": Scene("walkthrough", constant_fps=True, bound=0.45),
    "full motion": Scene("full_motion", bound=0.60),
    "gradients": Scene("gradients"),
    "grain": Scene("gradients", ("--grain", "8"), whole=False),
    "terminal": Scene("terminal", whole=False),
    "still, 60 fps": Scene("still", fps=60),
    "walkthrough, 60 fps": Scene("walkthrough", fps=60),
    "full motion, 60 fps": Scene("full_motion", fps=60, whole=False),
    "sound alone": Scene("still", extension=".ogg"),
}

#: The most memory that a recording may take.
PEAK_BOUND_MB: Final = 160.0

HEAD: Final = ("", "CPU s", "to ffmpeg", "peak MB", "frames", "lost", "moved", "size MB")
#: The columns after the ratio: the figure and its format.
COLUMNS: Final = (("peak_mb", ".0f"), ("frames", "g"), ("lost", "g"), ("moved", "g"), ("size_mb", ".2f"))

_BYTES_PER_MB: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one recording; no frames without a picture."""

    cpu_s: float
    peak_mb: float
    size_mb: float
    frames: float | None = None
    lost: float | None = None
    moved: float | None = None


def measure(scene: str, recorder: Recorder, seconds: float) -> Cost:
    """Record the scene once, on a new desk."""
    how = SCENES[scene]
    stimulus = [sys.executable, "-m", f"benchmarks.stimulus.{how.stimulus}", *how.options]
    if how.stimulus != "still":
        stimulus += ["--fps", str(how.fps)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"recording{how.extension}")
        with fresh_desk() as desk, started(stimulus, desk.environment):
            recording = recorder.record(Order(path, seconds, desk, how.fps, how.constant_fps))
        return cost_of(recording, seconds, how.fps)


def cost_of(recording: Recording, seconds: float, fps: int = FPS) -> Cost:
    """Return the cost of a finished recording."""
    outcome = recording.outcome
    size_mb = recording.path.stat().st_size / _BYTES_PER_MB
    cost = Cost(outcome.cpu_s, outcome.peak_bytes / _BYTES_PER_MB, size_mb)
    if recording.path.suffix == ".ogg":
        return cost
    picture = read_picture(recording.path)
    frames = picture.pts_s.size
    # A recorder that skips unchanged frames reports its losses; one that writes every slot has lost the missing ones.
    video = recording.summary.get("video")
    lost = video["dropped"] if video else max(0, round(seconds * fps) - frames)
    return Cost(cost.cpu_s, cost.peak_mb, cost.size_mb, frames, lost, picture.moved)


def medians(costs: Sequence[Cost]) -> dict[str, float | None]:
    """Return the median of each figure, by its name; None if any run lacks it."""
    columns = {field.name: [getattr(cost, field.name) for cost in costs] for field in fields(Cost)}
    return {name: None if None in column else statistics.median(column) for name, column in columns.items()}


def ratio(costs: Sequence[Cost], others: Sequence[Cost]) -> float:
    """Return the median of the ratios of CPU time of single runs."""
    return statistics.median(cost.cpu_s / other.cpu_s for cost, other in zip(costs, others, strict=True))


def row(name: str, costs: Sequence[Cost], baseline: Sequence[Cost]) -> list[str]:
    """Return one line of the table."""
    middle = medians(costs)
    compared = f"{ratio(costs, baseline):.3f}" if baseline else "-"
    return [name, f"{middle['cpu_s']:.2f}", compared, *(_cell(middle[figure], form) for figure, form in COLUMNS)]


def broken_bounds(scene: str, costs: Sequence[Cost], to_ffmpeg: float | None) -> list[str]:
    """Return a description of each bound of a scene that is broken."""
    how, middle = SCENES[scene], medians(costs)
    found = []
    if how.bound is not None and to_ffmpeg is not None and to_ffmpeg > how.bound:
        found.append(f"{scene}: {to_ffmpeg:.3f} of ffmpeg, at most {how.bound:.2f}")
    if how.whole and (middle["peak_mb"] or 0.0) > PEAK_BOUND_MB:
        found.append(f"{scene}: {middle['peak_mb']:.0f} MB, at most {PEAK_BOUND_MB:.0f}")
    if how.whole and middle["lost"]:
        found.append(f"{scene}: {middle['lost']:g} slots lost")
    return found


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each recording (default: 60)")
    parser.add_argument("--runs", type=int, default=3, help="recordings per recorder and scene (default: 3)")
    parser.add_argument("--only", nargs="+", choices=SCENES, metavar="SCENE", help=f"only these: {', '.join(SCENES)}")
    known = (*RECORDERS, FULL_COLOUR)
    parser.add_argument("--recorder", choices=[recorder.name for recorder in known], help="only this recorder")
    add_json_option(parser)
    options = parser.parse_args()
    chosen = [recorder for recorder in known if options.recorder in (None, recorder.name)]
    rows: list[list[str]] = []
    figures: dict[str, Any] = {"seconds": options.seconds, "scenes": {}}
    broken: list[str] = []
    for scene in options.only or SCENES:
        costs: dict[str, list[Cost]] = {recorder.name: [] for recorder in chosen}
        for turn in range(options.runs):
            for recorder in chosen:
                announce(f"{scene}, run {turn + 1}: {recorder.name}")
                costs[recorder.name].append(measure(scene, recorder, options.seconds))
        baseline = costs.get("ffmpeg", [])
        ours = costs.get("capture", [])
        if ours:
            broken += broken_bounds(scene, ours, ratio(ours, baseline) if baseline else None)
        rows += [row(f"{scene}, {name}", measured, baseline) for name, measured in costs.items()]
        figures["scenes"][scene] = {
            name: {
                "runs": [asdict(cost) for cost in measured],
                "median": medians(measured),
                "cpu_to_ffmpeg": ratio(measured, baseline) if baseline else None,
            }
            for name, measured in costs.items()
        }
    figures["broken_bounds"] = broken
    text = table(HEAD, rows)
    publish("\n".join([text, *(f"BROKEN  {line}" for line in broken)]), figures, options.json)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
