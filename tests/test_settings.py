"""Settings: every input becomes a valid value or one clear error line, nothing else."""

from __future__ import annotations

import os
import pickle
import sys
from dataclasses import fields, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from refusals import refusal

from capture.cli.options import as_option
from capture.errors import SettingError, UsageError
from capture.formats import CONTAINERS, QUALITIES, container_of
from capture.media import Rectangle
from capture.output.naming import check_output
from capture.settings.audio_tracks import AudioTrack
from capture.settings.clip_order import ClipOrder
from capture.settings.record_settings import RecordSettings

# Containers


def test_containers_are_found_by_extension_in_any_case() -> None:
    for name, container in CONTAINERS.items():
        assert container_of(Path(f"talk.{name}")) is container
        assert container_of(Path(f"a.b/talk.v2.{name.upper()}")) is container
    pictures = [name for name, container in CONTAINERS.items() if container.holds_video]
    assert pictures == ["mp4", "mov", "mkv", "webm"]


@pytest.mark.parametrize(
    ("name", "said"),
    [("talk", "has no extension"), ("talk.avi", "'.avi'"), (".mp4", "has no extension"), ("", "no extension")],
)
def test_names_without_a_known_extension_are_refused(name: str, said: str) -> None:
    assert said in refusal(lambda: container_of(Path(name)))


# Settings that contradict each other


@pytest.fixture
def fine(tmp_path: Path) -> RecordSettings:
    return RecordSettings(tmp_path / "talk.mp4")


def test_the_defaults_are_valid(fine: RecordSettings) -> None:
    fine.check()
    assert fine.container is CONTAINERS["mp4"]
    assert fine.wants_video
    assert [track.name for track in fine.audio] == ["internal"]


def test_video_needs_a_container_that_holds_video(tmp_path: Path) -> None:
    for name, container in CONTAINERS.items():
        path = tmp_path / f"talk.{name}"
        if container.holds_video:
            RecordSettings(path, screen="primary").check()
            assert RecordSettings(path).wants_video
        else:
            assert f".{name} holds sound alone" in refusal(partial(RecordSettings, path, screen="primary"))
            RecordSettings(path, screen=None).check()
            assert not RecordSettings(path).wants_video


def test_settings_without_video_and_audio_are_refused(fine: RecordSettings) -> None:
    assert "neither picture nor sound" in refusal(lambda: replace(fine, screen=None, audio=()))
    replace(fine, audio=()).check()
    replace(fine, screen=None).check()


def test_the_number_of_audio_tracks_is_limited_by_the_container(tmp_path: Path) -> None:
    for name, container in CONTAINERS.items():
        tracks = tuple(AudioTrack((f"device {number}",)) for number in range(container.max_audio_tracks + 1))
        screen = "primary" if container.holds_video else None
        path = tmp_path / f"talk.{name}"

        def make(path: Path = path, tracks: Any = tracks, screen: str | None = screen) -> RecordSettings:
            return RecordSettings(path, audio=tracks, screen=screen)

        assert f".{name} cannot hold {len(tracks)} audio tracks" in refusal(make)
        make(tracks=tracks[1:]).check()


def test_a_region_needs_video(fine: RecordSettings) -> None:
    region = Rectangle(-5, 0, 100, 100)
    replace(fine, region=region).check()
    said = refusal(lambda: replace(fine, region=region, screen=None))
    assert said.startswith(f"region={region!r} needs a picture")


@pytest.mark.parametrize("threshold_dbfs", [-90.5, 0.0, 3.0])
def test_sound_thresholds_outside_the_useful_range_are_refused(threshold_dbfs: float, fine: RecordSettings) -> None:
    assert "not between -90dB and 0dB" in refusal(lambda: replace(fine, sound_threshold_dbfs=threshold_dbfs))
    for allowed_dbfs in (-90.0, -0.5):
        replace(fine, sound_threshold_dbfs=allowed_dbfs).check()


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("--wait-for-sound", {"wait_for_sound": True}),
        ("--stop-after-silence 2s", {"stop_after_silence_s": 2.0}),
        ("--loudness -16LUFS", {"loudness_lufs": -16.0}),
        ("--voice", {"voice": True}),
    ],
)
def test_options_for_sound_need_an_audio_track(option: str, values: dict[str, Any], tmp_path: Path) -> None:
    settings = RecordSettings(tmp_path / "talk.mkv", **({"audio": ()} if "voice" in values else values))
    settings.check()
    with pytest.raises(SettingError) as caught:
        RecordSettings(tmp_path / "talk.mkv", audio=(), **values)
    ((field, value),) = values.items()
    assert str(caught.value).startswith(f"{field}={value!r} needs sound")
    assert str(caught.value.named(as_option)).startswith(f"{option} needs sound")
    assert "--audio none" in caught.value.named(as_option).remedy


