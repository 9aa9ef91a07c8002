"""Mute switches and volumes: those of our own streams are not remembered, and all others are named."""

from __future__ import annotations

import math
import os
import sys
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from running import LIMIT_S, eventually
from servers import MICROPHONE, ON_BOTH_SERVERS, microphone, sound_server
from stage import module, pactl, playing, streams, write_tone

from benchmarks.trials.servers import server_of
from capture.events import EventKind
from capture.media import Attenuation, SampleArray, peak_dbfs
from capture.sources.pulse.volume_report import SETTLED_S, VolumeReport
from capture.virtual.desk import VirtualDesk

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="a virtual desk needs Linux")

#: The level of the tone, and how close to it a recording must be.
LEVEL_DBFS: Final = -12.0
WITHIN_DB: Final = 1.0

#: How much quieter 10 %, 20 % and 50 % are: the server's volumes are cubic.
TENTH_DB: Final = -60.0
FIFTH_DB: Final = -41.9
HALF_DB: Final = -18.1


class Listening:
    """A source that is open, what it reported, and its latest attenuation."""

    def __init__(self, name: str) -> None:
        from capture.sources.pulse.application_source import ApplicationSource
        from capture.sources.pulse.device_source import PulseSource

        self.reported: list[tuple[EventKind, str]] = []
        self.attenuation = Attenuation()

        def report(kind: EventKind, detail: str) -> None:
            self.reported.append((kind, detail))

        self.source = (
            ApplicationSource(name, name.removeprefix("app:"), report=report)
            if name.startswith("app:")
            else PulseSource(name, name, 2, report=report)
        )
        self.source.open()

    def read(self) -> SampleArray:
        """Return the next block with samples, more than the few that may be left before a break."""
        deadline_s = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline_s:
            samples = self.source.read(time.monotonic() + 1.0)
            if samples is not None and len(samples.data) > 1000:
                self.attenuation = samples.attenuation
                return samples.data
        raise AssertionError("no samples came")

    def levels_dbfs(self) -> tuple[float, float]:
        """Return the peak of left and right in the second block from now: nothing in it is older than the call."""
        self.read()
        left, right = np.abs(self.read()).max(axis=0)
        return peak_dbfs(float(left)), peak_dbfs(float(right))

    def until(self, condition: Callable[[], bool]) -> None:
        """Read until `condition` holds."""
        deadline_s = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < deadline_s, (self.attenuation, self.reported)
            self.read()


@pytest.fixture
def listen() -> Iterator[Callable[[str], Listening]]:
    with ExitStack() as closing:

        def call(name: str = "internal") -> Listening:
            listening = Listening(name)
            closing.callback(listening.source.close)
            return listening

        yield call


@pytest.fixture
def tone(sound_desk: VirtualDesk, tmp_path: Path) -> Iterator[int]:
    """The program "one" plays a tone on the desk; its stream's index."""
    path = write_tone(tmp_path / "tone.wav", 440.0, 60.0, 10 ** (LEVEL_DBFS / 20))
    with playing(os.environ, path, sound_desk.sink, program="one"):
        eventually(lambda: streams(os.environ), "the tone plays")
        yield streams(os.environ)[0][1]


def own_stream() -> str:
    """Return the index of the only record stream."""
    (line,) = pactl(os.environ, "list", "short", "source-outputs").splitlines()
    return line.split()[0]


# Our own streams


@on_linux
@pytest.mark.usefixtures("tone")
@pytest.mark.parametrize("change", [("set-source-output-mute", "1"), ("set-source-output-volume", "10%")])
@pytest.mark.parametrize("name", ["internal", "app:one", MICROPHONE])
def test_the_volume_of_an_earlier_stream_is_not_remembered(
    name: str, change: tuple[str, str], listen: Callable[[str], Listening]
) -> None:
    command, value = change
    with ExitStack() as loaded:
        loaded.enter_context(module(os.environ, "module-stream-restore"))
        if name == MICROPHONE:
            loaded.enter_context(microphone(os.environ))
        earlier = listen(name)
        full_dbfs, _ = earlier.levels_dbfs()
        pactl(os.environ, command, own_stream(), value)
        earlier.until(lambda: earlier.attenuation.is_low)
        assert earlier.levels_dbfs()[0] < full_dbfs + TENTH_DB + WITHIN_DB
        earlier.source.close()
        later = listen(name)
        assert later.levels_dbfs()[0] == pytest.approx(full_dbfs, abs=WITHIN_DB)
        assert (later.attenuation, later.reported) == (Attenuation(), [])


