"""Opens a zip that came from elsewhere, and refuses it whole if it was built to do harm.

Nothing is ever unpacked under a name that the zip chose. A zip that tries is refused all the same, before any of it is
listed: it was made to do harm, so its other content is not trusted either.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from capture.errors import RecordingError

__all__ = ["LARGEST_NOTE_BYTES", "content_of", "is_archive", "opened_archive"]

#: A chat of years has some ten thousand files.
_MOST_ENTRIES: Final = 100_000

#: The most bytes of the archive's list. zipfile reads it whole and makes an object of about 1 kB from every 46 bytes.
_LARGEST_DIRECTORY_BYTES: Final = 16_000_000

#: Text shrinks to a tenth, sound and pictures hardly; zeros to a thousandth.
_MOST_TIMES_LARGER: Final = 100

#: Smaller files may shrink by more.
_LEAST_BOMB_BYTES: Final = 1_000_000

#: Eight hours of a voice note.
LARGEST_NOTE_BYTES: Final = 64_000_000

_CHUNK_BYTES: Final = 65_536

_ARCHIVES: Final = frozenset({".zip", ".7z", ".rar", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".lzma"})
_DRIVE: Final = re.compile("[A-Za-z]:")
_LOCAL_HEADER_BYTES: Final = 30
_ENCRYPTED: Final = 0x01

#: The end of the list of files, followed by a comment of up to 65,535 bytes; and its counterpart with larger numbers.
_END: Final = struct.Struct("<4s4H2LH")
_LONGEST_COMMENT: Final = 65_535
_LOCATOR: Final = struct.Struct("<4sLQL")
_LONG_END: Final = struct.Struct("<4sQ2H2L4Q")

#: What zipfile raises about content that is not as it should be.
_UNREADABLE: Final = (
    *(zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error, UnicodeError),
    *(ValueError, IndexError, OverflowError),
)


def is_archive(path: Path) -> bool:
    """Whether the file at `path` is a zip by its name, or by its first bytes. Raises `OSError`."""
    with path.open("rb") as file:
        return path.suffix.lower() == ".zip" or file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


@contextmanager
def opened_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open the zip at `path` for reading. Raises `RecordingError` for one that is refused or damaged, `OSError`."""
    with path.open("rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size
        if (listed_bytes := _directory_bytes(file, size_bytes)) > _LARGEST_DIRECTORY_BYTES:
            raise _refused(path, f"its list of files takes {listed_bytes:,} bytes")
        try:
            archive = zipfile.ZipFile(file)
        except _UNREADABLE as error:
            raise RecordingError(f"{path} is not a zip, or is damaged ({error})", "get it once more") from error
        with archive:
            if reason := _harm_in(archive, size_bytes):
                raise _refused(path, reason)
            yield archive


def content_of(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield the content of one entry of the zip at `path`, at most `LARGEST_NOTE_BYTES`.

    Raises `RecordingError` when it is not what the zip promises: its size, and at its end its checksum.
    """
    name = _shown(entry.filename)
    if max(entry.file_size, entry.compress_size) > LARGEST_NOTE_BYTES:
        raise _refused(path, f"{name} claims {entry.file_size:,} bytes, more than a voice note has")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # The others of zipfile unpack without a limit.
        raise _refused(path, f"{name} is packed in a way that no messenger uses")
    try:
        with archive.open(entry) as content:
            # Read as a whole, all of it would be unpacked before it is cut to the size that it claims.
            while chunk := content.read(_CHUNK_BYTES):
                yield chunk
    except _UNREADABLE as error:
        raise _refused(path, f"{name} is damaged ({error})") from error


def _directory_bytes(file: BinaryIO, size_bytes: int) -> int:
    """Return how long the list of files is by the zip's own account; 0 if that is not found, as `zipfile` will say."""
    start = max(0, size_bytes - _LONGEST_COMMENT - _END.size - _LOCATOR.size)
    file.seek(start)
    tail = file.read()
    file.seek(0)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _END.size > len(tail):
        return 0
    listed_bytes: int = _END.unpack_from(tail, at)[5]
    if at >= _LOCATOR.size and tail[at - _LOCATOR.size :].startswith(b"PK\x06\x07"):
        file.seek(min(_LOCATOR.unpack_from(tail, at - _LOCATOR.size)[2], size_bytes))
        end = file.read(_LONG_END.size)
        file.seek(0)
        if len(end) == _LONG_END.size:
            listed_bytes = max(listed_bytes if listed_bytes != 0xFFFFFFFF else 0, _LONG_END.unpack(end)[8])
    return listed_bytes


def _harm_in(archive: zipfile.ZipFile, size_bytes: int) -> str:
    """Return why the zip is refused, as a clause; "" if it is not. Looks at its list of files only."""
    entries = archive.infolist()
    if len(entries) > _MOST_ENTRIES:
        return f"it has {len(entries):,} files, more than {_MOST_ENTRIES:,}"
    for entry in entries:
        if reason := _harm_of(entry):
            return f"{_shown(entry.orig_filename)} {reason}"
    claimed = sum(entry.file_size for entry in entries)
    if claimed > max(_LEAST_BOMB_BYTES, _MOST_TIMES_LARGER * size_bytes):
        return f"it claims to unpack to {claimed:,} bytes, from {size_bytes:,}"
    end = 0
    for entry in sorted(entries, key=lambda each: each.header_offset):
        if entry.header_offset < end:
            return f"{_shown(entry.orig_filename)} shares its bytes with another file in it"
        end = entry.header_offset + _LOCAL_HEADER_BYTES + entry.compress_size
    return ""


def _harm_of(entry: zipfile.ZipInfo) -> str:
    # What `filename` has is cut off at a zero.
    name = entry.orig_filename
    if any(unicodedata.category(char) == "Cc" for char in name):
        return "has control characters in its name"
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or not parts[0] or _DRIVE.match(name):
        return "would be unpacked outside its folder"
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or a device"
    if entry.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if Path(name).suffix.lower() in _ARCHIVES:
        return "is an archive inside the archive"
    if entry.file_size > max(_LEAST_BOMB_BYTES, _MOST_TIMES_LARGER * entry.compress_size):
        return f"claims to unpack to {entry.file_size:,} bytes, from {entry.compress_size:,}"
    return ""


def _refused(path: Path, reason: str) -> RecordingError:
    return RecordingError(f"{path} was refused: {reason}", "if you trust it, unpack it and import the folder")


def _shown(name: str) -> str:
    return repr(name if len(name) <= 60 else f"{name[:60]}…")
