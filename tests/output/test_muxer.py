"""The muxer's file is private, never overwrites another, is whole when closed and plays before that."""

from __future__ import annotations

import itertools
import math
import os
import stat
import sys
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from capture.codecs.audio_encoder import AudioEncoder
from capture.codecs.video_encoder import VideoEncoder
from capture.errors import OutputError, UsageError
from capture.formats import CONTAINERS
from capture.media import SAMPLE_RATE, VIDEO_TICKS_PER_S
from capture.output.muxer import Muxer

WITH_PICTURE = [name for name, kind in CONTAINERS.items() if kind.holds_video]
FRAGMENTED = [name for name, kind in CONTAINERS.items() if kind.format in ("mp4", "mov", "ipod")]

BLOCK = 960
WIDTH, HEIGHT = 64, 48


def open_muxer(path: Path, *, overwrite: bool = False) -> Muxer:
    return Muxer(path, CONTAINERS[path.suffix[1:]], overwrite=overwrite)


@dataclass
class Writing:
    """Writes a file with the tracks that its container holds; frames come at irregular moments."""

    path: Path
    audio_tracks: int = 1
    overwrite: bool = False
    durable: bool = False
    still_from_s: float = math.inf
    #: The pts of every frame that was written.
    written: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        kind = CONTAINERS[self.path.suffix[1:]]
        self.muxer = open_muxer(self.path, overwrite=self.overwrite)
        self.sounds = [AudioEncoder(kind.audio_codec, 2) for _ in range(self.audio_tracks)]
        self.video = None if kind.video_codec is None else VideoEncoder(kind.video_codec, WIDTH, HEIGHT, 30)
        templates = [sound.template for sound in self.sounds]
        pictures = [] if self.video is None else [self.video.template]
        self.muxer.start([*pictures, *templates], durable=self.durable)
        self.next_block = 0
        self.moments = itertools.chain(
            itertools.takewhile(lambda pts: pts < self.still_from_s * VIDEO_TICKS_PER_S, self._moments()),
            itertools.repeat(math.inf),
        )
        self.next_moment = next(self.moments)

    @staticmethod
    def _moments() -> Iterator[int]:
        random = np.random.default_rng(1)
        at_s = 0.0
        while True:
            yield round(at_s * VIDEO_TICKS_PER_S)
            at_s += float(random.choice([0.1, 0.033, 0.75, 0.4]))

    def until(self, seconds: float) -> None:
        """Write everything up to `seconds`, frames before the sound of the same moment."""
        times = np.arange(BLOCK) / SAMPLE_RATE
        tone = np.repeat(0.3 * np.sin(2 * np.pi * 500 * times)[:, None], 2, axis=1).astype(np.float32)
        while self.next_block * BLOCK < seconds * SAMPLE_RATE:
            self.next_block += 1
            while self.video is not None and self.next_moment * SAMPLE_RATE < self._now * VIDEO_TICKS_PER_S:
                pts = int(self.next_moment)
                picture = np.full((HEIGHT, WIDTH, 4), 50 * (len(self.written) % 5), np.uint8)
                for packet in self.video.encode(picture, pts):
                    self.muxer.write(0, packet)
                self.written.append(pts)
                self.next_moment = next(self.moments)
            for number, sound in enumerate(self.sounds):
                for packet in sound.encode(tone):
                    self.muxer.write(number + (self.video is not None), packet)

    @property
    def _now(self) -> int:
        """The number of samples up to the end of the next block."""
        return self.next_block * BLOCK

    def close(self) -> None:
        if self.video is not None:
            for packet in self.video.finish():
                self.muxer.write(0, packet)
        for number, sound in enumerate(self.sounds):
            for packet in sound.finish():
                self.muxer.write(number + (self.video is not None), packet)
        self.muxer.close()


def boxes(path: Path) -> list[str]:
    """Return the names of the top-level boxes of an MP4."""
    content = path.read_bytes()
    found, place = [], 0
    while place < len(content):
        size = int.from_bytes(content[place : place + 4], "big")
        if size == 1:
            size = int.from_bytes(content[place + 8 : place + 16], "big")
        found.append(content[place + 4 : place + 8].decode("latin-1"))
        assert size >= 8, f"{found[-1]} at {place} has no size"
        place += size
    assert place == len(content)
    return found


