"""What is lost on a machine that is too slow: the recorder at nice 19, beside programs that take every processor.

Usage: python -m benchmarks.load [--seconds 20] [--runs 3] [--busy 4] [--nice 19] [--json [FILE]]

A 720p screen changes 30 times a second while a player with a buffer of two seconds plays noise without a pause, so
that silence in the file is sound that the recorder lost. The busy programs start once everything is ready, and run for
the whole recording. The exit code is 1 if any sound was lost.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import av
import numpy as np

from benchmarks.decoding import read_sound
from benchmarks.process import run, started
from benchmarks.report import add_json_option, announce, publish, table
from capture.virtual.desk import VirtualDesk

_WIDTH, _HEIGHT = 1280, 720
_FPS: Final = 30
_RATE: Final = 48_000
_GRACE_S: Final = 400.0

#: Noise at this level is far above what an encoder makes of silence.
_LEVEL: Final = 0.2
_SILENT: Final = 0.002
#: A run of silence this long in noise cannot be chance.
_RUN: Final = _RATE // 200


@dataclass(frozen=True, slots=True)
class Lost:
    """What one recording lost."""

    #: Samples of silence in the file where noise was playing, and what the recorder itself said.
    samples: int
    inserted_silence_s: float
    frames: int
    dropped: int
    #: The most slots without a new picture, and the seconds that they last.
    longest_run: int
    longest_still_s: float


def measure(seconds: float, busy: int, niceness: int) -> Lost:
    with (
        VirtualDesk(_WIDTH, _HEIGHT, window_manager=False) as desk,
        tempfile.TemporaryDirectory() as folder,
        ExitStack() as running,
    ):
        environment, path = desk.environment_of(os.environ), Path(folder, "load.mp4")
        running.enter_context(started([sys.executable, "-m", "benchmarks.stimulus.full_motion"], environment))
        running.enter_context(_noise(Path(folder, "noise.raw"), seconds, environment))
        for _ in range(busy):
            running.enter_context(_program([sys.executable, "-c", "while True: pass"], environment))
        argv = ["nice", "-n", str(niceness), sys.executable, "-m", "capture", "record", str(path), "--json"]
        outcome = run([*argv, "--duration", f"{seconds:g}s"], environment, seconds + _GRACE_S)
        if outcome.exit_code:
            raise RuntimeError(outcome.errors[-1000:])
        return _lost(path, json.loads(outcome.output))


@contextmanager
def _noise(path: Path, seconds: float, environment: Mapping[str, str]) -> Iterator[None]:
    """Play noise, for longer than a slow machine takes to start and to finish."""
    noise = np.random.default_rng(1).uniform(-_LEVEL, _LEVEL, (round(_RATE * (seconds + 200)), 1))
    np.repeat(noise, 2, axis=1).astype(np.float32).tofile(path)
    argv = ["pacat", "--format=float32le", f"--rate={_RATE}", "--channels=2", "--latency-msec=2000", str(path)]
    with _program(argv, environment):
        yield


@contextmanager
def _program(argv: Sequence[str], environment: Mapping[str, str]) -> Iterator[None]:
    process = subprocess.Popen(argv, env=dict(environment), stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _lost(path: Path, summary: Mapping[str, Any]) -> Lost:
    sound = read_sound(path)
    runs = _runs(np.abs(sound.samples) < _SILENT)
    # Nothing was playing in the first moment, perhaps: the player starts with the recorder's own start.
    lost = sum(end - begin for begin, end in runs if begin > 0)
    with av.open(str(path)) as container:
        pts_s = np.array([float(p.pts * p.time_base) for p in container.demux(video=0) if p.pts is not None])
    longest_still_s = float(np.diff(np.append(np.sort(pts_s), summary["duration_s"])).max())
    return Lost(
        samples=lost,
        inserted_silence_s=sum(track["inserted_silence_s"] for track in summary["audio"]),
        frames=summary["video"]["frames"],
        dropped=summary["video"]["dropped"],
        longest_run=round(longest_still_s * _FPS) - 1,
        longest_still_s=longest_still_s,
    )


def _runs(quiet: np.ndarray[Any, Any]) -> list[tuple[int, int]]:
    """Return the first sample and the end of each long enough run."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], quiet.astype(np.int8), [0]))))
    return [(int(begin), int(end)) for begin, end in zip(edges[::2], edges[1::2], strict=True) if end - begin >= _RUN]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each recording (default: 20)")
    parser.add_argument("--runs", type=int, default=3, help="number of recordings (default: 3)")
    parser.add_argument("--busy", type=int, default=4, help="busy programs beside the recorder (default: 4)")
    parser.add_argument("--nice", type=int, default=19, help="niceness of the recorder (default: 19)")
    add_json_option(parser)
    options = parser.parse_args()
    found = []
    for number in range(options.runs):
        found.append(measure(options.seconds, options.busy, options.nice))
        announce(f"run {number + 1}: {found[-1]}")
    head = ("run", "samples lost", "silence, s", "frames", "dropped", "longest run", "longest still, s")
    rows = [
        [
            str(number),
            str(each.samples),
            f"{each.inserted_silence_s:.3f}",
            *(str(count) for count in (each.frames, each.dropped, each.longest_run)),
            f"{each.longest_still_s:.2f}",
        ]
        for number, each in enumerate(found, 1)
    ]
    whole = not any(each.samples for each in found)
    figures = {"runs": [asdict(each) for each in found], "within_bounds": whole}
    publish(f"{table(head, rows)}\n\n{'no' if whole else 'some'} sound was lost", figures, options.json)
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
