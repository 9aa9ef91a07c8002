"""Finds voice notes in a folder or in the zip of an exported chat, without copying or unpacking anything."""

from __future__ import annotations

import os
import stat
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

from capture.errors import RecordingError, UsageError
from capture.recordings.messengers.archive import LARGEST_NOTE_BYTES, content_of, is_archive, opened_archive
from capture.recordings.messengers.names import Recognised, recognise
from capture.recordings.messengers.sound import NoteSound, Read, sound_of

__all__ = ["Findings", "Note", "find_notes"]

#: The extensions of what capture can read, or put into a file that it can. Telegram writes `.oga`, Signal `.aac`.
_ENDINGS: Final = frozenset({".opus", ".ogg", ".oga", ".m4a", ".aac", ".mp3", ".wav", ".flac"})

#: Those whose content tells a voice note: one channel of Opus.
_TELLING: Final = frozenset({".opus", ".ogg", ".oga"})

#: Those of voice notes that capture does not read.
_UNREAD: Final = frozenset({".amr", ".3gp", ".caf"})

_LONGEST_ENDING: Final = 6

_CHUNK_BYTES: Final = 1 << 20

#: The year 2100. File systems hold dates for which calendars have none.
_LATEST_NS: Final = 4_102_444_800 * 10**9


@dataclass(frozen=True, slots=True)
class Note:
    """A voice note where a messenger has put it; nothing of it is in memory."""

    messenger: str
    #: The name of its file, and where that is: the file, or its path inside the zip.
    name: str
    source: Path
    member: str | None
    #: When it was sent, in nanoseconds since 1970, and whether more than the day is known.
    sent_at_ns: int
    has_time: bool
    #: What tells it from others of that day.
    mark: str
    size_bytes: int
    sound: NoteSound
    #: Yields the content. Raises `OSError` and `RecordingError`.
    content: Callable[[], Iterator[bytes]]

    @property
    def sent_at_s(self) -> float:
        return self.sent_at_ns / 1e9


@dataclass(slots=True)
class Findings:
    """What was found: the voice notes, and how many other files, by their extension."""

    notes: list[Note] = field(default_factory=list)
    #: Voice notes in formats that capture does not read.
    unread: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    #: Files and folders that the system does not let us read.
    denied: int = 0


def find_notes(path: Path, findings: Findings, opened: ExitStack) -> None:
    """Add what is in the folder or zip at `path` to `findings`; a zip stays open until `opened` is closed.

    Links are not followed, and hidden files and folders are left out. Raises `UsageError` when there is neither a
    folder nor a zip, `RecordingError` for a zip that is refused.
    """
    try:
        if path.is_dir():
            findings.notes += _in_folder(path, findings)
        elif not path.exists():
            raise UsageError(f"{path} does not exist", "name a folder, or the zip of an exported chat")
        elif not path.is_file() or not is_archive(path):
            raise UsageError(f"{path} is neither a folder nor a zip", "name the folder that contains it")
        else:
            archive = opened.enter_context(opened_archive(path))
            findings.notes += _in_archive(path, archive, findings)
    except OSError as error:
        raise RecordingError(f"{path} cannot be read ({error.strerror or error})", "see its permissions") from error


def _in_folder(top: Path, findings: Findings) -> Iterator[Note]:
    def deny(error: OSError) -> None:
        findings.denied += 1

    for folder, inner, names in os.walk(top, onerror=deny):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        above = Path(folder).parts
        for name in names:
            if name.startswith("."):
                continue
            recognised = _recognised(PurePosixPath(name), above, findings)
            if recognised is None:
                continue
            path = Path(folder, name)
            try:
                if (note := _note_at(path, recognised, findings)) is not None:
                    yield note
            except OSError:
                findings.denied += 1


