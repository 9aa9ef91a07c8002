"""Reports what an X server draws on its screen, and where the cursor is and what it looks like."""

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

from capture.errors import NotReadyError
from capture.media import Pixels, Rectangle
from capture.sources.x11.cursor_image import NO_CURSOR, CursorImage
from capture.sources.x11.pointer_activity import PointerActivity
from capture.sources.x11.reader import X11Reader
from capture.sources.x11.xcb import Connection, Extension

if TYPE_CHECKING:
    from Xlib.display import Display

__all__ = ["NOWHERE", "X11Watch"]

#: A program draws a change in several requests. Waiting this long after the first keeps half-drawn windows out of the
#: recording, and is a quarter of a slot at 30 fps.
SETTLE_S: Final = 0.008

#: Monitors change one by one, and some go off for a moment. Waiting this long after the last change skips the
#: arrangements in between.
REARRANGING_S: Final = 0.5

#: Far outside X11's 16-bit coordinates: nothing is drawn here, and no cursor comes near.
NOWHERE: Final = Rectangle(-(1 << 20), -(1 << 20), 0, 0)

#: The cursor's place has to be requested: every `POINTER_EVERY_S`, at every grab, and at the end of every wait until
#: the mouse has rested for `RESTING_S`. From then on, if the server reports when the mouse is used again, it is
#: requested every `RESTING_EVERY_S`: a movement that the server does not report may be seen that late.
POINTER_EVERY_S: Final = 0.1
RESTING_S: Final = 0.5
RESTING_EVERY_S: Final = 0.5

#: Core requests, and the event mask of the root window: changes of its size.
_CHANGE_ATTRIBUTES: Final = 2
_GET_GEOMETRY: Final = 14
_QUERY_POINTER: Final = 38
_GET_INPUT_FOCUS: Final = 43
_EVENT_MASK: Final = 1 << 11
_STRUCTURE_EVENTS: Final = 1 << 17

#: The event with a window's new size.
_CONFIGURE_NOTIFY: Final = 22

#: Requests of the extension DAMAGE 1.1, and the level at which it reports the bounding box of everything drawn.
_DAMAGE_CREATE: Final = 1
_DAMAGE_SUBTRACT: Final = 3
_BOUNDING_BOX: Final = 2

#: Requests of XFIXES 2. Its second event reports a new cursor, and nothing else if its mask is 1.
_SELECT_CURSOR_INPUT: Final = 3
_GET_CURSOR_IMAGE: Final = 4
_CURSOR_NOTIFY: Final = 1
_CURSOR_NOTIFY_MASK: Final = 1

#: The number of every extension's version request, which the server wants before all others.
_QUERY_VERSION: Final = 0

#: What wakes a waiting thread: to return, or to ask the overlays again.
_WAKE: Final = b"!"
_LOOK: Final = b"?"


