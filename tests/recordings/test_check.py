"""`check` against ffprobe, on files that FFmpeg wrote: whole, unfinished, cut, damaged, and not recordings at all."""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import written
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from written import Picture, Sound, write

from capture.errors import UsageError
from capture.formats import CONTAINERS
from capture.recordings import check as check_module
from capture.recordings.check import CheckReport, StreamReport, check
from capture.recordings.contents import Contents, Track, read_contents
from capture.recordings.structure import Ending, Structure

EXTENSIONS = tuple(CONTAINERS)
WITH_PICTURE = tuple(name for name, container in CONTAINERS.items() if container.holds_video)

#: A fuzzed file is read in milliseconds. A check that takes this long would take even longer with a longer file.
LIMIT_S = 5.0


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write two seconds of each kind of recording, properly closed."""
    folder = tmp_path_factory.mktemp("whole")
    return {extension: write(folder / f"whole.{extension}") for extension in EXTENSIONS}


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write the same recordings in a process that dies before it closes them."""
    folder = tmp_path_factory.mktemp("killed")
    paths = {extension: folder / f"killed.{extension}" for extension in EXTENSIONS}
    subprocess.run([sys.executable, written.__file__, *paths.values()], check=True)
    return paths


def ffprobe(path: Path) -> list[dict[str, Any]]:
    """Return what ffprobe says of each track: kind, codec, picture size or rate, start, end, number of packets."""
    asked = "stream=codec_type,codec_name,width,height,sample_rate,channels,start_time"
    asked += ":packet=stream_index,pts_time,duration_time,flags:frame=stream_index,pts_time,nb_samples"
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries", asked, "-of", "json", path], capture_output=True, check=True
    )
    found = json.loads(done.stdout)
    for index, stream in enumerate(found["streams"]):
        mine = [item for item in found["packets_and_frames"] if item["stream_index"] == index]
        packets = [item for item in mine if item["type"] == "packet" and "D" not in item["flags"]]
        frames = [item for item in mine if item["type"] == "frame" and "nb_samples" in item]
        stream["packets"] = len(packets)
        stream["start_s"] = float(stream.get("start_time", 0.0))
        stream["end_s"] = max(float(packet["pts_time"]) + float(packet.get("duration_time", 0)) for packet in packets)
        if frames:
            # With some codecs the last packet is too long, with others the last decoded block: the shorter one plays.
            last = frames[-1]
            frames_end_s = float(last["pts_time"]) + last["nb_samples"] / int(stream["sample_rate"])
            stream["end_s"] = min(stream["end_s"], frames_end_s)
    return list(found["streams"])


def agrees_with_ffprobe(report: CheckReport, path: Path, *, start_tolerance_s: float) -> bool:
    judged = ffprobe(path)
    assert [stream.kind for stream in report.streams] == [stream["codec_type"] for stream in judged]
    for stream, judge in zip(report.streams, judged, strict=True):
        assert stream.codec == judge["codec_name"]
        assert stream.start_s == pytest.approx(judge["start_s"], abs=start_tolerance_s)
        assert stream.start_s + stream.duration_s == pytest.approx(judge["end_s"], abs=0.01)
        if stream.kind == "video":
            assert (stream.width, stream.height) == (judge["width"], judge["height"])
            assert stream.frames == judge["packets"]
        else:
            assert (stream.sample_rate, stream.channels) == (int(judge["sample_rate"]), judge["channels"])
    return True


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_closed_file_is_whole_and_agrees_with_ffprobe(whole: dict[str, Path], extension: str) -> None:
    report = check(whole[extension])
    assert (report.ok, report.problems, report.ending, report.plays) == (True, (), Ending.WHOLE, True)
    assert agrees_with_ffprobe(report, whole[extension], start_tolerance_s=0.008)
    # Two seconds went in; priming, pre-skip and padding must not count.
    assert [stream.duration_s for stream in report.streams] == pytest.approx([2.0] * len(report.streams), abs=0.002)
    assert report.duration_s == pytest.approx(2.0, abs=0.002)
    kinds = ["video", "audio"] if CONTAINERS[extension].holds_video else ["audio"]
    assert [stream.kind for stream in report.streams] == kinds
    assert [stream.silent for stream in report.streams] == [None, False][-len(kinds) :]


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_recording_of_our_own_is_judged_the_same_without_decoding_a_picture(
    whole: dict[str, Path], killed: dict[str, Path], extension: str
) -> None:
    for path in (whole[extension], killed[extension]):
        assert check(path, limits=False) == check(path)


