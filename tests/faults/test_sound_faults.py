"""Real sound faults: servers that die, outputs that disappear, processes that are suspended.

Each time the recording continues with silence for what is missing, and what follows is in its place. Every server here
has a microphone as its default input; its sound must not be in a recording of anything else.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final, Self

import dying_server
import numpy as np
import numpy.typing as npt
import pytest
from callers import Control
from conftest import StartCapture
from programs import favoured
from reopened import Sound, Track, loudness, pictures, sound
from running import Recorder, eventually
from servers import MICROPHONE_HZ, beacon, microphone, sound_server
from stage import GREEN, RED, Stage, module, pactl, playing, streams, write_tone

from benchmarks.alignment import matched
from benchmarks.decoding import read_picture
from benchmarks.onsets import beep_onsets_s, flash_onsets_s
from benchmarks.stimulus.flash_beep import LONGEST_INTERVAL_S, SHORTEST_INTERVAL_S
from benchmarks.trials.servers import server_of
from capture.media import SILENCE_DBFS, peak_dbfs
from capture.virtual.desk import VirtualDesk

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

#: How far picture and sound may be apart after a fault.
SYNC_S: Final = 0.04

#: How often a recorder that shows nothing looks at its progress.
PROGRESS_S: Final = 0.5

#: Sound must return this soon after the server does.
RETURN_S: Final = 2.0

#: Loud enough to detect, too quiet to pass for a beep, and two periods of the beep detector's window away from it.
TONE_HZ: Final = 600.0
TONE_LEVEL: Final = 0.1

BYTES_PER_S: Final = 192_000

Moments = npt.NDArray[np.float64]


@pytest.fixture
def own_desk(capture_environment: dict[str, str]) -> Iterator[VirtualDesk]:
    """A separate desk whose servers a test may kill. `capture_environment` refers to this desk."""
    desk = VirtualDesk(320, 240, window_manager=False)
    with favoured():
        desk.open()
    with closing(desk):
        capture_environment.update(desk.environment)
        yield desk


def end_sound_server(environment: dict[str, str]) -> None:
    os.kill(server_of(environment, "pulseaudio"), signal.SIGKILL)


def assert_no_microphone(track: Track) -> None:
    """Assert that its tone is nowhere. The bound is above zero because a sound that breaks off has every frequency."""
    for start_s in np.arange(track.start_s, track.end_s - 0.25, 0.25):
        assert loudness(track.between(start_s, start_s + 0.25), MICROPHONE_HZ, track.rate) < 0.01


def is_silent(samples: Sound) -> bool:
    """Whether `samples` are silent; codecs let sound fade out, so they need not be zero."""
    return peak_dbfs(float(np.abs(samples).max())) < SILENCE_DBFS


def silent_stretches(track: Track) -> list[tuple[float, float]]:
    """Return the silent stretches longer than 0.1 s, start and end in seconds."""
    samples = np.abs(track.between(0.0, track.end_s)).reshape(round(track.end_s * track.rate), -1).max(axis=1)
    heard = np.concatenate(([-1], np.flatnonzero(samples > 1e-4), [len(samples)]))
    long = np.flatnonzero(np.diff(heard) > 0.1 * track.rate)
    return [(float(heard[n] + 1) / track.rate, float(heard[n + 1]) / track.rate) for n in long]


def kinds(summary: dict[str, Any]) -> list[str]:
    """Return the kinds of the device events in order."""
    return [event["kind"] for event in summary["events"] if event["kind"].startswith("device_")]


class Together:
    """A recording of beacons, decoded: where its flashes and beeps are, and when it began on the monotonic clock."""

    def __init__(self, path: Path, pairs: Moments) -> None:
        self.path = path
        self.pairs = pairs
        self.track = sound(path)
        picture = read_picture(path)
        self.flashes_s = flash_onsets_s(picture.pts_s, picture.luma)
        self.beeps_s = beep_onsets_s(self.track.samples, self.track.rate, self.track.start_s)
        # How much later in the file than on the clock.
        self.flash_lateness_s = matched(pairs[:, 0], self.flashes_s)
        self.beep_lateness_s = matched(pairs[:, 1], self.beeps_s)
        self.epoch_s = -float(np.median(list(self.flash_lateness_s.values())))

    def offset_s(self, from_s: float, to_s: float) -> float:
        """Return the median lag of the picture behind the sound between two moments of the clock, in seconds."""
        both = self.flash_lateness_s.keys() & self.beep_lateness_s.keys()
        found = [
            self.flash_lateness_s[number] - self.beep_lateness_s[number]
            for number in both
            if from_s < self.pairs[number, 1] < to_s
        ]
        # A busy machine may drop a frame, and its flash with it.
        assert found, f"pairs {self.pairs - self.epoch_s}, flashes {self.flashes_s}, beeps {self.beeps_s}"
        return float(np.median(found))

    def assert_every_beep_in_its_place(self) -> None:
        """Assert that there is no beep where none was played.

        The beacon does not log a pair whose moments it is unsure of, for example when its player ran too late. The
        flash of such a pair, if there is one, shows roughly when it was.
        """
        flashes_s, known_s = (np.sort(column) - self.epoch_s for column in self.pairs.T)
        unsure_s = [flash_s for flash_s in self.flashes_s if np.abs(flashes_s - flash_s).min() > 0.1]
        for beep_s in self.beeps_s:
            sure = np.abs(known_s - beep_s).min() < 0.1
            unsure = any(abs(flash_s - beep_s) < SHORTEST_INTERVAL_S for flash_s in unsure_s)
            before_s, after_s = known_s[known_s < beep_s], known_s[known_s > beep_s]
            unseen = before_s.size and after_s.size and after_s[0] - before_s[-1] > LONGEST_INTERVAL_S + 0.1
            assert sure or unsure or unseen, f"a beep at {beep_s}, but beeps at {known_s}, flashes at {self.flashes_s}"


def test_sound_returns_in_sync_after_the_server_restarts(
    own_desk: VirtualDesk, capture_environment: dict[str, str], start_capture: StartCapture, tmp_path: Path
) -> None:
    path = tmp_path / "out.mkv"
    tone = write_tone(tmp_path / "tone.wav", TONE_HZ, 60.0, TONE_LEVEL)
    pairs: list[Moments] = []
    killed_s: list[float] = []
    served_s: list[float] = []
    with ExitStack() as running:
        first = running.enter_context(beacon(capture_environment, tmp_path / "0.log"))
        first.until(1)
        recorder = running.enter_context(start_capture("record", path, "--json"))
        recorder.until_recording(path)
        first.until(2, after_s=time.monotonic())
        pairs.append(first.pairs())
        end_sound_server(capture_environment)
        killed_s.append(time.monotonic())
        recorder.until_said("is gone")
        eventually(lambda: time.monotonic() >= killed_s[0] + 3.0, "three seconds")
        # The server returns as it was, dies again, and returns with only another output.
        for output in ("desk", "other"):
            with (
                sound_server(own_desk, output) as at_s,
                playing(capture_environment, tone, output),
                beacon(capture_environment, tmp_path / f"{output}.log") as again,
            ):
                served_s.append(at_s)
                again.until(2, after_s=at_s + RETURN_S)
                pairs.append(again.pairs())
                if output == "other":
                    summary = recorder.stop()
            killed_s.append(time.monotonic())
        said = recorder.stderr
    found = Together(path, np.concatenate(pairs))
    assert_no_microphone(found.track)
    assert kinds(summary) == ["device_lost", "device_back"] * 2
    lost, back, _, other = (event for event in summary["events"] if event["kind"].startswith("device_"))
    assert (lost["detail"], back["detail"], other["detail"]) == (
        "internal: Virtual desk is gone (Connection terminated); recording silence until it is back",
        "internal: now desk",
        "internal: now other",
    )
    assert lost["detail"] in said
    assert (summary["stopped_by"], summary["check"]) == ("terminate", "ok")
    assert summary["audio"][0]["device"] == "other"
    # The picture went on all the time: a still one is repeated at intervals.
    shown = pictures(path)
    moments_s = np.array(shown.moments_s) + found.epoch_s
    assert shown.end_s == pytest.approx(found.track.end_s, abs=0.1)
    assert np.count_nonzero((moments_s > killed_s[0]) & (moments_s < served_s[0])) >= 2
    # Silence while the server was away, sound soon after.
    silent = found.track.between(killed_s[0] - found.epoch_s + 0.2, served_s[0] - found.epoch_s)
    assert len(silent) > 2.5 * found.track.rate
    assert is_silent(silent)
    for at_s in served_s:
        tone_again = found.track.between(at_s + RETURN_S - found.epoch_s, at_s + RETURN_S + 0.5 - found.epoch_s)
        assert loudness(tone_again, TONE_HZ, found.track.rate) > 0.9 * TONE_LEVEL
    away_s = sum(back_s - gone_s for gone_s, back_s in zip(killed_s, served_s, strict=False))
    assert away_s < summary["audio"][0]["inserted_silence_s"] < away_s + 2 * RETURN_S
    # In sync before the first loss and after each return.
    for from_s, to_s in zip((0.0, *served_s), killed_s, strict=True):
        assert abs(found.offset_s(from_s, to_s)) < SYNC_S
    found.assert_every_beep_in_its_place()


@pytest.mark.parametrize("extension", ["mp4", "ogg"])
def test_the_recording_goes_on_silently_if_the_server_stays_away(
    extension: str,
    own_desk: VirtualDesk,
    capture_environment: dict[str, str],
    start_capture: StartCapture,
    tmp_path: Path,
) -> None:
    path = tmp_path / f"out.{extension}"
    tone = write_tone(tmp_path / "tone.wav", 440.0, 60.0)
    with (
        Stage(capture_environment) as stage,
        playing(capture_environment, tone, own_desk.sink),
        start_capture("record", path, "--json") as recorder,
    ):
        stage.paint(0, 0, stage.width, stage.height, RED)
        recorder.until_recording(path)
        recorder.until_grown(path, 3)
        end_sound_server(capture_environment)
        recorder.until_said("recording silence until it is back")
        stage.paint(0, 0, stage.width, stage.height, GREEN)
        recorder.until_grown(path, 3)
        summary = recorder.stop()
        said = recorder.stderr
    assert "Traceback" not in said
    assert (summary["stopped_by"], summary["check"]) == ("terminate", "ok")
    assert kinds(summary) == ["device_lost"]
    (lost_s,) = [event["at_s"] for event in summary["events"] if event["kind"] == "device_lost"]
    track = sound(path)
    assert loudness(track.between(0.2, lost_s - 0.3), 440.0, track.rate) > 0.3
    assert is_silent(track.between(lost_s + 0.3, track.end_s))
    assert abs(track.end_s - summary["duration_s"]) <= 0.1
    assert summary["audio"][0]["inserted_silence_s"] == pytest.approx(track.end_s - lost_s, abs=0.3)
    if extension == "mp4":
        found = pictures(path)
        assert found.last[found.last.shape[0] // 2, 20].tolist() == pytest.approx(GREEN, abs=14)
        assert abs(found.end_s - summary["duration_s"]) <= 0.1


def test_a_process_stopped_for_five_seconds_stays_in_sync(
    own_desk: VirtualDesk, capture_environment: dict[str, str], start_capture: StartCapture, tmp_path: Path
) -> None:
    path = tmp_path / "out.mkv"
    with ExitStack() as running:
        steady = running.enter_context(beacon(capture_environment, tmp_path / "log"))
        with favoured():
            recorder = running.enter_context(start_capture("record", path, "--json"))
        recorder.until_recording(path)
        steady.until(2, after_s=time.monotonic())
        # Between two answers it looks at its progress if that is due.
        ran_s = time.monotonic()
        assert [Control(recorder).state for _ in range(2)] == ["recording"] * 2
        recorder.process.send_signal(signal.SIGSTOP)
        stopped_s = time.monotonic()
        eventually(lambda: time.monotonic() >= stopped_s + 5.0, "five seconds")
        continued_s = time.monotonic()
        recorder.process.send_signal(signal.SIGCONT)
        assert [Control(recorder).state for _ in range(2)] == ["recording"] * 2
        runs_s = time.monotonic()
        steady.until(3, after_s=continued_s)
        summary = recorder.stop()
    found = Together(path, steady.pairs())
    assert (summary["stopped_by"], summary["check"]) == ("terminate", "ok")
    assert abs(found.offset_s(0.0, stopped_s)) < SYNC_S
    assert abs(found.offset_s(continued_s, np.inf)) < SYNC_S
    # On a busy machine there may be others.
    standstills = [
        (event["at_s"] + found.epoch_s, event["to_s"] + found.epoch_s)
        for event in summary["events"]
        if event["kind"] == "stood_still"
    ]
    ((from_s, to_s),) = [found for found in standstills if found[0] < continued_s and found[1] > stopped_s]
    assert ran_s - PROGRESS_S - SYNC_S < from_s < stopped_s + SYNC_S
    assert continued_s - SYNC_S < to_s < runs_s + SYNC_S
    # Sound of that time is silent or in its place; the picture is frozen.
    found.assert_every_beep_in_its_place()
    moments_s = np.array(pictures(path).moments_s) + found.epoch_s
    assert not np.any((moments_s > stopped_s + 0.1) & (moments_s < continued_s - 0.1))
    assert pictures(path).end_s == pytest.approx(found.track.end_s, abs=0.1)


# Devices


class Take:
    """An audio recording into a WAV file that the test watches as it grows."""

    def __init__(self, environment: dict[str, str], folder: Path, source: str) -> None:
        self._path = folder / "sound.wav"
        self.recorder = Recorder(environment, folder, "record", self._path, "--audio", source, "--json")

    def __enter__(self) -> Self:
        self.recorder.__enter__()
        self.recorder.until_recording(self._path)
        return self

    def __exit__(self, *error: object) -> None:
        self.recorder.__exit__(None, None, None)

    def go_on(self, seconds: float) -> float:
        """Wait until the file has `seconds` more; return its length in seconds."""
        size = self._path.stat().st_size + seconds * BYTES_PER_S
        self.recorder.until(lambda: self._path.stat().st_size > size, f"{seconds} s more")
        return self._path.stat().st_size / BYTES_PER_S

    def stop(self) -> tuple[Track, dict[str, Any]]:
        summary = self.recorder.stop()
        assert summary["check"] == "ok"
        assert "Traceback" not in self.recorder.stderr
        return sound(self._path), summary


def device_events(summary: dict[str, Any]) -> list[tuple[str, str]]:
    return [(event["kind"], event["detail"]) for event in summary["events"] if event["kind"].startswith("device_")]


def test_a_suspended_output_is_silence_until_it_resumes(
    own_desk: VirtualDesk, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    tone = write_tone(tmp_path / "tone.wav", 440.0, 60.0, 0.3)
    with (
        microphone(capture_environment),
        playing(capture_environment, tone, own_desk.sink),
        Take(capture_environment, tmp_path, "internal") as take,
    ):
        take.go_on(1.0)
        pactl(capture_environment, "suspend-sink", own_desk.sink, "1")
        silent_s = take.go_on(2.0)
        pactl(capture_environment, "suspend-sink", own_desk.sink, "0")
        take.recorder.until_said("internal: now Virtual desk")
        take.go_on(2.0)
        pactl(capture_environment, "suspend-sink", own_desk.sink, "1")
        take.go_on(1.0)
        track, summary = take.stop()
    suspended = ("device_lost", "internal: Virtual desk is suspended; recording silence until that ends")
    assert device_events(summary) == [suspended, ("device_back", "internal: now Virtual desk"), suspended]
    assert_no_microphone(track)
    lost_s, back_s, again_s = (event["at_s"] for event in summary["events"] if event["kind"].startswith("device_"))
    assert loudness(track.between(0.3, lost_s - 0.1), 440.0, track.rate) > 0.29
    assert not track.between(silent_s - 0.9, silent_s - 0.4).any()
    assert loudness(track.between(back_s + 0.3, again_s - 0.1), 440.0, track.rate) > 0.29
    # Nothing is missing up to the last sample: whatever is not sound counts as inserted silence.
    silences = silent_stretches(track)
    assert [begin_s for begin_s, _ in silences] == [pytest.approx(lost_s, abs=0.3), pytest.approx(again_s, abs=0.3)]
    assert summary["audio"][0]["inserted_silence_s"] == pytest.approx(
        sum(end_s - begin_s for begin_s, end_s in silences), abs=0.02
    )


def test_a_named_device_is_waited_for(
    own_desk: VirtualDesk, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    tones = {hz: write_tone(tmp_path / f"{hz:g}.wav", hz, 60.0, 0.3) for hz in (440.0, 660.0)}
    speakers = ("module-null-sink", "sink_name=speakers", "norewinds=1", "sink_properties=device.description=Speakers")
    with ExitStack() as playing_now:
        playing_now.enter_context(microphone(capture_environment))
        playing_now.enter_context(playing(capture_environment, tones[660.0], own_desk.sink))
        number = playing_now.enter_context(module(capture_environment, *speakers))
        playing_now.enter_context(playing(capture_environment, tones[440.0], "speakers"))
        with Take(capture_environment, tmp_path, "speakers.monitor") as take:
            take.go_on(1.0)
            pactl(capture_environment, "unload-module", str(number))
            take.recorder.until_said("Speakers is gone")
            silent_s = take.go_on(2.0)
            playing_now.enter_context(module(capture_environment, *speakers))
            playing_now.enter_context(playing(capture_environment, tones[440.0], "speakers"))
            take.go_on(2.0)
            track, summary = take.stop()
    assert device_events(summary) == [
        ("device_lost", "speakers.monitor: Speakers is gone; recording silence until it is back"),
        ("device_back", "speakers.monitor: now Speakers"),
    ]
    assert summary["audio"][0]["device"] == "Speakers"
    lost_s, back_s = (event["at_s"] for event in summary["events"] if event["kind"].startswith("device_"))
    assert loudness(track.between(0.3, lost_s - 0.1), 440.0, track.rate) > 0.29
    assert not track.between(silent_s - 0.9, silent_s - 0.4).any()
    assert loudness(track.between(track.end_s - 0.8, track.end_s - 0.2), 440.0, track.rate) > 0.29
    assert summary["audio"][0]["inserted_silence_s"] == pytest.approx(back_s - lost_s, abs=0.4)
    # Neither the microphone nor the output that the server moved the player to.
    assert_no_microphone(track)
    assert loudness(track.samples, 660.0, track.rate) < 0.001


@contextmanager
def microphone_in_a_room(environment: dict[str, str], name: str, hz: int) -> Iterator[int]:
    """Add a microphone called `name` in a room where a tone is played; yield its module index.

    Unlike the microphone of the other tests, it delivers sound at once.
    """
    with (
        module(environment, "module-null-sink", f"sink_name={name}-room", "norewinds=1", "rate=48000"),
        module(environment, "module-sine", f"sink={name}-room", "rate=48000", f"frequency={hz}"),
        module(
            environment,
            "module-remap-source",
            f"master={name}-room.monitor",
            f"source_name={name}",
            f"source_properties=device.description={name}",
        ) as number,
    ):
        yield number


def test_a_lost_microphone_is_replaced_by_the_next_or_by_silence(
    own_desk: VirtualDesk, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    tone = write_tone(tmp_path / "tone.wav", 440.0, 60.0, 0.3)
    with (
        playing(capture_environment, tone, own_desk.sink),
        microphone_in_a_room(capture_environment, "Webcam", 700) as webcam,
        microphone_in_a_room(capture_environment, "Headset", 1200) as headset,
    ):
        pactl(capture_environment, "set-default-sink", own_desk.sink)
        pactl(capture_environment, "set-default-source", "Headset")
        with Take(capture_environment, tmp_path, "mic") as take:
            take.go_on(1.0)
            pactl(capture_environment, "unload-module", str(headset))
            take.recorder.until_said("mic: now Webcam")
            take.go_on(1.5)
            pactl(capture_environment, "unload-module", str(webcam))
            take.recorder.until_said("there is no microphone")
            silent_s = take.go_on(2.0)
            with microphone_in_a_room(capture_environment, "Headset2", 900):
                take.go_on(2.0)
                track, summary = take.stop()
    assert device_events(summary) == [
        ("device_changed", "mic: now Webcam"),
        ("device_lost", "mic: there is no microphone; recording silence until there is one"),
        ("device_back", "mic: now Headset2"),
    ]
    moved_s, lost_s, back_s = (event["at_s"] for event in summary["events"] if event["kind"].startswith("device_"))
    assert loudness(track.between(0.3, moved_s - 0.5), 1200.0, track.rate) > 0.1
    assert loudness(track.between(moved_s + 0.3, lost_s - 0.8), 700.0, track.rate) > 0.1
    assert not track.between(silent_s - 0.9, silent_s - 0.4).any()
    assert loudness(track.between(back_s + 0.3, track.end_s - 0.2), 900.0, track.rate) > 0.1
    # Meanwhile the monitor of the output was the server's default source: it must not be recorded.
    assert loudness(track.samples, 440.0, track.rate) < 0.001


def test_internal_follows_a_default_output_that_changes_repeatedly(
    own_desk: VirtualDesk, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    tones = {hz: write_tone(tmp_path / f"{hz:g}.wav", hz, 60.0, 0.2) for hz in (440.0, 660.0, 880.0)}
    sink = ("module-null-sink", "norewinds=1")
    old = ("sink_name=old", "rate=22050", "channels=1", "format=u8", "sink_properties=device.description=Old")
    large = ("sink_name=large", "rate=96000", "channels=6", "format=s32le", "sink_properties=device.description=Large")
    outputs = {own_desk.sink: "Virtual desk", "old": "Old", "large": "Large"}
    with ExitStack() as running:
        running.enter_context(microphone(capture_environment))
        for arguments in (old, large):
            running.enter_context(module(capture_environment, *sink, *arguments))
        for name, hz in zip(outputs, tones, strict=True):
            running.enter_context(playing(capture_environment, tones[hz], name))
        eventually(lambda: len(streams(capture_environment)) == 3, "all play")
        with Take(capture_environment, tmp_path, "internal") as take:
            # One output with a lower sample rate, and one with more channels than are recorded.
            reached_s = [take.go_on(1.0)]
            for name in ("old", "large"):
                pactl(capture_environment, "set-default-sink", name)
                reached_s.append(take.go_on(1.5))
            for name in ("old", own_desk.sink, "large", "old", "large", own_desk.sink) * 3:
                pactl(capture_environment, "set-default-sink", name)
            take.go_on(1.5)
            track, summary = take.stop()
    assert summary["audio"][0]["device"] == "Virtual desk"
    moves = device_events(summary)
    assert moves[:2] == [("device_changed", f"internal: now {name}") for name in ("Old", "Large")]
    assert moves[-1] == ("device_changed", "internal: now Virtual desk")
    assert {kind for kind, _ in moves} == {"device_changed"}
    assert_no_microphone(track)
    # A program on the default output moves with it; programs on other outputs stay there.
    for at_s, heard in zip((*reached_s, track.end_s), ((440.0,), (440.0, 660.0), tones, tones), strict=True):
        for hz in heard:
            assert loudness(track.between(at_s - 0.8, at_s - 0.2), hz, track.rate) > 0.19
    # All moves together cost less than a second.
    assert summary["audio"][0]["inserted_silence_s"] < 1.0


def test_a_program_is_recorded_again_after_the_server_restarts(
    own_desk: VirtualDesk, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    own, other = (write_tone(tmp_path / f"{hz:g}.wav", hz, 60.0, 0.3) for hz in (440.0, 660.0))
    with ExitStack() as running:
        running.enter_context(playing(capture_environment, own, own_desk.sink, program="one"))
        eventually(lambda: streams(capture_environment), "it plays")
        take = running.enter_context(Take(capture_environment, tmp_path, "app:one"))
        take.go_on(1.0)
        end_sound_server(capture_environment)
        take.recorder.until_said("one is gone")
        running.enter_context(sound_server(own_desk, "desk"))
        running.enter_context(playing(capture_environment, other, "desk", program="two"))
        take.recorder.until_said("app:one: now one")
        running.enter_context(playing(capture_environment, own, "desk", program="one"))
        take.recorder.until_said("one is playing")
        take.go_on(2.0)
        track, summary = take.stop()
    assert device_events(summary) == [
        ("device_lost", "app:one: one is gone (Connection terminated); recording silence until it is back"),
        ("device_back", "app:one: now one"),
    ]
    (plays_s,) = (event["at_s"] for event in summary["events"] if event["kind"] == "application")
    assert loudness(track.between(plays_s + 0.3, track.end_s - 0.2), 440.0, track.rate) > 0.29
    assert loudness(track.samples, 660.0, track.rate) < 0.001
    assert_no_microphone(track)


def test_a_reader_of_a_suspended_device_gets_empty_samples_up_to_now(
    own_desk: VirtualDesk, capture_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from capture.sources.pulse.device_source import PulseSource

    for name, value in own_desk.environment.items():
        monkeypatch.setenv(name, value)
    reported = threading.Event()
    source = PulseSource("internal", "Desk", 2, report=lambda kind, detail: reported.set())
    source.open()
    pactl(capture_environment, "suspend-sink", own_desk.sink, "1")
    try:
        while not reported.is_set():
            source.read(time.monotonic() + 0.1)
        source.wake()
        # So a stopped take need not wait for sound that might still arrive.
        woken_s = time.monotonic()
        samples = source.read(woken_s + 600.0)
        assert samples is not None
        assert samples.data.shape == (0, 2)
        assert samples.ends_at_s >= woken_s
    finally:
        source.close()


# A server that dies in the middle of an exchange


@pytest.mark.parametrize(
    ("operation", "cuts", "whole"),
    [
        ("devices", 30, "2 devices, 1 programs"),
        ("doctor", 8, "yes, at -11 dB"),
        ("internal", 20, "heard"),
        ("mic", 20, "heard"),
        ("app", 20, "heard"),
    ],
)
def test_a_server_may_die_at_any_byte(
    operation: str,
    cuts: int,
    whole: str,
    own_desk: VirtualDesk,
    capture_environment: dict[str, str],
    tmp_path: Path,
) -> None:
    tone = write_tone(tmp_path / "tone.wav", 440.0, 60.0, 0.3)
    program = dying_server.__file__
    real = capture_environment["PULSE_SERVER"].removeprefix("unix:")
    with (
        microphone(capture_environment),
        playing(capture_environment, tone, own_desk.sink, program="one"),
    ):
        eventually(lambda: streams(capture_environment), "the tone plays")
        done = subprocess.run(
            [sys.executable, program, real, str(tmp_path), operation, str(cuts)],
            env=capture_environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    # The process survives, and every error is a one-line `CaptureError`.
    assert (done.returncode, done.stderr) == (0, "")
    first, *cut = (json.loads(line)["outcome"] for line in done.stdout.splitlines())
    assert first == whole
    failed = [outcome for outcome in cut if outcome != whole]
    assert len(cut) == cuts
    assert len(failed) >= 2
    for outcome in failed:
        assert re.search(
            r"no sound server answers|cannot be recorded|is gone|does not answer|no output|no microp", outcome
        )
