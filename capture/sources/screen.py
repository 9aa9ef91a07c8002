"""The screen: which monitors there are, and one of them, or a part, as a source of frames."""

from __future__ import annotations

import difflib
import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import mss
import numpy as np
from mss.exception import ScreenShotError

from capture.errors import DisplayLostError, NotReadyError, UsageError
from capture.media import Frame, Pixels, Rectangle

if TYPE_CHECKING:
    from capture.sources.outline import LastingOutline
    from capture.sources.x11 import X11Watch

__all__ = [
    "Screen",
    "ScreenSource",
    "choose_area",
    "close_mss",
    "grab_pixels",
    "list_screens",
    "open_mss",
    "refuse_wayland",
]

_NO_DISPLAY: Final = "use --screen none, or capture headless -- COMMAND"

#: Some drivers report less than they draw. What was missed is made good after so long, for a hundredth of a processor.
WHOLE_EVERY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Screen:
    """A monitor. `id` is its number from 1, `name` what the system calls its output."""

    id: str
    name: str
    area: Rectangle
    primary: bool


def list_screens() -> list[Screen]:
    """The monitors, in the system's order; exactly one is primary. Raises `NotReadyError` where there is none."""
    refuse_wayland()
    with open_mss() as grabber:
        monitors = grabber.monitors[1:]
    if not monitors:
        raise NotReadyError("no screen is connected", _NO_DISPLAY)
    primary = next((number for number, monitor in enumerate(monitors) if monitor.get("is_primary")), 0)
    return [
        Screen(
            str(number + 1),
            str(monitor.get("output") or monitor.get("name") or f"screen {number + 1}"),
            Rectangle(monitor["left"], monitor["top"], monitor["width"], monitor["height"]),
            number == primary,
        )
        for number, monitor in enumerate(monitors)
    ]


def choose_area(screens: list[Screen], screen: str, region: Rectangle | None) -> Rectangle:
    """The rectangle that `--screen` and `--region` mean; `UsageError` where there is none such."""
    left, top = min(item.area.left for item in screens), min(item.area.top for item in screens)
    right, bottom = max(item.area.right for item in screens), max(item.area.bottom for item in screens)
    desktop = Rectangle(left, top, right - left, bottom - top)
    chosen = desktop
    if screen == "primary":
        chosen = next(item.area for item in screens if item.primary)
    elif screen != "all":
        found = [item.area for item in screens if screen in (item.id, item.name)]
        if not found:
            names = [name for item in screens for name in (item.id, item.name)]
            near = difflib.get_close_matches(screen, names, 3, 0.0)
            raise UsageError(f"there is no screen {screen!r}", f"use primary, all, {', '.join(near)}")
        chosen = found[0]
    if region is None:
        return chosen
    bounds = desktop if screen in ("primary", "all") else chosen
    if not bounds.contains(region):
        raise UsageError(f"the region {region} reaches outside the screen", f"the screen is {bounds}")
    return region


