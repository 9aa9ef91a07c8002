"""The screen or window that the user chose in the desktop's dialog, as a source of frames."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from capture.errors import DisplayLostError, NotReadyError, UsageError
from capture.events import EventKind
from capture.media import Frame, Pixels, Rectangle
from capture.sources.placement import Placement, cropped_to_even
from capture.sources.portal.screencast import ScreenCast
from capture.sources.portal.shared_picture import Cursor, SharedPicture
from capture.sources.portal.stream import PictureStream

__all__ = ["PortalSource"]

#: How long PipeWire may take to agree on a format, a few hundredths of a second usually.
FORMAT_LIMIT_S: Final = 6.0

#: How long to wait for the first picture. Some desktops send none as long as the screen is still.
FIRST_PICTURE_S: Final = 0.5


class PortalSource:
    """Delivers frames of the node that `ScreenCast.ask` gave, which this source closes with its session.

    `region` is the part to record, in pixels of the picture; None takes it whole. The picture keeps its first size,
    made even; if the desktop changes the size, it is centred, scaled down if it is too large.

    `report` and `end` are called by the thread that grabs: `end` with `permission_revoked` when the user ends the
    sharing in the desktop.
    """

    def __init__(
        self,
        portal: ScreenCast,
        descriptor: int,
        node: int,
        *,
        fps: float,
        region: Rectangle | None,
        draws_cursor: bool,
        cursor_once_moved: bool,
        report: Callable[[EventKind, str], None],
        end: Callable[[str], None],
    ) -> None:
        self._portal = portal
        self._region = region
        self._report = report
        self._end = end
        self._picture = SharedPicture()
        self._stream = PictureStream(
            descriptor, node, self._picture, max_fps=fps, with_cursor=draws_cursor, watch=portal
        )
        self._place = Placement(2, 2, None, Rectangle(0, 0, 2, 2))
        # Whether there is a picture of the size of the place's bounds, and when it was shown.
        self._has_picture = self._is_black = False
        self._shown_at_s = 0.0
        self._is_revoked = False
        # The picture has to be delivered whole, and what of it changed since the last frame.
        self._is_new = True
        self._changed: Rectangle | None = None
        # The cursor now, as it is in the last frame, and where it was at first, if it is left out until it moves.
        self._cursor: Cursor | None = None
        self._drawn: Cursor | None = None
        self._waits_for_move = cursor_once_moved
        self._first_at: tuple[int, int] | None = None
        # The first frame of a recording that begins at once, and since when it is kept, until it is grabbed.
        self._kept: tuple[float, Frame] | None = None

    @property
    def width(self) -> int:
        return self._place.width

    @property
    def height(self) -> int:
        return self._place.height

    def open(self) -> None:
        self._stream.start()
        try:
            self._fit(self._await_layout())
            self._await_first()
        except DisplayLostError as error:
            raise NotReadyError(error.message, "try again, and see capture doctor") from error

    def _await_layout(self) -> Rectangle:
        """Return the size of the stream's pictures."""
        until_s = time.monotonic() + FORMAT_LIMIT_S
        while (layout := self._stream.layout) is None:
            if time.monotonic() >= until_s or self._portal.has_closed:
                raise NotReadyError("the desktop delivers no picture", "choose again, with --screen ask")
            self._picture.wait(until_s)
        return Rectangle(0, 0, layout.width, layout.height)

    def _fit(self, bounds: Rectangle) -> None:
        area = bounds if self._region is None else self._region
        if not bounds.contains(area):
            raise UsageError(f"the region {area} reaches outside the screen", f"the screen is {bounds}")
        even = cropped_to_even(area, "what was chosen", self._report)
        self._place = Placement(even.width, even.height, even, bounds)

    def _await_first(self) -> None:
        until_s = time.monotonic() + FIRST_PICTURE_S
        while not self._has_picture and time.monotonic() < until_s:
            self._picture.wait(until_s)
            self._absorb()
        if not self._has_picture:
            self._is_black = True
            self._report(
                EventKind.SCREEN_UNREADABLE,
                "the desktop has sent no picture yet, as nothing moves: it is black until the screen changes",
            )

    def settle(self) -> bool:
        """Keep the picture as it is now; False if there is none."""
        self._is_new = True
        frame = self.grab()
        if self._has_picture:
            self._kept = time.monotonic(), frame
        return self._has_picture

    def begin(self, epoch_s: float) -> None:
        """Make the first frame a whole one, whatever was grabbed before."""
        if self._kept is None or self._kept[0] < epoch_s:
            self._kept, self._is_new = None, True

    def wait_for_change(self, until_s: float) -> bool:
        while True:
            self._absorb()
            if self._has_change or self._kept is not None:
                return True
            if self._is_revoked:
                self._picture.rest(until_s)
                return False
            try:
                if not self._picture.wait(until_s):
                    return False
            except DisplayLostError:
                if not self._portal.has_closed:
                    raise

    def grab(self) -> Frame:
        kept, self._kept = self._kept, None
        if kept is not None:
            return kept[1]
        while True:
            self._absorb()
            place, part = self._place, self._part()
            seen = part or place.seen
            if not self._has_picture or seen is None:
                self._is_new, self._changed, self._drawn = False, None, self._cursor
                return Frame(place.picture(None), time.monotonic())
            pixels = self._picture.cut(seen, place.bounds)
            if pixels is not None:
                break
        # A cursor that moved alone was seen now.
        shown_at_s = self._shown_at_s if self._changed is not None or self._is_new else time.monotonic()
        self._is_new &= part is not None
        self._changed, self._drawn = None, self._cursor
        pixels = self._with_cursor(pixels, seen)
        if part is None:
            return Frame(place.picture(pixels), shown_at_s)
        return Frame(pixels, shown_at_s, *place.corner(part))

    def idle(self) -> None:
        self._absorb()

    def wake(self) -> None:
        self._picture.wake()

    def close(self) -> None:
        self._stream.close()
        self._portal.close()

    def _absorb(self) -> None:
        """Take what the desktop has sent. Raises `DisplayLostError`, but not after the user ended the sharing."""
        if self._portal.has_closed:
            self._note_revoked()
            return
        try:
            news = self._picture.take()
        except DisplayLostError:
            # The stream has waited for the reason, but tells only the consequence.
            if self._portal.has_closed:
                self._note_revoked()
                return
            raise
        self._cursor = self._shown(news.cursor)
        bounds = self._place.bounds
        if news.size is None:
            self._has_picture = False
            return
        if news.size != (bounds.width, bounds.height):
            self._resize(Rectangle(0, 0, *news.size))
        if not self._has_picture:
            self._has_picture = self._is_new = True
            if self._is_black:
                self._is_black = False
                self._report(EventKind.SCREEN_READABLE, "the desktop sends its picture now")
        if news.changed is not None:
            self._shown_at_s = news.shown_at_s
            self._changed = news.changed.union(self._changed)

    def _note_revoked(self) -> None:
        if not self._is_revoked:
            self._is_revoked = True
            self._report(EventKind.PERMISSION_REVOKED, "sharing the screen was ended in the desktop")
            self._end("permission_revoked")

    def _resize(self, bounds: Rectangle) -> None:
        """Fit the stream's new size into the picture."""
        area = self._region.trimmed_to_even() if self._region is not None else bounds
        if (area.width & ~1, area.height & ~1) == (self.width, self.height):
            area = area.trimmed_to_even()
        reported, self._place = self._place, replace(self._place, area=area, bounds=bounds)
        self._changed, self._is_new = None, True
        if not self._place.shows_as(reported):
            self._report(EventKind.DISPLAY_CHANGED, str(self._place))

    def _shown(self, cursor: Cursor | None) -> Cursor | None:
        """Return the cursor if the recording shows it: with `cursor_once_moved`, not before it has moved."""
        if not self._waits_for_move or cursor is None:
            return cursor
        here = (cursor.x, cursor.y)
        self._first_at = self._first_at or here
        self._waits_for_move = here == self._first_at
        return None if self._waits_for_move else cursor

    @property
    def _has_change(self) -> bool:
        if self._is_new or not self._has_picture:
            return self._is_new
        return self._changed is not None or self._cursor is not self._drawn

    def _part(self) -> Rectangle | None:
        """Return the part of the stream's picture that a frame has to show; None for all."""
        place = self._place
        if self._is_new or place.is_scaled or place.seen is None:
            return None
        part = self._changed
        if self._cursor is not self._drawn:
            for each in (self._cursor, self._drawn):
                if each is not None:
                    part = each.sprite.covered(each.x, each.y).union(part)
        seen = None if part is None else part.intersection(place.seen)
        # A change beside the region still owes the caller a frame.
        return place.evened(seen or Rectangle(place.seen.left, place.seen.top, 2, 2))

    def _with_cursor(self, pixels: Pixels, part: Rectangle) -> Pixels:
        """Return `pixels` of `part` with the cursor, in memory of their own if it is in there."""
        cursor = self._cursor
        if cursor is None or not cursor.sprite.covered(cursor.x, cursor.y).intersects(part):
            return pixels
        if not pixels.flags.writeable:
            pixels = pixels.copy()
        cursor.sprite.draw(pixels, cursor.x - part.left, cursor.y - part.top)
        return pixels
