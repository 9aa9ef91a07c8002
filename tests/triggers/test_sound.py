"""Sound that starts and stops a recording: what counts as sound, where it begins and ends, which commands follow."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.events import Answer, Command
from capture.media import SAMPLE_RATE, Attenuation, SampleArray, Samples
from capture.triggers.sound import LEAD_S, TAIL_S, SoundDetector, SoundTrigger

#: When the synthetic sound begins, on the clock of the samples' stamps.
EPOCH_S = 64.0

THRESHOLD_DBFS = -50.0

#: How precisely every beginning and end is found.
TOLERANCE_S = 0.0101

BLOCK = 960


def count_of(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE)


def silence(seconds: float) -> SampleArray:
    return np.zeros((count_of(seconds), 2), np.float32)


def noise(seconds: float, dbfs: float, seed: int = 0) -> SampleArray:
    """Return white noise of this RMS level, float32 (n, 2)."""
    wave = np.random.default_rng(seed).standard_normal((count_of(seconds), 1)) * 10 ** (dbfs / 20)
    return np.repeat(wave, 2, axis=1).astype(np.float32)


def tone(seconds: float, dbfs: float, hz: float = 440.0) -> SampleArray:
    """Return a sine of this RMS level, float32 (n, 2)."""
    wave = math.sqrt(2) * 10 ** (dbfs / 20) * np.sin(2 * np.pi * hz / SAMPLE_RATE * np.arange(count_of(seconds)))
    return np.repeat(wave[:, None], 2, axis=1).astype(np.float32)


def speech(seconds: float, dbfs: float = -20.0, seed: int = 1) -> SampleArray:
    """Return four syllables a second: a voice of 140 Hz with overtones that swells and fades to nothing."""
    times_s = np.arange(count_of(seconds)) / SAMPLE_RATE
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, 8)
    wave = sum(np.sin(2 * np.pi * 140 * n * times_s + phases[n - 1]) / n for n in range(1, 9))
    swell = np.abs(np.sin(2 * np.pi * 2 * times_s)) ** 0.5
    voice = np.asarray(wave) * swell
    voice *= 10 ** (dbfs / 20) / np.sqrt(np.mean(np.square(voice)))
    return np.repeat(voice[:, None], 2, axis=1).astype(np.float32)


def joined(*parts: SampleArray) -> SampleArray:
    return np.concatenate(parts)


def blocks(
    sound: SampleArray, size: int = BLOCK, lane: int = 0, from_s: float = EPOCH_S, gain: float = 1.0
) -> Iterable[Samples]:
    """Yield `sound` in blocks, as a source with this gain delivers it."""
    for start in range(0, len(sound), size):
        data = sound[start : start + size] * np.float32(gain)
        attenuation = Attenuation(gain, "" if gain == 1.0 else "turned down")
        yield Samples(data, from_s + start / SAMPLE_RATE, lane, attenuation=attenuation)


def heard(
    sound: SampleArray, detector: SoundDetector | None = None, size: int = BLOCK, gain: float = 1.0
) -> SoundDetector:
    """Return a detector that was given all of `sound`, from a source with this gain."""
    detector = detector or SoundDetector(THRESHOLD_DBFS)
    for block in blocks(sound, size, gain=gain):
        detector.push(block)
    return detector


def began_s(detector: SoundDetector) -> float:
    """Return when sound began, in seconds from the start of the synthetic sound."""
    assert detector.began_at_s is not None, "no sound was found"
    return detector.began_at_s - EPOCH_S


# What is sound


@pytest.mark.parametrize("sound", [speech(0.5), tone(0.5, -20.0), noise(0.5, -25.0)], ids=["speech", "tone", "noise"])
@pytest.mark.parametrize("before_s", [0.35, 1.003, 5.0])
def test_sound_in_digital_silence_is_found_where_it_begins_and_ends(sound: SampleArray, before_s: float) -> None:
    detector = heard(joined(silence(before_s), sound, silence(1.0)))
    assert began_s(detector) == pytest.approx(before_s, abs=TOLERANCE_S)
    assert detector.sound_until_s - EPOCH_S == pytest.approx(before_s + 0.5, abs=2 * TOLERANCE_S)


def test_silence_is_not_sound() -> None:
    detector = heard(silence(10.0))
    assert detector.began_at_s is None
    assert detector.sound_until_s == -math.inf


@pytest.mark.parametrize("hiss_dbfs", [-80.0, -55.0, -45.0, -39.0])
def test_a_steady_hiss_is_not_sound(hiss_dbfs: float) -> None:
    assert heard(noise(20.0, hiss_dbfs)).began_at_s is None


def test_a_hum_from_the_start_is_not_sound() -> None:
    assert heard(tone(3.0, -45.0, hz=50.0)).began_at_s is None


@pytest.mark.parametrize("hiss_dbfs", [-70.0, -45.0])
def test_a_voice_above_a_hiss_is_found_where_it_begins_and_ends(hiss_dbfs: float) -> None:
    hiss = noise(6.0, hiss_dbfs)
    hiss[count_of(4.0) : count_of(5.0)] += tone(1.0, -20.0)
    detector = heard(hiss)
    assert began_s(detector) == pytest.approx(4.0, abs=TOLERANCE_S)
    assert detector.sound_until_s - EPOCH_S == pytest.approx(5.0, abs=TOLERANCE_S)


@pytest.mark.parametrize("dbfs", [-26.0, -12.0, -3.0])
def test_a_loud_tone_from_the_start_is_sound_from_the_start(dbfs: float) -> None:
    detector = heard(tone(3.0, dbfs))
    assert began_s(detector) == pytest.approx(0.0, abs=TOLERANCE_S)
    assert detector.sound_until_s - EPOCH_S == pytest.approx(3.0, abs=TOLERANCE_S)


def test_music_from_the_start_is_sound() -> None:
    assert began_s(heard(speech(2.0, -18.0))) < 0.2


def test_sound_that_begins_during_the_warm_up_is_found() -> None:
    assert began_s(heard(joined(silence(0.1), tone(0.5, -20.0)))) == pytest.approx(0.1, abs=TOLERANCE_S)


@pytest.mark.parametrize("length_s", [0.001, 0.002])
@pytest.mark.parametrize("offset_s", [0.0, 0.0049, 0.0095])
def test_a_click_is_not_sound(length_s: float, offset_s: float) -> None:
    sound = joined(silence(2.0 + offset_s), np.ones((count_of(length_s), 2), np.float32), silence(1.0))
    assert heard(sound).began_at_s is None


def test_a_voice_in_only_one_channel_is_heard() -> None:
    sound = joined(silence(1.0), tone(0.5, -35.0))
    sound[:, 0] = 0.0
    assert began_s(heard(sound)) == pytest.approx(1.0, abs=TOLERANCE_S)


def test_the_soft_consonant_belongs_to_the_word() -> None:
    consonant, vowel = noise(0.12, -58.0), tone(0.3, -18.0)
    detector = heard(joined(noise(2.0, -80.0), consonant, vowel))
    assert began_s(detector) == pytest.approx(2.0, abs=TOLERANCE_S)


def test_the_search_back_through_a_long_murmur_is_limited() -> None:
    detector = heard(joined(noise(1.0, -80.0), noise(3.0, -58.0), tone(0.3, -18.0)))
    assert 3.5 < began_s(detector) <= 4.0


@pytest.mark.parametrize(("threshold_dbfs", "found"), [(-50.0, False), (-60.0, True)])
def test_the_threshold_decides(threshold_dbfs: float, found: bool) -> None:
    detector = heard(joined(silence(1.0), tone(1.0, -55.0)), SoundDetector(threshold_dbfs))
    assert (detector.began_at_s is not None) is found


# What is noise


def test_once_sound_has_begun_the_noise_floor_only_falls() -> None:
    detector = heard(noise(1.0, -45.0))
    waiting_db = detector.limit_db
    detector = heard(joined(noise(1.0, -45.0), tone(10.0, -20.0)))
    assert detector.limit_db <= waiting_db + 0.5
    assert detector.sound_until_s - EPOCH_S == pytest.approx(11.0, abs=TOLERANCE_S)
    quieter = heard(joined(noise(1.0, -45.0), tone(1.0, -20.0), noise(4.0, -70.0)))
    assert quieter.limit_db == THRESHOLD_DBFS


def test_a_hiss_that_begins_while_waiting_becomes_the_noise_floor() -> None:
    detector = heard(joined(silence(1.0), noise(5.0, -45.0)))
    assert began_s(detector) == pytest.approx(1.0, abs=TOLERANCE_S)
    detector.rearm()
    for block in blocks(noise(5.0, -45.0, seed=2), from_s=EPOCH_S + 6.0):
        detector.push(block)
    assert detector.began_at_s is None


def test_the_noise_floor_is_what_nine_tenths_of_the_last_three_seconds_reach() -> None:
    detector = heard(joined(tone(3.0, -35.0), silence(0.3)), SoundDetector(-30.0))
    assert detector.limit_db == pytest.approx(-25.0, abs=0.1)
    assert heard(silence(0.01), detector).limit_db == -30.0
    # The silence counts until it is three seconds old.
    assert heard(tone(2.69, -35.0), detector).limit_db == -30.0
    assert heard(tone(0.01, -35.0), detector).limit_db == pytest.approx(-25.0, abs=0.1)


def test_after_rearm_the_next_sound_is_found() -> None:
    detector = heard(joined(silence(1.0), tone(0.5, -20.0), silence(2.0)))
    detector.rearm()
    assert detector.began_at_s is None
    for block in blocks(joined(silence(1.0), tone(0.5, -20.0)), from_s=EPOCH_S + 3.5):
        detector.push(block)
    assert began_s(detector) == pytest.approx(4.5, abs=TOLERANCE_S)


# Blocks


MIXED = joined(noise(0.7, -62.0), noise(0.05, -57.0, seed=3), speech(0.4), noise(0.4, -62.0, seed=4), tone(0.2, -30.0))


@given(st.lists(st.integers(0, 5_000), min_size=1, max_size=40))
@settings(max_examples=40)
def test_blocks_of_any_length_give_the_same_result(sizes: list[int]) -> None:
    whole = heard(MIXED, size=len(MIXED))
    pieces, start = SoundDetector(THRESHOLD_DBFS), 0
    for size in [*sizes, len(MIXED)]:
        pieces.push(Samples(MIXED[start : start + size], EPOCH_S + start / SAMPLE_RATE))
        start = min(start + size, len(MIXED))
    assert pieces.began_at_s == pytest.approx(whole.began_at_s, abs=1e-6)
    assert pieces.sound_until_s == pytest.approx(whole.sound_until_s, abs=1e-6)
    assert pieces.limit_db == pytest.approx(whole.limit_db)


def test_a_source_that_becomes_mono_is_still_heard() -> None:
    detector = heard(silence(1.0055))
    detector.push(Samples(tone(0.5, -20.0)[:, :1], EPOCH_S + 1.0055))
    assert began_s(detector) == pytest.approx(1.0055, abs=TOLERANCE_S)


# Commands


class Given:
    """The commands that a trigger sent, with their moments in seconds from the start of the synthetic sound."""

    def __init__(self) -> None:
        self.commands: list[tuple[Command, str, float]] = []

    def __call__(
        self,
        command: Command,
        given_by: str,
        *,
        at_s: float | None = None,
        text: str = "",
        answer: Answer | None = None,
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        assert at_s is not None
        self.commands.append((command, given_by, at_s - EPOCH_S))

    def taken(self) -> tuple[Command, str, Any]:
        """Return the only command since the last call. Its moment compares equal within one window."""
        ((command, given_by, at_s),) = self.commands
        self.commands = []
        return command, given_by, pytest.approx(at_s, abs=TOLERANCE_S)


Ear = Callable[[Samples], None]


def listening(silence_s: float | None, count: int = 1) -> tuple[SoundTrigger, Given, list[Ear]]:
    trigger, given_commands = SoundTrigger(THRESHOLD_DBFS, silence_s), Given()
    ears = [trigger.listener() for _ in range(count)]
    trigger.start(given_commands)
    return trigger, given_commands, ears


def play(ear: Ear, sound: SampleArray, from_s: float = 0.0, lane: int = 0) -> None:
    """Pass `sound` to an ear, block by block."""
    for block in blocks(sound, lane=lane, from_s=EPOCH_S + from_s):
        ear(block)


def tick(trigger: SoundTrigger, at_s: float) -> None:
    trigger.tick(EPOCH_S + at_s)


def test_start_is_sent_once_with_a_moment_before_the_sound() -> None:
    trigger, given_commands, (first, second) = listening(None, 2)
    trigger.arm()
    play(first, silence(1.0))
    play(second, joined(silence(0.8), tone(0.5, -20.0)))
    play(first, tone(1.0, -20.0), 1.0)
    play(second, tone(1.0, -20.0), 1.3)
    assert given_commands.taken() == (Command.START, "sound", 0.8 - LEAD_S)


def test_nothing_is_sent_before_arm_or_after_stop() -> None:
    trigger, given_commands, (ear,) = listening(1.0)
    play(ear, joined(silence(1.0), tone(0.5, -20.0), silence(1.0)))
    assert given_commands.commands == []
    trigger.arm()
    trigger.stop()
    play(ear, tone(0.5, -20.0), 2.5)
    tick(trigger, 60.0)
    assert given_commands.commands == []


def test_no_start_is_sent_when_the_recording_began_by_other_means() -> None:
    trigger, given_commands, (ear,) = listening(None)
    trigger.arm()
    play(ear, silence(1.0))
    trigger.begin(EPOCH_S + 1.0)
    play(ear, tone(0.5, -20.0), 1.0)
    assert given_commands.commands == []


@pytest.mark.parametrize("place", [0, 1])
def test_sound_in_any_lane_starts_a_recording(place: int) -> None:
    trigger, given_commands, (ear,) = listening(None)
    trigger.arm()
    sounds = [silence(2.0), silence(2.0)]
    sounds[place][count_of(1.0) :] += tone(1.0, -20.0)
    for pair in zip(blocks(sounds[0], lane=0), blocks(sounds[1], lane=1), strict=True):
        for block in pair:
            ear(block)
    assert given_commands.taken() == (Command.START, "sound", 1.0 - LEAD_S)


def test_stop_is_sent_after_the_silence_for_the_moment_the_sound_ended() -> None:
    trigger, given_commands, (ear,) = listening(1.0)
    trigger.begin(EPOCH_S)
    sound = joined(silence(0.5), tone(0.5, -20.0), silence(3.0))
    for block in blocks(sound):
        ear(block)
        trigger.tick(block.ends_at_s)
        if given_commands.commands:
            break
    assert block.ends_at_s - EPOCH_S == pytest.approx(2.0, abs=2 * TOLERANCE_S)
    assert given_commands.taken() == (Command.STOP, "silence", 1.0 + TAIL_S)


def test_the_tail_is_never_longer_than_the_silence() -> None:
    trigger, given_commands, (ear,) = listening(0.05)
    trigger.begin(EPOCH_S)
    play(ear, joined(silence(0.5), tone(0.5, -20.0), silence(0.5)))
    tick(trigger, 1.5)
    assert given_commands.taken() == (Command.STOP, "silence", 1.05)


def test_stop_waits_until_all_sources_are_silent() -> None:
    trigger, given_commands, (first, second) = listening(1.0, 2)
    trigger.begin(EPOCH_S)
    play(first, joined(silence(0.5), tone(0.5, -20.0), silence(4.0)))
    play(second, joined(silence(1.5), tone(1.5, -20.0), silence(0.5)))
    tick(trigger, 3.5)
    assert given_commands.commands == []
    play(second, silence(1.5), 3.5)
    tick(trigger, 5.0)
    assert given_commands.taken() == (Command.STOP, "silence", 3.0 + TAIL_S)


def test_stop_waits_for_samples_that_are_still_on_their_way() -> None:
    trigger, given_commands, (first, second) = listening(1.0, 2)
    trigger.begin(EPOCH_S)
    play(first, joined(silence(0.5), tone(0.5, -20.0), silence(2.0)))
    play(second, silence(1.8))
    tick(trigger, 2.2)
    assert given_commands.commands == []
    play(second, silence(0.4), 1.8)
    tick(trigger, 2.2)
    assert given_commands.taken()[0] is Command.STOP


def test_a_source_that_delivers_nothing_counts_as_silent() -> None:
    trigger, given_commands, (first, _) = listening(1.0, 2)
    trigger.begin(EPOCH_S)
    play(first, joined(silence(0.5), tone(0.5, -20.0), silence(1.0)))
    tick(trigger, 2.4)
    assert given_commands.commands == []
    tick(trigger, 2.6)
    assert given_commands.taken() == (Command.STOP, "silence", 1.0 + TAIL_S)


def test_a_recording_without_any_sound_is_not_cut() -> None:
    trigger, given_commands, (ear,) = listening(1.5)
    play(ear, joined(silence(0.5), tone(0.5, -20.0), silence(1.0)))
    trigger.begin(EPOCH_S + 2.0)
    assert trigger.settled_until_s == math.inf
    play(ear, silence(1.4), 2.0)
    tick(trigger, 3.4)
    assert given_commands.commands == []
    play(ear, silence(0.2), 3.4)
    tick(trigger, 3.6)
    assert given_commands.taken() == (Command.STOP, "silence", 3.5)


def test_silence_counts_from_the_end_of_a_pause() -> None:
    trigger, given_commands, (ear,) = listening(1.0)
    trigger.begin(EPOCH_S)
    play(ear, joined(silence(0.5), tone(0.5, -20.0), silence(9.0)))
    trigger.resume(EPOCH_S + 9.5)
    tick(trigger, 10.0)
    assert given_commands.commands == []
    play(ear, silence(0.6), 10.0)
    tick(trigger, 10.6)
    assert given_commands.taken() == (Command.STOP, "silence", 1.0 + TAIL_S)


def test_without_a_silence_limit_it_never_stops() -> None:
    trigger, given_commands, (ear,) = listening(None)
    trigger.begin(EPOCH_S)
    play(ear, joined(tone(0.5, -20.0), silence(2.0)))
    tick(trigger, 3600.0)
    assert given_commands.commands == []
    assert trigger.settled_until_s == math.inf


def test_the_settled_moment_advances_with_the_sound() -> None:
    trigger, _, (first, second) = listening(2.0, 2)
    trigger.begin(EPOCH_S)
    play(first, joined(silence(0.5), tone(0.5, -20.0), silence(1.0)))
    assert trigger.settled_until_s - EPOCH_S == pytest.approx(1.0 + TAIL_S, abs=TOLERANCE_S)
    play(second, joined(silence(1.0), tone(0.7, -20.0), silence(0.3)))
    assert trigger.settled_until_s - EPOCH_S == pytest.approx(1.7 + TAIL_S, abs=TOLERANCE_S)
    trigger.begin(EPOCH_S + 2.0)
    assert trigger.settled_until_s == math.inf


def test_several_recordings_follow_each_other() -> None:
    trigger, given_commands, (ear,) = listening(1.0)
    at_s = 0.0
    for _ in range(3):
        trigger.arm()
        play(ear, silence(1.0), at_s)
        play(ear, tone(0.5, -20.0), at_s + 1.0)
        assert given_commands.taken() == (Command.START, "sound", at_s + 1.0 - LEAD_S)
        trigger.begin(EPOCH_S + at_s + 1.0 - LEAD_S)
        play(ear, silence(1.5), at_s + 1.5)
        tick(trigger, at_s + 3.0)
        assert given_commands.taken() == (Command.STOP, "silence", at_s + 1.5 + TAIL_S)
        at_s += 3.0


# Sources that are turned down


@pytest.mark.parametrize("percent", [100, 50, 25, 20, 15])
@pytest.mark.parametrize(("dbfs", "begins"), [(-30.0, True), (-55.0, False)])
def test_the_volume_of_a_source_does_not_decide_what_is_sound(percent: int, dbfs: float, begins: bool) -> None:
    quiet = np.zeros((count_of(1.0), 2), np.float32)
    sound = np.concatenate([quiet, tone(1.0, dbfs), quiet])
    detector = heard(sound, gain=(percent / 100) ** 3)
    assert (detector.began_at_s is not None) is begins
    if begins:
        assert detector.began_at_s == pytest.approx(EPOCH_S + 1.0, abs=0.02)
        assert detector.sound_until_s == pytest.approx(EPOCH_S + 2.0, abs=0.05)


def test_the_rounding_of_16_bits_is_no_sound_at_a_low_volume() -> None:
    rounding = np.float32(2.0**-15) * np.random.default_rng(1).integers(-1, 2, (count_of(3.0), 2)).astype(np.float32)
    gain = 0.05**3
    assert heard(rounding / np.float32(gain), gain=gain).began_at_s is None


@pytest.mark.parametrize("gain", [0.0, 2.0])
def test_a_muted_or_amplified_source_keeps_the_threshold(gain: float) -> None:
    quiet = np.zeros((count_of(0.5), 2), np.float32)
    detector = SoundDetector(THRESHOLD_DBFS)
    detector.push(Samples(quiet, EPOCH_S, attenuation=Attenuation(gain, "muted")))
    assert detector.limit_db == THRESHOLD_DBFS
