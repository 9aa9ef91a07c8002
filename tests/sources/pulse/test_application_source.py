"""`--audio app:NAME`: everything that one program plays, and nothing of any other."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pytest
from programs import desk_with
from reopened import Track, first_loud_s, loudness, sound, usual_loudness
from running import LIMIT_S, Recorder, eventually
from servers import is_pipewire
from stage import module, pactl, playing, streams, write_tone

from capture.clock import MonotonicClock
from capture.errors import NotReadyError, SourceLostError
from capture.media import Samples
from capture.settings.audio_tracks import AudioTrack
from capture.settings.record_settings import RecordSettings
from capture.sources.chooser import choose_samples
from capture.sources.sound_devices import PlayingApplication, is_program, playing_applications
from capture.virtual.desk import VirtualDesk

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="a virtual desk needs Linux")

#: What the recorded program plays, and what others do.
OWN_HZ: Final = 440.0
SECOND_HZ: Final = 660.0
OTHER_HZ: Final = 1000.0

#: Two of these together do not clip in the mix.
LEVEL: Final = 0.3

#: 60 dB below.
NOTHING: Final = LEVEL / 1000

#: What 15 ms of another program would leave in a take of five seconds. A little less than 60 dB are there in any case,
#: because tones break off.
FIFTEEN_MS: Final = LEVEL / 300

BYTES_PER_S: Final = 192_000


# Names


FIREFOX: Final = {
    "application.name": "Firefox",
    "application.process.binary": "firefox-bin",
    "application.process.id": "4711",
    "application.id": "org.mozilla.firefox",
}


@pytest.mark.parametrize("name", ["Firefox", "firefox", "FIREFOX", "firefox-bin", "Firefox-Bin", "org.mozilla.Firefox"])
def test_a_program_matches_each_of_its_names(name: str) -> None:
    assert is_program(FIREFOX, name)


@pytest.mark.parametrize("name", ["fire", "firefox ", "refox", "", "4711", "org.mozilla", "firefox-bin2", "*"])
def test_only_a_whole_name_matches(name: str) -> None:
    assert not is_program(FIREFOX, name)


def test_a_sandboxed_program_matches_its_portal_name() -> None:
    assert is_program({"pipewire.access.portal.app_id": "org.videolan.VLC"}, "org.videolan.vlc")


def test_a_program_without_names_never_matches() -> None:
    assert not is_program({}, "")
    assert not is_program({"application.process.id": "1"}, "")


@pytest.mark.parametrize(("name", "meant"), [("capture", True), ("Capture", True), ("python3", False)])
def test_sound_of_the_recorder_matches_its_own_name_alone(name: str, meant: bool) -> None:
    own = {"application.name": "capture", "application.process.binary": "python3"}
    assert is_program(own, name) is meant


@dataclass
class Stream:
    """A stream of a program."""

    properties: dict[str, str] = field(default_factory=dict)
    corked: bool = False


def test_each_program_that_plays_is_listed_once() -> None:
    found = [
        Stream(FIREFOX),
        Stream(FIREFOX | {"application.process.id": "4712"}),
        Stream({"application.process.binary": "mpv", "application.process.id": "?"}),
        Stream({"application.name": "Paused"}, corked=True),
        Stream({"application.process.id": "9"}),
    ]
    assert playing_applications(found) == [
        PlayingApplication("Firefox", "firefox-bin", 4711),
        PlayingApplication("mpv", "mpv", 0),
    ]
    assert all(
        any(is_program(stream.properties, player.name) for stream in found) for player in playing_applications(found)
    )


@pytest.mark.parametrize(("platform", "system"), [("win32", "Windows"), ("darwin", "macOS")])
def test_application_sound_is_refused_on_other_systems(
    platform: str, system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    settings = RecordSettings(Path("a.ogg"), screen=None)
    with pytest.raises(NotReadyError, match=rf"firefox alone cannot be recorded on {system}: record internal"):
        choose_samples(replace(settings, audio=(AudioTrack(("app:firefox",)),)), MonotonicClock())


# Recordings


@pytest.fixture(scope="module", params=["pulseaudio", "pipewire"])
def desk(
    request: pytest.FixtureRequest, temporary_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VirtualDesk]:
    """A desk with each sound server; one for all tests here, because a start takes a second."""
    assert temporary_folder.is_dir()
    with desk_with(request.param, tmp_path_factory.mktemp("programs")) as opened:
        yield opened


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Callable[[float], Path]:
    """Return a file with a minute of a sine of the given frequency."""
    folder = tmp_path_factory.mktemp("tones")

    def tone(hz: float) -> Path:
        path = folder / f"{hz:g}.wav"
        return path if path.exists() else write_tone(path, hz, 60.0, LEVEL)

    return tone


@dataclass
class Take:
    """A recording of `app:one` into a WAV file, which the test reads while it grows."""

    recorder: Recorder
    path: Path

    def go_on(self, seconds: float) -> None:
        """Wait until the file is this much longer."""
        size = self.path.stat().st_size
        self.recorder.until(lambda: self.path.stat().st_size > size + seconds * BYTES_PER_S, f"{seconds} s more")

    @property
    def length_s(self) -> float:
        return self.path.stat().st_size / BYTES_PER_S

    def stop(self) -> tuple[Track, dict[str, Any]]:
        """Stop; return the track and the summary. Asserts: no sound missing; but PipeWire skips cycles when busy."""
        pipewire = is_pipewire(self.recorder.environment)
        summary = self.recorder.stop()
        assert pipewire or "hole" not in {event["kind"] for event in summary["events"]}
        assert summary["check"] == "ok"
        return sound(self.path), summary


@pytest.fixture
def begin(capture_environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Take]]:
    """Start recording a source; returns once the file has its first samples."""
    with ExitStack() as running:

        def call(source: str = "app:one") -> Take:
            path = tmp_path / f"{source.replace(':', '-')}.wav"
            recorder = Recorder(capture_environment, tmp_path, "record", path, "--audio", source, "--json")
            running.enter_context(recorder)
            recorder.until_recording(path)
            return Take(recorder, path)

        yield call


@pytest.fixture
def room(capture_environment: dict[str, str]) -> Iterator[str]:
    """A second output."""
    with module(capture_environment, "module-null-sink", "sink_name=room", "norewinds=1", "rate=48000"):
        yield "room"


def kinds(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the kind and detail of the events about the application."""
    return [
        (event["kind"], event["detail"]) for event in summary["events"] if event["kind"] in ("waiting", "application")
    ]


