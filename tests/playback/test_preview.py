"""The preview plays the take so far exactly, and is silent from the moment that `stop` promises."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import Any, Self

import numpy as np
import pytest
import written
from listening import Listener, noise
from running import LIMIT_S, eventually
from stage import RATE, module, pactl, write_tone
from written import Picture, Sound, write

from capture.errors import NotReadyError, RecordingError, SourceLostError
from capture.media import SampleArray
from capture.playback import preview as preview_module
from capture.playback.player import choose_player
from capture.playback.preview import Preview
from capture.playback.soundcard_player import BUFFER_SAMPLES, SoundcardPlayer
from capture.recordings.sound_file import SoundFile
from capture.virtual.desk import VirtualDesk

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="a virtual desk needs Linux")


# Reading


def read(path: Path) -> SampleArray:
    with SoundFile(path) as file:
        return np.concatenate(list(file.blocks()))


def loudest_hz(samples: SampleArray) -> float:
    spectrum = np.abs(np.fft.rfft(samples[:, 0]))
    return float(np.argmax(spectrum) * RATE / len(samples))


@pytest.mark.parametrize("kind", ["mp4", "mov", "mkv", "webm", "ogg", "opus", "m4a", "mp3", "flac", "wav"])
@pytest.mark.parametrize("closed", [True, False])
def test_every_container_can_be_read_even_while_it_is_written(kind: str, closed: bool, tmp_path: Path) -> None:
    path = tmp_path / f"take.{kind}"
    if closed:
        write(path)
    else:
        # This process ends without closing the file.
        subprocess.run([sys.executable, written.__file__, path], check=False, timeout=60)
    samples = read(path)
    assert samples.dtype == np.float32
    assert samples.shape[1] == 2
    assert len(samples) / RATE == pytest.approx(2.0, abs=0.1 if closed else 0.8)
    assert loudest_hz(samples) == pytest.approx(440, abs=2)
    assert float(abs(samples).max()) == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize("kind", ["mp4", "mkv", "ogg", "mp3", "flac", "wav"])
def test_a_truncated_file_is_played_up_to_the_cut(kind: str, tmp_path: Path) -> None:
    subprocess.run([sys.executable, written.__file__, tmp_path / f"take.{kind}"], check=False, timeout=60)
    whole = (tmp_path / f"take.{kind}").read_bytes()
    cut = tmp_path / f"cut.{kind}"
    lengths = []
    for part in range(1, 12):
        cut.write_bytes(whole[: len(whole) * part // 12])
        try:
            lengths.append(len(read(cut)))
        except (NotReadyError, RecordingError):
            lengths.append(0)
    assert lengths == sorted(lengths)
    assert lengths[-1] > RATE


def test_tracks_are_mixed_in_sync(tmp_path: Path) -> None:
    path = write(tmp_path / "two.mkv", (Sound(peak=0.2), Sound(peak=0.3, heard_from_s=1.0)))
    samples = read(path)
    assert float(abs(samples[: RATE * 9 // 10]).max()) == pytest.approx(0.2, abs=0.03)
    assert float(abs(samples[RATE * 11 // 10 :]).max()) == pytest.approx(0.5, abs=0.05)


def test_a_track_that_starts_late_is_silent_before(tmp_path: Path) -> None:
    samples = read(write(tmp_path / "late.mkv", (Sound(end_s=0.5), Sound(start_s=1.0, peak=0.6))))
    peaks = [float(abs(part).max()) for part in np.split(samples, [RATE // 2, RATE * 6 // 10, RATE * 95 // 100, RATE])]
    assert peaks[0] == pytest.approx(0.3, abs=0.03)
    assert peaks[2] < 1e-4
    assert peaks[4] == pytest.approx(0.6, abs=0.05)


def test_mono_and_other_sample_rates_are_converted(tmp_path: Path) -> None:
    import wave

    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(22_050) / 22_050)
    with wave.open(str(tmp_path / "mono.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(22_050)
        file.writeframes(np.rint(tone * 32767).astype("<i2").tobytes())
    samples = read(tmp_path / "mono.wav")
    assert len(samples) == pytest.approx(RATE, abs=50)
    assert loudest_hz(samples) == pytest.approx(1000, abs=2)
    assert float(abs(samples[1000:-1000]).max()) == pytest.approx(0.5, abs=0.01)
    assert np.array_equal(samples[:, 0], samples[:, 1])


# Playing and stopping


class ScriptedPlayer:
    """A player that takes samples at `pace` times real time; 0 does not wait at all."""

    def __init__(self, pace: float = 0.0, fails: Exception | None = None) -> None:
        self.taken: list[SampleArray] = []
        self.done: list[str] = []
        self._pace = pace
        self._fails = fails
        self._woken = threading.Event()

    def open(self) -> None:
        self.done.append("open")
        if isinstance(self._fails, NotReadyError):
            raise self._fails

    def play(self, samples: SampleArray) -> None:
        if self._fails is not None:
            raise self._fails
        self.taken.append(samples)
        if self._pace:
            self._woken.wait(len(samples) / RATE / self._pace)

    def drain(self) -> None:
        self.done.append("drain")

    def wake(self) -> None:
        self._woken.set()

    def stop(self) -> float:
        self.done.append("stop")
        return 0.25

    def heard_s(self) -> float:
        return sum(map(len, self.taken)) / RATE

    def close(self) -> None:
        self.done.append("close")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `stop` wait for its thread, however busy the machine is."""
    monkeypatch.setattr(preview_module, "STOP_LIMIT_S", LIMIT_S)


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    return write_tone(tmp_path / "tone.wav", 440.0, 3.0)


