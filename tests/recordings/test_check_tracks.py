"""`check` reports tracks that do not fit each other, and damage within them."""

from __future__ import annotations

import struct
import subprocess
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import written
from against_ffprobe import agrees_with_ffprobe
from written import Picture, Sound, write

from capture.formats import CONTAINERS
from capture.recordings import check as check_module
from capture.recordings.check import check
from capture.recordings.contents import Contents, Track, read_contents
from capture.recordings.structure import Ending, Structure

WITH_PICTURE = tuple(name for name, container in CONTAINERS.items() if container.holds_video)

#: A fuzzed file is read in milliseconds. A check that takes this long would take even longer with a longer file.
LIMIT_S = 5.0


# Tracks against each other


@pytest.mark.parametrize("extension", WITH_PICTURE)
def test_a_video_track_that_starts_late_is_reported(extension: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"late.{extension}", (Sound(),), Picture(start_s=0.4))
    report = check(path)
    assert report.problems == ("the tracks do not start together: the video track starts 0.40 s after the audio track",)
    assert report.streams[0].start_s == pytest.approx(0.4, abs=0.002)
    assert report.streams[0].duration_s == pytest.approx(1.6, abs=0.002)
    assert agrees_with_ffprobe(report, path, start_tolerance_s=0.008)


def test_an_audio_track_that_starts_late_is_reported(tmp_path: Path) -> None:
    report = check(write(tmp_path / "late.mkv", (Sound(), Sound(start_s=0.3)), None))
    assert report.problems == ("the tracks do not start together: audio track 2 starts 0.30 s after audio track 1",)


@pytest.mark.parametrize("extension", WITH_PICTURE)
def test_small_offsets_between_tracks_are_accepted(extension: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"near.{extension}", (Sound(end_s=1.6),), Picture(start_s=0.04))
    assert check(path).problems == ()


@pytest.mark.parametrize("extension", WITH_PICTURE)
def test_a_track_that_ends_early_is_reported(extension: str, tmp_path: Path) -> None:
    report = check(write(tmp_path / f"short.{extension}", (Sound(end_s=1.0),)))
    assert report.problems == ("the tracks do not end together: the video track ends 1.00 s after the audio track",)