class ScreenSource:
    """Frames of `area`, which must lie on the desktop and have even sides.

    A frame shows what was drawn since the one before it, so it is stamped with the middle between the first report of a
    change and the grab. The moment of the grab alone would show everything late, on a lively screen by half a slot.
    With `outlined` people see where the area is, where the system can show that without its being recorded.
    """

    def __init__(self, area: Rectangle, *, cursor: bool, outlined: bool = False) -> None:
        self._area = area
        self._outlined = outlined
        self._outline: LastingOutline | None = None
        self._cursor = cursor
        self._grabber: Any = None
        self._watch: X11Watch | None = None
        self._last: Pixels | None = None
        self._next: Pixels | None = None
        self._unchanged_at_s: float | None = None
        self._whole_at_s = 0.0

    @property
    def width(self) -> int:
        return self._area.width

    @property
    def height(self) -> int:
        return self._area.height

    def open(self) -> None:
        # mss draws the cursor a pixel at a time in Python, and only on Linux; there the watch does it.
        self._grabber = open_mss(with_cursor=self._cursor and sys.platform != "linux")
        if sys.platform == "linux":
            from capture.sources.x11 import X11Watch

            self._watch = X11Watch(self._area, with_cursor=self._cursor)
            if self._outlined:
                from capture.sources.outline import LastingOutline

                self._outline = LastingOutline(self._area)

    def begin(self, epoch_s: float) -> None:
        """The first picture is new, whatever was seen before."""
        self._last = self._next = self._unchanged_at_s = None
        self._whole_at_s = 0.0
        if self._watch is not None:
            self._watch.forget()

    def wait_for_change(self, until_s: float) -> bool:
        if self._watch is not None:
            return self._watch.wait_for_change(until_s)
        # No reports here: look, and compare, which costs far less than encoding what did not change.
        self._next = self._pixels(self._area)
        if self._last is None or not np.array_equal(self._next, self._last):
            return True
        self._next, self._unchanged_at_s = None, time.monotonic()
        time.sleep(max(0.0, until_s - time.monotonic()))
        return False

    def grab(self) -> Frame:
        if self._watch is not None:
            return self._grab_changed(self._watch)
        changed_at_s, now_s = self._unchanged_at_s, time.monotonic()
        pixels, self._next = self._next if self._next is not None else self._pixels(self._area), None
        self._last, self._unchanged_at_s = pixels, now_s
        return Frame(pixels, _middle_s(changed_at_s, now_s))

    def _grab_changed(self, watch: X11Watch) -> Frame:
        """Read what was drawn to alone: of a typed letter that is a hundredth of the screen."""
        changed_at_s, part = watch.begin_grab()
        now_s = time.monotonic()
        if now_s >= self._whole_at_s:
            part, self._whole_at_s = self._area, now_s + WHOLE_EVERY_S
        pixels = self._pixels(part)
        watch.draw_cursor(pixels, part)
        return Frame(pixels, _middle_s(changed_at_s, now_s), part.left - self._area.left, part.top - self._area.top)

    def idle(self) -> None:
        if self._watch is not None:
            self._watch.hear()

    def wake(self) -> None:
        if self._watch is not None:
            self._watch.wake()

    def close(self) -> None:
        if self._outline is not None:
            self._outline.close()
        if self._watch is not None:
            self._watch.close()
        grabber, self._grabber = self._grabber, None
        if grabber is not None:
            close_mss(grabber)

    def _pixels(self, area: Rectangle) -> Pixels:
        return grab_pixels(self._grabber, area)


def _middle_s(changed_at_s: float | None, now_s: float) -> float:
    return now_s if changed_at_s is None else (changed_at_s + now_s) / 2


def grab_pixels(grabber: Any, area: Rectangle) -> Pixels:
    """What is on the screen in `area`, which must lie on it. Raises `DisplayLostError`."""
    where = {"left": area.left, "top": area.top, "width": area.width, "height": area.height}
    try:
        return np.asarray(grabber.grab(where))
    except (ScreenShotError, AssertionError) as error:
        # mss answers a dead display with a bare assertion.
        raise DisplayLostError(f"the screen can no longer be read ({error or 'the display is gone'})") from error


def close_mss(grabber: Any) -> None:
    # What mss raises when the display died before it.
    with suppress(AssertionError, ScreenShotError):
        grabber.close()


def open_mss(*, with_cursor: bool = False) -> Any:
    """What `grab_pixels` reads the screen with. Raises `NotReadyError`."""
    try:
        return mss.MSS(with_cursor=with_cursor)
    except (ScreenShotError, OSError) as error:
        raise NotReadyError(f"there is no display to record ({error})", _NO_DISPLAY) from error


def refuse_wayland() -> None:
    """X11 calls succeed under Wayland and show a black screen; better to say so."""
    if sys.platform != "linux" or not os.environ.get("WAYLAND_DISPLAY"):
        return
    from capture.sources.x11 import is_xwayland

    if not os.environ.get("DISPLAY") or is_xwayland():
        raise NotReadyError(
            "this is a Wayland session, and its screen cannot be recorded yet",
            "log in to an X11 session, use --screen none, or capture headless -- COMMAND",
        )