def test_voice_needs_a_container_with_opus(tmp_path: Path) -> None:
    for name, container in CONTAINERS.items():

        def make(path: Path = tmp_path / f"talk.{name}") -> RecordSettings:
            return RecordSettings(path, screen=None, voice=True)

        if container.audio_codec == "opus":
            make().check()
        else:
            assert f"which .{name} cannot hold" in refusal(make)


def test_repeat_needs_a_trigger_that_starts_every_recording(fine: RecordSettings) -> None:
    assert "repeat=True needs something" in refusal(lambda: replace(fine, repeat=True))
    for values in ({"wait_for_sound": True}, {"hold": "<f9>"}):
        waiting = replace(fine, repeat=True, **values)
        assert waiting.waits
        waiting.check()


def test_the_check_includes_the_output_file(fine: RecordSettings) -> None:
    fine.output.touch()
    assert "exists already" in refusal(fine.check)
    replace(fine, overwrite=True).check()


def test_an_unknown_extension_is_refused_on_construction() -> None:
    assert "'.avi'" in refusal(lambda: RecordSettings(Path("talk.avi")))


# Values from Python


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("fps", value) for value in (0, -1, 241, float("nan"), float("inf"), 10**400, "30", None, True)),
        *(("duration_s", value) for value in (-3, 0, float("nan"), "60", 1e9, 10**400)),
        *(("delay_s", value) for value in (-1, None, float("inf"))),
        *(("scale", value) for value in ((101, 33), (0, 0), (8, 8), (1280.0, 720.0), "1280x720", (1280,), 7)),
        *(("region", value) for value in (Rectangle(0, 0, 1, 1), "100x100+0+0", Rectangle(0, 0, -5, 10))),
        *(("replay_s", value) for value in (-5, 0, "60s")),
        *(("pre_roll_s", value) for value in (-1, None)),
        *(("buffer_bytes", value) for value in (0, -1, 1.5, "500MB")),
        *(("quality", value) for value in ("best", None, 3)),
        *(("encoder", value) for value in ("h265", "{0}", "", None)),
        *(("screen", value) for value in ("", " ", 1.5, b"primary")),
        *(("window", value) for value in ("", "a\nb", 5)),
        *(("hold", value) for value in ("<no such key>", "{0}", 5)),
        *(("name", value) for value in ("", "a/b", "{fps}/{0}", 7)),
        *(("sound_threshold_dbfs", value) for value in (0, -91, None, "loud")),
        *(("loudness_lufs", value) for value in (0, 3, -70, "-16")),
        *(("cursor", value) for value in (None, 1, "yes")),
        *(("overwrite", value) for value in (None, "yes")),
        *(("fallback_folder", value) for value in (5, b"/tmp")),
        *(("output", value) for value in (None, 5, b"talk.mp4")),
    ],
)
def test_an_invalid_value_is_named_with_its_field(field: str, value: Any, tmp_path: Path) -> None:
    given = {"output": tmp_path / "talk.mp4", field: value}
    with pytest.raises(SettingError) as caught:
        RecordSettings(**given)
    assert str(caught.value).startswith(f"{field}={value!r} ")
    assert caught.value.remedy
    assert caught.value.fields == {field: value}
    copy = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - it was made here
    assert (str(copy), copy.remedy, repr(copy.fields)) == (str(caught.value), caught.value.remedy, repr({field: value}))
    assert str(copy.named(as_option)) == str(caught.value.named(as_option))


@pytest.mark.parametrize("audio", [AudioTrack("mic"), AudioTrack((1, 2)), AudioTrack(None), AudioTrack(()), {"mic"}, 5])  # type: ignore[arg-type]
def test_a_track_without_names_of_sources_is_refused(audio: Any, tmp_path: Path) -> None:
    refusal(lambda: RecordSettings(tmp_path / "talk.mkv", audio=audio))


