"""How long do `capture check` and `capture repair` take for files built to keep a reader busy, and how much memory?

Usage: python -m benchmarks.hostile_files [--megabytes 50] [--only WORD …] [--json [FILE]]

Each file is built in a temporary folder, and each verb runs on it as a process of its own. A file within the bounds of
time, memory and exit code is `ok`. CPU time is shown beside the time, for a machine that is busy with other things.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from benchmarks.hostile import FILES
from benchmarks.process import run
from benchmarks.report import add_json_option, announce, publish, table

MOST_S: Final = 10.0
MOST_BYTES: Final = 300_000_000

#: A verb that takes longer is ended.
_TIMEOUT_S: Final = 120.0

HEAD: Final = ("file", "verb", "time", "CPU", "memory", "", "what it says")

#: A verdict is `whole` or `not whole`; anything else is a crash.
_VERDICTS: Final = (0, 1)


@dataclass(frozen=True, slots=True)
class Result:
    """What one verb did with one file."""

    name: str
    verb: str
    lasted_s: float
    cpu_s: float
    peak_bytes: int
    exit_code: int
    said: str

    @property
    def ok(self) -> bool:
        in_time = min(self.lasted_s, self.cpu_s) <= MOST_S
        return in_time and self.peak_bytes <= MOST_BYTES and self.exit_code in _VERDICTS

    def row(self) -> tuple[str, ...]:
        figures = f"{self.lasted_s:.1f} s", f"{self.cpu_s:.1f} s", f"{self.peak_bytes / 1e6:.0f} MB"
        return (self.name, self.verb, *figures, "ok" if self.ok else "NOT OK", self.said[:90])


def judged(verb: str, path: Path) -> Result:
    try:
        done = run([sys.executable, "-m", "capture", verb, str(path)], os.environ, _TIMEOUT_S)
    except TimeoutError:
        return Result(path.name, verb, _TIMEOUT_S, _TIMEOUT_S, 0, -1, "it had to be ended")
    lines = (done.output + done.errors).replace(str(path), path.name).split("\n")
    said = [line for line in lines if line and line != "not ok"]
    return Result(path.name, verb, done.lasted_s, done.cpu_s, done.peak_bytes, done.exit_code, said[-1] if said else "")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=50, help="size of each file (default: 50)")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="only files with one of these words in their name")
    add_json_option(parser)
    options = parser.parse_args(arguments)
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        for name, build in FILES.items():
            if options.only and not any(word in name for word in options.only):
                continue
            announce(name)
            path = Path(folder) / name
            path.write_bytes(build(options.megabytes * 1_000_000))
            results += [judged(verb, path) for verb in ("check", "repair")]
            path.unlink()
    bounds = f"bounds: {MOST_S:g} s, {MOST_BYTES / 1e6:.0f} MB, and a verdict"
    kept = f"{sum(result.ok for result in results)} of {len(results)} within them"
    text = f"{table(HEAD, [result.row() for result in results])}\n\n{bounds}; {kept}"
    publish(text, {"results": [asdict(result) | {"ok": result.ok} for result in results]}, options.json)
    return 0 if all(result.ok for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
