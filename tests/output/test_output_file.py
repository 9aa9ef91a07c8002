"""The disk fills up while capture records, finishes or saves: the content so far becomes a finished file."""

from __future__ import annotations

import errno
import json
import os
import re
import sys
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import pytest
from av.stream import Stream
from conftest import RunCapture
from disks import block_disk, fill, small_disk
from reopened import sound
from running import Recorder, eventually, kinds
from test_muxer import Writing, heard_s, open_muxer

from capture.codecs.audio_encoder import AudioEncoder
from capture.codecs.video_encoder import VideoEncoder
from capture.errors import DiskFullError, NotReadyError
from capture.formats import CONTAINERS
from capture.media import SAMPLE_RATE, as_fraction
from capture.output.chapters import Chapter
from capture.output.disk_space import check_room, free_bytes
from capture.output.output_file import OutputFile
from capture.output.reserved_file import ReservedFile
from capture.recordings.check import check
from capture.recordings.repair import repair

if sys.platform == "win32":
    pytest.skip("a test cannot mount a disk there", allow_module_level=True)

MB: Final = 1_000_000

#: Only one of several recorders gets the hotkeys.
PATTERN: Final = ("--source", "pattern", "--fps", "10", "--no-hotkeys")

#: The formats recorded at the same time on one disk, and how many bytes other programs leave on it.
FILLED: Final[dict[tuple[str, ...], int]] = {
    ("mp4", "m4a", "wav"): 0,
    ("webm", "mov", "mp3"): 0,
    ("mkv", "ogg", "flac"): 500_000,
}


def has_ended(recorder: Recorder) -> bool:
    return recorder.process.poll() is not None


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# The file


@pytest.mark.parametrize("disk", [small_disk, block_disk])
def test_the_reserve_can_be_written_to_a_full_disk(disk: Any, tmp_path: Path) -> None:
    with disk(tmp_path, 12 * MB) as place:
        before = free_bytes(place)
        own = ReservedFile(place / "out")
        file = OutputFile(own)
        assert file.write(b"first") == 5
        assert file.keep_back(1 * MB)
        assert names_in(place) - {"lost+found"} == {"out"}
        filler = fill(place)
        assert not file.keep_back(1 * MB), "other programs have no room now"
        assert not file.has_been_full
        written = 5
        while file.kept_back_bytes:
            written += file.write(b"x" * 10_000)
        assert file.has_been_full
        assert written > 1 * MB
        assert file.size_bytes == (place / "out").stat().st_size == written
        with pytest.raises(OSError, match="No space") as caught:
            file.write(b"x" * MB)
        assert file.error is caught.value
        file.close()
        file.close()
        filler.unlink()
        own.discard()
        os.sync()
        assert before is not None
        assert (free_bytes(place) or 0) > 0.9 * before


def test_a_full_quota_counts_as_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = OutputFile(ReservedFile(tmp_path / "out"))
    assert file.keep_back(100_000)
    kept, write = file.kept_back_bytes, os.write

    def refuse_once(descriptor: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", write)
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(os, "write", refuse_once)
    assert file.write(b"content") == 7
    assert file.has_been_full
    assert file.kept_back_bytes < kept
    assert (tmp_path / "out").read_bytes() == b"content"
    file.close()


def test_a_disk_that_cannot_reserve_space_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **more: Any) -> Any:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    file = OutputFile(ReservedFile(tmp_path / "out"))
    assert file.keep_back(100_000)
    assert file.kept_back_bytes == 0
    file.write(b"content")
    file.close()
    assert (tmp_path / "out").read_bytes() == b"content"