def write_slow(path: Path, moments_s: list[tuple[float, float]]) -> Path:
    """Write a Matroska file of frames with these pts and durations; a duration of 0 stands for two seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(1, 2))
        stream.width, stream.height, stream.pix_fmt = written.WIDTH, written.HEIGHT, "yuv420p"
        stream.codec_context.options = {"preset": "ultrafast", "tune": "zerolatency"}
        stream.codec_context.time_base = Fraction(1, 1000)
        grey = np.full((written.HEIGHT * 3 // 2, written.WIDTH), 100, np.uint8)
        for at_s, duration_s in moments_s:
            frame = av.VideoFrame.from_ndarray(grey, format="yuv420p")
            frame.pts, frame.time_base = round(at_s * 1000), Fraction(1, 1000)
            for packet in stream.encode(frame):
                packet.duration = round(duration_s * 1000)
                container.mux(packet)
    return path


def test_a_video_track_ends_with_its_last_frame(tmp_path: Path) -> None:
    path = write_slow(tmp_path / "slow.mkv", [(0.0, 0.0), (2.0, 0.0), (2.5, 0.5)])
    assert read_contents(path, listen=False).tracks[0].end_s == pytest.approx(3.0)


def test_a_video_track_ends_no_later_than_the_file(tmp_path: Path) -> None:
    path = write_slow(tmp_path / "slow.mkv", [(0.0, 0.0), (2.0, 0.0)])
    written_s, shorter_s = (b"\x44\x89\x88" + struct.pack(">d", milliseconds) for milliseconds in (4000.0, 2500.0))
    content = path.read_bytes()
    assert content.count(written_s) == 1
    path.write_bytes(content.replace(written_s, shorter_s))
    assert read_contents(path, listen=False).tracks[0].end_s == pytest.approx(2.5)


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
def test_an_empty_track_is_reported(extension: str, tmp_path: Path) -> None:
    report = check(write(tmp_path / f"empty.{extension}", (Sound(end_s=0.0),)))
    assert report.problems == ("the audio track is empty",)
    assert report.plays
    assert (report.streams[1].start_s, report.streams[1].duration_s) == (0.0, 0.0)


@pytest.mark.parametrize("kind", ["video", "audio"])
def test_timestamps_that_jump_back_are_reported(whole: dict[str, Path], kind: str, tmp_path: Path) -> None:
    content = bytearray(whole["mkv"].read_bytes())
    with av.open(str(whole["mkv"])) as container:
        positions = [packet.pos for packet in container.demux(**{kind: 0}) if packet.pos]
    # A block starts with its track's number; the next two bytes are its time in milliseconds, relative to its cluster.
    content[positions[30] + 1 : positions[30] + 3] = (-300).to_bytes(2, "big", signed=True)
    path = tmp_path / "back.mkv"
    path.write_bytes(content)
    report = check(path)
    assert len(report.problems) == 1
    assert report.problems[0].startswith(f"the timestamps of the {kind} track jump back at ")


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
def test_reordered_frames_are_not_a_problem(whole: dict[str, Path], extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"reordered.{extension}"
    recode = ["-c:v", "libx264", "-bf", "3", "-b_strategy", "0", "-c:a", "copy"]
    subprocess.run(["ffmpeg", "-v", "error", "-i", whole["mp4"], *recode, path], check=True)
    with av.open(str(path)) as container:
        times = [packet.pts for packet in container.demux(video=0) if packet.pts is not None]
    assert times != sorted(times)
    report = check(path)
    assert report.problems == ()
    assert report.streams[0].duration_s == pytest.approx(2.0, abs=0.002)


@pytest.mark.parametrize("extension", ["mp4", "mov"])
def test_frames_that_an_edit_list_leaves_out_do_not_count(
    whole: dict[str, Path], extension: str, tmp_path: Path
) -> None:
    path = tmp_path / f"edited.{extension}"
    subprocess.run(["ffmpeg", "-v", "error", "-ss", "0.52", "-i", whole[extension], "-c", "copy", path], check=True)
    with av.open(str(path)) as container:
        assert sum(packet.is_discard for packet in container.demux(video=0)) > 5
    report = check(path)
    assert report.ok
    assert agrees_with_ffprobe(report, path, start_tolerance_s=0.008)
    assert report.streams[0].duration_s == pytest.approx(1.48, abs=0.002)


# Damage


def test_undecodable_sound_is_reported_with_listen(tmp_path: Path) -> None:
    path = write(tmp_path / "noise.m4a", (Sound(peak=0.0),))
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux() if packet.pos]
    for position, size in packets[40:60]:
        assert position is not None
        content[position : position + size] = b"\xff" * size
    path.write_bytes(content)
    report = check(path)
    assert report.plays
    assert [problem.rpartition(" at ")[0] for problem in report.problems] == ["the audio track cannot be decoded"]
    assert check(path, listen=False).ok


def test_an_index_that_repeats_itself_does_not_hang_the_check(tmp_path: Path) -> None:
    path = tmp_path / "endless.mov"
    path.write_bytes(endless_mov(chunks=1_000, bytes_each=100_000))
    begin_s = time.process_time()
    report = check(path)
    assert report.problems == ("it cannot be read to the end: its index points to the same bytes several times",)
    assert time.process_time() - begin_s < LIMIT_S


def endless_mov(chunks: int, bytes_each: int) -> bytes:
    """Return a movie of 16-bit mono sound in which every chunk is the same piece of a small file."""

    def box(kind: bytes, *parts: bytes) -> bytes:
        body = b"".join(parts)
        return (8 + len(body)).to_bytes(4, "big") + kind + body

    def words(*numbers: int) -> bytes:
        return b"".join(number.to_bytes(4, "big") for number in numbers)

    each = bytes_each // 2
    total = chunks * each % 2**32
    unity = words(0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    sound = box(b"sowt", words(0, 1, 0, 0, 0x00010010, 0, 48_000 << 16))
    table = box(
        b"stbl",
        box(b"stsd", words(0, 1), sound),
        box(b"stts", words(0, 1, total, 1)),
        box(b"stsc", words(0, 1, 1, each, 1)),
        box(b"stsz", words(0, 2, total)),
        box(b"stco", words(0, chunks), words(28) * chunks),
    )
    media = box(
        b"mdia",
        box(b"mdhd", words(0, 0, 0, 48_000, total, 0)),
        box(b"hdlr", words(0), b"mhlrsoun", words(0, 0, 0), b"\0"),
        box(b"minf", box(b"smhd", words(0, 0)), table),
    )
    track = box(b"trak", box(b"tkhd", words(1, 0, 0, 1, 0, total, 0, 0, 0, 0), unity, words(0, 0)), media)
    movie = box(
        b"moov", box(b"mvhd", words(0, 0, 0, 48_000, total, 0x10000, 0, 0, 0), unity, bytes(24), words(2)), track
    )
    return box(b"ftyp", b"qt  ", words(0)) + box(b"mdat", bytes(4), bytes(bytes_each)) + movie


def test_a_cover_picture_is_not_a_track(whole: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "cover.m4a"
    cover = ["-f", "lavfi", "-i", "color=s=16x16:d=0.04", "-map", "0", "-map", "1", "-c:a", "copy", "-c:v", "mjpeg"]
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", whole["m4a"], *cover, "-disposition:v", "attached_pic", path], check=True
    )
    with av.open(str(path)) as container:
        assert len(container.streams) == 2
    report = check(path)
    assert report.ok
    assert [stream.kind for stream in report.streams] == ["audio"]


def some_track(**changed: Any) -> Track:
    whole = Track("audio", "opus", 0.0, 2.0, 100, 2.0, None, 0, None, False, sample_rate=48_000, channels=2)
    return whole._replace(**changed)


@pytest.mark.parametrize(
    ("ending", "contents", "problems"),
    [
        (Ending.WHOLE, Contents((some_track(incomplete=3),)), ["3 packets of the audio track are incomplete"]),
        (
            Ending.WHOLE,
            Contents((some_track(),), "Input/output error"),
            ["it cannot be read to the end: Input/output error"],
        ),
        (
            Ending.DAMAGED,
            Contents((some_track(incomplete=3, undecodable_at_s=1.0),), "Invalid data"),
            ["the file is damaged: 2.0 s of it were found, and not all of that may play"],
        ),
        (Ending.DAMAGED, Contents(()), ["the file is damaged, and nothing in it plays"]),
        (Ending.NEVER_CLOSED, Contents(()), ["the file was never closed, and nothing in it plays"]),
        (
            Ending.NEVER_CLOSED,
            Contents((some_track(), some_track(start_s=0.5, end_s=1.2))),
            [
                "the file was never closed: it was cut off after 2.0 s; the part before plays",
                "the tracks do not start together: audio track 2 starts 0.50 s after audio track 1",
                "the tracks do not end together: audio track 1 ends 0.80 s after audio track 2",
            ],
        ),
    ],
)
def test_the_gravest_problem_comes_first_without_its_consequences(
    whole: dict[str, Path], ending: Ending, contents: Contents, problems: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_module, "read_structure", lambda path: Structure(ending))
    monkeypatch.setattr(check_module, "read_contents", lambda path, **options: contents)
    assert list(check(whole["ogg"]).problems) == problems
