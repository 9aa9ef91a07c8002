"""`capture record`: picture and sound are in the file, in the right place and at the right time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from conftest import PROJECT, RunCapture, StartCapture
from reopened import Picture, each_picture, first_loud_s, loudness, pictures, probe, sound
from running import Recorder, kinds
from stage import (
    BLACK,
    BLUE,
    CURSOR_HOT,
    CURSOR_SIDE,
    GREEN,
    GREY,
    RED,
    WHITE,
    Colour,
    Stage,
    module,
    pactl,
    playing,
    point_at,
    write_tone,
)

from capture.virtual.desk import VirtualDesk

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

#: How far codecs and 4:2:0 subsampling may change a colour in the middle of an area.
COLOUR_TOLERANCE: Final = 14

LONG_TONE_S: Final = 60.0

#: The longest block of any codec: sound ends with a whole block.
BLOCK_S: Final = 0.024

VIDEO_CODECS: Final = {"mp4": "h264", "mov": "h264", "mkv": "h264", "webm": "vp8"}
AUDIO_CODECS: Final = {
    **{"mp4": "aac", "mov": "aac", "mkv": "opus", "webm": "opus"},
    **{"ogg": "opus", "opus": "opus", "m4a": "aac", "mp3": "mp3", "flac": "flac", "wav": "pcm_s16le"},
}


@pytest.fixture(scope="session")
def tone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tone of 440 Hz, longer than any recording here."""
    return write_tone(tmp_path_factory.mktemp("tone") / "tone.wav", 440.0, LONG_TONE_S)


def is_colour(picture: Picture, x: int, y: int, colour: Colour) -> bool:
    return bool(abs(picture[y, x].astype(int) - colour).max() <= COLOUR_TOLERANCE)


def assert_colour(picture: Picture, x: int, y: int, colour: Colour) -> None:
    assert is_colour(picture, x, y, colour), f"{picture[y, x].tolist()} at {x},{y}, not {colour}"


def assert_tone(path: Path, hz: float = 440.0, number: int = 0) -> None:
    """Assert that the track is a loud sine of `hz`, except for its edges."""
    track = sound(path, number)
    middle = track.between(0.3, track.end_s - 0.3)
    assert loudness(middle, hz, track.rate) > 0.3
    assert loudness(middle, hz * 1.5, track.rate) < 0.01


# Formats


@dataclass(frozen=True)
class Recorded:
    """A recorded file, its summary and the exit code."""

    path: Path
    summary: dict[str, Any]
    exit_code: int


@pytest.fixture(scope="module")
def recorded(desk: VirtualDesk, tone: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recorded]:
    """Two seconds in every format, by extension: a red and a green area, and a tone."""
    folder = tmp_path_factory.mktemp("formats")
    environment = {**desk.environment_of(os.environ), "HOME": str(folder), "PYTHONPATH": str(PROJECT)}
    found = {}
    with Stage(environment) as stage:
        stage.paint(100, 50, 200, 100, RED)
        stage.paint(801, 301, 101, 77, GREEN)
        # More at once would delay each other's start by seconds.
        for extensions in (("mp4", "mov"), ("mkv", "webm"), ("ogg", "opus", "m4a"), ("mp3", "flac", "wav")):
            paths = [folder / f"out.{extension}" for extension in extensions]
            # A new tone for each group: one tone might not last for all of them.
            with playing(environment, tone, desk.sink), ExitStack() as running:
                recorders = [
                    running.enter_context(Recorder(environment, folder, "record", path, "--duration", "2", "--json"))
                    for path in paths
                ]
                for extension, path, recorder in zip(extensions, paths, recorders, strict=True):
                    found[extension] = Recorded(path, recorder.summary(), recorder.wait())
    return found


@pytest.mark.parametrize("extension", VIDEO_CODECS)
def test_picture_and_sound_start_and_end_together(extension: str, recorded: dict[str, Recorded]) -> None:
    path = recorded[extension].path
    found, track = pictures(path), sound(path)
    assert recorded[extension].exit_code == 0
    assert found.moments_s == sorted(set(found.moments_s))
    assert abs(found.moments_s[0] - track.start_s) <= 0.02
    assert abs(found.end_s - track.end_s) <= 1 / 30 + BLOCK_S
    assert abs(found.end_s - 2.0) <= 0.1
    assert abs(track.end_s - 2.0) <= 0.1


