"""`check` says what a file holds, whether it was closed, and whether its sound is silent."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import written
from against_ffprobe import agrees_with_ffprobe
from written import Sound, write

from capture.formats import CONTAINERS
from capture.recordings.check import StreamReport, check
from capture.recordings.structure import Ending

EXTENSIONS = tuple(CONTAINERS)


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
