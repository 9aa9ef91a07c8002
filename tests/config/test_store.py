"""The settings file: reading and checking it, mistakes and their remedies, and changing one key without the others."""

from __future__ import annotations

import stat
import sys
import threading
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from settings_written import WRITTEN, write

from capture.config.schema import SETTINGS, as_typed
from capture.config.settings_file import settings_path
from capture.config.store import Config, change, hotkeys, load, unset
from capture.config.toml_edit import as_toml, with_value, without
from capture.errors import OutputError, UsageError
from capture.events import Command
from capture.output.naming import recordings_folder
from capture.system.private_files import replace
from capture.triggers.bindings import DEFAULT_HOTKEYS


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The path of the settings file. Neither the file nor its folder exists yet."""
    return tmp_path / "config" / "capture" / "settings.toml"


def mistake(file: Path, text: str | bytes) -> str:
    """Assert that a file with this text is refused, and return the message."""
    write(file, text)
    with pytest.raises(UsageError) as caught:
        load(file)
    assert caught.value.remedy
    assert str(file) in caught.value.message
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Reading


def test_a_missing_file_means_the_defaults(file: Path) -> None:
    config = load(file)
    assert config.chosen == {}
    assert not file.parent.exists()
    assert {name: config[name] for name in SETTINGS} == {name: setting.default for name, setting in SETTINGS.items()}
    assert hotkeys(config) == DEFAULT_HOTKEYS
    assert config.hold is None
    assert config.autostart_verb == "standby"
    assert (config.replay_last_s, config.replay_buffer_bytes) == (60.0, 500_000_000)
    assert config.folder_for("mp4") == recordings_folder("mp4") != config.folder_for(".ogg") == recordings_folder("ogg")


@pytest.mark.parametrize("name", SETTINGS)
def test_every_default_can_be_set_explicitly(name: str, file: Path) -> None:
    default = SETTINGS[name].default
    words = list(default) if isinstance(default, tuple) else [as_typed(default)]
    assert change(name, words, file).chosen == {name: default}
    assert load(file).chosen == {name: default}
    assert type(load(file)[name]) is type(default)


def test_values_in_the_file_override_the_defaults(file: Path) -> None:
    config = load(write(file, WRITTEN))
    assert config.chosen == {
        "record.fps": 25,
        "record.audio": ("internal", "mic"),
        "hotkeys.record": "<f9>",
        "hotkeys.mark": "",
        "replay.last": "2m",
    }
    bound = hotkeys(config)
    assert bound["<f9>"] is Command.TOGGLE
    assert Command.MARK not in bound.values()
    assert set(bound.values()) == set(DEFAULT_HOTKEYS.values()) - {Command.MARK}
    assert config.replay_last_s == 120.0


@pytest.mark.parametrize(
    "text",
    [
        "hotkeys.record = '<f9>'",
        "hotkeys = { record = '<f9>' }",
        "\ufeff[hotkeys]\r\nrecord = '<f9>'\r\n",
        '["hotkeys"]\n"toggle" = """<f9>"""',
    ],
)
def test_all_notations_of_toml_are_read(text: str, file: Path) -> None:
    assert load(write(file, text)).chosen == {"hotkeys.record": "<f9>"}


def test_lists_numbers_booleans_and_paths_are_read(file: Path) -> None:
    text = "[record]\naudio = 'internal+mic'\nfps = 29.97\ncursor = false\n[folder]\nvideo = '~/Clips'\n"
    config = load(write(file, text))
    assert config["record.audio"] == ("internal+mic",)
    assert config["record.fps"] == 29.97
    assert config["record.cursor"] is False
    assert config.folder_for("mkv") == Path("~/Clips").expanduser()
    with pytest.raises(UsageError, match="is not a format"):
        config.folder_for("avi")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        # not TOML
        ("[hotkeys", ("is not valid TOML", "correct it")),
        ("\nhotkeys.record = \n", ("is not valid TOML", "line 2", "correct it")),
        ("[hotkeys]\n[hotkeys]", ("is not valid TOML",)),
        ("a = " + "[" * 5000, ("is not valid TOML",)),
        ("record.fps = " + "9" * 5000, ("is not valid TOML",)),
        (b"\xff\xfe[\0", ("not UTF-8",)),
        # names
        ("[hotkeys]\nrecrod = '<f9>'", ("no setting 'hotkeys.recrod'", "did you mean hotkeys.record?")),
        ("colour = 'red'", ("no setting 'colour'", "remove it from the file")),
        ("[hotkey]\nrecord = '<f9>'", ("no setting 'hotkey'",)),
        ("[nothing]", ("no setting 'nothing'",)),
        ("[[hotkeys]]\nrecord = '<f9>'", ("no setting 'hotkeys'",)),
        ("hotkeys = 3", ("no setting 'hotkeys'",)),
        ('"hotkeys.record" = "<f9>"', ("no setting",)),
        # types
        ("[hotkeys]\nrecord = 5", ("hotkeys.record", "type", 'hotkeys.record = "<ctrl>+<alt>+r"')),
        ("[hotkeys.record]", ("hotkeys.record", "type")),
        ("[record]\ncursor = 'yes'", ("record.cursor", "type", "record.cursor = true")),
        ("[record]\ncursor = 1", ("record.cursor", "type")),
        ("[record]\nfps = '30'", ("record.fps", "type", "record.fps = 30")),
        ("[record]\nfps = true", ("record.fps", "type")),
        ("[record]\naudio = [1]", ("record.audio", "type", 'record.audio = ["internal"]')),
        ("[record]\naudio = []", ("record.audio", "type")),
        ("[replay]\nlast = 60", ("replay.last", "type", 'replay.last = "60s"')),
        ("[replay]\nlast = 10:00:00", ("replay.last", "type")),
        # values
        ("[hotkeys]\nrecord = '<hyper>+r'", ("hotkeys.record", "'<hyper>+r' is not a key", "write it like")),
        ("[record]\nfps = 0", ("record.fps", "240")),
        ("[record]\nfps = nan", ("record.fps", "240")),
        ("[record]\nfps = -inf", ("record.fps", "240")),
        ("[record]\nfps = 1e300", ("record.fps", "240")),
        ("[record]\nquality = 'superb'", ("record.quality", "'superb'", "low, medium, high")),
        ("[record]\nencoder = 'magic'", ("record.encoder", "'magic'", "libx264")),
        ("[record]\naudio = ['mic', 'mic']", ("record.audio", "twice")),
        ("[record]\naudio = ['none', 'mic']", ("record.audio", "none")),
        ("[replay]\nlast = 'long'", ("replay.last", "'long'", "1m30s")),
        ("[replay]\nlast = '0'", ("replay.last", "more than zero")),
        ("[replay]\nbuffer_size = 'much'", ("replay.buffer_size", "'much'", "16MB")),
        ("[autostart]\nverb = 'record'", ("autostart.verb", "'record'", "standby, replay")),
        ("[folder]\nvideo = 'Clips'", ("folder.video", "'Clips'", "absolute path", "~/Videos")),
        ("[folder]\nvideo = '~no-user-of-that-name/x'", ("folder.video", "not a valid folder")),
        ('[folder]\nvideo = "/a\\u0000b"', ("folder.video",)),
        ('[folder]\nvideo = "/a\\u001b[2J"', ("folder.video", "unprintable")),
        ("[folder]\nsound = '/" + "a" * 300 + "'", ("folder.sound",)),
        # combinations
        ("[hotkeys]\nmark = '<Alt>+<ctrl>+R'", ("hotkeys.record and hotkeys.mark", "same key", "its own key")),
        ("[hotkeys]\nhold = 'f9'\npause = '<f9>'", ("hotkeys.pause and hotkeys.hold", "same key")),
        ("[hotkeys]\npause = '<f9>'\ndiscard = '<f9>'", ("hotkeys.pause and hotkeys.discard", "same key")),
    ],
    ids=lambda value: str(value)[:40],
)
def test_mistakes_in_the_file_are_refused_with_a_remedy(text: str | bytes, said: tuple[str, ...], file: Path) -> None:
    message = mistake(file, text)
    for words in said:
        assert words in message, message


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_any_file_is_settings_or_a_usage_error(content: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("capture.config.store.read_small", lambda path: content)
        try:
            assert isinstance(load(Path("settings.toml")), Config)
        except UsageError as error:
            assert error.remedy  # noqa: PT017 - not every example raises


def test_an_unreadable_file_is_a_usage_error(file: Path) -> None:
    file.mkdir(parents=True)
    with pytest.raises(UsageError, match=r"settings\.toml cannot be read"):
        load(file)
    file.rmdir()
    file.symlink_to(file)
    with pytest.raises(UsageError, match=r"settings\.toml cannot be read"):
        load(file)


def test_key_conflicts_are_found_when_the_hotkeys_are_used(file: Path) -> None:
    with pytest.raises(UsageError, match="also the key for toggle"):
        hotkeys(Config(file, {"hotkeys.hold": "<ctrl>+<alt>+r"}))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux desktops use the variable")
def test_the_file_is_in_the_config_folder_of_the_desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert settings_path() == tmp_path / "capture" / "settings.toml"
    assert change("record.fps", ["25"]).path == settings_path()
    assert load()["record.fps"] == 25
    assert unset("record.fps").chosen == load().chosen == {}
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert settings_path() == tmp_path / "home" / ".config" / "capture" / "settings.toml"


# Changing


def test_a_new_file_is_private(file: Path) -> None:
    change("record.fps", ["25"], file)
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    assert file.read_text().startswith("# The settings of capture.")
    assert tomllib.loads(file.read_text()) == {"record": {"fps": 25}}


def test_a_link_to_the_file_stays_a_link(file: Path, tmp_path: Path) -> None:
    real = write(tmp_path / "dotfiles" / "capture.toml", WRITTEN)
    file.parent.mkdir(parents=True)
    file.symlink_to(real)
    change("record.quality", ["low"], file)
    assert file.is_symlink()
    assert load(real)["record.quality"] == "low"


@pytest.mark.parametrize(
    ("name", "words", "before", "after"),
    [
        ("record.fps", ["50"], "  fps = 25     # enough\n", "  fps = 50     # enough\n"),
        ("hotkeys.record", ["<f8>"], "record = '<f9>' # nearer\n", 'record = "<f8>" # nearer\n'),
        ("hotkeys.hold", ["#"], 'mark = ""\n', 'mark = ""\nhold = "#"\n'),
        ("record.cursor", ["off"], "  ]  # both\n", "  ]  # both\n  cursor = false\n"),
        (
            "record.audio",
            ["mic"],
            '  audio = [\n    "internal",  # what plays\n    "mic",\n  ]  # both\n',
            '  audio = ["mic"]  # both\n',
        ),
        ("autostart.verb", ["replay"], 'last = "2m"\n', 'last = "2m"\n\n[autostart]\nverb = "replay"\n'),
    ],
)
def test_changing_a_key_leaves_the_rest_of_the_file(
    name: str, words: Sequence[str], before: str, after: str, file: Path
) -> None:
    assert WRITTEN.count(before) == 1
    for ends in ("\n", "\r\n"):
        write(file, WRITTEN.replace("\n", ends))
        change(name, words, file)
        assert file.read_bytes().decode() == WRITTEN.replace(before, after).replace("\n", ends)


@pytest.mark.parametrize(
    ("name", "line"),
    [("record.fps", "  fps = 25     # enough\n"), ("hotkeys.mark", 'mark = ""\n'), ("replay.last", 'last = "2m"\n')],
)
def test_unsetting_a_key_leaves_the_rest_of_the_file(name: str, line: str, file: Path) -> None:
    write(file, WRITTEN)
    assert name not in unset(name, file).chosen
    assert file.read_text() == WRITTEN.replace(line, "")
    # Unsetting it again changes nothing.
    assert name not in unset(name, file).chosen
    assert file.read_text() == WRITTEN.replace(line, "")


def test_dotted_keys_stay_dotted(file: Path) -> None:
    write(file, "hotkeys.record = '<f9>'\nrecord.fps = 25\n")
    change("hotkeys.pause", ["<f8>"], file)
    assert file.read_text() == "hotkeys.record = '<f9>'\nhotkeys.pause = \"<f8>\"\nrecord.fps = 25\n"
    unset("hotkeys.record", file)
    unset("hotkeys.pause", file)
    assert file.read_text() == "record.fps = 25\n"


@pytest.mark.parametrize("text", ["hotkeys = { record = '<f9>', mark = '' }\n", "hotkeys = 3\n"])
def test_a_value_that_cannot_be_edited_in_place_is_left_alone(text: str, file: Path) -> None:
    write(file, text)
    refusal = (
        r"settings\.toml: hotkeys\.record is written in a form that capture cannot change.*: edit the file by hand"
    )
    with pytest.raises(UsageError, match=refusal):
        change("hotkeys.record", ["<f8>"], file)
    assert file.read_text() == text


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("hotkeys.recrod", ["<f9>"], "did you mean hotkeys.record?"),
        ("x", ["1"], "capture config lists"),
        ("record.fps", ["fast"], "record.fps: 'fast' is not a number: write it like 30"),
        ("record.fps", ["0"], "record.fps: "),
        ("record.fps", ["-30"], "record.fps: "),
        ("record.fps", ["25", "30"], "record.fps: 2 values were given"),
        ("record.fps", [], "record.fps: 0 values were given"),
        ("record.cursor", ["perhaps"], "record.cursor: 'perhaps' is neither on nor off"),
        ("record.audio", [], "record.audio: 0 values"),
        ("record.audio", ["mic", "mic"], "record.audio: the audio track mic was given twice"),
        ("hotkeys.mark", ["<f25>"], "hotkeys.mark: '<f25>' is not a key"),
        ("hotkeys.mark", ["<F9>"], "hotkeys.record and hotkeys.mark would be the same key, '<F9>'"),
        ("hotkeys.hold", ["<f9>"], "hotkeys.record and hotkeys.hold would be the same key"),
        ("folder.video", ["Clips"], "folder.video: 'Clips' is not an absolute path"),
        ("folder.video", ["/\udcff"], "folder.video: "),
        ("replay.last", ["soon"], "replay.last: 'soon' is not a time"),
        ("speech.model", ["model.bin"], "speech.model: 'model.bin' is not an absolute path"),
        ("speech.model", ["~nobody-here/m.bin"], "speech.model: '~nobody-here/m.bin' is not a valid path"),
    ],
)
def test_an_invalid_change_leaves_the_file_alone(name: str, words: Sequence[str], said: str, file: Path) -> None:
    write(file, WRITTEN)
    before = file.stat()
    with pytest.raises(UsageError) as caught:
        change(name, words, file)
    assert said in str(caught.value)
    assert (file.read_text(), file.stat().st_ino) == (WRITTEN, before.st_ino)


def test_a_folder_setting_refuses_a_file(file: Path, tmp_path: Path) -> None:
    taken = write(tmp_path / "taken", "precious")
    with pytest.raises(UsageError, match="is not a folder"):
        change("folder.video", [str(taken)], file)
    assert change("folder.video", [str(tmp_path / "new")], file).folder_for("mp4") == tmp_path / "new"
    assert not (tmp_path / "new").exists()


def test_a_setting_under_its_old_name_is_read_and_named(file: Path) -> None:
    config = load(write(file, "[hotkeys]\ntoggle = '<f9>'\n"))
    assert config.chosen == {"hotkeys.record": "<f9>"}
    assert config.notes == (f"{file}: the setting hotkeys.toggle is now called hotkeys.record; please rename it",)
    assert load(write(file, "[hotkeys]\nrecord = '<f8>'\ntoggle = '<f9>'\n")).chosen == {"hotkeys.record": "<f8>"}


def test_changing_a_setting_takes_its_old_name_out_of_the_file(file: Path) -> None:
    write(file, "[hotkeys]\ntoggle = '<f9>' # mine\nmark = '<f7>'\n")
    config = change("hotkeys.record", ["<f8>"], file)
    assert (config.chosen["hotkeys.record"], config.notes) == ("<f8>", ())
    assert "toggle" not in file.read_text()
    write(file, "[hotkeys]\ntoggle = '<f9>'\nmark = '<f7>'\n")
    assert change("hotkeys.toggle", ["<f6>"], file).chosen == {"hotkeys.record": "<f6>", "hotkeys.mark": "<f7>"}
    write(file, "[hotkeys]\ntoggle = '<f9>'\nmark = '<f7>'\n")
    assert unset("hotkeys.record", file).chosen == {"hotkeys.mark": "<f7>"}


def test_unsetting_a_key_is_refused_if_its_default_would_conflict(file: Path) -> None:
    write(file, "[hotkeys]\nrecord = '<f9>'\nmark = '<ctrl>+<alt>+r'\n")
    load(file)
    with pytest.raises(UsageError, match=r"hotkeys\.record and hotkeys\.mark would be the same key"):
        unset("hotkeys.record", file)
    load(file)


def test_mistakes_in_a_file_can_be_fixed_one_by_one(file: Path) -> None:
    write(file, "[record]\nfps = 'fast'\nrecrod = 1 # ?\n[hotkeys]\nmark = '<ctrl>+<alt>+r'\n[nothing]\n")
    with pytest.raises(UsageError):
        load(file)
    change("record.fps", ["25"], file)
    unset("record.recrod", file)
    unset("hotkeys.mark", file)
    with pytest.raises(UsageError, match="'nothing'"):
        load(file)
    unset("nothing", file)
    assert load(file).chosen == {"record.fps": 25}
    with pytest.raises(UsageError, match="no setting 'nothing'"):
        unset("nothing", file)


def test_a_broken_file_is_not_overwritten(file: Path) -> None:
    write(file, "[hotkeys")
    with pytest.raises(UsageError, match="is not valid TOML"):
        change("record.fps", ["25"], file)
    with pytest.raises(UsageError, match="is not valid TOML"):
        unset("record.fps", file)
    assert file.read_text() == "[hotkeys"


def test_a_config_folder_that_is_a_file_is_a_usage_error(tmp_path: Path) -> None:
    taken = write(tmp_path / "taken", "precious")
    with pytest.raises(UsageError, match="cannot be read"):
        change("record.fps", ["25"], taken / "capture" / "settings.toml")
    assert taken.read_text() == "precious"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux")
def test_a_read_only_config_folder_is_an_output_error() -> None:
    with pytest.raises(OutputError, match=r"/proc/capture/settings.toml cannot be written") as caught:
        change("record.fps", ["25"], Path("/proc/capture/settings.toml"))
    assert caught.value.exit_code == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows locks no folders")
def test_changes_at_the_same_time_are_all_kept(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(file, WRITTEN)
    other = threading.Thread(target=change, args=("record.cursor", ["off"], file))

    def replace_late(path: Path, content: bytes) -> None:
        if other.ident is None:
            other.start()
            # Long enough to write, if it does not wait.
            other.join(0.5)
        replace(path, content)

    monkeypatch.setattr("capture.config.store.replace", replace_late)
    change("record.fps", ["50"], file)
    other.join()
    config = load(file)
    assert (config["record.fps"], config["record.cursor"]) == (50, False)
    unset("record.cursor", file)
    assert load(file)["record.fps"] == 50


def test_a_failed_write_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    write(file, WRITTEN)
    monkeypatch.setattr("capture.system.durable.sync_content", full)
    with pytest.raises(OutputError, match="No space left"):
        change("record.fps", ["50"], file)
    assert file.read_text() == WRITTEN
    assert [path.name for path in file.parent.iterdir()] == [file.name]


# Arbitrary text


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LINES = st.lists(
    st.sampled_from(
        [
            *("", "# note", "[hotkeys]", "[record]", "[[other]]", "[hotkeys.deep]", "record = '<f9>' # a # b"),
            *("mark = '''\n[record]\nfps = 3\n'''", "fps = [ # [\n 1, # ]\n 2]", "hotkeys.hold = 'x'", 'x = "#"'),
            *("record = { fps = 3 }", '"fps" = 1', " indented = 2", "a.b = 1", '"a=b" = "c#d"#e'),
        ]
    ),
    max_size=8,
)


def valid(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


@given(
    LINES.map("\n".join).filter(lambda text: valid(text) is not None),
    st.sampled_from([("hotkeys", "toggle"), ("hotkeys", "mark"), ("record", "fps")]),
    TEXTS | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(0, 1e300) | st.tuples(TEXTS, TEXTS),
)
def test_setting_a_value_changes_only_that_value_or_is_refused(text: str, path: tuple[str, str], value: Any) -> None:
    before = tomllib.loads(text)
    try:
        changed = with_value(text, path, value)
    except ValueError:
        return
    after = tomllib.loads(changed)
    assert after[path[0]].pop(path[1]) == (list(value) if isinstance(value, tuple) else value)
    before.get(path[0], {}).pop(path[1], None)
    for content in (before, after):
        if not content.get(path[0]):
            content.pop(path[0], None)
    assert after == before
    # All comments are still there, except those inside a replaced value.
    assert changed.count("# note") == text.count("# note")
    assert tomllib.loads(without(changed, path)).get(path[0], {}).get(path[1]) is None


@given(TEXTS)
def test_any_text_can_be_written_as_toml(text: str) -> None:
    assert tomllib.loads(f"x = {as_toml(text)}") == {"x": text}