def test_space_is_kept_back_where_every_file_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux has files that never had a name")
    opened = os.open

    def refuse(path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return opened(path, flags, mode, **more)

    monkeypatch.setattr(os, "open", refuse)
    file = OutputFile(ReservedFile(tmp_path / "out"))
    assert file.keep_back(100_000)
    assert file.kept_back_bytes >= 100_000
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    file.close()


def test_too_little_room_to_start_is_reported_with_a_remedy(tmp_path: Path) -> None:
    with small_disk(tmp_path, 2 * MB) as place, pytest.raises(NotReadyError, match=r"2\.0 MB left.*free at least"):
        check_room(place)
    check_room(tmp_path)
    check_room(tmp_path / "missing")


# The muxer


@pytest.mark.parametrize("extension", CONTAINERS)
def test_a_file_is_finished_on_a_disk_that_fills_up_suddenly(extension: str, tmp_path: Path) -> None:
    with small_disk(tmp_path, 5 * MB) as place:
        writing = Writing(place / f"out.{extension}")
        writing.until(2)
        assert writing.muxer.check_disk() is None
        fill(place)
        until_s = 2.0
        while not writing.muxer.is_full and until_s < 10:
            until_s += 0.5
            writing.until(until_s)
        error = writing.muxer.check_disk()
        assert isinstance(error, DiskFullError)
        assert str(writing.path) in str(error)
        assert writing.muxer.check_disk() is None, "it is reported once"
        if writing.muxer.is_full:
            writing.muxer.close([Chapter("All", 0.0, until_s)])
        else:
            # The reserve was enough for the little that is written; FLAC is finished by its encoder.
            writing.close()
        report = check(writing.path)
        assert report.problems == ()
        assert until_s - 0.6 < report.duration_s <= until_s + 0.8
        assert names_in(place) == {writing.path.name, "filler"}


@pytest.mark.parametrize("extension", ["mp4", "mov", "mkv", "webm", "ogg", "m4a", "flac", "mp3", "wav"])
def test_a_file_that_cannot_be_finished_plays_and_can_be_repaired(extension: str, tmp_path: Path) -> None:
    with small_disk(tmp_path, 5 * MB) as place:
        writing = Writing(place / f"out.{extension}")
        # Nothing checked the disk, so nothing is kept back.
        writing.until(3)
        filler = fill(place)
        with pytest.raises(DiskFullError, match=r"cannot be written \(No space left on device\)"):
            writing.until(60)
        with pytest.raises(DiskFullError, match=r"could not be finished \(No space left on device\)") as caught:
            writing.muxer.close()
        assert str(writing.path) in caught.value.message
        writing.muxer.close()
        writing.muxer.keep()
        assert heard_s(writing.path) > 1.8
        filler.unlink()
        assert repair(writing.path).after.ok


@pytest.mark.parametrize("extension", CONTAINERS)
def test_finishing_a_file_takes_no_more_than_was_kept_back(extension: str, tmp_path: Path) -> None:
    kind = CONTAINERS[extension]
    path = tmp_path / f"out.{extension}"
    muxer = open_muxer(path)
    templates: list[Stream] = []
    packets = []
    if kind.video_codec is not None:
        video = VideoEncoder(kind.video_codec, 64, 48, 30)
        templates.append(video.template)
        picture = np.zeros((48, 64, 4), np.uint8)
        packets.append([bytes(video.encode(picture, 0)[0]), bytes(video.repeat(3000)[0])])
    audio = AudioEncoder(kind.audio_codec, 2)
    templates.append(audio.template)
    heard = audio.encode(np.zeros((SAMPLE_RATE // 5, 2), np.float32))
    packets.append([bytes(heard[-1])])
    muxer.start(templates)
    length = heard[-1].duration or 960
    # Irregular pts, and every fourth frame a key frame: the largest possible index.
    for number in range(6_000):
        for track, contents in enumerate(packets):
            is_picture = track == 0 and len(packets) == 2
            packet: av.Packet[Any] = av.Packet(contents[1 if is_picture and number % 4 else 0])
            unit = Fraction(1, 90_000) if is_picture else as_fraction(heard[-1].time_base)
            every = round(float(length * as_fraction(heard[-1].time_base) / unit))
            packet.pts = packet.dts = number * every + (number % 7 if is_picture else 0)
            packet.time_base, packet.is_keyframe = unit, not (is_picture and number % 4)
            if not is_picture:
                packet.duration = length
            muxer.write(track, packet)
    muxer.check_disk()
    before, allowed = muxer.size_bytes(), muxer._margin.closing_bytes
    muxer.close([Chapter(f"Chapter {number}", number, number + 1) for number in range(50)])
    assert muxer.size_bytes() - before < allowed


# The recorder


@pytest.mark.parametrize("extensions", FILLED, ids="+".join)
def test_a_recording_stops_before_the_disk_is_full(
    extensions: tuple[str, ...], capture_environment: dict[str, str], tmp_path: Path
) -> None:
    with small_disk(tmp_path, 16 * MB) as place, ExitStack() as stack:
        paths = [place / f"out.{extension}" for extension in extensions]
        recorders = [
            stack.enter_context(Recorder(capture_environment, tmp_path, "record", path, *PATTERN, "--json"))
            for path in paths
        ]
        for recorder, path in zip(recorders, paths, strict=True):
            recorder.until_recording(path)
            recorder.until_grown(path, 2)
        fill(place, FILLED[extensions])
        # A recorder that ends releases space. Fill that too, so that the others do not get it.
        eventually(lambda: fill(place, 500_000) and all(map(has_ended, recorders)), "the end of all of them")
        for recorder, path in zip(recorders, paths, strict=True):
            assert recorder.wait() == 1, recorder.stderr
            summary = recorder.summary()
            assert (summary["stopped_by"], summary["check"]) == ("disk_full", "ok")
            assert kinds(summary) == ["disk_full"]
            complaint = recorder.stderr.splitlines()[-1]
            assert complaint.startswith("capture: the disk has no room")
            assert f"free some space, or choose another disk; what was recorded until then is in {path}" in complaint
            report = check(path)
            assert report.problems == ()
            assert report.duration_s == pytest.approx(summary["duration_s"], abs=0.01)
            assert sound(path).end_s == pytest.approx(summary["duration_s"], abs=0.6)
            assert path.stat().st_mode & 0o777 == 0o600
        assert names_in(place) == {"filler", *(path.name for path in paths)}


def test_a_clip_that_does_not_fit_can_be_saved_later(
    capture_environment: dict[str, str], run_capture: RunCapture, tmp_path: Path
) -> None:
    with small_disk(tmp_path, 8 * MB) as place:
        filler = fill(place)
        arguments = ("replay", place / "base.mkv", "--last", "20s", "--source", "pattern", "--json")
        with Recorder(capture_environment, tmp_path, *arguments) as recorder:
            recorder.until(lambda: run_capture("clip").stderr.count("MB are free"), "a buffer")
            failed = run_capture("clip")
            assert failed.returncode == 1
            assert len(failed.stderr.splitlines()) == 1
            assert re.search(r"needs \d+\.\d MB, but only 0\.0 MB are free: free some space", failed.stderr)
            assert names_in(place) == {"filler"}
            filler.unlink()
            saved = run_capture("clip", "--json")
            assert saved.returncode == 0, saved.stderr
            assert check(Path(json.loads(saved.stdout)["path"])).ok
            recorder.until_said("the buffer is kept")
            assert recorder.stop()["recordings"] == []


def test_a_recording_does_not_start_without_room(run_capture: RunCapture, tmp_path: Path) -> None:
    with small_disk(tmp_path, 2 * MB) as place:
        old = place / "old.mp4"
        old.write_bytes(b"old")
        for arguments in ([place / "out.mp4"], [old, "--overwrite"]):
            done = run_capture("record", *arguments, "--source", "pattern")
            assert done.returncode == 3
            assert len(done.stderr.splitlines()) == 1
            assert f"the disk of {place} has only" in done.stderr
            assert "free at least 4 MB" in done.stderr
        assert names_in(place) == {"old.mp4"}
        assert old.read_bytes() == b"old"
