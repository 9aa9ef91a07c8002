"""Saved recordings are found in order and seen rightly, and the index changes only how long that takes."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import av
import pytest
import written
from written import Picture, Sound, write

from capture.output.locked_file import create_locked
from capture.output.naming import date_in_name, dated_name
from capture.recordings.catalogue import Entry, Index, looked_at
from capture.recordings.check import check
from capture.recordings.glance import glance
from capture.recordings.library import FoundRecording, find_recordings
from capture.recordings.overview import Glance, State, kind_of

on_posix = pytest.mark.skipif(sys.platform == "win32", reason="there are no locks")


def made(path: Path, at_s: float = 1_700_000_000.0) -> Path:
    path.write_bytes(b"x")
    os.utime(path, (at_s, at_s))
    return path


# Finding


def test_dates_in_names_come_back() -> None:
    now = datetime(2026, 11, 29, 20, 1, 2)
    for name in (dated_name("mp4", now), "Capture 2026-11-29 20.01.02 (2).ogg", "Capture 2026-11-29 20.01.02 talk.mkv"):
        assert date_in_name(name) == now
    for name in ("talk.mp4", "Capture 2026-13-29 20.01.02.mp4", "Capture 2026-11-29 20.01.023.mp4", "Capture.mp4"):
        assert date_in_name(name) is None


def test_the_newest_comes_first_by_the_date_in_its_name_or_its_own(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    oldest = made(folder / "b.mp4", datetime(2026, 1, 1).timestamp())
    # Repaired long after it was recorded.
    middle = made(folder / "Capture 2026-02-01 10.00.00.mp4", datetime(2026, 6, 1).timestamp())
    newest = made(other / "c.ogg", datetime(2026, 3, 1).timestamp())
    found = find_recordings([folder, other, folder, tmp_path / "not there", oldest])
    assert [each.path for each in found] == [newest, middle, oldest]
    assert found[1].recorded_at_s == datetime(2026, 2, 1, 10).timestamp()


def test_only_regular_files_with_a_known_extension_are_found(folder: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("there are no such files")
    kept = {made(folder / name) for name in ("a.mp4", "B.OGG", "c.gif", "\udcff\n.wav")}
    for name in (".hidden.mp4", "notes.txt", "mp4", ".ogg", "a.mp4.ledger.jsonl"):
        made(folder / name)
    (folder / "folder.mp4").mkdir()
    os.mkfifo(folder / "pipe.mp4")
    (folder / "nowhere.mp4").symlink_to(folder / "gone")
    (folder / "circle.mp4").symlink_to(folder / "circle.mp4")
    (folder / "device.mp4").symlink_to("/dev/zero")
    (folder / "link.mp4").symlink_to(folder / "a.mp4")
    assert {each.path for each in find_recordings([folder])} == kept | {folder / "link.mp4"}


# Looking


@pytest.mark.parametrize("kind", ["mp4", "mov", "mkv", "webm", "ogg", "opus", "m4a", "mp3", "flac", "wav"])
def test_a_glance_sees_what_a_check_finds(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"a.{kind}", (Sound(), Sound())[: 2 if kind in ("mp4", "mov", "mkv", "webm") else 1])
    seen, found = glance(path), check(path)
    assert (seen.state, seen.problem, seen.title) == (State.WHOLE, "", "")
    assert seen.duration_s == pytest.approx(found.duration_s, abs=0.03)
    told = [(each.kind, each.width, each.height, each.sample_rate, each.channels) for each in seen.tracks]
    assert told == [(each.kind, each.width, each.height, each.sample_rate, each.channels) for each in found.streams]
    assert [each.codec for each in seen.tracks] == [each.codec for each in found.streams]
    assert kind_of(path, seen.tracks) == ("sound" if len(seen.tracks) == 1 else "video")


@pytest.mark.parametrize("kind", ["mp4", "mkv", "ogg", "wav", "flac"])
def test_a_recording_that_was_cut_off_is_unfinished(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"cut.{kind}"
    subprocess.run([sys.executable, written.__file__, path], check=True, timeout=60)
    seen = glance(path)
    assert (seen.state, seen.problem, seen.duration_s) == (State.UNFINISHED, "it was cut off", None)


@pytest.mark.parametrize("kind", ["m4a", "ogg"])
def test_titles_and_voice_notes_are_seen(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"note.{kind}"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Grüße\x1b[2J 你好"
        stream: Any = container.add_stream("libopus" if kind == "ogg" else "aac", rate=48_000, layout="mono")
        frame = av.AudioFrame(format="flt" if kind == "ogg" else "fltp", layout="mono", samples=960)
        frame.sample_rate = 48_000
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    seen = glance(path)
    assert seen.title == "Grüße\x1b[2J 你好"
    assert kind_of(path, seen.tracks) == ("voice" if kind == "ogg" else "sound")


def test_what_is_no_recording_is_damaged(folder: Path, tmp_path: Path) -> None:
    whole = write(tmp_path / "a.mp4").read_bytes()
    contents = {
        "empty.mp4": b"",
        "text.mp3": b"Dear diary,",
        "noise.ogg": b"OggS" + bytes(range(256)) * 20,
        "early.mp4": whole[:40],
        "wrong.gif": b"\x89PNG",
        "short.webp": b"RIFF",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        seen = glance(folder / name)
        assert seen.state in (State.DAMAGED, State.UNFINISHED), name
        assert seen.problem, name
        assert seen.duration_s is None, name
    assert glance(folder / "gone.mp4").state is State.UNREADABLE
    gif = folder / "a.gif"
    gif.write_bytes(b"GIF89a\x40\x01\xc8\x00" + bytes(20))
    seen = glance(gif)
    assert (seen.state, kind_of(gif, seen.tracks)) == (State.WHOLE, "animation")
    assert [(track.width, track.height) for track in seen.tracks] == [(320, 200)]


# The index


class Looks:
    """Looks at files, and counts them."""

    def __init__(self) -> None:
        self.at: list[str] = []

    def __call__(self, path: Path) -> Glance:
        self.at.append(path.name)
        return glance(path)


def seen(folder: Path, index: Path) -> tuple[list[Entry], list[str]]:
    """Return the entries of a list, and the names of the files that were looked at for it."""
    looks, found = Looks(), find_recordings([folder])
    using = Index(index, looks)
    entries = [using.look_at(each) for each in found]
    using.save(found)
    return entries, sorted(looks.at)


@pytest.fixture
def three(folder: Path) -> Path:
    """A folder with a whole recording, one with a picture, and a damaged one."""
    write(folder / "a.ogg", (Sound(end_s=0.5),))
    write(folder / "b.mp4", (Sound(end_s=0.5),), Picture(end_s=0.5))
    (folder / "c.wav").write_bytes(b"no")
    return folder


def test_a_file_is_looked_at_once_until_it_changes(three: Path, tmp_path: Path) -> None:
    index = tmp_path / "cache" / "capture" / "index.json"
    first, looks = seen(three, index)
    assert looks == ["a.ogg", "b.mp4", "c.wav"]
    if sys.platform != "win32":
        assert stat.S_IMODE(index.stat().st_mode) == 0o600
        assert stat.S_IMODE(index.parent.stat().st_mode) == 0o700
    written_at = index.stat().st_mtime_ns
    assert seen(three, index) == (first, [])
    assert index.stat().st_mtime_ns == written_at
    before = (three / "a.ogg").stat()
    os.utime(three / "a.ogg", ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert seen(three, index)[1] == ["a.ogg"]
    (three / "c.wav").unlink()
    assert len(seen(three, index)[0]) == 2
    assert sorted(Path(key).name for key in json.loads(index.read_text())["files"]) == ["a.ogg", "b.mp4"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[" * 100_000,
        lambda text: "[]",
        lambda text: text.replace('"version": 2', '"version": 0'),
        lambda text: '{"version": 2, "files": []}',
        lambda text: text.replace('"ok"', '"fine"').replace('"damaged"', "{}"),
        lambda text: text.replace('"audio"', "7"),
        lambda text: text.replace("48000", '"fast"').replace("null", "[]"),
    ],
)
def test_a_damaged_index_changes_nothing(spoil: Any, three: Path, tmp_path: Path) -> None:
    index = tmp_path / "index.json"
    entries, _ = seen(three, index)
    text = index.read_text()
    assert spoil(text) != text
    index.write_text(spoil(text))
    again, looks = seen(three, index)
    assert again == entries
    assert "a.ogg" in looks
    assert seen(three, index) == (entries, [])


def test_an_index_that_cannot_be_kept_is_no_error(three: Path, tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("there are no pipes")
    pipe, taken = tmp_path / "pipe", tmp_path / "taken"
    os.mkfifo(pipe)
    taken.write_text("a file")
    assert len(seen(three, pipe)[0]) == 3
    assert len(seen(three, taken / "index.json")[0]) == 3


@on_posix
def test_a_running_recording_is_marked_and_not_kept_in_the_index(three: Path, tmp_path: Path) -> None:
    index = tmp_path / "index.json"
    descriptor = create_locked(three / "now.mp4")
    os.write(descriptor, (three / "b.mp4").read_bytes())
    entries, _ = seen(three, index)
    states = {entry.found.path.name: entry.glance.state for entry in entries}
    assert states["now.mp4"] is State.RECORDING
    assert "now.mp4" not in index.read_text()
    os.close(descriptor)
    entries, looks = seen(three, index)
    assert looks == ["now.mp4"]
    assert {entry.glance.state for entry in entries if entry.found.path.name == "now.mp4"} == {State.WHOLE}


def test_several_lists_at_once_leave_a_whole_index(three: Path, tmp_path: Path) -> None:
    index, found, failures = tmp_path / "index.json", find_recordings([three]), []

    def work() -> None:
        try:
            for _ in range(10):
                looked_at(found, found, index)
                assert set(json.loads(index.read_text())["files"]) == {str(each.path) for each in found}
                index.unlink(missing_ok=True)
        except FileNotFoundError:
            # Another one has just deleted it.
            pass
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "made") in ([], ["index.json"])


def test_what_was_seen_is_kept_when_a_list_is_interrupted(
    three: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(path: Path) -> Glance:
        if path.name == "b.mp4":
            raise KeyboardInterrupt
        return glance(path)

    index, found = tmp_path / "index.json", sorted(find_recordings([three]), key=lambda each: each.path)
    with monkeypatch.context() as patch:
        patch.setattr("capture.recordings.glance.glance", interrupted)
        with pytest.raises(KeyboardInterrupt):
            looked_at(found, found, index)
    assert seen(three, index)[1] == ["b.mp4", "c.wav"]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs a user whom permissions stop")
def test_a_file_that_may_not_be_read_is_said(three: Path, tmp_path: Path) -> None:
    (three / "a.ogg").chmod(0)
    entries, _ = seen(three, tmp_path / "index.json")
    assert "it cannot be read (Permission denied)" in [entry.glance.problem for entry in entries]


def test_a_recording_that_goes_while_it_is_listed_is_no_error(folder: Path, tmp_path: Path) -> None:
    gone = FoundRecording(0.0, 0, 1, folder / "gone.mp4")
    [entry] = looked_at([gone], [gone], tmp_path / "index.json")
    assert entry.glance.state is State.UNREADABLE
    assert entry.kind == "video"