@on_linux
def test_one_program_is_recorded_and_no_other(
    begin: Callable[..., Take],
    tones: Callable[[float], Path],
    desk: VirtualDesk,
    capture_environment: dict[str, str],
) -> None:
    with (
        playing(capture_environment, tones(OTHER_HZ), desk.sink, program="other"),
        playing(capture_environment, tones(OWN_HZ), desk.sink, program="One"),
    ):
        eventually(lambda: len(streams(capture_environment)) == 2, "both play")
        everything, alone = begin("internal"), begin("app:one")
        for take in (everything, alone):
            take.go_on(1.5)
        heard, _ = everything.stop()
        track, summary = alone.stop()
    middle = track.between(0.4, track.end_s - 0.3)
    assert usual_loudness(middle, OWN_HZ, track.rate) == pytest.approx(LEVEL, rel=0.02)
    assert loudness(track.samples, OTHER_HZ, track.rate) < FIFTEEN_MS
    # The other program was audible all the while.
    assert usual_loudness(heard.between(0.4, heard.end_s - 0.3), OTHER_HZ, heard.rate) == pytest.approx(LEVEL, rel=0.02)
    assert kinds(summary) == []
    assert summary["audio"][0]["inserted_silence_s"] < 0.3


@on_linux
def test_all_streams_of_the_program_are_recorded_on_all_outputs(
    begin: Callable[..., Take],
    tones: Callable[[float], Path],
    desk: VirtualDesk,
    room: str,
    capture_environment: dict[str, str],
) -> None:
    with (
        playing(capture_environment, tones(OTHER_HZ), room, program="other"),
        playing(capture_environment, tones(OWN_HZ), desk.sink, program="one"),
    ):
        take = begin()
        take.go_on(1.5)
        alone_until_s = take.length_s
        with playing(capture_environment, tones(SECOND_HZ), room, program="one"):
            take.go_on(3.0)
            track, _ = take.stop()
    first_s = first_loud_s(track)
    # The first stream continues intact: a phase jump would make it quieter overall. PipeWire may skip a cycle.
    measure = usual_loudness if is_pipewire(capture_environment) else loudness
    assert measure(track.between(first_s + 0.1, track.end_s - 0.3), OWN_HZ, track.rate) > 0.98 * LEVEL
    assert usual_loudness(track.between(first_s, alone_until_s - 0.1), SECOND_HZ, track.rate) < NOTHING
    assert usual_loudness(track.between(track.end_s - 1.2, track.end_s - 0.2), SECOND_HZ, track.rate) > 0.98 * LEVEL
    assert loudness(track.samples, OTHER_HZ, track.rate) < FIFTEEN_MS


@on_linux
def test_a_program_that_starts_playing_later_is_recorded(
    begin: Callable[..., Take],
    tones: Callable[[float], Path],
    desk: VirtualDesk,
    capture_environment: dict[str, str],
) -> None:
    with playing(capture_environment, tones(OTHER_HZ), desk.sink, program="other"):
        eventually(lambda: streams(capture_environment), "the other plays")
        take = begin()
        take.go_on(0.5)
        quiet_s = take.length_s
        with playing(capture_environment, tones(OWN_HZ), desk.sink, program="one"):
            take.go_on(2.0)
        # It ends, and another stream of the same name begins.
        with playing(capture_environment, tones(SECOND_HZ), desk.sink, program="one"):
            take.go_on(2.0)
            track, summary = take.stop()
    assert kinds(summary) == [
        ("waiting", "one is not playing yet; waiting for it (playing: other)"),
        ("application", "one is playing"),
    ]
    assert abs(track.between(0.0, quiet_s)).max() == 0.0
    begins_s = first_loud_s(track)
    assert usual_loudness(track.between(begins_s + 0.1, begins_s + 0.6), OWN_HZ, track.rate) > 0.98 * LEVEL
    assert usual_loudness(track.between(track.end_s - 0.8, track.end_s - 0.2), SECOND_HZ, track.rate) > 0.98 * LEVEL
    assert loudness(track.samples, OTHER_HZ, track.rate) < FIFTEEN_MS


