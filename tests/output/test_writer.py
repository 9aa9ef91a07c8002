"""The thread that owns the file: which packets wait, are written or left out, and what happens when writing fails."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from reopened import chapters, sound
from running import eventually

from capture.codecs.audio_encoder import AudioEncoder
from capture.errors import DiskFullError, OutputError
from capture.formats import CONTAINERS
from capture.media import SAMPLE_RATE, as_fraction
from capture.output.chapters import Chapter
from capture.output.muxer import Muxer
from capture.output.writer import FileWriter
from capture.recordings.check import check
from capture.threads.mailbox import Closed

LIMIT_S = 30.0


class Noted(Muxer):
    """A muxer that notes every packet, and fails from `fails_from_s` on."""

    fails_from_s = math.inf

    def write(self, stream: int, packet: av.Packet[Any], before_s: float = math.inf) -> bool:
        at_s = begins_s(packet)
        if at_s >= self.fails_from_s:
            raise OutputError(f"{self.path} cannot be written", "free some space")
        self.noted = [*getattr(self, "noted", []), (stream, round(at_s, 3))]
        return super().write(stream, packet, before_s)


def begins_s(packet: av.Packet[Any]) -> float:
    assert packet.pts is not None
    return float(packet.pts * as_fraction(packet.time_base))


class Writing:
    """A file with an audio track for each encoder, and the writer under test; the test sets `settled_s`."""

    def __init__(self, path: Path, tracks: int = 1, settled_s: float = math.inf) -> None:
        self.path = path
        self.settled_s = settled_s
        self.asked = 0
        self.failures: list[BaseException] = []
        self.failed = threading.Event()
        kind = CONTAINERS[path.suffix[1:]]
        self.encoders = [AudioEncoder(kind.audio_codec, 2) for _ in range(tracks)]
        self.muxer = Noted(path, kind)
        self.writer = FileWriter(self._fail)
        self.writer.start(self.muxer, [encoder.template for encoder in self.encoders], self._settled)

    def _settled(self) -> float:
        self.asked += 1
        return self.settled_s

    def _fail(self, worker: str, error: BaseException) -> None:
        self.failures.append(error)
        self.failed.set()

    def put(self, packets: list[av.Packet[Any]], track: int = 0) -> None:
        """Hand packets over, and wait until the writer has dealt with all but the last."""
        before = self.asked
        self.writer.put(track, packets[:-1])
        self.writer.put(track, packets[-1:])
        eventually(lambda: self.asked >= before + (1 if len(packets) == 1 else 2), "a look at what was put")

    def tone(self, seconds: float, track: int = 0) -> list[av.Packet[Any]]:
        """Return the packets of a tone that goes on from call to call."""
        times_s = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
        wave = np.repeat(0.3 * np.sin(2 * np.pi * 500 * times_s)[:, None], 2, axis=1).astype(np.float32)
        return list(self.encoders[track].encode(wave))

    def written(self, track: int = 0) -> list[float]:
        return [at_s for number, at_s in getattr(self.muxer, "noted", []) if number == track]


def chunks(packets: list[av.Packet[Any]], size: int) -> Iterator[list[av.Packet[Any]]]:
    for start in range(0, len(packets), size):
        yield packets[start : start + size]


# Waiting


def test_packets_wait_until_they_are_settled(tmp_path: Path) -> None:
    writing = Writing(tmp_path / "out.ogg", settled_s=0.5)
    for packets in chunks(writing.tone(2.0), 3):
        writing.put(packets)
    assert max(writing.written()) < 0.5
    assert max(writing.written()) > 0.45
    writing.settled_s = 1.0
    writing.put(writing.tone(0.1))
    eventually(lambda: max(writing.written()) > 0.95, "the settled packets")
    assert max(writing.written()) < 1.0
    writing.settled_s = math.inf
    writing.put(writing.tone(0.1))
    eventually(lambda: max(writing.written()) > 2.1, "all the rest")
    writing.writer.close()
    assert writing.written() == sorted(set(writing.written()))
    assert sound(writing.path).end_s == pytest.approx(2.2, abs=0.05)
    assert writing.failures == []


def test_waiting_packets_are_written_on_close_up_to_the_end(tmp_path: Path) -> None:
    writing = Writing(tmp_path / "out.ogg", settled_s=0.2)
    writing.put(writing.tone(3.0))
    assert max(writing.written()) < 0.2
    writing.writer.end_at(1.0)
    writing.writer.close()
    assert 0.95 < max(writing.written()) < 1.0
    assert sound(writing.path).end_s == pytest.approx(1.0, abs=0.03)


def test_packets_that_start_at_the_end_are_left_out_of_every_track(tmp_path: Path) -> None:
    writing = Writing(tmp_path / "out.mkv", tracks=2, settled_s=0.0)
    writing.put(writing.tone(1.0, 0), 0)
    writing.put(writing.tone(1.0, 1), 1)
    end_s = sorted(map(begins_s, writing.tone(1.0, 0)))[0]
    writing.writer.end_at(end_s)
    writing.writer.close()
    assert max(writing.written(0)) < end_s
    assert max(writing.written(1)) < end_s
    assert len(writing.written(0)) == len(writing.written(1)) > 40


def test_the_final_header_is_written_although_it_comes_after_the_end(tmp_path: Path) -> None:
    writing = Writing(tmp_path / "out.flac")
    packets = [*writing.tone(1.0), *writing.encoders[0].finish()]
    last = packets[-1]
    assert last.size == 0
    writing.writer.end_at(begins_s(last))
    writing.put(packets)
    writing.writer.close()
    assert check(writing.path).problems == ()
    assert sound(writing.path).end_s == pytest.approx(1.0, abs=0.01)


def test_several_tracks_keep_their_packets_in_order_while_they_wait(tmp_path: Path) -> None:
    writing = Writing(tmp_path / "out.mkv", tracks=2, settled_s=0.0)
    for step in range(20):
        # One track runs ahead of the other, as video does of audio.
        writing.put(writing.tone(0.2, 0), 0)
        if step >= 5:
            writing.put(writing.tone(0.2, 1), 1)
        writing.settled_s = step * 0.15
    writing.writer.close()
    for track in (0, 1):
        assert writing.written(track) == sorted(set(writing.written(track)))
    assert max(writing.written(0)) == pytest.approx(4.0, abs=0.05)
    assert max(writing.written(1)) == pytest.approx(3.0, abs=0.05)


def test_waiting_packets_are_not_looked_at_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0

    def counted(packet: av.Packet[Any]) -> float:
        nonlocal looked
        looked += 1
        return begins_s(packet)

    monkeypatch.setattr("capture.output.writer._at_s", counted)
    writing = Writing(tmp_path / "out.ogg", settled_s=0.0)
    packets = writing.tone(40.0)
    for few in chunks(packets, 5):
        writing.writer.put(0, few)
    writing.writer.close()
    assert len(writing.written()) == len(packets) > 1900
    assert looked < 3 * len(packets)


def test_a_file_without_packets_is_removed(tmp_path: Path) -> None:
    writing = Writing(tmp_path / "out.m4a", settled_s=-1.0)
    writing.put(writing.tone(1.0))
    writing.writer.end_at(-1.0)
    writing.writer.close()
    assert list(tmp_path.iterdir()) == []


# Chapters


@pytest.mark.parametrize("extension", ["mp4", "mov", "mkv", "webm", "m4a"])
def test_chapters_are_in_the_file(extension: str, tmp_path: Path) -> None:
    writing = Writing(tmp_path / f"out.{extension}")
    writing.put(writing.tone(3.0) + list(writing.encoders[0].finish()))
    wanted = [Chapter("Beginning", 0.0, 0.5), Chapter("Ähem, 🍎 = #1;", 0.5, 2.25), Chapter("Mark 2", 2.25, 3.0)]
    writing.writer.end_at(3.0)
    writing.writer.close(wanted)
    found = chapters(writing.path)
    assert [title for title, _, _ in found] == [chapter.title for chapter in wanted]
    for (_, start_s, end_s), chapter in zip(found, wanted, strict=True):
        assert (start_s, end_s) == pytest.approx((chapter.start_s, chapter.end_s), abs=0.03)


@pytest.mark.parametrize("extension", ["ogg", "flac", "mp3", "wav"])
def test_a_format_without_chapters_ignores_them(extension: str, tmp_path: Path) -> None:
    writing = Writing(tmp_path / f"out.{extension}")
    writing.put(writing.tone(1.0))
    writing.writer.end_at(1.0)
    writing.writer.close([Chapter("Beginning", 0.0, 1.0)])
    assert sound(writing.path).end_s > 0.9


@pytest.mark.parametrize("extension", ["mp4", "mkv", "webm"])
def test_two_chapters_at_one_moment_do_no_harm(extension: str, tmp_path: Path) -> None:
    writing = Writing(tmp_path / f"out.{extension}")
    writing.put(writing.tone(1.0))
    writing.writer.end_at(1.0)
    writing.writer.close([Chapter("One", 0.0, 0.5), Chapter("Two", 0.5, 0.5), Chapter("Three", 0.5, 1.0)])
    assert writing.failures == []
    assert sound(writing.path).end_s > 0.9
    assert chapters(writing.path)[0][0] == "One"


# Failures


def test_a_failed_write_ends_the_writer_and_closes_the_file(tmp_path: Path) -> None:
    writing = Writing(tmp_path / "out.mp4")
    writing.muxer.fails_from_s = 1.0
    writing.writer.put(0, writing.tone(2.0))
    assert writing.failed.wait(LIMIT_S)
    assert isinstance(writing.failures[0], OutputError)
    more = writing.tone(1.0)

    def is_closed() -> bool:
        try:
            writing.writer.put(0, more)
        except Closed:
            return True
        return False

    eventually(is_closed, "the end of the writer")
    writing.writer.end_at(1.0)
    writing.writer.close()
    assert len(writing.failures) == 1
    assert sound(writing.path).end_s == pytest.approx(1.0, abs=0.05)


def test_a_sender_that_waits_for_room_is_released_when_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capture.output.writer.BYTES_QUEUED", 1)
    writing = Writing(tmp_path / "out.mkv")
    let_go = threading.Event()
    write = writing.muxer.write

    def hang(stream: int, packet: av.Packet[Any]) -> bool:
        let_go.wait()
        return write(stream, packet)

    monkeypatch.setattr(writing.muxer, "write", hang)
    writing.muxer.fails_from_s = -1.0
    ended = threading.Event()

    def put_all() -> None:
        try:
            for packets in chunks(writing.tone(2.0), 2):
                writing.writer.put(0, packets)
        except Closed:
            ended.set()

    sender = threading.Thread(target=put_all)
    sender.start()
    let_go.set()
    assert ended.wait(LIMIT_S)
    sender.join(LIMIT_S)
    writing.writer.close()
    assert not writing.path.exists()


def test_start_raises_when_the_file_cannot_be_opened(tmp_path: Path) -> None:
    kind = CONTAINERS["webm"]
    muxer = Muxer(tmp_path / "out.webm", kind)
    writer = FileWriter(lambda worker, error: None)
    with pytest.raises(OutputError, match="cannot be written"):
        writer.start(muxer, [AudioEncoder("aac", 2).template])
    muxer.discard()


# No room


def test_a_flac_that_may_not_grow_further_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writing = Writing(tmp_path / "out.flac")
    writing.put(writing.tone(2))
    monkeypatch.setattr(Muxer, "is_full", True)
    writing.put([*writing.tone(1), *writing.encoders[0].finish()])
    writing.writer.close()
    assert [type(failure) for failure in writing.failures] == [DiskFullError]
    report = check(writing.path)
    assert report.problems == ()
    assert report.duration_s == pytest.approx(2, abs=0.2)


def test_all_tracks_end_where_the_room_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writing = Writing(tmp_path / "out.mkv", tracks=2)
    writing.put(writing.tone(2))
    reports = [DiskFullError("the disk is full")]
    monkeypatch.setattr(writing.muxer, "check_disk", lambda: reports.pop() if reports else None)
    writing.put(writing.tone(1))
    writing.put(writing.tone(3, 1), 1)
    writing.writer.close()
    ends_s = [max(at_s for stream, at_s in writing.muxer.noted if stream == track) for track in (0, 1)]
    assert ends_s[1] == pytest.approx(ends_s[0], abs=0.1), "the second track came later"
    assert check(writing.path).ok
