"""`capture config bind` lets the desktop's keys run capture, changes nothing else, and can be undone."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
from buses import bus

if sys.platform != "linux":
    pytest.skip("Wayland needs Linux", allow_module_level=True)

from portal_keys import PortalDouble, wayland_environment

from capture.desktop.key_bindings import GnomeKeys, are_bound
from capture.errors import NotReadyError
from capture.system.desktop_entry import APP_ID, entry_folder, keys_of, of_exec, trouble_with_own_entry
from capture.triggers.bindings import DEFAULT_HOTKEYS

SCHEMA: Final = "org.gnome.settings-daemon.plugins.media-keys"
LIST: Final = "custom-keybindings"
FOLDER: Final = f"/{SCHEMA.replace('.', '/')}/{LIST}/"

needs_gnome = pytest.mark.skipif(
    not Path("/usr/share/glib-2.0/schemas", f"{SCHEMA}.gschema.xml").exists(), reason="needs GNOME's settings"
)


@pytest.fixture
def environment(temporary_folder: Path) -> Iterator[dict[str, str]]:
    """That of a Wayland session without a portal; GNOME's settings are in a file."""
    with tempfile.TemporaryDirectory(dir=temporary_folder, prefix="k") as folder, bus(Path(folder)) as address:
        made = wayland_environment(Path(folder), address)
        yield {**made, "GSETTINGS_BACKEND": "keyfile", "XDG_CURRENT_DESKTOP": "GNOME"}


