"""Does PipeWire skip cycles, and what is heard then? Plays numbered samples and hears them on PipeWire's own clock.

Usage: python -m benchmarks.cycles [--seconds 25] [--runs 2] [--json [FILE]]

On a private PipeWire, without and with the real-time priority that a desktop gives PipeWire and its programs
(RealtimeKit; here it takes root), in turn. Run it while the machine is busy. `skipped` is the time in which the graph
stood still, `silent` the time for which it had no sound although the player went on, `lost` what of the sound was never
heard. A recorder that strings samples together drops the skipped time, and its sound is that much too early from then
on.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import numpy as np
import numpy.typing as npt

from benchmarks.desk import fresh_desk
from benchmarks.report import add_json_option, announce, publish, table
from benchmarks.stimulus.graph import RATE, Graph

#: Samples count up to this, which float32 holds exactly.
_NUMBERS: Final = 1 << 20

#: SCHED_OTHER and SCHED_FIFO of sched(7).
_USUAL, _REAL_TIME = 0, 1

#: Below the priority that PipeWire's modules ask for, 88, and above everything usual.
_PRIORITY: Final = 20

#: The graph stood still if a block comes this much later than the one before ends.
_SKIP_S: Final = 0.002

#: What streams need to begin.
_BEGIN_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard in so many seconds; times in ms."""

    seconds: float
    skips: int
    skipped_ms: float
    silent_ms: float
    lost_ms: float


def listen(seconds: float) -> Heard:
    """Play and hear numbered samples."""
    graph, blocks, count = Graph(), list[tuple[float, npt.NDArray[np.float32]]](), 0

    def play(wanted: int, _heard_at_s: float) -> npt.NDArray[np.float32]:
        nonlocal count
        numbers = np.arange(count, count + wanted) % (_NUMBERS - 1) + 1
        count += wanted
        return (numbers / _NUMBERS).astype(np.float32)

    graph.play(play)
    graph.hear(lambda samples, heard_at_s: blocks.append((heard_at_s, samples.copy())))
    thread = threading.Thread(target=graph.run, daemon=True)
    thread.start()
    time.sleep(_BEGIN_S + seconds)
    graph.quit()
    thread.join()
    begin_s = blocks[0][0] + _BEGIN_S
    return _judge([block for block in blocks if block[0] >= begin_s])


def _judge(blocks: list[tuple[float, npt.NDArray[np.float32]]]) -> Heard:
    pauses_s = [later - at_s - len(samples) / RATE for (at_s, samples), (later, _) in pairwise(blocks)]
    skips_s = [pause_s for pause_s in pauses_s if pause_s > _SKIP_S]
    samples = np.concatenate([samples for _, samples in blocks])
    numbers = np.rint(samples[samples > 0] * _NUMBERS).astype(np.int64)
    lost = np.mod(np.diff(numbers) - 1, _NUMBERS - 1).sum()
    return Heard(
        blocks[-1][0] - blocks[0][0],
        len(skips_s),
        1000 * sum(skips_s),
        1000 * int((samples == 0).sum()) / RATE,
        1000 * int(lost) / RATE,
    )


def listen_with(policy: int, folder: str, seconds: float) -> Heard:
    """Do the same with this scheduling policy for this process, and for programs whose runtime folder is `folder`."""
    if sys.platform != "linux":
        raise OSError("the policies are Linux's")
    parameter = os.sched_param(_PRIORITY if policy == _REAL_TIME else 0)
    for task in Path("/proc").glob("[0-9]*/task/[0-9]*"):
        try:
            is_server = f"XDG_RUNTIME_DIR={folder}".encode() in (task / "environ").read_bytes()
            if is_server and b"pipewire" in (task / "cmdline").read_bytes():
                os.sched_setscheduler(int(task.name), policy, parameter)
        except (OSError, ValueError):
            continue
    found: list[Heard] = []

    def work() -> None:
        # The threads that this one starts get it, too.
        os.sched_setscheduler(0, policy, parameter)
        found.append(listen(seconds))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return found[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=25.0, help="length of each run (default: 25)")
    parser.add_argument("--runs", type=int, default=2, help="runs of each kind (default: 2)")
    add_json_option(parser)
    options = parser.parse_args()
    rows: list[list[str]] = []
    figures: dict[str, Any] = {"runs": []}
    for _ in range(options.runs):
        for policy, name in ((_USUAL, "without"), (_REAL_TIME, "with real-time priority")):
            announce(f"{name}: {options.seconds:g} s")
            with fresh_desk(on_pipewire=True) as desk, patch.dict(os.environ, desk.environment):
                found = listen_with(policy, desk.environment["XDG_RUNTIME_DIR"], options.seconds)
            load = float(Path("/proc/loadavg").read_text().split()[0])
            figures["runs"].append({"real_time": policy == _REAL_TIME, "load": load, **asdict(found)})
            times = (found.skipped_ms, found.silent_ms, found.lost_ms)
            rows.append([name, f"{load:.0f}", f"{found.skips}", *(f"{value:.0f}" for value in times)])
    head = (f"{options.seconds:g} s", "load", "skips", "skipped ms", "silent ms", "lost ms")
    publish(table(head, rows), figures, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
