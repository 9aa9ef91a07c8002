"""A screen that is locked while it is recorded is reported, with its end, from the services that know it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
from buses import Service, bus
from running import Recorder, eventually, kinds

if sys.platform != "linux":
    pytest.skip("only Linux has D-Bus", allow_module_level=True)

from jeepney import new_error, new_method_return

from capture.desktop.screen_lock import LockWatch

LOGIND: Final = "org.freedesktop.login1"
SESSION: Final = "/org/freedesktop/login1/session/_37"
OTHER: Final = "/org/freedesktop/login1/session/_38"
PROPERTIES: Final = "org.freedesktop.DBus.Properties"


class Logind(Service):
    """logind with one graphical session of this user."""

    def __init__(self, address: str, locked: bool = False) -> None:
        self._locked = locked
        self.has_been_asked = False
        super().__init__(address, LOGIND)

    def answer(self, member: str, message: Any) -> Any:
        if message.body == (f"{LOGIND}.User", "Display"):
            return new_method_return(message, "v", (("(so)", ("7", SESSION)),))
        if message.body == (f"{LOGIND}.Session", "LockedHint"):
            self.has_been_asked = True
            return new_method_return(message, "v", (("b", self._locked),))
        return new_error(message, "org.freedesktop.DBus.Error.UnknownMethod")

    def lock(self, locked: bool, session: str = SESSION) -> None:
        changed = {"LockedHint": ("b", locked)}
        self.emit(session, PROPERTIES, "PropertiesChanged", "sa{sv}as", f"{LOGIND}.Session", changed, [])


class Saver(Service):
    """A desktop's screensaver."""

    def __init__(self, address: str, name: str, active: bool = False) -> None:
        self._name = name
        self._active = active
        super().__init__(address, name)

    def answer(self, member: str, message: Any) -> Any:
        if member == "GetActive":
            return new_method_return(message, "b", (self._active,))
        return new_method_return(message, "u", (1,))

    def cover(self, active: bool) -> None:
        self.emit(f"/{self._name.replace('.', '/')}", self._name, "ActiveChanged", "b", active)


@pytest.fixture
def buses(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The addresses of a session bus and of a system bus, in the variables that name them."""
    (tmp_path / "user").mkdir()
    (tmp_path / "system").mkdir()
    with bus(tmp_path / "user") as user, bus(tmp_path / "system") as system:
        yield {"DBUS_SESSION_BUS_ADDRESS": user, "DBUS_SYSTEM_BUS_ADDRESS": system}


class Watching:
    """A watch, and what it has reported."""

    def __init__(self, buses: dict[str, str]) -> None:
        self.reported: list[str] = []
        self.watch = LockWatch(lambda kind, detail: self.reported.append(kind.value), buses)

    def close(self) -> None:
        self.watch.close()

    def until(self, *wanted: str) -> None:
        def found() -> bool:
            self.watch.look()
            return self.reported == list(wanted)

        eventually(found, f"{wanted}")

    def until_known_by(self, count: int) -> None:
        def found() -> bool:
            self.watch.look()
            return len(self.watch._locked_by) == count

        eventually(found, f"{count} who know of the lock")


def test_a_lock_is_reported_once_from_all_who_know_it(buses: dict[str, str]) -> None:
    with (
        closing(Logind(buses["DBUS_SYSTEM_BUS_ADDRESS"])) as logind,
        closing(Saver(buses["DBUS_SESSION_BUS_ADDRESS"], "org.gnome.ScreenSaver")) as saver,
        closing(Watching(buses)) as watching,
    ):
        logind.lock(True, OTHER)
        saver.cover(True)
        watching.until("screen_locked")
        logind.lock(True)
        watching.until_known_by(2)
        saver.cover(False)
        watching.until_known_by(1)
        logind.lock(False)
        watching.until("screen_locked", "screen_unlocked")
        logind.lock(True)
        watching.until("screen_locked", "screen_unlocked", "screen_locked")


def test_a_screen_that_is_locked_already_is_reported_at_once(buses: dict[str, str]) -> None:
    with closing(Logind(buses["DBUS_SYSTEM_BUS_ADDRESS"], locked=True)), closing(Watching(buses)) as watching:
        assert watching.reported == ["screen_locked"]
    user = buses["DBUS_SESSION_BUS_ADDRESS"]
    with closing(Saver(user, "org.freedesktop.ScreenSaver", active=True)), closing(Watching(buses)) as watching:
        assert watching.reported == ["screen_locked"]


def test_signals_of_others_and_nonsense_are_ignored(buses: dict[str, str]) -> None:
    with (
        closing(Logind(buses["DBUS_SYSTEM_BUS_ADDRESS"])) as logind,
        closing(Saver(buses["DBUS_SESSION_BUS_ADDRESS"], "org.gnome.ScreenSaver")) as saver,
        closing(Watching(buses)) as watching,
    ):
        logind.emit(SESSION, PROPERTIES, "PropertiesChanged", "s", "nonsense")
        logind.emit(SESSION, PROPERTIES, "PropertiesChanged", "sa{sv}as", f"{LOGIND}.Session", {}, [])
        saver.emit("/somewhere", "org.example.Switch", "ActiveChanged", "b", True)
        saver.emit("/org/gnome/ScreenSaver", "org.gnome.ScreenSaver", "ActiveChanged", "s", "yes")
        # Signals of one sender arrive in order: those before were read.
        logind.lock(True)
        watching.until("screen_locked")


def test_a_bus_that_ends_or_is_missing_ends_the_watch(tmp_path: Path) -> None:
    with bus(tmp_path) as address:
        # There is no logind on this one.
        places = {"DBUS_SESSION_BUS_ADDRESS": address, "DBUS_SYSTEM_BUS_ADDRESS": address}
        watch = LockWatch(lambda kind, detail: None, places)
        assert len(watch._buses) == 1

    def is_over() -> bool:
        watch.look()
        return not watch.is_open

    eventually(is_over, "the end")
    watch.close()
    for missing in ("unix:path=/nonexistent", "disabled:"):
        nowhere = {"DBUS_SESSION_BUS_ADDRESS": missing, "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent"}
        assert not LockWatch(lambda kind, detail: None, nowhere).is_open


def test_a_recording_notes_the_lock_and_its_end(
    buses: dict[str, str], capture_environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "out.mkv"
    with (
        closing(Logind(buses["DBUS_SYSTEM_BUS_ADDRESS"])) as logind,
        Recorder({**capture_environment, **buses}, tmp_path, "record", path, "--audio", "none", "--json") as recorder,
    ):
        recorder.until_recording(path)
        eventually(lambda: logind.has_been_asked, "the question")
        logind.lock(True)
        recorder.until_said("the screen is locked")
        logind.lock(False)
        recorder.until_said("the screen is unlocked")
        summary = recorder.stop()
    assert kinds(summary) == ["screen_locked", "screen_unlocked"]
