"""What an X server tells about its screen: what was drawn to, and the cursor's place and looks."""

from __future__ import annotations

import functools
import math
import select
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import numpy as np
from Xlib import X, error
from Xlib.display import Display
from Xlib.ext import damage, xfixes

from capture.errors import DisplayLostError, NotReadyError
from capture.media import Pixels, Rectangle
from capture.sources.sprites import Sprite

__all__ = ["NOWHERE", "X11Watch", "connect", "is_xwayland"]

#: A program draws a change in several requests. Waiting this long after the first keeps half-drawn windows out of the
#: recording, and is a quarter of a slot at 30 fps.
SETTLE_S: Final = 0.008

#: Monitors change one by one, and some are off for a moment. What is seen between is no arrangement of anybody's.
REARRANGING_S: Final = 0.5

#: X11's coordinates have 16 bits: nothing is drawn here, and no cursor comes near.
NOWHERE: Final = Rectangle(-(1 << 20), -(1 << 20), 0, 0)

#: The server does not tell when the cursor moves: in a long wait it is asked so often. A hand that begins to move takes
#: longer to get anywhere; only a program that puts the cursor elsewhere is seen that late.
POINTER_EVERY_S: Final = 0.1

#: The part of XFixes' numbering that python-xlib leaves unnamed.
_CURSOR_NOTIFY_MASK: Final = 1

#: What a thread that waits is told: to return, or to look at the overlays.
_WAKE: Final = b"!"
_LOOK: Final = b"?"


#: What is drawn as long as nothing is known of the real one.
_NO_CURSOR: Final = Sprite(np.zeros((0, 0, 4), np.uint16), 0, 0)


