"""Does the recorder work on a whole desktop? Runs it on GNOME, KDE or sway, with the desktop's portal and PipeWire.

Usage: python -m benchmarks.desks gnome|kde|sway [--root FOLDER] [--suite sid] [--results FOLDER] [-- COMMAND …]

The desktop runs without a screen and a graphics card, in the Debian in --root, which is made there if it is missing;
that takes root, debootstrap and some minutes. Without --root it runs on this system, if that has the desktop. Files of
the user's are not touched: the desktop has a home of its own. The trial records, answers the desktop's dialog by keys,
moves the pointer, ends the sharing, and kills parts of the desktop. Its recordings, and a picture of each, go to
--results. With a COMMAND, that runs on the desktop instead, after the permission was given; for example
`-- python -m benchmarks.sync --desk here`. The exit code is 1 if a part fails.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.desks import root
from benchmarks.desks.session import SESSIONS, Session
from benchmarks.desks.trial import Trial, versions
from benchmarks.report import table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("desktop", choices=SESSIONS)
    parser.add_argument("--root", type=Path, help="the folder of a Debian to run it in")
    parser.add_argument("--suite", default="sid", help="of a Debian that has to be made (default: sid)")
    parser.add_argument("--results", type=Path, default=Path("desk-results"), help="default: desk-results")
    at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    options, command = parser.parse_args(sys.argv[1:at]), sys.argv[at + 1 :]
    if options.root is not None:
        root.make(options.root, options.suite, options.desktop)
        inside = [options.desktop, "--results", root.RESULTS, "--", *command]
        return root.enter(options.root.resolve(), options.results.resolve(), "benchmarks.desks", inside)
    options.results.mkdir(parents=True, exist_ok=True)
    # A short name: paths of sockets are limited.
    with tempfile.TemporaryDirectory(prefix="desk") as folder:
        make = SESSIONS[options.desktop]
        if command:
            return _run(make(Path(folder)), options.results, command)
        return _try(make, Path(folder), options.results)


def _run(session: Session, results: Path, command: list[str]) -> int:
    with session:
        trial = Trial(session, results)
        trial.check("the permission", trial.first)
        trial.hands.quiet()
        return trial.has_failed or subprocess.run(command, env=session.environment, check=False).returncode


def _try(make: type[Session], folder: Path, results: Path) -> int:
    with make(folder) as session:
        trial = Trial(session, results)
        title = versions(session)
        trial.check("doctor", trial.doctor)
        trial.check("asked, and allowed", trial.first)
        trial.check("not asked again", trial.again)
        trial.check("a region", trial.region)
        trial.check("the cursor", trial.cursor)
        trial.check("replay and clip", trial.replay)
        trial.check("standby", trial.standby)
        if trial.hands.asks:
            trial.check("refused", trial.refused)
            trial.check("a window", trial.window)
            trial.check("the window is closed", trial.window_closed)
        trial.check("the sharing is ended in the desktop", trial.revoked)
        trial.check("the portal is killed", lambda: trial.killed("xdg-desktop-portal", "duration", 0))
    for program, ending in session.endings.items():
        with make(folder) as session:
            trial = Trial(session, results, trial.rows, trial.has_failed)
            trial.check(f"{program} is killed", lambda: trial.killed(program, *ending))  # noqa: B023 - called at once
    print(f"{title}\n\n{table(('what was run', 'what came'), trial.rows)}")
    return int(trial.has_failed)


if __name__ == "__main__":
    sys.exit(main())
