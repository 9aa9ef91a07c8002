"""A sound track encodes, meters and reports silence and holes. No test waits for real time."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from track_stage import BLOCK, BLOCK_S, EPOCH_S, STEP, TrackStage, constant, tone

from capture.errors import EncoderError
from capture.events import Level
from capture.media import SAMPLE_RATE, Attenuation, SampleArray, Samples
from capture.output.ledger import Ledger
from capture.pipeline.sound_track import SILENT_AFTER_S, SoundTrack


def test_a_single_source_is_recorded_unchanged() -> None:
    stage = TrackStage()
    sound = tone(4, 0.95)
    stage.play(sound)
    recorded = stage.run()
    assert recorded.shape == sound.shape
    assert np.abs(recorded - sound).max() < STEP
    assert stage.track.inserted_silence_s == 0.0
    assert stage.track.peak == pytest.approx(0.95, abs=1e-4)
    assert stage.events == []


def test_packets_come_out_continuously_and_without_gaps() -> None:
    stage = TrackStage()
    stage.play(tone(4, 0.5))
    seen: list[float] = []
    stage.at(2.0, lambda: seen.append(len(stage.recorded()) / SAMPLE_RATE))
    stage.run()
    assert seen[0] == pytest.approx(2.0, abs=0.3)
    spans = [(packet.pts or 0, packet.duration or 0) for packet in stage.packets]
    assert all(pts + length == next_pts for (pts, length), (next_pts, _) in pairwise(spans))


def test_a_device_without_data_is_recorded_as_silence_as_time_passes() -> None:
    stage = TrackStage(end_s=6)
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


def test_sound_that_begins_late_is_placed_correctly() -> None:
    stage = TrackStage(end_s=6)
    stage.play(constant(2, 0.5), from_s=3.0)
    recorded = stage.run()[:, 0]
    assert np.flatnonzero(recorded)[[0, -1]].tolist() == [3 * SAMPLE_RATE, 5 * SAMPLE_RATE - 1]
    assert stage.track.inserted_silence_s == pytest.approx(4)


def test_missing_sound_is_reported_and_replaced_by_silence() -> None:
    stage = TrackStage()
    stage.play(constant(1.0, 0.5))
    stage.play(constant(2.6, 0.5), from_s=1.4)
    recorded = stage.run()[:, 0]
    assert len(recorded) == 4 * SAMPLE_RATE
    silent = np.flatnonzero(recorded == 0.0)
    assert (silent[0], silent[-1] + 1) == (SAMPLE_RATE, round(1.4 * SAMPLE_RATE))
    (event,) = stage.events
    assert event.kind == "hole"
    assert event.at_s == pytest.approx(1.0)
    assert event.detail == "internal: 0.400 s of sound missing"
    assert event.to_s == pytest.approx(1.4)


def reported_silences(stage: TrackStage) -> list[tuple[float, float]]:
    """Return the spans without data as the ledger merges them."""
    ledger = Ledger()
    for event in stage.events:
        assert (event.kind, event.detail) == ("no_data", "internal: no data")
        ledger.record(event)
    return [(run.at_s, run.end_s) for run in ledger.events()]


def test_silence_without_data_is_reported_while_it_lasts() -> None:
    stage = TrackStage(end_s=8)
    stage.play(constant(1.0, 0.5), from_s=0.5)
    # Late, but early enough that no silence takes its place.
    stage.play(constant(1.0, 0.5), from_s=4.0, late_s=0.3)
    seen: list[int] = []
    stage.at(3.0, lambda: seen.append(len(stage.events)))
    stage.run()
    assert 1 < seen[0] < len(stage.events)
    runs = reported_silences(stage)
    assert runs == [pytest.approx((0.0, 0.5)), pytest.approx((1.5, 4.0)), pytest.approx((5.0, 8.0))]
    assert sum(end_s - at_s for at_s, end_s in runs) == pytest.approx(stage.track.inserted_silence_s)


def test_short_silence_at_the_start_and_the_end_is_not_reported() -> None:
    stage = TrackStage()
    stage.play(constant(3.75, 0.5), from_s=0.1)
    stage.run()
    assert reported_silences(stage) == []
    assert stage.track.inserted_silence_s == pytest.approx(0.25)


def test_reported_silence_does_not_include_pauses() -> None:
    stage = TrackStage(end_s=6)
    stage.at(2.0, lambda: stage.timeline.pause(EPOCH_S + 2))
    stage.at(5.0, lambda: stage.timeline.resume(EPOCH_S + 5))
    stage.run()
    assert reported_silences(stage) == [pytest.approx((0.0, 6.0))]


def test_a_stalled_process_does_not_write_silence_over_its_backlog() -> None:
    stage = TrackStage(end_s=8)
    sound = tone(8, 0.5)
    stage.play(sound[: 2 * SAMPLE_RATE])
    # The whole process is stopped from 2.1 s on. Sound from that time waits in the sound server.
    stage.at(2.1, lambda: stage.clock.advance(3.0))
    for start in range(2 * SAMPLE_RATE, 5 * SAMPLE_RATE, BLOCK):
        backlog = Samples(sound[start : start + BLOCK], EPOCH_S + start / SAMPLE_RATE)
        stage.add(EPOCH_S + 5.2, (0, backlog))
    stage.play(sound[5 * SAMPLE_RATE :], from_s=5.0, late_s=0.2)
    assert np.abs(stage.run() - sound).max() < STEP
    assert stage.track.inserted_silence_s == 0.0


def test_a_thread_that_reads_late_loses_nothing() -> None:
    # The track's own thread runs all the time; the thread that reads the device does not between 2.1 and 6.2 s.
    stage = TrackStage(end_s=8)
    sound = tone(8, 0.5)
    stage.play(sound[: 2 * SAMPLE_RATE])
    stage.at(2.1, lambda: stage.blocks.hung.add(0))
    for start in range(2 * SAMPLE_RATE, 6 * SAMPLE_RATE, BLOCK):
        backlog = Samples(sound[start : start + BLOCK], EPOCH_S + start / SAMPLE_RATE)
        stage.add(EPOCH_S + 6.2, (0, backlog))
    stage.at(6.2, stage.blocks.hung.clear)
    stage.play(sound[6 * SAMPLE_RATE :], from_s=6.0, late_s=0.2)
    assert np.abs(stage.run() - sound).max() < STEP
    assert stage.track.inserted_silence_s == 0.0


def test_a_lane_that_waits_behind_another_loses_nothing() -> None:
    # The server sends a backlog of two lanes by turns, and the thread that reads it needs a second for each turn.
    stage = TrackStage(end_s=40)
    sound, turn = constant(4, 0.25), 16 * BLOCK
    for lane in (0, 1):
        stage.add(EPOCH_S, (0, Samples(sound[:0], EPOCH_S, lane)))
        for start in range(0, len(sound), BLOCK):
            block = Samples(sound[start : start + BLOCK], EPOCH_S + start / SAMPLE_RATE, lane)
            stage.add(EPOCH_S + 4.5 + 2 * (start // turn) + lane, (0, block))
    stage.blocks.hung.add(0)
    recorded = stage.run()[:, 0]
    assert np.all(np.abs(recorded[: 4 * SAMPLE_RATE] - 0.5) < 2 * STEP)


def test_a_device_that_hangs_is_recorded_as_silence_after_a_while() -> None:
    stage = TrackStage(channels=(2, 2), end_s=20)
    stage.blocks.hung.add(1)
    stage.play(constant(20, 0.5))
    seen: list[float] = []
    for at_s in (4.0, 10.0):
        stage.at(at_s, lambda: seen.append(len(stage.recorded()) / SAMPLE_RATE))
    stage.run()
    assert seen == [0.0, pytest.approx(10.0, abs=1.3)]


@pytest.mark.parametrize("channels", [(2,), (2, 1)])
def test_a_gap_of_minutes_is_encoded_in_chunks(channels: Sequence[int]) -> None:
    minutes_s = 4 * 60.0
    stage = TrackStage(channels, end_s=minutes_s)
    stage.at(1.0, lambda: stage.clock.advance(minutes_s - 2))
    # Keep no packets: their memory is the muxer's concern.
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


def test_the_level_covers_the_time_since_the_last_call() -> None:
    stage = TrackStage()
    stage.play(np.concatenate([constant(1.5, 0.5), constant(2.5, 0.05)]))
    loud, both, quiet = stage.levels(1.0, 2.0, 3.0)
    assert (loud.source, loud.trouble) == ("internal", "")
    assert loud.peak_dbfs == pytest.approx(-6.02, abs=0.01)
    assert both.peak_dbfs == pytest.approx(-6.02, abs=0.01)
    assert quiet.peak_dbfs == pytest.approx(-26.02, abs=0.01)
    assert stage.track.peak == 0.5


def test_a_negative_peak_counts() -> None:
    stage = TrackStage()
    stage.play(constant(4, -0.5))
    (level,) = stage.levels(3.0)
    assert level.peak_dbfs == pytest.approx(-6.02, abs=0.01)


def test_zeros_are_reported_as_nothing_is_playing() -> None:
    stage = TrackStage(end_s=8)
    stage.play(constant(8, 0.0))
    early, late = stage.levels(SILENT_AFTER_S - 0.1, SILENT_AFTER_S + 0.1)
    assert (early.trouble, late.trouble) == ("", "nothing is playing")
    assert late.peak_dbfs == -120.0


MUTED = Attenuation(0.0, "Speakers is muted")
TURNED_DOWN = Attenuation(0.001, "Ear is at 10 %")
SLIGHTLY_DOWN = Attenuation(0.2, "Ear is at 58 %")


@pytest.mark.parametrize(
    ("internal", "microphone", "trouble"),
    [
        (MUTED, MUTED, "Speakers is muted"),
        (MUTED, TURNED_DOWN, "Speakers is muted"),
        (SLIGHTLY_DOWN, TURNED_DOWN, "Ear is at 10 %"),
        (SLIGHTLY_DOWN, SLIGHTLY_DOWN, "nothing is playing"),
    ],
)
def test_zeros_are_explained_by_what_is_muted(internal: Attenuation, microphone: Attenuation, trouble: str) -> None:
    stage = TrackStage((2, 1), end_s=8)
    stage.play(constant(8, 0.0), attenuation=internal)
    stage.play(constant(8, 0.0, 1), source=1, attenuation=microphone)
    early, late = stage.levels(SILENT_AFTER_S - 0.1, SILENT_AFTER_S + 0.1)
    assert (early.trouble, late.trouble) == ("", trouble)


def test_silence_after_unmuting_is_not_explained_by_the_mute_switch() -> None:
    stage = TrackStage(end_s=20)
    stage.play(constant(8, 0.0), attenuation=MUTED)
    stage.play(constant(8, 0.0), from_s=8.0)
    troubles = [level.trouble for level in stage.levels(7.9, 8.5)]
    assert troubles == ["Speakers is muted", "nothing is playing"]


def test_missing_blocks_are_reported_as_no_data() -> None:
    stage = TrackStage(end_s=8)
    early, late = stage.levels(SILENT_AFTER_S - 0.1, SILENT_AFTER_S + 0.1)
    assert (early.trouble, late.trouble) == ("", "no data")
    assert late.peak_dbfs == -120.0


def test_a_device_that_hangs_is_reported_as_no_data() -> None:
    stage = TrackStage(end_s=8)
    stage.blocks.hung.add(0)
    early, late = stage.levels(SILENT_AFTER_S - 0.1, SILENT_AFTER_S + 0.4)
    assert (early.trouble, late.trouble) == ("", "no data")


def test_sound_that_waits_on_a_busy_machine_is_no_silence() -> None:
    stage = TrackStage(end_s=14)
    stage.play(tone(14, 0.5))
    levels: list[Level] = []

    def hold_up() -> None:
        stage.clock.advance(SILENT_AFTER_S + 2.0)
        levels.append(stage.track.level())

    stage.at(3.0, hold_up)
    levels += stage.levels(11.0)
    assert [level.trouble for level in levels] == ["", ""]


def test_trouble_changes_from_nothing_playing_to_no_data() -> None:
    stage = TrackStage(end_s=20)
    stage.play(tone(4, 0.5))
    stage.play(constant(4, 0.0), from_s=4.0)
    troubles = [level.trouble for level in stage.levels(4.0, 8.9, 9.5, 12.9, 13.1)]
    assert troubles == ["", "", "nothing is playing", "nothing is playing", "no data"]


@pytest.mark.parametrize("quiet", ["no data", "nothing is playing"])
def test_a_pause_does_not_count_as_silence(quiet: str) -> None:
    stage = TrackStage(end_s=20)
    stage.play(tone(4, 0.5))
    if quiet == "nothing is playing":
        stage.play(constant(30, 0.0), from_s=4.0)
    stage.at(4.0, lambda: stage.timeline.pause(EPOCH_S + 4))
    stage.at(14.0, lambda: stage.timeline.resume(EPOCH_S + 14))
    troubles = [level.trouble for level in stage.levels(10.0, 14.01, 18.8, 19.5)]
    assert troubles == ["", "", "", quiet]


def test_trouble_ends_with_the_first_sound() -> None:
    stage = TrackStage(end_s=10)
    stage.play(tone(2, 0.01), from_s=8.0)
    troubles = [level.trouble for level in stage.levels(7.9, 8.5)]
    assert troubles == ["no data", ""]


def test_noise_below_16_bits_counts_as_silence() -> None:
    stage = TrackStage(end_s=8)
    stage.play(constant(8, 1e-5))
    (level,) = stage.levels(7.0)
    assert level.trouble == "nothing is playing"


def test_one_playing_source_is_enough_for_no_trouble() -> None:
    stage = TrackStage(channels=(2, 2), end_s=8)
    stage.play(tone(8, 0.5), source=1)
    (level,) = stage.levels(7.0)
    assert level.trouble == ""


def test_one_source_of_zeros_is_enough_for_nothing_is_playing() -> None:
    stage = TrackStage(channels=(2, 2), end_s=8)
    stage.play(constant(8, 0.0), source=1)
    (level,) = stage.levels(7.0)
    assert level.trouble == "nothing is playing"


def test_the_largest_drift_is_reported() -> None:
    stage = TrackStage(channels=(1, 1), end_s=30)
    for source, ppm in enumerate((0, -300)):
        for number in range(round(30 / BLOCK_S)):
            heard_at_s = EPOCH_S + number * BLOCK_S / (1 + ppm * 1e-6)
            block = Samples(constant(BLOCK_S, 0.1, channels=1), heard_at_s)
            stage.add(heard_at_s + BLOCK_S, (source, block))
    stage.run()
    assert stage.track.drift_ppm == pytest.approx(-300, abs=5)


def stage_with_history(history_s: float) -> TrackStage:
    stage = TrackStage()
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


def test_between_ignores_silence_inserted_before() -> None:
    # Nothing is delivered for a second; at the end that is outside the history.
    stage = stage_with_history(history_s=1.0)
    stage.play(np.full((3 * SAMPLE_RATE, 2), 0.5, np.float32), from_s=1.0)
    stage.run()
    assert stage.track.inserted_silence_s == pytest.approx(1.0, abs=0.05)
    peak, inserted_s = stage.track.between(1.5, 4.0)
    assert peak == pytest.approx(0.5, abs=0.01)
    assert inserted_s == 0.0
    assert stage.track.between(2.0, 2.5)[1] == 0.0


def test_begin_count_starts_from_the_history() -> None:
    stage = stage_with_history(history_s=10.0)
    stage.play(np.full((round(0.5 * SAMPLE_RATE), 2), 0.8, np.float32))
    stage.play(np.full((2 * SAMPLE_RATE, 2), 0.2, np.float32), from_s=2.0)
    stage.at(3.5, lambda: stage.track.begin_count(2.5))
    stage.run()
    assert stage.track.inserted_silence_s == 0.0
    assert stage.track.peak == pytest.approx(0.2, abs=0.01)
    assert stage.track.between(0.0, 4.0)[1] > 1.0


def test_replaced_samples_are_reported_where_they_are_recorded() -> None:
    stage = TrackStage(end_s=4)
    stage.play(constant(6.0, 0.5))
    for place, (at_s, item) in enumerate(stage.blocks.script):
        assert not callable(item)
        source, samples = item
        if isinstance(samples, Samples) and samples.captured_at_s >= EPOCH_S + 1.0:
            stage.blocks.script[place] = at_s, (source, replace(samples, replaced=7))
    stage.at(2.0, lambda: stage.timeline.pause(EPOCH_S + 2.0))
    stage.at(2.5, lambda: stage.timeline.resume(EPOCH_S + 2.5))
    stage.run()
    ledger = Ledger()
    for event in stage.events:
        assert event.kind == "bad_samples"
        ledger.record(event)
    (run,) = ledger.events()
    assert (run.at_s, run.end_s) == pytest.approx((1.0, 4.0))
    assert run.count == 7 * round(3.0 / BLOCK_S)
    assert run.detail == "internal: invalid samples (not finite, or above +18 dBFS) were replaced"


def test_replaced_samples_outside_the_recording_are_not_reported() -> None:
    stage = TrackStage(end_s=1)
    for heard_at_s in (-0.5, 1.2):
        stage.add(EPOCH_S + 0.1, (0, Samples(constant(0.02, 0.5), EPOCH_S + heard_at_s, replaced=7)))
    stage.run()
    assert [event for event in stage.events if event.kind == "bad_samples"] == []


def test_a_track_that_fails_closes_its_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(samples: SampleArray) -> None:
        raise EncoderError("the encoder refused sound")

    closed: list[bool] = []
    stage = TrackStage()
    stage.play(tone(1, 0.5))
    monkeypatch.setattr(stage.encoder, "encode", refuse)
    monkeypatch.setattr(stage.encoder, "close", lambda: closed.append(True))
    with pytest.raises(EncoderError):
        stage.run()
    assert closed == [True]
