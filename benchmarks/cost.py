"""What does recording cost? CPU time, memory, lost frames and size, compared with ffmpeg on the same screen and sound.

Usage: python -m benchmarks.cost [--seconds 60] [--runs 3] [--only SCENE …] [--desk x11|sway] [--json [FILE]]

Scenes, 1920×1080 at 30 and at 60 fps with internal audio: a still page, typing, a walkthrough (typing, scrolling, a
window being dragged) and full motion; the walkthrough at a constant frame rate; gradients that move, without and with
grain; a terminal flooded with text (needs xterm); Firefox, which scrolls a page; with FILM=FILE in the environment,
that film, played by mpv; and sound alone. The walkthrough and full motion come in other sizes, too: two monitors in one
file, 1440p at 60 fps and 4K at 30. The recorders take turns. `ffmpeg` halves the colours, as nearly every player needs
it (`-pix_fmt yuv420p`); `ffmpeg 4:4:4` is what it writes here without that option. CPU time is user and system time of
the recorder and its children. Figures are medians of all runs; the ratio is the median of the ratios of single runs to
ffmpeg, because the speed of a machine changes from minute to minute. On the desk `sway` there are four scenes, and the
ratio is that to wf-recorder, for a frame of the file where something moves: a busy wf-recorder leaves out most. `lost`
counts slots that were dropped. `moved` counts frames in the file that differ as a whole from the previous frame; in
full motion all should.
The exit code is 1 when a bound on the ratio, the memory or the lost slots is broken.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from benchmarks.decoding import read_picture
from benchmarks.desk import HEIGHT, WIDTH, fresh_desk
from benchmarks.process import started
from benchmarks.recorders import FPS, FULL_COLOUR, RECORDERS, Capture, Order, Recorder, Recording, WfRecorder
from benchmarks.report import add_json_option, announce, publish, table


@dataclass(frozen=True, slots=True)
class Scene:
    """The stimulus to record, how to record it, and what that may cost."""

    stimulus: str
    options: tuple[str, ...] = ()
    fps: int = FPS
    constant_fps: bool = False
    extension: str = ".mp4"
    size: tuple[int, int] = (WIDTH, HEIGHT)
    monitors: int = 1
    #: The most CPU time as a fraction of ffmpeg's, and of wf-recorder's; None without a bound.
    bound: float | None = None
    wayland_bound: float | None = None
    #: Whether losing a slot, or taking much memory, breaks a bound. Where slots are lost, frames wait in memory.
    whole: bool = True


SCENES: Final = {
    "still": Scene("still", bound=0.05, wayland_bound=0.05),
    "typing": Scene("walkthrough", ("--typing",), bound=0.15, wayland_bound=0.25),
    "walkthrough": Scene("walkthrough", bound=0.20, wayland_bound=0.25),
    "walkthrough, constant rate": Scene("walkthrough", constant_fps=True, bound=0.45),
    "full motion": Scene("full_motion", bound=0.60, wayland_bound=0.55),
    "gradients": Scene("gradients"),
    "grain": Scene("gradients", ("--grain", "8"), whole=False),
    "terminal": Scene("terminal", whole=False),
    "browser": Scene("browser", whole=False),
    "film": Scene("film", whole=False),
    "still, 60 fps": Scene("still", fps=60),
    "walkthrough, 60 fps": Scene("walkthrough", fps=60),
    "full motion, 60 fps": Scene("full_motion", fps=60, whole=False),
    "two monitors": Scene("walkthrough", size=(2 * WIDTH, HEIGHT), monitors=2, whole=False),
    "walkthrough, 1440p60": Scene("walkthrough", fps=60, size=(2560, 1440), whole=False),
    "full motion, 1440p60": Scene("full_motion", fps=60, size=(2560, 1440), whole=False),
    "still, 4K": Scene("still", size=(3840, 2160), whole=False),
    "walkthrough, 4K": Scene("walkthrough", size=(3840, 2160), whole=False),
    "full motion, 4K": Scene("full_motion", size=(3840, 2160), whole=False),
    "sound alone": Scene("still", extension=".ogg"),
}

#: The most memory that a recording may take. ffmpeg takes 135 to 169 MB, and wf-recorder 0.3 takes 252.
PEAK_BOUND_MB: Final = 130.0

HEAD: Final = ("", "CPU s", "ratio", "peak MB", "frames", "lost", "moved", "size MB")
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


def recorders_for(scene: str, on_wayland: bool) -> list[Recorder]:
    """Return the recorders to compare; the second one is what the first is measured by."""
    if not on_wayland:
        return [*RECORDERS, FULL_COLOUR]
    return [Capture(), WfRecorder(on_still_screen=SCENES[scene].stimulus == "still")]


def measure(scene: str, recorder: Recorder, seconds: float, on_wayland: bool) -> Cost:
    """Record the scene once, on a new desk."""
    how = SCENES[scene]
    stimulus = [sys.executable, "-m", f"benchmarks.stimulus.{how.stimulus}", *how.options]
    if how.stimulus != "still":
        stimulus += ["--fps", str(how.fps)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"recording{how.extension}")
        fresh = fresh_desk(kind="sway" if on_wayland else "x11", size=how.size, monitors=how.monitors)
        with fresh as desk, started(stimulus, desk.environment):
            order = Order(path, seconds, desk, how.fps, how.constant_fps, all_screens=how.monitors > 1)
            recording = recorder.record(order)
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


def ratio(costs: Sequence[Cost], others: Sequence[Cost], *, for_a_frame: bool = False) -> float:
    """Return the median of the ratios of CPU time of single runs, for the whole or for a frame."""
    pairs = [(cost, other, 1.0) for cost, other in zip(costs, others, strict=True)]
    if for_a_frame:
        pairs = [(cost, other, (other.frames or 1) / (cost.frames or 1)) for cost, other, _ in pairs]
    return statistics.median(cost.cpu_s / other.cpu_s * frames for cost, other, frames in pairs)


def row(name: str, costs: Sequence[Cost], compared_to: float | None) -> list[str]:
    """Return one line of the table."""
    middle = medians(costs)
    compared = "-" if compared_to is None else f"{compared_to:.3f}"
    return [name, f"{middle['cpu_s']:.2f}", compared, *(_cell(middle[figure], form) for figure, form in COLUMNS)]


def broken_bounds(scene: str, costs: Sequence[Cost], to_other: float | None, *, on_wayland: bool = False) -> list[str]:
    """Return a description of each bound of a scene that is broken."""
    how, middle = SCENES[scene], medians(costs)
    found = []
    bound, other = (how.wayland_bound, "wf-recorder") if on_wayland else (how.bound, "ffmpeg")
    if bound is not None and to_other is not None and to_other > bound:
        found.append(f"{scene}: {to_other:.3f} of {other}, at most {bound:.2f}")
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
    parser.add_argument("--desk", choices=("x11", "sway"), default="x11", help="what is recorded (default: x11)")
    names = [recorder.name for recorder in (*RECORDERS, FULL_COLOUR, WfRecorder())]
    parser.add_argument("--recorder", choices=names, help="only this recorder")
    add_json_option(parser)
    options = parser.parse_args()
    on_wayland = options.desk == "sway"
    rows: list[list[str]] = []
    figures: dict[str, Any] = {"seconds": options.seconds, "scenes": {}}
    broken: list[str] = []
    scenes = [scene for scene, how in SCENES.items() if not on_wayland or how.wayland_bound is not None]
    if "FILM" not in os.environ and "film" in scenes:
        scenes.remove("film")
    for scene in options.only or scenes:
        known = recorders_for(scene, on_wayland)
        chosen = [recorder for recorder in known if options.recorder in (None, recorder.name)]
        costs: dict[str, list[Cost]] = {recorder.name: [] for recorder in chosen}
        for turn in range(options.runs):
            for recorder in chosen:
                announce(f"{scene}, run {turn + 1}: {recorder.name}")
                costs[recorder.name].append(measure(scene, recorder, options.seconds, on_wayland))
        baseline = costs.get(known[1].name, [])
        for_a_frame = on_wayland and SCENES[scene].stimulus != "still"
        ratios = {
            name: ratio(measured, baseline, for_a_frame=for_a_frame) if baseline else None
            for name, measured in costs.items()
        }
        if ours := costs.get("capture", []):
            broken += broken_bounds(scene, ours, ratios["capture"], on_wayland=on_wayland)
        rows += [row(f"{scene}, {name}", measured, ratios[name]) for name, measured in costs.items()]
        figures["scenes"][scene] = {
            name: {
                "runs": [asdict(cost) for cost in measured],
                "median": medians(measured),
                f"cpu_to_{known[1].name}": ratios[name],
            }
            for name, measured in costs.items()
        }
    figures["broken_bounds"] = broken
    text = table(HEAD, rows)
    publish("\n".join([text, *(f"BROKEN  {line}" for line in broken)]), figures, options.json)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