def test_the_json_has_the_promised_keys_in_order(whole: dict[str, Path]) -> None:
    report = check(whole["mp4"]).as_json()
    assert list(report) == ["path", "ok", "problems", "streams"]
    assert json.loads(json.dumps(report)) == {
        "path": str(whole["mp4"]),
        "ok": True,
        "problems": [],
        "streams": [
            {
                "kind": "video",
                "codec": "h264",
                "start_s": 0.0,
                "duration_s": 2.0,
                "silent": None,
                "width": written.WIDTH,
                "height": written.HEIGHT,
                "frames": 2 * written.FPS,
                "constant_fps": written.FPS,
            },
            {
                "kind": "audio",
                "codec": "aac",
                "start_s": 0.0,
                "duration_s": 2.0,
                "silent": False,
                "sample_rate": written.RATE,
                "channels": 2,
            },
        ],
    }
    assert list(report["streams"][0])[:5] == ["kind", "codec", "start_s", "duration_s", "silent"]


def test_seconds_are_rounded_to_the_millisecond() -> None:
    stream = StreamReport("audio", "opus", 0.00051, 1.23456, False, sample_rate=48_000, channels=1)
    assert (stream.as_json()["start_s"], stream.as_json()["duration_s"]) == (0.001, 1.235)


# Files without a proper end


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_killed_recording_is_reported_as_never_closed_and_plays(killed: dict[str, Path], extension: str) -> None:
    report = check(killed[extension])
    assert (report.ok, report.ending, report.plays) == (False, Ending.NEVER_CLOSED, True)
    assert report.problems == (
        f"the file was never closed: it was cut off after {report.duration_s:.1f} s; the part before plays",
    )
    assert 1.0 < report.duration_s <= 2.0
    # FFmpeg before 7 counts a block of AAC's priming while the edit list that leaves it out is still unwritten.
    assert agrees_with_ffprobe(report, killed[extension], start_tolerance_s=0.022)


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("missing", [1, 100, 0.1, 0.5, 0.7])
def test_a_truncated_copy_never_passes_as_whole(
    whole: dict[str, Path], extension: str, missing: float, tmp_path: Path
) -> None:
    content = whole[extension].read_bytes()
    missing_bytes = missing if isinstance(missing, int) else int(missing * len(content))
    path = tmp_path / f"cut.{extension}"
    path.write_bytes(content[:-missing_bytes])
    report = check(path)
    assert not report.ok
    assert report.ending in (Ending.CUT_OFF, Ending.NEVER_CLOSED)
    assert (
        "never closed" if report.ending is Ending.NEVER_CLOSED else "end of the file is missing"
    ) in report.problems[0]
    if missing_bytes <= 100:
        return
    # The index of a closed MP4 is its last part; nothing plays without it.
    assert report.plays is (CONTAINERS[extension].format not in ("mp4", "mov", "ipod"))
    if report.plays:
        assert report.duration_s == pytest.approx(2.0 * (1 - missing_bytes / len(content)), abs=0.55)
    else:
        assert "nothing that is left of it plays" in report.problems[0]


