"""What an X server tells about its screen: what was drawn to, and the cursor's place and looks."""

from __future__ import annotations

import functools
import math
import select
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import numpy as np

from capture.errors import NotReadyError
from capture.media import Pixels, Rectangle
from capture.sources.overlays.sprites import Sprite
from capture.sources.x11.pointer_activity import Activity
from capture.sources.x11.reader import X11Reader
from capture.sources.x11.xcb import Connection, Extension

if TYPE_CHECKING:
    from Xlib.display import Display

__all__ = ["NOWHERE", "X11Watch"]

#: A program draws a change in several requests. Waiting this long after the first keeps half-drawn windows out of the
#: recording, and is a quarter of a slot at 30 fps.
SETTLE_S: Final = 0.008

#: Monitors change one by one, and some are off for a moment. What is seen between is no arrangement of anybody's.
REARRANGING_S: Final = 0.5

#: X11's coordinates have 16 bits: nothing is drawn here, and no cursor comes near.
NOWHERE: Final = Rectangle(-(1 << 20), -(1 << 20), 0, 0)

#: Where the cursor is has to be asked. That is done so often, and at the end of every wait until the mouse has rested
#: for so long. While it rests, a server that says when it is used again is asked more seldom: what it does not say may
#: be seen that late.
POINTER_EVERY_S: Final = 0.1
RESTING_S: Final = 0.5
RESTING_EVERY_S: Final = 0.5

#: Core requests, and what is wanted of the window behind all others: what becomes of its size.
_CHANGE_ATTRIBUTES: Final = 2
_GET_GEOMETRY: Final = 14
_QUERY_POINTER: Final = 38
_GET_INPUT_FOCUS: Final = 43
_EVENT_MASK: Final = 1 << 11
_STRUCTURE_EVENTS: Final = 1 << 17

#: The event that tells of a size.
_CONFIGURE_NOTIFY: Final = 22

#: Requests of the extension DAMAGE 1.1, and the level at which it reports the rectangle around all that was drawn.
_DAMAGE_CREATE: Final = 1
_DAMAGE_SUBTRACT: Final = 3
_BOUNDING_BOX: Final = 2

#: Requests of XFIXES 2; its second event tells of another cursor, and of nothing else when its mask is 1.
_SELECT_CURSOR_INPUT: Final = 3
_GET_CURSOR_IMAGE: Final = 4
_CURSOR_NOTIFY: Final = 1
_CURSOR_NOTIFY_MASK: Final = 1

