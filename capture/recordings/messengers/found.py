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
from capture.recordings.messengers.names import Recognised, is_attachment, recognise
from capture.recordings.messengers.note_sound import NoteSound, Read
from capture.recordings.messengers.sound import sound_of

__all__ = ["HOW_TO_EXPORT", "Findings", "Note", "find_notes"]

#: The extensions of voice notes whose content tells what they are (`NoteSound.is_speech`). Telegram writes `.oga`,
#: Messages `.caf`, and older phones `.amr`, or that in a `.3gp`.
_TELLING: Final = frozenset({".opus", ".ogg", ".oga", ".caf", ".amr", ".awb", ".3gp", ".3ga"})

#: Those of others, which need a name that tells. Signal writes `.aac`, Facebook `.mp4` without a picture.
_ENDINGS: Final = _TELLING | {".m4a", ".qta", ".aac", ".mp3", ".wav", ".flac", ".wma", ".mp4"}

#: Codecs that FFmpeg does not decode: of WeChat, and of calls.
_UNREAD: Final = frozenset({"silk", "evs"})

#: How Android's Signal names its backups.
_BACKUP: Final = ".backup"

#: What the attachments of Signal Desktop may be besides sound, when they are not encrypted; by their first bytes.
_OTHER_KINDS: Final = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"%PDF", b"PK\x03\x04", b"\x1aE\xdf\xa3")

#: Encrypted, they are a multiple of this long.
_CIPHER_BLOCK_BYTES: Final = 16

ENCRYPTED: Final = "Signal encrypts it"
HOW_TO_EXPORT: Final = "link Signal Desktop to the phone, export from there with signal-export (pipx), and import that"

_LONGEST_ENDING: Final = 6

_CHUNK_BYTES: Final = 1 << 20

#: The year 2000.
_EARLIEST_S: Final = 946_684_800

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
    #: Voice notes that FFmpeg does not decode.
    unread: Counter[str] = field(default_factory=Counter)
    #: Backups and attachments of Signal that only Signal can read.
    encrypted: Counter[str] = field(default_factory=Counter)
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
        elif path.is_file() and _is_backup(PurePosixPath(path.name)):
            raise RecordingError(f"{path} cannot be read: {ENCRYPTED}", HOW_TO_EXPORT)
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
    """Return what the name of a file says; None if it is no voice note, which is then counted."""
    ending = name.suffix.lower()
    if ending in _ENDINGS or is_attachment(name.name, above):
        recognised = recognise(name.stem, above)
        if ending in _TELLING or not ending or recognised.is_certain:
            return recognised
    if _is_backup(name):
        findings.encrypted["backup"] += 1
        return None
    _count_other(ending, findings)
    return None


def _is_backup(name: PurePosixPath) -> bool:
    return name.suffix.lower() == _BACKUP and name.stem.lower().startswith("signal")


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
    sent_at_ns, has_time = _sent_at(recognised, sound, status.st_mtime_ns)
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
        sent_at_ns, has_time = _sent_at(recognised, sound, _time_of(entry))
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
    """Return what a file sounds like; None if it is no voice note, or none that can be decoded: it is then counted."""
    sound = sound_of(read, size)
    if sound.codec in _UNREAD:
        findings.unread[f"{ending.lower()} ({sound.codec.upper()})"] += 1
        return None
    if not ending:
        return _attachment(sound, read, size, findings)
    if (recognised.is_certain and not sound.has_picture) or sound.is_speech:
        return sound
    _count_other(ending.lower(), findings)
    return None


def _attachment(sound: NoteSound, read: Read, size: int, findings: Findings) -> NoteSound | None:
    """Return what an attachment of Signal Desktop sounds like, if Signal sends voices in such a form."""
    if sound.is_speech or (sound.codec == "aac" and sound.duration_s and not sound.has_picture):
        return sound
    if not sound.form and size % _CIPHER_BLOCK_BYTES == 0 and not read(0, 8).startswith(_OTHER_KINDS):
        findings.encrypted["attachment"] += 1
    else:
        _count_other("", findings)
    return None


def _sent_at(recognised: Recognised, sound: NoteSound, file_time_ns: int) -> tuple[int, bool]:
    """Return when a note was sent, and whether more than the day is known.

    The time within the container, or else that of the file, counts if the name agrees.
    """
    since, until = recognised.since, recognised.until
    times_ns = [min(max(0, file_time_ns), _LATEST_NS)]
    recorded_at_s = sound.recorded_at_s
    # A clock that was never set says 1970 or 1904.
    if recorded_at_s is not None and _EARLIEST_S <= recorded_at_s <= _LATEST_NS / 1e9:
        times_ns.insert(0, round(recorded_at_s) * 10**9)
    if since is None or until is None:
        return times_ns[0], True
    since_s, until_s = since.timestamp(), until.timestamp()
    for time_ns in times_ns:
        if since_s <= time_ns / 1e9 < until_s:
            return time_ns, True
    return round(since_s) * 10**9, until - since < timedelta(days=1)


def _time_of(entry: zipfile.ZipInfo) -> int:
    """Return the local time in the list of a zip, in nanoseconds since 1970; the oldest that it can hold if invalid."""
    try:
        return round(datetime(*entry.date_time).timestamp()) * 10**9
    except (ValueError, OverflowError):
        return round(datetime(1980, 1, 1).timestamp()) * 10**9
