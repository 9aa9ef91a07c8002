"""From blocks and frames to packets: mixing, metering, and silence where nothing came. Nobody waits for real time."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt
import pytest

from capture.clock import SteppedClock
from capture.codecs.audio_encoder import AudioEncoder
from capture.codecs.video_encoder import VideoEncoder
from capture.events import Event, Level
from capture.formats import CONTAINERS
from capture.media import SAMPLE_RATE, Pixels, SampleArray, Samples
from capture.output.ledger import Ledger
from capture.pipeline.frame_grabber import FrameJob
from capture.pipeline.sound_track import SILENT_AFTER_S, SoundTrack
from capture.pipeline.video_track import VideoTrack
from capture.threads.mailbox import Closed, Mailbox
from capture.timing.timeline import Timeline

EPOCH_S = 64.0
BLOCK = 960
BLOCK_S = BLOCK / SAMPLE_RATE

#: 16-bit samples are off by up to half a step.
STEP = 1 / 32767


class Blocks(Mailbox[tuple[int, Samples]]):
    """What comes to a track and when, on a clock that goes on while the track waits; closed at `end_s`."""

    def __init__(self, clock: SteppedClock, end_s: float) -> None:
        super().__init__(1)
        self.clock = clock
        self.script: list[tuple[float, tuple[int, Samples] | Callable[[], None]]] = []
        self._end_s = EPOCH_S + end_s

    def get(self, timeout_s: float | None = None) -> tuple[int, Samples]:
        assert timeout_s is not None, "a track that waits without end notices no silence"
        gives_up_s = self.clock.now_s() + timeout_s
        while self.script and self.script[0][0] <= gives_up_s:
            at_s, item = self.script.pop(0)
            self._go_on_to(at_s)
            if not callable(item):
                return item
            item()
            if self.clock.now_s() > gives_up_s:
                raise TimeoutError
        if not self.script and gives_up_s >= self._end_s:
            self._go_on_to(self._end_s)
            raise Closed
        self._go_on_to(gives_up_s)
        raise TimeoutError

    def _go_on_to(self, at_s: float) -> None:
        self.clock.advance(max(0.0, at_s - self.clock.now_s()))


@dataclass
class Stage:
    """A track of sources with so many `channels` each, recorded without loss."""

    channels: Sequence[int] = (2,)
    end_s: float = 4.0
    events: list[Event] = field(default_factory=list)
    packets: list[av.Packet[Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = SteppedClock(EPOCH_S)
        self.timeline = Timeline(EPOCH_S, self.end_s)
        self.blocks = Blocks(self.clock, self.end_s)
        self.encoder = AudioEncoder("pcm_s16le", max(self.channels))
        self.track = SoundTrack(
            "internal",
            self.channels,
            self.encoder,
            self.timeline,
            self.blocks,
            self.packets.extend,
            self.clock,
            self.events.append,
        )

    def play(self, sound: SampleArray, *, source: int = 0, from_s: float = 0.0, late_s: float = 0.0) -> None:
        """Have a source deliver `sound`, heard from `from_s` on, in blocks of 20 ms as they end."""
        for start in range(0, len(sound), BLOCK):
            data = sound[start : start + BLOCK]
            heard_at_s = EPOCH_S + from_s + start / SAMPLE_RATE
            self.add(heard_at_s + len(data) / SAMPLE_RATE + late_s, (source, Samples(data, heard_at_s)))

    def at(self, at_s: float, call: Callable[[], None]) -> None:
        self.add(EPOCH_S + at_s, call)

    def add(self, at_s: float, item: tuple[int, Samples] | Callable[[], None]) -> None:
        self.blocks.script.append((at_s, item))
        self.blocks.script.sort(key=lambda step: step[0])

    def levels(self, *at_s: float) -> list[Level]:
        """Run the track and ask for its level at these moments."""
        found: list[Level] = []
        for moment_s in at_s:
            self.at(moment_s, lambda: found.append(self.track.level()))
        self.run()
        return found

    def run(self) -> npt.NDArray[np.float64]:
        """Run the track to its end and return what was encoded, full scale at ±1."""
        self.track.run()
        return self.recorded()

    def recorded(self) -> npt.NDArray[np.float64]:
        whole = b"".join(bytes(packet) for packet in self.packets)
        samples = np.frombuffer(whole, "<i2").reshape(-1, max(self.channels))
        return samples.astype(np.float64) / 32767


def tone(seconds: float, peak: float, channels: int = 2, hz: float = 500.0) -> SampleArray:
    """Each channel twice as high as the one before."""
    times = np.arange(round(seconds * SAMPLE_RATE))[:, None] / SAMPLE_RATE
    return (peak * np.sin(2 * np.pi * hz * (1 + np.arange(channels)) * times)).astype(np.float32)


def constant(seconds: float, value: float, channels: int = 2) -> SampleArray:
    return np.full((round(seconds * SAMPLE_RATE), channels), value, np.float32)


def test_the_sound_of_one_source_is_recorded_as_it_is() -> None:
    stage = Stage()
    sound = tone(4, 0.95)
    stage.play(sound)
    recorded = stage.run()
    assert recorded.shape == sound.shape
    assert np.abs(recorded - sound).max() < STEP
    assert stage.track.inserted_silence_s == 0.0
    assert stage.track.peak == pytest.approx(0.95, abs=1e-4)
    assert stage.events == []


def test_packets_come_while_it_goes_on_and_without_a_gap() -> None:
    stage = Stage()
    stage.play(tone(4, 0.5))
    seen: list[float] = []
    stage.at(2.0, lambda: seen.append(len(stage.recorded()) / SAMPLE_RATE))
    stage.run()
    assert seen[0] == pytest.approx(2.0, abs=0.3)
    spans = [(packet.pts or 0, packet.duration or 0) for packet in stage.packets]
    assert all(pts + length == next_pts for (pts, length), (next_pts, _) in pairwise(spans))


# Mixing


def test_two_sources_are_added_up() -> None:
    stage = Stage(channels=(2, 2))
    first, second = tone(4, 0.4), tone(4, 0.3, hz=700)
    stage.play(first, source=0)
    stage.play(second, source=1, late_s=0.05)
    recorded = stage.run()
    assert recorded.shape == first.shape
    assert np.abs(recorded - (first + second)).max() < STEP


@pytest.mark.parametrize("sign", [1, -1])
def test_a_mix_that_is_too_loud_is_bent_and_not_clipped(sign: int) -> None:
    stage = Stage(channels=(2, 2))
    ramp = np.repeat(np.linspace(0, sign, 4 * SAMPLE_RATE, dtype=np.float32)[:, None], 2, axis=1)
    stage.play(ramp, source=0)
    stage.play(ramp, source=1)
    mixed = sign * stage.run()[:, 0]
    straight = 2 * np.abs(ramp[:, 0])
    quiet = straight <= 0.8
    assert np.abs(mixed[quiet] - straight[quiet]).max() < STEP, "below the knee nothing is touched"
    loud = mixed[~quiet]
    assert np.all(np.diff(loud) >= 0)
    assert np.diff(mixed).max() < 2.5 / (2 * SAMPLE_RATE) + 2 * STEP, "no step at the knee"
    assert 0.8 < loud.min() < loud.max() <= 1.0
    assert loud[straight[~quiet] < 1.2].max() < 0.995
    assert len(np.unique(loud[straight[~quiet] < 1.2])) > 1000, "a loud passage keeps its shape"


def test_mono_sounds_on_both_sides() -> None:
    stage = Stage(channels=(2, 1))
    stereo = constant(4, 0.0)
    stereo[:, 0], stereo[:, 1] = 0.25, -0.25
    stage.play(stereo, source=0)
    stage.play(constant(4, 0.125, channels=1), source=1)
    recorded = stage.run()
    assert np.abs(recorded - [0.375, -0.125]).max() < STEP


def test_mono_sources_make_a_mono_track() -> None:
    stage = Stage(channels=(1, 1))
    stage.play(constant(4, 0.25, channels=1), source=0)
    stage.play(constant(4, 0.5, channels=1), source=1)
    recorded = stage.run()
    assert recorded.shape == (4 * SAMPLE_RATE, 1)
    assert np.abs(recorded - 0.75).max() < STEP


def test_a_source_that_is_silent_does_not_hold_up_the_other() -> None:
    stage = Stage(channels=(2, 2), end_s=6)
    sound = tone(6, 0.5)
    stage.play(sound, source=0)
    seen: list[float] = []
    stage.at(5.0, lambda: seen.append(len(stage.recorded()) / SAMPLE_RATE))
    recorded = stage.run()
    assert seen[0] > 4.0, "what a crash would lose stays bounded"
    assert np.abs(recorded - sound).max() < STEP
    assert stage.track.inserted_silence_s == pytest.approx(6)


def test_a_source_that_ends_early_leaves_the_other_to_the_end() -> None:
    stage = Stage(channels=(2, 2))
    stage.play(constant(4, 0.25), source=0)
    stage.play(constant(3.9, 0.5), source=1)
    recorded = stage.run()
    assert len(recorded) == 4 * SAMPLE_RATE
    assert np.abs(recorded[: round(3.9 * SAMPLE_RATE)] - 0.75).max() < STEP
    assert np.abs(recorded[round(3.9 * SAMPLE_RATE) :] - 0.25).max() < STEP


# Silence


def test_nothing_is_recorded_as_silence_while_it_lasts() -> None:
    stage = Stage(end_s=6)
    seen: list[float] = []
    for at_s in (1.0, 2.0, 5.0):
        stage.at(at_s, lambda: seen.append(len(stage.recorded()) / SAMPLE_RATE))
    recorded = stage.run()
    behind_s = np.array([1.0, 2.0, 5.0]) - seen
    assert np.all(behind_s < 1.3)
    assert np.all(behind_s > 0.3), "late sound must still find its place"
    assert recorded.shape == (6 * SAMPLE_RATE, 2)
    assert not recorded.any()
    assert stage.track.inserted_silence_s == 6.0


def test_sound_that_begins_late_stands_in_its_place() -> None:
    stage = Stage(end_s=6)
    stage.play(constant(2, 0.5), from_s=3.0)
    recorded = stage.run()[:, 0]
    assert np.flatnonzero(recorded)[[0, -1]].tolist() == [3 * SAMPLE_RATE, 5 * SAMPLE_RATE - 1]
    assert stage.track.inserted_silence_s == pytest.approx(4)


def test_missing_sound_is_told_and_replaced() -> None:
    stage = Stage()
    stage.play(constant(1.0, 0.5))
    stage.play(constant(2.6, 0.5), from_s=1.4)
    recorded = stage.run()[:, 0]
    assert len(recorded) == 4 * SAMPLE_RATE
    silent = np.flatnonzero(recorded == 0.0)
    assert (silent[0], silent[-1] + 1) == (SAMPLE_RATE, round(1.4 * SAMPLE_RATE))
    (event,) = stage.events
    assert event.kind == "hole"
    assert event.at_s == pytest.approx(1.0)
    assert event.detail == "internal: 0.400 s of sound were missing"
    assert event.to_s == pytest.approx(1.4)


def told(stage: Stage) -> list[tuple[float, float]]:
    """The stretches in which nothing was delivered, as the ledger puts them together."""
    ledger = Ledger()
    for event in stage.events:
        assert (event.kind, event.detail) == ("no_data", "internal: nothing was delivered")
        ledger.record(event)
    return [(run.at_s, run.end_s) for run in ledger.events()]


def test_silence_that_stands_for_nothing_is_told_as_it_goes_on() -> None:
    stage = Stage(end_s=8)
    stage.play(constant(1.0, 0.5), from_s=0.5)
    # Late, but not as late as that silence is written for it.
    stage.play(constant(1.0, 0.5), from_s=4.0, late_s=0.3)
    seen: list[int] = []
    stage.at(3.0, lambda: seen.append(len(stage.events)))
    stage.run()
    assert 1 < seen[0] < len(stage.events)
    runs = told(stage)
    assert runs == [pytest.approx((0.0, 0.5)), pytest.approx((1.5, 4.0)), pytest.approx((5.0, 8.0))]
    assert sum(end_s - at_s for at_s, end_s in runs) == pytest.approx(stage.track.inserted_silence_s)


def test_the_moment_that_a_device_needs_to_begin_and_to_end_is_not_told() -> None:
    stage = Stage()
    stage.play(constant(3.75, 0.5), from_s=0.1)
    stage.run()
    assert told(stage) == []
    assert stage.track.inserted_silence_s == pytest.approx(0.25)


def test_a_pause_is_cut_out_of_the_silence_that_is_told() -> None:
    stage = Stage(end_s=6)
    stage.at(2.0, lambda: stage.timeline.pause(EPOCH_S + 2))
    stage.at(5.0, lambda: stage.timeline.resume(EPOCH_S + 5))
    stage.run()
    assert told(stage) == [pytest.approx((0.0, 6.0))]


def test_a_track_that_was_not_let_run_takes_the_backlog_for_no_silence() -> None:
    stage = Stage(end_s=8)
    sound = tone(8, 0.5)
    stage.play(sound[: 2 * SAMPLE_RATE])
    # The whole process stands still from 2.1 s on. What was heard meanwhile waits in the sound server.
    stage.at(2.1, lambda: stage.clock.advance(3.0))
    for start in range(2 * SAMPLE_RATE, 5 * SAMPLE_RATE, BLOCK):
        backlog = Samples(sound[start : start + BLOCK], EPOCH_S + start / SAMPLE_RATE)
        stage.add(EPOCH_S + 5.2, (0, backlog))
    stage.play(sound[5 * SAMPLE_RATE :], from_s=5.0, late_s=0.2)
    assert np.abs(stage.run() - sound).max() < STEP
    assert stage.track.inserted_silence_s == 0.0


@pytest.mark.parametrize("channels", [(2,), (2, 1)])
def test_a_gap_of_minutes_is_encoded_in_pieces(channels: Sequence[int]) -> None:
    minutes_s = 4 * 60.0
    stage = Stage(channels, end_s=minutes_s)
    stage.at(1.0, lambda: stage.clock.advance(minutes_s - 2))
    # What was encoded is the muxer's to hold or to write.
    delivered: list[int] = []
    stage.track._deliver = lambda packets: delivered.extend(packet.duration or 0 for packet in packets)
    tracemalloc.start()
    try:
        stage.track.run()
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(delivered) == minutes_s * SAMPLE_RATE
    assert stage.track.inserted_silence_s == minutes_s
    assert peak_bytes < 10e6


# Levels


def test_the_level_is_that_since_the_last_look() -> None:
    stage = Stage()
    stage.play(np.concatenate([constant(1.5, 0.5), constant(2.5, 0.05)]))
    loud, both, quiet = stage.levels(1.0, 2.0, 3.0)
    assert (loud.source, loud.trouble) == ("internal", "")
    assert loud.peak_dbfs == pytest.approx(-6.02, abs=0.01)
    assert both.peak_dbfs == pytest.approx(-6.02, abs=0.01)
    assert quiet.peak_dbfs == pytest.approx(-26.02, abs=0.01)
    assert stage.track.peak == 0.5


def test_a_negative_peak_is_a_peak() -> None:
    stage = Stage()
    stage.play(constant(4, -0.5))
    (level,) = stage.levels(3.0)
    assert level.peak_dbfs == pytest.approx(-6.02, abs=0.01)


def test_zeros_mean_that_nothing_is_playing() -> None:
    stage = Stage(end_s=8)
    stage.play(constant(8, 0.0))
    early, late = stage.levels(SILENT_AFTER_S - 0.1, SILENT_AFTER_S + 0.1)
    assert (early.trouble, late.trouble) == ("", "nothing is playing")
    assert late.peak_dbfs == -120.0


def test_nothing_at_all_means_no_data() -> None:
    stage = Stage(end_s=8)
    early, late = stage.levels(SILENT_AFTER_S - 0.1, SILENT_AFTER_S + 0.1)
    assert (early.trouble, late.trouble) == ("", "no data")
    assert late.peak_dbfs == -120.0


def test_a_device_that_dries_up_goes_from_sound_over_silence_to_no_data() -> None:
    stage = Stage(end_s=20)
    stage.play(tone(4, 0.5))
    stage.play(constant(4, 0.0), from_s=4.0)
    troubles = [level.trouble for level in stage.levels(4.0, 8.9, 9.5, 12.9, 13.1)]
    assert troubles == ["", "", "nothing is playing", "nothing is playing", "no data"]


@pytest.mark.parametrize("quiet", ["no data", "nothing is playing"])
def test_a_pause_does_not_count_as_silence(quiet: str) -> None:
    stage = Stage(end_s=20)
    stage.play(tone(4, 0.5))
    if quiet == "nothing is playing":
        stage.play(constant(30, 0.0), from_s=4.0)
    stage.at(4.0, lambda: stage.timeline.pause(EPOCH_S + 4))
    stage.at(14.0, lambda: stage.timeline.resume(EPOCH_S + 14))
    troubles = [level.trouble for level in stage.levels(10.0, 14.01, 18.8, 19.5)]
    assert troubles == ["", "", "", quiet]


def test_trouble_ends_with_the_first_sound() -> None:
    stage = Stage(end_s=10)
    stage.play(tone(2, 0.01), from_s=8.0)
    troubles = [level.trouble for level in stage.levels(7.9, 8.5)]
    assert troubles == ["no data", ""]


def test_the_noise_below_sixteen_bits_is_silence() -> None:
    stage = Stage(end_s=8)
    stage.play(constant(8, 1e-5))
    (level,) = stage.levels(7.0)
    assert level.trouble == "nothing is playing"


def test_one_source_that_sounds_is_enough() -> None:
    stage = Stage(channels=(2, 2), end_s=8)
    stage.play(tone(8, 0.5), source=1)
    (level,) = stage.levels(7.0)
    assert level.trouble == ""


def test_one_source_that_delivers_zeros_is_enough_for_nothing_is_playing() -> None:
    stage = Stage(channels=(2, 2), end_s=8)
    stage.play(constant(8, 0.0), source=1)
    (level,) = stage.levels(7.0)
    assert level.trouble == "nothing is playing"


def test_the_worst_drift_is_told() -> None:
    stage = Stage(channels=(1, 1), end_s=30)
    for source, ppm in enumerate((0, -300)):
        for number in range(round(30 / BLOCK_S)):
            heard_at_s = EPOCH_S + number * BLOCK_S / (1 + ppm * 1e-6)
            block = Samples(constant(BLOCK_S, 0.1, channels=1), heard_at_s)
            stage.add(heard_at_s + BLOCK_S, (source, block))
    stage.run()
    assert stage.track.drift_ppm == pytest.approx(-300, abs=5)


# Pictures


def pictures(jobs: Sequence[FrameJob], codec: str = "h264") -> list[av.Packet[Any]]:
    mailbox: Mailbox[FrameJob] = Mailbox(len(jobs))
    for job in jobs:
        mailbox.put(job)
    mailbox.close()
    packets: list[av.Packet[Any]] = []
    VideoTrack(VideoEncoder(codec, 64, 48, 30), mailbox, packets.extend, fps=30).run()
    return packets


@pytest.mark.parametrize("codec", sorted({kind.video_codec for kind in CONTAINERS.values() if kind.video_codec}))
def test_every_frame_becomes_a_packet_in_its_place(codec: str) -> None:
    grey = np.full((48, 64, 4), 128, np.uint8)
    jobs = [FrameJob(0, grey, None), FrameJob(900, grey, None), FrameJob(91_000, None, None), FrameJob(95_000, None, 7)]
    packets = pictures(jobs, codec)
    assert [packet.pts for packet in packets] == [0, 900, 91_000, 95_000]
    assert packets[-1].duration == 7


def test_a_track_that_gets_no_frame_gives_none() -> None:
    assert pictures([]) == []
    assert pictures([FrameJob(0, None, None)]) == []


def test_slots_that_nobody_grabbed_are_filled_on_a_constant_grid() -> None:
    asked: list[tuple[str, int]] = []

    class Encoder:
        def encode(self, pixels: Pixels, pts: int, left: int, top: int) -> list[Any]:
            asked.append(("encode", pts))
            return []

        def repeat(self, pts: int) -> list[Any]:
            asked.append(("repeat", pts))
            return []

        def finish(self) -> list[Any]:
            return []

    jobs: Mailbox[FrameJob] = Mailbox(9)
    picture = np.zeros((2, 2, 4), np.uint8)
    for slot, pixels in ((0, picture), (3, picture), (5, None)):
        jobs.put(FrameJob(slot * 3000, pixels, 3000, slot))
    jobs.close()
    VideoTrack(cast(VideoEncoder, Encoder()), jobs, lambda packet: None, fps=30).run()
    assert asked == [
        ("encode", 0),
        ("repeat", 3000),
        ("repeat", 6000),
        ("encode", 9000),
        ("repeat", 12000),
        ("repeat", 15000),
    ]


# What is remembered for clips


def remembering(history_s: float) -> Stage:
    stage = Stage()
    stage.track = SoundTrack(
        "internal",
        (2,),
        stage.encoder,
        stage.timeline,
        stage.blocks,
        stage.packets.extend,
        stage.clock,
        stage.events.append,
        history_s=history_s,
    )
    return stage


def test_silence_that_was_inserted_earlier_is_none_of_a_clip() -> None:
    # Nothing is delivered for a second, which is forgotten by the end.
    stage = remembering(history_s=1.0)
    stage.play(np.full((3 * SAMPLE_RATE, 2), 0.5, np.float32), from_s=1.0)
    stage.run()
    assert stage.track.inserted_silence_s == pytest.approx(1.0, abs=0.05)
    peak, inserted_s = stage.track.between(1.5, 4.0)
    assert peak == pytest.approx(0.5, abs=0.01)
    assert inserted_s == 0.0
    assert stage.track.between(2.0, 2.5)[1] == 0.0


def test_counting_begins_again_with_what_is_remembered() -> None:
    stage = remembering(history_s=10.0)
    stage.play(np.full((round(0.5 * SAMPLE_RATE), 2), 0.8, np.float32))
    stage.play(np.full((2 * SAMPLE_RATE, 2), 0.2, np.float32), from_s=2.0)
    stage.at(3.5, lambda: stage.track.begin_count(2.5))
    stage.run()
    assert stage.track.inserted_silence_s == 0.0
    assert stage.track.peak == pytest.approx(0.2, abs=0.01)
    assert stage.track.between(0.0, 4.0)[1] > 1.0
