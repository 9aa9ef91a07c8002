"""What does a long day leave behind: how much memory and how many threads does a recorder have after hundreds of takes?

Usage: python -m benchmarks.day [--takes 300] [--json [FILE]]

* Standby: 1080p with internal audio, on a screen that changes all the time. The control socket begins and ends each
  take, which lasts a quarter of a second.
* Voice notes: `capture note --repeat` of the built-in tone, which beeps once a second.

After each take the recorder waits for the next one; its resident memory and its threads are read then. The exit code is
1 if the last take left more than 1.3 times the memory that the fifth one left, or another number of threads.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from benchmarks.desk import fresh_desk
from benchmarks.process import resident_bytes, started, threads
from benchmarks.remote import Remote, recorder, until
from benchmarks.report import add_json_option, announce, publish, table

GROWTH_BOUND: Final = 1.3

#: The take whose memory is the measure, and the other takes of the printed curve.
_FIRST: Final = 5
_CURVE: Final = (1, 2, 5, 10, 20, 50, 100, 150, 200, 250, 300, 400, 500, 1000)

_TAKE_S: Final = 0.25

_BYTES_PER_MB: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Left:
    """What a recorder has while it waits after a take."""

    take: int
    memory_mb: float
    threads: int


def measure_standby(takes: int) -> list[Left]:
    with tempfile.TemporaryDirectory() as folder, fresh_desk() as desk:
        remote = Remote(desk.environment)
        stimulus = [sys.executable, "-m", "benchmarks.stimulus.full_motion"]
        output = Path(folder, "take.mp4")
        with (
            started(stimulus, desk.environment),
            recorder(desk, "standby", str(output), "--overwrite") as process,
        ):
            until(lambda: remote.state() == "standby", "standby")

            def take() -> None:
                remote.ask("toggle")
                time.sleep(_TAKE_S)
                remote.ask("stop")
                until(lambda: remote.state() == "standby", "standby")
                _remove(Path(folder))

            return _measure("standby", process.pid, takes, take)


def measure_notes(takes: int) -> list[Left]:
    with tempfile.TemporaryDirectory() as folder, fresh_desk() as desk:
        options = ("--repeat", "--source", "pattern", "--stop-after-silence", "0.3s")
        with recorder(desk, "note", str(Path(folder, "note.ogg")), *options) as process:
            remote = Remote(desk.environment)

            def take() -> None:
                known = set(Path(folder).iterdir())
                until(lambda: remote.state() == "recording", "a note")
                until(lambda: remote.state() != "recording", "its end")
                until(lambda: bool(set(Path(folder).iterdir()) - known), "its file")
                until(lambda: remote.state() in ("armed", "recording"), "the wait for the next")
                _remove(Path(folder))

            return _measure("notes", process.pid, takes, take)


def _remove(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def _measure(name: str, pid: int, takes: int, take: Callable[[], None]) -> list[Left]:
    found = []
    for number in range(1, takes + 1):
        take()
        if number in _CURVE or number == takes:
            found.append(Left(number, resident_bytes(pid) / _BYTES_PER_MB, threads(pid)))
            announce(f"{name}, take {number}: {found[-1].memory_mb:.0f} MB, {found[-1].threads} threads")
    return found


def growth(curve: Sequence[Left]) -> float:
    """Return the memory after the last take, in that after the fifth."""
    return curve[-1].memory_mb / _fifth(curve).memory_mb


def _fifth(curve: Sequence[Left]) -> Left:
    return next((left for left in curve if left.take >= _FIRST), curve[-1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--takes", type=int, default=300, help="takes in standby; a tenth of them voice notes")
    add_json_option(parser)
    options = parser.parse_args()
    curves = {
        "standby, 1080p": measure_standby(options.takes),
        "voice notes": measure_notes(max(10, options.takes // 10)),
    }
    rows = [
        [f"{name}, after take {left.take}", f"{left.memory_mb:.0f}", str(left.threads)]
        for name, curve in curves.items()
        for left in curve
    ]
    within = all(
        growth(curve) <= GROWTH_BOUND and curve[-1].threads == _fifth(curve).threads for curve in curves.values()
    )
    verdict = "; ".join(f"{name}: {growth(curve):.2f} of the fifth take's" for name, curve in curves.items())
    figures = {
        "curves": {name: [asdict(left) for left in curve] for name, curve in curves.items()},
        "growth": {name: growth(curve) for name, curve in curves.items()},
        "within_bounds": within,
    }
    publish(f"{table(('', 'MB', 'threads'), rows)}\n\n{verdict}", figures, options.json)
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
