"""Clips from a buffer that real encoders filled with the pattern, opened again and compared with the pattern."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
from buffers import EncodedBuffer
from reopened import Track, each_picture, sound

from capture.codecs.video_encoder import VideoEncoder
from capture.errors import OutputError, UsageError
from capture.formats import CONTAINERS
from capture.media import SAMPLE_RATE
from capture.output.muxer import Muxer
from capture.recordings.check import check
from capture.recordings.rewrite import zero_s
from capture.replay.buffer import ReplayBuffer
from capture.replay.clip_writer import save
from capture.replay.packets import ReplayTrack
from capture.sources.pattern import draw_pattern, pattern_tone, read_clock

FPS = 15
LENGTH_S = 14
WIDTH, HEIGHT = 320, 180

#: From when to when the picture is still.
STILL_S = (6.0, 10.0)


@cache
def filled(video: str | None, audio: str) -> ReplayBuffer:
    """Return a buffer with the pattern; during `STILL_S` its picture is still and is repeated every 0.6 s."""
    buffer = EncodedBuffer(video, audio, fps=FPS, length_s=LENGTH_S)
    pictures = buffer.pictures
    repeated_s = STILL_S[0]
    for slot in range(LENGTH_S * FPS):
        at_s, pts = slot / FPS, round(slot * 90_000 / FPS)
        if pictures is not None:
            if not STILL_S[0] < at_s < STILL_S[1]:
                buffer.add(0, pictures.encode(draw_pattern(at_s, WIDTH, HEIGHT), pts))
            elif at_s - repeated_s >= 0.6:
                buffer.add(0, pictures.repeat(pts))
                repeated_s = at_s
        start, end = slot * SAMPLE_RATE // FPS, (slot + 1) * SAMPLE_RATE // FPS
        buffer.add_sound(pattern_tone(start, end - start))
    return buffer


def buffer_for(extension: str) -> ReplayBuffer:
    kind = CONTAINERS[extension]
    return filled(kind.video_codec, kind.audio_codec)


def heard(path: Path) -> Track:
    track = sound(path)
    with av.open(str(path)) as container:
        return Track(track.samples, track.rate, track.start_s - zero_s(container))


def shift_ms(track: Track, begins_s: float) -> float:
    """Return how late the sound of a clip that starts at `begins_s` is, by its beeps."""
    samples = track.between(track.start_s + 0.1, track.end_s - 0.1)
    first = round((begins_s + track.start_s + 0.1) * SAMPLE_RATE)
    reach = 480
    truth = pattern_tone(first - reach, len(samples) + 2 * reach)[:, 0]
    size = 1 << (len(samples) + len(truth)).bit_length()
    fits = np.fft.irfft(np.fft.rfft(truth, size) * np.conj(np.fft.rfft(samples, size)), size)
    best = int(np.argmax(fits[: 2 * reach + 1]))
    assert fits[best] > 0.9 * float(np.dot(samples, samples))
    return (reach - best) / SAMPLE_RATE * 1000


def shown_at_s(moment_s: float) -> float:
    """Return the time that the clock in the picture shows at a moment."""
    slot_s = int(moment_s * FPS + 1e-6) / FPS
    return STILL_S[0] if STILL_S[0] < slot_s < STILL_S[1] else slot_s


#: By how much the muxer may move a frame of a file that does not state its frame rate; and the last one, which lasts
#: half a slot at least.
MOVED_S = 1 / 60
LAST_S = 1 / FPS / 2


def compare_pictures(path: Path, begins_s: float, from_s: float) -> None:
    """Assert that every frame from `from_s` of the recording on shows what was on the screen then."""
    seen = 0
    for at_s, picture in each_picture(path):
        moment_s = begins_s + at_s
        if moment_s >= from_s - 1e-4:
            seen_s = read_clock(picture[..., ::-1]) / 1000
            possible_s = [shown_at_s(moment_s + off_s) for off_s in (-MOVED_S, 0.002, MOVED_S, LAST_S)]
            assert min(abs(seen_s - one_s) for one_s in possible_s) < 0.002
            seen += 1
    assert seen


MOMENTS = [(3.21, 12.9), (6.0, 13.37), (8.77, 12.01), (10.02, 11.4), (1.999, 9.1)]


@pytest.mark.parametrize("extension", CONTAINERS)
@pytest.mark.parametrize(("asked_s", "until_s"), MOMENTS)
def test_a_clip_holds_the_last_seconds_in_sync(extension: str, asked_s: float, until_s: float, tmp_path: Path) -> None:
    path = tmp_path / f"clip.{extension}"
    clip = buffer_for(extension).snapshot(until_s - asked_s, until_s)
    assert clip.asked_s == pytest.approx(asked_s)
    begins_s = save(clip, path)
    report = check(path)
    assert report.ok, report.problems
    assert asked_s - 2.001 <= begins_s <= asked_s + 0.0001
    assert begins_s + report.duration_s == pytest.approx(until_s, abs=0.1)
    assert [track.silent for track in report.streams if track.kind == "audio"] == [False]
    track = heard(path)
    assert -0.001 <= track.start_s <= 0.025
    assert abs(shift_ms(track, begins_s)) <= 2
    if CONTAINERS[extension].holds_video:
        compare_pictures(path, begins_s, asked_s)
        if STILL_S[0] + 0.7 < asked_s < STILL_S[1]:
            # The repeats are left out, or as close as frames may be.
            assert asked_s - begins_s < (0.3 if extension == "webm" else 0.03)


@pytest.mark.parametrize("extension", CONTAINERS)
@pytest.mark.parametrize(("asked_s", "until_s"), MOMENTS)
def test_an_exact_clip_starts_at_the_requested_moment(
    extension: str, asked_s: float, until_s: float, tmp_path: Path
) -> None:
    path = tmp_path / f"clip.{extension}"
    clip = buffer_for(extension).snapshot(until_s - asked_s, until_s)
    save(clip, path, exact=True)
    report = check(path)
    assert report.ok, report.problems
    assert report.duration_s == pytest.approx(until_s - asked_s, abs=0.06)
    track = heard(path)
    assert track.start_s == pytest.approx(0, abs=0.001)
    assert abs(shift_ms(track, asked_s)) <= 2
    if CONTAINERS[extension].holds_video:
        first_s, first = next(each_picture(path))
        assert first_s == pytest.approx(0, abs=0.001)
        assert read_clock(first[..., ::-1]) / 1000 == pytest.approx(shown_at_s(asked_s), abs=0.002)
        # The first frame may have started before the clip.
        compare_pictures(path, asked_s, asked_s + 0.01)


def test_a_failed_clip_leaves_no_file_and_can_be_saved_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = buffer_for("mp4").snapshot(5)
    with pytest.raises(OutputError):
        save(clip, tmp_path / "gone" / "clip.mp4")

    def full(muxer: Muxer, stream: int, packet: object, before_s: float) -> None:
        raise OutputError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Muxer, "write", full)
        with pytest.raises(OutputError, match="full"):
            save(clip, tmp_path / "clip.mp4")
    assert list(tmp_path.iterdir()) == []

    def fail(muxer: Muxer, chapters: object = ()) -> None:
        raise OutputError("No space left on device")

    old = tmp_path / "old.mp4"
    old.write_bytes(b"what was there")
    with monkeypatch.context() as patched:
        patched.setattr(Muxer, "close", fail)
        with pytest.raises(OutputError, match="No space"):
            save(clip, old, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["old.mp4"]
    assert old.read_bytes() == b"what was there"
    save(clip, old, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["old.mp4"]
    assert check(old).ok


def test_a_full_disk_leaves_no_file(tmp_path: Path) -> None:
    clip = buffer_for("mp4").snapshot(5)
    try:
        resource = pytest.importorskip("resource")
        signal = pytest.importorskip("signal")
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
        with pytest.raises(OutputError):
            save(clip, tmp_path / "clip.mp4")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert list(tmp_path.iterdir()) == []
    save(clip, tmp_path / "clip.mp4")
    assert check(tmp_path / "clip.mp4").ok


def test_an_impossible_clip_is_refused(tmp_path: Path) -> None:
    clip = buffer_for("mp4").snapshot(5)
    with pytest.raises(UsageError, match=r"webm cannot hold h264: this buffer can be saved as \.mp4, \.mov$"):
        save(clip, tmp_path / "clip.webm")
    with pytest.raises(UsageError, match=r"m4a cannot hold h264"):
        save(clip, tmp_path / "clip.m4a")
    save(clip, tmp_path / "clip.mov")
    with pytest.raises(UsageError, match="exists"):
        save(clip, tmp_path / "clip.mov")
    pictures = VideoEncoder("h264", 64, 48, 30, cuttable=True)
    empty = ReplayBuffer(5, 1 << 20, [ReplayTrack.of(pictures.template)]).snapshot(3)
    with pytest.raises(UsageError, match="nothing was recorded"):
        save(empty, tmp_path / "empty.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mov"]
