"""A finished WAV gets its chapters as cue points, in an order in which nothing can be lost."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from reopened import chapters
from written import Sound, write

from capture.output.chapters import BEGINNING, Chapter
from capture.output.output_file import OutputFile
from capture.output.reserved_file import ReservedFile
from capture.output.wav_cues import add_cues, add_cues_at
from capture.recordings.check import check
from capture.recordings.structure import Ending

MARKS = [Chapter(BEGINNING, 0.0, 0.5), Chapter("Größe", 0.5, 1.25), Chapter("odd", 1.25, 2.0)]


def copied(path: Path, content: bytes) -> OutputFile:
    file = OutputFile(ReservedFile(path))
    file.write(content)
    return file


def test_marks_are_cue_points_where_they_were_made(tmp_path: Path) -> None:
    path = write(tmp_path / "talk.wav", (Sound(),))
    before = path.read_bytes()
    add_cues_at(path, MARKS)
    # Nothing was marked at the start.
    assert chapters(path) == [("Größe", 0.5, 1.25), ("odd", 1.25, pytest.approx(2.0, abs=0.05))]
    after = path.read_bytes()
    assert after[8 : len(before)] == before[8:]
    assert struct.unpack_from("<I", after, 4) == (len(after) - 8,)
    report = check(path)
    assert (report.ok, report.ending) == (True, Ending.WHOLE)


def test_another_program_reads_the_sound_as_before(tmp_path: Path) -> None:
    path = write(tmp_path / "talk.wav", (Sound(),))

    def decoded() -> bytes:
        return subprocess.run(
            ["ffmpeg", "-v", "error", "-i", str(path), "-f", "s16le", "-"], check=True, capture_output=True
        ).stdout

    before = decoded()
    add_cues_at(path, MARKS)
    assert decoded() == before


def test_a_file_is_whole_after_each_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = write(tmp_path / "talk.wav", (Sound(),)).read_bytes()
    path = tmp_path / "copy.wav"
    file = copied(path, content)
    states: list[bytes] = []
    wrote = OutputFile.write

    def noted(self: OutputFile, data: bytes) -> int:
        done = wrote(self, data)
        states.append(path.read_bytes())
        return done

    monkeypatch.setattr(OutputFile, "write", noted)
    add_cues(file, MARKS)
    file.close()
    assert len(set(states)) > 1
    for number, state in enumerate(states):
        left = tmp_path / f"{number}.wav"
        left.write_bytes(state)
        report = check(left)
        assert (report.ok, report.duration_s) == (True, check(path).duration_s)


def test_a_full_disk_leaves_the_file_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = write(tmp_path / "talk.wav", (Sound(),)).read_bytes()
    path = tmp_path / "copy.wav"
    file = copied(path, content)

    def refuse(self: OutputFile, data: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(OutputFile, "write", refuse)
    add_cues(file, MARKS)
    file.close()
    assert path.read_bytes() == content


def test_the_size_of_a_long_file_is_in_its_own_chunk(tmp_path: Path) -> None:
    samples = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8_000, 16_000, 2, 16)
    long_sizes = struct.pack("<4sIQQQI", b"ds64", 28, 0, 4_000, 2_000, 0)
    body = b"WAVE" + long_sizes + samples + struct.pack("<4sI", b"data", 0xFFFFFFFF) + bytes(4_000)
    path = tmp_path / "long.wav"
    path.write_bytes(struct.pack("<4sI", b"RF64", 0xFFFFFFFF) + body)
    add_cues_at(path, [Chapter("here", 0.125, 0.25)])
    made = path.read_bytes()
    assert struct.unpack_from("<I", made, 4) == (0xFFFFFFFF,)
    assert struct.unpack_from("<Q", made, 20) == (len(made) - 8,)
    assert [title for title, _, _ in chapters(path)] == ["here"]


def test_a_file_that_is_no_wav_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "other.wav"
    for content in (b"", b"RIFF", bytes(5_000)):
        path.write_bytes(content)
        add_cues_at(path, MARKS)
        assert path.read_bytes() == content