def test_every_kind_of_number_becomes_an_ordinary_one(tmp_path: Path) -> None:
    settings = RecordSettings(
        tmp_path / "talk.mp4",
        fps=Fraction(30_000, 1001),  # type: ignore[arg-type]
        duration_s=np.float32(2.5),  # type: ignore[arg-type]
        buffer_bytes=np.int64(5_000_000),  # type: ignore[arg-type]
        replay_s=3,
    )
    assert type(settings.fps) is type(settings.duration_s) is type(settings.replay_s) is float
    assert (settings.fps, settings.duration_s, settings.stop_after_silence_s) == (30_000 / 1001, 2.5, None)
    assert type(settings.buffer_bytes) is int


@pytest.mark.parametrize(
    ("audio", "tracks"),
    [
        ("mic", ["mic"]),
        ("internal+mic", ["internal+mic"]),
        (" Internal + Microphone ", ["internal+mic"]),
        (["system", "MIC"], ["internal", "mic"]),
        ("Desktop", ["internal"]),
        ("app: Firefox", ["app: Firefox"]),
        ("None", []),
        (["internal", "mic"], ["internal", "mic"]),
        (("internal", AudioTrack(("mic", "app:mpv"))), ["internal", "mic+app:mpv"]),
        (None, []),
        ("none", []),
        ([], []),
    ],
)
def test_tracks_may_be_strings_or_lists(audio: Any, tracks: list[str], tmp_path: Path) -> None:
    assert [track.name for track in RecordSettings(tmp_path / "talk.mp4", audio=audio).audio] == tracks


@pytest.mark.parametrize("audio", [5, {"mic": 1}, [5], b"mic", [None], [AudioTrack(())], object()])
def test_invalid_tracks_are_refused(audio: Any, tmp_path: Path) -> None:
    assert "audio" in refusal(lambda: RecordSettings(tmp_path / "talk.mp4", audio=audio))


def test_paths_may_be_strings(tmp_path: Path) -> None:
    settings: Any = RecordSettings
    made = settings(str(tmp_path / "talk.mp4"), fallback_folder=str(tmp_path))
    assert (made.output, made.fallback_folder) == (tmp_path / "talk.mp4", tmp_path)


def test_a_screen_may_be_a_number(tmp_path: Path) -> None:
    settings: Any = RecordSettings
    assert settings(tmp_path / "talk.mp4", screen=2).screen == "2"


def test_a_format_for_sound_alone_means_no_screen(tmp_path: Path) -> None:
    for name, container in CONTAINERS.items():
        assert RecordSettings(tmp_path / f"talk.{name}").wants_video == container.holds_video


odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.binary(max_size=4),
    st.tuples(st.integers(), st.integers()),
    st.lists(st.sampled_from(["internal", "mic", "none", "app:mpv", ""]), max_size=3),
    st.builds(Rectangle, st.integers(), st.integers(), st.integers(), st.integers()),
)
SENSIBLE: dict[str, st.SearchStrategy[Any]] = {
    "output": st.sampled_from([f"talk.{name}" for name in CONTAINERS]),
    "fps": st.floats(1, 120),
    "duration_s": st.floats(0.1, 100),
    "scale": st.sampled_from([(64, 48), (1280, 720)]),
    "audio": st.sampled_from(["internal", "internal+mic", None, ["internal", "mic"]]),
    "screen": st.sampled_from(["auto", "primary", "all", None, 1]),
    "quality": st.sampled_from(QUALITIES),
    "replay_s": st.floats(1, 100),
    "hold": st.sampled_from([None, "<f9>"]),
    "pre_roll_s": st.floats(0, 10),
}
NAMES: Final = [each.name for each in fields(RecordSettings) if each.init]


def settings_or_refusal(values: dict[str, Any]) -> RecordSettings | str:
    """Return the settings made of `values`, or the message that refuses them, as on the command line."""
    try:
        return RecordSettings(**values)
    except SettingError as error:
        return str(error.named(as_option))
    except UsageError as error:
        return str(error)


@given(
    st.fixed_dictionaries(
        {"output": st.one_of(SENSIBLE["output"], odd)},
        optional={name: st.one_of(SENSIBLE.get(name, odd), odd) for name in NAMES if name != "output"},
    )
)
def test_any_values_are_settings_or_refused(values: dict[str, Any]) -> None:
    settings = settings_or_refusal(values)
    if isinstance(settings, str):
        assert settings.strip()
        assert "\n" not in settings
        return
    assert settings.output.suffix
    assert settings.wants_video or settings.audio
    assert all(isinstance(track, AudioTrack) for track in settings.audio)
    assert replace(settings) == settings


