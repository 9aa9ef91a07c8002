"""The verb import: lists the voice notes that messengers have stored, and copies them into the recordings folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from capture.cli.parser import Arguments, Verb
from capture.cli.text import as_argument, complain, counted, printable, say, write, write_json
from capture.errors import RecordingError, UsageError

if TYPE_CHECKING:
    from capture.recordings.messengers.bring_in import Brought
    from capture.recordings.messengers.found import Findings, Note

__all__ = ["VERBS"]

#: Beyond this, kinds of files are counted, not named, and so are notes that could not be copied.
_MOST_NAMED: Final = 5


def _import(arguments: Arguments) -> int:
    from capture.cli.times import times_between
    from capture.cli.working import working
    from capture.recordings.messengers.found import HOW_TO_EXPORT, Findings, find_notes

    if arguments.newest is not None and arguments.newest < 1:
        raise UsageError(f"--newest {arguments.newest} takes nothing", "give a number from 1")
    if arguments.format is not None and not arguments.copy:
        raise UsageError(f"--format {arguments.format} converts what is copied", "add --copy")
    since_s, until_s = times_between(arguments.since, arguments.until)
    findings = Findings()
    with ExitStack() as opened:
        with working(arguments, "looking for voice notes"):
            for path in arguments.paths:
                find_notes(Path(path), findings, opened)
        if findings.denied:
            what = "file or folder" if findings.denied == 1 else "files or folders"
            complain(f"{findings.denied} {what} cannot be read: see their permissions")
        if findings.unread:
            complain(f"{_kinds(findings.unread)} left out: FFmpeg cannot decode such voice notes")
        for thing, count in sorted(findings.encrypted.items()):
            complain(f"{counted(count, thing)} of Signal left out, which only Signal can read: {HOW_TO_EXPORT}")
        if not findings.notes:
            raise _nothing_in(arguments.paths, findings)
        newest_first = sorted(findings.notes, key=lambda note: (-note.sent_at_ns, note.name))
        wanted = [note for note in newest_first if since_s <= note.sent_at_s < until_s][: arguments.newest]
        if arguments.copy:
            return _copy(arguments, wanted, len(findings.notes))
    if arguments.json:
        write_json({"notes": [_as_json(note) for note in wanted]})
    elif not wanted:
        say(arguments, f"None of the {len(findings.notes)} voice notes matches.")
    else:
        length_s = sum(note.sound.duration_s or 0.0 for note in wanted)
        write("\n".join([*_table(wanted), *_end_of_list(arguments, wanted, length_s)]))
    return 0


def _nothing_in(paths: Sequence[str], findings: Findings) -> RecordingError:
    held = f"{_kinds(findings.others)} there" if findings.others else "nothing is there"
    return RecordingError(
        f"no voice note was found in {' or '.join(paths)} ({held})", "name a messenger's folder or an exported chat"
    )


def _kinds(counts: Counter[str]) -> str:
    """Return `12 .jpg, 3 .txt files`, the most frequent first."""
    frequent = sorted(counts.items(), key=lambda each: (-each[1], each[0]))[:_MOST_NAMED]
    named = [f"{count} {ending or 'without extension'}" for ending, count in frequent]
    if others := sum(counts.values()) - sum(count for _, count in frequent):
        named.append(f"{others} other")
    return f"{', '.join(named)} {'file' if sum(counts.values()) == 1 else 'files'}"


def _as_json(note: Note) -> dict[str, Any]:
    from datetime import UTC, datetime

    sound = note.sound
    return {
        "messenger": note.messenger,
        "name": note.name,
        "path": str(note.source),
        "member": note.member,
        "sent_at": datetime.fromtimestamp(note.sent_at_s, UTC).astimezone().isoformat(timespec="seconds"),
        "has_time": note.has_time,
        "duration_s": None if sound.duration_s is None else round(sound.duration_s, 3),
        "size_bytes": note.size_bytes,
        "codec": sound.codec,
        "check": sound.problem or "ok",
    }


def _table(notes: Sequence[Note]) -> list[str]:
    from capture.cli.table import columns, laid_out, plain

    head = ("sent", "length", "size", "messenger", "", "file")
    rows = [(*row[:-1], plain(row[-1])) for row in map(_row, notes)]
    return laid_out([head, *rows], (False, True, True, False, False), columns())


def _row(note: Note) -> tuple[str, ...]:
    from datetime import datetime

    from capture.cli.terminal import as_clock, as_size

    at = datetime.fromtimestamp(note.sent_at_s)
    return (
        f"{at:%Y-%m-%d %H:%M}" if note.has_time else f"{at:%Y-%m-%d}",
        "" if note.sound.duration_s is None else as_clock(note.sound.duration_s),
        as_size(note.size_bytes),
        note.messenger,
        "!" if note.sound.problem else "",
        note.name,
    )


def _end_of_list(arguments: Arguments, notes: Sequence[Note], length_s: float) -> Iterator[str]:
    from capture.cli.terminal import as_clock

    yield f"{counted(len(notes), 'voice note')}, {as_clock(length_s)}. Nothing was copied: --copy does that."
    for note in [note for note in notes if note.sound.problem][:_MOST_NAMED]:
        yield printable(f"{note.name}: {note.sound.problem}")


def _copy(arguments: Arguments, notes: Sequence[Note], found: int) -> int:
    from capture.cli.working import working
    from capture.config.store import load
    from capture.recordings.messengers.bring_in import bring_in, log_path

    folder = load().folder_for("ogg")
    results: list[Brought] = []
    total_bytes = sum(note.size_bytes for note in notes) or 1
    done_bytes = 0
    with working(arguments, f"copying {counted(len(notes), 'voice note')}") as on_progress:
        for brought in bring_in(notes, folder, arguments.format, log_path()):
            results.append(brought)
            done_bytes += brought.note.size_bytes
            on_progress(done_bytes / total_bytes)
    failed = [brought for brought in results if brought.error is not None]
    for brought in failed[:_MOST_NAMED]:
        complain(str(brought.error))
    if len(failed) > _MOST_NAMED:
        complain(f"{len(failed) - _MOST_NAMED} more could not be copied; --json names them all")
    if arguments.json:
        write_json({"folder": str(folder), "notes": [_brought_as_json(brought) for brought in results]})
        return 1 if failed else 0
    if not notes:
        say(arguments, f"None of the {found} voice notes matches.")
        return 0
    there = sum(brought.was_there for brought in results)
    copied = len(results) - there - len(failed)
    before = f"; {there} {'was' if there == 1 else 'were'} there already" if there else ""
    say(arguments, f"copied {counted(copied, 'voice note')} to {as_argument(str(folder))}{before}")
    converted = [brought for brought in results if brought.is_converted]
    if converted and arguments.format is None:
        kinds = _kinds(Counter(Path(brought.note.name).suffix.lower() for brought in converted))
        forms = ", ".join(sorted({f".{brought.path.suffix[1:]}" for brought in converted if brought.path is not None}))
        say(arguments, f"{kinds} became {forms}, which more programs play; the originals stay where they are")
    return 1 if failed else 0


def _brought_as_json(brought: Brought) -> dict[str, Any]:
    return _as_json(brought.note) | {
        "copied_to": None if brought.path is None else str(brought.path),
        "was_there": brought.was_there,
        "converted": brought.is_converted,
        "error": "" if brought.error is None else str(brought.error),
    }


VERBS: Final[dict[str, Verb]] = {
    "import": _import,
}
