"""Pixels in shared memory stay unchanged for as long as they are referenced, and no longer."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from stage import BLACK, GREEN, RED, Colour, Stage

from capture.errors import DisplayLostError, NotReadyError
from capture.media import Pixels, Rectangle
from capture.sources.x11.shared_memory import SharedMemory
from capture.sources.x11.xcb import Connection

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

AREA = Rectangle(100, 50, 64, 48)


pytestmark = pytest.mark.stage(pointer=(1279, 719))


@pytest.fixture
def connection(stage: Stage) -> Iterator[Connection]:
    opened = Connection()
    yield opened
    opened.close()


class Screen:
    """Reads the screen of a connection into shared memory."""

    def __init__(self, connection: Connection) -> None:
        found = SharedMemory.of(connection)
        assert found is not None
        self.memory = found
        self._connection = connection

    def grab(self, area: Rectangle) -> Pixels:
        layout = self._connection.root_format
        image = self.memory.read(self._connection.root, area, layout.size_bytes(area.width, area.height))
        return layout.pixels(image, area.width, area.height)


@pytest.fixture
def screen(connection: Connection) -> Screen:
    return Screen(connection)


def colour_of(pixels: Pixels) -> Colour:
    """Return the colour that all pixels share: red, green, blue."""
    (colour,) = np.unique(pixels[..., :3].reshape(-1, 3), axis=0)
    blue, green, red = (int(value) for value in colour)
    return red, green, blue


def test_referenced_pixels_stay_unchanged(stage: Stage, screen: Screen) -> None:
    held: list[tuple[Pixels, Colour]] = []
    for colour in (RED, GREEN, BLACK):
        stage.paint(0, 0, stage.width, stage.height, colour)
        # Keep only a row of the last one, not the array that `grab` returned.
        pixels = screen.grab(AREA)
        held.append((pixels[3] if colour == BLACK else pixels, colour))
    del pixels
    assert [colour_of(pixels) for pixels, _ in held] == [colour for _, colour in held]
    screen.grab(AREA)[...] = 77
    assert [colour_of(pixels) for pixels, _ in held] == [colour for _, colour in held]


def test_unreferenced_memory_is_reused(stage: Stage, screen: Screen) -> None:
    for number in range(40):
        screen.grab(Rectangle(number, number, 64 + number % 3, 48))
    gc.collect()
    assert len(screen.memory._segments) == 1
    whole = Rectangle(0, 0, stage.width, stage.height)
    kept = [screen.grab(whole) for _ in range(3)]
    assert len(screen.memory._segments) == 3, "what is too small for what is read now is given back"
    del kept
    for _ in range(20):
        screen.grab(AREA)
        screen.grab(whole)
    assert len(screen.memory._segments) == 3


def test_memory_of_many_grabs_is_given_back(stage: Stage, screen: Screen) -> None:
    whole = Rectangle(0, 0, stage.width, stage.height)
    kept = [screen.grab(whole) for _ in range(5)]
    screen.memory.release()
    assert len(screen.memory._segments) == 5, "all of it is in use"
    before = mapped_segments()
    del kept[1:]
    screen.memory.release()
    assert len(screen.memory._segments) == 2, "one in use, and one for the next grab"
    assert mapped_segments() == before - 3
    screen.grab(whole)
    assert len(screen.memory._segments) == 2


def mapped_segments() -> int:
    return Path("/proc/self/maps").read_text().count("memfd:capture")


def test_an_area_off_the_screen_raises(stage: Stage, screen: Screen) -> None:
    with pytest.raises(DisplayLostError, match="can no longer be read"):
        screen.grab(Rectangle(stage.width - 10, 0, 20, 20))
    assert screen.grab(AREA).shape == (48, 64, 4), "and it goes on"


def test_a_failed_request_has_no_reply(connection: Connection) -> None:
    # QueryPointer of a window that does not exist.
    assert connection.ask(bytes((38, 0)) + (2).to_bytes(2, sys.byteorder) + (99).to_bytes(4, sys.byteorder)) is None
    assert connection.extension("NOT-AN-EXTENSION") is None
    assert connection.extension("DAMAGE") is not None


def test_a_closed_connection_raises(connection: Connection) -> None:
    connection.close()
    with pytest.raises(DisplayLostError):
        connection.send(bytes(4))


def test_no_server_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":4242")
    with pytest.raises(NotReadyError, match="no display"):
        Connection()
