"""`check` and `repair` give a verdict on every file, whatever its headers claim, and stay within their memory."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import judged
import numpy as np
import pytest
import written
from conftest import RunCapture
from written import write

from benchmarks.hostile import FILES
from capture.errors import RecordingError
from capture.formats import CONTAINERS
from capture.recordings import contents, opening, sound_file
from capture.recordings.check import check
from capture.recordings.headers import excess_in

PEAK_BYTES = 300_000_000

#: How often to damage the headers of a file in each format, and how often in the long run.
DAMAGED = 10
DAMAGED_LONG = 300


def judge(folder: Path) -> dict[str, str]:
    """Check and repair all files in `folder` in one process; return its verdicts."""
    paths = os.pathsep.join((str(Path(judged.__file__).parent), str(Path(judged.__file__).parents[1])))
    done = subprocess.run(
        [sys.executable, judged.__file__, str(folder)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    found = json.loads(done.stdout)
    assert found["peak_bytes"] < PEAK_BYTES
    verdicts: dict[str, str] = found["verdicts"]
    return verdicts


def damaged(content: bytes, random: np.random.Generator) -> bytes:
    """Return `content` with enormous, tiny or random numbers in some of its headers."""
    changed = bytearray(content)
    marks = [found.start() for found in re.finditer(rb"[a-z]{3}[a-z0-9 ]|[\x80-\xff]{2}|OggS|LIST|fLaC", content)]
    for _ in range(int(random.integers(1, 4))):
        around = [int(random.integers(0, min(800, len(content)))), len(content) - int(random.integers(1, 800))]
        if marks:
            around.append(int(random.choice(marks)) + int(random.integers(-8, 24)))
        place = min(max(0, int(random.choice(around))), len(content) - 1)
        width = int(random.choice([1, 2, 4, 8]))
        value = [bytes(width), b"\xff" * width, b"\x7f" + b"\xff" * (width - 1), random.bytes(width)]
        changed[place : place + width] = value[int(random.integers(0, 4))]
    return bytes(changed)


def judge_damaged(times: int, random: np.random.Generator, folder: Path) -> None:
    folder.mkdir()
    wholes = [write(folder / f"whole.{extension}") for extension in CONTAINERS]
    killed = [folder / f"killed.{extension}" for extension in CONTAINERS]
    subprocess.run([sys.executable, written.__file__, *killed], check=True)
    for path in (*wholes, *killed):
        content = path.read_bytes()
        for number in range(times // 2):
            (folder / f"{number}-{path.name}").write_bytes(damaged(content, random))
    verdicts = judge(folder)
    assert {verdicts[path.name] for path in wholes} == {"whole"}
    assert {verdicts[path.name] for path in killed} <= {"whole", "repaired"}
    assert len(verdicts) == len(wholes + killed) * (times // 2 + 1)
    assert "whole" in verdicts.values()


def test_a_file_with_damaged_headers_gets_a_verdict(tmp_path: Path) -> None:
    judge_damaged(DAMAGED, np.random.default_rng(15), tmp_path / "files")


@pytest.mark.long
def test_a_file_with_damaged_headers_gets_a_verdict_in_the_long_run(seed: int, tmp_path: Path) -> None:
    judge_damaged(DAMAGED_LONG, np.random.default_rng(seed), tmp_path / "files")


def test_a_hostile_file_gets_a_verdict(tmp_path: Path) -> None:
    for name, build in FILES.items():
        (tmp_path / name).write_bytes(build(60_000))
    verdicts = judge(tmp_path)
    assert len(verdicts) == len(FILES)
    assert {name for name in REFUSED if name.startswith("claims") and verdicts[name] == "whole"} == set()


#: What is refused before FFmpeg opens it, though it is small, with the words for it.
REFUSED = {
    "samples-of-one-byte.mp4": "2,999,000 samples, more than 920,000",
    "samples-of-four-bits.mov": "5,997,000 samples",
    "claims-stts.mp4": "268,435,455 entries in the tables of its index",
    "claims-ctts.mp4": "entries in the tables of its index",
    "claims-stsc.mp4": "entries in the tables of its index",
    "claims-stsz.mp4": "268,435,455 samples",
    "claims-stco.mov": "entries in the tables of its index",
    "claims-co64.mov": "entries in the tables of its index",
    "claims-stss.mp4": "entries in the tables of its index",
    "listed-edits.mp4": "edits, more than 1,000",
    "compressed-index.mov": "its index is compressed",
    "run-of-endless-samples.mp4": "200,000,000 samples in its fragments",
    "many-runs.mp4": "921,000 samples in its fragments",
    "nested-boxes.mp4": "its headers are more than 16 levels deep",
    "many-tracks.mp4": "101 tracks, more than 100",
    "many-tags.m4a": "10,001 tags, more than 10,000",
    "many-covers.m4a": "101 pictures, more than 100",
    "many-chapters.mov": "600,000 chapters, more than 10,000",
    "large-configuration.mp4": "2,998,602 bytes for the description of a track, more than 256,000",
    "many-tracks.mkv": "101 tracks",
    "many-bare-tracks.mkv": "101 tracks",
    "many-tags.mkv": "10,001 tags",
    "many-simple-tags.mkv": "10,001 tags",
    "many-chapters.mkv": "10,001 chapters",
    "many-attachments.mkv": "101 pictures",
    "large-private.mkv": "2,999,000 bytes for the description of a track",
    "nested-tags.mkv": "its headers are more than 20 levels deep",
    "many-streams.ogg": "101 tracks",
    "many-comments.opus": "tags, more than 10,000",
    "claims-format.wav": "1,073,741,842 bytes for the format of the sound",
    "claims-list.wav": "2,147,483,647 bytes for 'LIST'",
    "claims-tag.wav": "2,147,483,632 bytes for a tag",
    "long-format.wav": "bytes for the format of the sound",
    "many-tags.wav": "10,001 tags",
    "many-chunks.wav": "10,001 chunks",
    "many-comments.flac": "tags, more than 10,000",
    "different-comments.flac": "tags, more than 10,000",
    "many-seek-points.flac": "166,666 places to seek to",
    "many-pictures.flac": "101 pictures",
    "many-blocks.flac": "10,001 blocks of metadata",
    "many-covers.mp3": "101 pictures",
    "many-texts.mp3": "10,001 tags",
    "many-chapters.mp3": "10,001",
    "compressed-tag.mp3": "268,435,440 bytes for a compressed tag",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_headers_claim_is_held_before_ffmpeg_opens_the_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("FFmpeg opened the file")

    monkeypatch.setattr("av.open", refuse)
    path = tmp_path / name
    path.write_bytes(FILES[name](3_000_000))
    report = check(path)
    assert (len(report.problems), report.plays, report.beyond_limits) == (1, False, True)
    assert REFUSED[name] in report.problems[0]


def test_chunks_all_over_the_file_are_held(tmp_path: Path) -> None:
    path = tmp_path / "scattered.mp4"
    path.write_bytes(FILES["scattered-chunks.mp4"](8_000_000))
    assert "153,845 chunks far from the ones before them, more than 100,244" in excess_in(path)


def test_a_header_that_reaches_beyond_what_is_around_it_claims_nothing(tmp_path: Path) -> None:
    from benchmarks.hostile.ebml import TRACKS, element, segment
    from benchmarks.hostile.iso import box, movie

    path = tmp_path / "beyond.mkv"
    seek = element(0x4DBB, b"\x53\xac\x10\0\0\0\0\0\0\4", size=3)
    path.write_bytes(segment(element(0x114D9B74, seek), TRACKS))
    assert excess_in(path) == ""
    path = tmp_path / "beyond.mp4"
    reference = struct.pack(">I4sI4sQ", 16, b"tref", 1, b"chap", 40)
    path.write_bytes(box(b"ftyp", b"isom") + movie(reference))
    assert excess_in(path) == ""


def test_an_ape_tag_is_held(tmp_path: Path) -> None:
    path = write(tmp_path / "tagged.mp3")
    footer = b"APETAGEX" + struct.pack("<IIII8x", 2_000, 32, 60_000, 0)
    for after in (b"", b"TAG" + bytes(125)):
        path.write_bytes(write(path).read_bytes() + footer + after)
        assert "60,001 tags, more than 10,000" in excess_in(path)


def test_a_place_in_a_seek_table_is_held(tmp_path: Path) -> None:
    from benchmarks.hostile.ebml import TRACKS, element, segment

    tags = element(0x1254C367, element(0x7373, element(0x67C8)) * 10_000)
    head = element(0x4DBB, element(0x53AB, b"\x12\x54\xc3\x67"), element(0x53AC, b"\0\0\0\0"))
    path = tmp_path / "hidden.mkv"
    for place in (0, 1):
        # In the second round the place is known: inside a packet.
        content = segment(
            element(0x114D9B74, head),
            TRACKS,
            element(0x1F43B675, element(0xE7, b"\0"), element(0xA3, b"\x81\0\0\x80", tags)),
        )
        if not place:
            start = content.index(b"\x18\x53\x80\x67") + 12
            head = head[:-4] + (content.index(tags) - start).to_bytes(4, "big")
    path.write_bytes(content)
    assert "10,001 tags" in excess_in(path)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_silence_behind_an_unset_size_is_no_list_of_chunks(size: int, tmp_path: Path) -> None:
    from benchmarks.hostile.sound import wav

    path = tmp_path / "killed.wav"
    path.write_bytes(wav((b"data", bytes(200_000), size)))
    report = check(path)
    assert report.problems == ("the file was never closed: it was cut off after 1.0 s; the part before plays",)


# Limits while reading


@pytest.mark.parametrize("name", ["tiny-blocks.webm", "laced-bytes.webm", "tiny-frames.mp3", "one-sample-a-second.wav"])
def test_packets_are_counted_while_they_are_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "most_packets", lambda size_bytes: 1_000)
    path = tmp_path / name
    path.write_bytes(FILES[name](100_000))
    report = check(path, listen=False)
    assert report.problems == ("it holds more than 1,000 packets: if you trust the file, add --no-limits",)
    assert (report.plays, report.beyond_limits) == (True, True)
    assert not check(path, listen=False, limits=False).beyond_limits


def test_ffmpeg_does_not_skip_empty_packets_forever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (contents, opening):
        monkeypatch.setattr(module, "PATIENCE_S", 0.001)
    path = tmp_path / "empty.mkv"
    path.write_bytes(FILES["laced-empty.mkv"](1_000_000))
    report = check(path, listen=False)
    # It ends while it is opened, or while the first packet is read.
    assert any(words in report.problems[0] for words in ("no packet was found in it for 0.001 s", "it takes too long"))
    assert not report.plays


def test_playing_does_not_look_for_sound_forever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "PATIENCE_S", 0.001)
    path = tmp_path / "empty.mkv"
    path.write_bytes(FILES["laced-empty.mkv"](1_000_000))
    # It ends while it is opened, or while the first packet is read.
    said = pytest.raises(RecordingError, match=r"cannot be played(: no packet was found in it for|.*it takes too long)")
    with said, sound_file.SoundFile(path) as sound:
        list(sound.blocks())


def test_the_samples_of_flac_are_held(tmp_path: Path) -> None:
    path = tmp_path / "days.flac"
    path.write_bytes(FILES["days-of-silence.flac"](400_000))
    assert "it holds more than 3,000,000,000 samples" in check(path, listen=False).problems[0]


def test_listening_to_silence_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "_MOST_LISTENED_PACKETS", 10)
    path = write(tmp_path / "silent.flac", (written.Sound(peak=0.0),))
    report = check(path)
    assert report.ok
    assert report.streams[0].silent is None
    assert 0.5 < (report.streams[0].silent_until_s or 0.0) < 1.5


def test_repeated_silence_is_not_listened_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "_MOST_LISTENED_PACKETS", 30)
    path = write(tmp_path / "silent.m4a", (written.Sound(peak=0.0),))
    assert check(path).streams[0].silent is True


def test_a_length_without_any_track_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "none.flac"
    path.write_bytes(FILES["no-frames-no-length.flac"](0))
    assert not check(path).ok


def test_a_user_can_lift_the_limits(run_capture: RunCapture, tmp_path: Path) -> None:
    path = tmp_path / "days.flac"
    path.write_bytes(FILES["days-of-silence.flac"](400_000))
    held = run_capture("check", path)
    assert held.returncode == 1
    assert "problem: it holds more than 3,000,000,000 samples: if you trust the file, add --no-limits" in held.stdout
    assert "silent up to " in held.stdout
    assert "add --no-limits" not in run_capture("check", path, "--no-limits").stdout
    content = path.read_bytes()
    assert "add --no-limits: it was not changed" in run_capture("repair", path).stderr
    assert path.read_bytes() == content
