"""The default folders and names of recordings."""

from __future__ import annotations

import itertools
import os
import stat
from datetime import datetime
from pathlib import Path

import pytest
from lettered import LETTERS

from capture.errors import OutputError, UsageError
from capture.formats import CONTAINERS
from capture.output.naming import candidates, default_path, fitted, ledger_of, next_free, recordings_folder

NOW = datetime(2024, 3, 9, 7, 5, 1, 999_999)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a new user's home, with no folder in it."""
    for name in [name for name in os.environ if name.startswith("XDG_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("extension", CONTAINERS)
def test_video_goes_to_the_videos_folder_and_sound_to_the_music_folder(extension: str, home: Path) -> None:
    path = default_path(extension, now=NOW)
    assert path.name == f"Capture 2024-03-09 07.05.01.{extension}"
    assert path.parent == recordings_folder(extension)
    assert path.parent.name == "Captures"
    assert path.is_relative_to(home)
    assert path.parent.is_dir()
    assert not path.exists()
    kind = "Videos" if CONTAINERS[extension].holds_video else "Music"
    assert path.parent.parent.name == kind


def test_the_users_own_folders_are_used(home: Path) -> None:
    (home / ".config").mkdir()
    (home / ".config" / "user-dirs.dirs").write_text('XDG_VIDEOS_DIR="$HOME/Filme"\nXDG_MUSIC_DIR="$HOME/Musik"\n')
    assert recordings_folder("mkv") == home / "Filme" / "Captures"
    assert recordings_folder("opus") == home / "Musik" / "Captures"


def test_an_extension_may_have_a_dot(home: Path) -> None:
    assert default_path(".mp4", now=NOW) == default_path("mp4", now=NOW)
    assert recordings_folder(".ogg") == recordings_folder("ogg")


@pytest.mark.parametrize("extension", ["", ".", "avi", "txt"])
def test_an_unknown_extension_is_a_usage_error(extension: str, home: Path) -> None:
    with pytest.raises(UsageError, match=r" one of \.mp4, "):
        default_path(extension, now=NOW)
    assert list(home.iterdir()) == []


def test_a_new_folder_is_private() -> None:
    before = os.umask(0)
    try:
        folder = default_path("mp4", now=NOW).parent
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_an_existing_folder_keeps_its_permissions(home: Path) -> None:
    folder = recordings_folder("mp4")
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    default_path("mp4", now=NOW)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_names_taken_in_the_same_second_are_numbered() -> None:
    names = []
    for _ in range(4):
        path = default_path("mp4", now=NOW)
        path.touch(exist_ok=False)
        names.append(path.name)
    stem = "Capture 2024-03-09 07.05.01"
    assert names == [f"{stem}.mp4", f"{stem} (2).mp4", f"{stem} (3).mp4", f"{stem} (4).mp4"]
    assert default_path("mkv", now=NOW).name == f"{stem}.mkv"


def test_a_free_number_is_used_again() -> None:
    paths = list(itertools.islice(candidates(default_path("mp4", now=NOW)), 3))
    for path in (paths[0], paths[2]):
        path.touch()
    assert default_path("mp4", now=NOW) == paths[1]


def test_a_broken_link_counts_as_a_taken_name(tmp_path: Path) -> None:
    path = tmp_path / "talk.mp4"
    path.symlink_to(tmp_path / "gone.mp4")
    assert next_free(path) == tmp_path / "talk (2).mp4"


@pytest.mark.parametrize(
    ("name", "second"), [("talk.mp4", "talk (2).mp4"), ("a.b.mp4", "a.b (2).mp4"), ("talk (2).mp4", "talk (2) (2).mp4")]
)
def test_the_number_goes_before_the_extension(name: str, second: str, tmp_path: Path) -> None:
    first_two = itertools.islice(candidates(tmp_path / name), 2)
    assert list(first_two) == [tmp_path / name, tmp_path / second]


def test_the_caller_can_choose_the_folder(tmp_path: Path) -> None:
    path = default_path("ogg", now=NOW, folder=tmp_path / "notes" / "mine")
    assert path == tmp_path / "notes" / "mine" / "Capture 2024-03-09 07.05.01.ogg"
    assert path.parent.is_dir()


@pytest.mark.parametrize("in_the_way", ["Videos", "Videos/Captures"])
def test_a_file_in_place_of_the_folder_is_reported(in_the_way: str, home: Path) -> None:
    (home / in_the_way).parent.mkdir(exist_ok=True)
    (home / in_the_way).touch()
    with pytest.raises(OutputError, match="cannot create the folder") as caught:
        default_path("mp4", now=NOW)
    assert str(recordings_folder("mp4")) in str(caught.value)
    assert caught.value.exit_code == 1


def test_a_name_that_gets_too_long_is_cut_between_letters(tmp_path: Path) -> None:
    short = tmp_path / "out.mp4"
    assert fitted(short, ".end", ".") == tmp_path / ".out.mp4.end"
    # 2 bytes for each ü: one of the two names would be cut inside a letter.
    names = {fitted(tmp_path / f"{'ü' * 124}{letter}.mp4", ".ledger.jsonl").name for letter in ("a", "bb", "cc")}
    assert len(names) == 3
    for name in names:
        assert 254 <= len(name.encode()) <= 255
        assert name.startswith("ü" * 100)
        assert name.endswith(".ledger.jsonl")
        (tmp_path / name).touch()


@pytest.mark.parametrize("letter", LETTERS)
def test_a_long_name_is_cut_between_letters_as_readers_see_them(letter: str, tmp_path: Path) -> None:
    size_bytes = len(letter.encode())
    for before in ("", "a", "ab", "abc"):
        # `~`, a checksum of eight digits and ` (2).mp4` follow.
        count = (255 - 9 - 8 - len(before)) // size_bytes
        long = tmp_path / (before + letter * 130)
        assert fitted(long, " (2).mp4").name.partition("~")[0] == before + letter * count


def test_the_next_free_name_of_the_longest_one_exists_too(tmp_path: Path) -> None:
    path = tmp_path / f"{'x' * 251}.mp4"
    for _ in range(12):
        next_free(path).touch()
    assert len(list(tmp_path.iterdir())) == 12
    assert all(made.suffix == ".mp4" for made in tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "pathconf"), reason="only POSIX says how long a name may be")
def test_the_file_system_says_how_long_a_name_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pathconf", lambda folder, name: 143)
    assert len(ledger_of(tmp_path / f"{'x' * 139}.mp4").name) == 143
