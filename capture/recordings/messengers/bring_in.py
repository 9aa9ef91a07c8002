"""Copies voice notes into the folder for recordings: under readable names, with their dates, once each by content."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from capture.errors import CaptureError, OutputError, RecordingError
from capture.formats import CONTAINERS, container_of
from capture.output.file_size import limit_remedy
from capture.output.free_name import under_free_name
from capture.recordings.headers.bounds import TRUST
from capture.recordings.messengers.found import Note
from capture.recordings.scratch import scratch_folder
from capture.strict_json import to_json
from capture.system.durable import sync_content
from capture.system.private_files import make_folder, read_small, replace

__all__ = ["Brought", "bring_in", "log_path"]

#: The endings that a copy may have, by FFmpeg's name for its container: the first, unless it has another of these.
#: Everything else becomes a file of another kind.
_ENDINGS: Final = {
    "ogg": ("ogg", "opus"),
    "mov": ("m4a",),
    "mp3": ("mp3",),
    "wav": ("wav",),
    "flac": ("flac",),
}

#: The codecs that an M4A of capture's may have.
_OF_M4A: Final = ("aac", "alac")

_VERSION: Final = 1

#: Room for 100,000 converted notes.
_LOG_LIMIT_BYTES: Final = 32_000_000


class Brought(NamedTuple):
    """What became of a voice note: the path of its copy, or an error that says why there is none."""

    note: Note
    path: Path | None
    #: Whether the same content was there before.
    was_there: bool = False
    #: Whether the copy is a file of another kind.
    is_converted: bool = False
    error: CaptureError | None = None


def log_path() -> Path:
    """Return where the list of converted notes is; the file and its folder need not exist."""
    import platformdirs

    return platformdirs.user_state_path("capture", appauthor=False) / "imported.json"


def bring_in(notes: Sequence[Note], folder: Path, form: str | None, log: Path) -> Iterator[Brought]:
    """Copy each of `notes` into `folder`, which is created, and yield what became of it.

    With a `form`, `ogg` or `m4a`, each is converted; `log` is the file that remembers which content was. A note that
    cannot be copied leaves nothing behind and the others go on. Raises `OutputError` when the folder cannot be written.
    """
    try:
        make_folder(folder)
        present = _Present(folder)
    except OSError as error:
        raise _unwritten(folder, error) from error
    converted = _Log(log)
    try:
        with scratch_folder(folder) as scratch:
            for note in notes:
                try:
                    yield _brought(note, folder, form, scratch, present, converted)
                except OSError as error:
                    raise _unwritten(folder, error) from error
                except RecordingError as error:
                    yield Brought(note, None, error=error)
    finally:
        converted.save()


def _brought(note: Note, folder: Path, form: str | None, scratch: Path, present: _Present, log: _Log) -> Brought:
    if note.sound.is_damaged:
        raise RecordingError(f"{note.name} was not copied: {note.sound.problem}")
    ending = _ending(note)
    wanted = form or ending or ("m4a" if note.sound.codec == "aac" else "ogg")
    copy = made = scratch / f"note.{ending or 'other'}"
    try:
        checksum = _copied(note, copy)
        if (same := present.find(copy, checksum) or log.find(checksum, wanted)) is not None:
            return Brought(note, same, was_there=True)
        if not ending or CONTAINERS[wanted].format != container_of(copy).format:
            made = _converted(note, copy, wanted)
        # The list shows the date of a file whose name does not begin as those of recordings do.
        os.utime(made, ns=(note.sent_at_ns, note.sent_at_ns))
        path = under_free_name(made, folder / f"{_readable(note)}.{wanted}")
    finally:
        for left in scratch.glob("note.*"):
            left.unlink(missing_ok=True)
    if made == copy:
        present.add(path, checksum)
    else:
        log.add(checksum, wanted, path)
    return Brought(note, path, is_converted=made != copy)


def _ending(note: Note) -> str:
    """Return the extension under which capture can keep the file as it is; "" if there is none."""
    sound = note.sound
    if sound.form == "mov" and (sound.codec not in _OF_M4A or note.name.lower().endswith((".3gp", ".3ga"))):
        return ""
    ending = note.name.rpartition(".")[2].lower()
    endings = _ENDINGS.get(sound.form, ("",))
    return ending if ending in endings else endings[0]


def _copied(note: Note, path: Path) -> str:
    """Write the content of a note to `path`, private and on the disk, and return its checksum."""
    digest = hashlib.sha256()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        for chunk in _readable_content(note):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        sync_content(file.fileno())
    return digest.hexdigest()


def _readable_content(note: Note) -> Iterator[bytes]:
    """Yield the content; an error of reading becomes a `RecordingError`, so that it is not taken for one of writing."""
    try:
        yield from note.content()
    except OSError as error:
        raise RecordingError(
            f"{note.name} cannot be read ({error.strerror or error})", "see its permissions"
        ) from error


def _converted(note: Note, copy: Path, form: str) -> Path:
    # They load FFmpeg.
    from capture.recordings.messengers.packing import packed
    from capture.recordings.transcode import convert

    try:
        return convert(copy if _ending(note) else packed(copy, note.sound), form, limits=True)
    except CaptureError as error:
        # The user knows the note by its own name, and cannot lift the limits here.
        message = error.message.replace(str(copy), note.name).removesuffix(f": {TRUST}")
        raise RecordingError(f"{note.name} was not converted: {message}", error.remedy) from error


def _readable(note: Note) -> str:
    """Return the name of the copy, without its extension; nothing in it comes from outside but digits."""
    at = datetime.fromtimestamp(note.sent_at_s)
    when = f"{at:%Y-%m-%d %H.%M.%S}" if note.has_time else f"{at:%Y-%m-%d} {note.mark}".rstrip()
    return f"{note.messenger or 'Voice note'} {when}"


class _Present:
    """The files in a folder, found by their content. Only those of the same size are ever read."""

    def __init__(self, folder: Path) -> None:
        """Raises `OSError`."""
        self._paths: dict[int, list[Path]] = {}
        self._checksums: dict[Path, str] = {}
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    self._paths.setdefault(entry.stat(follow_symlinks=False).st_size, []).append(Path(entry.path))

    def find(self, path: Path, checksum: str) -> Path | None:
        """Return the file that has the content of the one at `path`, whose checksum is given."""
        for other in self._paths.get(path.stat().st_size, ()):
            with suppress(OSError):
                if other not in self._checksums:
                    with other.open("rb") as file:
                        self._checksums[other] = hashlib.file_digest(file, "sha256").hexdigest()
                if self._checksums[other] == checksum:
                    return other
        return None

    def add(self, path: Path, checksum: str) -> None:
        self._paths.setdefault(path.stat().st_size, []).append(path)
        self._checksums[path] = checksum


class _Log:
    """Remembers which content was converted to which file. The file may be deleted: then notes are converted again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = _read(path)
        self._changed = False

    def find(self, checksum: str, form: str) -> Path | None:
        """Return the file to which this content was converted, if it is still there."""
        name = self._files.get(f"{checksum}:{form}")
        return Path(name) if isinstance(name, str) and os.path.lexists(name) else None

    def add(self, checksum: str, form: str, path: Path) -> None:
        self._files[f"{checksum}:{form}"] = str(path)
        self._changed = True

    def save(self) -> None:
        """Write the file if something was added. That it cannot be written is no error."""
        if self._changed:
            with suppress(OSError):
                make_folder(self._path.parent)
                replace(self._path, to_json({"version": _VERSION, "files": self._files}).encode())


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_small(path, _LOG_LIMIT_BYTES))
        files = content["files"] if content["version"] == _VERSION else {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return files if isinstance(files, dict) else {}


def _unwritten(folder: Path, error: OSError) -> OutputError:
    remedy = limit_remedy(error, folder, "check its free space and its permissions")
    return OutputError(f"{folder} cannot be written ({error.strerror or error})", remedy)