def test_an_index_at_the_front_lets_a_truncated_file_play(whole: dict[str, Path], tmp_path: Path) -> None:
    ahead = tmp_path / "ahead.mp4"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", whole["mp4"], "-c", "copy", "-movflags", "faststart", ahead], check=True
    )
    assert check(ahead).ok
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(ahead.read_bytes()[: ahead.stat().st_size * 3 // 4])
    report = check(cut)
    assert (report.ending, report.plays) == (Ending.CUT_OFF, True)
    assert report.problems[0].startswith("the end of the file is missing: it stops after 1.")


@pytest.mark.parametrize("extension", ["ogg", "mkv", "mp4", "flac"])
def test_a_recording_killed_at_once_has_nothing_to_play(
    killed: dict[str, Path], extension: str, tmp_path: Path
) -> None:
    path = tmp_path / f"barely.{extension}"
    path.write_bytes(killed[extension].read_bytes()[: {"ogg": 60, "mkv": 600, "mp4": 88, "flac": 60}[extension]])
    report = check(path)
    assert (report.ok, report.plays, report.duration_s) == (False, False, 0.0)
    assert "plays" in report.problems[0]


def test_flac_with_a_missing_middle_is_damaged(whole: dict[str, Path], tmp_path: Path) -> None:
    content = whole["flac"].read_bytes()
    path = tmp_path / "holed.flac"
    path.write_bytes(content[: len(content) // 3] + content[len(content) * 2 // 3 :])
    report = check(path)
    assert (report.ok, report.ending) == (False, Ending.DAMAGED)
    assert report.problems[0].startswith("the file is damaged:")


def test_fragments_closed_by_another_program_are_whole(whole: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "fragments.mp4"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", whole["mp4"], "-c", "copy", "-movflags", "frag_keyframe", path], check=True
    )
    assert check(path).problems == ()


# Silence


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_silence_is_reported_but_not_as_a_problem(extension: str, tmp_path: Path) -> None:
    report = check(write(tmp_path / f"silent.{extension}", (Sound(peak=0.0),)))
    assert report.ok
    assert report.streams[-1].silent is True


@pytest.mark.parametrize(("peak", "silent"), [(1.1e-5, True), (2e-4, False)])
@pytest.mark.parametrize("extension", ["flac", "mp4", "mkv", "ogg", "mp3"])
def test_silence_begins_at_minus_90_dbfs(extension: str, peak: float, silent: bool, tmp_path: Path) -> None:
    report = check(write(tmp_path / f"quiet.{extension}", (Sound(peak=peak),)))
    assert report.streams[-1].silent is silent


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_sound_at_the_very_end_counts(extension: str, tmp_path: Path) -> None:
    report = check(write(tmp_path / f"late.{extension}", (Sound(heard_from_s=1.99),)))
    assert report.streams[-1].silent is False


def test_silence_is_reported_for_each_track(tmp_path: Path) -> None:
    sounds = (Sound(peak=0.0), Sound(), Sound(peak=0.0))
    report = check(write(tmp_path / "three.mkv", sounds))
    assert [stream.silent for stream in report.streams] == [None, True, False, True]


@pytest.mark.parametrize("extension", ["mp4", "ogg"])
def test_without_listen_nothing_is_decoded(whole: dict[str, Path], extension: str) -> None:
    heard = check(whole[extension])
    deaf = check(whole[extension], listen=False)
    assert [stream.silent for stream in deaf.streams] == [None] * len(deaf.streams)
    assert [replace(stream, silent=None) for stream in heard.streams] == list(deaf.streams)


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4", "f8"])
def test_peaks_are_the_same_for_every_sample_format(dtype: str) -> None:
    from capture.recordings.contents import _peak

    wave = np.array([[0.0, 0.25, -0.5]])
    if dtype == "u1":
        samples = (wave * 128 + 128).astype(dtype)
    elif dtype.startswith("i"):
        samples = (wave * 2 ** (8 * int(dtype[1]) - 1)).astype(dtype)
    else:
        samples = wave.astype(dtype)
    assert _peak(samples) == pytest.approx(0.5)
    assert _peak(samples[:, :0]) == 0.0
    assert _peak(np.array([np.iinfo("i2").min], "i2")) == 1.0


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
    begin = time.monotonic()
    report = check(path)
    assert report.problems == ("it cannot be read to the end: its index points to the same bytes several times",)
    assert time.monotonic() - begin < LIMIT_S


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
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(closed=st.booleans(), damage=damages)
def test_any_damage_still_gives_a_report(
    whole: dict[str, Path], killed: dict[str, Path], extension: str, tmp_path: Path, closed: bool, damage: Damage
) -> None:
    undamaged = (whole if closed else killed)[extension].read_bytes()
    path = tmp_path / f"damaged.{extension}"
    path.write_bytes(damage.of(undamaged))
    begin = time.monotonic()
    report = check(path)
    assert time.monotonic() - begin < LIMIT_S
    json.dumps(report.as_json(), allow_nan=False)
    # An MP3 that lost its table of contents looks like one that never had any: nothing shows that frames are missing.
    # A FLAC frame that lost a byte still starts like one; only decoding all of it would show the damage.
    if damage.kind == "cut" or (damage.kind == "piece gone" and extension not in ("mp3", "flac")):
        assert not report.ok


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
