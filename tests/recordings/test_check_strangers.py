"""`check` on files that are no recordings, with odd names or with random damage."""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.errors import UsageError
from capture.formats import CONTAINERS
from capture.recordings import check as check_module
from capture.recordings.check import check
from capture.recordings.contents import read_contents
from capture.recordings.structure import Structure

EXTENSIONS = tuple(CONTAINERS)

#: A fuzzed file is read in milliseconds. A check that takes this long would take even longer with a longer file.
LIMIT_S = 5.0


# Files that are not recordings


def test_an_empty_file_is_reported_as_empty(tmp_path: Path) -> None:
    path = tmp_path / "nothing.mp4"
    path.touch()
    report = check(path)
    assert report.problems == ("the file is empty",)
    assert not report.plays


@pytest.mark.parametrize("extension", [*EXTENSIONS, "txt", "m3u8", ""])
@pytest.mark.parametrize(
    "content",
    [
        random.Random(1).randbytes(100_000),
        b"Dear diary, nothing was recorded today.\n" * 100,
        b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9,\nwhole.mp4\n#EXT-X-ENDLIST\n",
        b"\0" * 10_000,
        b"\xff" * 10_000,
    ],
    ids=["noise", "text", "playlist", "zeros", "ones"],
)
def test_other_files_are_not_recordings(whole: dict[str, Path], extension: str, content: bytes, tmp_path: Path) -> None:
    shutil.copy(whole["mp4"], tmp_path)
    path = tmp_path / f"other.{extension}"
    path.write_bytes(content)
    report = check(path)
    assert (report.ok, report.plays, report.streams) == (False, False, ())
    assert len(report.problems) == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing.mp4", "does not exist"),
        ("missing/folder.mp4", "does not exist"),
        ("file.txt/inside.mp4", "does not exist"),
        ("", "is a folder"),
        ("nul\0.mp4", "cannot be opened"),
        ("x" * 300 + ".mp4", "cannot be opened"),
        ("lone\ud800.mp4", "cannot be opened"),
        ("pipe", "is not a regular file"),
    ],
)
def test_a_name_without_a_file_is_a_usage_error(name: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "file.txt").touch()
    if sys.platform != "win32":
        os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match=said) as caught:
        check(tmp_path / name)
    assert caught.value.remedy
    assert "\0" not in str(caught.value)


def test_an_unreadable_file_is_reported(whole: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> Structure:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(check_module, "read_structure", refuse)
    assert check(whole["mp4"]).problems == ("the file cannot be read: Permission denied",)


def test_a_relative_name_may_contain_a_colon(
    whole: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(whole["ogg"], tmp_path / "note-12:30.ogg")
    monkeypatch.chdir(tmp_path)
    report = check(Path("note-12:30.ogg"))
    assert report.ok
    assert report.path == tmp_path / "note-12:30.ogg"
    assert read_contents(Path("note-12:30.ogg"), listen=False).tracks


def test_a_name_may_be_invalid_utf_8(whole: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xe9t\xe9.ogg")
    shutil.copy(whole["ogg"], path)
    report = check(path)
    assert report.ok
    json.dumps(report.as_json())


def test_metadata_may_be_invalid_utf_8(whole: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "label.wav"
    content = whole["wav"].read_bytes()
    assert b"Lavf" in content
    path.write_bytes(content.replace(b"Lavf", b"\xff\xe9\xfd\xfc"))
    assert check(path).ok


# Random damage


@dataclass(frozen=True)
class Damage:
    """Damages a file. Places are fractions of its length, so that an example reads well and fits every file."""

    kind: str
    places: tuple[float, ...]
    byte: int

    def of(self, content: bytes) -> bytes:
        first, last = (round(place * (len(content) - 1)) for place in (min(self.places), max(self.places)))
        if self.kind == "cut":
            return content[:first]
        if self.kind == "piece gone":
            return content[:first] + content[last + 1 :]
        changed = bytearray(content)
        reach = {"bytes": len(content), "first bytes": 1_000, "last bytes": -1_000}[self.kind]
        for place in self.places:
            changed[round(place * (reach - 1)) if reach > 0 else round(place * reach) - 1] = self.byte
        return bytes(changed)


damages = st.builds(
    Damage,
    st.sampled_from(["cut", "piece gone", "bytes", "first bytes", "last bytes"]),
    st.lists(st.floats(0, 1), min_size=2, max_size=20).map(tuple),
    st.integers(0, 255),
)


@pytest.mark.parametrize("extension", EXTENSIONS)
@settings(max_examples=60)
@given(closed=st.booleans(), damage=damages)
def test_any_damage_still_gives_a_report(
    whole: dict[str, Path], killed: dict[str, Path], extension: str, tmp_path: Path, closed: bool, damage: Damage
) -> None:
    undamaged = (whole if closed else killed)[extension].read_bytes()
    path = tmp_path / f"damaged.{extension}"
    path.write_bytes(damage.of(undamaged))
    begin_s = time.process_time()
    report = check(path)
    assert time.process_time() - begin_s < LIMIT_S
    json.dumps(report.as_json(), allow_nan=False)
    # An MP3 that lost its table of contents looks like one that never had any: nothing shows that frames are missing.
    # A FLAC frame that lost a byte still starts like one; only decoding all of it would show the damage.
    if damage.kind == "cut" or (damage.kind == "piece gone" and extension not in ("mp3", "flac")):
        assert not report.ok


@settings(max_examples=100)
@given(
    start=st.sampled_from(
        [b"", b"\0\0\0\x18ftypmp42", b"\x1aE\xdf\xa3", b"OggS", b"RIFF\0\0\0\0WAVE", b"fLaC", b"ID3"]
    ),
    rest=st.binary(max_size=300),
)
def test_any_bytes_give_a_report(start: bytes, rest: bytes, tmp_path: Path) -> None:
    path = tmp_path / "anything.bin"
    path.write_bytes(start + rest)
    report = check(path)
    assert (report.ok, report.plays) == (False, False)
