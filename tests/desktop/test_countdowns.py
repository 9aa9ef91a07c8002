"""On Wayland the countdown is a notification, gone before the recording begins."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from buses import bus
from notification_server import NotificationServer
from running import eventually

if sys.platform != "linux":
    pytest.skip("Wayland needs Linux", allow_module_level=True)

from capture.desktop import countdowns
from capture.desktop.countdowns import CountdownNotice, show_countdown
from capture.settings.record_settings import RecordSettings


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NotificationServer]:
    """Of a Wayland session."""
    with bus(tmp_path) as address, closing(NotificationServer(address, "actions")) as made:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
        monkeypatch.delenv("DISPLAY", raising=False)
        yield made


def test_it_counts_in_one_notification_and_is_gone_before_the_beginning(
    server: NotificationServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(countdowns, "_GONE_BEFORE_S", 0.5)
    begun_s = time.monotonic()
    shown = CountdownNotice(2.0)
    eventually(lambda: server.history and not server.shown, "the end of the notification")
    took_s = time.monotonic() - begun_s
    shown.end()
    assert [each.title for each in server.history][:1] == ["Recording starts in 2 s"]
    assert [each.replaces for each in server.history] in ([0, 1], [0])
    assert all(each.hints == {"transient": True} for each in server.history)
    # A machine that is too busy for that shows less of it.
    assert took_s >= 0.99


def test_it_is_withdrawn_at_once_when_the_recording_is_given_up(server: NotificationServer) -> None:
    shown = CountdownNotice(60.0)
    eventually(lambda: server.shown, "the notification")
    shown.end()
    assert server.shown == {}


def test_a_desktop_without_notifications_delays_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
    CountdownNotice(60.0).end()


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("delay_s", "name", "wayland", "counts"),
    [
        (3.0, "out.mp4", True, True),
        (1.0, "out.mp4", True, False),
        (3.0, "out.ogg", True, False),
        (3.0, "out.mp4", False, False),
    ],
)
def test_only_a_screen_of_wayland_is_counted_down_so(
    delay_s: float, name: str, wayland: bool, counts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not wayland:
        monkeypatch.delenv("WAYLAND_DISPLAY")
    shown = show_countdown(RecordSettings(Path(name), delay_s=delay_s))
    if shown is not None:
        shown.end()
    assert isinstance(shown, CountdownNotice) is counts
