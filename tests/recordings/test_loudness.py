"""Loudness before and after, measured by FFmpeg itself, and that nothing else changes."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from reopened import first_loud_s, pictures, sound
from written import Picture, Sound, write

from capture.codecs.audio_encoder import AudioEncoder
from capture.codecs.video_encoder import VideoEncoder
from capture.errors import OutputError, RecordingError, UsageError
from capture.formats import CONTAINERS
from capture.media import SAMPLE_RATE, SampleArray
from capture.output.chapters import Chapter
from capture.output.muxer import Muxer
from capture.parsing import parse_loudness
from capture.recordings import loudness as module
from capture.recordings.check import check
from capture.recordings.loudness import TRUE_PEAK_DBTP, Loudness, measure, normalise
from capture.recordings.rewrite import chapters_of, opened

WITH_PICTURE = [name for name, kind in CONTAINERS.items() if kind.holds_video]
TARGET_LUFS = -16.0


def counted(path: Path, track: int = 0) -> Loudness:
    """Return what the `ffmpeg` command measures."""
    command = ["ffmpeg", "-hide_banner", "-nostats", "-i", str(path), "-map", f"0:a:{track}"]
    done = subprocess.run(
        [*command, "-af", "ebur128=peak=true", "-f", "null", "-"], capture_output=True, check=True, timeout=60
    )
    summary = done.stderr.decode().rpartition("Summary:")[2]
    integrated, peak = (re.search(rf"{name}:\s+(\S+)", summary) for name in ("I", "Peak"))
    assert integrated is not None
    assert peak is not None
    return Loudness(float(integrated[1]), float(peak[1]))


@cache
def talk(seconds: float, peak: float = 0.1, *, seed: int = 1) -> npt.NDArray[np.float32]:
    """Return something like a voice: a buzz in syllables of varying strength, with sharp onsets."""
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    phase = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.6 * times)) / SAMPLE_RATE
    buzz = sum(np.sin(number * phase) / number for number in range(1, 25))
    strengths = np.random.default_rng(seed).uniform(0.1, 1, math.ceil(4 * seconds) + 1)
    within = times * 4 % 1
    shape = strengths[(times * 4).astype(int)] * np.exp(-4 * within) * (within > 0.02)
    found = buzz * shape
    scaled: npt.NDArray[np.float32] = (peak * found / np.abs(found).max()).astype(np.float32)
    return scaled


def record(path: Path, sounds: list[SampleArray], *, voice: bool = False, chapters: tuple[Chapter, ...] = ()) -> Path:
    """Write a recording as the recorder does, with a picture if the format holds one."""
    kind = CONTAINERS[path.suffix[1:]]
    video = None if kind.video_codec is None else VideoEncoder(kind.video_codec, 64, 48, 30)
    encoders = [AudioEncoder(kind.audio_codec, one.shape[1], voice=voice) for one in sounds]
    muxer = Muxer(path, kind)
    first = 0 if video is None else 1
    muxer.start([*([] if video is None else [video.template]), *(encoder.template for encoder in encoders)])
    for start in range(0, max(map(len, sounds)), 4800):
        if video is not None:
            grey = np.full((48, 64, 4), start // 4800 % 256, np.uint8)
            for packet in video.encode(grey, start * 15 // 8):
                muxer.write(0, packet)
        for number, (encoder, one) in enumerate(zip(encoders, sounds, strict=True), first):
            for packet in encoder.encode(one[start : start + 4800]):
                muxer.write(number, packet)
    for number, encoder in enumerate(encoders, first):
        for packet in encoder.finish():
            muxer.write(number, packet)
    muxer.close(chapters)
    return path


def both(samples: npt.NDArray[np.float32]) -> SampleArray:
    return np.stack([samples, samples], axis=1)


def late(before: npt.NDArray[np.float32], after: npt.NDArray[np.float32]) -> int:
    """Return how many samples `after` is late where it best matches `before`."""
    size = 1 << (len(before) + len(after)).bit_length()
    products = np.fft.irfft(np.fft.rfft(after, size) * np.conj(np.fft.rfft(before, size)), size)
    found = int(np.argmax(products))
    return found if found < size // 2 else found - size


# Parsing


@pytest.mark.parametrize(
    ("text", "lufs"),
    [("-16LUFS", -16.0), ("-16 LUFS", -16.0), ("-16", -16.0), (" -23.5lufs ", -23.5), ("-69.9", -69.9), ("-0.5", -0.5)],
)
def test_a_loudness_is_parsed(text: str, lufs: float) -> None:
    assert parse_loudness(text) == lufs


@pytest.mark.parametrize(
    "text", ["", "loud", "16", "16LUFS", "-16dB", "-16LU", "--16", "-", "-١٦", "-1e1", "nan", "-inf"]
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"is not a loudness.*like -16LUFS"):
        parse_loudness(text)


@pytest.mark.parametrize("text", ["-0", "-0.0LUFS", "-70", "-70LUFS", "-100"])
def test_a_loudness_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"is out of range.*between"):
        parse_loudness(text)


def test_parsing_loads_nothing_heavy() -> None:
    program = "import sys, capture.parsing as p; p.parse_loudness('-16'); print('av' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"


# Measuring


@pytest.mark.parametrize("extension", CONTAINERS)
def test_the_measurement_agrees_with_ffmpeg(extension: str, tmp_path: Path) -> None:
    path = record(tmp_path / f"made.{extension}", [both(talk(3))])
    (found,) = measure(path)
    expected = counted(path)
    assert found.integrated_lufs == pytest.approx(expected.integrated_lufs, abs=0.1)
    assert found.true_peak_dbtp == pytest.approx(expected.true_peak_dbtp, abs=0.1)
    assert found.is_measurable


def test_each_track_is_measured(tmp_path: Path) -> None:
    sounds = [both(talk(2, 0.5)), talk(2, 0.05)[:, None], both(np.zeros(2 * SAMPLE_RATE, np.float32))]
    loud, quiet, silent = measure(record(tmp_path / "made.mkv", sounds))
    assert loud.integrated_lufs - quiet.integrated_lufs == pytest.approx(23, abs=0.3), "20 dB and half the channels"
    assert silent == Loudness(-math.inf, -math.inf)
    assert not silent.is_measurable


def test_a_file_that_is_not_a_recording_cannot_be_measured(tmp_path: Path) -> None:
    path = tmp_path / "made.ogg"
    path.write_text("a letter")
    with pytest.raises(RecordingError, match="cannot measure the loudness of"):
        measure(path)


# Normalising


@pytest.mark.parametrize(
    ("extension", "voice"), [*((extension, False) for extension in CONTAINERS), ("ogg", True), ("webm", True)]
)
def test_quiet_speech_becomes_as_loud_as_asked(extension: str, voice: bool, tmp_path: Path) -> None:
    path = record(tmp_path / f"made.{extension}", [both(talk(3, 0.05))], voice=voice)
    before, report = sound(path), check(path)
    (result,) = normalise(path, TARGET_LUFS)
    after = counted(path)
    assert after.integrated_lufs == pytest.approx(TARGET_LUFS, abs=0.5)
    assert after.true_peak_dbtp <= TRUE_PEAK_DBTP
    assert result.before.integrated_lufs < -30
    assert result.after.integrated_lufs == pytest.approx(after.integrated_lufs, abs=0.1)
    assert result.note == ""
    assert re.fullmatch(r"-\d\d\.\d to -1\d\.\d LUFS, peaks at -\d\.\d dBTP(, limited)?", str(result))
    remade = check(path)
    assert remade.ok
    for old, new in zip(report.streams, remade.streams, strict=True):
        assert (new.kind, new.codec, new.sample_rate, new.channels) == (
            old.kind,
            old.codec,
            old.sample_rate,
            old.channels,
        )
        assert (new.start_s, new.duration_s) == pytest.approx((old.start_s, old.duration_s), abs=0.002)
    heard = sound(path)
    assert heard.start_s == pytest.approx(before.start_s, abs=0.001)
    assert abs(late(before.samples, heard.samples)) <= 2
    with av.open(str(path)) as container:
        head = container.streams.audio[0].codec_context.extradata or b""
    assert (int.from_bytes(head[12:16], "little") == 16_000) == voice
    assert list(tmp_path.iterdir()) == [path]


def test_loud_music_becomes_quieter_without_a_limiter(tmp_path: Path) -> None:
    path = record(tmp_path / "made.wav", [both(talk(3, 0.99))])
    before = sound(path).samples
    (result,) = normalise(path, -30.0)
    assert not result.limited
    assert counted(path).integrated_lufs == pytest.approx(-30, abs=0.2)
    factor = 10 ** ((result.after.integrated_lufs - result.before.integrated_lufs) / 20)
    after = sound(path).samples
    assert after.shape == before.shape
    # `approx` takes seconds for this many samples.
    assert np.abs(after - before * factor).max() <= 2 / 32768


@pytest.mark.parametrize("extension", ["ogg", "m4a", "flac"])
def test_peaks_are_limited_when_the_gain_would_push_them_too_high(extension: str, tmp_path: Path) -> None:
    quiet = talk(4, 0.05).copy()
    quiet[SAMPLE_RATE * 2 : SAMPLE_RATE * 2 + 200] += 0.9 * np.hanning(200).astype(np.float32)
    path = record(tmp_path / f"made.{extension}", [both(quiet)])
    (result,) = normalise(path, TARGET_LUFS)
    after = counted(path)
    assert result.limited
    assert after.true_peak_dbtp <= TRUE_PEAK_DBTP
    assert after.integrated_lufs == pytest.approx(TARGET_LUFS, abs=0.5)


def test_a_note_names_the_loudness_that_the_peaks_allow(tmp_path: Path) -> None:
    path = record(tmp_path / "made.flac", [both(talk(3, 0.5))])
    (result,) = normalise(path, -3.0)
    after = counted(path)
    assert after.true_peak_dbtp <= TRUE_PEAK_DBTP
    assert after.integrated_lufs > result.before.integrated_lufs + 5
    assert result.note == f"its peaks allow only {result.after.integrated_lufs:.1f} LUFS"
    assert result.note in str(result)


@pytest.mark.parametrize("extension", WITH_PICTURE)
def test_pictures_chapters_and_silent_tracks_do_not_change(extension: str, tmp_path: Path) -> None:
    chapters = (Chapter("First", 0, 1), Chapter("Second", 1, 3))
    silence = both(np.zeros(3 * SAMPLE_RATE, np.float32))
    path = record(
        tmp_path / f"made.{extension}", [both(talk(3, 0.02)), silence, talk(3, 0.2, seed=2)[:, None]], chapters=chapters
    )
    moments_s = pictures(path).moments_s
    kept = coded(path, "0:v"), coded(path, "0:a:1")
    first, second, third = normalise(path, -20.0)
    assert (coded(path, "0:v"), coded(path, "0:a:1")) == kept
    assert pictures(path).moments_s == moments_s
    with opened(path) as container:
        assert chapters_of(container) == list(chapters)
    for number, result in ((0, first), (2, third)):
        assert result.note == ""
        assert counted(path, number).integrated_lufs == pytest.approx(-20, abs=0.5)
        assert counted(path, number).true_peak_dbtp <= TRUE_PEAK_DBTP
    assert str(second) == "too quiet or too short to measure: not changed"
    assert check(path).ok


def coded(path: Path, track: str) -> bytes:
    """Return the checksum of a track's packets."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-map", track, "-c", "copy", "-f", "streamhash", "-"]
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout


