"""The verb export."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from capture.cli.parser import Arguments, Verb
from capture.cli.text import complain, say, write, write_json
from capture.cli.working import working
from capture.errors import UsageError
from capture.recordings.presets import PRESETS, Preset

if TYPE_CHECKING:
    from pathlib import Path

    from capture.recordings.export import Exported, Wishes

__all__ = ["VERBS", "in_words", "write_export"]

#: A narrower terminal breaks the lines itself.
_LEAST_COLUMNS: Final = 30


def _export(arguments: Arguments) -> int:
    from pathlib import Path

    from capture.cli.recordings import recording_named
    from capture.parsing import parse_loudness, parse_scale, parse_size, parse_tracks
    from capture.recordings.export import Wishes

    if arguments.list:
        _list_presets(arguments)
        return 0
    if arguments.preset is None:
        raise UsageError("--for is missing", f"choose one of {', '.join(PRESETS)}")
    scale, exact = parse_scale(arguments.scale) if arguments.scale is not None else (None, False)
    wishes = Wishes(
        most_bytes=None if arguments.max_size is None else parse_size(arguments.max_size),
        loudness_lufs=None if arguments.loudness is None else parse_loudness(arguments.loudness),
        tracks=None if arguments.tracks is None else parse_tracks(arguments.tracks),
        scale=scale,
        exact_scale=exact,
    )
    path = recording_named(arguments.file)
    output = None if arguments.output is None else Path(arguments.output)
    preset = PRESETS[arguments.preset]
    made = write_export(arguments, path, arguments.preset, preset, output, wishes, limits=not arguments.no_limits)
    say(arguments, in_words(made))
    if arguments.json:
        write_json({**made.as_json(), "preset": arguments.preset})
    return 0


def write_export(
    arguments: Arguments,
    path: Path,
    name: str,
    preset: Preset,
    output: Path | None,
    wishes: Wishes,
    *,
    limits: bool = True,
) -> Exported:
    """Export a recording while the terminal shows how far that has got; say what the user should know about it."""
    from capture.recordings.export import export

    with working(arguments, f"exporting {path.name}") as on_progress:
        made = export(path, name, preset, output, wishes, limits=limits, on_progress=on_progress)
    if not arguments.quiet:
        for note in made.notes:
            complain(note)
    return made


def in_words(made: Exported) -> str:
    """Return a line about a new file."""
    from capture.cli.terminal import as_clock, as_size

    words = [f"saved {made.path}"]
    if made.duration_s:
        words.append(as_clock(made.duration_s))
    if made.picture is not None:
        words.append(f"{made.picture.width}x{made.picture.height}")
    words.append(as_size(made.size_bytes))
    return ", ".join(words)


def _list_presets(arguments: Arguments) -> None:
    if arguments.json:
        write_json({"presets": [{"name": name, **preset.as_json()} for name, preset in PRESETS.items()]})
        return
    from textwrap import wrap

    from capture.cli.table import columns

    width = max(map(len, PRESETS))
    # Nothing is wrapped for another program.
    room = max(_LEAST_COLUMNS, (columns() or sys.maxsize) - width - 2)
    for name, preset in PRESETS.items():
        lines = [*wrap(preset.text, room), *wrap(_facts(preset), room)]
        for start, line in zip([name, *[""] * (len(lines) - 1)], lines, strict=True):
            write(f"{start:{width}}  {line}")


def _facts(preset: Preset) -> str:
    """Return what a file of this preset is, in one line."""
    with_picture, alone = (
        " or ".join(f".{ending}" for ending in endings) for endings in (preset.endings, preset.sound_endings)
    )
    facts = [f"{with_picture}, of sound alone {alone}" if with_picture and alone else with_picture or alone]
    if preset.most_bytes is not None:
        facts.append(f"at most {preset.most_bytes / 1e6:g} MB ({preset.limit_by})")
    if preset.loudness_lufs is not None:
        facts.append(f"{preset.loudness_lufs:g} LUFS")
    return "; ".join(facts)


VERBS: Final[dict[str, Verb]] = {
    "export": _export,
}