# File names


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere/talk.mp4", "nowhere does not exist"),
        ("taken.mp4/talk.mp4", "taken.mp4 does not exist"),
        ("folder.mp4", "is a folder"),
        ("taken.mp4", "exists already"),
        ("pipe.mp4", "is not a regular file"),
        ("link to nothing.mp4", "exists already"),
        ("x" * 300 + ".mp4", "cannot be a file name"),
        ("nul\0.mp4", "cannot be a file name"),
        ("nul\0/talk.mp4", "cannot be a file name"),
        ("lone\ud800.mp4", "cannot be a file name"),
        ("loop.mp4/talk.mp4", "cannot be a file name"),
    ],
)
def test_unusable_file_names_are_refused_and_nothing_changes(name: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "taken.mp4").touch()
    (tmp_path / "link to nothing.mp4").symlink_to(tmp_path / "nothing.mp4")
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    if sys.platform != "win32":
        os.mkfifo(tmp_path / "pipe.mp4")
    before = sorted(tmp_path.iterdir())
    assert said in refusal(lambda: check_output(tmp_path / name, overwrite=False))
    if said != "exists already":
        assert said in refusal(lambda: check_output(tmp_path / name, overwrite=True))
    else:
        check_output(tmp_path / name, overwrite=True)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "name", ["talk.mp4", "rec-12:30.mp4", "-talk.mp4", "Vortrag über Äpfel 🍎.mp4", "%d.mp4", " .mp4"]
)
def test_unusual_file_names_are_accepted(name: str, tmp_path: Path) -> None:
    check_output(tmp_path / name, overwrite=False)
    assert list(tmp_path.iterdir()) == []


@given(name=st.text(max_size=300), overwrite=st.booleans())
def test_any_accepted_file_name_can_be_created(name: str, overwrite: bool, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.mp4"
    # A text that begins with a slash, or leads out of the folder, names a file somewhere else on the machine.
    assume(path.parent == tmp_path)
    try:
        check_output(path, overwrite=overwrite)
    except UsageError:
        return
    path.touch()
    path.unlink()


# Clips and the replay buffer


@pytest.mark.parametrize(
    "options",
    [
        {"last_s": True},
        {"last_s": "30"},
        {"last_s": 0},
        {"last_s": float("nan")},
        {"last_s": float("inf")},
        {"last_s": 10**400},
        {"max_bytes": True},
        {"max_bytes": 1.5},
        {"max_bytes": 10**400},
        {"exact": 1},
        {"exact": None},
        {"format": "nonsense"},
        {"format": "../mp4"},
        {"output": ["a"]},
        {"output": ""},
        {"output": "clip.mp4"},
        {"output": "/nowhere/a\0b.mp4"},
        {"output": "/nowhere/\ud800.mp4"},
        {"output": "x" * 10_000},
        {"y" * 10_000: "z" * 10_000},
    ],
)
def test_invalid_clip_orders_are_refused_with_a_short_message(options: dict[str, Any]) -> None:
    assert len(refusal(lambda: ClipOrder.of(options))) < 300


def test_a_clip_order_survives_the_trip_through_options(tmp_path: Path) -> None:
    orders = (
        ClipOrder(),
        ClipOrder(tmp_path / "clip.gif", 30, exact=True, max_bytes=1_000_000),
        ClipOrder(format="gif"),
    )
    for order in orders:
        assert ClipOrder.of(order.as_options()) == order


def test_the_fallback_folder_must_exist(tmp_path: Path) -> None:
    settings = RecordSettings(tmp_path / "out.mp4", standby=True, replay_s=60.0, fallback_folder=tmp_path)
    settings.check()
    for place in (tmp_path / "gone", Path("a\0b"), tmp_path / "file"):
        (tmp_path / "file").touch()
        assert "does not exist" in refusal(replace(settings, fallback_folder=place).check)


def test_standby_with_a_replay_buffer_refuses_flac(tmp_path: Path) -> None:
    settings = RecordSettings(tmp_path / "out.flac", screen=None, standby=True)
    settings.check()
    assert ".flac" in refusal(lambda: replace(settings, replay_s=60.0))
    replace(settings, standby=False, replay_s=60.0).check()
