"""Keys that a Wayland desktop gives through its portal work, and a portal that is broken costs the keys alone."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
from buses import bus
from conftest import PROJECT
from running import Recorder, eventually

if sys.platform != "linux":
    pytest.skip("the portal needs Linux", allow_module_level=True)

from portal_keys import PORTAL, KeyDesk, PortalDouble, key_desk, wayland_environment

from capture.errors import NotReadyError
from capture.events import Command, EventKind
from capture.system.desktop_entry import APP_ID, entry_folder, entry_text
from capture.triggers import global_shortcuts, portal_hotkeys
from capture.triggers.bindings import DEFAULT_HOTKEYS
from capture.triggers.desktop_keys import as_xdg
from capture.triggers.portal_hotkeys import PortalHotkeys, describe

needs_portal = pytest.mark.skipif(not Path(PORTAL).exists(), reason="needs xdg-desktop-portal")

HOLD: Final = "<ctrl>+<alt>+space"
SOUND: Final = ("--source", "pattern", "--screen", "none")


class Heard:
    """Hotkeys in this process, with the commands that they sent and what they reported."""

    def __init__(
        self,
        environment: Mapping[str, str],
        bindings: Mapping[str, Command] = DEFAULT_HOTKEYS,
        hold: str | None = None,
    ) -> None:
        self.commands: list[Command] = []
        self.reports: list[tuple[EventKind, str]] = []
        self.hotkeys = PortalHotkeys(
            bindings, hold, self._send, lambda *report: self.reports.append(report), environment
        )
        self.hotkeys.start()

    def _send(self, command: Command, given_by: str, **more: Any) -> None:
        assert given_by == "hotkey"
        self.commands.append(command)

    def close(self) -> None:
        self.hotkeys.stop()

    def until_given(self) -> None:
        eventually(lambda: self.hotkeys.keys, f"the keys; reported {self.reports}")

    def until_reported(self, kind: EventKind, words: str) -> None:
        eventually(lambda: any(k == kind and words in text for k, text in self.reports), f"{words} in {self.reports}")


@pytest.fixture
def short_folder(temporary_folder: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=temporary_folder, prefix="k") as folder:
        yield Path(folder)


@pytest.fixture
def desk(short_folder: Path) -> Iterator[KeyDesk]:
    with key_desk(short_folder) as opened:
        yield opened


@pytest.fixture
def environment(short_folder: Path) -> Iterator[dict[str, str]]:
    """That of a Wayland desktop with a session bus and nothing else."""
    with bus(short_folder) as address:
        yield wayland_environment(short_folder, address)


@pytest.fixture
def double(environment: dict[str, str]) -> Iterator[PortalDouble]:
    with closing(PortalDouble(environment["DBUS_SESSION_BUS_ADDRESS"])) as made:
        made.known.append(APP_ID)
        yield made


# The real portal


@needs_portal
def test_each_key_is_asked_for_and_gives_its_command(desk: KeyDesk) -> None:
    with closing(Heard(desk.environment)) as heard:
        heard.until_given()
        (asked,) = desk.backend.asked
        assert {name: about["preferred_trigger"] for name, about in asked.items()} == {
            "toggle": "CTRL+ALT+r",
            "toggle_pause": "CTRL+ALT+p",
            "discard": "CTRL+ALT+x",
            "clip": "CTRL+ALT+c",
            "mark": "CTRL+ALT+m",
        }
        assert asked["toggle"]["description"] == "Start or stop a recording"
        assert heard.hotkeys.keys == {
            Command.TOGGLE: "Ctrl+Alt+R",
            Command.TOGGLE_PAUSE: "Ctrl+Alt+P",
            Command.DISCARD: "Ctrl+Alt+X",
            Command.CLIP: "Ctrl+Alt+C",
            Command.MARK: "Ctrl+Alt+M",
        }
        for name in ("toggle", "mark", "unknown", "toggle_pause", "toggle"):
            desk.backend.press(name)
            desk.backend.release(name)
        eventually(lambda: len(heard.commands) == 4, "the commands")
        assert heard.commands == [Command.TOGGLE, Command.MARK, Command.TOGGLE_PAUSE, Command.TOGGLE]
        assert heard.reports == []
    eventually(lambda: not desk.backend.sessions, "the end of the session")


@needs_portal
def test_a_recording_lasts_as_long_as_the_key_is_held(desk: KeyDesk, folder: Path) -> None:
    arguments = ("note", folder / "out.ogg", *SOUND[:2], "--hold", HOLD, "--json")
    with Recorder(desk.environment, folder, *arguments) as recorder:
        recorder.until(lambda: desk.backend.asked, "the keys are asked for")
        assert desk.backend.asked[0]["hold"]["preferred_trigger"] == "CTRL+ALT+space"

        def begins() -> bool:
            # The desktop gives the keys a moment after it was asked for them.
            desk.backend.press("hold")
            return (folder / "out.ogg").exists() and (folder / "out.ogg").stat().st_size > 0

        recorder.until(begins, "the recording")
        desk.backend.release("hold")
        summary = recorder.summary()
        assert (recorder.wait(), summary["stopped_by"], summary["check"]) == (0, "hotkey", "ok"), recorder.stderr


@needs_portal
def test_a_portal_that_dies_is_said_once_and_the_recording_goes_on(desk: KeyDesk, folder: Path) -> None:
    path = folder / "out.ogg"
    with Recorder(desk.environment, folder, "record", path, *SOUND, "--json") as recorder:
        recorder.until(lambda: desk.backend.asked, "the keys are asked for")
        recorder.until_recording(path)
        desk.kill_portal()
        recorder.until_said("hotkeys do not work in this Wayland session (the portal has ended): bind Ctrl+Alt+R")
        recorder.until_grown(path)
        desk.start_portal()
        recorder.until_said("the hotkeys work again")
        desk.backend.press("toggle")
        summary = recorder.summary()
    assert (recorder.wait(), summary["stopped_by"], summary["check"]) == (0, "hotkey", "ok")
    said = [event["kind"] for event in summary["events"] if "hotkeys" in event["kind"]]
    assert said == ["no_hotkeys", "hotkeys"]


@needs_portal
def test_a_portal_that_hangs_delays_nothing(desk: KeyDesk, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.signal_portal(signal.SIGSTOP)
    arguments = ("record", "out.ogg", *SOUND, "--duration", "0.3s", "--json")
    with Recorder(desk.environment, folder, *arguments) as recorder:
        summary = recorder.summary()
        assert (recorder.wait(), summary["check"]) == (0, "ok"), recorder.stderr
    monkeypatch.setattr(global_shortcuts, "ANSWER_LIMIT_S", 0.3)
    with closing(Heard(desk.environment)) as heard:
        heard.until_reported(EventKind.NO_HOTKEYS, "(the portal does not answer)")
        assert heard.hotkeys.keys == {}
    desk.signal_portal(signal.SIGCONT)


@needs_portal
def test_a_portal_that_fails_is_said_once(desk: KeyDesk) -> None:
    desk.backend.code = 2
    for _ in range(2):
        with closing(Heard(desk.environment)) as heard:
            heard.until_reported(EventKind.NO_HOTKEYS, "the portal ended BindShortcuts without an answer")
        assert len(heard.reports) == 1
    assert len(desk.backend.asked) == 2


@needs_portal
def test_a_user_who_cancels_is_not_asked_again(desk: KeyDesk) -> None:
    desk.backend.code = 1
    with closing(Heard(desk.environment)) as heard:
        heard.until_reported(EventKind.NO_HOTKEYS, "the desktop's dialog about keys was cancelled)")
    desk.backend.code = 0
    with closing(Heard(desk.environment)) as heard:
        heard.until_reported(EventKind.NO_HOTKEYS, "was cancelled before; capture config bind asks again")
    assert len(heard.reports) == len(desk.backend.asked) == 1
    assert describe(desk.environment).endswith("; its dialog was cancelled: capture config bind asks again")
    asking = PortalHotkeys(DEFAULT_HOTKEYS, None, heard._send, lambda kind, text: None, desk.environment)
    asking.ask_once()
    assert asking.keys[Command.TOGGLE] == "Ctrl+Alt+R"
    with closing(Heard(desk.environment)) as heard:
        heard.until_given()


@needs_portal
def test_a_dialog_is_said_and_the_end_does_not_wait_for_it(desk: KeyDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(global_shortcuts, "DIALOG_AFTER_S", 0.1)
    desk.backend.code = None
    with closing(Heard(desk.environment)) as heard:
        heard.until_reported(EventKind.HOTKEYS, "the desktop asks which keys capture may have")
    assert not any(thread.name == "hotkeys" for thread in threading.enumerate())


@needs_portal
def test_the_users_own_choice_in_the_desktop_is_named(desk: KeyDesk) -> None:
    desk.backend.words = {"toggle": "Super+F8", "mark": "", "clip": "Press <Control><Alt>c"}
    with closing(Heard(desk.environment)) as heard:
        heard.until_given()
        eventually(lambda: len(heard.reports) == 2, "both reports")
        assert heard.hotkeys.keys[Command.TOGGLE] == "Super+F8"
        assert heard.hotkeys.keys[Command.CLIP] == "Ctrl+Alt+C"
        assert Command.MARK not in heard.hotkeys.keys
    assert heard.reports == [
        (EventKind.HOTKEYS, "the desktop's settings have Super+F8 to start or stop a recording"),
        (EventKind.HOTKEYS, "the desktop does not give Ctrl+Alt+M: set keys for Capture in its settings"),
    ]


@needs_portal
def test_keys_that_the_user_changes_meanwhile_are_named(desk: KeyDesk) -> None:
    with closing(Heard(desk.environment)) as heard:
        heard.until_given()
        # As some desktops do once they have given the keys.
        desk.backend.change(**{command.value: as_xdg(key) for key, command in DEFAULT_HOTKEYS.items()})
        desk.backend.change(toggle="F8", toggle_pause="", discard="", clip="", mark="")
        eventually(lambda: heard.hotkeys.keys == {Command.TOGGLE: "F8"}, "the other key")
    (_, changed), (_, missing) = heard.reports
    assert changed == "the desktop's settings have F8 to start or stop a recording"
    assert missing.startswith("the desktop does not give Ctrl+Alt+P, Ctrl+Alt+X, Ctrl+Alt+C, Ctrl+Alt+M: set keys for")


# Portals of other versions, and none


def test_the_program_is_registered_before_anything_else(double: PortalDouble, environment: dict[str, str]) -> None:
    with closing(Heard(environment)) as heard:
        heard.until_given()
    assert double.registered == [APP_ID]
    assert double.called[:3] == ["Register", "CreateSession", "BindShortcuts"]


def test_a_portal_that_does_not_know_the_program_is_told_how(double: PortalDouble, environment: dict[str, str]) -> None:
    double.known.clear()
    with closing(Heard(environment)) as heard:
        heard.until_reported(EventKind.NO_HOTKEYS, f"there is no entry {APP_ID}: capture config bind writes it")
    assert "(the portal refuses: An app id is required" in heard.reports[0][1]
    assert f"there is no entry {APP_ID}" in describe(environment)
    installed = entry_folder(environment)
    installed.mkdir(parents=True)
    (installed / f"{APP_ID}.desktop").write_bytes(entry_text(["/nonexistent/capture"]))
    assert f"the entry {APP_ID} starts /nonexistent/capture, which does not exist" in describe(environment)
    (installed / f"{APP_ID}.desktop").write_bytes(entry_text([sys.executable]))
    assert describe(environment).endswith("(GlobalShortcuts 2), and asks the first time")


def test_an_entry_is_not_asked_for_in_vain(environment: dict[str, str]) -> None:
    with (
        closing(PortalDouble(environment["DBUS_SESSION_BUS_ADDRESS"], has_keys=False)),
        closing(Heard(environment)) as heard,
    ):
        heard.until_reported(EventKind.NO_HOTKEYS, "(the portal has no GlobalShortcuts): bind")


def test_a_session_that_the_desktop_ends_is_said(double: PortalDouble, environment: dict[str, str]) -> None:
    with closing(Heard(environment)) as heard:
        heard.until_given()
        double.end_session()
        heard.until_reported(EventKind.NO_HOTKEYS, "(the desktop has taken the keys away)")
        assert heard.hotkeys.keys == {}


def test_nonsense_costs_the_keys_alone(
    double: PortalDouble, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(double, "given", lambda shortcuts: {})
    with closing(Heard(environment)) as heard:
        heard.until_reported(EventKind.NO_HOTKEYS, "(the portal's answers make no sense)")


def test_keys_of_which_none_is_set_are_said(double: PortalDouble, environment: dict[str, str]) -> None:
    double.words = {command.value: "" for command in DEFAULT_HOTKEYS.values()}
    with closing(Heard(environment | {"XDG_CURRENT_DESKTOP": "Hyprland"})) as heard:
        heard.until_reported(EventKind.NO_HOTKEYS, "names no keys for capture: put bind = CTRL ALT, r, exec, capture ")
        # The user may have bound them by their names.
        double.press("toggle")
        eventually(lambda: heard.commands == [Command.TOGGLE], "the command")


@pytest.mark.parametrize(
    ("portal", "reason"),
    [("none", "no portal runs"), ("without keys", "the portal has no GlobalShortcuts"), ("bus", "no session bus")],
)
def test_without_keys_the_line_for_the_desktop_is_given(portal: str, reason: str, environment: dict[str, str]) -> None:
    address = environment["DBUS_SESSION_BUS_ADDRESS"]
    if portal == "bus":
        environment["DBUS_SESSION_BUS_ADDRESS"] = "disabled:"
    made = PortalDouble(address, has_keys=False) if portal == "without keys" else None
    if made is not None:
        made.known.append(APP_ID)
    try:
        with pytest.raises(NotReadyError, match=reason):
            describe(environment)
        with closing(Heard(environment | {"XDG_CURRENT_DESKTOP": "sway"})) as heard:
            heard.until_reported(EventKind.NO_HOTKEYS, reason)
    finally:
        if made is not None:
            made.close()
    ((_, said),) = heard.reports
    assert said.endswith(": put bindsym Ctrl+Alt+r exec capture toggle into ~/config/sway/config; or stop with Ctrl+C")


def test_a_bus_that_ends_is_said(short_folder: Path) -> None:
    with bus(short_folder) as address:
        environment = wayland_environment(short_folder, address)
        made = PortalDouble(address)
        made.known.append(APP_ID)
        heard = Heard(environment)
        heard.until_given()
        made.close()
        heard.until_reported(EventKind.NO_HOTKEYS, "(the portal has ended)")
    eventually(lambda: not heard.hotkeys._thread.is_alive(), "the end of the thread")
    heard.close()
    assert len(heard.reports) == 1


# Presses and releases


def test_the_pause_key_locks_a_held_recording(double: PortalDouble, environment: dict[str, str]) -> None:
    with closing(Heard(environment, hold=HOLD)) as heard:
        heard.until_given()
        assert heard.hotkeys.hold_key == "Ctrl+Alt+Space"
        assert Command.START not in heard.hotkeys.keys
        for act, name in (
            ("press", "hold"),
            ("press", "toggle_pause"),
            ("release", "toggle_pause"),
            ("release", "hold"),
        ):
            getattr(double, act)(name)
        double.press("mark")
        eventually(lambda: Command.MARK in heard.commands, "the mark")
        assert heard.commands == [Command.START, Command.MARK]
        double.press("hold")
        eventually(lambda: heard.commands[2:] == [Command.STOP], "the end")


def test_a_key_that_repeats_counts_once_and_a_lost_release_costs_nothing(
    double: PortalDouble, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portal_hotkeys, "_LOST_AFTER_S", 60.0)
    with closing(Heard(environment)) as heard:
        heard.until_given()
        for _ in range(3):
            double.press("toggle")
        double.press("mark")
        eventually(lambda: Command.MARK in heard.commands, "the mark")
        assert heard.commands == [Command.TOGGLE, Command.MARK]
        # As if much time had passed.
        monkeypatch.setattr(portal_hotkeys, "_LOST_AFTER_S", -1.0)
        double.press("toggle")
        eventually(lambda: heard.commands[2:] == [Command.TOGGLE], "the press without a release before it")


def test_the_command_line_says_it_once(environment: dict[str, str], folder: Path) -> None:
    environment["XDG_CURRENT_DESKTOP"] = "KDE"
    words = ("record", "out.ogg", *SOUND, "--duration", "1s")
    done = subprocess.run(
        [sys.executable, "-m", "capture", *words],
        env={**environment, "PYTHONPATH": str(PROJECT)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    (said,) = [line for line in done.stderr.splitlines() if "hotkeys" in line]
    assert said.endswith(
        "hotkeys do not work in this Wayland session (no portal runs): bind Ctrl+Alt+R to capture toggle in System "
        "Settings > Keyboard > Shortcuts > Add New; or stop with Ctrl+C"
    )
