"""Recordings made smaller or converted; the tests open the results again with FFmpeg."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from reopened import each_picture, first_loud_s, probe, sound
from written import Picture, Sound, write

from capture.codecs.audio_encoder import AudioEncoder
from capture.codecs.video_encoder import VideoEncoder
from capture.errors import RecordingError, UsageError
from capture.formats import CLIP_FORMATS, CONTAINERS
from capture.media import SAMPLE_RATE
from capture.output.muxer import Muxer
from capture.recordings import transcode
from capture.recordings.animation_report import report_animation
from capture.recordings.check import check
from capture.recordings.encoding_plan import Plan
from capture.recordings.reencode import reencode
from capture.recordings.transcode import convert, fit
from capture.sources.pattern import pattern_tone

WIDTH, HEIGHT = 320, 180
LENGTH_S = 4


def busy(path: Path, *, still: bool = False, length_s: int = LENGTH_S) -> Path:
    """Write a recording whose picture takes many bytes, with a beep at each whole second."""
    kind = CONTAINERS[path.suffix[1:]]
    assert kind.video_codec is not None
    video = VideoEncoder(kind.video_codec, WIDTH, HEIGHT, 15, quality="high")
    audio = AudioEncoder(kind.audio_codec, 2)
    muxer = Muxer(path, kind)
    muxer.start([video.template, audio.template])
    noise = np.random.default_rng(3).integers(0, 255, (HEIGHT, WIDTH * 2, 4), np.uint8)
    for slot in range(length_s * 15):
        shift = 0 if still else slot * 3
        picture = np.ascontiguousarray(noise[:, shift : shift + WIDTH])
        packets = video.encode(picture, slot * 6000) if not still or slot == 0 else video.repeat(slot * 6000)
        start = slot * SAMPLE_RATE // 15
        for packet in packets:
            muxer.write(0, packet)
        for sounding in audio.encode(pattern_tone(start, SAMPLE_RATE // 15)):
            muxer.write(1, sounding)
    for packet in video.finish():
        muxer.write(0, packet)
    for sounding in audio.finish():
        muxer.write(1, sounding)
    muxer.close()
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("extension", "limit_bytes"), [("mp4", 500_000), ("mp4", 150_000), ("mkv", 300_000)])
def test_a_recording_is_made_to_fit(extension: str, limit_bytes: int, tmp_path: Path) -> None:
    path = busy(tmp_path / f"made.{extension}")
    assert path.stat().st_size > limit_bytes
    assert fit(path, limit_bytes) == path
    assert limit_bytes * 0.97 <= path.stat().st_size <= limit_bytes
    report = check(path)
    assert report.ok, report.problems
    assert report.duration_s == pytest.approx(LENGTH_S, abs=0.1)
    picture, _ = report.streams
    assert picture.width / picture.height == pytest.approx(WIDTH / HEIGHT, rel=0.03)
    track = sound(path)
    assert first_loud_s(track, 0.1) == pytest.approx(0, abs=0.005)
    for second in range(1, LENGTH_S):
        assert np.abs(track.between(second - 0.1, second - 0.02)).max() < 0.05
        assert np.abs(track.between(second + 0.02, second + 0.08)).max() > 0.3
    assert names(tmp_path) == [path.name]


def test_a_recording_that_fits_already_stays_byte_for_byte(tmp_path: Path) -> None:
    path = write(tmp_path / "small.mp4")
    before = path.read_bytes()
    assert fit(path, 10_000_000) == path
    assert path.read_bytes() == before


def assert_reported(path: Path, *, length_s: float = LENGTH_S) -> None:
    """Assert that the report of the animation at `path` agrees with FFmpeg, and that no start of it is complete."""
    found = report_animation(path)
    assert (found.codec, found.width, found.height) == (path.suffix[1:], WIDTH, HEIGHT)
    if path.suffix == ".gif":
        assert found.frames == len(list(each_picture(path)))
    assert found.duration_s == pytest.approx(length_s, abs=0.3)
    data, part = path.read_bytes(), path.with_stem("part")
    for kept in (len(data) - 1, len(data) // 2, 20, 0):
        part.write_bytes(data[:kept])
        with pytest.raises(RecordingError, match="damaged"):
            report_animation(part)
    part.unlink()


@pytest.mark.parametrize("form", CLIP_FORMATS)
def test_a_recording_is_converted(form: str, tmp_path: Path) -> None:
    path = busy(tmp_path / "made.mkv")
    before = path.read_bytes()
    made = convert(path, form)
    assert made == tmp_path / f"made.{form}"
    assert names(tmp_path) == sorted([f"made.{form}", "made.mkv"])
    assert path.read_bytes() == before
    if form in ("gif", "webp"):
        assert_reported(made)
    if form == "webp":
        assert made.read_bytes()[8:12] == b"WEBP"
        # FFmpeg cannot read animated WebP. Each frame states its duration in milliseconds, in three bytes.
        data = made.read_bytes()
        frames = [place for place in range(len(data)) if data.startswith(b"ANMF", place)]
        assert len(frames) > LENGTH_S * 8
        shown_ms = sum(int.from_bytes(data[place + 20 : place + 23], "little") for place in frames)
        assert shown_ms == pytest.approx(LENGTH_S * 1000, abs=100)
        return
    if form == "gif":
        pictures = list(each_picture(made))
        assert len(pictures) == pytest.approx(LENGTH_S * 15, abs=2)
        assert pictures[0][1].shape == (HEIGHT, WIDTH, 3)
        with av.open(str(made)) as container:
            assert (container.duration or 0) / 1e6 == pytest.approx(LENGTH_S, abs=0.3)
        return
    report = check(made)
    assert report.ok, report.problems
    assert [track.kind for track in report.streams] == (["video", "audio"] if form == "mp4" else ["audio"])
    assert report.duration_s == pytest.approx(LENGTH_S, abs=0.1)
    assert first_loud_s(sound(made), 0.1) == pytest.approx(0, abs=0.005)
    with pytest.raises(UsageError, match="exists"):
        convert(path, form)


@pytest.mark.parametrize("form", ["gif", "webp"])
def test_a_still_screen_is_converted(form: str, tmp_path: Path) -> None:
    made = convert(busy(tmp_path / "made.mkv", still=True, length_s=1), form)
    # FFmpeg reads this WebP: libwebp writes frames that are all the same as one picture.
    assert [picture.shape for _, picture in each_picture(made)][:1] == [(HEIGHT, WIDTH, 3)]
    assert_reported(made, length_s=1 if form == "gif" else 0)
    assert names(tmp_path) == sorted([made.name, "made.mkv"])


def test_a_webp_without_a_picture_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "made.webp"
    body = b"WEBP" + b"ANIM" + (6).to_bytes(4, "little") + b"ANMFxx"
    path.write_bytes(b"RIFF" + len(body).to_bytes(4, "little") + body)
    with pytest.raises(RecordingError, match="damaged"):
        report_animation(path)


def test_a_variable_rate_is_not_stated_as_its_average(tmp_path: Path) -> None:
    path, made = tmp_path / "made.mp4", tmp_path / "made.mkv"
    encoder = VideoEncoder("h264", 64, 48, 30)
    muxer = Muxer(path, CONTAINERS["mp4"])
    muxer.start([encoder.template])
    for slot in (0, 16, 33, 49, *range(60, 75)):
        for packet in encoder.encode(np.full((48, 64, 4), 3 * slot, np.uint8), slot * 3000):
            muxer.write(0, packet)
    muxer.close()
    reencode(path, made, CONTAINERS["mkv"], Plan(math.inf, 0, (64, 48)), 2.5)
    with av.open(str(path)) as old, av.open(str(made)) as new:
        assert float(old.streams.video[0].average_rate or 0) < 10
        assert float(new.streams.video[0].average_rate or 0) in (30, 60)


@pytest.mark.parametrize("extension", ["mp4", "mkv", "webm"])
@pytest.mark.parametrize("last_s", [0.02, 0.3, 3.0])
def test_the_last_frame_of_a_still_screen_ends_with_the_recording(
    extension: str, last_s: float, tmp_path: Path
) -> None:
    # A still picture is repeated every 0.55 s. FFmpeg gives the last frame the length of the one before.
    path, made = tmp_path / f"still.{extension}", tmp_path / f"made.{extension}"
    kind = CONTAINERS[extension]
    video, audio = VideoEncoder(str(kind.video_codec), WIDTH, HEIGHT, 30), AudioEncoder(kind.audio_codec, 2)
    muxer = Muxer(path, kind)
    muxer.start([video.template, audio.template], crash_safe=False)
    packets = video.encode(np.zeros((HEIGHT, WIDTH, 4), np.uint8), 0)
    packets += [packet for number in (1, 2, 3) for packet in video.repeat(number * 49_500)]
    packets += video.finish()
    sounds = [*audio.encode(pattern_tone(0, round((3 * 0.55 + last_s) * SAMPLE_RATE))), *audio.finish()]
    for track, packet in sorted(
        [(0, packet) for packet in packets] + [(1, packet) for packet in sounds],
        key=lambda each: float((each[1].dts or 0) * (each[1].time_base or 1)),
    ):
        muxer.write(track, packet)
    muxer.close()
    muxer.keep()
    reencode(path, made, kind, Plan(math.inf, 64_000, (WIDTH, HEIGHT)), 1.65 + last_s)
    report = check(made)
    assert report.problems == ()
    picture, sound_track = report.streams
    assert picture.duration_s == pytest.approx(sound_track.duration_s, abs=0.045)


@pytest.mark.parametrize(("form", "limit_bytes"), [("gif", 100_000), ("webp", 50_000), ("ogg", 20_000)])
def test_a_converted_recording_fits_as_well(form: str, limit_bytes: int, tmp_path: Path) -> None:
    path = busy(tmp_path / "made.mp4", length_s=LENGTH_S if form == "ogg" else 1)
    made = fit(path, limit_bytes, form)
    assert limit_bytes * 0.5 <= made.stat().st_size <= limit_bytes
    assert names(tmp_path) == sorted(["made.mp4", made.name])


def test_a_still_screen_keeps_its_width_and_height(tmp_path: Path) -> None:
    path = busy(tmp_path / "made.mp4", still=True)
    limit_bytes = path.stat().st_size * 3 // 4
    fit(path, limit_bytes)
    assert path.stat().st_size <= limit_bytes
    stream = next(one for one in probe(path)["streams"] if one["codec_type"] == "video")
    assert (stream["width"], stream["height"]) == (WIDTH, HEIGHT)


@pytest.mark.parametrize(("form", "least"), [("mp4", 5_000), ("gif", 1_000), ("ogg", 2_000)])
def test_the_error_names_the_smallest_possible_size(form: str, least: int, tmp_path: Path) -> None:
    # A GIF is short here: every attempt chooses the colours and paints all frames again.
    path = busy(tmp_path / "made.mp4", length_s=1 if form == "gif" else LENGTH_S)
    before = path.read_bytes()
    with pytest.raises(UsageError, match=r"the smallest possible is \d+KB") as caught:
        fit(path, 500, form)
    possible_bytes = int(caught.value.remedy.rpartition(" ")[2].removesuffix("KB")) * 1000
    assert possible_bytes > least
    assert path.read_bytes() == before
    assert names(tmp_path) == ["made.mp4"]
    assert fit(path, possible_bytes, form).stat().st_size <= possible_bytes


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
@pytest.mark.parametrize(("form", "writer"), [("gif", "write_animation"), ("ogg", "reencode")])
def test_attempts_are_out_of_reach_of_other_users(
    form: str, writer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = busy(tmp_path / "made.mp4", length_s=1)
    modes = []
    write_it = getattr(transcode, writer)

    def watched(recording: Path, attempt: Path, *rest: Any) -> None:
        write_it(recording, attempt, *rest)
        modes.extend([attempt.stat().st_mode & 0o777, attempt.parent.stat().st_mode & 0o777])
        # Only a folder that is ours lies beside the recording.
        assert attempt.parent.parent == tmp_path

    monkeypatch.setattr(transcode, writer, watched)
    before = os.umask(0)
    try:
        convert(path, form)
    finally:
        os.umask(before)
    assert modes == [0o600, 0o700]
    assert names(tmp_path) == sorted(["made.mp4", f"made.{form}"])


def test_an_impossible_conversion_is_refused_and_changes_no_file(tmp_path: Path) -> None:
    silent = write(tmp_path / "silent.mp4", sounds=(), picture=Picture())
    with pytest.raises(UsageError, match="no sound"):
        convert(silent, "ogg")
    song = write(tmp_path / "song.flac", (Sound(),), None)
    with pytest.raises(UsageError, match="no picture"):
        convert(song, "gif")
    with pytest.raises(UsageError, match="cannot be made smaller"):
        fit(song, 1000)
    with pytest.raises(UsageError, match="cannot convert to 'avi'"):
        convert(song, "avi")
    (tmp_path / "torn.mp4").write_bytes(b"nothing that plays")
    with pytest.raises(RecordingError):
        fit(tmp_path / "torn.mp4", 10)
    assert names(tmp_path) == ["silent.mp4", "song.flac", "torn.mp4"]