#: That of every extension which asks for its version, as the server wants it before all else.
_QUERY_VERSION: Final = 0

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
        # A byte in this pair ends a wait: `select` hears of nothing else.
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_in.setblocking(False)
        self._damage: int | None = None
        self._damaging: Extension | None = None
        self._fixes: Extension | None = None
        self._activity: Activity | None = None
        #: When the server last told of another size of the screen or other monitors; None when that was looked at.
        self.rearranged_at_s: float | None = None
        try:
            self._connection = Connection()
        except BaseException:
            self._close_waker()
            raise
        try:
            self._watch_root()
            self._watch_damage()
            self._with_cursor = with_cursor and self._watch_cursor()
            #: What the screen is read through.
            self.reader = X11Reader(self._connection)
        except BaseException:
            self._disconnect()
            raise
        self._changed_at_s: float | None
        # Around all that was reported as drawn, within the area.
        self._drawn: Rectangle | None
        self._cursor = _NO_CURSOR
        self._cursor_is_other = True
        # When it was last asked for, and where it was then; and when the mouse was last in use.
        self._pointer_asked_s = self._mouse_used_s = -math.inf
        self._pointer_at = (NOWHERE.left, NOWHERE.top)
        # In the last frame: where the hot spot was, and what the picture covered.
        self._cursor_seen_at: tuple[int, int] | None = None
        self._cursor_covered: Rectangle | None = None
        self.forget()
        # What was asked for so far has to reach the server. That it reports all as drawn to begin with is no news.
        self.sync()

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
        self._connection.ask(struct.pack("=BxH", _GET_INPUT_FOCUS, 1))
        self.hear()

    def wait_for_change(self, until_s: float) -> bool:
        """Block until something in the area was drawn and has settled, the cursor moved, or overlays change; at most
        `until_s`.
        """
        # What came along with an answer would not end the wait.
        self.hear()
        # Whoever only looks wants to know what the server knows, and not what it has said so far.
        is_look = until_s <= time.monotonic()
        if is_look and not self._with_cursor:
            self.sync()
        while True:
            now_s = time.monotonic()
            if self._changed_at_s is not None:
                time.sleep(max(0.0, min(self._changed_at_s + SETTLE_S, until_s) - now_s))
                return True
            overlays_due_s = self._overlays_due_s()
            if now_s >= overlays_due_s:
                return True
            pointer_due_s = until_s if is_look else self._pointer_due_s(until_s)
            wait_s = min(until_s, pointer_due_s, overlays_due_s) - now_s
            readable, _, _ = select.select([*self._sources(), self._wake_out], [], [], max(0.0, wait_s))
            if self._wake_out in readable and _WAKE in self._wake_out.recv(64):
                return False
            if readable:
                self.hear()
            now_s = time.monotonic()
            if self._changed_at_s is None and self._with_cursor and now_s >= pointer_due_s and self._cursor_moved():
                return True
            if self._changed_at_s is None and now_s >= until_s:
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
        assert self._damaging is not None  # noqa: S101 - that is what the damage is of
        self._connection.tell(self._damaging.request(_DAMAGE_SUBTRACT, struct.pack("=III", self._damage, 0, 0)))
        # The server works through each connection on its own: only an answer says that this was done. What is
        # reported until then counts as a new change, for the server will not report that part again.
        if self._with_cursor:
            cursor = self._follow_cursor()
        else:
            self.sync()
            cursor = None
        # That too may be seen already; and nothing of it is lost if it comes twice.
        parts = [part for part in (drawn, self._drawn, cursor, overlaid) if part is not None]
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
        here = self._pointer()
        is_other, self._cursor_is_other = self._cursor_is_other, False
        if is_other:
            self._fetch_cursor()
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
        self.reader.close()
        self._disconnect()

    def _disconnect(self) -> None:
        self._close_waker()
        self._connection.close()

    def _close_waker(self) -> None:
        self._wake_in.close()
        self._wake_out.close()

    def _sources(self) -> list[Connection | Display]:
        """What tells that something has happened, for `select`."""
        return [self._connection]

    def _watch_root(self) -> None:
        connection = self._connection
        mask = struct.pack("=III", connection.root, _EVENT_MASK, _STRUCTURE_EVENTS)
        connection.tell(struct.pack("=BxH", _CHANGE_ATTRIBUTES, 4) + mask)
        size = connection.ask(struct.pack("=BxHI", _GET_GEOMETRY, 2, connection.root))
        if size is None:
            raise NotReadyError("the X server does not tell the size of its screen", "see capture doctor")
        #: The whole screen, all monitors together.
        self.bounds = Rectangle(0, 0, *struct.unpack_from("=HH", size, 16))

    def _watch_damage(self) -> None:
        extension = self._extension("DAMAGE", 1, 1)
        if extension is None:
            return
        self._damaging, self._damage = extension, self._connection.new_id()
        what = struct.pack("=IIB3x", self._damage, self._connection.root, _BOUNDING_BOX)
        self._connection.tell(extension.request(_DAMAGE_CREATE, what))

    def _watch_cursor(self) -> bool:
        self._fixes = self._extension("XFIXES", 2, 0)
        if self._fixes is None:
            return False
        what = struct.pack("=II", self._connection.root, _CURSOR_NOTIFY_MASK)
        self._connection.tell(self._fixes.request(_SELECT_CURSOR_INPUT, what))
        self._activity = Activity.of(self._connection)
        return True

    def _extension(self, name: str, major: int, minor: int) -> Extension | None:
        """The extension, told which version of it is spoken; None where the server does not have it."""
        found = self._connection.extension(name)
        if found is not None:
            self._connection.ask(found.request(_QUERY_VERSION, struct.pack("=II", major, minor)))
        return found

    def hear(self) -> None:
        """Take in what the server has sent without waiting for more."""
        damaged = self._damaging.first_event if self._damaging is not None else None
        cursor = self._fixes.first_event + _CURSOR_NOTIFY if self._fixes is not None else None
        for event in self._connection.events():
            kind = event[0] & 0x7F
            if kind == damaged:
                inside = Rectangle(*struct.unpack_from("=hhHH", event, 16)).clipped(self._area)
                if inside is not None:
                    self._drawn = inside.joined(self._drawn)
                    self._note_change()
            elif kind == cursor:
                self._cursor_is_other = True
                self._note_change()
            elif self._activity is not None and self._activity.is_told_by(event):
                self._mouse_used_s = time.monotonic()
                self._pointer_asked_s = -math.inf
            elif kind == _CONFIGURE_NOTIFY:
                self.bounds = Rectangle(0, 0, *struct.unpack_from("=HH", event, 20))
                self.rearranged_at_s = time.monotonic()

    def _note_change(self) -> None:
        if self._changed_at_s is None:
            self._changed_at_s = time.monotonic()

    def _pointer_due_s(self, until_s: float) -> float:
        """When it is to be asked for in a wait that lasts until `until_s`."""
        if not self._with_cursor:
            return math.inf
        rests = self._pointer_asked_s > self._mouse_used_s + RESTING_S
        every_s = RESTING_EVERY_S if rests and self._activity is not None else POINTER_EVERY_S
        due_s = self._pointer_asked_s + every_s
        return due_s if rests else min(due_s, until_s)

    def _pointer(self) -> tuple[int, int]:
        """Ask where it is, and take in whatever has happened up to then."""
        where = self._connection.ask(struct.pack("=BxHI", _QUERY_POINTER, 2, self._connection.root))
        self.hear()
        self._pointer_asked_s = time.monotonic()
        x, y = struct.unpack_from("=hh", where, 16) if where is not None else (NOWHERE.left, NOWHERE.top)
        if (x, y) != self._pointer_at:
            self._pointer_at, self._mouse_used_s = (x, y), self._pointer_asked_s
        return x, y

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
        assert self._fixes is not None  # noqa: S101 - it told that there is another cursor
        image = self._connection.ask(self._fixes.request(_GET_CURSOR_IMAGE))
        # There is none when the program whose cursor is shown has ended.
        if image is not None:
            width, height, hot_x, hot_y = struct.unpack_from("=4H", image, 12)
            argb = np.frombuffer(image, "=u4", width * height, 32).astype("<u4").view(np.uint8)
            self._cursor = Sprite(argb.reshape(height, width, 4).astype(np.uint16), hot_x, hot_y)
