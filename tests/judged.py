"""Run as a program, `judged.py FOLDER` checks and repairs each file in FOLDER, within limits of CPU time.

It prints, as JSON, a verdict for each file and the peak memory of the process. What raises anything but an error for
the user ends it with a traceback.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from capture.errors import CaptureError
from capture.recordings.check import check
from capture.recordings.repair import repair

#: A file that keeps a reader busy ends the process.
CPU_S = 240


def verdict(path: Path) -> str:
    """Return how check and repair judge the file at `path`: the problem, or what was made of it."""
    print(path.name, file=sys.stderr, flush=True)
    report = check(path)
    assert report.ok is not bool(report.problems)
    json.dumps(report.as_json(), allow_nan=False)
    try:
        done = repair(path)
    except CaptureError as error:
        return f"{report.problems[:1]}: {error}"
    assert done.after.ok
    return "repaired" if done.was_needed else "whole"


if __name__ == "__main__" and sys.platform != "win32":
    import resource

    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    verdicts = {path.name: verdict(path) for path in sorted(Path(sys.argv[1]).iterdir())}
    peak = next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    print(json.dumps({"verdicts": verdicts, "peak_bytes": int(peak) * 1024}))
