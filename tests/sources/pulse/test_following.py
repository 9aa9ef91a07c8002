"""`internal` is what the user hears: it follows the default output, and never becomes a microphone."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from reopened import Track, loudness, sound, usual_loudness
from running import LIMIT_S, Recorder, eventually
from servers import ON_BOTH_SERVERS, is_pipewire
from stage import module, pactl, playing, streams, write_tone

from capture.errors import NotReadyError, SourceLostError
from capture.virtual.desk import VirtualDesk

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

#: The tones of the first output, the other output, and the microphone.
FIRST_HZ: Final = 440.0
OTHER_HZ: Final = 660.0
MICROPHONE_HZ: Final = 1000.0

LEVEL: Final = 0.3

#: 60 dB below.
NOTHING: Final = LEVEL / 1000

#: What 15 ms of the microphone leave in a take of five seconds. A little less than 60 dB are there in any case, because
#: the other tones break off where a move costs a moment.
FIFTEEN_MS: Final = LEVEL / 300

BYTES_PER_S: Final = 192_000

Load = Callable[..., int]


@pytest.fixture
def desk(sound_desk: VirtualDesk) -> VirtualDesk:
    """A desk of the test's own: its outputs come and go."""
    return sound_desk


@pytest.fixture
def load(desk_environment: dict[str, str]) -> Iterator[Load]:
    """Add an output, given its name and description."""
    with ExitStack() as loaded:

        def call(name: str, description: str) -> int:
            properties = f"sink_properties=device.description={description}"
            arguments = ("module-null-sink", f"sink_name={name}", properties, "norewinds=1", "rate=48000")
            return loaded.enter_context(module(desk_environment, *arguments))

        yield call


@dataclass
class Scene:
    """The default output `desk` with a tone, another output with another tone, and a microphone with a third one.

    The microphone is the default input: the place where the server would move a stream without a home.
    """

    environment: dict[str, str]
    folder: Path
    #: The module of the other output.
    other: int

    def tone(self, hz: float) -> Path:
        return write_tone(self.folder / f"{hz:g}.wav", hz, 60.0, LEVEL)


@pytest.fixture
def scene(desk: VirtualDesk, load: Load, capture_environment: dict[str, str], tmp_path: Path) -> Iterator[Scene]:
    other = load("other", "Headphones")
    load("mouth", "Mouth")
    found = Scene(capture_environment, tmp_path, other)
    with (
        module(capture_environment, "module-remap-source", "master=mouth.monitor", "source_name=microphone"),
        playing(capture_environment, found.tone(MICROPHONE_HZ), "mouth", program="speaker"),
        playing(capture_environment, found.tone(FIRST_HZ), desk.sink, program="first"),
        playing(capture_environment, found.tone(OTHER_HZ), "other", program="second"),
    ):
        pactl(capture_environment, "set-default-source", "microphone")
        pactl(capture_environment, "set-default-sink", desk.sink)
        eventually(lambda: len(streams(capture_environment)) >= 3, "all play")
        yield found


class Take:
    """A recording of `internal` into a WAV file, which the test reads while it grows."""

    def __init__(self, scene: Scene) -> None:
        self._path = scene.folder / "internal.wav"
        self._environment = scene.environment
        self._recorder = Recorder(scene.environment, scene.folder, "record", self._path, "--json")

    def __enter__(self) -> Take:
        self._recorder.__enter__()
        self._recorder.until_recording(self._path)
        return self

    def __exit__(self, *error: Any) -> None:
        self._recorder.__exit__(None, None, None)

    def go_on(self, seconds: float) -> float:
        """Wait until the file is this much longer; return its length."""
        size = self._path.stat().st_size + seconds * BYTES_PER_S
        self._recorder.until(lambda: self._path.stat().st_size > size, f"{seconds} s more")
        return self._path.stat().st_size / BYTES_PER_S

    def stop(self) -> tuple[Track, list[str], dict[str, Any]]:
        """Stop; return the track, the reported moves and the summary. Asserts: no microphone, and no sound missing.

        PipeWire skips cycles on a busy machine.
        """
        summary = self._recorder.stop()
        assert summary["check"] == "ok"
        assert is_pipewire(self._environment) or "hole" not in {event["kind"] for event in summary["events"]}
        track = sound(self._path)
        assert loudness(track.samples, MICROPHONE_HZ, track.rate) < FIFTEEN_MS
        moves = [event["detail"] for event in summary["events"] if event["kind"].startswith("device_")]
        return track, moves, summary


