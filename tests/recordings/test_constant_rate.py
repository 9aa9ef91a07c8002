"""A recording filled up to a constant rate shows the same pictures, in every slot, with its sound and chapters."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numbered import HEIGHT, WIDTH, latest_s, numbered, shown_from_s
from reopened import stated_rate_flags

from capture.codecs.audio_encoder import AudioEncoder
from capture.codecs.video_encoder import VideoEncoder
from capture.errors import DiskFullError, OutputError, RecordingError, UsageError
from capture.formats import CONTAINERS
from capture.media import SAMPLE_RATE, VIDEO_TICKS_PER_S
from capture.output.chapters import Chapter
from capture.output.muxer import Muxer
from capture.recordings.check import check
from capture.recordings.constant_rate import with_constant_rate

LENGTH_S = 10


def moments_s() -> list[float]:
    """Return the times of typing, a lively stretch, and more typing, past the second key frame."""
    lively = [3 + 0.011 + slot / 30 for slot in range(60)]
    typed = [5.2 + 0.125 * number for number in range(36)]
    return [0.125 * number for number in range(24)] + lively + typed


def record(path: Path) -> list[float]:
    """Write a recording with numbered pictures, repeats among them, and a tone; return when each picture is shown."""
    kind = CONTAINERS[path.suffix[1:]]
    video = VideoEncoder(str(kind.video_codec), WIDTH, HEIGHT, 30)
    audio = AudioEncoder(kind.audio_codec, 2)
    muxer = Muxer(path, kind)
    muxer.start([video.template, audio.template])
    moments = moments_s()
    jobs: list[tuple[float, int, Any]] = [(at_s, 0, number) for number, at_s in enumerate(moments)]
    jobs += [(at_s + 0.06, 0, None) for at_s in moments[:24:5]]
    jobs += [(block / 10, 1, block) for block in range(LENGTH_S * 10)]
    noise = np.random.default_rng(2).normal(0, 0.05, (SAMPLE_RATE // 10, 2)).astype(np.float32)
    for at_s, track, what in sorted(jobs, key=lambda job: job[:2]):
        pts = round(at_s * VIDEO_TICKS_PER_S)
        if track:
            packets = audio.encode(noise)
        else:
            packets = video.repeat(pts) if what is None else video.encode(numbered(what), pts)
        for packet in packets:
            muxer.write(track, packet)
    for packet in audio.finish():
        muxer.write(1, packet)
    video.finish()
    muxer.close([Chapter("one", 0.0, 4.0), Chapter("two", 4.0, 10.0)])
    muxer.keep()
    return moments


def lumas(path: Path) -> list[tuple[float, np.ndarray[Any, Any]]]:
    with av.open(str(path)) as container:
        return [(float(frame.time or 0), frame.to_ndarray(format="gray")) for frame in container.decode(video=0)]


def sounds(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


@pytest.mark.parametrize("extension", ["mp4", "mov", "mkv"])
def test_every_slot_shows_what_was_shown_then(extension: str, tmp_path: Path) -> None:
    path, made = tmp_path / f"made.{extension}", tmp_path / f"constant.{extension}"
    moments = record(path)
    before = path.read_bytes()
    assert check(path).streams[0].constant_fps is None
    shares: list[float] = []
    assert with_constant_rate(path, made, 30, shares.append) == made
    assert shares == sorted(shares)
    assert 0.9 < shares[-1] <= 1.0
    report = check(made)
    assert report.ok
    assert (stated_rate_flags(path), stated_rate_flags(made)) == ({"0"}, {"1"})
    assert report.streams[0].constant_fps == pytest.approx(30, abs=0.01)
    assert report.duration_s == pytest.approx(check(path).duration_s, abs=0.04)
    # The pictures are the same, bit by bit.
    old = lumas(path)
    for at_s, luma in lumas(made):
        near = [shown for shown_s, shown in old if abs(shown_s - at_s) < 1.1 / 30]
        earlier = [shown for shown_s, shown in old if shown_s <= at_s + 1e-3][-1:]
        assert any(np.array_equal(luma, each) for each in near + earlier)
    assert latest_s(shown_from_s(made), enumerate(moments)) < 1.1 / 30
    assert sounds(made) == sounds(path)
    with av.open(str(made)) as container:
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["one", "two"]
    assert made.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes() == before
    assert {each.name for each in tmp_path.iterdir()} == {path.name, made.name}


def test_a_constant_recording_is_left_alone(tmp_path: Path) -> None:
    path, made = tmp_path / "made.mp4", tmp_path / "constant.mp4"
    record(path)
    with_constant_rate(path, made, 60)
    assert with_constant_rate(made, tmp_path / "again.mp4", 30) is None
    assert not (tmp_path / "again.mp4").exists()


def test_too_low_a_rate_or_a_taken_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "made.mp4"
    record(path)
    with pytest.raises(UsageError, match="more than 10 frames in a second"):
        with_constant_rate(path, tmp_path / "slow.mp4", 10)
    with pytest.raises(UsageError, match="exists already"):
        with_constant_rate(path, path, 30)
    with pytest.raises(UsageError, match=r"only H\.264"):
        with_constant_rate(path, tmp_path / "other.webm", 30)
    assert {each.name for each in tmp_path.iterdir()} == {path.name}


def test_a_file_that_gets_the_name_meanwhile_stays(tmp_path: Path) -> None:
    path, output = tmp_path / "made.mp4", tmp_path / "mine.mp4"
    record(path)

    def write_mine(share: float) -> None:
        if share > 0.5:
            output.write_bytes(b"mine")

    with pytest.raises(UsageError, match=r"mine\.mp4 exists already"):
        with_constant_rate(path, output, 60, write_mine)
    assert output.read_bytes() == b"mine"
    assert {each.name for each in tmp_path.iterdir()} == {path.name, output.name}


def test_a_full_disk_names_the_file_that_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(tmp_path / "made.mp4")

    def full(muxer: Muxer, *_: Any) -> None:
        raise DiskFullError(f"{muxer.path} cannot be written (No space left on device)", "free some space")

    monkeypatch.setattr(Muxer, "write", full)
    output = tmp_path / "two words.mp4"
    with pytest.raises(OutputError) as caught:
        with_constant_rate(tmp_path / "made.mp4", output, 30.0)
    reason = "the new file cannot be written (No space left on device)"
    assert caught.value.message == f"{output} was not written: {reason}"
    assert [path.name for path in tmp_path.iterdir()] == ["made.mp4"]


def test_what_does_not_play_or_has_no_picture_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.mp4"
    empty.touch()
    with pytest.raises(RecordingError):
        with_constant_rate(empty, tmp_path / "made.mp4", 30)
    sound = tmp_path / "sound.wav"
    foreign(sound, "-f", "lavfi", "-i", "sine=duration=1")
    with pytest.raises(UsageError, match="no picture"):
        with_constant_rate(sound, tmp_path / "made.mp4", 30)


def test_another_program_s_recording_is_filled_if_it_can_be_followed(tmp_path: Path) -> None:
    simple, rich, made = tmp_path / "simple.mp4", tmp_path / "rich.mp4", tmp_path / "made.mp4"
    source = ("-f", "lavfi", "-i", "testsrc=size=128x96:duration=2:rate=30", "-vf", r"select=not(mod(n\,3))+gt(n\,40)")
    variable = ("-fps_mode", "vfr", "-c:v", "libx264", "-pix_fmt", "yuv420p")
    foreign(simple, *source, *variable, "-profile:v", "baseline", "-refs", "1")
    assert with_constant_rate(simple, made, 30) == made
    assert check(made).streams[0].frames == pytest.approx(60, abs=1)
    old = [luma for _, luma in lumas(simple)]
    assert all(any(np.array_equal(luma, each) for each in old) for _, luma in lumas(made))
    foreign(rich, *source, *variable)
    with pytest.raises(UsageError, match="capture export --for editor"):
        with_constant_rate(rich, tmp_path / "other.mp4", 30)
    assert not (tmp_path / "other.mp4").exists()


def foreign(path: Path, *arguments: str) -> None:
    subprocess.run(["ffmpeg", "-v", "error", *arguments, str(path)], check=True, timeout=60)


def test_a_few_packets_that_claim_days_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "days.mkv"
    encoder = VideoEncoder("h264", WIDTH, HEIGHT, 30)
    muxer = Muxer(path, CONTAINERS["mkv"])
    muxer.start([encoder.template])
    for number, at_s in enumerate((0, 1, 400_000)):
        for packet in encoder.encode(numbered(number), at_s * VIDEO_TICKS_PER_S):
            muxer.write(0, packet)
    encoder.finish()
    muxer.close()
    muxer.keep()
    with pytest.raises(UsageError, match=r"111 h: that takes 12,0.*give a lower --constant-fps"):
        with_constant_rate(path, tmp_path / "made.mkv", 30)
    assert {each.name for each in tmp_path.iterdir()} == {path.name}


def test_a_recording_shorter_than_a_slot_is_converted(tmp_path: Path) -> None:
    path, made = tmp_path / "one.mp4", tmp_path / "constant.mp4"
    encoder = VideoEncoder("h264", WIDTH, HEIGHT, 30)
    muxer = Muxer(path, CONTAINERS["mp4"])
    muxer.start([encoder.template])
    for packet in encoder.encode(numbered(1), 0):
        packet.duration = VIDEO_TICKS_PER_S // 30
        muxer.write(0, packet)
    encoder.finish()
    muxer.close()
    muxer.keep()
    assert with_constant_rate(path, made, 5) == made
    assert shown_from_s(made) == {1: 0.0}