class X11Watch:
    """Watches `area` of the screen, None for nothing, through a connection of its own. For one thread, but for `wake`.

    What is drawn over the picture changes by itself: `overlays_due_s` says when next. Raises `NotReadyError` where
    there is no X server. Without its DAMAGE extension every moment counts as a change.
    """

    def __init__(
        self, area: Rectangle | None, *, with_cursor: bool, overlays_due_s: Callable[[], float] = lambda: math.inf
    ) -> None:
        self._area = area or NOWHERE
        self._overlays_due_s = overlays_due_s
        self._with_cursor = with_cursor
        # A byte in this pair ends a wait: `select` hears of nothing else.
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_in.setblocking(False)
        self._damage_event: int | None = None
        self._cursor_event: tuple[int, int] | None = None
        #: When the server last told of another size of the screen or other monitors; None when that was looked at.
        self.rearranged_at_s: float | None = None
        try:
            self._display = connect()
            self._root = self._display.screen().root
            self._root.change_attributes(event_mask=X.StructureNotifyMask)
            size = self._root.get_geometry()
            #: The whole screen, all monitors together.
            self.bounds = Rectangle(0, 0, size.width, size.height)
            self._damage = self._watch_damage()
            self._with_cursor = with_cursor and self._watch_cursor()
        except BaseException:
            self._close_waker()
            raise
        self._changed_at_s: float | None
        # Around all that was reported as drawn, within the area.
        self._drawn: Rectangle | None
        self._cursor = _NO_CURSOR
        self._cursor_is_other = True
        # In the last frame: where the hot spot was, and what the picture covered.
        self._cursor_seen_at: tuple[int, int] | None = None
        self._cursor_covered: Rectangle | None = None
        self.forget()

    def forget(self) -> None:
        """Take the picture for changed: it was never seen."""
        self._changed_at_s = 0.0
        self._drawn = self._area

    @property
    def is_rearranged(self) -> bool:
        """Whether the size of the screen or its monitors have changed, and nothing of that for a while."""
        return self.rearranged_at_s is not None and time.monotonic() >= self.rearranged_at_s + REARRANGING_S

    def look_at(self, area: Rectangle | None) -> None:
        """Watch another part of the screen from here on; with None nothing of it."""
        self._area = area or NOWHERE

    def sync(self) -> None:
        """Take in whatever has happened up to now."""
        self._guarded(self._display.sync)
        self.hear()

    def wait_for_change(self, until_s: float) -> bool:
        """Block until something in the area was drawn and has settled, the cursor moved, or overlays change; at most
        `until_s`.
        """
        look_at_s = time.monotonic() + POINTER_EVERY_S
        while True:
            self.hear()
            now_s = time.monotonic()
            if self._changed_at_s is not None:
                settled_at_s = min(self._changed_at_s + SETTLE_S, until_s)
                if now_s >= settled_at_s:
                    return True
                time.sleep(settled_at_s - now_s)
                return True
            overlays_due_s = self._overlays_due_s()
            if now_s >= overlays_due_s:
                return True
            if now_s >= min(until_s, look_at_s):
                look_at_s = now_s + POINTER_EVERY_S
                if self._with_cursor and self._cursor_moved():
                    return True
                if now_s >= until_s:
                    return False
            wait_s = min(until_s, look_at_s, overlays_due_s) - now_s
            readable, _, _ = select.select([self._display, self._wake_out], [], [], wait_s)
            if self._wake_out in readable and _WAKE in self._wake_out.recv(64):
                return False

    def begin_grab(self, overlaid: Rectangle | None = None) -> tuple[float | None, Rectangle]:
        """From here on changes count anew; return when the first since the last call was reported, None for never.

        And what is to be read, a part of the area: around it everything is as it was at the last call, the cursor too.
        In it is what of `overlaid` is in the area. To be called before the pixels are read, so that no change falls in
        between.
        """
        self.hear()
        changed_at_s, self._changed_at_s = self._changed_at_s, None
        drawn, self._drawn = self._drawn, None
        if self._damage is None:
            self.forget()
            self._follow_cursor()
            return None, self._area
        self._guarded(lambda: self._display.damage_subtract(self._damage))
        # The server works through each connection on its own: only its answer says that this was done. What is
        # reported until then counts as a new change, for the server will not report that part again.
        self.sync()
        # That too may be seen already; and nothing of it is lost if it comes twice.
        parts = [part for part in (drawn, self._drawn, self._follow_cursor(), overlaid) if part is not None]
        changed = functools.reduce(Rectangle.joined, parts) if parts else None
        # A change that was none, such as a cursor beyond the area, needs a frame too: one was asked for.
        nothing = Rectangle(self._area.left, self._area.top, min(2, self._area.width), min(2, self._area.height))
        return changed_at_s or None, (changed.clipped(self._area) if changed is not None else None) or nothing

    def draw_cursor(self, pixels: Pixels, part: Rectangle) -> None:
        """Draw the cursor where it was at `begin_grab` into a picture of `part` of the screen."""
        if self._cursor_seen_at is not None:
            x, y = self._cursor_seen_at
            self._cursor.draw(pixels, x - part.left, y - part.top)

    def _follow_cursor(self) -> Rectangle | None:
        """Look where the cursor is; return what it covers and no longer covers, None where it is as it was."""
        if not self._with_cursor:
            return None
        is_other, self._cursor_is_other = self._cursor_is_other, False
        if is_other:
            self._fetch_cursor()
        here = self._pointer()
        if here == self._cursor_seen_at and not is_other:
            return None
        before, now = self._cursor_covered, self._cursor.covered(*here)
        self._cursor_seen_at, self._cursor_covered = here, now
        return now.joined(before)

    def wake(self) -> None:
        """Make a thread in `wait_for_change` return; any thread may call this, also after `close`."""
        self._send(_WAKE)

    def wake_for_overlays(self) -> None:
        """Make it ask again when overlays are due; likewise."""
        self._send(_LOOK)

    def _send(self, word: bytes) -> None:
        with suppress(OSError):
            self._wake_in.send(word)

    def close(self) -> None:
        """End the connection; may be called twice."""
        self._close_waker()
        with suppress(OSError, error.ConnectionClosedError):
            self._display.close()

    def _close_waker(self) -> None:
        self._wake_in.close()
        self._wake_out.close()

    def _guarded(self, ask: Any) -> Any:
        try:
            return ask()
        except (error.ConnectionClosedError, OSError) as lost:
            raise DisplayLostError("the display is gone (the X server closed the connection)") from lost

    def _watch_damage(self) -> Any:
        if not self._display.has_extension(damage.extname):
            return None
        self._display.damage_query_version()
        self._damage_event = self._display.extension_event.DamageNotify
        watched = self._root.damage_create(damage.DamageReportBoundingBox)
        # All is reported as drawn to begin with, which is no news.
        self._display.sync()
        return watched

    def _watch_cursor(self) -> bool:
        if not self._display.has_extension(xfixes.extname):
            return False
        self._display.xfixes_query_version()
        self._cursor_event = self._display.extension_event.DisplayCursorNotify
        self._display.xfixes_select_cursor_input(self._root, _CURSOR_NOTIFY_MASK)
        return True

    def hear(self) -> None:
        """Take in what the server has sent without waiting for more."""
        while self._guarded(self._display.pending_events):
            event = self._guarded(self._display.next_event)
            # python-xlib makes event classes of its own for each connection; only their numbers can be compared.
            if event.type == self._damage_event:
                drawn = Rectangle(event.area.x, event.area.y, event.area.width, event.area.height)
                inside = drawn.clipped(self._area)
                if inside is not None:
                    self._drawn = inside.joined(self._drawn)
                    self._changed_at_s = self._changed_at_s if self._changed_at_s is not None else time.monotonic()
            elif (event.type, getattr(event, "sub_code", None)) == self._cursor_event:
                self._cursor_is_other = True
                if self._changed_at_s is None:
                    self._changed_at_s = time.monotonic()
            else:
                self._hear(event)

    def _hear(self, event: Any) -> None:
        """Take in an event that is neither of the damage nor of the cursor."""
        if event.type == X.ConfigureNotify and event.window == self._root:
            self.bounds = Rectangle(0, 0, event.width, event.height)
            self.rearranged_at_s = time.monotonic()

    def _pointer(self) -> tuple[int, int]:
        where = self._guarded(self._root.query_pointer)
        return where.root_x, where.root_y

    def _cursor_moved(self) -> bool:
        """Whether the cursor is elsewhere than in the last frame, and was or is to be seen in the area."""
        here = self._pointer()
        there = self._cursor_seen_at
        if here == there:
            return False
        return self._may_show(here) or (there is not None and self._may_show(there))

    def _may_show(self, place: tuple[int, int]) -> bool:
        return self._cursor.covered(*place).intersects(self._area)

    def _fetch_cursor(self) -> None:
        """See what the cursor looks like; where the server does not tell, it looks as it did."""
        try:
            image = self._guarded(lambda: self._display.xfixes_get_cursor_image(self._root))
        except error.XError:
            # The program whose cursor is shown has ended.
            return
        argb = np.array(image.cursor_image, np.uint32).astype("<u4").view(np.uint8)
        picture = argb.reshape(image.height, image.width, 4).astype(np.uint16)
        self._cursor = Sprite(picture, image.xhot, image.yhot)


def is_xwayland() -> bool:
    """Whether the X server is a guest of a Wayland desktop, whose windows it cannot see."""
    display = connect()
    try:
        if display.has_extension("XWAYLAND"):
            return True
        outputs = display.screen().root.xrandr_get_screen_resources()._data["outputs"]
        return any(display.xrandr_get_output_info(output, 0)._data["name"].startswith("XWAYLAND") for output in outputs)
    except (error.XError, AttributeError, KeyError):
        return False
    finally:
        display.close()


def connect() -> Display:
    """A connection of its own to the X server. Raises `NotReadyError` where there is none."""
    try:
        return Display()
    except (error.DisplayError, error.ConnectionClosedError, OSError) as failure:
        raise NotReadyError(
            "there is no display to record", "set DISPLAY, use --screen none, or capture headless -- COMMAND"
        ) from failure