def assert_heard(track: Track, from_s: float, to_s: float, *wanted_hz: float) -> None:
    """Assert that these tones are in this part, as loud as they are played."""
    for hz in wanted_hz:
        assert usual_loudness(track.between(from_s, to_s), hz, track.rate) > 0.95 * LEVEL


def assert_not_heard(track: Track, from_s: float, to_s: float, hz: float) -> None:
    assert usual_loudness(track.between(from_s, to_s), hz, track.rate) < NOTHING


@ON_BOTH_SERVERS
def test_a_new_default_output_is_followed(scene: Scene) -> None:
    with Take(scene) as take:
        before_s = take.go_on(1.0)
        pactl(scene.environment, "set-default-sink", "other")
        take.go_on(2.0)
        track, moves, summary = take.stop()
    assert moves == ["internal: now Headphones"]
    assert summary["audio"][0]["device"] == "Headphones"
    assert_heard(track, 0.4, before_s - 0.1, FIRST_HZ)
    assert_not_heard(track, 0.4, before_s - 0.1, OTHER_HZ)
    # Everything from the move on; the server also moves what played to the old default.
    (at_s,) = [event["at_s"] for event in summary["events"] if event["kind"] == "device_changed"]
    assert_heard(track, at_s + 0.3, track.end_s - 0.2, FIRST_HZ, OTHER_HZ)
    assert summary["audio"][0]["inserted_silence_s"] < 1.0


@ON_BOTH_SERVERS
def test_an_unplugged_output_is_replaced_by_the_new_default(scene: Scene) -> None:
    pactl(scene.environment, "set-default-sink", "other")
    with Take(scene) as take:
        before_s = take.go_on(1.0)
        pactl(scene.environment, "unload-module", str(scene.other))
        take.go_on(2.2)
        track, moves, summary = take.stop()
    assert moves == ["internal: now Virtual desk"]
    assert_heard(track, 0.4, before_s - 0.1, OTHER_HZ)
    # The server has moved all streams there.
    assert_heard(track, track.end_s - 1.2, track.end_s - 0.2, FIRST_HZ, OTHER_HZ)
    # The move, and the beginning.
    assert summary["audio"][0]["inserted_silence_s"] < 1.0


# PipeWire's own output belongs to its daemon and cannot be unloaded: there is always one.


def test_recording_resumes_after_a_time_without_any_output(scene: Scene, load: Load) -> None:
    with Take(scene) as take:
        before_s = take.go_on(1.0)
        pactl(scene.environment, "unload-module", "module-null-sink")
        silent_s = take.go_on(3.0)
        load("later", "Speakers")
        with playing(scene.environment, scene.tone(OTHER_HZ), "later"):
            take.go_on(3.0)
            track, moves, _ = take.stop()
    assert moves == ["internal: there is no output; recording silence until there is one", "internal: now Speakers"]
    assert_heard(track, 0.4, before_s - 0.1, FIRST_HZ)
    assert abs(track.between(silent_s - 0.9, silent_s - 0.4)).max() == 0.0
    assert_heard(track, track.end_s - 1.2, track.end_s - 0.2, OTHER_HZ)


def test_without_an_output_it_is_not_ready(in_process_desk: VirtualDesk, desk_environment: dict[str, str]) -> None:
    from capture.sources.pulse.device_source import PulseSource

    assert in_process_desk.sink == "desk"
    pactl(desk_environment, "unload-module", "module-null-sink")
    source = PulseSource("internal", "Desk", 2)
    with pytest.raises(NotReadyError, match="there is no output to record"):
        source.open()
    source.close()


@ON_BOTH_SERVERS
@pytest.mark.usefixtures("in_process_desk")
def test_a_server_that_goes_away_is_a_lost_source(desk: VirtualDesk) -> None:
    from capture.sources.pulse.device_source import PulseSource

    source = PulseSource("internal", "Desk", 2)
    source.open()
    assert source.device == "Virtual desk"
    assert source.read(time.monotonic() + LIMIT_S) is not None
    desk.close()

    def read_on() -> None:
        while True:
            source.read(time.monotonic() + LIMIT_S)

    with pytest.raises(SourceLostError, match="Virtual desk is gone"):
        read_on()
    source.close()
    source.close()
