"""The verbs for saved recordings: check, convert, repair."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from capture.cli.parser import Arguments, Verb
from capture.cli.text import complain, printable, say, write, write_json
from capture.cli.working import working
from capture.errors import RecordingError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from capture.recordings.check import CheckReport

__all__ = ["VERBS"]


def _check(arguments: Arguments) -> int:
    """Check one file or several; the exit code is the worst."""
    from pathlib import Path

    from capture.cli.recordings import recording_named

    if len(arguments.files) == 1:
        path = recording_named(arguments.files[0])
        report = _checked(arguments, path)
        if path != Path(arguments.files[0]):
            say(arguments, str(path))
        if arguments.json:
            write_json(report.as_json())
        else:
            _write_report(report)
        return 0 if report.ok else 1
    found: list[dict[str, Any]] = []
    exit_code = 0
    for file in arguments.files:
        try:
            path = recording_named(file)
            report = _checked(arguments, path)
        except UsageError as error:
            found.append({"path": str(Path(file).absolute()), "ok": False, "problems": [str(error)], "streams": []})
            complain(str(error))
            exit_code = max(exit_code, error.exit_code)
            continue
        found.append(report.as_json())
        exit_code = max(exit_code, 0 if report.ok else 1)
        if not arguments.json:
            write(printable(f"{file if path == Path(file) else path}: {'ok' if report.ok else 'not ok'}"))
            for problem in report.problems:
                write(printable(f"  problem: {problem}"))
    if arguments.json:
        write_json({"ok": not exit_code, "files": found})
    return exit_code


def _checked(arguments: Arguments, path: Path) -> CheckReport:
    """Check the file at `path`. One that is being recorded is not damaged, but not complete either."""
    from capture.output.locked_file import is_being_recorded
    from capture.recordings.animation_report import check_animation
    from capture.recordings.check import check, size_bytes_of

    size_bytes_of(path)
    with working(arguments, f"checking {path.name}") as on_progress:
        is_unfinished = is_being_recorded(path)
        limits = not arguments.no_limits
        report = check_animation(path, limits=limits) or check(path, limits=limits, on_progress=on_progress)
    if not is_unfinished:
        return report
    return replace(report, problems=("it is being recorded: check it when it is finished",))


def _write_report(report: CheckReport) -> None:
    for stream in report.streams:
        silent = "  silent" if stream.silent else ""
        if stream.silent_until_s is not None:
            silent = f"  silent up to {stream.silent_until_s:.3f} s, where listening stopped"
        end_s = stream.start_s + stream.duration_s
        rate = f"  {_rate(stream.constant_fps)}" if stream.kind == "video" else ""
        write(f"{stream.kind}  {stream.codec}  {stream.start_s:.3f} s to {end_s:.3f} s{rate}{silent}")
    for problem in report.problems:
        write(printable(f"problem: {problem}"))
    write("ok" if report.ok else "not ok")


def _rate(constant_fps: float | None) -> str:
    return "variable rate" if constant_fps is None else f"constant rate ({round(constant_fps, 2):g} fps)"


def _convert(arguments: Arguments) -> int:
    from pathlib import Path

    from capture.cli.recordings import beside, recording_named
    from capture.parsing import parse_fps
    from capture.recordings.constant_rate import with_constant_rate

    path = recording_named(arguments.file)
    fps = parse_fps(arguments.constant_fps)
    output = beside(path, f"-{fps:g}fps") if arguments.output is None else Path(arguments.output)
    with working(arguments, f"converting {path.name}") as on_progress:
        made = with_constant_rate(path, output, fps, on_progress, limits=not arguments.no_limits)
    if made is None:
        say(arguments, f"{path} has a constant rate already; nothing was done")
    else:
        say(arguments, f"saved {made}")
    if arguments.json:
        write_json({"path": str(path if made is None else made), "converted": made is not None})
    return 0


def _repair(arguments: Arguments) -> int:
    from pathlib import Path

    from capture.cli.recordings import recording_named
    from capture.cli.terminal import as_clock
    from capture.recordings.repair import recordings_in, repair

    path = recording_named(arguments.path)
    output = None if arguments.output is None else Path(arguments.output)
    is_folder = os.path.isdir(path)  # noqa: PTH112 - that of Path raises for some names
    if is_folder and output is not None:
        raise UsageError(f"--output names one file, but {path} is a folder", "drop --output, or name one recording")
    found: list[dict[str, Any]] = []
    recordings = recordings_in(path) if is_folder else [path]
    if not recordings:
        say(arguments, f"there is no recording in {path}: nothing to repair")
    for each in recordings:
        try:
            with working(arguments, f"repairing {each.name}") as on_progress:
                done = repair(each, output, limits=not arguments.no_limits, on_progress=on_progress)
        except RecordingError as error:
            found.append({"path": str(each), "repaired": False, "ok": False, "error": str(error)})
            complain(str(error))
            continue
        found.append(done.as_json())
        whole = "already complete" if output is None else f"a copy of {each.name}, which is already complete"
        what = f"repaired, {as_clock(done.after.duration_s)}" if done.was_needed else whole
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
    "convert": _convert,
    "repair": _repair,
}