@on_linux
def test_a_stream_that_moves_to_another_output_is_followed(
    begin: Callable[..., Take],
    tones: Callable[[float], Path],
    desk: VirtualDesk,
    room: str,
    capture_environment: dict[str, str],
) -> None:
    with (
        playing(capture_environment, tones(OTHER_HZ), room, program="other"),
        playing(capture_environment, tones(OWN_HZ), desk.sink, program="one"),
    ):
        take = begin()
        take.go_on(1.0)
        (moved,) = [number for program, number in streams(capture_environment) if program == "one"]
        pactl(capture_environment, "move-sink-input", str(moved), room)
        take.go_on(2.5)
        track, summary = take.stop()
    begins_s = first_loud_s(track)
    assert usual_loudness(track.between(begins_s + 0.1, begins_s + 0.6), OWN_HZ, track.rate) > 0.9 * LEVEL
    assert usual_loudness(track.between(track.end_s - 1.2, track.end_s - 0.2), OWN_HZ, track.rate) > 0.98 * LEVEL
    assert loudness(track.samples, OTHER_HZ, track.rate) < FIFTEEN_MS
    # Only the move itself is missing.
    assert summary["audio"][0]["inserted_silence_s"] < 1.0


@on_linux
def test_a_program_that_never_plays_is_silence(
    begin: Callable[..., Take],
    tones: Callable[[float], Path],
    desk: VirtualDesk,
    capture_environment: dict[str, str],
) -> None:
    with playing(capture_environment, tones(OTHER_HZ), desk.sink, program="other"):
        eventually(lambda: streams(capture_environment), "the other plays")
        take = begin()
        take.go_on(1.0)
        track, summary = take.stop()
    assert kinds(summary) == [("waiting", "one is not playing yet; waiting for it (playing: other)")]
    assert len(track.samples) > track.rate
    assert abs(track.samples).max() == 0.0
    assert summary["audio"][0]["silent"] is True


@on_linux
def test_waiting_is_reported_when_nothing_plays(begin: Callable[..., Take]) -> None:
    _, summary = begin().stop()
    assert kinds(summary) == [("waiting", "one is not playing yet; waiting for it")]


# The source


@on_linux
@pytest.mark.usefixtures("in_process_desk")
def test_devices_lists_playing_programs_by_name(tones: Callable[[float], Path], desk: VirtualDesk) -> None:
    from capture.desktop.devices import describe_devices

    with (
        playing(os.environ, tones(OWN_HZ), desk.sink, program="One") as first,
        playing(os.environ, tones(SECOND_HZ), desk.sink, program="one") as second,
    ):
        eventually(lambda: len(streams(os.environ)) == 2, "both play")
        (app,) = describe_devices()[0]["apps"]
    assert list(app) == ["name", "binary", "pid", "muted", "volume_percent"]
    assert (app["name"].casefold(), app["binary"]) == ("one", "pacat")
    assert app["pid"] in (first, second)


def heard_in_lane(read: Callable[[], Samples | None], lane: int) -> None:
    """Read until this lane has sound."""
    deadline_s = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline_s:
        samples = read()
        if samples is not None and samples.lane == lane and samples.data.any():
            return
    raise AssertionError(f"nothing came in lane {lane}")


@on_linux
@pytest.mark.usefixtures("in_process_desk")
def test_a_free_lane_is_reused(tones: Callable[[float], Path], desk: VirtualDesk) -> None:
    from capture.sources.pulse.application_source import ApplicationSource

    source = ApplicationSource("app:one", "one", 0.025)
    with ExitStack() as closing:
        closing.callback(source.close)
        source.open()

        def read() -> Samples | None:
            return source.read(time.monotonic() + 1.0)

        def read_break(lane: int) -> None:
            while (samples := read()) is None or len(samples.data) or samples.lane != lane:
                pass

        with playing(os.environ, tones(OWN_HZ), desk.sink, program="one"):
            heard_in_lane(read, 0)
            closing.enter_context(playing(os.environ, tones(SECOND_HZ), desk.sink, program="one"))
            heard_in_lane(read, 1)
        read_break(0)
        closing.enter_context(playing(os.environ, tones(SECOND_HZ), desk.sink, program="one"))
        heard_in_lane(read, 0)


@on_linux
def test_a_server_that_goes_away_is_a_lost_source(monkeypatch: pytest.MonkeyPatch) -> None:
    from capture.sources.pulse.application_source import ApplicationSource

    source = ApplicationSource("app:one", "one")
    with VirtualDesk(320, 240, window_manager=False) as desk:
        for name, value in desk.environment.items():
            monkeypatch.setenv(name, value)
        source.open()
    with pytest.raises(SourceLostError, match="one is gone"):
        source.read(time.monotonic() + LIMIT_S)
    source.close()
    source.close()
