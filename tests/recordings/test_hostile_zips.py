"""A zip that was built to do harm is refused whole, in one line, and nothing is written anywhere."""

from __future__ import annotations

import io
import random
import stat
import struct
import zipfile
from collections.abc import Callable
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from capture.cli.main import main
from capture.errors import RecordingError
from capture.recordings.messengers import archive as archives
from capture.recordings.messengers.found import Findings, find_notes
from capture.recordings.messengers.sound import sound_of

#: Sound enough for a list: the first page of an Ogg/Opus file, which says that there is one channel.
GOOD = b"OggS\0\2" + bytes(8) + b"\1\0\0\0" + bytes(4) + bytes(4) + b"\1\x13" + b"OpusHead\1\1\x38\1\x80\xbb\0\0\0\0\0"

NOTE = "PTT-20231103-WA0007.opus"


def zipped(*entries: tuple[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """Return a zip of these entries, with a harmless voice note first."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        archive.writestr(NOTE, GOOD)
        for entry, content in entries:
            archive.writestr(entry, content)
    return made.getvalue()


def named(name: str) -> bytes:
    return zipped((name, GOOD))


def of_kind(kind: int) -> bytes:
    entry = zipfile.ZipInfo("PTT-20231103-WA0008.opus")
    entry.external_attr = (kind | 0o777) << 16
    return zipped((entry, b"/etc/passwd"))


def patched(made: bytes, offset: int, value: bytes, *, local: int | None = None) -> bytes:
    """Overwrite a field of the only entry in the list of files, and with `local` in the entry's own header too."""
    at = made.rindex(b"PK\1\2") + offset
    made = made[:at] + value + made[at + len(value) :]
    return made if local is None else made[:local] + value + made[local + len(value) :]


def zeros_called_a_note() -> bytes:
    """A note that claims 5 kB, in which 20 MB of zeros are packed."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(NOTE, bytes(20_000_000))
    return patched(made.getvalue(), 24, struct.pack("<I", 5000), local=22)


def overlapping() -> bytes:
    """Two entries in the list that share the bytes of one file, as the bombs do that need no nesting."""
    made = zipped(("PTT-20231103-WA0008.opus", bytes(300)))
    at = made.rindex(b"PK\1\2") + 42
    return made[:at] + struct.pack("<I", 10) + made[at + 4 :]


def wrong_checksum() -> bytes:
    made = zipped()
    at = made.index(b"OpusHead") + 12
    return made[:at] + b"\x55" + made[at + 1 :]


def too_long_a_list() -> bytes:
    """An end that claims a list of files of 2 GB."""
    made = zipped()
    at = made.rindex(b"PK\5\6") + 12
    return made[:at] + struct.pack("<I", 2_000_000_000) + made[at + 4 :]


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "a path upwards": (lambda: named("../../PTT-20231103-WA0008.opus"), "would be unpacked outside its folder"),
    "an absolute path": (lambda: named("/PTT-20231103-WA0008.opus"), "would be unpacked outside its folder"),
    "a path of Windows": (lambda: named("a\\..\\..\\b.opus"), "would be unpacked outside its folder"),
    "a drive": (lambda: named("C:\\b.opus"), "would be unpacked outside its folder"),
    "a path upwards among others": (lambda: named("../readme.txt"), "would be unpacked outside its folder"),
    "control characters": (lambda: named("\x1b[2Jb.opus"), "has control characters in its name"),
    "a zero in a name": (
        lambda: named("aXb.opus").replace(b"aXb.opus", b"a\0b.opus"),
        "has control characters in its name",
    ),
    "a link": (lambda: of_kind(stat.S_IFLNK), "is a link or a device"),
    "a device": (lambda: of_kind(stat.S_IFCHR), "is a link or a device"),
    "an archive inside": (lambda: named("more.zip"), "is an archive inside the archive"),
    "encryption": (lambda: patched(zipped(), 8, b"\1\0", local=6), "is encrypted"),
    "a bomb": (
        lambda: zipped(("b.opus", bytes(5_000_000)), compression=zipfile.ZIP_DEFLATED),
        "claims to unpack to 5,000,000 bytes, from ",
    ),
    "many small bombs": (
        lambda: zipped(*((f"{n}.txt", bytes(900_000)) for n in range(9)), compression=zipfile.ZIP_DEFLATED),
        "it claims to unpack to 8,100,",
    ),
    "a bomb that claims little": (zeros_called_a_note, "is damaged"),
    "a bomb of another kind": (
        lambda: zipped(("b.opus", bytes(900_000)), compression=zipfile.ZIP_BZIP2),
        "is packed in a way that no messenger uses",
    ),
    "shared bytes": (overlapping, "shares its bytes with another file"),
    "a wrong checksum": (wrong_checksum, "is damaged (Bad CRC-32"),
    "a long list": (too_long_a_list, "its list of files takes 2,000,000,000 bytes"),
}


def run(*arguments: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(arguments)
    return code, out.getvalue(), err.getvalue()


@pytest.mark.parametrize("what", HOSTILE)
def test_it_is_refused_whole(what: str, own_home: Path) -> None:
    make, reason = HOSTILE[what]
    path = own_home / "chat.zip"
    path.write_bytes(make())
    code, out, err = run("import", str(path), "--copy")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"capture: {path} was refused: ")
    assert reason in err
    assert err.isprintable() or err[:-1].isprintable()
    assert list(own_home.iterdir()) == [path]


def test_too_many_files_are_refused(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_MOST_ENTRIES", 3)
    path = own_home / "chat.zip"
    path.write_bytes(zipped(*((f"{number}.txt", b"") for number in range(3))))
    assert run("import", str(path))[0] == 1


def test_a_large_note_is_refused(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "LARGEST_NOTE_BYTES", 40)
    path = own_home / "chat.zip"
    path.write_bytes(zipped())
    code, _, err = run("import", str(path))
    assert code == 1
    assert "more than a voice note has" in err


@pytest.mark.parametrize("content", [b"", b"PK\5\6", b"PK\3\4" + bytes(100), zipped()[:-30], zipped()[30:]])
def test_what_is_no_zip_is_said(content: bytes, own_home: Path) -> None:
    path = own_home / "chat.zip"
    path.write_bytes(content)
    code, out, err = run("import", str(path))
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"capture: {path} ")


def test_damage_anywhere_is_refused_or_listed(tmp_path: Path) -> None:
    rng = random.Random(1)
    whole = zipped(("audio_1@03-11-2023_10-22-33.ogg", GOOD * 3), compression=zipfile.ZIP_DEFLATED)
    path = tmp_path / "chat.zip"
    outcomes = set()
    for _ in range(500):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 6)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged[: rng.choice((len(damaged), rng.randrange(len(damaged))))])
        with ExitStack() as opened:
            try:
                find_notes(path, Findings(), opened)
                outcomes.add(0)
            except RecordingError as error:
                outcomes.add(error.exit_code)
    assert outcomes == {0, 1}


@pytest.mark.parametrize(
    "whole",
    [
        GOOD,
        b"\xff\xf1\x50\x40\x24\xdf\xfc" + bytes(290),
        struct.pack(">I4sI4s", 116, b"moov", 108, b"mvhd") + bytes(100),
    ],
    ids=["Ogg", "AAC", "MP4"],
)
def test_a_note_that_ends_anywhere_has_no_length_or_a_sensible_one(whole: bytes) -> None:
    for end in range(len(whole) + 1):
        start = whole[:end]

        def read(position: int, count: int, start: bytes = start) -> bytes:
            return start[position : position + count]

        found = sound_of(read, end)
        assert found.duration_s is None or 0.0 <= found.duration_s < 1.0
