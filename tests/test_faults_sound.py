"""Faults of the sound, tried for real: servers that die, outputs that go, processes that stand still.

The recording goes on every time, with silence for what is missing, and what comes after that is in its place. What the
microphone hears, which every server here has as its default input, is in no recording of anything else.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pytest
from reopened import Sound, Track, loudness, pictures, sound
from running import Recorder, eventually
from servers import MICROPHONE_HZ, beacon, sound_server
from stage import GREEN, RED, Stage, playing, server_of, write_tone

from benchmarks.alignment import matched
from benchmarks.decoding import read_picture
from benchmarks.onsets import beep_onsets_s, flash_onsets_s
from benchmarks.stimulus.flash_beep import LONGEST_INTERVAL_S
from capture.desktop.virtual import VirtualDesk
from capture.media import SILENCE_DBFS, peak_dbfs

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

#: How far picture and sound may be apart after a fault.
SYNC_S: Final = 0.04

#: How soon there is sound again after the return of the server.
RETURN_S: Final = 2.0

#: Loud enough to be found, quiet enough not to be taken for a beep, and two periods of the beeps' window beside them.
TONE_HZ: Final = 600.0
TONE_LEVEL: Final = 0.1

Moments = npt.NDArray[np.float64]


@pytest.fixture
def own_desk(capture_environment: dict[str, str]) -> Iterator[VirtualDesk]:
    """A desk whose servers may be ended; `capture_environment` is of this desk then."""
    with VirtualDesk(320, 240) as desk:
        capture_environment.update(desk.environment)
        yield desk


def end_sound_server(environment: dict[str, str]) -> None:
    os.kill(server_of(environment, "pulseaudio"), signal.SIGKILL)


def assert_no_microphone(track: Track) -> None:
    """That its tone is nowhere, not even for a moment."""
    for start_s in np.arange(track.start_s, track.end_s - 0.25, 0.25):
        assert loudness(track.between(start_s, start_s + 0.25), MICROPHONE_HZ, track.rate) < 0.001


def is_silent(samples: Sound) -> bool:
    """Whether there is nothing in it; codecs let sound fade away."""
    return peak_dbfs(float(np.abs(samples).max())) < SILENCE_DBFS


def kinds(summary: dict[str, Any]) -> list[str]:
    """What happened to the device, in order."""
    return [event["kind"] for event in summary["events"] if event["kind"].startswith("device_")]


class Together:
    """A recording of beacons opened again: where their flashes and beeps are in it, and the moment of its beginning."""

    def __init__(self, path: Path, pairs: Moments) -> None:
        self.path = path
        self.pairs = pairs
        self.track = sound(path)
        picture = read_picture(path)
        self.flashes_s = flash_onsets_s(picture.pts_s, picture.luma)
        self.beeps_s = beep_onsets_s(self.track.samples, self.track.rate, self.track.start_s)
        # How much later, in the file, than on the clock.
        self.flash_lateness_s = matched(pairs[:, 0], self.flashes_s)
        self.beep_lateness_s = matched(pairs[:, 1], self.beeps_s)
        self.epoch_s = -float(np.median(list(self.flash_lateness_s.values())))

    def offset_s(self, from_s: float, to_s: float) -> float:
        """How late the picture is, on the whole, in what happened between two moments of the clock."""
        both = self.flash_lateness_s.keys() & self.beep_lateness_s.keys()
        found = [
            self.flash_lateness_s[number] - self.beep_lateness_s[number]
            for number in both
            if from_s < self.pairs[number, 1] < to_s
        ]
        assert len(found) >= 2, f"{len(found)} flashes with their beeps"
        return float(np.median(found))

    def assert_every_beep_in_its_place(self) -> None:
        """That no beep stands where none was. Pairs that were not known for certain are not written down."""
        known_s = np.sort(np.concatenate((self.pairs[:, 1] - self.epoch_s, self.flashes_s)))
        for beep_s in self.beeps_s:
            nearest_s = np.abs(known_s - beep_s).min()
            before_s, after_s = known_s[known_s < beep_s], known_s[known_s > beep_s]
            alone = before_s.size and after_s.size and after_s[0] - before_s[-1] > LONGEST_INTERVAL_S + 0.1
            assert nearest_s < 0.1 or alone, f"a beep at {beep_s}, and pairs at {known_s}"


def test_the_sound_server_dies_and_comes_back(
    own_desk: VirtualDesk, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "out.mkv"
    tone = write_tone(tmp_path / "tone.wav", TONE_HZ, 60.0, TONE_LEVEL)
    pairs: list[Moments] = []
    killed_s: list[float] = []
    served_s: list[float] = []
    with ExitStack() as running:
        first = running.enter_context(beacon(capture_environment, tmp_path / "0.log"))
        first.until(1)
        recorder = running.enter_context(Recorder(capture_environment, tmp_path, "record", path, "--json"))
        recorder.until_recording(path)
        first.until(2, after_s=time.monotonic())
        pairs.append(first.pairs())
        end_sound_server(capture_environment)
        killed_s.append(time.monotonic())
        recorder.until_said("is gone")
        eventually(lambda: time.monotonic() >= killed_s[0] + 3.0, "three seconds")
        # It comes back as it was, dies once more, and comes back with another output alone.
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
        "internal: Virtual desk is gone (Connection terminated); it is silent until it is back",
        "internal: now desk",
        "internal: now other",
    )
    assert lost["detail"] in said
    assert (summary["stopped_by"], summary["check"]) == ("terminate", "ok")
    assert summary["audio"][0]["device"] == "other"
    # The picture went on through all of it.
    assert pictures(path).end_s == pytest.approx(found.track.end_s, abs=0.1)
    assert len(found.flash_lateness_s) == np.count_nonzero(found.pairs[:, 0] > found.epoch_s)
    # Silence while it was away, sound again soon after.
    silent = found.track.between(killed_s[0] - found.epoch_s + 0.2, served_s[0] - found.epoch_s)
    assert len(silent) > 2.5 * found.track.rate
    assert is_silent(silent)
    for at_s in served_s:
        tone_again = found.track.between(at_s + RETURN_S - found.epoch_s, at_s + RETURN_S + 0.5 - found.epoch_s)
        assert loudness(tone_again, TONE_HZ, found.track.rate) > 0.9 * TONE_LEVEL
    away_s = sum(back_s - gone_s for gone_s, back_s in zip(killed_s, served_s, strict=False))
    assert away_s < summary["audio"][0]["inserted_silence_s"] < away_s + 2 * RETURN_S
    # And in its place: before, and after each return.
    for from_s, to_s in zip((0.0, *served_s), killed_s, strict=True):
        assert abs(found.offset_s(from_s, to_s)) < SYNC_S
    found.assert_every_beep_in_its_place()


@pytest.mark.parametrize("extension", ["mp4", "ogg"])
def test_the_sound_server_never_comes_back(
    extension: str, own_desk: VirtualDesk, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / f"out.{extension}"
    tone = write_tone(tmp_path / "tone.wav", 440.0, 60.0)
    with (
        Stage(capture_environment) as stage,
        playing(capture_environment, tone, own_desk.sink),
        Recorder(capture_environment, tmp_path, "record", path, "--json") as recorder,
    ):
        stage.paint(0, 0, stage.width, stage.height, RED)
        recorder.until_recording(path)
        recorder.until_grown(path, 3)
        end_sound_server(capture_environment)
        recorder.until_said("it is silent until it is back")
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


def test_the_process_stands_still_for_five_seconds(
    own_desk: VirtualDesk, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "out.mkv"
    with (
        beacon(capture_environment, tmp_path / "log") as steady,
        Recorder(capture_environment, tmp_path, "record", path, "--json") as recorder,
    ):
        recorder.until_recording(path)
        steady.until(2, after_s=time.monotonic())
        recorder.process.send_signal(signal.SIGSTOP)
        stopped_s = time.monotonic()
        eventually(lambda: time.monotonic() >= stopped_s + 5.0, "five seconds")
        recorder.process.send_signal(signal.SIGCONT)
        continued_s = time.monotonic()
        steady.until(3, after_s=continued_s)
        summary = recorder.stop()
    found = Together(path, steady.pairs())
    assert (summary["stopped_by"], summary["check"]) == ("terminate", "ok")
    assert abs(found.offset_s(0.0, stopped_s)) < SYNC_S
    assert abs(found.offset_s(continued_s, np.inf)) < SYNC_S
    # What was heard meanwhile is silence, or where it belongs; the picture stands still.
    found.assert_every_beep_in_its_place()
    moments_s = np.array(pictures(path).moments_s) + found.epoch_s
    assert not np.any((moments_s > stopped_s + 0.1) & (moments_s < continued_s - 0.1))
    assert pictures(path).end_s == pytest.approx(found.track.end_s, abs=0.1)
    print(found.beeps_s + found.epoch_s - stopped_s, moments_s - stopped_s)
