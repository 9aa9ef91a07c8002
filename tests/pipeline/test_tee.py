"""The tee passes packets to writers, also from the replay buffer, without losing any."""

from __future__ import annotations

import threading
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from reopened import each_picture, pictures, sound
from running import eventually

from capture.codecs.audio_encoder import AudioEncoder
from capture.codecs.video_encoder import VideoEncoder
from capture.formats import CONTAINERS
from capture.media import SAMPLE_RATE
from capture.output.muxer import Muxer
from capture.output.writer import FileWriter
from capture.pipeline.tee import Tee
from capture.replay.buffer import ReplayBuffer
from capture.replay.packets import ReplayTrack

FPS = 30
HUGE = 1 << 40


def no_failure(worker: str, error: BaseException) -> None:
    pytest.fail(f"{worker}: {error!r}")


class Filming:
    """Encodes pictures into a tee with a replay buffer; the brightness of a picture is its number."""

    def __init__(self, limit_bytes: int = HUGE) -> None:
        self.encoder = VideoEncoder("h264", 64, 64, FPS, cuttable=True)
        self.tee = Tee()
        self.tee.buffer = ReplayBuffer(60.0, limit_bytes, [ReplayTrack.of(self.encoder.template)])

    def show(self, number: int, at_s: float) -> None:
        pixels = np.full((64, 64, 4), number, np.uint8)
        self.tee.put(0, self.encoder.encode(pixels, round(at_s * 90_000)))

    def repeat(self, at_s: float) -> None:
        self.tee.put(0, self.encoder.repeat(round(at_s * 90_000)))

    def begin(self, path: Path, since_s: float) -> FileWriter:
        writer = FileWriter(no_failure)
        self.origin_s = self.tee.attach_since(writer, since_s)
        writer.start(Muxer(path, CONTAINERS[path.suffix[1:]]), [self.encoder.template])
        return writer