def test_the_preview_plays_once_and_ends(tone: Path) -> None:
    player, ended = ScriptedPlayer(), threading.Event()
    preview = Preview(tone, ended.set, choose=lambda: player)
    assert preview.is_over
    preview.start()
    assert ended.wait(30)
    assert preview.stop() == preview.stop()
    assert preview.stop() <= time.monotonic() + 0.25
    assert preview.is_over
    assert preview.error is None
    assert player.done == ["open", "drain", "stop", "close"]
    assert sum(map(len, player.taken)) == 3 * RATE


def test_stop_does_not_wait_for_the_end(tone: Path) -> None:
    player, ends = ScriptedPlayer(pace=1e-6), []
    preview = Preview(tone, lambda: ends.append(1), choose=lambda: player)
    preview.start()
    eventually(lambda: player.taken, "something is played")
    before_s = time.monotonic()
    silent_at_s = preview.stop()
    assert before_s + 0.25 <= silent_at_s <= time.monotonic() + 0.25
    assert player.done == ["open", "stop", "close"]
    assert ends == [1]


def test_a_preview_stopped_before_its_start_plays_nothing(tone: Path) -> None:
    player, ends = ScriptedPlayer(), []
    preview = Preview(tone, lambda: ends.append(1), choose=lambda: player)
    assert preview.stop() <= time.monotonic()
    preview.start()
    eventually(lambda: ends, "its end")
    assert player.taken == []
    assert preview.stop() <= time.monotonic()


@pytest.mark.parametrize(
    ("fails", "expected"),
    [
        (NotReadyError("no sound server answers"), "no sound server answers"),
        (SourceLostError("the output is gone"), "the output is gone"),
        (KeyError("x"), r"tone.wav cannot be played \(KeyError: 'x'\)"),
    ],
)
def test_a_failure_is_kept_in_error(fails: Exception, expected: str, tone: Path) -> None:
    player, ended = ScriptedPlayer(fails=fails), threading.Event()
    preview = Preview(tone, ended.set, choose=lambda: player)
    preview.start()
    assert ended.wait(30)
    preview.stop()
    assert preview.error is not None
    with pytest.raises(type(preview.error), match=expected):
        raise preview.error
    assert player.done == ["open", "stop", "close"]


