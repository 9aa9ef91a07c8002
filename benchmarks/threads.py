"""Where does the processor time go? That of each thread of a recording.

Usage: python -m benchmarks.threads [--seconds 20] [--after 0] [--desk x11|sway] [--only SCENE …] [--no-sound]
[--json [FILE]]

Scenes: a still page and a walkthrough (typing, scrolling, a window being dragged), at 1080p30 with internal audio, and
sound alone. Each is recorded once. Threads of one name count together, those of libraries under the name of the thread
that started them; what a thread did in the last hundredth of a second before its end is missing. `runs` counts how
often a thread got a processor. With `--after`, what was done in that many seconds from the launch is left out, and the
figures are for a second of the rest, without the end; 10 ms are one per cent of a processor.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.desk import DeskKind, fresh_desk
from benchmarks.process import REPOSITORY, compiling, started, text_of
from benchmarks.report import add_json_option, announce, publish, table

#: The stimulus of each scene, and the extension of its file.
SCENES: Final = {"still": ("still", "mp4"), "walkthrough": ("walkthrough", "mp4"), "sound alone": ("still", "ogg")}

#: Runs capture with the names of its threads known to the system (`PR_SET_NAME`), which Python before 3.14 keeps to
#: itself.
_NAMED: Final = """
import ctypes, runpy, sys, threading
def name(*event):
    sys.setprofile(None)
    ctypes.CDLL(None).prctl(15, threading.current_thread().name.encode()[:15])
threading.setprofile(name)
runpy.run_module("capture", run_name="__main__", alter_sys=True)
"""

_SAMPLING_S: Final = 0.01
_NS_PER_MS: Final = 1e6

HEAD: Final = ("thread", "ms", "runs")


@dataclass(slots=True)
class Work:
    """What the threads of one name did."""

    cpu_ms: float = 0.0
    runs: float = 0.0


def measure(scene: str, seconds: float, after_s: float, desk_kind: DeskKind, *, sound: bool) -> dict[str, Work]:
    """Record the scene once, without `sound` the picture alone; return the work of its threads by name.

    The main thread is called `main`.
    """
    stimulus, extension = SCENES[scene]
    argv = [sys.executable, "-m", f"benchmarks.stimulus.{stimulus}"]
    with tempfile.TemporaryDirectory() as folder, fresh_desk(kind=desk_kind) as desk, started(argv, desk.environment):
        path = Path(folder, f"recording.{extension}")
        return _record(path, seconds, desk.environment, after_s, [] if sound else ["--audio", "none"])


def _record(
    path: Path, seconds: float, environment: Mapping[str, str], after_s: float, options: Sequence[str]
) -> dict[str, Work]:
    argv = [sys.executable, "-c", _NAMED, "record", str(path), "--duration", f"{seconds:g}s", "--no-hotkeys", "--json"]
    argv += options
    process = subprocess.Popen(
        argv,
        cwd=REPOSITORY,
        env=compiling(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    latest: dict[str, tuple[str, float, int]] = {}
    before: dict[str, tuple[str, float, int]] = {}
    launched_s = time.monotonic()
    left_out_s = 0.0
    while process.poll() is None and not (after_s and time.monotonic() >= launched_s + seconds):
        if not before and after_s and time.monotonic() >= launched_s + after_s:
            before, left_out_s = dict(latest), time.monotonic() - launched_s
        for task in Path(f"/proc/{process.pid}/task").glob("*"):
            name = "main" if task.name == str(process.pid) else text_of(task / "comm").strip()
            ran = text_of(task / "schedstat").split()
            if name and ran:
                latest[task.name] = (name, int(ran[0]) / _NS_PER_MS, int(ran[2]))
        time.sleep(_SAMPLING_S)
    counted_s = time.monotonic() - launched_s - left_out_s if after_s else 1.0
    _, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(f"capture failed: {errors.decode(errors='replace')[-1000:]}")
    found: defaultdict[str, Work] = defaultdict(Work)
    for thread, (name, cpu_ms, runs) in latest.items():
        _, cpu_before_ms, runs_before = before.get(thread, (name, 0.0, 0))
        found[name].cpu_ms += (cpu_ms - cpu_before_ms) / counted_s
        found[name].runs += (runs - runs_before) / counted_s
    return dict(sorted(found.items(), key=lambda item: -item[1].cpu_ms))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each recording (default: 20)")
    parser.add_argument("--only", nargs="+", choices=SCENES, metavar="SCENE", help=f"only these: {', '.join(SCENES)}")
    parser.add_argument("--after", type=float, default=0.0, help="leave out so many seconds (default: 0)")
    parser.add_argument("--desk", choices=("x11", "sway"), default="x11", help="the virtual desk (default: x11)")
    parser.add_argument("--no-sound", action="store_true", help="record the picture alone")
    add_json_option(parser)
    options = parser.parse_args()
    rows: list[list[str]] = []
    figures: dict[str, Any] = {"seconds": options.seconds, "scenes": {}}
    for scene in options.only or SCENES:
        announce(scene)
        found = measure(scene, options.seconds, options.after, options.desk, sound=not options.no_sound)
        whole = Work(sum(work.cpu_ms for work in found.values()), sum(work.runs for work in found.values()))
        for name, work in {**found, "all": whole}.items():
            rows.append([f"{scene}, {name}", f"{work.cpu_ms:.1f}", f"{work.runs:.1f}"])
        figures["scenes"][scene] = {name: asdict(work) for name, work in found.items()}
    publish(table(HEAD, rows), figures, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