@pytest.mark.parametrize("extension", VIDEO_CODECS)
def test_picture_and_sound_are_recorded_as_they_were(extension: str, recorded: dict[str, Recorded]) -> None:
    path = recorded[extension].path
    last = pictures(path).last
    assert last.shape == (720, 1280, 3)
    assert_colour(last, 200, 100, RED)
    assert_colour(last, 850, 340, GREEN)
    assert_colour(last, 640, 600, BLACK)
    assert_tone(path)
    streams = {stream["codec_type"]: stream for stream in probe(path)["streams"]}
    video, audio = streams["video"], streams["audio"]
    assert (video["codec_name"], audio["codec_name"]) == (VIDEO_CODECS[extension], AUDIO_CODECS[extension])
    # The same matrix by two names: VP8 decoders assume the first, QuickTime knows the second.
    assert video["color_space"] == ("bt470bg" if extension == "webm" else "smpte170m")
    assert video["color_range"] == "tv"
    assert (audio["sample_rate"], audio["channels"]) == ("48000", 2)


@pytest.mark.parametrize("extension", VIDEO_CODECS)
def test_the_summary_matches_the_file(extension: str, recorded: dict[str, Recorded]) -> None:
    path, summary = recorded[extension].path, recorded[extension].summary
    about = probe(path)
    streams = {stream["codec_type"]: stream for stream in about["streams"]}
    assert list(summary) == [
        *("path", "container", "duration_s", "size_bytes", "video", "audio", "paused_s", "events", "stopped_by"),
        "check",
    ]
    assert (summary["path"], summary["container"]) == (str(path), extension)
    assert summary["size_bytes"] == path.stat().st_size == int(about["format"]["size"])
    assert abs(summary["duration_s"] - float(about["format"]["duration"])) <= 0.03
    assert (summary["paused_s"], summary["stopped_by"], summary["check"]) == (0.0, "duration", "ok")
    video = dict(summary["video"])
    assert video.pop("unchanged") > 0
    assert video.pop("dropped") >= 0
    # VP8 has only one encoder, so there is no choice to explain.
    assert ("encoder_choice" in video) is (extension != "webm")
    assert video.pop("encoder_choice", video["encoder"]).startswith(video["encoder"])
    assert video == {
        "codec": streams["video"]["codec_name"],
        "encoder": "libvpx" if extension == "webm" else "libx264",
        "width": streams["video"]["width"],
        "height": streams["video"]["height"],
        "frames": len(pictures(path).moments_s),
    }
    (audio,) = (dict(track) for track in summary["audio"])
    assert abs(audio.pop("duration_s") - 2.0) <= 0.1
    assert audio.pop("peak_dbfs") == pytest.approx(-6.0, abs=0.5)
    assert 0.0 <= audio.pop("inserted_silence_s") < 0.5
    assert abs(audio.pop("drift_ppm")) < 1000
    assert audio == {
        "source": "internal",
        "device": "Virtual desk",
        "codec": streams["audio"]["codec_name"],
        "sample_rate": int(streams["audio"]["sample_rate"]),
        "channels": streams["audio"]["channels"],
        "silent": False,
    }


@pytest.mark.parametrize("extension", sorted(AUDIO_CODECS.keys() - VIDEO_CODECS.keys()))
def test_audio_formats_have_only_sound(extension: str, recorded: dict[str, Recorded]) -> None:
    path, summary = recorded[extension].path, recorded[extension].summary
    assert recorded[extension].exit_code == 0
    (stream,) = probe(path)["streams"]
    assert stream["codec_name"] == AUDIO_CODECS[extension]
    track = sound(path)
    # FFmpeg starts an MP3 after the samples that the encoder adds at the front.
    assert abs(track.start_s) <= (0.03 if extension == "mp3" else 0.02)
    assert abs(track.end_s - track.start_s - 2.0) <= 0.1
    assert_tone(path)
    assert (summary["video"], summary["container"], summary["check"]) == (None, extension, "ok")
    assert abs(summary["duration_s"] - 2.0) <= 0.1
    assert [audio["codec"] for audio in summary["audio"]] == [AUDIO_CODECS[extension]]


