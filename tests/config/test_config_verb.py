"""Settings as defaults for options, and the verb that shows and changes them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import RunCapture
from settings_written import WRITTEN, write

from capture.cli.options import fill
from capture.config.schema import SETTINGS
from capture.config.store import Config, load
from capture.errors import UsageError

# Defaults for options


def options(**given: Any) -> dict[str, Any]:
    nothing = dict.fromkeys(("output", "screen", "audio", "fps", "quality", "encoder", "cursor"))
    return {**nothing, "verb": "record", "source": "device", **given}


CHOSEN = Config(
    Path("settings.toml"),
    {
        "record.audio": ("internal", "mic+internal"),
        "record.fps": 29.97,
        "record.quality": "high",
        "record.encoder": "h264_nvenc",
        "record.cursor": False,
    },
)


def test_missing_options_come_from_the_settings() -> None:
    filled = options()
    fill(CHOSEN, filled)
    assert filled == options(
        audio=["internal", "mic+internal"], fps="29.97", quality="high", encoder="h264_nvenc", cursor=False
    )
    filled = options()
    fill(Config(Path("settings.toml"), {}), filled)
    assert filled == options(audio=["internal"], fps="30", quality="medium", encoder="auto", cursor=True)


def test_given_options_override_the_settings() -> None:
    given_all = options(audio=["none"], fps="10", quality="low", encoder="auto", cursor=True)
    filled = dict(given_all)
    fill(CHOSEN, filled)
    assert filled == given_all
    filled = {"output": None, "fps": None}
    fill(CHOSEN, filled)
    assert filled == {"output": None, "fps": "29.97"}


@pytest.mark.parametrize(
    ("given_ones", "chosen", "audio"),
    [
        ({"output": "a.ogg"}, ("internal", "mic+internal"), ["internal+mic"]),
        ({"screen": "none"}, ("internal", "mic"), ["internal+mic"]),
        ({"output": "a.mkv", "screen": "none"}, ("internal", "mic"), ["internal", "mic"]),
        ({}, ("none",), ["none"]),
        ({"output": "a.ogg"}, ("none",), ["internal"]),
        ({"output": "a.mkv", "screen": "none"}, ("none",), ["internal"]),
        ({"source": "pattern"}, ("mic",), ["internal"]),
        ({"verb": "headless"}, ("mic",), ["internal"]),
        ({"verb": "note", "screen": "none"}, ("mic",), ["internal"]),
        ({"verb": "standby"}, ("mic",), ["mic"]),
    ],
)
def test_the_audio_setting_is_adapted_to_the_recording(
    given_ones: dict[str, Any], chosen: tuple[str, ...], audio: list[str]
) -> None:
    filled = options(**given_ones)
    fill(Config(Path("settings.toml"), {"record.audio": chosen}), filled)
    assert filled["audio"] == audio


def test_clicks_and_keys_are_drawn_only_on_a_screen() -> None:
    config = Config(Path("settings.toml"), {"record.show_clicks": True, "record.show_keys": True})
    for more, drawn in (
        ({}, True),
        ({"output": "a.mkv"}, True),
        ({"output": "a.ogg"}, False),
        ({"output": "a.mkv", "screen": "none"}, False),
        ({"source": "pattern"}, False),
    ):
        filled = options(show_clicks=None, show_keys=None, **more)
        fill(config, filled)
        assert (filled["show_clicks"], filled["show_keys"]) == (drawn, drawn), more
    filled = options(show_clicks=False, show_keys=None)
    fill(config, filled)
    assert (filled["show_clicks"], filled["show_keys"]) == (False, True)


def test_the_encoder_setting_applies_only_to_formats_it_can_write() -> None:
    for output, encoder in (("a.mp4", "h264_nvenc"), ("a.webm", "auto"), ("a.ogg", "auto")):
        filled = options(output=output)
        fill(CHOSEN, filled)
        assert filled["encoder"] == encoder
    with pytest.raises(UsageError, match="is not a format"):
        fill(CHOSEN, options(output="a.avi"))


# The verb


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="a virtual desk needs Linux")


@pytest.fixture
def settings(capture_environment: dict[str, str]) -> Path:
    """The settings file that `run_capture` uses."""
    return Path(capture_environment["XDG_CONFIG_HOME"]) / "capture" / "settings.toml"


@on_linux
def test_config_lists_all_settings(run_capture: RunCapture, settings: Path) -> None:
    done = run_capture("config")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{settings} (no such file")
    for name, setting in SETTINGS.items():
        assert any(line.split()[:2] == [name, "default"] for line in done.stdout.splitlines()), name
        assert setting.about in done.stdout
    write(settings, WRITTEN)
    lines = {line.split()[0]: line.split()[1:3] for line in run_capture("config").stdout.splitlines()}
    assert lines["hotkeys.record"] == ["chosen", "<f9>"]
    assert lines["hotkeys.mark"] == ["chosen", "none"]
    assert lines["hotkeys.pause"] == ["default", "<ctrl>+<alt>+p"]


@on_linux
def test_config_prints_json(run_capture: RunCapture, settings: Path) -> None:
    write(settings, WRITTEN)
    done = run_capture("config", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["path"] == str(settings)
    assert list(found["settings"]) == list(SETTINGS)
    assert found["settings"]["record.audio"] == ["internal", "mic"]
    assert found["settings"]["record.fps"] == 25
    assert found["settings"]["folder.video"] == str(settings.parents[2] / "Videos" / "Captures")
    assert json.loads(run_capture("--json", "config", "hotkeys.record").stdout)["settings"] == {
        "hotkeys.record": "<f9>"
    }


@on_linux
def test_config_sets_and_unsets_a_value(run_capture: RunCapture, settings: Path) -> None:
    done = run_capture("config", "hotkeys.record", "<f8>")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hotkeys.record is <f8>\n", "")
    assert run_capture("config", "hotkeys.record").stdout == "<f8>\n"
    done = run_capture("config", "record.audio", "internal", "mic", "--quiet")
    assert (done.returncode, done.stdout) == (0, "")
    assert run_capture("config", "record.audio").stdout == "internal\nmic\n"
    done = run_capture("config", "hotkeys.record", "--unset")
    assert (done.returncode, done.stdout) == (0, "hotkeys.record is <ctrl>+<alt>+r\n")
    done = run_capture("config", "hotkeys.pause", "")
    assert (done.returncode, done.stdout) == (0, "hotkeys.pause is none\n")
    assert load(settings).chosen == {"record.audio": ("internal", "mic"), "hotkeys.pause": ""}


@on_linux
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("hotkeys.recrod",), "did you mean hotkeys.record?"),
        (("hotkeys.recrod", "<f9>"), "did you mean hotkeys.record?"),
        (("hotkeys.recrod", "--unset"), "did you mean hotkeys.record?"),
        (("record.fps", "fast"), "record.fps: 'fast' is not a number"),
        (("record.fps", "25", "30"), "2 values"),
        (("hotkeys.mark", "<f9>"), "would be the same key"),
        (("--unset",), "--unset takes the name"),
        (("record.fps", "25", "--unset"), "--unset takes the name"),
        (("autostart", "perhaps"), "use on, off or status"),
        (("autostart", "--unset"), "--unset takes the name"),
    ],
)
def test_config_refuses_mistakes(arguments: Sequence[str], said: str, run_capture: RunCapture, settings: Path) -> None:
    write(settings, WRITTEN)
    done = run_capture("config", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert settings.read_text() == WRITTEN
    assert list(settings.parent.iterdir()) == [settings]
    assert list(settings.parent.parent.iterdir()) == [settings.parent]


@on_linux
def test_config_names_the_broken_file_and_can_fix_it(run_capture: RunCapture, settings: Path) -> None:
    write(settings, "[hotkeys]\nrecrod = '<f9>'\n")
    done = run_capture("config")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (f"capture: {settings}: there is no setting 'hotkeys.recrod': did you mean hotkeys.record?\n")
    done = run_capture("config", "hotkeys.recrod", "--unset")
    assert (done.returncode, done.stdout) == (0, "removed hotkeys.recrod from the file\n")
    assert load(settings).chosen == {}


@pytest.mark.parametrize(("written", "name"), [("[bogus]\na = 1\n", "bogus"), ("xyz = 1\n", "xyz")])
def test_a_name_like_no_setting_has_a_remedy_that_works(
    written: str, name: str, run_capture: RunCapture, settings: Path
) -> None:
    write(settings, written)
    said = f"capture: {settings}: there is no setting {name!r}: remove it from the file\n"
    # `config` cannot list the settings then.
    for arguments in (["config"], ["config", "record.fps"], ["list"]):
        done = run_capture(*arguments)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", said)
    done = run_capture("config", "xyz.abc", "1")
    assert "there is no setting 'xyz.abc': capture config lists them all" in done.stderr


@pytest.mark.parametrize("verb", [["config"], ["record", "out.mp4"], ["config", "record.fps", "25"]])
def test_settings_that_are_not_a_file_are_refused_at_once(
    verb: list[str], run_capture: RunCapture, settings: Path, tmp_path: Path
) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has no such pipes")
    settings.parent.mkdir(parents=True)
    os.mkfifo(settings)
    done = run_capture(*verb, timeout=20)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"capture: {settings} cannot be read (it is a pipe): check its type and permissions, or remove it\n"
    )
    settings.unlink()
    # Read in one piece, this would never end.
    settings.symlink_to("/dev/zero")
    done = run_capture(*verb, timeout=20)
    assert (done.returncode, "it is a device" in done.stderr) == (2, True)
    settings.unlink()
    settings.write_bytes(b"#" * 1_000_001)
    done = run_capture(*verb, timeout=20)
    assert (done.returncode, "it is larger than 1 MB" in done.stderr) == (2, True)
    assert not (tmp_path / "out.mp4").exists()
