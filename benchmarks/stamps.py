"""How exactly is sound stamped? Compares the stamps of clicks with the sound server's own time, on both servers.

Usage: python -m benchmarks.stamps [--seconds 20] [--json [FILE]]

On a new desk with PulseAudio, and on one with PipeWire, a program plays clicks and logs when the server had each of
them; the recorder's source stamps them at the same time, with the fragments of a recording with a picture and with
those of sound alone. The exit code is 1 if the median of a case is off by 2 ms or more, or its middle half is as wide.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import numpy as np
import numpy.typing as npt

from benchmarks.desk import fresh_desk
from benchmarks.process import started
from benchmarks.report import add_json_option, announce, publish, table
from benchmarks.stimulus.graph_clicks import CLICK_LEVEL, INTERVAL_S
from capture.sources.chooser import FRAGMENT_ALONE_S, FRAGMENT_WITH_PICTURE_S
from capture.sources.pulse.device_source import PulseSource

#: The median may be off by this much, and so may the middle half of the stamps be apart. Beyond that, PipeWire skips
#: cycles on a busy machine.
BOUND_MS: Final = 2.0

#: The programs that play the clicks.
SERVERS: Final = {"PulseAudio": "benchmarks.stimulus.clicks", "PipeWire": "benchmarks.stimulus.graph_clicks"}


def errors_ms(server: str, fragment_s: float, seconds: float) -> npt.NDArray[np.float64]:
    """Return by how much the stamp of each click is later than the server's own time."""
    with tempfile.TemporaryDirectory() as folder, fresh_desk(on_pipewire=server == "PipeWire") as desk:
        log = Path(folder, "clicks.log")
        clicks = [sys.executable, "-m", SERVERS[server], "--log", str(log)]
        # This process records on the desk.
        with patch.dict(os.environ, desk.environment), started(clicks, desk.environment):
            _until_heard(log)
            heard_s = _heard(fragment_s, seconds)
            truth_s = np.array([float(line) for line in log.read_text().splitlines()])
    found = [(truth_s[np.abs(truth_s - at_s).argmin()], at_s) for at_s in heard_s]
    # The last clicks may not be in the log.
    return np.array([1000 * (at_s - true_s) for true_s, at_s in found if abs(at_s - true_s) < INTERVAL_S / 2])


def _heard(fragment_s: float, seconds: float) -> list[float]:
    """Return when clicks began by the stamps of the recorder's source."""
    source = PulseSource("internal", "internal", 2, fragment_s)
    source.open()
    heard_s: list[float] = []
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        samples = source.read(end_s)
        if samples is None or not len(samples.data):
            continue
        for place in np.flatnonzero(np.abs(samples.data[:, 0]) > CLICK_LEVEL / 2):
            at_s = samples.captured_at_s + int(place) / 48_000
            if not heard_s or at_s > heard_s[-1] + INTERVAL_S / 2:
                heard_s.append(at_s)
    source.close()
    return heard_s


def _until_heard(log: Path) -> None:
    deadline_s = time.monotonic() + 20.0
    while not log.exists() or not log.read_text():
        if time.monotonic() > deadline_s:
            raise TimeoutError("no click was played")
        time.sleep(0.05)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each case (default: 20)")
    add_json_option(parser)
    options = parser.parse_args()
    rows: list[list[str]] = []
    figures: dict[str, Any] = {"seconds": options.seconds, "bound_ms": BOUND_MS, "cases": {}, "broken": []}
    for server in SERVERS:
        for fragment_s in (FRAGMENT_WITH_PICTURE_S, FRAGMENT_ALONE_S):
            name = f"{server}, fragments of {1000 * fragment_s:.0f} ms"
            announce(f"{name}: {options.seconds:g} s")
            found = errors_ms(server, fragment_s, options.seconds)
            median, low, high = (float(value) for value in np.quantile(found, (0.5, 0.25, 0.75)))
            figures["cases"][name] = {"clicks": len(found), "median_ms": median, "low_ms": low, "high_ms": high}
            rows.append([name, f"{len(found)}", f"{median:+.2f}", f"{low:+.2f} to {high:+.2f}", f"{found.std():.2f}"])
            if abs(median) >= BOUND_MS or high - low >= BOUND_MS:
                figures["broken"].append(name)
    verdict = f"out of bounds: {', '.join(figures['broken'])}" if figures["broken"] else "all within bounds"
    head = ("stamp less the server's time, ms", "clicks", "median", "middle half", "sd")
    publish(f"{table(head, rows)}\n\n{verdict}", figures, options.json)
    return 1 if figures["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
