"""The adapters of sound libraries and screens record exactly what was asked for, or raise our own errors."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from capture.clock import MonotonicClock
from capture.errors import NotReadyError, SourceLostError, UsageError
from capture.media import Rectangle, SampleArray, Samples
from capture.pipeline.device_thread import DeviceThread
from capture.settings.audio_tracks import AudioTrack
from capture.settings.record_settings import RecordSettings
from capture.sources.chooser import choose_frames, choose_samples
from capture.sources.screens import Screen, choose_area
from capture.sources.sound_devices import SoundDevice, choose_device
from capture.sources.soundcard_source import SoundcardSource, list_soundcard_devices

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="a virtual desk needs Linux")


# soundcard, for Windows and macOS


class ScriptedRecorder:
    """Returns `blocks`, then raises `error`; knows whether it is open."""

    def __init__(self, blocks: list[SampleArray], error: Exception, *, refuses: bool = False) -> None:
        self.is_open = False
        self._blocks = iter(blocks)
        self._error = error
        self._refuses = refuses

    def __enter__(self) -> ScriptedRecorder:
        if self._refuses:
            raise self._error
        self.is_open = True
        return self

    def __exit__(self, *error: object) -> None:
        self.is_open = False

    def record(self, count: int) -> SampleArray:
        assert self.is_open
        for block in self._blocks:
            return block
        raise self._error


@dataclass
class ScriptedMicrophone:
    """A microphone, or with `isloopback` the loopback of an output."""

    id: str
    name: str
    isloopback: bool = False
    made: ScriptedRecorder | None = None
    asked_for: tuple[int, int] = (0, 0)

    def recorder(self, rate: int, *, channels: int, blocksize: int) -> ScriptedRecorder:
        assert blocksize > 0
        assert self.made is not None, f"{self.name} may not be recorded"
        self.asked_for = rate, channels
        return self.made


class ScriptedLibrary:
    """The part of soundcard in use; `default_…` raise as the library does if there is no such device."""

    def __init__(self, devices: list[ScriptedMicrophone], output: str | None = None, microphone: str | None = None):
        self._devices = devices
        self._output = output
        self._microphone = microphone
        self.asked_for_loopback: bool | None = None

    def all_microphones(self, include_loopback: bool = False) -> list[ScriptedMicrophone]:
        self.asked_for_loopback = include_loopback
        return self._devices

    def default_speaker(self) -> SimpleNamespace:
        return self._default(self._output)

    def default_microphone(self) -> SimpleNamespace:
        return self._default(self._microphone)

    def get_microphone(self, *arguments: object, **named: object) -> None:
        raise AssertionError("this finds devices that merely resemble")

    @staticmethod
    def _default(id_: str | None) -> SimpleNamespace:
        if id_ is None:
            raise RuntimeError("Error 0x80070490")
        return SimpleNamespace(id=id_)


def tone(count: int) -> SampleArray:
    return np.full((count, 2), 0.25, np.float32)


@pytest.fixture
def library() -> ScriptedLibrary:
    return ScriptedLibrary(
        [
            ScriptedMicrophone("{speaker}", "Speakers", isloopback=True),
            ScriptedMicrophone("{monitor}", "Monitor", isloopback=True),
            ScriptedMicrophone("{headset}", "Headset"),
            ScriptedMicrophone("{webcam}", "Webcam"),
        ],
        output="{monitor}",
        microphone="{webcam}",
    )


def test_outputs_and_microphones_are_distinguished(library: ScriptedLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    devices = list_soundcard_devices(library)
    assert library.asked_for_loopback is True
    assert [(device.id, device.kind, device.default) for device in devices] == [
        ("{speaker}", "internal", False),
        ("{monitor}", "internal", True),
        ("{headset}", "mic", False),
        ("{webcam}", "mic", True),
    ]
    assert choose_device(devices, "internal").id == "{monitor}"
    assert choose_device(devices, "mic").id == "{webcam}"


@pytest.mark.parametrize(("output", "microphone"), [("{speaker}", None), (None, "{webcam}"), (None, None)])
def test_a_computer_without_a_microphone_still_has_its_output(
    output: str | None, microphone: str | None, library: ScriptedLibrary
) -> None:
    library._output, library._microphone = output, microphone
    assert [device.id for device in list_soundcard_devices(library) if device.default] == [
        id_ for id_ in (output, microphone) if id_
    ]


def test_a_failure_to_list_devices_is_not_ready(library: ScriptedLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**arguments: object) -> list[Any]:
        raise RuntimeError("the audio service is not running")

    monkeypatch.setattr(library, "all_microphones", fail)
    with pytest.raises(NotReadyError, match=r"cannot be listed \(the audio service is not running\): use --audio none"):
        list_soundcard_devices(library)


def test_blackhole_is_the_internal_audio_of_a_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    library = ScriptedLibrary(
        [ScriptedMicrophone("41", "MacBook Pro Microphone"), ScriptedMicrophone("52", "BlackHole 2ch")],
        output="60",
        microphone="41",
    )
    devices = list_soundcard_devices(library)
    # macOS has none, and asking for them gives a warning.
    assert library.asked_for_loopback is False
    assert choose_device(devices, "internal").name == "BlackHole 2ch"
    assert choose_device(devices, "mic").id == "41"


def test_a_mac_without_blackhole_gets_a_hint_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    library = ScriptedLibrary([ScriptedMicrophone("41", "MacBook Pro Microphone")], microphone="41")
    with pytest.raises(NotReadyError, match="install BlackHole"):
        choose_device(list_soundcard_devices(library), "internal")


def test_blackhole_is_a_microphone_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    library = ScriptedLibrary([ScriptedMicrophone("52", "BlackHole 2ch")])
    assert [device.kind for device in list_soundcard_devices(library)] == ["mic"]


def test_only_the_exact_id_is_opened(library: ScriptedLibrary) -> None:
    # A search by name would match each of these with one of the devices.
    for id_ in ("Speakers", "speaker", "{Speaker}", "{speaker", ""):
        with pytest.raises(NotReadyError, match="Speakers is gone: see capture devices"):
            SoundcardSource("internal", id_, "Speakers", 2, library).open()


def test_it_delivers_the_samples_of_the_device(library: ScriptedLibrary) -> None:
    device = library.all_microphones()[1]
    device.made = ScriptedRecorder([tone(960), tone(0), tone(480)], RuntimeError("unplugged"))
    source = SoundcardSource("internal", "{monitor}", "Monitor", 2, library)
    source.open()
    assert device.asked_for == (48_000, 2)
    source.begin(time.monotonic())
    first, nothing, last = (source.read(time.monotonic() + 1.0) for _ in range(3))
    assert first is not None
    assert last is not None
    assert (first.data.shape, nothing, last.data.shape) == ((960, 2), None, (480, 2))
    assert first.data.dtype == np.float32
    assert first.captured_at_s <= time.monotonic() - 0.02
    with pytest.raises(SourceLostError, match=r"Monitor is gone \(unplugged\)"):
        source.read(time.monotonic() + 1.0)
    source.close()
    source.close()
    assert not device.made.is_open


@pytest.mark.parametrize(
    "error", [RuntimeError("x"), OSError("x"), AssertionError("x"), TypeError("x"), ValueError("x")]
)
def test_any_exception_of_the_library_is_a_lost_source(error: Exception, library: ScriptedLibrary) -> None:
    library.all_microphones()[0].made = ScriptedRecorder([], error)
    source = SoundcardSource("internal", "{speaker}", "Speakers", 2, library)
    source.open()
    with pytest.raises(SourceLostError, match="Speakers is gone"):
        source.read(time.monotonic() + 1.0)
    source.close()


def test_a_device_in_use_is_not_ready(library: ScriptedLibrary) -> None:
    library.all_microphones()[0].made = ScriptedRecorder([], RuntimeError("in use"), refuses=True)
    source = SoundcardSource("internal", "{speaker}", "Speakers", 2, library)
    with pytest.raises(NotReadyError, match=r"Speakers cannot be recorded \(in use\)"):
        source.open()


def test_close_before_open_is_harmless(library: ScriptedLibrary) -> None:
    SoundcardSource("internal", "{speaker}", "Speakers", 2, library).close()


@pytest.mark.parametrize(("name", "goes_to"), [("mic", "Headset"), ("{webcam}", "")])
def test_an_unplugged_device_is_reopened_and_never_replaced(
    name: str, goes_to: str, library: ScriptedLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("capture.sources.soundcard_source._load", lambda: library)
    headset, webcam = library._devices[2:]
    webcam.made = ScriptedRecorder([tone(960)], TypeError("NoneType"))
    reported: list[str] = []
    settings = RecordSettings(Path("a.ogg"), screen=None)
    ((source,),) = choose_samples(
        replace(settings, audio=(AudioTrack((name,)),)), MonotonicClock(), lambda kind, detail: reported.append(detail)
    )
    source.open()
    source.begin(time.monotonic())

    def heard() -> bool:
        samples = source.read(time.monotonic() + 0.7)
        return samples is not None and len(samples.data) > 0

    assert heard()
    # The device is unplugged, and the headset becomes the default; the break comes first.
    library._devices, library._microphone = [headset], "{headset}"
    headset.made = ScriptedRecorder([tone(960)] * 9, RuntimeError("unplugged"))
    assert [heard() for _ in range(3)] == [False, bool(goes_to), bool(goes_to)]
    if not goes_to:
        library._devices = [headset, webcam]
        webcam.made = ScriptedRecorder([tone(960)] * 9, RuntimeError("unplugged"))
        assert heard()
    assert source.device == (goes_to or "Webcam")
    assert reported == [
        f"{name}: Webcam is gone (NoneType); recording silence until it is back",
        f"{name}: now {source.device}",
    ]
    source.close()


# Devices by name


def test_a_microphone_is_never_taken_for_the_internal_audio() -> None:
    devices = [SoundDevice("mic-id", "internal", "mic", True, 2)]
    with pytest.raises(NotReadyError, match="no output to record"):
        choose_device(devices, "internal")
    for wanted, remedy in (
        ("mic-i", "did you mean mic-id or mic"),
        ("Microphon", "did you mean microphone"),
        ("speakers", "use internal, mic, mic-id$"),
    ):
        with pytest.raises(UsageError, match=remedy):
            choose_device(devices, wanted)
    assert choose_device(devices, "mic").id == "mic-id"


# Screens


LEFT = Screen("1", "HDMI-1", Rectangle(-1280, -200, 1280, 1024), primary=False)
MIDDLE = Screen("2", "eDP-1", Rectangle(0, 0, 1920, 1080), primary=True)
RIGHT = Screen("3", "DP-2", Rectangle(1920, 300, 801, 601), primary=False)
SCREENS = [LEFT, MIDDLE, RIGHT]
DESKTOP = Rectangle(-1280, -200, 1280 + 1920 + 801, 200 + 1080)


@pytest.mark.parametrize(
    ("screen", "area"),
    [
        ("primary", MIDDLE.area),
        ("all", DESKTOP),
        ("1", LEFT.area),
        ("3", RIGHT.area),
        ("HDMI-1", LEFT.area),
        ("DP-2", RIGHT.area),
    ],
)
def test_a_screen_is_selected_by_number_or_name(screen: str, area: Rectangle) -> None:
    assert choose_area(SCREENS, screen, None) == area


@pytest.mark.parametrize("screen", ["0", "4", "HDMI", "hdmi-1", "", "Primary"])
def test_an_unknown_screen_is_a_usage_error(screen: str) -> None:
    with pytest.raises(UsageError) as caught:
        choose_area(SCREENS, screen, None)
    assert repr(screen) in caught.value.message
    assert "primary, all, " in caught.value.remedy


def test_the_nearest_names_come_first() -> None:
    with pytest.raises(UsageError, match="use primary, all, HDMI-1"):
        choose_area(SCREENS, "HDMI-2", None)


@pytest.mark.parametrize(
    ("screen", "region"),
    [
        ("primary", Rectangle(100, 100, 640, 480)),
        ("primary", Rectangle(-1280, -200, 100, 100)),
        ("primary", Rectangle(-10, 10, 20, 20)),
        ("all", DESKTOP),
        ("1", Rectangle(-1280, -200, 1280, 1024)),
        ("3", Rectangle(2720, 900, 1, 1)),
    ],
)
def test_a_region_is_in_desktop_coordinates(screen: str, region: Rectangle) -> None:
    assert choose_area(SCREENS, screen, region) == region


@pytest.mark.parametrize(
    ("screen", "region", "bounds"),
    [
        ("primary", Rectangle(-1281, 0, 10, 10), DESKTOP),
        ("all", Rectangle(2712, 0, 10, 10), DESKTOP),
        ("all", Rectangle(0, 1071, 10, 10), DESKTOP),
        ("2", Rectangle(-1, 0, 10, 10), MIDDLE.area),
        ("1", Rectangle(0, 0, 10, 10), LEFT.area),
    ],
)
def test_a_region_outside_the_screen_is_a_usage_error(screen: str, region: Rectangle, bounds: Rectangle) -> None:
    with pytest.raises(UsageError) as caught:
        choose_area(SCREENS, screen, region)
    assert str(region) in caught.value.message
    assert str(bounds) in caught.value.remedy


def test_an_odd_screen_loses_its_last_column_and_row() -> None:
    assert choose_area(SCREENS, "3", None).trimmed_to_even() == Rectangle(1920, 300, 800, 600)


# The sound server


@on_linux
@pytest.mark.usefixtures("sound_desk")
def test_the_source_waits_for_a_lost_device_and_never_replaces_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    from stage import module, pactl, playing, write_tone

    from capture.sources.pulse.device_source import PulseSource

    loud = write_tone(tmp_path_factory.mktemp("tone") / "tone.wav", 440.0, 60.0)
    captured = ("module-null-sink", "sink_name=captured", "norewinds=1")
    reported: list[tuple[str, str]] = []
    with ExitStack() as loaded:
        loaded.enter_context(module(os.environ, "module-null-sink", "sink_name=other", "norewinds=1"))
        number = loaded.enter_context(module(os.environ, *captured))
        # The output to which the server would move the stream.
        pactl(os.environ, "set-default-sink", "other")
        pactl(os.environ, "set-default-source", "other.monitor")
        loaded.enter_context(playing(os.environ, loud, "other"))
        loudest = PulseSource("other.monitor", "Other", 2)
        loaded.callback(loudest.close)
        loudest.open()
        while (heard := loudest.read(time.monotonic() + 30.0)) is None or not is_loud(heard):
            pass
        source = PulseSource("captured.monitor", "Captured", 2, report=lambda *event: reported.append(event))
        loaded.callback(source.close)
        source.open()
        assert source.read(time.monotonic() + 30.0) is not None
        pactl(os.environ, "unload-module", str(number))
        for _ in range(1000):
            samples = source.read(time.monotonic() + 0.1)
            assert samples is None or not samples.data.any()
            if reported:
                break
        assert reported == [("device_lost", "captured.monitor: Captured is gone; recording silence until it is back")]
        # What the device delivered last, and the end of it, may still come.
        while (left := source.read(time.monotonic() + 0.05)) is not None:
            assert not left.data.any()
        # The other output kept playing all the while.
        for _ in range(10):
            assert source.read(time.monotonic() + 0.05) is None
        heard = loudest.read(time.monotonic() + 30.0)
        assert heard is not None
        assert is_loud(heard)
        loaded.enter_context(module(os.environ, *captured))
        loaded.enter_context(playing(os.environ, loud, "captured"))
        while not is_loud(source.read(time.monotonic() + 30.0)):
            pass
        assert reported[1:] == [("device_back", "captured.monitor: now Captured")]


def is_loud(samples: Samples | None) -> bool:
    return samples is not None and len(samples.data) > 0 and bool(samples.data.max() > 0.1)


@on_linux
@pytest.mark.usefixtures("sound_desk")
def test_a_missing_device_is_not_ready() -> None:
    from capture.sources.pulse.device_source import PulseSource

    source = PulseSource("desk.monito", "Desk", 2)
    with pytest.raises(NotReadyError, match=r"Desk cannot be recorded \(No such entity\)"):
        source.open()
    source.close()


@on_linux
def test_no_server_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    from capture.sources.pulse.device_source import PulseSource

    monkeypatch.setenv("PULSE_SERVER", "unix:/nonexistent")
    source = PulseSource("desk.monitor", "Desk", 2)
    with pytest.raises(NotReadyError, match=r"no sound server answers .*--audio none"):
        source.open()
    source.close()


@on_linux
@pytest.mark.usefixtures("sound_desk")
def test_a_waiting_reader_can_be_woken() -> None:
    from stage import module

    from capture.sources.pulse.device_source import PulseSource

    with module(os.environ, "module-null-sink", "sink_name=unused"):
        source = PulseSource("unused.monitor", "Unused", 2)
        source.open()
        source.wake()
        assert source.read(time.monotonic() + 600.0) is None
        source.close()
        source.wake()


# Priorities


@on_linux
@pytest.mark.usefixtures("in_process_desk")
@pytest.mark.parametrize(("pattern", "asks"), [(False, True), (True, False)])
def test_the_thread_that_reads_a_device_asks_for_a_priority(
    pattern: bool, asks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr("capture.sources.chooser.raise_own_priority", lambda: asked.append(threading.get_native_id()))
    settings = RecordSettings(Path("a.ogg"), screen=None, pattern=pattern)
    ((source,),) = choose_samples(settings, MonotonicClock())
    device = DeviceThread("sound", source, lambda name, error: None)
    device.open()
    device.await_opened()
    assert asked == ([device.native_id] if asks else [])
    device.close()
    assert device.join(30.0)


def test_a_caller_in_python_reads_the_names_of_fields(tmp_path: Path) -> None:
    for more, said in (
        ({"region": Rectangle(0, 0, 64, 64)}, "region="),
        ({"window": "xterm"}, "window='xterm' is"),
        ({"show_keys": True}, "show_keys=True needs"),
    ):
        settings = RecordSettings(tmp_path / "out.mp4", pattern=True, **more)
        with pytest.raises(UsageError) as refused:
            choose_frames(settings, MonotonicClock())
        assert said in str(refused.value)
        assert "--" not in str(refused.value)
