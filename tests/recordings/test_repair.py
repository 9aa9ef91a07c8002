"""Recordings that were cut off become ordinary files, and a repair never makes a file worse."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import written
from conftest import RunCapture
from reopened import loudness, pictures, probe, sound
from running import Recorder
from written import Picture, Sound, write

from capture.errors import CaptureError, RecordingError, UsageError
from capture.output.replaced_file import left_aside
from capture.output.reserved_file import ReservedFile
from capture.recordings.check import check
from capture.recordings.fragments import shown_fragments
from capture.recordings.repair import recordings_in, repair

CUT = ["mp4", "mov", "mkv", "webm", "ogg", "opus", "m4a", "mp3", "flac", "wav"]

#: How often to damage a file of each format, and how often in the long run.
DAMAGED = {"mp4": 25, "mkv": 25, "webm": 25, "ogg": 25, "m4a": 25, "mp3": 20, "flac": 20, "wav": 10}
DAMAGED_LONG = 400


def cut_off(path: Path) -> Path:
    """Write a recording in a process that dies before it closes the file."""
    subprocess.run([sys.executable, written.__file__, str(path)], check=True, timeout=60)
    return path


@pytest.mark.parametrize("extension", CUT)
def test_a_recording_that_was_cut_off_becomes_whole(extension: str, tmp_path: Path) -> None:
    path = cut_off(tmp_path / f"out.{extension}")
    before = check(path)
    path.chmod(0o640)
    done = repair(path)
    assert done.was_needed is not before.ok
    assert check(path).ok
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]
    track = sound(path)
    assert track.end_s > before.duration_s - 0.5
    assert loudness(track.between(0.5, 1.0), 440, track.rate) == pytest.approx(0.3, abs=0.05)
    assert float(probe(path)["format"]["duration"]) == pytest.approx(done.after.duration_s, abs=0.1)


def test_a_whole_recording_is_left_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "out.mp4")
    content, moment = path.read_bytes(), path.stat().st_mtime_ns
    assert not repair(path).was_needed
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (content, moment)


def test_the_repaired_file_can_go_elsewhere(tmp_path: Path) -> None:
    path, other = cut_off(tmp_path / "out.mp4"), tmp_path / "whole.mp4"
    content = path.read_bytes()
    done = repair(path, other)
    assert (done.path, done.was_needed) == (other, True)
    assert check(other).ok
    assert other.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes() == content
    with pytest.raises(UsageError, match="exists already"):
        repair(path, other)


def test_a_track_that_is_longer_than_the_other_is_cut(tmp_path: Path) -> None:
    whole = write(tmp_path / "out.mkv", (Sound(end_s=4.0),), Picture(end_s=2.0))
    assert not check(whole).ok
    assert repair(whole).after.ok


def test_a_repair_that_would_cut_too_much_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "out.mkv", (Sound(end_s=8.0),), Picture(end_s=2.0))
    content = path.read_bytes()
    with pytest.raises(RecordingError, match=r"a track ends 6\.0 s before another: it was not changed"):
        repair(path)
    assert path.read_bytes() == content


def test_a_repair_that_would_lose_an_unknown_track_is_refused(tmp_path: Path) -> None:
    path = cut_off(tmp_path / "out.mp4")
    # The first of these boxes describe the video track.
    content = path.read_bytes().replace(b"stsd", b"????", 1).replace(b"vide", b"????", 1)
    path.write_bytes(content)
    with pytest.raises(RecordingError, match="one of its tracks is unknown"):
        repair(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"nonsense" * 100, bytes(5000)])
def test_a_file_that_is_not_a_recording_is_not_changed(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match="cannot be repaired"):
        repair(path)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("extension", DAMAGED)
def test_a_damaged_file_is_never_made_worse(extension: str, tmp_path: Path) -> None:
    random = np.random.default_rng(sum(map(ord, extension)))
    assert_never_made_worse(extension, DAMAGED[extension], random, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("extension", CUT)
def test_a_damaged_file_is_never_made_worse_in_the_long_run(extension: str, seed: int, tmp_path: Path) -> None:
    assert_never_made_worse(extension, DAMAGED_LONG, np.random.default_rng(seed), tmp_path)


def assert_never_made_worse(extension: str, times: int, random: np.random.Generator, tmp_path: Path) -> None:
    """Cut and overwrite a file at random: `repair` must make a whole one of it or leave it unchanged."""
    whole = cut_off(tmp_path / f"whole.{extension}").read_bytes()
    path = tmp_path / f"out.{extension}"
    repaired = 0
    for _ in range(times):
        content = bytearray(whole[: int(random.integers(1, len(whole) + 1))])
        for _ in range(int(random.integers(0, 4))):
            place = int(random.integers(0, len(content)))
            content[place : place + 16] = random.bytes(min(16, len(content) - place))
        path.write_bytes(content)
        done = None
        with suppress(CaptureError):
            done = repair(path)
        if done is None:
            assert path.read_bytes() == content
        else:
            assert check(path).ok
            repaired += done.was_needed
        assert {each.name for each in tmp_path.iterdir()} == {f"whole.{extension}", path.name}
    assert repaired > 0


@pytest.mark.parametrize("extension", ["flac", "wav"])
def test_lossless_sound_keeps_every_sample(extension: str, tmp_path: Path) -> None:
    path, cut = cut_off(tmp_path / f"out.{extension}"), tmp_path / f"cut.{extension}"
    content = path.read_bytes()
    # This cuts a frame in half: only that one is left out.
    cut.write_bytes(content[: len(content) * 3 // 4])
    before = sound(cut)
    assert repair(cut).was_needed
    after = sound(cut)
    assert np.array_equal(after.samples, before.samples[: len(after.samples)])
    assert len(after.samples) >= len(before.samples) - 4_608
    assert float(probe(cut)["format"]["duration"]) == pytest.approx(after.end_s, abs=0.0001)


def test_flac_that_was_copied_in_part_states_its_length_and_no_checksum(tmp_path: Path) -> None:
    path = write(tmp_path / "out.flac")
    content = path.read_bytes()
    assert content[26:42] != bytes(16)
    path.write_bytes(content[: len(content) * 2 // 3])
    assert repair(path).was_needed
    repaired = path.read_bytes()
    assert int.from_bytes(repaired[18:26], "big") & (1 << 36) - 1 == len(sound(path).samples)
    # `flac --test` would hold the sound against the checksum of the whole file.
    assert repaired[26:42] == bytes(16)


def test_a_film_with_flac_is_repaired(tmp_path: Path) -> None:
    path = write(tmp_path / "out.mkv", (Sound(end_s=4.0, codec="flac"),), Picture(end_s=2.0))
    assert repair(path).after.ok
    assert check(path).streams[0].frames == 50


def test_flac_without_a_whole_frame_cannot_be_repaired(tmp_path: Path) -> None:
    path = cut_off(tmp_path / "out.flac")
    content = path.read_bytes()
    content = content[: content.index(b"\xff\xf8") + 100]
    path.write_bytes(content)
    with pytest.raises(CaptureError, match=r"cannot be repaired|was not changed"):
        repair(path)
    assert path.read_bytes() == content


def test_every_recording_in_a_folder_is_repaired(run_capture: RunCapture, tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    cut_off(folder / "cut.mp4")
    write(folder / "whole.ogg")
    (folder / "broken.mkv").write_bytes(b"nonsense")
    (folder / ".hidden.mkv").write_bytes(b"nonsense")
    (folder / "notes.txt").write_text("no recording")
    assert [path.name for path in recordings_in(folder)] == ["broken.mkv", "cut.mp4", "whole.ogg"]
    done = run_capture("repair", folder, "--json")
    assert done.returncode == 1
    found = {Path(each["path"]).name: each for each in json.loads(done.stdout)["files"]}
    assert (found["cut.mp4"]["repaired"], found["cut.mp4"]["ok"]) == (True, True)
    assert (found["whole.ogg"]["repaired"], found["whole.ogg"]["ok"]) == (False, True)
    assert "cannot be repaired" in found["broken.mkv"]["error"]
    again = run_capture("repair", folder / "cut.mp4")
    assert again.returncode == 0
    assert "already complete" in again.stdout
    copied = run_capture("repair", folder / "cut.mp4", "--output", folder / "copy.mp4")
    assert copied.stdout == f"{folder / 'copy.mp4'}: a copy of cut.mp4, which is already complete\n"


def test_a_mistaken_call_is_refused_in_one_line(run_capture: RunCapture, tmp_path: Path) -> None:
    path = write(tmp_path / "out.mp4")
    for arguments in (("nowhere.mp4",), (path, "--output", path), (tmp_path, "--output", tmp_path / "new.mp4")):
        done = run_capture("repair", *arguments)
        assert done.returncode == 2, done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_copy_is_private_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, output = write(tmp_path / "whole.ogg"), tmp_path / "copy.ogg"
    copy, modes = shutil.copyfileobj, []

    def copy_and_look(*arguments: Any) -> None:
        modes.append(output.stat().st_mode & 0o777)
        copy(*arguments)

    monkeypatch.setattr(shutil, "copyfileobj", copy_and_look)
    before = os.umask(0)
    try:
        assert repair(path, output).after.ok
    finally:
        os.umask(before)
    assert modes == [0o600]
    assert output.stat().st_mode & 0o777 == 0o600


def test_the_next_start_names_the_file_that_a_crash_left(
    capture_environment: dict[str, str], run_capture: RunCapture, tmp_path: Path
) -> None:
    path = tmp_path / "left.mp4"
    with Recorder(capture_environment, tmp_path, "record", path, "--source", "pattern") as recorder:
        recorder.until_recording(path)
        # Do not kill it while it writes the first fragment.
        recorder.until_grown(path)
        recorder.process.kill()
        recorder.process.wait()
    done = run_capture("record", "next.ogg", "--source", "pattern", "--duration", "0.3s")
    assert done.returncode == 0
    assert f"a crash cut off {path}. To fix it: capture repair" in done.stderr.replace("\n", "")
    assert run_capture("repair", path).returncode == 0
    assert check(path).ok
    again = run_capture("record", "another.ogg", "--source", "pattern", "--duration", "0.3s")
    assert "capture repair" not in again.stderr


# Fragments behind a header


def without_index(path: Path, *, zeros: bool = False, wide: bool = False) -> tuple[Path, bytes]:
    """Write a whole recording, then take away the index behind its last header; return its content too.

    With `zeros` the place of the index was taken and never written; with `wide` the header has a size of 64 bits.
    """
    write(path, (Sound(end_s=3.0),), Picture(end_s=3.0))
    content = bytearray(path.read_bytes())
    index = content.rindex(b"moov") - 4
    header = content.index(b"mdat") - 4
    assert content[header - 8 : header - 4] == b"\0\0\0\x08"
    if wide:
        content[header - 8 : header + 8] = b"\0\0\0\x01mdat" + (index - header + 8).to_bytes(8, "big")
    content[index:] = bytes(len(content) - index) if zeros else b""
    path.write_bytes(content)
    return path, bytes(content)


@pytest.mark.parametrize("extension", ["mp4", "mov", "m4a"])
@pytest.mark.parametrize("damage", [{}, {"zeros": True}, {"wide": True}], ids=str)
def test_a_header_without_its_index_does_not_cost_the_recording(
    damage: dict[str, bool], extension: str, tmp_path: Path
) -> None:
    path, content = without_index(tmp_path / f"out.{extension}", **damage)
    elsewhere = repair(path, tmp_path / f"other.{extension}")
    assert path.read_bytes() == content
    done = repair(path)
    for each in (elsewhere, done):
        assert (each.was_needed, each.before.plays, each.put_back) == (True, False, False)
        assert check(each.path).problems == ()
        track = sound(each.path)
        assert track.end_s == pytest.approx(3.0, abs=0.1)
        assert loudness(track.between(1.0, 2.0), 440, track.rate) == pytest.approx(0.3, abs=0.05)
        if extension != "m4a":
            assert pictures(each.path).end_s == pytest.approx(3.0, abs=0.1)
    assert sorted(tmp_path.iterdir()) == sorted([path, elsewhere.path])


def test_a_header_is_written_back_when_nothing_can_be_repaired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, content = without_index(tmp_path / "out.mp4")
    monkeypatch.setattr("capture.recordings.repair._MOST_CUT_S", -1.0)
    with pytest.raises(RecordingError, match="a track ends"):
        repair(path)
    assert path.read_bytes() == content
    # Here the index of the fragments is missing, too.
    content = content.replace(b"moov", b"????")
    path.write_bytes(content)
    with pytest.raises(RecordingError, match="cannot be repaired"):
        repair(path)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_was_written_in_one_go_has_no_fragments(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    muxed = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=d=1", "-c:v", "libx264", str(path)]
    subprocess.run(muxed, check=True, timeout=60)
    assert shown_fragments(path) is None
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"moov") - 4])
    assert shown_fragments(path) is None


# What was to be replaced


def killed_while_replacing(path: Path, new: bytes) -> bytes:
    """Write a recording, and leave it aside as a recorder does that is killed while it replaces it."""
    write(path, (Sound(end_s=1.0),), Picture(end_s=1.0))
    content = path.read_bytes()
    own = ReservedFile(path, overwrite=True)
    os.write(own.descriptor, new)
    assert own._old is not None
    own._old.close()
    os.close(own.descriptor)
    own.descriptor = -1
    return content


@pytest.mark.parametrize("new", [b"", b"\0\0\0\x24ftypisom", None], ids=["empty", "unplayable", "gone"])
def test_the_old_file_is_put_back_when_the_new_one_does_not_play(
    new: bytes | None, tmp_path: Path, run_capture: RunCapture
) -> None:
    path = tmp_path / "out.mp4"
    old = killed_while_replacing(path, new or b"")
    if new is None:
        path.unlink()
    done = run_capture("repair", path)
    assert done.returncode == 0, done.stderr
    broken = tmp_path / "out (2).mp4"
    assert path.read_bytes() == old
    said = f"{path}: put back, 0:01.0: what was to replace it does not play"
    if new:
        assert broken.read_bytes() == new
        said += f", and is {broken} now"
    assert done.stdout == f"{said}\n"
    assert [each for each in tmp_path.iterdir() if each.name.startswith(".out")] == []


def test_the_old_file_stays_aside_when_the_new_one_plays(tmp_path: Path, run_capture: RunCapture) -> None:
    path = tmp_path / "out.mp4"
    new = cut_off(tmp_path / "new.mp4")
    old = killed_while_replacing(path, new.read_bytes())
    (aside,) = left_aside(path)
    done = run_capture("repair", path)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == f"{path}: the file that it replaced is kept as {aside}"
    assert aside.read_bytes() == old
    assert check(path).ok
    assert check(path).duration_s > 1.5


def test_an_old_file_that_was_cut_off_itself_is_put_back_and_repaired(tmp_path: Path, run_capture: RunCapture) -> None:
    path = tmp_path / "out.mp4"
    killed_while_replacing(path, b"nothing that plays")
    (aside,) = left_aside(path)
    cut_off(aside.with_suffix(".mp4")).rename(aside)
    done = run_capture("repair", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{path}: put back, ")
    assert check(path).ok


def test_the_latest_old_file_that_plays_is_put_back(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    contents = []
    for number in (1, 2):
        contents.append(killed_while_replacing(path, b""))
        path.unlink()
        os.utime(left_aside(path)[-1], (number, number))
    own = tmp_path / ".out.mp4.replaced-0000000000000000"
    own.write_bytes(b"nothing that plays")
    done = repair(path).as_json()
    assert (done["ok"], done["repaired"], done["put_back"], done["broken"]) == (True, True, True, None)
    assert done["set_aside"] == list(map(str, left_aside(path)))
    assert path.read_bytes() == contents[1]
    assert {each.read_bytes() for each in left_aside(path)} == {contents[0], b"nothing that plays"}