@pytest.mark.parametrize("extension", WITH_PICTURE)
def test_a_track_that_starts_later_still_does(extension: str, tmp_path: Path) -> None:
    late_one = Sound(start_s=0.04, peak=0.02, heard_from_s=0.5)
    path = write(tmp_path / f"made.{extension}", (Sound(peak=0.02, heard_from_s=0.5), late_one), Picture())
    before = [check(path).streams[number].start_s for number in (1, 2)]
    heard_s = [first_loud_s(sound(path, number), 0.01) for number in (0, 1)]
    levels = [np.abs(sound(path, number).samples).max() for number in (0, 1)]
    normalise(path, -20.0)
    # MP4 plays the encoder's priming when there is time for it: a packet of AAC, 21 ms.
    a_packet_s = 0.022 if CONTAINERS[extension].audio_codec == "aac" else 0.0011
    assert [check(path).streams[number].start_s for number in (1, 2)] == pytest.approx(before, abs=a_packet_s)
    for number in (0, 1):
        track = sound(path, number)
        factor = np.abs(track.samples).max() / levels[number]
        assert factor > 2
        assert first_loud_s(track, 0.01 * factor) == pytest.approx(heard_s[number], abs=0.003)


@pytest.mark.parametrize("seconds", [0.1, 0.39])
def test_a_track_too_short_to_measure_is_not_changed(seconds: float, tmp_path: Path) -> None:
    path = record(tmp_path / "made.ogg", [both(talk(seconds))])
    content = path.read_bytes()
    (result,) = normalise(path, TARGET_LUFS)
    assert "not changed" in result.note
    assert path.read_bytes() == content


