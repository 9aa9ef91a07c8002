"""A recording is played from the place that was asked for, exactly, and at another speed with the same pitch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from listening import Listener, noise
from running import eventually
from stage import RATE, write_tone
from written import Sound, write

from capture.errors import NotReadyError, RecordingError
from capture.media import SampleArray
from capture.playback.player import choose_player
from capture.playback.playing import Playing
from capture.playback.tempo import Tempo
from capture.recordings.sound_file import SoundFile
from capture.virtual.desk import VirtualDesk

LENGTH_S = 4.0


def read(path: Path, **options: Any) -> SampleArray:
    with SoundFile(path, **options) as file:
        return np.concatenate([np.zeros((0, 2), np.float32), *file.blocks()])


def loudest_hz(samples: SampleArray) -> float:
    spectrum = np.abs(np.fft.rfft(samples[:, 0] * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * RATE / len(samples))


def hiss(path: Path, codec: str) -> Path:
    """Write noise that every codec keeps, so that each moment of it can be told from all others."""
    random = np.random.default_rng(3)
    wave = np.convolve(random.normal(size=round(LENGTH_S * RATE)), np.ones(24) / 24, "same").astype(np.float32)
    wave *= 0.5 / abs(wave).max()
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=RATE, layout="stereo")
        if codec == "aac":
            # Otherwise decoders make up some noise themselves, another one after each seek.
            stream.codec_context.options = {"aac_pns": "0"}
        resampler = av.AudioResampler(format=stream.codec_context.format.name, layout="stereo", rate=RATE)
        for first in range(0, len(wave), 1024):
            block = wave[first : first + 1024]
            frame = av.AudioFrame.from_ndarray(np.stack([block, block]), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = RATE, first
            for converted in resampler.resample(frame):
                container.mux(stream.encode(converted))
        container.mux(stream.encode(None))
    return path


# Reading from a place


@pytest.mark.parametrize(
    ("kind", "codec", "late"),
    [
        ("ogg", "libopus", 0),
        ("m4a", "aac", 0),
        ("mp3", "libmp3lame", 0),
        ("flac", "flac", 0),
        ("wav", "pcm_s16le", 0),
        # Its timestamps are whole milliseconds.
        ("mkv", "libopus", RATE // 1000),
    ],
)
def test_sound_is_read_from_any_place(kind: str, codec: str, late: int, tmp_path: Path) -> None:
    path = hiss(tmp_path / f"hiss.{kind}", codec)
    whole = read(path)
    for from_s in (0.01, 0.1, 1.23456, 3.9):
        part, expected = read(path, from_s=from_s), whole[round(from_s * RATE) :]
        lag = len(part) - len(expected)
        assert abs(lag) <= late
        part = part[lag:] if lag > 0 else part
        assert np.allclose(part[:2400], expected[: len(part)][:2400], atol=1e-3), from_s
    assert len(read(path, from_s=LENGTH_S + 1)) == 0


def test_one_track_is_read_alone_from_a_place_before_it_starts(tmp_path: Path) -> None:
    path = write(tmp_path / "two.mkv", (Sound(peak=0.2), Sound(start_s=1.0, end_s=2.0, peak=0.6)))
    late = read(path, tracks=(1,), from_s=0.5)
    assert float(abs(late[: RATE * 4 // 10]).max()) < 1e-4
    assert float(abs(late[RATE * 6 // 10 :]).max()) == pytest.approx(0.6, abs=0.05)
    assert float(abs(read(path, tracks=(0,))).max()) == pytest.approx(0.2, abs=0.03)
    with pytest.raises(NotReadyError, match="there is no sound to play"):
        read(path, tracks=(2,))


# Speed


@pytest.mark.parametrize("speed", [0.5, 1.5, 2.0, 4.0])
def test_the_pitch_stays_at_another_speed(speed: float) -> None:
    times_s = np.arange(4 * RATE) / RATE
    tone = np.repeat(0.5 * np.sin(2 * np.pi * 440 * times_s)[:, None], 2, axis=1).astype(np.float32)
    tempo = Tempo(speed)
    parts = [tempo.take(tone[first : first + 4800]) for first in range(0, len(tone), 4800)]
    made = np.concatenate([*parts, tempo.finish()])
    assert len(made) / RATE == pytest.approx(4 / speed, abs=0.05)
    assert loudest_hz(made[4800:-4800]) == pytest.approx(440, abs=2)
    assert float(abs(made[4800:-4800]).max()) == pytest.approx(0.5, abs=0.05)


def test_the_usual_speed_changes_no_sample() -> None:
    samples = np.random.default_rng(1).normal(size=(100, 2)).astype(np.float32)
    tempo = Tempo(1.0)
    assert tempo.take(samples) is samples
    assert len(tempo.finish()) == 0


# A real sound server


def played(
    path: Path, act: Callable[[Playing], None] = lambda playing: None, **options: Any
) -> tuple[SampleArray, Playing]:
    """Play to the desk while `act` acts; return what was heard, without silence."""
    playing = Playing(path, choose=partial(choose_player, "test"), **options)
    with Listener("desk") as listener:
        eventually(lambda: listener.until_s > 0, "the monitor delivers")
        playing.start()
        act(playing)
        assert playing.wait(30)
        now_s = time.monotonic()
        eventually(lambda: listener.until_s > now_s + 0.2, "what followed")
    playing.stop()
    assert playing.error is None
    assert playing.reached_end
    return listener.data[abs(listener.data).max(axis=1) > 1e-3], playing


@pytest.mark.usefixtures("in_process_desk")
def test_a_pause_loses_and_repeats_nothing(tmp_path: Path, desk: VirtualDesk) -> None:
    samples = noise(tmp_path / "noise.flac", 2.0)
    places: list[float] = []

    def pause_twice(playing: Playing) -> None:
        for reached_s in (0.3, 0.8):
            eventually(lambda reached_s=reached_s: playing.position_s > reached_s, "the place")  # type: ignore[misc]
            playing.pause()
            assert playing.is_paused
            places.append(playing.position_s)
            assert not playing.wait(0.1)
            assert playing.position_s == places[-1]
            playing.resume()

    heard, playing = played(tmp_path / "noise.flac", pause_twice)
    assert 0.2 < places[0] < places[1] < 2.0
    assert playing.position_s == pytest.approx(2.0, abs=1e-3)
    assert heard.shape == samples.shape
    assert np.allclose(heard, samples, atol=1e-6)


@pytest.mark.usefixtures("in_process_desk")
def test_what_is_heard_begins_where_it_was_asked_for(tmp_path: Path, desk: VirtualDesk) -> None:
    samples = noise(tmp_path / "noise.flac", 3.0)

    def seek(playing: Playing) -> None:
        eventually(lambda: playing.position_s > 0.6, "the place")
        playing.pause()
        playing.seek(2.25)
        assert playing.position_s == 2.25
        playing.resume()

    heard, _ = played(tmp_path / "noise.flac", seek, from_s=0.5)
    begun = RATE // 2
    assert np.allclose(heard[:4000], samples[begun : begun + 4000], atol=1e-6)
    rest = len(samples) - round(2.25 * RATE)
    assert np.allclose(heard[-rest:], samples[-rest:], atol=1e-6)


@pytest.mark.usefixtures("in_process_desk")
def test_twice_as_fast_takes_half_the_time_at_the_same_pitch(tmp_path: Path, desk: VirtualDesk) -> None:
    path = write_tone(tmp_path / "tone.wav", 440.0, 3.0)
    heard, playing = played(path, lambda playing: playing.change_speed(2.0), from_s=1.0)
    assert len(heard) / RATE == pytest.approx(1.0, abs=0.1)
    assert loudest_hz(heard[4800:-4800]) == pytest.approx(440, abs=2)
    assert playing.position_s == pytest.approx(3.0, abs=0.1)


# Scripted players


class ScriptedPlayer:
    """A player that plays at once, and blocks when it has taken `takes_s`, until it is woken."""

    def __init__(self, takes_s: float = 1e9, fails: Exception | None = None) -> None:
        self.taken_s = 0.0
        self.blocks = threading.Event()
        self._takes_s = takes_s
        self._fails = fails
        self._woken = threading.Event()
        self.is_open = False

    def open(self) -> None:
        if self._fails is not None:
            raise self._fails
        self.is_open = True

    def play(self, samples: SampleArray) -> None:
        if self.taken_s >= self._takes_s:
            self.blocks.set()
            assert self._woken.wait(30)
            return
        self.taken_s += len(samples) / RATE

    def drain(self) -> None:
        pass

    def wake(self) -> None:
        self._woken.set()

    def stop(self) -> float:
        return 0.0

    def heard_s(self) -> float:
        return self.taken_s

    def close(self) -> None:
        self.is_open = False


def test_commands_find_an_output_that_has_stopped_taking_sound(tmp_path: Path) -> None:
    players = [ScriptedPlayer(0.5), ScriptedPlayer(0.3), ScriptedPlayer(0.3), ScriptedPlayer()]
    waiting = iter(players)
    playing = Playing(write_tone(tmp_path / "tone.wav", 440.0, 10.0), choose=lambda: next(waiting))
    playing.start()
    assert players[0].blocks.wait(30)
    assert playing.position_s == players[0].taken_s == pytest.approx(0.5, abs=0.2)
    playing.change_speed(2.0)
    assert players[1].blocks.wait(30)
    assert playing.position_s == pytest.approx(players[0].taken_s + 2 * players[1].taken_s)
    playing.seek(-3.0)
    assert players[2].blocks.wait(30)
    assert playing.position_s == pytest.approx(2 * players[2].taken_s)
    playing.pause()
    playing.pause()
    playing.seek(8.0)
    assert not playing.wait(0.05)
    assert playing.position_s == 8.0
    playing.resume()
    assert playing.wait(30)
    playing.stop()
    assert playing.reached_end
    assert players[3].taken_s == pytest.approx(1.0, abs=0.05)
    assert not any(player.is_open for player in players)


def test_it_can_be_stopped_before_it_starts_and_while_it_pauses(tmp_path: Path) -> None:
    path = write_tone(tmp_path / "tone.wav", 440.0, 1.0)
    for commands in (["stop", "start"], ["pause", "start", "stop"]):
        playing = Playing(path, choose=lambda: pytest.fail("nothing is to be heard"))
        for command in commands:
            getattr(playing, command)()
        assert playing.wait(30)
        playing.stop()
        assert playing.error is None
        assert not playing.reached_end
        assert playing.position_s == 0.0


def test_a_failure_is_kept_as_an_error(tmp_path: Path) -> None:
    path = write_tone(tmp_path / "tone.wav", 440.0, 1.0)
    for fails, expected in ((NotReadyError("no output"), "no output"), (KeyError("x"), "KeyError")):
        playing = Playing(path, choose=lambda fails=fails: ScriptedPlayer(fails=fails))  # type: ignore[misc]
        playing.start()
        assert playing.wait(30)
        assert expected in str(playing.error)
    (tmp_path / "text.ogg").write_text("Dear diary,")
    playing = Playing(tmp_path / "text.ogg", choose=lambda: pytest.fail("no output is needed"))
    playing.start()
    assert playing.wait(30)
    assert isinstance(playing.error, RecordingError)
    assert "text.ogg cannot be played" in str(playing.error)
