"""The verb list: shows the saved recordings, newest first."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from capture.cli.parser import Arguments, Verb
from capture.cli.text import as_argument, complain, printable, say, write, write_json
from capture.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from capture.recordings.catalogue import Entry
    from capture.recordings.library import FoundRecording

__all__ = ["VERBS"]

#: Beyond this, recordings to repair are counted, not named.
_MOST_NAMED: Final = 5

#: What is said of many recordings that are not complete, by their state.
_MANY: Final = {
    "recording": "are being recorded",
    "unfinished": "were cut off.",
    "damaged": "are damaged: capture check NUMBER says how",
    "unreadable": "cannot be read: see the permissions of the files",
}

_MARKS: Final = {"ok": "✓", "recording": "●"}

#: What follows these: a second tick for a copy elsewhere, as messengers show what has arrived.
_BACKUP_MARKS: Final = {"copied": "✓", "waiting": "…"}

#: The date in a name, which another column shows.
_DATE: Final = re.compile(r"^Capture \d{4}-\d\d-\d\d \d\d\.\d\d\.\d\d")


def _list(arguments: Arguments) -> int:
    from capture.cli.recordings import folders, saved_recordings, where
    from capture.cli.times import times_between
    from capture.cli.working import working
    from capture.recordings.catalogue import index_path, looked_at

    if arguments.newest is not None and arguments.newest < 1:
        raise UsageError(f"--newest {arguments.newest} shows nothing", "give a number from 1")
    between = times_between(arguments.since, arguments.until)
    places = folders()
    found = saved_recordings(places)
    numbers = {each.path: number for number, each in enumerate(found, 1)}
    wanted = [each for each in found if between[0] <= each.recorded_at_s < between[1]]
    if not (arguments.kind or arguments.text):
        # Numbers count all recordings, so a shorter list is a part of the long one.
        wanted = wanted[: arguments.newest]
    with working(arguments, f"looking at {len(wanted)} recordings"):
        entries = looked_at(wanted, found, index_path())
    shown = [entry for entry in entries if _matches(arguments, entry)][: arguments.newest]
    for place in places:
        if os.path.lexists(place) and not (place.is_dir() and os.access(place, os.R_OK | os.X_OK)):
            complain(f"the folder {place} cannot be read: see its permissions")
    backups = _backups(shown)
    if arguments.json:
        rows = [_as_json(numbers[entry.found.path], entry, backups.get(entry.found.path, "")) for entry in shown]
        write_json({"recordings": rows, "folders": [str(place) for place in places]})
        return 0
    if not found:
        say(arguments, f"There are no recordings in {where(places)} yet. Files that you named are where you put them.")
        return 0
    if not shown:
        say(arguments, f"None of the {len(found)} recordings in {where(places)} matches.")
        return 0
    remarks = map(printable, _remarks(numbers, shown, places))
    write("\n".join([*_table(numbers, shown, backups), *remarks]))
    return 0


def _matches(arguments: Arguments, entry: Entry) -> bool:
    if arguments.kind is not None and entry.kind not in arguments.kind:
        return False
    text = (arguments.text or "").casefold()
    if text in entry.found.path.name.casefold() or text in entry.glance.title.casefold():
        return True
    from capture.speech.transcript import text_beside

    return text in text_beside(entry.found.path).casefold()


def _as_json(number: int, entry: Entry, backup: str) -> dict[str, Any]:
    found, glance = entry
    problem = glance.problem or "ok"
    return {
        "number": number,
        "path": str(found.path),
        "recorded_at": _when(found).isoformat(timespec="seconds"),
        "duration_s": None if glance.duration_s is None else round(glance.duration_s, 3),
        "size_bytes": found.size_bytes,
        "kind": entry.kind,
        "title": glance.title,
        "state": str(glance.state),
        "check": problem,
        "remedy": f"capture repair {as_argument(str(found.path))}" if glance.state == "unfinished" else "",
        "backup": backup,
        "tracks": [track.as_json() for track in glance.tracks],
    }


def _backups(entries: Sequence[Entry]) -> dict[Path, str]:
    """Return `copied` or `waiting` for the recordings that have a copy at the user's remote storage, or wait for it."""
    from capture.config.store import load

    remote = str(load()["backup.remote"])
    if not remote:
        return {}
    from capture.desktop.backup import BackupList, backup_path

    known = BackupList(backup_path())
    waiting, copied = known.waiting(), known.copied()
    found: dict[Path, str] = {}
    for entry in entries:
        path = entry.found.path
        copy = copied.get(str(path))
        if copy is not None and copy.is_of(entry.found.size_bytes, entry.found.mtime_ns, remote):
            found[path] = "copied"
        elif str(path) in waiting:
            found[path] = "waiting"
    return found


def _when(found: FoundRecording) -> datetime:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(found.recorded_at_s, UTC).astimezone()


def _table(numbers: dict[Path, int], entries: Sequence[Entry], backups: dict[Path, str]) -> list[str]:
    from capture.cli.table import columns, laid_out, plain

    rows = [_row(numbers[entry.found.path], entry, backups.get(entry.found.path, "")) for entry in entries]
    head = ("", "recorded", "length", "tracks", "size", "", "title")
    width = columns()
    if width is not None:
        # There is little room, and the date is in the table already.
        rows = [(*row[:-1], _DATE.sub("Capture …", row[-1])) for row in rows]
    named = [(*row[:-1], plain(row[-1])) for row in rows]
    return laid_out([head, *named], (True, False, True, False, True, False), width)


def _row(number: int, entry: Entry, backup: str) -> tuple[str, ...]:
    from capture.cli.terminal import as_clock, as_size

    found, glance = entry
    return (
        str(number),
        f"{_when(found):%Y-%m-%d %H:%M}",
        "" if glance.duration_s is None else as_clock(glance.duration_s),
        _tracks(entry),
        as_size(found.size_bytes),
        _MARKS.get(glance.state, "!") + _BACKUP_MARKS.get(backup, ""),
        glance.title or found.path.name,
    )


def _tracks(entry: Entry) -> str:
    """Return `video+sound`, `video+2 sounds`, `voice` and the like."""
    sounds = sum(track.kind == "audio" for track in entry.glance.tracks)
    if entry.kind != "video" or not sounds:
        return f"{sounds} sounds" if sounds > 1 else entry.kind
    return "video+sound" if sounds == 1 else f"video+{sounds} sounds"


def _remarks(numbers: dict[Path, int], entries: Sequence[Entry], places: Sequence[Path]) -> list[str]:
    """Return a sentence on each recording that is not complete, with the remedy; on many of a kind, one on all."""
    remarks: list[tuple[int, str]] = []
    for state, many in _MANY.items():
        those = [entry for entry in entries if entry.glance.state == state]
        if len(those) <= _MOST_NAMED:
            remarks += [(number := numbers[entry.found.path], _remark(number, entry)) for entry in those]
            continue
        remarks.append((0, f"{len(those)} recordings {many}"))
        if state == "unfinished":
            inside = [place for place in places if any(entry.found.path.parent == place for entry in those)]
            remarks += [(0, f"  To fix them: capture repair {as_argument(str(place))}") for place in inside]
    return [remark for _, remark in sorted(remarks, key=lambda remark: remark[0])]


def _remark(number: int, entry: Entry) -> str:
    fix = f". To fix it: capture repair {number}" if entry.glance.state == "unfinished" else ""
    return f"{number}: {entry.glance.problem}{fix}"


VERBS: Final[dict[str, Verb]] = {
    "list": _list,
}