def shown(path: Path) -> list[int]:
    return [round(float(picture.mean())) for _, picture in each_picture(path)]


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
def test_nothing_is_missing_between_buffered_and_live_packets(extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"out.{extension}"
    filming = Filming()
    numbers = list(range(40, 60))
    for place, number in enumerate(numbers[:10]):
        filming.show(number, place / FPS)
    # The newest buffered picture is from before this moment, and the next picture refers to it.
    writer = filming.begin(path, 0.0)
    for place, number in enumerate(numbers[10:], 10):
        filming.show(number, place / FPS)
    filming.tee.detach(writer)
    writer.close()
    found = shown(path)
    assert len(found) == len(numbers)
    assert np.diff(found).min() >= 0
    assert writer.written[0] == len(numbers)


def test_a_take_can_begin_at_a_key_frame_that_has_just_arrived(tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    filming = Filming()
    filming.show(40, 0.0)
    filming.show(50, 3.0)
    writer = filming.begin(path, 3.0)
    filming.show(60, 3.1)
    filming.tee.detach(writer)
    writer.close()
    assert len(shown(path)) == 2


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
def test_a_picture_encoded_late_comes_after_the_buffered_ones(extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"out.{extension}"
    filming = Filming()
    filming.show(40, 0.0)
    for place in range(1, 6):
        filming.repeat(place * 0.6)
    # The still picture is moved to just before this moment, later than the change that is still being encoded.
    writer = filming.begin(path, 3.5)
    filming.show(90, 3.479)
    filming.show(99, 3.6)
    filming.tee.detach(writer)
    writer.close()
    assert len(shown(path)) == 8
    moments_s = pictures(path).moments_s
    assert all(later >= earlier for earlier, later in pairwise(moments_s))


def test_a_take_from_a_too_small_buffer_begins_at_the_next_key_frame(tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    filming = Filming(limit_bytes=1)
    filming.show(40, 0.0)
    writer = filming.begin(path, 0.0)
    filming.show(50, 0.1)
    filming.show(60, 3.0)
    filming.show(70, 3.1)
    filming.tee.detach(writer)
    writer.close()
    assert writer.written[0] == len(shown(path)) == 2


@pytest.mark.parametrize(("extension", "codec"), [("mkv", "opus"), ("mp4", "aac")])
def test_late_sound_from_before_a_take_is_left_out(extension: str, codec: str, tmp_path: Path) -> None:
    path = tmp_path / f"out.{extension}"
    pictures_of, sound_of, tee = VideoEncoder("h264", 64, 64, FPS, cuttable=True), AudioEncoder(codec, 2), Tee()
    templates = [pictures_of.template, sound_of.template]
    tee.buffer = ReplayBuffer(60.0, HUGE, [ReplayTrack.of(each) for each in templates])

    def show(at_s: float) -> None:
        tee.put(0, pictures_of.encode(np.full((64, 64, 4), 99, np.uint8), round(at_s * 90_000)))

    def play(seconds: float, level: float) -> None:
        tee.put(1, sound_of.encode(np.full((round(seconds * SAMPLE_RATE), 2), level, np.float32)))

    show(0.0)
    play(1.0, 0.5)
    tee.put(0, pictures_of.repeat(round(1.8 * 90_000)))
    # The sound from here to the start of the take has not arrived.
    writer = FileWriter(no_failure)
    assert tee.attach_since(writer, 2.0) == pytest.approx(2.0, abs=0.04)
    writer.start(Muxer(path, CONTAINERS[extension]), templates)
    play(0.9, 0.5)
    play(1.1, 0.0)
    show(2.5)
    tee.detach(writer)
    writer.close()
    assert pictures(path).moments_s[0] == 0.0
    heard = sound(path)
    assert heard.start_s == pytest.approx(0.0, abs=0.022)
    assert heard.end_s == pytest.approx(1.0, abs=0.1)
    # What the decoder of Opus knows of the sound before fades out.
    assert np.abs(heard.samples).max() < 0.1
    assert np.abs(heard.samples[9600:]).max() < 0.01
    assert tee._await_begin == {}


class HoldingWriter(FileWriter):
    """Keeps what it gets."""

    def __init__(self) -> None:
        super().__init__(no_failure)
        self.held: list[av.Packet[Any]] = []

    def put(self, track: int, packets: list[av.Packet[Any]]) -> None:
        self.held += packets


def test_what_is_noted_on_the_first_packet_of_a_file_is_not_on_that_of_others() -> None:
    pictures_of, sound_of, tee = VideoEncoder("h264", 64, 64, FPS, cuttable=True), AudioEncoder("mp3", 2), Tee()
    tee.buffer = ReplayBuffer(60.0, HUGE, [ReplayTrack.of(each.template) for each in (pictures_of, sound_of)])
    half = np.full((SAMPLE_RATE, 2), 0.5, np.float32)
    tee.put(0, pictures_of.encode(np.full((64, 64, 4), 99, np.uint8), 0))
    tee.put(1, sound_of.encode(half))
    tee.put(0, pictures_of.repeat(round(1.8 * 90_000)))
    assert tee.buffer.notes(1)
    # The sound from there on has not arrived.
    writers = HoldingWriter(), HoldingWriter()
    for writer in writers:
        tee.attach_since(writer, 2.0)
    encoded = sound_of.encode(np.concatenate([half, half]))
    content = [bytes(packet) for packet in encoded]
    tee.put(1, encoded)
    assert not any(list(packet.iter_sidedata()) for packet in encoded)
    for writer in writers:
        count = len(writer.held)
        assert 0 < count < len(encoded)
        assert [len(list(packet.iter_sidedata())) for packet in writer.held[:2]] == [1, 0]
        assert [bytes(packet) for packet in writer.held] == content[-count:]
        assert [packet.pts for packet in writer.held] == [packet.pts for packet in encoded[-count:]]
        assert {packet.time_base for packet in writer.held} == {encoded[0].time_base}


def packet(pts: int) -> av.Packet[Any]:
    made: av.Packet[Any] = av.Packet(b"x")
    made.pts, made.duration, made.time_base = pts, 10, Fraction(1, 100)
    return made


def test_await_reached_waits_for_all_tracks() -> None:
    tee = Tee()
    tee.put(0, [packet(0)])
    # No packet has come from track 1 yet, so it has not even reached 0.1 s.
    assert not tee.await_reached(0.1, 0.0, [0, 1])
    tee.put(1, [packet(100)])
    assert tee.await_reached(0.1, 0.0, [0, 1])
    assert not tee.await_reached(0.5, 0.0, [0, 1])
    assert tee.await_reached(0.5, 0.0, [1])
    met: list[bool] = []
    waiting = threading.Thread(target=lambda: met.append(tee.await_reached(0.5, 30.0, [0, 1])))
    waiting.start()
    tee.put(0, [packet(20), packet(40)])
    waiting.join(30.0)
    assert met == [True]


def test_await_reached_is_patient_while_something_comes() -> None:
    tee = Tee()
    tee.put(0, [packet(0)])
    asked: list[float] = []

    class Changed(threading.Condition):
        """Something comes within each of the first two waits, and nothing in the third."""

        def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
            asked.append(timeout or 0.0)
            if len(asked) < 3:
                tee._reached_s[0] += 0.1
            return predicate()

    tee._changed = Changed()
    assert not tee.await_reached(0.5, 1.5, [0], patiently=True)
    assert asked == [1.5, 1.5, 1.5]
    asked.clear()
    assert not tee.await_reached(0.5, 1.5, [0])
    assert asked == [1.5]


def test_a_writer_that_has_ended_is_detached(tmp_path: Path) -> None:
    filming = Filming()
    filming.show(40, 0.0)
    ended, other = (filming.begin(tmp_path / name, 0.0) for name in ("a.mkv", "b.mkv"))
    ended.close()
    filming.show(50, 0.1)
    eventually(lambda: filming.tee._writers == [other], "the other writer alone")
    other.close()
    assert len(shown(tmp_path / "b.mkv")) == 2