def test_a_preview_without_a_thread_ends_with_an_error(tone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    ends: list[bool] = []
    preview = Preview(tone, lambda: ends.append(True))
    monkeypatch.setattr(threading.Thread, "start", refuse)
    preview.start()
    assert (ends, preview.is_over, isinstance(preview.error, NotReadyError)) == ([True], True, True)
    assert preview.stop() <= time.monotonic()


def test_a_file_without_sound_is_an_error(tmp_path: Path) -> None:
    for path in (write(tmp_path / "silent film.mp4", (), Picture()), tmp_path / "not there.mp4"):
        ended = threading.Event()
        preview = Preview(path, ended.set, choose=ScriptedPlayer)
        preview.start()
        assert ended.wait(30)
        preview.stop()
        if path.exists():
            assert isinstance(preview.error, NotReadyError)
            assert preview.error.message == "there is no sound to play"
        else:
            assert isinstance(preview.error, RecordingError)
            assert "cannot be played (No such file or directory)" in preview.error.message


# soundcard, for Windows and macOS


class ScriptedSpeaker:
    """Stands in for soundcard's default speaker and its player."""

    def __init__(self, error: Exception | None = None) -> None:
        self.played: list[int] = []
        self.asked_for: dict[str, Any] = {}
        self.is_open = False
        self._error = error

    def player(self, samplerate: int, **asked_for: Any) -> Self:
        self.asked_for = {"samplerate": samplerate, **asked_for}
        return self

    def __enter__(self) -> Self:
        if self._error is not None:
            raise self._error
        self.is_open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.is_open = False

    def play(self, samples: SampleArray) -> None:
        assert self.is_open
        self.played.append(len(samples))


def library(speaker: ScriptedSpeaker) -> Any:
    return SimpleNamespace(default_speaker=lambda: speaker)


def test_soundcard_plays_in_blocks_that_can_be_stopped() -> None:
    speaker = ScriptedSpeaker()
    player = SoundcardPlayer(library(speaker))
    with pytest.raises(ValueError, match="before open"):
        player.play(np.zeros((10, 2), np.float32))
    assert player.stop() == 0.0
    player.open()
    # macOS refuses a buffer longer than its own.
    assert speaker.asked_for == {
        "samplerate": 48_000,
        "channels": 2,
        "blocksize": BUFFER_SAMPLES if sys.platform == "win32" else None,
    }
    player.play(np.zeros((10_000, 2), np.float32))
    assert speaker.played == [4_800, 4_800, 400]
    begun_s = time.monotonic()
    player.drain()
    assert time.monotonic() - begun_s >= 0.2
    player.wake()
    player.play(np.zeros((10_000, 2), np.float32))
    assert len(speaker.played) == 3
    assert 0.0 < player.stop() < 0.1
    assert not speaker.is_open
    player.close()


def test_soundcard_without_an_output_is_not_ready() -> None:
    def fail() -> None:
        raise RuntimeError("Error 0x80070490")

    for library_ in (SimpleNamespace(default_speaker=fail), library(ScriptedSpeaker(OSError("in use")))):
        with pytest.raises(NotReadyError, match=r"cannot play to the default output \(.*\): see capture doctor"):
            SoundcardPlayer(library_).open()


def test_soundcard_reports_a_lost_output(monkeypatch: pytest.MonkeyPatch) -> None:
    speaker = ScriptedSpeaker()
    player = SoundcardPlayer(library(speaker))
    player.open()

    def fail(*arguments: object) -> None:
        raise RuntimeError("unplugged")

    monkeypatch.setattr(speaker, "play", fail)
    monkeypatch.setattr(ScriptedSpeaker, "__exit__", fail)
    with pytest.raises(SourceLostError, match=r"the output is gone \(unplugged\)"):
        player.play(np.zeros((10, 2), np.float32))
    player.stop()


# A real sound server


@pytest.mark.usefixtures("in_process_desk")
def test_the_output_plays_exactly_what_is_in_the_file(tmp_path: Path, desk: VirtualDesk) -> None:
    samples = noise(tmp_path / "noise.flac", 1.5)
    late_s: list[float] = []
    # A busy machine may notice the end late, but not each time.
    while len(late_s) < 5 and min(late_s, default=1.0) >= 0.2:
        ended = threading.Event()
        with Listener("desk") as listener:
            eventually(lambda listener=listener: listener.until_s > 0, "the monitor delivers")  # type: ignore[misc]
            preview = Preview(tmp_path / "noise.flac", ended.set)
            preview.start()
            assert ended.wait(30)
            over_s = preview.stop() + 0.3
            eventually(lambda heard=listener, over_s=over_s: heard.until_s > over_s, "what followed")  # type: ignore[misc]
        assert preview.error is None
        # A busy machine that is late leaves silence in between, and loses nothing.
        heard = listener.data[abs(listener.data).max(axis=1) > 1e-3]
        assert heard.shape == samples.shape
        assert np.allclose(heard, samples, atol=1e-6)
        last_s = listener.last_heard_s()
        assert last_s is not None
        late_s.append(preview.stop() - last_s)
        assert late_s[-1] > 0.0
    # The preview ends when the last sample was heard.
    assert min(late_s) < 0.2


def play_and_stop(path: Path, output: str, after_s: float) -> tuple[float, float, float]:
    """Play a loud file and stop it after a while; return when `stop` returned, its answer, and the last sound heard."""
    with Listener(output) as listener:
        preview = Preview(path)
        preview.start()
        eventually(listener.last_heard_s, "it is heard")
        time.sleep(after_s)
        silent_at_s = preview.stop()
        returned_at_s = time.monotonic()
        eventually(lambda: listener.until_s > max(silent_at_s, returned_at_s) + 0.5, "what followed")
    assert preview.error is None
    last_s = listener.last_heard_s()
    assert last_s is not None
    return returned_at_s, silent_at_s, last_s


@pytest.mark.usefixtures("in_process_desk")
@pytest.mark.parametrize("after_s", [0.0, 0.31, 1.03])
def test_the_preview_is_silent_after_stop(after_s: float, tmp_path: Path) -> None:
    noise(tmp_path / "noise.flac", 20.0)
    returned_at_s, silent_at_s, last_s = play_and_stop(tmp_path / "noise.flac", "desk", after_s)
    assert last_s < silent_at_s
    assert silent_at_s < returned_at_s + 0.3


@pytest.mark.usefixtures("sound_desk")
@pytest.mark.parametrize("rewinds", [True, False])
def test_a_slow_output_is_silent_after_stop(rewinds: bool, tmp_path: Path) -> None:
    noise(tmp_path / "noise.flac", 20.0)
    with ExitStack() as loaded:
        more = () if rewinds else ("norewinds=1",)
        loaded.enter_context(module(os.environ, "module-null-sink", "sink_name=slow", *more))
        pactl(os.environ, "set-default-sink", "slow")
        _, silent_at_s, last_s = play_and_stop(tmp_path / "noise.flac", "slow", 0.5)
    assert last_s < silent_at_s


def test_the_end_of_the_sound_server_ends_the_preview(tmp_path: Path, sound_desk: VirtualDesk) -> None:
    noise(tmp_path / "noise.flac", 20.0)
    preview = Preview(tmp_path / "noise.flac")
    with Listener("desk") as listener:
        preview.start()
        eventually(listener.last_heard_s, "it is heard")
    sound_desk.close()
    eventually(lambda: preview.is_over, "its end")
    assert isinstance(preview.error, SourceLostError)
    # Nothing is audible; the answer is when it would have been silent.
    assert preview.stop() <= time.monotonic() + 0.1


@on_linux
def test_a_missing_sound_server_is_reported(tone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULSE_SERVER", "unix:/nonexistent")
    preview = Preview(tone, choose=choose_player)
    preview.start()
    eventually(lambda: preview.is_over, "its end")
    assert isinstance(preview.error, NotReadyError)
    assert preview.error.message.startswith("no sound server answers")
