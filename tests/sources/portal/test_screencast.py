"""Portals that are not there, do not give the screen, hang or end: each is named, with what to do."""

from __future__ import annotations

import platform
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from buses import Service, bus
from portal_desk import PortalDesk, portal_desk
from running import eventually

if sys.platform != "linux":
    pytest.skip("the portal needs Linux", allow_module_level=True)

from jeepney import new_method_return

from capture.errors import NotReadyError
from capture.sources.portal import screencast
from capture.sources.portal.screencast import MONITOR, CursorMode, ScreenCast


@pytest.fixture
def wayland(temporary_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PortalDesk]:
    with tempfile.TemporaryDirectory(dir=temporary_folder, prefix="w") as folder, portal_desk(Path(folder)) as desk:
        for name, value in desk.environment.items():
            monkeypatch.setenv(name, value)
        yield desk


def ask(portal: ScreenCast, waiting: Callable[[], None] = lambda: None) -> None:
    try:
        portal.ask(source=MONITOR, cursor=CursorMode.HIDDEN, remember=True, waiting=waiting)
    finally:
        portal.close()


def test_without_a_bus_there_is_no_portal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(NotReadyError, match=r"Wayland session.* \(there is no session bus\): .*--screen none"):
        ScreenCast()
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    with pytest.raises(NotReadyError, match="Wayland session"):
        ScreenCast()


@pytest.mark.parametrize(
    ("distribution", "desktop", "said"),
    [
        ("debian", "ubuntu:GNOME", "apt-get install xdg-desktop-portal xdg-desktop-portal-gnome pipewire wireplumber"),
        ("fedora", "KDE", "dnf install xdg-desktop-portal xdg-desktop-portal-kde pipewire wireplumber"),
        ("arch", "Hyprland", "pacman -S xdg-desktop-portal xdg-desktop-portal-hyprland pipewire wireplumber"),
        ("nixos", "sway", "install xdg-desktop-portal and xdg-desktop-portal-wlr and pipewire and wireplumber"),
    ],
)
def test_a_missing_portal_is_named_by_its_packages(
    distribution: str, desktop: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: {"ID": distribution})
    monkeypatch.setenv("XDG_CURRENT_DESKTOP", desktop)
    with bus(tmp_path) as address:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        with pytest.raises(NotReadyError) as raised:
            ScreenCast()
    assert raised.value.message == "this is a Wayland session, and no portal runs that gives its screen"
    assert raised.value.remedy == f"{said}, and log in again"


class Nonsense(Service):
    """A portal whose answers have another type than documented."""

    def __init__(self, address: str) -> None:
        super().__init__(address, "org.freedesktop.portal.Desktop")

    def answer(self, member: str, message: Any) -> Any:
        return new_method_return(message, "v", (("s", "five"),))


def test_a_portal_that_answers_nonsense_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with bus(tmp_path) as address, closing(Nonsense(address)):
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        with pytest.raises(NotReadyError, match="the portal's answers make no sense: restart it"):
            ScreenCast()


def test_a_portal_that_hangs_is_waited_for_with_a_limit(wayland: PortalDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    portal = ScreenCast()
    monkeypatch.setattr(screencast, "ANSWER_LIMIT_S", 0.3)
    wayland.signal_portal(signal.SIGSTOP)
    with pytest.raises(NotReadyError, match="portal does not answer"):
        ask(portal)
    with pytest.raises(NotReadyError, match="portal does not answer"):
        ScreenCast()


def test_a_portal_that_ends_during_a_call_is_said(wayland: PortalDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    portal = ScreenCast()
    wayland.signal_portal(signal.SIGSTOP)
    killer = threading.Timer(0.2, wayland.kill_portal)
    killer.start()
    try:
        with pytest.raises(NotReadyError, match="portal has ended"):
            ask(portal)
    finally:
        killer.join()


def test_a_portal_that_ends_during_its_dialog_is_said(wayland: PortalDesk) -> None:
    wayland.backend.shows_dialog = True
    portal = ScreenCast()

    def kill() -> None:
        eventually(lambda: wayland.backend.dialogs, "the dialog")
        wayland.kill_portal()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with pytest.raises(NotReadyError, match="portal has ended"):
            ask(portal)
    finally:
        killer.join()


def test_a_dialog_that_nobody_answers_is_taken_away(wayland: PortalDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screencast, "DIALOG_LIMIT_S", 0.5)
    monkeypatch.setattr(screencast, "_DIALOG_AFTER_S", 0.1)
    wayland.backend.shows_dialog = True
    asked: list[float] = []
    with pytest.raises(NotReadyError, match="the dialog was not answered: choose in"):
        ask(ScreenCast(), lambda: asked.append(time.monotonic()))
    assert asked
    eventually(lambda: not wayland.backend.dialogs, "the end of the dialog")
