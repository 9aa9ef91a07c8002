"""The verbs for saved recordings: check, repair."""

from __future__ import annotations

from typing import Any, Final

from capture.cli.parser import Arguments, Verb
from capture.cli.text import complain, printable, say, write, write_json
from capture.errors import RecordingError, UsageError

__all__ = ["VERBS"]


def _check(arguments: Arguments) -> int:
    from pathlib import Path

    from capture.recordings.check import check

    report = check(Path(arguments.file), limits=not arguments.no_limits)
    if arguments.json:
        write_json(report.as_json())
    else:
        for stream in report.streams:
            silent = "  silent" if stream.silent else ""
            if stream.silent_until_s is not None:
                silent = f"  silent up to {stream.silent_until_s:.3f} s, where listening stopped"
            end_s = stream.start_s + stream.duration_s
            write(f"{stream.kind}  {stream.codec}  {stream.start_s:.3f} s to {end_s:.3f} s{silent}")
        for problem in report.problems:
            write(printable(f"problem: {problem}"))
        write("ok" if report.ok else "not ok")
    return 0 if report.ok else 1


def _repair(arguments: Arguments) -> int:
    from pathlib import Path

    from capture.cli.terminal import as_clock
    from capture.recordings.repair import recordings_in, repair

    path = Path(arguments.path)
    output = None if arguments.output is None else Path(arguments.output)
    if path.is_dir() and output is not None:
        raise UsageError(f"--output names one file, but {path} is a folder", "drop --output, or name one recording")
    found: list[dict[str, Any]] = []
    for each in recordings_in(path) if path.is_dir() else [path]:
        try:
            done = repair(each, output, limits=not arguments.no_limits)
        except RecordingError as error:
            found.append({"path": str(each), "repaired": False, "ok": False, "error": str(error)})
            complain(str(error))
            continue
        found.append(done.as_json())
        what = f"repaired, {as_clock(done.after.duration_s)}" if done.was_needed else "already complete"
        if done.put_back:
            what = f"put back, {as_clock(done.after.duration_s)}: what was to replace it does not play"
            what += f", and is {done.broken} now" if done.broken is not None else ""
        say(arguments, f"{done.path}: {what}")
        for old in done.set_aside:
            say(arguments, f"{done.path}: the file that it replaced is kept as {old}")
    if arguments.json:
        write_json({"files": found})
    return 0 if all(each["ok"] for each in found) else 1


VERBS: Final[dict[str, Verb]] = {
    "check": _check,
    "repair": _repair,
}
