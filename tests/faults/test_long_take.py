"""Long takes from a sound card with a wrong clock: picture and sound stay in sync, and memory does not grow.

The devices are scripted and the clock advances by itself, so hours take only as long as encoding them.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

import av
import numpy as np
import numpy.typing as npt
import pytest
from hasty import HastyClock
from running import eventually

from benchmarks.decoding import read_picture
from benchmarks.onsets import BEEP_HZ, BEEP_S, beep_onsets_s, flash_onsets_s
from capture.codecs.audio_encoder import AudioEncoder
from capture.codecs.video_encoder import VideoEncoder
from capture.events import Event
from capture.formats import CONTAINERS
from capture.media import SAMPLE_RATE, Pixels, SampleArray
from capture.output.muxer import Muxer
from capture.pipeline.frame_grabber import FrameGrabber, FrameJob
from capture.pipeline.sound_grabber import Heard, Quiet
from capture.pipeline.sound_track import SoundTrack
from capture.pipeline.video_track import VideoTrack
from capture.sources.scripted import ScriptedBlock, ScriptedFrames, ScriptedSamples
from capture.threads.mailbox import Closed, Mailbox
from capture.timing.timeline import Timeline

#: How far the clock of the sound card is off: as far as such clocks get.
PPM: Final = 200.0

SYNC_S: Final = 0.02

#: How much more memory the decoder, the resampler and queued packets may need after the first part of a take.
GROWTH_BYTES: Final = 25_000_000

EPOCH_S: Final = 64.0
FPS: Final = 30
BLOCK: Final = 4_800

Packet: TypeAlias = "av.Packet[Any]"
Moments = npt.NDArray[np.float64]


def beeps(first: int, count: int) -> SampleArray:
    """Return one beep per second of real time, the first at 0.5 s, as the sound card samples it: (count, 1) float32."""
    heard_s = (first + np.arange(count)) / (SAMPLE_RATE * (1 + PPM * 1e-6))
    into_beep_s = (heard_s - 0.5) % 1.0
    wave = np.where(into_beep_s < BEEP_S, 0.5 * np.sin(2 * np.pi * BEEP_HZ * into_beep_s), 0.0)
    return wave.astype(np.float32)[:, None]


def blocks() -> Iterator[ScriptedBlock]:
    """Yield blocks that arrive up to 10 ms late, with timestamps of the real clock that jitter by about 0.5 ms."""
    random = np.random.default_rng(3)
    for number in range(sys.maxsize):
        heard_s = number * BLOCK / (SAMPLE_RATE * (1 + PPM * 1e-6))
        stamp_s = heard_s + abs(float(random.normal(0.0, 0.0005)))
        yield ScriptedBlock(beeps(number * BLOCK, BLOCK), stamp_s, late_s=float(random.uniform(0.0, 0.01)))


class Blocks(Mailbox[tuple[int, Heard]]):
    """The mailbox of a sound track that reads its source on demand; closed at the end of the take."""

    def __init__(self, clock: HastyClock, timeline: Timeline) -> None:
        super().__init__(1)
        self._clock = clock
        self._timeline = timeline
        self._source = ScriptedSamples("internal", clock, blocks(), channels=1)
        self._source.begin(EPOCH_S)
        #: The memory of the process, by the minute of the take.
        self.memory_bytes: dict[float, int] = {}

    def get(self, timeout_s: float | None = None) -> tuple[int, Heard]:
        assert timeout_s is not None
        now_s = self._clock.now_s()
        minute = (now_s - EPOCH_S) // 60
        if minute not in self.memory_bytes:
            self.memory_bytes[minute] = _memory_bytes()
        if now_s >= self._timeline.stop_s:
            raise Closed
        samples = self._source.read(now_s + timeout_s)
        return 0, Quiet(now_s + timeout_s) if samples is None else samples


class Jobs(Mailbox[FrameJob]):
    """A mailbox that makes the grabber wait for the encoder, which is slower than this clock."""

    def has_room(self) -> bool:
        eventually(super().has_room, "room for a frame")
        return True


def film(timeline: Timeline, seconds: float, encoder: VideoEncoder) -> list[Packet]:
    """Encode a picture that flashes with the beeps; return the packets."""
    clock = HastyClock(EPOCH_S)
    dark, bright = (np.full((48, 64, 4), value, np.uint8) for value in (16, 235))
    changes: list[tuple[float, Pixels]] = [(0.0, dark)]
    for second in range(int(seconds)):
        changes += [(second + 0.5, bright), (second + 0.6, dark)]
    jobs = Jobs(3)
    packets: list[Packet] = []
    track = VideoTrack(encoder, jobs, packets.extend, FPS)
    worker = threading.Thread(target=track.run)
    worker.start()
    source = ScriptedFrames(clock, changes)
    source.begin(EPOCH_S)
    grabber = FrameGrabber(source, encoder.parts, timeline, jobs, clock, FPS)
    grabber.run()
    grabber.conclude()
    jobs.close()
    worker.join()
    return packets


class Take:
    """A take of `seconds`, encoded into a file; `events` are those of its sound track."""

    def __init__(self, path: Path, seconds: float) -> None:
        self.timeline = Timeline(EPOCH_S, seconds)
        self.events: list[Event] = []
        container = CONTAINERS[path.suffix[1:]]
        audio = AudioEncoder(container.audio_codec, 1)
        self._pictures: list[Packet] = []
        templates: list[Any] = [audio.template]
        if container.video_codec is not None:
            video = VideoEncoder(container.video_codec, 64, 48, FPS)
            self._pictures = film(self.timeline, seconds, video)
            templates.insert(0, video.template)
        self._muxer = Muxer(path, container)
        self._muxer.start(templates)
        clock = HastyClock(EPOCH_S)
        self.blocks = Blocks(clock, self.timeline)
        self.track = SoundTrack(
            "internal", (1,), audio, self.timeline, self.blocks, self._write, clock, self.events.append
        )
        self._audio_stream = len(templates) - 1
        self.track.run()
        self._muxer.close()
        self._muxer.keep()

    def _write(self, packets: list[Packet]) -> None:
        """Write audio packets, each after the video packets that precede it."""
        for packet in packets:
            assert packet.pts is not None
            assert packet.time_base is not None
            at_s = float(packet.pts * packet.time_base)
            while self._pictures and _moment_s(self._pictures[0]) <= at_s:
                self._muxer.write(0, self._pictures.pop(0))
            self._muxer.write(self._audio_stream, packet)


def _moment_s(packet: Packet) -> float:
    return float((packet.pts or 0) * (packet.time_base or 0))


def _memory_bytes() -> int:
    """Return the resident memory of this process; 0 where that is unknown."""
    if sys.platform != "linux":
        return 0
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def beep_moments_s(path: Path) -> Moments:
    """Return when the beeps of a file start, in seconds, without loading the whole file."""
    found: list[float] = []
    parts: list[npt.NDArray[np.float32]] = []
    start_s = 0.0

    def listen() -> None:
        nonlocal start_s
        samples = np.concatenate(parts)
        found.extend(beep_onsets_s(samples, SAMPLE_RATE, start_s))
        start_s += len(samples) / SAMPLE_RATE
        parts.clear()

    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE)
        for frame in container.decode(audio=0):
            if not parts and not found:
                start_s = frame.time or 0.0
            parts += [np.asarray(part.to_ndarray()[0], np.float32) for part in resampler.resample(frame)]
            # Cut in the silence halfway between two beeps.
            if sum(map(len, parts)) >= 10 * SAMPLE_RATE:
                listen()
    listen()
    return np.array(found)


def assert_flat(memory_bytes: dict[float, int]) -> None:
    """Assert that memory does not grow after the first quarter of the take."""
    figures = [memory_bytes[minute] for minute in sorted(memory_bytes)]
    early = figures[: max(2, len(figures) // 4)]
    assert max(figures) - max(early) < GROWTH_BYTES


def assert_complete(track: SoundTrack) -> None:
    """Assert that nothing but the very start is missing, and that the drift was measured."""
    assert track.drift_ppm == pytest.approx(PPM, abs=2)
    assert track.inserted_silence_s < 0.05


@pytest.mark.parametrize("seconds", [120.0, pytest.param(1800.0, marks=pytest.mark.long)])
def test_picture_and_sound_stay_in_sync(seconds: float, tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    take = Take(path, seconds)
    assert_complete(take.track)
    assert_flat(take.blocks.memory_bytes)
    assert [event for event in take.events if event.kind == "hole"] == []
    picture = read_picture(path)
    flashes_s, beeps_s = flash_onsets_s(picture.pts_s, picture.luma), beep_moments_s(path)
    assert len(flashes_s) == len(beeps_s) == int(seconds)
    assert np.abs(flashes_s - beeps_s).max() < SYNC_S
    assert np.abs(beeps_s - 0.5 - np.arange(int(seconds))).max() < SYNC_S


@pytest.mark.parametrize("seconds", [120.0, pytest.param(7200.0, marks=pytest.mark.long)])
def test_sound_alone_stays_in_sync_with_the_clock(seconds: float, tmp_path: Path) -> None:
    path = tmp_path / "out.ogg"
    take = Take(path, seconds)
    assert_complete(take.track)
    assert_flat(take.blocks.memory_bytes)
    beeps_s = beep_moments_s(path)
    assert len(beeps_s) == int(seconds)
    assert np.abs(beeps_s - 0.5 - np.arange(int(seconds))).max() < SYNC_S