def heard_s(path: Path) -> float:
    """Return how many seconds of sound can be decoded."""
    with av.open(str(path)) as container:
        try:
            count = 0
            for frame in container.decode(audio=0):
                count += frame.samples
        except av.error.InvalidDataError:
            pass
        return count / SAMPLE_RATE


# The file


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps permissions elsewhere")
@pytest.mark.parametrize("overwrite", [False, True])
def test_the_file_is_private_while_it_is_still_empty(overwrite: bool, tmp_path: Path) -> None:
    path = tmp_path / "made.mp4"
    if overwrite:
        path.touch(mode=0o666)
        path.chmod(0o666)
    before = os.umask(0)
    try:
        muxer = open_muxer(path, overwrite=overwrite)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_size == 0
    muxer.discard()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps permissions elsewhere")
@pytest.mark.parametrize("extension", CONTAINERS)
def test_the_file_stays_private(extension: str, tmp_path: Path) -> None:
    writing = Writing(tmp_path / f"made.{extension}")
    writing.until(1)
    writing.close()
    assert stat.S_IMODE(writing.path.stat().st_mode) == 0o600


def test_an_existing_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "made.mp4"
    path.write_bytes(b"somebody's")
    with pytest.raises(UsageError, match=r"exists already.*--overwrite"):
        open_muxer(path)
    assert path.read_bytes() == b"somebody's"


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_broken_link_counts_as_a_taken_name(tmp_path: Path) -> None:
    path = tmp_path / "made.mp4"
    path.symlink_to(tmp_path / "elsewhere.mp4")
    with pytest.raises(UsageError, match="exists already"):
        open_muxer(path)
    assert not (tmp_path / "elsewhere.mp4").exists()


def test_a_file_can_be_overwritten_on_request(tmp_path: Path) -> None:
    path = tmp_path / "made.mkv"
    path.write_bytes(b"old" * 100_000)
    writing = Writing(path, overwrite=True)
    writing.until(1)
    writing.close()
    writing.muxer.keep()
    writing.muxer.keep()
    assert list(tmp_path.iterdir()) == [path]
    assert b"oldoldold" not in path.read_bytes()
    assert heard_s(path) == pytest.approx(1.0, abs=0.001)
    writing.muxer.discard()
    assert list(tmp_path.iterdir()) == [], "a file that was replaced for good does not come back"


@pytest.mark.parametrize("end", ["discarded", "nothing was written", "never started", "cannot be started"])
def test_a_file_that_was_not_replaced_after_all_is_unchanged(end: str, tmp_path: Path) -> None:
    path = tmp_path / "made.webm"
    path.write_bytes(b"old")
    path.chmod(0o640)
    before = path.stat()
    if end == "never started":
        open_muxer(path, overwrite=True).close()
    elif end == "cannot be started":
        muxer, encoder = open_muxer(path, overwrite=True), VideoEncoder("h264", WIDTH, HEIGHT, 30)
        with pytest.raises(OutputError):
            muxer.start([encoder.template])
        muxer.discard()
    else:
        writing = Writing(path, overwrite=True)
        if end == "discarded":
            writing.until(1)
            writing.muxer.discard()
        else:
            writing.muxer.close()
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"old"
    assert (path.stat().st_ino, path.stat().st_mode) == (before.st_ino, before.st_mode)


def test_overwrite_works_without_an_old_file(tmp_path: Path) -> None:
    writing = Writing(tmp_path / "made.ogg", overwrite=True)
    writing.until(1)
    writing.close()
    writing.muxer.keep()
    assert list(tmp_path.iterdir()) == [writing.path]