def _recognised(name: PurePosixPath, above: tuple[str, ...], findings: Findings) -> Recognised | None:
    """Return what the name of a file says; None if it is no voice note that capture reads, which is then counted."""
    ending = name.suffix.lower()
    if ending in _ENDINGS or ending in _UNREAD:
        recognised = recognise(name.stem, above)
        if ending in _UNREAD and recognised.is_certain:
            findings.unread[ending] += 1
            return None
        if ending in _TELLING or (ending in _ENDINGS and recognised.is_certain):
            return recognised
    _count_other(ending, findings)
    return None


def _count_other(ending: str, findings: Findings) -> None:
    # A name may have a dot in the middle of a sentence.
    findings.others[ending if len(ending) <= _LONGEST_ENDING else ""] += 1


def _note_at(path: Path, recognised: Recognised, findings: Findings) -> Note | None:
    # A link to a device could be one that acts when it is opened.
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        return None
    with path.open("rb") as file:

        def read(position: int, count: int) -> bytes:
            file.seek(position)
            return file.read(count)

        sound = _voice(read, status.st_size, path.suffix, recognised, findings)
    if sound is None:
        return None
    sent_at_ns, has_time = _sent_at(recognised, status.st_mtime_ns)
    return Note(
        messenger=recognised.messenger,
        name=path.name,
        source=path,
        member=None,
        sent_at_ns=sent_at_ns,
        has_time=has_time,
        mark=recognised.mark,
        size_bytes=status.st_size,
        sound=sound,
        content=partial(_chunks, path),
    )


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _in_archive(path: Path, archive: zipfile.ZipFile, findings: Findings) -> Iterator[Note]:
    for entry in archive.infolist():
        if entry.is_dir():
            continue
        name = PurePosixPath(entry.filename)
        recognised = _recognised(name, (path.stem, *name.parts[:-1]), findings)
        if recognised is None:
            continue
        if entry.file_size > LARGEST_NOTE_BYTES and not recognised.is_certain:
            _count_other(name.suffix.lower(), findings)
            continue
        # All of it, because only that shows whether it is what its checksum promises.
        content = b"".join(content_of(path, archive, entry))

        def read(position: int, count: int, content: bytes = content) -> bytes:
            return content[position : position + count]

        sound = _voice(read, len(content), name.suffix, recognised, findings)
        if sound is None:
            continue
        sent_at_ns, has_time = _sent_at(recognised, _time_of(entry))
        yield Note(
            messenger=recognised.messenger,
            name=name.name,
            source=path,
            member=entry.filename,
            sent_at_ns=sent_at_ns,
            has_time=has_time,
            mark=recognised.mark,
            size_bytes=len(content),
            sound=sound,
            content=partial(content_of, path, archive, entry),
        )


def _voice(read: Read, size: int, ending: str, recognised: Recognised, findings: Findings) -> NoteSound | None:
    """Return what a file sounds like; None if it is no voice note, which is then counted."""
    sound = sound_of(read, size)
    if recognised.is_certain or (sound.codec, sound.channels) == ("opus", 1):
        return sound
    _count_other(ending.lower(), findings)
    return None


def _sent_at(recognised: Recognised, file_time_ns: int) -> tuple[int, bool]:
    """Return when a note was sent, and whether more than the day is known: the file's own time if its name agrees."""
    since, until = recognised.since, recognised.until
    file_time_ns = min(max(0, file_time_ns), _LATEST_NS)
    if since is None or until is None:
        return file_time_ns, True
    since_s, until_s = since.timestamp(), until.timestamp()
    if since_s <= file_time_ns / 1e9 < until_s:
        return file_time_ns, True
    return round(since_s) * 10**9, until - since < timedelta(days=1)


def _time_of(entry: zipfile.ZipInfo) -> int:
    """Return the local time in the list of a zip, in nanoseconds since 1970; the oldest that it can hold if invalid."""
    try:
        return round(datetime(*entry.date_time).timestamp()) * 10**9
    except (ValueError, OverflowError):
        return round(datetime(1980, 1, 1).timestamp()) * 10**9