class X11Watch:
    """Watches `area` of the screen, or nothing if None, on its own connection. For one thread, except the two `wake`s.

    Overlays change without damage: `overlays_due_s` returns when they change next. Raises `NotReadyError` if there is
    no X server. Without the DAMAGE extension every moment counts as a change.
    """

    def __init__(
        self,
        area: Rectangle | None,
        *,
        with_cursor: bool,
        cursor_once_moved: bool = False,
        overlays_due_s: Callable[[], float] = lambda: math.inf,
    ) -> None:
        self._area = area or NOWHERE
        self._overlays_due_s = overlays_due_s
        # A byte in this pair ends a wait in `select`.
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_in.setblocking(False)
        self._damage: int | None = None
        # The corner on the screen of what the damage is of.
        self._damage_corner = (0, 0)
        self._damaging: Extension | None = None
        self._fixes: Extension | None = None
        self._activity: PointerActivity | None = None
        #: When the server last reported a new screen size or new monitors; None once that was handled.
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
            #: Reads the pixels of the screen.
            self.reader = X11Reader(self._connection)
        except BaseException:
            self.close()
            raise
        self._changed_at_s: float | None
        # The bounding box of the reported damage, within the area.
        self._drawn: Rectangle | None
        self._cursor = NO_CURSOR
        self._cursor_is_other = True
        # When the cursor's place was last requested, and where it was; and when the mouse was last used.
        self._pointer_asked_s = self._mouse_used_s = -math.inf
        self._pointer_at = (NOWHERE.left, NOWHERE.top)
        # How often the server reported damage, and how often until the last grab began.
        self._reports = self._reports_before = 0
        # In the last frame: the place of the hot spot, and the rectangle that the cursor covered.
        self._cursor_seen_at: tuple[int, int] | None = None
        self._cursor_covered: Rectangle | None = None
        # Where the mouse has been from the start, if the cursor is left out as long as it stays there.
        self._unmoved_at: tuple[int, int] | None = None
        self.forget()
        # Flush the requests so far, and take in the initial report that everything is damaged.
        self.sync()
        if cursor_once_moved and self._with_cursor:
            self._unmoved_at = self._pointer()

    def forget(self) -> None:
        """Mark the whole area as changed, as if it had never been grabbed."""
        self._changed_at_s = 0.0
        self._drawn = self._area

    @property
    def is_rearranged(self) -> bool:
        """Whether the screen's size or its monitors changed, and have been stable for `REARRANGING_S`."""
        return self.rearranged_at_s is not None and time.monotonic() >= self.rearranged_at_s + REARRANGING_S

    def look_at(self, area: Rectangle | None) -> None:
        """Watch another part of the screen from now on; None watches nothing."""
        self._area = area or NOWHERE

    def sync(self) -> None:
        """Handle everything that has happened so far, with a round trip to the server."""
        self._connection.ask(struct.pack("=BxH", _GET_INPUT_FOCUS, 1))
        self.hear()

    def wait_for_change(self, until_s: float) -> bool:
        """Block until something in the area was drawn and has settled, the cursor moved, or overlays are due.

        Returns whether there is a change; at `until_s` at the latest, or False after `wake`.
        """
        # Events that arrived with a reply would not end the wait.
        self.hear()
        # A call that does not wait needs what the server knows now, not just what it has sent.
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
        """Start a new round of changes. Return when the first one of the last round was reported, and the part to read.

        The time is None if unknown. Outside the part everything is as it was at the last call, the cursor included; it
        contains as much of `overlaid` as lies in the area. Call this before reading pixels, or changes in between are
        lost.
        """
        self.hear()
        changed_at_s, self._changed_at_s = self._changed_at_s, None
        drawn, self._drawn = self._drawn, None
        self._reports_before = self._reports
        if self._damage is None:
            self.forget()
            self._follow_cursor()
            return None, self._area
        assert self._damaging is not None  # noqa: S101 - that is what the damage is of
        self._connection.send(self._damaging.request(_DAMAGE_SUBTRACT, struct.pack("=III", self._damage, 0, 0)))
        # The server works through each connection separately: only a reply proves that it has handled the request.
        # Damage reported until then counts as a new change, because the server will not report that part again. If
        # nothing is asked here, that reply is the pixels, and such damage is read once more.
        if self._with_cursor:
            cursor = self._follow_cursor()
        else:
            self.sync()
            cursor = None
        # The pixels may include that damage already; reading it twice loses nothing.
        parts = [part for part in (drawn, self._drawn, cursor, overlaid) if part is not None]
        changed = functools.reduce(Rectangle.union, parts) if parts else None
        # A change without damage in the area, such as a cursor outside it, still owes the caller a frame.
        nothing = Rectangle(self._area.left, self._area.top, min(2, self._area.width), min(2, self._area.height))
        return changed_at_s or None, (changed.intersection(self._area) if changed is not None else None) or nothing

    def nothing_was_drawn(self) -> bool:
        """Whether the server had reported no drawing since `begin_grab`, anywhere, when it sent its last reply.

        It reports the first one of a round, and not each that follows. False for a server that reports nothing.
        """
        self.hear()
        return self._damage is not None and self._reports == self._reports_before

    def draw_cursor(self, pixels: Pixels, part: Rectangle) -> None:
        """Draw the cursor as it was at `begin_grab` into `pixels`, a picture of `part` of the screen."""
        if self._cursor_seen_at is not None:
            x, y = self._cursor_seen_at
            self._cursor.draw(pixels, x - part.left, y - part.top)

    def _follow_cursor(self) -> Rectangle | None:
        """Request the cursor's place; return the box around its old and new picture, None if it is unchanged."""
        if not self._with_cursor:
            return None
        is_known = self._mouse_rests and time.monotonic() < self._pointer_asked_s + RESTING_EVERY_S
        here = self._pointer_at if is_known else self._pointer()
        is_other, self._cursor_is_other = self._cursor_is_other, False
        if is_other:
            self._fetch_cursor()
        if self._is_unmoved(here) or (here == self._cursor_seen_at and not is_other):
            return None
        before, now = self._cursor_covered, self._cursor.covered(*here)
        self._cursor_seen_at, self._cursor_covered = here, now
        return now.union(before)

    def wake(self) -> None:
        """Make a thread in `wait_for_change` return. Any thread may call this, even after `close`."""
        self._send(_WAKE)

    def wake_for_overlays(self) -> None:
        """Make a thread in `wait_for_change` ask again when overlays are due. Any thread may call this, as above."""
        self._send(_LOOK)

    def _send(self, word: bytes) -> None:
        with suppress(OSError):
            self._wake_in.send(word)

    def close(self) -> None:
        """Close the connection; may be called twice."""
        self._close_waker()
        self._connection.close()

    def _close_waker(self) -> None:
        self._wake_in.close()
        self._wake_out.close()

    def _sources(self) -> list[Connection | Display]:
        """Return the connections to pass to `select`."""
        return [self._connection]

    def _watch_root(self) -> None:
        connection = self._connection
        mask = struct.pack("=III", connection.root, _EVENT_MASK, _STRUCTURE_EVENTS)
        connection.send(struct.pack("=BxH", _CHANGE_ATTRIBUTES, 4) + mask)
        size = connection.ask(struct.pack("=BxHI", _GET_GEOMETRY, 2, connection.root))
        if size is None:
            raise NotReadyError("the X server did not report the size of its screen", "see capture doctor")
        #: The whole screen, all monitors together.
        self.bounds = Rectangle(0, 0, *struct.unpack_from("=HH", size, 16))

    def _watch_damage(self) -> None:
        extension = self._extension("DAMAGE", 1, 1)
        if extension is None:
            return
        self._damaging, self._damage = extension, self._connection.new_id()
        what = struct.pack("=IIB3x", self._damage, self._drawable(), _BOUNDING_BOX)
        self._connection.send(extension.request(_DAMAGE_CREATE, what))

    def _drawable(self) -> int:
        """Return the window to watch for damage."""
        return self._connection.root

    def _watch_cursor(self) -> bool:
        self._fixes = self._extension("XFIXES", 2, 0)
        if self._fixes is None:
            return False
        what = struct.pack("=II", self._connection.root, _CURSOR_NOTIFY_MASK)
        self._connection.send(self._fixes.request(_SELECT_CURSOR_INPUT, what))
        self._activity = PointerActivity.of(self._connection)
        return True

    def _extension(self, name: str, major: int, minor: int) -> Extension | None:
        """Return the extension after agreeing on its version; None if the server does not have it."""
        found = self._connection.extension(name)
        if found is not None:
            self._connection.ask(found.request(_QUERY_VERSION, struct.pack("=II", major, minor)))
        return found

    def hear(self) -> None:
        """Handle the events that have arrived, without waiting for more."""
        damaged = self._damaging.first_event if self._damaging is not None else None
        cursor = self._fixes.first_event + _CURSOR_NOTIFY if self._fixes is not None else None
        for event in self._connection.events():
            kind = event[0] & 0x7F
            if kind == damaged:
                self._reports += 1
                (x, y, width, height), (left, top) = struct.unpack_from("=hhHH", event, 16), self._damage_corner
                inside = Rectangle(left + x, top + y, width, height).intersection(self._area)
                if inside is not None:
                    self._drawn = inside.union(self._drawn)
                    self._note_change()
            elif kind == cursor:
                self._cursor_is_other = True
                self._note_change()
            elif self._activity is not None and self._activity.is_reported_by(event):
                self._mouse_used_s = time.monotonic()
                self._pointer_asked_s = -math.inf
            elif kind == _CONFIGURE_NOTIFY:
                self.bounds = Rectangle(0, 0, *struct.unpack_from("=HH", event, 20))
                self.rearranged_at_s = time.monotonic()

    def _note_change(self) -> None:
        if self._changed_at_s is None:
            self._changed_at_s = time.monotonic()

    def _pointer_due_s(self, until_s: float) -> float:
        """Return when to request the cursor's place, in a wait that lasts until `until_s`."""
        if not self._with_cursor:
            return math.inf
        due_s = self._pointer_asked_s + (RESTING_EVERY_S if self._mouse_rests else POINTER_EVERY_S)
        return due_s if self._has_rested else min(due_s, until_s)

    @property
    def _has_rested(self) -> bool:
        return self._pointer_asked_s > self._mouse_used_s + RESTING_S

    @property
    def _mouse_rests(self) -> bool:
        """Whether the mouse has rested, and the server will report when it is used again."""
        return self._activity is not None and self._has_rested

    def _pointer(self) -> tuple[int, int]:
        """Request the cursor's place, and handle the events up to the reply."""
        where = self._connection.ask(struct.pack("=BxHI", _QUERY_POINTER, 2, self._connection.root))
        self.hear()
        self._pointer_asked_s = time.monotonic()
        x, y = struct.unpack_from("=hh", where, 16) if where is not None else (NOWHERE.left, NOWHERE.top)
        if (x, y) != self._pointer_at:
            self._pointer_at, self._mouse_used_s = (x, y), self._pointer_asked_s
        return x, y

    def _cursor_moved(self) -> bool:
        """Whether the cursor has left its place in the last frame, and the old or the new place is in the area."""
        here = self._pointer()
        there = self._cursor_seen_at
        if here == there or self._is_unmoved(here):
            return False
        return self._may_show(here) or (there is not None and self._may_show(there))

    def _is_unmoved(self, here: tuple[int, int]) -> bool:
        """Whether the cursor is left out because the mouse has not moved yet."""
        if here != self._unmoved_at:
            self._unmoved_at = None
        return self._unmoved_at is not None

    def _may_show(self, place: tuple[int, int]) -> bool:
        return self._cursor.covered(*place).intersects(self._area)

    def _fetch_cursor(self) -> None:
        """Request the cursor's picture; without a reply it keeps the old one."""
        assert self._fixes is not None  # noqa: S101 - it reported the new cursor
        image = self._connection.ask(self._fixes.request(_GET_CURSOR_IMAGE))
        # There is no reply if the program whose cursor is shown has ended.
        if image is not None:
            width, height, hot_x, hot_y = struct.unpack_from("=4H", image, 12)
            self._cursor = CursorImage(width, height, hot_x, hot_y, image[32:])
