"""A mouse used after a rest is noticed at once: the X server reports it, without being asked."""

from __future__ import annotations

import math
import os
import struct
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from stage import Stage, mouse

from capture.media import Rectangle

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

from capture.sources.x11 import change_watch
from capture.sources.x11.change_watch import X11Watch
from capture.sources.x11.pointer_activity import PointerActivity
from capture.sources.x11.xcb import Connection, Extension

#: Longer than a mouse may rest and still count as used.
REST_S = change_watch.RESTING_S + 0.2


pytestmark = pytest.mark.stage(pointer=(100, 100))


@pytest.fixture(autouse=True)
def no_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a watch that misses the server's report wait for ever."""
    monkeypatch.setattr(change_watch, "RESTING_EVERY_S", math.inf)


@pytest.fixture
def watch(stage: Stage) -> Iterator[X11Watch]:
    """A watch that has seen everything so far, with a cursor at rest."""
    opened = X11Watch(Rectangle(0, 0, 1280, 720), with_cursor=True)
    try:
        while opened.wait_for_change(time.monotonic() + REST_S):
            opened.begin_grab()
        yield opened
    finally:
        opened.close()


def by_hand(stage: Stage) -> None:
    mouse(os.environ, "mousemove_relative 5 5")


def by_a_program(stage: Stage) -> None:
    stage.point_at(300, 300)


@pytest.mark.parametrize("move", [by_hand, by_a_program])
def test_a_mouse_that_starts_moving_is_noticed_without_polling(
    move: Callable[[Stage], None], stage: Stage, watch: X11Watch
) -> None:
    for _ in range(2):
        move(stage)
        assert watch.wait_for_change(time.monotonic() + 30)
        watch.begin_grab()
        stage.point_at(100, 100)
        while watch.wait_for_change(time.monotonic() + REST_S):
            watch.begin_grab()


def test_a_click_and_a_key_move_no_cursor(watch: X11Watch) -> None:
    mouse(os.environ, "click 3")
    mouse(os.environ, "key a")
    assert not watch.wait_for_change(time.monotonic() + REST_S)


def test_a_server_without_reports_is_polled(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PointerActivity, "of", lambda connection: None)
    opened = X11Watch(Rectangle(0, 0, 1280, 720), with_cursor=True)
    try:
        while opened.wait_for_change(time.monotonic() + REST_S):
            opened.begin_grab()
        by_a_program(stage)
        assert opened.wait_for_change(time.monotonic() + 30)
    finally:
        opened.close()


class Older(Connection):
    """A connection to a server with other counters."""

    def __init__(self, counters: dict[bytes, int] | None) -> None:
        self.sent: list[bytes] = []
        self._counters = counters

    def extension(self, name: str) -> Extension | None:
        assert name == "SYNC"
        return None if self._counters is None else Extension(opcode=134, first_event=83)

    def ask(self, request: bytes) -> bytes | None:
        assert self._counters is not None
        if request[1] == 0:
            return bytes(32)
        listed = [struct.pack("=IQH", number, 0, len(name)) + name for name, number in self._counters.items()]
        padded = [each + bytes(-len(each) % 4) for each in listed]
        return struct.pack("=8xI20x", len(padded)) + b"".join(padded)

    def send(self, request: bytes, descriptor: int | None = None) -> None:
        self.sent.append(request)

    def new_id(self) -> int:
        return 4242


@pytest.mark.parametrize(
    ("counters", "chosen"),
    [
        ({b"SERVERTIME": 61, b"IDLETIME": 62}, 62),
        ({b"DEVICEIDLETIME 3": 9, b"DEVICEIDLETIME 2": 8, b"IDLETIME": 62}, 8),
        ({b"SERVERTIME": 61}, None),
        ({}, None),
        (None, None),
    ],
)
def test_the_pointers_counter_is_preferred_to_that_of_all_input(
    counters: dict[bytes, int] | None, chosen: int | None
) -> None:
    connection = Older(counters)
    activity = PointerActivity.of(connection)
    if chosen is None:
        assert (activity, connection.sent) == (None, [])
        return
    assert activity is not None
    [alarm] = connection.sent
    assert len(alarm) == 4 * struct.unpack_from("=H", alarm, 2)[0]
    assert struct.unpack_from("=II", alarm, 4) == (4242, 0x3F)
    assert struct.unpack_from("=I", alarm, 12) == (chosen,)
    rung = struct.pack("=BBHI24x", 84, 1, 0, 4242)
    assert activity.is_reported_by(rung)
    # Sent by another client, of another alarm, of another kind.
    assert activity.is_reported_by(bytes([rung[0] | 0x80]) + rung[1:])
    assert not activity.is_reported_by(struct.pack("=BBHI24x", 84, 1, 0, 4243))
    assert not activity.is_reported_by(struct.pack("=BBHI24x", 83, 1, 0, 4242))