@on_linux
@pytest.mark.usefixtures("tone")
@pytest.mark.parametrize(
    ("change", "reason"), [(("mute", "1"), "is muted"), (("volume", "10%"), "is at 10 %")], ids=["muted", "turned down"]
)
def test_a_stream_that_is_muted_meanwhile_is_named(
    change: tuple[str, str], reason: str, listen: Callable[[], Listening]
) -> None:
    listening = listen()
    listening.read()
    command, value = change
    pactl(os.environ, f"set-source-output-{command}", own_stream(), value)
    listening.until(lambda: bool(listening.reported))
    assert listening.reported == [(EventKind.VOLUME, f"internal: capture's own stream {reason}")]


@on_linux
def test_flat_volumes_do_not_change_the_microphone(sound_desk: VirtualDesk, listen: Callable[[str], Listening]) -> None:
    folder = Path(sound_desk.environment["XDG_RUNTIME_DIR"])
    config = folder / "pulse.conf"
    config.write_text(config.read_text().replace("flat-volumes = no", "flat-volumes = yes"))
    os.kill(server_of(sound_desk.environment, "pulseaudio"), 9)
    with sound_server(sound_desk, "speakers"), module(os.environ, "module-stream-restore"):
        first = listen(MICROPHONE)
        loud_dbfs, _ = first.levels_dbfs()
        first.source.close()
        pactl(os.environ, "set-source-volume", MICROPHONE, "50%")
        for _ in range(2):
            listening = listen("mic")
            assert listening.levels_dbfs()[0] == pytest.approx(loud_dbfs + HALF_DB, abs=WITHIN_DB)
            # Half is not so low that it explains silence.
            assert (listening.attenuation.reason, listening.reported) == ("Sine source at 1700 Hz is at 50 %", [])
            assert " 50% " in pactl(os.environ, "get-source-volume", MICROPHONE)
            pactl(os.environ, "set-source-output-mute", own_stream(), "1")
            listening.source.close()


# Devices and programs


@on_linux
@pytest.mark.usefixtures("tone")
@pytest.mark.parametrize(
    ("command", "value", "reason", "level_dbfs"),
    [
        ("set-sink-mute desk", "1", "Virtual desk is muted", -120.0),
        ("set-sink-volume desk", "0", "Virtual desk is muted", -120.0),
        ("set-sink-volume desk", "20%", "Virtual desk is at 20 %", LEVEL_DBFS + FIFTH_DB),
        ("set-source-mute desk.monitor", "1", "the monitor of Virtual desk is muted", -120.0),
        ("set-source-volume desk.monitor", "10%", "the monitor of Virtual desk is at 10 %", LEVEL_DBFS + TENTH_DB),
    ],
)
@pytest.mark.parametrize(
    ("sound_desk", "name"),
    [("pulseaudio", "internal"), ("pulseaudio", "desk.monitor"), ("pipewire", "internal")],
    indirect=["sound_desk"],
)
def test_a_quiet_output_is_named(
    name: str, command: str, value: str, reason: str, level_dbfs: float, listen: Callable[[str], Listening]
) -> None:
    """At the beginning at once, and meanwhile; and when it is over."""
    listening = listen(name)
    assert listening.levels_dbfs()[0] == pytest.approx(LEVEL_DBFS, abs=WITHIN_DB)
    pactl(os.environ, *command.split(), value)
    listening.until(lambda: bool(listening.reported))
    assert listening.levels_dbfs()[0] == pytest.approx(level_dbfs, abs=WITHIN_DB)
    assert listening.attenuation.reason == reason
    from_the_start = listen(name)
    assert listening.reported == from_the_start.reported == [(EventKind.VOLUME, f"{name}: {reason}")]
    pactl(os.environ, *command.split(), "0" if value == "1" else "100%")
    listening.until(lambda: len(listening.reported) == 2)
    assert listening.reported[1] == (EventKind.VOLUME, f"{name}: no longer muted or turned down")
    assert listening.levels_dbfs()[0] == pytest.approx(LEVEL_DBFS, abs=WITHIN_DB)
    assert listening.attenuation == Attenuation()


@on_linux
@pytest.mark.usefixtures("sound_desk")
def test_a_muted_microphone_is_named(listen: Callable[[str], Listening]) -> None:
    with microphone(os.environ):
        pactl(os.environ, "set-source-mute", MICROPHONE, "1")
        listening = listen("mic")
        assert listening.levels_dbfs()[0] == -120.0
        assert listening.reported == [(EventKind.VOLUME, "mic: Sine source at 1700 Hz is muted")]


