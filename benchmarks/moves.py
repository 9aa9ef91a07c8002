"""What does a change of the default output cost? Counts the silence in the samples of a recording, on both servers.

Usage: python -m benchmarks.moves [--changes 20] [--json [FILE]]

On a new desk with PulseAudio, and on one with PipeWire, two outputs play without a pause, each its own value, while the
real recorder records `internal` and the default output changes again and again. Then what is missing in the recording
is what the recorder missed. In the other cases one program plays to the default output, and the server moves it too: a
part of that silence is the program's own. The exit code is 1 if a change costs more than 60 ms on average.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import numpy.typing as npt

from benchmarks.desk import Desk, fresh_desk
from benchmarks.process import REPOSITORY
from benchmarks.report import add_json_option, announce, publish, table

BOUND_MS: Final = 60.0

_RATE: Final = 48_000
_OTHER: Final = "other"

#: What the outputs play, and what counts as silence.
_LEVELS: Final = (0.25, -0.25)
_SILENT: Final = 0.02

#: Between two changes, before the first, and how long the players run at least.
_APART_S: Final = 0.8
_SETTLE_S: Final = 2.0
_MORE_S: Final = 20.0

_LIMIT_S: Final = 30.0


def silence_ms(server: str, changes: int, *, is_pinned: bool) -> tuple[npt.NDArray[np.float64], float]:
    """Return the lengths of the silences in the recording, and how much of that the recorder says it wrote."""
    with tempfile.TemporaryDirectory() as name, fresh_desk(on_pipewire=server == "PipeWire") as desk:
        folder = Path(name)
        _pactl(desk, "load-module", "module-null-sink", f"sink_name={_OTHER}", "rate=48000")
        _pactl(desk, "set-default-sink", desk.sink)
        length_s = _MORE_S + changes * _APART_S
        with _playing(desk, folder, length_s, _LEVELS if is_pinned else _LEVELS[:1]):
            if is_pinned:
                _pin(desk)
            samples, inserted_s = _record(desk, folder / "internal.wav", changes)
    heard = np.flatnonzero(np.abs(samples) > _SILENT)
    # The steps between samples that are heard, where more than a sample lies between.
    steps = np.diff(heard)
    return (steps[steps > 1] - 1) / _RATE * 1000, 1000 * inserted_s


def _record(desk: Desk, path: Path, changes: int) -> tuple[npt.NDArray[np.float64], float]:
    argv = [sys.executable, "-m", "capture", "record", str(path), "--screen", "none", "--no-hotkeys", "--json"]
    recorder = subprocess.Popen(
        argv, env=desk.environment, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    time.sleep(_SETTLE_S)
    for number in range(changes):
        _pactl(desk, "set-default-sink", (_OTHER, desk.sink)[number % 2])
        time.sleep(_APART_S)
    recorder.send_signal(signal.SIGINT)
    summary: Any = json.loads(recorder.communicate(timeout=_LIMIT_S)[0])
    with av.open(path) as file:
        parts = [frame.to_ndarray().reshape(-1, 2)[:, 0] for frame in file.decode(audio=0)]
    return np.concatenate(parts).astype(np.float64) / 32_768, float(summary["audio"][0]["inserted_silence_s"])


@contextmanager
def _playing(desk: Desk, folder: Path, length_s: float, levels: tuple[float, ...]) -> Iterator[None]:
    """Run a player of each constant value."""
    players: list[subprocess.Popen[bytes]] = []
    try:
        for level in levels:
            raw = folder / f"{level}.raw"
            raw.write_bytes(np.full(2 * round(length_s * _RATE), level, np.float32).tobytes())
            form = ("--raw", "--format=float32", f"--rate={_RATE}", "--channels=2", "--latency-msec=80")
            players.append(subprocess.Popen(["pacat", *form, str(raw)], env=desk.environment))
            time.sleep(_APART_S)
        yield
    finally:
        for player in players:
            player.kill()
            player.wait()


def _pin(desk: Desk) -> None:
    """Keep each player on its output. A server only keeps what was moved there while another was the default."""
    players = [line.split()[0] for line in _pactl(desk, "list", "short", "sink-inputs").splitlines()]
    for player, sink, other in zip(players, (desk.sink, _OTHER), (_OTHER, desk.sink), strict=True):
        _pactl(desk, "set-default-sink", other)
        time.sleep(_APART_S)
        for name in (other, sink):
            _pactl(desk, "move-sink-input", player, name)
            time.sleep(_APART_S)


def _pactl(desk: Desk, *arguments: str) -> str:
    return subprocess.run(
        ["pactl", *arguments], env=desk.environment, check=True, capture_output=True, text=True
    ).stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=20, help="how often the default changes (default: 20)")
    add_json_option(parser)
    options = parser.parse_args()
    rows: list[list[str]] = []
    figures: dict[str, Any] = {"changes": options.changes, "bound_ms": BOUND_MS, "cases": {}, "broken": []}
    for server in ("PulseAudio", "PipeWire"):
        for is_pinned in (True, False):
            name = f"{server}, {'programs stay' if is_pinned else 'the program is moved too'}"
            announce(f"{name}: {options.changes} changes")
            found, inserted_ms = silence_ms(server, options.changes, is_pinned=is_pinned)
            mean, worst = float(found.sum() / options.changes), float(found.max(initial=0.0))
            figures["cases"][name] = {"mean_ms": mean, "worst_ms": worst, "inserted_ms": inserted_ms / options.changes}
            rows.append([name, f"{mean:.1f}", f"{worst:.1f}", f"{inserted_ms / options.changes:.1f}"])
            if mean > BOUND_MS:
                figures["broken"].append(name)
    verdict = f"out of bounds: {', '.join(figures['broken'])}" if figures["broken"] else "all within bounds"
    head = ("silence, ms", "a change, on average", "the longest", "written by capture")
    publish(f"{table(head, rows)}\n\n{verdict}", figures, options.json)
    return 1 if figures["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
