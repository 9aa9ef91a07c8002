"""The verbs trim and join: parts of recordings, and several in one."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from capture.cli.parser import Arguments, Verb
from capture.cli.text import say, write_json
from capture.cli.working import working
from capture.errors import UsageError

if TYPE_CHECKING:
    from capture.recordings.splice import Made

__all__ = ["VERBS"]


def _trim(arguments: Arguments) -> int:
    from capture.cli.recordings import beside, recording_named
    from capture.parsing import parse_level, parse_span, parse_time
    from capture.recordings.pauses import Silence
    from capture.recordings.trim import trim

    from_s = parse_time(arguments.from_time or "0", zero_allowed=True)
    to_s = None if arguments.to_time is None else parse_time(arguments.to_time)
    cuts = [parse_span(text) for text in arguments.cut or ()]
    silence = Silence() if arguments.silence else None
    for option, value in (("--rest", arguments.rest), ("--sound-threshold", arguments.sound_threshold)):
        if value is not None and silence is None:
            raise UsageError(f"{option} {value} was given without --silence", "add --silence")
    if silence is not None and arguments.rest is not None:
        silence = silence._replace(rest_s=parse_time(arguments.rest))
    if silence is not None and arguments.sound_threshold is not None:
        silence = silence._replace(threshold_dbfs=parse_level(arguments.sound_threshold))
    path = recording_named(arguments.file)
    if arguments.in_place:
        output = path
    else:
        output = beside(path, "-trimmed") if arguments.output is None else Path(arguments.output)
        with suppress(OSError):
            if output.samefile(path):
                raise UsageError(f"{output} is the recording itself", "use --in-place to replace it")
    with working(arguments, f"trimming {path.name}") as on_progress:
        made = trim(path, output, from_s, to_s, on_progress, cuts=cuts, silence=silence, limits=not arguments.no_limits)
    return _saved(arguments, made)


def _join(arguments: Arguments) -> int:
    from capture.cli.recordings import beside, recording_named
    from capture.recordings.join import join

    paths = [recording_named(file) for file in arguments.files]
    output = beside(paths[0], "-joined") if arguments.output is None else Path(arguments.output)
    with working(arguments, f"joining {len(paths)} recordings") as on_progress:
        made = join(paths, output, on_progress, limits=not arguments.no_limits)
    return _saved(arguments, made)


def _saved(arguments: Arguments, made: Made) -> int:
    from capture.cli.terminal import as_clock

    say(arguments, f"saved {made.path}, {as_clock(made.duration_s)}")
    if arguments.json:
        write_json({"path": str(made.path), "duration_s": round(made.duration_s, 3)})
    return 0


VERBS: Final[dict[str, Verb]] = {"join": _join, "trim": _trim}