def test_a_track_at_the_target_is_not_changed(tmp_path: Path) -> None:
    path = record(tmp_path / "made.ogg", [both(talk(3, 0.05))])
    first = normalise(path, TARGET_LUFS)
    content = path.read_bytes()
    (again,) = normalise(path, TARGET_LUFS)
    assert again.before == again.after == first[0].after
    assert path.read_bytes() == content


# Failures


def test_a_failed_pass_leaves_the_recording_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = record(tmp_path / "made.mkv", [both(talk(3, 0.05))])
    content = path.read_bytes()
    write_packet, count = Muxer.write, 0

    def full(self: Muxer, stream: int, packet: av.Packet[av.stream.Stream]) -> None:
        nonlocal count
        count += 1
        if count > 60:
            raise OutputError("the disk is full", "free some space")
        write_packet(self, stream, packet)

    monkeypatch.setattr(Muxer, "write", full)
    with pytest.raises(OutputError, match="was not changed: the disk is full"):
        normalise(path, TARGET_LUFS)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_peaks_that_stay_too_high_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = record(tmp_path / "made.flac", [both(talk(1, 0.05))])
    content = path.read_bytes()
    results = iter([measure(path)])

    monkeypatch.setattr(module, "measure", lambda path, on_progress: next(results, (Loudness(-16.0, 0.5),)))
    with pytest.raises(OutputError, match="peaks stay too high"):
        normalise(path, TARGET_LUFS)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_an_unfinished_recording_is_not_touched(tmp_path: Path) -> None:
    path = record(tmp_path / "made.flac", [both(talk(2, 0.05))])
    path.write_bytes(path.read_bytes()[:2000])
    content = path.read_bytes()
    with pytest.raises(RecordingError):
        normalise(path, TARGET_LUFS)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]
