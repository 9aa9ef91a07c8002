"""What of a Wayland desktop is recorded: outputs, whole or in part, or a window.

A subject says which outputs or windows are captured, and how they lie in the picture.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from capture.errors import NotReadyError
from capture.events import EventKind
from capture.media import Rectangle
from capture.sources.wayland.cursor import shows_cursor
from capture.sources.wayland.desktop import USUAL_REFRESH_S, Desktop, Interface, Output
from capture.sources.wayland.image_copy import ImageCopyCapture
from capture.sources.wayland.pictures import Capture
from capture.sources.wayland.screencopy import ScreencopyCapture
from capture.sources.wayland.tile import Tile
from capture.sources.wayland.windows import Window, WindowList

__all__ = ["Member", "OneOutput", "OneWindow", "SeveralOutputs", "Subject"]

#: A picture may differ by this many pixels from its place without being scaled: places are in whole units.
_ROUNDED: Final = 2

NOWHERE: Final = Rectangle(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Member:
    """An output or a window to capture. With another `mode`, `capture` has to be called again.

    `key` tells it from others, `name` is what messages call it, and `area` its place in the desktop's units. It may
    change every `refresh_s`.
    """

    key: int
    name: str
    area: Rectangle
    mode: tuple[int, ...]
    capture: Callable[[], Capture] = field(compare=False)
    refresh_s: float = field(default=USUAL_REFRESH_S, compare=False)


class Subject(Protocol):
    """What is recorded. One thread calls all methods, `open` first."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    @property
    def tells_sizes(self) -> bool:
        """Whether the user gets to know when its size or place changes."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether it gives no more pictures, and the last one stays."""
        ...

    def open(self, desktop: Desktop) -> None:
        """Find it. Raises `UsageError` and `NotReadyError` if it is not there."""
        ...

    def members(self) -> list[Member]:
        """Return what to capture now; nothing if it is not there for a while."""
        ...

    def arrange(self, tiles: Sequence[tuple[Member, Tile]]) -> Rectangle:
        """Give each tile its place, and return the area to record; both in pixels of the same plane.

        At least one tile has a picture.
        """
        ...


class OneOutput:
    """The output called `name`, or the part `region` of it, given in the desktop's units."""

    tells_sizes = True
    is_over = False

    def __init__(self, name: str, region: Rectangle | None, *, with_cursor: bool) -> None:
        self._output_name = name
        self._region = region
        self._with_cursor = with_cursor
        self._desktop: Desktop

    @property
    def name(self) -> str:
        return f"the screen {self._output_name}"

    def open(self, desktop: Desktop) -> None:
        self._desktop = desktop
        members = self.members()
        if not members:
            raise NotReadyError(f"{self.name} is gone", "see capture devices")
        if self._region is not None:
            # Wherever the output is moved, it is the same part of it.
            area = members[0].area
            self._region = self._region.moved(-area.left, -area.top)

    def members(self) -> list[Member]:
        found = [each for each in self._desktop.outputs if each.name == self._output_name]
        return [_member(self._desktop, each, with_cursor=self._with_cursor) for each in found[:1]]

    def arrange(self, tiles: Sequence[tuple[Member, Tile]]) -> Rectangle:
        ((member, tile),) = tiles
        place = tile.place = tile.bounds or NOWHERE
        if self._region is None:
            return place
        return _scaled(self._region, place.width / member.area.width, place.height / member.area.height)


class SeveralOutputs:
    """All outputs, or those that share the part `region` of the desktop, as they lie side by side.

    The picture has the pixels of the output with the most of them for a unit of the desktop; others are enlarged.
    """

    tells_sizes = True
    is_over = False
    name = "the desktop"

    def __init__(self, region: Rectangle | None, *, with_cursor: bool) -> None:
        self._region = region
        self._with_cursor = with_cursor
        self._desktop: Desktop

    def open(self, desktop: Desktop) -> None:
        self._desktop = desktop
        if not self.members():
            raise NotReadyError("no screen is connected", "see capture devices")

    def members(self) -> list[Member]:
        region = self._region
        found = [each for each in self._desktop.outputs if region is None or each.area.intersects(region)]
        return [_member(self._desktop, each, with_cursor=self._with_cursor) for each in found]

    def arrange(self, tiles: Sequence[tuple[Member, Tile]]) -> Rectangle:
        scale = max(tile.bounds.width / member.area.width for member, tile in tiles if tile.bounds is not None)
        for member, tile in tiles:
            place, bounds = _scaled(member.area, scale, scale), tile.bounds
            if (
                bounds is not None
                and max(abs(bounds.width - place.width), abs(bounds.height - place.height)) <= _ROUNDED
            ):
                place = bounds.moved(place.left, place.top)
            tile.place = place
        if self._region is not None:
            return _scaled(self._region, scale, scale)
        return functools.reduce(Rectangle.union, (tile.place for _, tile in tiles))


class OneWindow:
    """The window that `find` returns at `open`. When it is closed, `report` and `end` are called with that."""

    tells_sizes = False

    def __init__(
        self,
        find: Callable[[Sequence[Window]], Window],
        *,
        with_cursor: bool,
        report: Callable[[EventKind, str], None],
        end: Callable[[str], None],
    ) -> None:
        self._find = find
        self._with_cursor = with_cursor
        self._report = report
        self._end = end
        self._desktop: Desktop
        self._list: WindowList
        self._window = Window(0)
        self.is_over = False

    @property
    def name(self) -> str:
        return f"the window {self._window.title!r}"

    def open(self, desktop: Desktop) -> None:
        self._desktop = desktop
        self._list = WindowList(desktop)
        self._window = self._find(self._list.windows)
        if self._with_cursor and not shows_cursor(desktop, self._window.number):
            self._report(EventKind.NO_CURSOR, "this compositor does not show the mouse cursor in windows")

    def members(self) -> list[Member]:
        window = self._window
        if not self.is_over and not self._list.has(window):
            self.is_over = True
            self._report(EventKind.WINDOW_CLOSED, f"{self.name} was closed")
            self._end("window_closed")
        return [Member(window.number, self.name, NOWHERE, (), self._capture)]

    def arrange(self, tiles: Sequence[tuple[Member, Tile]]) -> Rectangle:
        ((_, tile),) = tiles
        place = tile.place = tile.bounds or NOWHERE
        return place

    def _capture(self) -> Capture:
        return ImageCopyCapture(
            self._desktop, Interface.WINDOW_SOURCES, self._window.number, with_cursor=self._with_cursor
        )


def _member(desktop: Desktop, output: Output, *, with_cursor: bool) -> Member:
    def capture() -> Capture:
        if desktop.copies_outputs:
            return ImageCopyCapture(desktop, Interface.OUTPUT_SOURCES, output.number, with_cursor=with_cursor)
        return ScreencopyCapture(desktop, output, with_cursor=with_cursor)

    # With another mode, what was asked for is of the old one.
    mode = (*output.mode, output.transform)
    return Member(output.number, f"the screen {output.name}", output.area, mode, capture, output.refresh_s)


def _scaled(area: Rectangle, across: float, down: float) -> Rectangle:
    left, top = round(area.left * across), round(area.top * down)
    return Rectangle(left, top, round(area.right * across) - left, round(area.bottom * down) - top)