@pytest.mark.parametrize("extension", AUDIO_CODECS)
def test_every_file_decodes_without_errors(extension: str, recorded: dict[str, Recorded]) -> None:
    # Set the time base, or FFmpeg would count in the frame rate that it guesses.
    arguments = ["-i", str(recorded[extension].path), "-enc_time_base:v", "1:90000", "-f", "null", "-"]
    decoded = subprocess.run(
        ["ffmpeg", "-v", "error", "-xerror", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (decoded.returncode, decoded.stderr) == (0, "")


def test_the_file_is_private_from_the_start(start_capture: StartCapture, tmp_path: Path) -> None:
    path = tmp_path / "private.mkv"
    before = os.umask(0)
    try:
        with start_capture("record", path, "--json") as recorder:
            recorder.until(path.exists, "the file")
            assert path.stat().st_mode & 0o777 == 0o600
            recorder.until_recording(path)
            recorder.stop()
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600


def test_overwrite_replaces_an_existing_file(run_capture: RunCapture, tmp_path: Path) -> None:
    path = tmp_path / "again.wav"
    path.write_bytes(bytes(1_000_000))
    path.chmod(0o644)
    done = run_capture("record", path, "--duration", "0.5", "--overwrite", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["size_bytes"] == path.stat().st_size < 200_000
    assert path.stat().st_mode & 0o777 == 0o600
    assert abs(sound(path).end_s - 0.5) <= 0.1


def test_a_recording_without_a_name_goes_to_the_recordings_folder(run_capture: RunCapture, tmp_path: Path) -> None:
    done = run_capture("record", "--screen", "none", "--duration", "0.5", "--json")
    assert done.returncode == 0, done.stderr
    path = Path(json.loads(done.stdout)["path"])
    assert path.parent == tmp_path / "home" / "Music" / "Captures"
    assert path.suffix == ".ogg"
    assert path.is_file()
    assert str(path) in done.stderr


def test_a_name_that_looks_like_a_protocol_is_a_file_name(run_capture: RunCapture, tmp_path: Path) -> None:
    done = run_capture("record", "rec-12:30 é.mp4", "--source", "pattern", "--duration", "0.5")
    assert done.returncode == 0, done.stderr
    assert [file.name for file in tmp_path.glob("*.mp4")] == ["rec-12:30 é.mp4"]


# The picture


@pytest.mark.usefixtures("stage")
def test_a_still_screen_needs_few_frames(run_capture: RunCapture, tmp_path: Path) -> None:
    done = run_capture("record", "still.mp4", "--duration", "2", "--audio", "none", "--json")
    video = json.loads(done.stdout)["video"]
    found = pictures(tmp_path / "still.mp4")
    assert video["frames"] == len(found.moments_s) <= 8
    # The last frame may fall in a slot that was already counted.
    assert 59 <= video["frames"] + video["unchanged"] + video["dropped"] <= 61
    assert found.moments_s[0] == 0.0
    assert abs(found.end_s - 2.0) <= 0.05


@pytest.mark.usefixtures("stage")
def test_constant_fps_is_an_exact_grid(run_capture: RunCapture, tmp_path: Path) -> None:
    done = run_capture("record", "grid.mp4", "--duration", "1.5", "--constant-fps", "--fps", "25", "--json")
    assert done.returncode == 0, done.stderr
    found = pictures(tmp_path / "grid.mp4")
    video = json.loads(done.stdout)["video"]
    assert video["frames"] == len(found.moments_s)
    assert found.moments_s == pytest.approx([number / 25 for number in range(len(found.moments_s))], abs=1e-6)
    assert abs(found.end_s - 1.5) <= 1 / 25


def test_audio_none_records_no_sound(run_capture: RunCapture, tmp_path: Path) -> None:
    done = run_capture("record", "mute.mkv", "--duration", "0.5", "--audio", "none", "--json")
    assert json.loads(done.stdout)["audio"] == []
    assert [stream["codec_type"] for stream in probe(tmp_path / "mute.mkv")["streams"]] == ["video"]


def test_changes_at_edges_and_corners_are_recorded(stage: Stage, start_capture: StartCapture, tmp_path: Path) -> None:
    path = tmp_path / "edges.mkv"
    right, bottom = stage.width, stage.height
    spots = {
        (0, 0): RED,
        (right - 16, 0): GREEN,
        (0, bottom - 16): BLUE,
        (right - 16, bottom - 16): WHITE,
        (right // 2, 0): BLUE,
        (right // 2, bottom - 16): RED,
        (0, bottom // 2): WHITE,
        (right - 16, bottom // 2): GREY,
    }
    arguments = ("record", path, "--quality", "high", "--no-cursor", "--json")
    with start_capture(*arguments) as recorder:
        recorder.until_recording(path)
        for (left, top), colour in spots.items():
            stage.paint(left, top, 16, 16, colour)
            # One after another: each change must be noticed by itself.
            recorder.until_grown(path, 1)
        recorder.until_grown(path, 2)
        summary = recorder.stop()
    last = pictures(path).last
    for (left, top), colour in spots.items():
        assert_colour(last, left + 8, top + 8, colour)
    for x, y in ((0, 0), (right - 1, bottom - 1), (right - 1, 0), (0, bottom - 1)):
        near = (min(max(x, 8), right - 8), min(max(y, 8), bottom - 8))
        assert abs(last[y, x].astype(int) - last[near[1], near[0]]).max() <= 2 * COLOUR_TOLERANCE
    assert summary["video"]["frames"] >= len(spots)


def luma_edges(line: Any) -> tuple[int, int]:
    """Return the start and end of the white stretch in a line of RGB pixels."""
    bright = [index for index, pixel in enumerate(line) if pixel.mean() > 127]
    return bright[0], bright[-1] + 1


def test_a_region_at_an_odd_offset_is_exact(stage: Stage, run_capture: RunCapture, tmp_path: Path) -> None:
    stage.paint(333, 177, 100, 60, WHITE)
    done = run_capture(
        *("record", "region.mp4", "--region", "320x240+301+151", "--quality", "high"),
        *("--no-cursor", "--audio", "none", "--duration", "0.7", "--json"),
    )
    assert done.returncode == 0, done.stderr
    last = pictures(tmp_path / "region.mp4").last
    assert last.shape == (240, 320, 3)
    assert luma_edges(last[50]) == (32, 132)
    assert luma_edges(last[:, 80]) == (26, 86)


def test_an_odd_region_is_cropped_and_says_so(stage: Stage, run_capture: RunCapture, tmp_path: Path) -> None:
    stage.paint(200, 100, 101, 51, WHITE)
    done = run_capture(
        *("record", "odd.mp4", "--region", "301x201+100+50", "--quality", "high"),
        *("--no-cursor", "--audio", "none", "--duration", "0.7", "--json"),
    )
    assert done.returncode == 0, done.stderr
    assert "301x201 cropped to 300x200" in done.stderr
    summary = json.loads(done.stdout)
    assert (summary["video"]["width"], summary["video"]["height"]) == (300, 200)
    assert kinds(summary) == ["cropped"]
    last = pictures(tmp_path / "odd.mp4").last
    assert last.shape == (200, 300, 3)
    assert luma_edges(last[70]) == (100, 201)
    assert luma_edges(last[:, 150]) == (50, 101)


def test_scale_changes_the_size_of_the_picture(stage: Stage, run_capture: RunCapture, tmp_path: Path) -> None:
    stage.paint(320, 180, 640, 360, BLUE)
    stage.paint(0, 0, 160, 90, RED)
    done = run_capture(
        *("record", "small.mp4", "--scale", "640x360", "--no-cursor"),
        *("--audio", "none", "--duration", "0.7", "--json"),
    )
    assert done.returncode == 0, done.stderr
    last = pictures(tmp_path / "small.mp4").last
    assert last.shape == (360, 640, 3)
    assert_colour(last, 320, 180, BLUE)
    assert_colour(last, 40, 22, RED)
    assert_colour(last, 120, 300, BLACK)
    assert_colour(last, 170, 100, BLUE)
    assert_colour(last, 470, 260, BLUE)
    summary = json.loads(done.stdout)
    assert (summary["video"]["width"], summary["video"]["height"]) == (640, 360)


def test_the_cursor_is_recorded_where_it_was(
    stage: Stage, capture_environment: dict[str, str], start_capture: StartCapture, tmp_path: Path
) -> None:
    path = tmp_path / "cursor.mkv"
    point_at(capture_environment, 101, 201)
    with start_capture("record", path, "--quality", "high", "--json") as recorder:
        recorder.until_recording(path)
        # Only the cursor moves; nothing is drawn.
        point_at(capture_environment, 640, 360)
        recorder.until_grown(path)
        point_at(capture_environment, 1270, 710)
        recorder.until_grown(path)
        recorder.stop()
    (_, first), *_, (_, last) = each_picture(path)
    for picture, x, y in ((first, 101, 201), (last, 1270, 710)):
        left, top = x - CURSOR_HOT, y - CURSOR_HOT
        assert_colour(picture, left + 8, top + 8, RED)
        assert_colour(picture, left - 4, top + 8, BLACK)
        assert_colour(picture, left + 8, top - 4, BLACK)
    assert_colour(first, 101 - CURSOR_HOT + CURSOR_SIDE + 4, 205, BLACK)
    # No trace is left at its earlier places.
    assert_colour(last, 105, 205, BLACK)
    assert_colour(last, 644, 364, BLACK)


@pytest.mark.usefixtures("stage")
def test_no_cursor_records_no_cursor(
    capture_environment: dict[str, str], run_capture: RunCapture, tmp_path: Path
) -> None:
    point_at(capture_environment, 640, 360)
    run_capture("record", "bare.mp4", "--no-cursor", "--audio", "none", "--duration", "0.5")
    assert pictures(tmp_path / "bare.mp4").last.max() <= COLOUR_TOLERANCE


def test_changes_are_as_far_apart_as_they_were_painted(
    stage: Stage, start_capture: StartCapture, tmp_path: Path
) -> None:
    path = tmp_path / "turns.mp4"
    painted_s = []
    with start_capture("record", path, "--no-cursor", "--json") as recorder:
        recorder.until_recording(path)
        for colour in (RED, GREEN, BLUE):
            stage.paint(0, 0, 1280, 720, colour)
            painted_s.append(time.monotonic())
            recorder.until_grown(path, 2)
        recorder.stop()
    shown_s = [
        next(moment_s for moment_s, picture in each_picture(path) if is_colour(picture, 640, 360, colour))
        for colour in (RED, GREEN, BLUE)
    ]
    assert is_colour(next(each_picture(path))[1], 640, 360, BLACK)
    for number in (1, 2):
        apart_s = painted_s[number] - painted_s[0]
        # One and a half frames, plus the delay of a busy machine.
        assert shown_s[number] - shown_s[0] == pytest.approx(apart_s, abs=0.2)


# The sound


@pytest.fixture
def microphone(desk: VirtualDesk, desk_environment: dict[str, str]) -> Iterator[str]:
    """A microphone that hears what is played to the output `room`; yields its id."""
    with (
        module(desk_environment, "module-null-sink", "sink_name=room", "norewinds=1", "rate=48000"),
        module(
            desk_environment,
            *(
                "module-remap-source",
                "master=room.monitor",
                "source_name=studio",
                "channels=1",
                "master_channel_map=left",
                "channel_map=mono",
                "remix=no",
            ),
        ),
    ):
        pactl(desk_environment, "set-default-source", "studio")
        yield "studio"
        pactl(desk_environment, "set-default-source", f"{desk.sink}.monitor")


def test_two_sources_become_two_tracks_or_one_mix(
    microphone: str,
    tone: Path,
    desk: VirtualDesk,
    capture_environment: dict[str, str],
    start_capture: StartCapture,
    tmp_path: Path,
) -> None:
    high = write_tone(tmp_path / "high.wav", 1000.0, LONG_TONE_S, level=0.4)
    two, mixed = tmp_path / "two.mkv", tmp_path / "mixed.ogg"
    common = ("--duration", "2", "--json")
    with (
        playing(capture_environment, tone, desk.sink),
        playing(capture_environment, high, "room"),
        start_capture(
            *("record", two, "--screen", "none", "--audio", "internal", "--audio", microphone, *common),
        ) as recorder_of_two,
        start_capture("record", mixed, "--audio", "internal+mic", *common) as recorder_of_mix,
    ):
        summary_of_two, summary_of_mix = recorder_of_two.summary(), recorder_of_mix.summary()

    assert [stream["codec_type"] for stream in probe(two)["streams"]] == ["audio", "audio"]
    for number, (own_hz, other_hz) in enumerate(((440.0, 1000.0), (1000.0, 440.0))):
        track = sound(two, number)
        assert abs(track.end_s - 2.0) <= 0.1
        assert loudness(track.between(0.3, 1.7), own_hz, track.rate) > 0.3
        assert loudness(track.between(0.3, 1.7), other_hz, track.rate) < 0.01
    assert [track["source"] for track in summary_of_two["audio"]] == ["internal", microphone]
    assert [track["channels"] for track in summary_of_two["audio"]] == [2, 1]
    assert summary_of_two["video"] is None

    track = sound(mixed)
    assert abs(track.end_s - 2.0) <= 0.1
    for hz in (440.0, 1000.0):
        assert loudness(track.between(0.3, 1.7), hz, track.rate) > 0.3
    assert [track["source"] for track in summary_of_mix["audio"]] == ["internal+mic"]
    assert summary_of_mix["check"] == "ok"


def test_an_unused_output_is_silent_until_something_plays(
    tone: Path, desk: VirtualDesk, capture_environment: dict[str, str], start_capture: StartCapture, tmp_path: Path
) -> None:
    path = tmp_path / "late.wav"
    with (
        module(capture_environment, "module-null-sink", "sink_name=unused"),
        start_capture("record", path, "--audio", "unused.monitor", "--json") as recorder,
    ):
        # The output delivers nothing yet, but the file grows.
        recorder.until_recording(path)
        recorder.until_grown(path)
        quiet_s = path.stat().st_size / 192_000
        with playing(capture_environment, tone, "unused"):
            recorder.until(lambda: path.stat().st_size / 192_000 > quiet_s + 3.0, "three more seconds")
            summary = recorder.stop()
    track = sound(path)
    begin_s = first_loud_s(track)
    assert quiet_s <= begin_s < track.end_s - 0.5
    assert abs(track.between(0.0, begin_s - 0.01)).max() == 0.0
    assert loudness(track.between(begin_s + 0.1, track.end_s - 0.1), 440.0, track.rate) > 0.3
    # An idle output delivers silence itself, sometimes within the second for which capture waits.
    assert summary["audio"][0]["inserted_silence_s"] <= begin_s + 0.001
    assert summary["audio"][0]["silent"] is False


def test_a_silent_track_is_reported(run_capture: RunCapture) -> None:
    done = run_capture("record", "silent.ogg", "--duration", "0.5", "--json")
    (track,) = json.loads(done.stdout)["audio"]
    assert track["silent"] is True
    assert "the track internal is silent: nothing was playing on Virtual desk" in done.stderr


def test_no_recording_starts_before_its_sound(
    capture_environment: dict[str, str], start_capture: StartCapture, desk: VirtualDesk, tone: Path, tmp_path: Path
) -> None:
    with playing(capture_environment, tone, desk.sink):
        for number in range(3):
            path = tmp_path / f"{number}.ogg"
            with start_capture("record", path, "--duration", "0.3", "--json") as recorder:
                (track,) = recorder.summary()["audio"]
            assert track["inserted_silence_s"] <= 0.01