def test_a_folder_that_is_a_file_or_missing_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "made.mp4", tmp_path / "missing" / "made.mp4"):
        with pytest.raises(OutputError, match="cannot be written") as caught:
            open_muxer(path)
        assert str(path) in caught.value.message


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder that not even root can write to")
def test_a_read_only_folder_is_reported() -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        open_muxer(Path("/proc/made.mp4"))


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_is_left_alone(overwrite: bool, tmp_path: Path) -> None:
    folder = tmp_path / "made.mp4"
    folder.mkdir()
    with pytest.raises(UsageError):
        open_muxer(folder, overwrite=overwrite)
    assert folder.is_dir()
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("name", ["rec-12:30.mp4", "100 %d %.mp4", "-.mp4", "grüße 🎬.mp4", "file:x.mp4", "'\"|.mp4"])
def test_unusual_file_names_work(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    writing = Writing(Path(name))
    writing.until(0.5)
    writing.close()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert writing.muxer.path == tmp_path / name
    assert heard_s(writing.muxer.path) == pytest.approx(0.5, abs=0.03)


def test_the_reported_size_is_that_on_disk(tmp_path: Path) -> None:
    writing = Writing(tmp_path / "made.mkv")
    writing.until(2)
    assert writing.muxer.size_bytes() == writing.path.stat().st_size > 1000
    writing.close()
    assert writing.muxer.size_bytes() == writing.path.stat().st_size
    writing.path.unlink()
    assert writing.muxer.size_bytes() == 0


# Closing


def test_a_muxer_that_was_never_started_leaves_nothing(tmp_path: Path) -> None:
    muxer = open_muxer(tmp_path / "made.mp4")
    muxer.close()
    muxer.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("extension", CONTAINERS)
def test_a_file_without_a_packet_is_removed(extension: str, tmp_path: Path) -> None:
    writing = Writing(tmp_path / f"made.{extension}")
    writing.muxer.close()
    writing.muxer.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("extension", CONTAINERS)
def test_close_can_be_called_twice(extension: str, tmp_path: Path) -> None:
    writing = Writing(tmp_path / f"made.{extension}")
    writing.until(1)
    writing.close()
    content = writing.path.read_bytes()
    writing.muxer.close()
    assert writing.path.read_bytes() == content
    assert heard_s(writing.path) == pytest.approx(1.0, abs=0.025)


@pytest.mark.parametrize("closed_before", [False, True])
def test_a_discarded_recording_is_gone(closed_before: bool, tmp_path: Path) -> None:
    writing = Writing(tmp_path / "made.mp4")
    writing.until(1)
    if closed_before:
        writing.close()
    writing.muxer.discard()
    writing.muxer.discard()
    assert list(tmp_path.iterdir()) == []


def test_a_single_frame_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "made.mp4"
    video = VideoEncoder("h264", WIDTH, HEIGHT, 30)
    muxer = open_muxer(path)
    muxer.start([video.template])
    for packet in video.encode(np.zeros((HEIGHT, WIDTH, 4), np.uint8), 0):
        muxer.write(0, packet)
    muxer.close()
    with av.open(str(path)) as container:
        assert len(list(container.decode(video=0))) == 1


@pytest.mark.parametrize("extension", FRAGMENTED)
def test_a_closed_mp4_is_an_ordinary_mp4(extension: str, tmp_path: Path) -> None:
    writing = Writing(tmp_path / f"made.{extension}")
    writing.until(3)
    assert "moof" in boxes(writing.path), "it consists of fragments until it is closed"
    writing.close()
    found = [name for name in boxes(writing.path) if name not in ("free", "wide")]
    assert found == ["ftyp", "mdat", "moov"]


def test_a_codec_that_the_container_cannot_hold_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "made.webm"
    muxer, encoder = open_muxer(path), VideoEncoder("h264", WIDTH, HEIGHT, 30)
    with pytest.raises(OutputError, match="cannot be written"):
        muxer.start([encoder.template])
    muxer.discard()
    assert list(tmp_path.iterdir()) == []


# Content


@pytest.mark.parametrize("extension", WITH_PICTURE)
def test_every_frame_keeps_its_pts_although_sound_ends_the_fragments(extension: str, tmp_path: Path) -> None:
    writing = Writing(tmp_path / f"made.{extension}")
    writing.until(12)
    writing.close()
    with av.open(str(writing.path)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        found_s = [float(packet.pts * stream.time_base) for packet in container.demux(stream) if packet.pts is not None]
    expected_s = [pts / VIDEO_TICKS_PER_S for pts in writing.written]
    # Matroska counts in milliseconds; the first frames of the others are moved to a grid of 60 a second.
    exact_s = 0.0006 if extension in ("mkv", "webm") else 1 / 60
    assert found_s == pytest.approx(expected_s, abs=exact_s)
    assert heard_s(writing.path) == pytest.approx(12, abs=0.025)


@pytest.mark.parametrize("extension", ["mp4", "mov"])
def test_a_frame_lasts_until_the_next(extension: str, tmp_path: Path) -> None:
    writing = Writing(tmp_path / f"made.{extension}")
    writing.until(5)
    writing.close()
    with av.open(str(writing.path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.pts is not None]
    for before, after in itertools.pairwise(packets):
        assert (before.pts or 0) + (before.duration or 0) == after.pts


@pytest.mark.parametrize("extension", WITH_PICTURE)
def test_a_given_duration_is_written(extension: str, tmp_path: Path) -> None:
    kind = CONTAINERS[extension]
    assert kind.video_codec is not None
    video = VideoEncoder(kind.video_codec, WIDTH, HEIGHT, 30)
    muxer = open_muxer(tmp_path / f"made.{extension}")
    muxer.start([video.template])
    for pts, duration in ((0, None), (30_000, None), (90_000, 45_000)):
        for packet in video.encode(np.full((HEIGHT, WIDTH, 4), pts // 1000, np.uint8), pts):
            if duration is not None:
                packet.duration = duration
            muxer.write(0, packet)
    muxer.close()
    with av.open(str(muxer.path)) as container:
        *_, last = [packet for packet in container.demux(video=0) if packet.pts is not None]
        assert last.time_base is not None
        assert float(((last.pts or 0) + (last.duration or 0)) * last.time_base) == pytest.approx(1.5, abs=0.002)


@pytest.mark.parametrize("extension", WITH_PICTURE)
def test_tracks_keep_their_order(extension: str, tmp_path: Path) -> None:
    writing = Writing(tmp_path / f"made.{extension}", audio_tracks=3)
    writing.until(2)
    writing.close()
    with av.open(str(writing.path)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio", "audio", "audio"]
        for stream in container.streams.audio:
            container.seek(0)
            count = sum(frame.samples for frame in container.decode(stream))
            assert count / SAMPLE_RATE == pytest.approx(2, abs=0.025)


# The file before it is closed, as a crash would leave it


# Not WebM: it waits for the next frame, which is why a still picture is sent again and again.
@pytest.mark.parametrize("extension", ["mp4", "mov", "mkv"])
def test_sound_does_not_wait_for_a_still_picture(extension: str, tmp_path: Path) -> None:
    writing = Writing(tmp_path / f"made.{extension}", still_from_s=1.0)
    writing.until(6)
    left = tmp_path / f"left.{extension}"
    left.write_bytes(writing.path.read_bytes())
    assert heard_s(left) > 6 - 1.2
    writing.close()


@pytest.mark.parametrize("extension", CONTAINERS)
def test_an_unclosed_file_plays(extension: str, tmp_path: Path) -> None:
    writing = Writing(tmp_path / f"made.{extension}")
    writing.until(6)
    left = tmp_path / f"left.{extension}"
    left.write_bytes(writing.path.read_bytes())
    assert heard_s(left) > 6 - 1.2
    if writing.video is not None:
        with av.open(str(left)) as container:
            last_s = max(frame.time or 0.0 for frame in container.decode(video=0))
        assert last_s > 6 - 1.5 - 0.75, "less what may be on its way and the longest frame here"
    writing.close()


def test_a_full_disk_is_reported_and_the_content_stays(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("file sizes cannot be limited there")
    import resource

    writing = Writing(tmp_path / "made.mp4")
    writing.until(3)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (writing.muxer.size_bytes(), limits[1]))
    try:
        with pytest.raises(OutputError, match="cannot be written") as caught:
            writing.until(10)
        with pytest.raises(OutputError, match="could not be finished"):
            writing.muxer.close()
        writing.muxer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "large" in caught.value.message.lower()
    assert heard_s(writing.path) > 1.5


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
def test_nothing_of_ours_grows_with_the_packets(extension: str, tmp_path: Path) -> None:
    # FFmpeg's own index of an MP4 does: 75 bytes a packet.
    kind = CONTAINERS[extension]
    muxer = Muxer(tmp_path / f"out.{extension}", kind)
    encoder = AudioEncoder(kind.audio_codec, 2)
    muxer.start([encoder.template])

    def write(numbers: range) -> None:
        for number in numbers:
            packet: av.Packet[Any] = av.Packet(b"x" * 60)
            packet.pts = packet.dts = number * 1024
            packet.duration, packet.time_base, packet.is_keyframe = 1024, Fraction(1, SAMPLE_RATE), True
            muxer.write(0, packet)
            muxer.check_disk()

    write(range(1_000))
    tracemalloc.start()
    try:
        write(range(1_000, 11_000))
        grown_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        muxer.close()
        encoder.close()
    assert grown_bytes < 10_000, "a byte a packet"