def run(environment: Mapping[str, str], *words: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "capture", *words],
        env=dict(environment),
        cwd=environment["XDG_RUNTIME_DIR"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def gsettings(environment: Mapping[str, str], *words: str) -> str:
    done = subprocess.run(
        ["gsettings", *words], env=dict(environment), capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout.strip()


def custom(environment: Mapping[str, str], name: str) -> list[str]:
    path = f"{SCHEMA}.custom-keybinding:{FOLDER}{name}/"
    return [gsettings(environment, "get", path, key).strip("'") for key in ("command", "binding")]


@needs_gnome
def test_gnome_gets_the_keys_and_keeps_those_of_the_user(environment: dict[str, str]) -> None:
    theirs = f"{FOLDER}custom0/"
    gsettings(environment, "set", SCHEMA, LIST, f"['{theirs}']")
    gsettings(environment, "set", f"{SCHEMA}.custom-keybinding:{theirs}", "binding", "<Super>t")
    code, out, said = run(environment, "config", "bind")
    assert (code, said) == (0, "")
    assert out.splitlines()[:2] == ["Ctrl+Alt+R runs capture toggle", "Ctrl+Alt+P runs capture pause --toggle"]
    assert are_bound(environment)
    bound = GnomeKeys(environment).bound()
    assert bound == {
        "record": "<Control><Alt>r",
        "pause": "<Control><Alt>p",
        "discard": "<Control><Alt>x",
        "clip": "<Control><Alt>c",
        "mark": "<Control><Alt>m",
    }
    command, _ = custom(environment, "capture-record")
    assert shlex.split(command)[-1] == "toggle"
    assert Path(shlex.split(command)[0]).is_file()
    # Another key takes the place of the old one.
    assert run(environment, "config", "hotkeys.record", "<f9>")[0] == 0
    assert run(environment, "config", "hotkeys.mark", "")[0] == 0
    assert json.loads(run(environment, "config", "bind", "--json")[1])["bind"]["bound"] is True
    bound = GnomeKeys(environment).bound()
    assert (bound["record"], "mark" in bound) == ("F9", False)
    assert run(environment, "config", "bind", "--remove")[0] == 0
    assert not are_bound(environment)
    assert gsettings(environment, "get", SCHEMA, LIST) == f"['{theirs}']"
    assert custom(environment, "custom0")[1] == "<Super>t"
    assert custom(environment, "capture-record") == ["", ""]
    assert run(environment, "config", "bind", "--remove")[1] == "nothing was bound\n"


@needs_gnome
def test_a_key_of_another_shortcut_is_not_taken(environment: dict[str, str]) -> None:
    theirs = f"{FOLDER}custom0/"
    gsettings(environment, "set", SCHEMA, LIST, f"['{theirs}']")
    gsettings(environment, "set", f"{SCHEMA}.custom-keybinding:{theirs}", "binding", "<Control><Alt>M")
    code, _, said = run(environment, "config", "bind")
    assert (code, "another of GNOME's custom shortcuts has Ctrl+Alt+M" in said) == (3, True), said
    assert GnomeKeys(environment).bound() == {}


def test_settings_that_cannot_be_reached_are_said(environment: dict[str, str], tmp_path: Path) -> None:
    environment["PATH"] = str(tmp_path)
    with pytest.raises(NotReadyError, match="gsettings is missing: bind capture toggle to a key"):
        GnomeKeys(environment)
    (tmp_path / "gsettings").write_text("#!/bin/sh\necho 'No such schema' >&2\nexit 1\n")
    (tmp_path / "gsettings").chmod(0o755)
    with pytest.raises(NotReadyError, match=r"cannot be reached \(No such schema\)"):
        GnomeKeys(environment)
    assert are_bound(environment) is None


@pytest.mark.parametrize(
    ("desktop", "file", "line"),
    [
        ("sway", "sway/config", "bindsym Ctrl+Alt+r exec {} toggle"),
        ("Hyprland", "hypr/hyprland.conf", "bind = CTRL ALT, r, exec, {} toggle"),
        ("labwc", "labwc/rc.xml", '<keybind key="C-A-r"><action name="Execute" command="{} toggle"/></keybind>'),
    ],
)
def test_files_of_the_user_are_not_changed_but_the_lines_written_out(
    desktop: str, file: str, line: str, environment: dict[str, str]
) -> None:
    environment["XDG_CURRENT_DESKTOP"] = desktop
    path = Path(environment["XDG_CONFIG_HOME"], file)
    code, out, said = run(environment, "config", "bind")
    assert (code, f"put these lines into {path}" in said) == (0, True), said
    assert len(out.splitlines()) == 5
    before, after = line.split("{}")
    assert out.startswith(before)
    assert out.splitlines()[0].endswith(after)
    assert not path.exists()
    found = json.loads(run(environment, "config", "bind", "--json")[1])["bind"]
    assert (found["bound"], found["lines"]) == (False, out.splitlines())
    # What the user has put there is seen.
    assert are_bound(environment) is False
    path.parent.mkdir(parents=True)
    path.write_text(f"# capture toggle\n{out}")
    assert are_bound(environment) is True
    assert f"the lines with capture in {path} are yours to remove" in run(environment, "config", "bind", "--remove")[2]


def test_other_desktops_are_named(environment: dict[str, str]) -> None:
    environment["XDG_CURRENT_DESKTOP"] = "KDE"
    code, _, said = run(environment, "config", "bind")
    assert (code, "the settings of KDE cannot be changed from here: bind Ctrl+Alt+R to" in said) == (3, True), said
    del environment["WAYLAND_DISPLAY"]
    assert run(environment, "config", "bind")[0] == 0
    assert not entry_folder(environment).exists()


def test_mistakes_are_named(environment: dict[str, str]) -> None:
    for words, said in (
        (("bind", "on"), "'on' follows bind"),
        (("bind", "--unset"), "--unset takes the name of one setting"),
        (("autostart", "off", "--remove"), "--remove goes with bind"),
    ):
        code, _, error = run(environment, "config", *words)
        assert (code, said in error) == (2, True), error


@pytest.fixture
def portal(environment: dict[str, str]) -> Iterator[PortalDouble]:
    with closing(PortalDouble(environment["DBUS_SESSION_BUS_ADDRESS"])) as made:
        made.known.append(APP_ID)
        yield made


@pytest.mark.parametrize("words", [("bind",), ("autostart", "on")])
def test_a_portal_is_asked_for_keys_and_gets_to_know_the_program(
    words: tuple[str, ...], environment: dict[str, str], portal: PortalDouble
) -> None:
    code, out, said = run(environment, "config", *words)
    assert (code, "Ctrl+Alt+R starts and stops a recording" in out) == (0, "bind" in words), said
    assert ("BindShortcuts" in portal.called) is ("bind" in words)
    entry = entry_folder(environment) / f"{APP_ID}.desktop"
    assert trouble_with_own_entry(environment) == ""
    assert entry.stat().st_mode & 0o777 == 0o600
    assert Path(of_exec(keys_of(entry.read_bytes())["Exec"])[0]).is_file()
    assert run(environment, "config", "bind", "--remove")[0] == 0
    assert not entry.exists()


def test_a_dialog_that_is_cancelled_is_said(environment: dict[str, str], portal: PortalDouble) -> None:
    portal.code = 1
    code, _, said = run(environment, "config", "bind")
    assert (code, said) == (
        3,
        "capture: the desktop's dialog about keys was cancelled: capture config bind asks again\n",
    )
    portal.code = 0
    assert run(environment, "config", "bind")[0] == 0


@pytest.mark.parametrize("how", ["refuses", "names no keys"])
def test_a_portal_that_is_offered_in_vain_leaves_the_lines(
    how: str, environment: dict[str, str], portal: PortalDouble
) -> None:
    environment["XDG_CURRENT_DESKTOP"] = "Hyprland"
    portal.code = 2 if how == "refuses" else 0
    portal.words = {command.value: "" for command in DEFAULT_HOTKEYS.values()}
    code, out, said = run(environment, "config", "bind")
    assert (code, "\nbind = CTRL ALT, r, exec, " in out) == (0, True), said
    words = "gives no keys (the portal ended BindShortcuts" if how == "refuses" else "names no keys for capture"
    assert words in said


@pytest.mark.parametrize(
    ("desktop", "code", "words"),
    [
        ("sway", 3, "standby would hear no key in this Wayland session: first put bindsym Ctrl+Alt+r exec capture tog"),
        ("KDE", 0, "standby hears no key in this Wayland session by itself: bind Ctrl+Alt+R to capture toggle in Sys"),
    ],
)
def test_autostart_refuses_a_session_without_keys(
    desktop: str, code: int, words: str, environment: dict[str, str]
) -> None:
    environment["XDG_CURRENT_DESKTOP"] = desktop
    found, _, said = run(environment, "config", "autostart", "on")
    assert (found, words in said) == (code, True), said
    entry = Path(environment["XDG_CONFIG_HOME"], "autostart", "capture.desktop")
    assert entry.exists() is (code == 0)
    if code:
        path = Path(environment["XDG_CONFIG_HOME"], "sway", "config")
        path.parent.mkdir(parents=True)
        path.write_text("bindsym Ctrl+Alt+r exec capture toggle\n")
        assert run(environment, "config", "autostart", "on")[0] == 0


def test_doctor_says_how_keys_come(environment: dict[str, str]) -> None:
    def hotkeys() -> str:
        checks: list[dict[str, Any]] = json.loads(run(environment, "doctor", "--json")[1])["checks"]
        return str(next(check["found"] for check in checks if check["name"] == "hotkeys"))

    environment["XDG_CURRENT_DESKTOP"] = "sway"
    assert hotkeys().startswith("not available on Wayland (no portal runs); put bindsym Ctrl+Alt+r exec capture toggle")
    path = Path(environment["XDG_CONFIG_HOME"], "sway", "config")
    path.parent.mkdir(parents=True)
    path.write_text("bindsym Ctrl+Alt+r exec capture toggle\n")
    assert hotkeys() == "the desktop's settings have keys that run capture"
    with closing(PortalDouble(environment["DBUS_SESSION_BUS_ADDRESS"])) as portal:
        assert hotkeys().startswith("the desktop gives them through its portal (GlobalShortcuts 2), and asks the first")
        assert "BindShortcuts" not in portal.called
