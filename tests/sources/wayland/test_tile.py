"""When a picture of a compositor was shown, as a tile states it, stepped."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest

if sys.platform != "linux":
    pytest.skip("Wayland needs Linux", allow_module_level=True)

from capture.media import Rectangle
from capture.sources.lent_memory import LentMemory
from capture.sources.wayland import tile as module
from capture.sources.wayland.pictures import Buffer, Layout, Picture
from capture.sources.wayland.tile import Tile

REFRESH_S = 0.016
LAYOUT = Layout.packed(1, 4, 2)


class Desk:
    """A tile at 30 fps, what its compositor gives, and the clock of both."""

    has_failed = False

    def __init__(self) -> None:
        self.now_s = 10.0
        self.is_asking = False
        self._picture: Picture | None = None
        self.tile = Tile(self, "screen", 1 / 30, REFRESH_S)

    def ask(self, *, at_once: bool) -> None:
        self.is_asking = True

    def take(self) -> Picture | None:
        picture, self._picture = self._picture, None
        return picture

    def release(self) -> None: ...

    def close(self) -> None: ...

    def shown_at(self, asked_at_s: float, shown_at_s: float) -> float:
        """Ask for a picture, show it, and return when the tile says that it was shown."""
        self.now_s = asked_at_s
        self.tile.keep_asking(asked_at_s, is_seen=True)
        assert self.is_asking
        self.is_asking = False
        memory, descriptor = LentMemory.make(LAYOUT.size_bytes)
        os.close(descriptor)
        self._picture = Picture(Buffer(1, LAYOUT, memory), Rectangle(0, 0, 2, 2), shown_at_s, transform=0)
        self.now_s = shown_at_s + 0.001
        assert self.tile.absorb(compares=True) is not None
        return self.tile.shown_at_s


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = Desk()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: made.now_s))
    assert made.shown_at(10.0, 10.01) == 10.01
    return made


def test_a_change_in_one_of_two_pictures_has_the_middle_of_their_times(desk: Desk) -> None:
    assert desk.shown_at(10.03, 10.042) == pytest.approx(10.034)
    # It counts from the picture, not from the time that it was given, and refreshes may be late.
    assert desk.shown_at(10.063, 10.078) == pytest.approx(10.069)


@pytest.mark.parametrize(
    ("asked_at_s", "shown_at_s"),
    [
        # None was shown in between, or none that was different: it was asked for all the time.
        *((10.012, 10.026), (10.012, 10.042)),
        # The screen was not looked at for long.
        (10.2, 10.21),
    ],
)
def test_a_change_that_was_not_before_has_its_own_time(desk: Desk, asked_at_s: float, shown_at_s: float) -> None:
    assert desk.shown_at(asked_at_s, shown_at_s) == shown_at_s


def test_after_a_picture_of_no_change_the_next_one_has_its_own_time(desk: Desk) -> None:
    desk.tile.pass_over()
    assert desk.shown_at(10.05, 10.06) == 10.06
