"""Is anything lost? Provokes every fault that recorders are known for, then opens the files that are left.

Usage: python -m benchmarks.faults [--tries N] [--only WORDS] [--seed N] [--json [FILE]]

Each fault is tried several times with the real recorder on separate desks, at moments chosen by the seed. A try counts
as kept if every promise holds: the exit code, a file that opens and is intact, its contents, how much is missing, and
how far apart picture and sound are. Disk faults need root on a machine that may mount file systems. The exit code is 1
when a promise is broken.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Sequence
from typing import Final

from benchmarks.report import add_json_option, announce, publish, table
from benchmarks.trials import disk, killed, moments, orders, screen, sound
from benchmarks.trials.trial import Fault, Result, tried

__all__ = ["FAULTS", "main", "row"]

FAULTS: Final[tuple[Fault, ...]] = (
    *killed.FAULTS,
    *disk.FAULTS,
    *sound.FAULTS,
    *screen.FAULTS,
    *moments.FAULTS,
    *orders.FAULTS,
)

HEAD: Final = ("fault", "tried", "kept", "lost s", "apart ms", "verdict", "promise")


def row(result: Result) -> list[str]:
    """Return one line of the table."""
    return [
        result.name,
        str(result.tried),
        str(result.kept),
        "" if result.lost_s is None else f"{max(0.0, result.lost_s):.2f}",
        "" if result.apart_s is None else f"{1000 * result.apart_s:.1f}",
        result.verdict,
        result.promise,
    ]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--tries", type=int, metavar="N", help="how often to try each fault (the default depends on the fault)"
    )
    parser.add_argument("--only", metavar="WORDS", help="only faults with these words in their name")
    parser.add_argument(
        "--seed", type=int, default=secrets.randbelow(1 << 32), help="seed for the moments of the faults"
    )
    add_json_option(parser)
    options = parser.parse_args(argv)
    faults = [fault for fault in FAULTS if options.only is None or options.only in fault.name]
    if not faults:
        parser.error(f"no fault has {options.only!r} in its name")
    results = []
    for fault in faults:
        announce(f"{fault.name} …")
        result = tried(fault, options.tries or fault.tries, options.seed)
        for note in result.notes:
            announce(f"    {note}")
        results.append(result)
    text = table(HEAD, [row(result) for result in results])
    figures = {"seed": options.seed, "faults": [result.as_json() for result in results]}
    publish(f"{text}\n\nseed {options.seed}", figures, options.json)
    return 0 if all(result.kept == result.tried for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