@on_linux
@ON_BOTH_SERVERS
@pytest.mark.parametrize(
    ("command", "value", "reason", "level_dbfs"),
    [
        ("mute", "1", "one is muted", -120.0),
        ("volume", "10%", "one is at 10 %", LEVEL_DBFS + TENTH_DB),
    ],
)
def test_a_quiet_program_is_named(
    command: str, value: str, reason: str, level_dbfs: float, tone: int, listen: Callable[[str], Listening]
) -> None:
    # The volume of the output comes after the program's sound was copied.
    pactl(os.environ, "set-sink-volume", "desk", "10%")
    listening = listen("app:one")
    assert listening.levels_dbfs()[0] == pytest.approx(LEVEL_DBFS, abs=WITHIN_DB)
    pactl(os.environ, f"set-sink-input-{command}", str(tone), value)
    listening.until(lambda: bool(listening.reported))
    assert listening.levels_dbfs()[0] == pytest.approx(level_dbfs, abs=WITHIN_DB)
    assert listening.reported == [(EventKind.VOLUME, f"app:one: {reason}")]
    from_the_start = listen("app:one")
    from_the_start.until(lambda: bool(from_the_start.reported))
    assert from_the_start.reported == listening.reported


# Channels


@on_linux
@pytest.mark.parametrize(
    ("channel_map", "left_db", "right_db"),
    [
        ("aux0,aux1", 0.0, -6.0),
        ("aux0,aux1,aux2,aux3", 0.0, -6.0),
        ("aux0", 0.0, 0.0),
        ("lfe,lfe", 0.0, -6.0),
        ("front-left,aux0", 0.0, -6.0),
        ("front-left", 0.0, 0.0),
        ("front-center", 0.0, 0.0),
        # The server's own mixing.
        ("mono", 0.0, 0.0),
        ("front-left,front-right,aux0,aux1", 0.0, -6.0),
        ("rear-left,rear-right", 0.0, -6.0),
    ],
)
@pytest.mark.parametrize("name", ["internal", "app:one"])
@pytest.mark.usefixtures("sound_desk")
def test_a_device_is_recorded_whatever_its_channels_are_called(
    name: str, channel_map: str, left_db: float, right_db: float, listen: Callable[[str], Listening], tmp_path: Path
) -> None:
    channels = channel_map.count(",") + 1
    tones = write_tones(tmp_path / "tones.wav", channels)
    sink = ("module-null-sink", "sink_name=odd", "norewinds=1", "format=float32le", f"channels={channels}")
    with module(os.environ, *sink, f"channel_map={channel_map}"):
        pactl(os.environ, "set-default-sink", "odd")
        with playing(os.environ, tones, "odd", program="one", channel_map=channel_map):
            eventually(lambda: streams(os.environ), "the tones play")
            left_dbfs, right_dbfs = listen(name).levels_dbfs()
    assert left_dbfs == pytest.approx(LEVEL_DBFS + left_db, abs=WITHIN_DB)
    assert right_dbfs == pytest.approx(LEVEL_DBFS + right_db, abs=WITHIN_DB)


def write_tones(path: Path, channels: int) -> Path:
    """Write a WAV file with another tone in each channel, each 6 dB quieter than the one before."""
    times_s = np.arange(60 * 48_000) / 48_000
    tones = [
        10 ** ((LEVEL_DBFS - 6 * channel) / 20) * np.sin(2 * np.pi * 110 * (4 + channel) * times_s)
        for channel in range(channels)
    ]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(np.rint(32767 * np.stack(tones, axis=1)).astype("<i2").tobytes())
    return path


# Reports


@pytest.fixture
def reported() -> list[str]:
    return []


@pytest.fixture
def volume(reported: list[str]) -> VolumeReport:
    return VolumeReport("mic", lambda kind, detail: reported.append(detail))


def at(percent: float) -> Attenuation:
    return Attenuation((percent / 100) ** 3, f"Ear is at {percent:.0f} %")


def test_the_first_volume_is_reported_at_once(volume: VolumeReport, reported: list[str]) -> None:
    volume.note(at(10), 5.0)
    assert reported == ["mic: Ear is at 10 %"]
    assert volume.due_s == math.inf


def test_a_full_or_slightly_lower_volume_is_not_reported(volume: VolumeReport, reported: list[str]) -> None:
    for percent in (100, 60, 26):
        volume.note(at(percent), 5.0)
        assert volume.due_s == math.inf
    assert reported == []


def test_a_slider_that_is_dragged_is_reported_once(volume: VolumeReport, reported: list[str]) -> None:
    volume.note(at(100), 0.0)
    for percent in range(90, 4, -5):
        volume.note(at(percent), 1.0)
    assert volume.due_s == 1.0 + SETTLED_S
    assert reported == []
    volume.settle()
    assert reported == ["mic: Ear is at 5 %"]


def test_a_slider_that_returns_in_time_is_not_reported(volume: VolumeReport, reported: list[str]) -> None:
    volume.note(at(100), 0.0)
    volume.note(at(10), 1.0)
    volume.note(at(100), 1.2)
    volume.settle()
    assert reported == []


def test_the_end_of_a_low_volume_is_reported(volume: VolumeReport, reported: list[str]) -> None:
    volume.note(Attenuation(0.0, "Ear is muted"), 0.0)
    volume.note(at(80), 1.0)
    volume.settle()
    assert reported == ["mic: Ear is muted", "mic: no longer muted or turned down"]
