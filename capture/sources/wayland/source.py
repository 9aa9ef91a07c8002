"""One output of a Wayland desktop as a source of frames, for compositors that give them without a dialog."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from capture.errors import DisplayLostError, NotReadyError
from capture.events import EventKind
from capture.media import Frame, Rectangle
from capture.sources.placement import Placement, cropped_to_even
from capture.sources.wayland.desktop import Desktop, Output
from capture.sources.wayland.output_capture import OutputCapture, OutputPicture
from capture.sources.wayland.turn import Turn

__all__ = ["OutputSource"]

#: How long to wait for the first picture, which the compositor draws at once.
FIRST_PICTURE_S: Final = 3.0

#: How often to ask again for the picture of an output that gives none, as one that is switched off.
RETRY_S: Final = 1.0

#: A picture that was shown longer ago when it is taken is asked for again: it lay there, as during a pause.
FRESH_S: Final = 0.25

#: Some drivers report less damage than they draw. A whole picture this often repairs what was missed.
WHOLE_EVERY_S: Final = 5.0

#: What claims to be shown longer ago, or in the future, has no time.
_OLDEST_S: Final = 2.0

#: Smaller parts of a picture are copied, so that the memory of the whole is free again: a share of it.
_COPIED_SHARE: Final = 0.25


class OutputSource:
    """Delivers frames of the output called `name`, and of no other one: while it is not connected, they are black.

    `region` is the part to record, in the units of the desktop; None takes the output whole. The picture keeps its
    first size, made even; if the output changes, it is centred, scaled down if it is too large.

    A picture is asked for when the one before is grabbed, `fps` times a second at most, and stamped with the moment at
    which the compositor showed it.
    """

    def __init__(
        self, name: str, region: Rectangle | None, *, fps: float, cursor: bool, report: Callable[[EventKind, str], None]
    ) -> None:
        self._name = name
        self._region = region
        self._slot_s = 1 / fps
        self._cursor = cursor
        self._report = report
        self._desktop: Desktop | None = None
        self._capture: OutputCapture | None = None
        # The output of the capture with its mode, and how its pictures lie in memory.
        self._output: Output | None = None
        self._mode: tuple[int, int] | None = None
        self._turn = Turn()
        self._place = Placement(2, 2, None, Rectangle(0, 0, 2, 2))
        self._last: OutputPicture | None = None
        self._shown_at_s = 0.0
        # The next frame has to be whole, or what it has to show of the upright picture; when it is to be whole anyway.
        self._is_new = True
        self._changed: Rectangle | None = None
        self._whole_at_s = 0.0
        # What was to be recorded of the output, before it was made even, and the output's bounds then.
        self._wanted: tuple[Rectangle, Rectangle] | None = None
        # When to ask for a picture, and whether as the output is now, because the last one may be old.
        self._ask_at_s = 0.0
        self._at_once = True
        self._failures = 0
        self._is_unreadable = False

    @property
    def width(self) -> int:
        return self._place.width

    @property
    def height(self) -> int:
        return self._place.height

    def open(self) -> None:
        try:
            self._desktop = Desktop()
            self._await_first(self._desktop)
        except DisplayLostError as error:
            raise NotReadyError(error.message, "see capture doctor") from error

    def _await_first(self, desktop: Desktop) -> None:
        until_s = time.monotonic() + FIRST_PICTURE_S
        self._follow_output(desktop)
        if self._output is None:
            raise NotReadyError(f"the screen {self._name} is gone", "see capture devices")
        if self._region is not None:
            # Wherever the output is moved, it is the same part of it.
            self._region = self._region.moved(-self._output.area.left, -self._output.area.top)
        while self._last is None:
            now_s = time.monotonic()
            if now_s >= until_s or self._output is None:
                raise NotReadyError(f"the screen {self._name} gives no picture", "switch it on")
            self._keep_asking(now_s)
            desktop.connection.wait(self._wait_until_s(until_s))
            self._absorb()

    def begin(self, epoch_s: float) -> None:
        """Make the first frame a whole one, whatever was grabbed before."""
        self._is_new = True
        self._renew()

    def wait_for_change(self, until_s: float) -> bool:
        connection = self._opened.connection
        while True:
            connection.hear()
            self._absorb()
            if self._has_change:
                return True
            now_s = time.monotonic()
            self._keep_asking(now_s)
            if now_s >= until_s:
                return False
            wait_until_s = self._wait_until_s(until_s)
            if not connection.wait(wait_until_s) and time.monotonic() < wait_until_s:
                # It was woken.
                return False

    def grab(self) -> Frame:
        self._absorb()
        place, now_s = self._place, time.monotonic()
        part, picture = self._part(now_s), self._last
        seen = part or place.seen
        self._is_new, self._changed = False, None
        if picture is None or seen is None or self._output is None:
            return Frame(place.picture(None), self._shown_at_s)
        # Already now, so that the next change is shown with the time that it has.
        self._keep_asking(now_s)
        pixels = self._turn.upright(picture.pixels(self._turn.origin(seen)))
        if seen.width * seen.height < _COPIED_SHARE * picture.width * picture.height:
            pixels = pixels.copy()
        if part is not None:
            return Frame(pixels, self._shown_at_s, *place.corner(part))
        self._whole_at_s = now_s + WHOLE_EVERY_S
        return Frame(place.picture(pixels), self._shown_at_s)

    def idle(self) -> None:
        self._opened.connection.hear()
        self._absorb()
        self._renew()
        if self._capture is not None:
            self._capture.release()

    def wake(self) -> None:
        if self._desktop is not None:
            self._desktop.connection.wake()

    def close(self) -> None:
        if self._desktop is not None:
            self._desktop.close()

    @property
    def _opened(self) -> Desktop:
        assert self._desktop is not None  # noqa: S101 - it is open
        return self._desktop

    @property
    def _has_change(self) -> bool:
        is_current = self._output is None or not self._at_once
        return is_current and (self._is_new or self._changed is not None)

    def _renew(self) -> None:
        """Take another picture before the next grab, unless nothing has changed since the last one."""
        self._at_once |= self._capture is not None and not self._capture.is_asking

    def _keep_asking(self, now_s: float) -> None:
        capture = self._capture
        if capture is not None and not capture.is_asking and now_s >= self._ask_at_s and not self._has_change:
            capture.ask(at_once=self._at_once)

    def _wait_until_s(self, until_s: float) -> float:
        is_asking = self._capture is None or self._capture.is_asking
        return until_s if is_asking else min(until_s, self._ask_at_s)

    def _absorb(self) -> None:
        """Take in what the compositor has said."""
        self._follow_output(self._opened)
        if self._capture is None or self._output is None:
            return
        picture = self._capture.take()
        if picture is not None:
            self._take_in(picture, self._output)
        elif self._capture.has_failed:
            self._capture.has_failed = False
            self._note_failure()

    def _follow_output(self, desktop: Desktop) -> None:
        """Begin again with an output that has come or has another mode: what was asked for is of the old one."""
        output = desktop.output(self._name)
        mode = None if output is None else output.mode
        if output is self._output and mode == self._mode:
            return
        if self._capture is not None:
            self._capture.close()
        self._output, self._mode, self._capture = output, mode, None
        if output is not None:
            self._capture = OutputCapture(desktop, output.number, with_cursor=self._cursor)
            self._at_once, self._ask_at_s, self._failures = True, 0.0, 0
        elif self._last is not None:
            self._put(None, self._place.bounds)

    def _take_in(self, picture: OutputPicture, output: Output) -> None:
        now_s = time.monotonic()
        # One that was asked for as it is now counts, or a machine that is too slow would never get one.
        self._at_once = not self._at_once and now_s - picture.shown_at_s > FRESH_S
        self._failures = 0
        if self._is_unreadable:
            self._is_unreadable = False
            self._report(EventKind.SCREEN_READABLE, "the screen can be read again")
        self._turn = Turn(picture.width, picture.height, output.transform)
        is_first, self._last = self._last is None, picture
        bounds = self._turn.bounds
        wanted = self._area_in(bounds, output)
        if is_first:
            area = cropped_to_even(wanted, "the region", self._report)
            self._place = Placement(area.width, area.height, area, bounds)
        elif (wanted, bounds) != self._wanted:
            self._put(wanted, bounds)
        self._wanted = wanted, bounds
        place = self._place
        changed = None if place.seen is None else self._turn.placed(picture.damage).intersection(place.seen)
        if changed is None and not self._is_new:
            self._ask_at_s = now_s + self._slot_s
            return
        self._shown_at_s = picture.shown_at_s if now_s - _OLDEST_S < picture.shown_at_s <= now_s else now_s
        self._changed = self._changed if changed is None else changed.union(self._changed)

    def _note_failure(self) -> None:
        self._at_once, self._failures = True, self._failures + 1
        if self._failures == 1:
            # As when the size has just changed.
            self._ask_at_s = 0.0
            return
        self._ask_at_s = time.monotonic() + RETRY_S
        if not self._is_unreadable and self._last is not None:
            self._is_unreadable = True
            self._report(
                EventKind.SCREEN_UNREADABLE,
                f"the screen {self._name} gives no picture: repeating its last one until it does",
            )

    def _area_in(self, bounds: Rectangle, output: Output) -> Rectangle:
        """Return what is recorded of an output whose picture has these `bounds`."""
        region, area = self._region, output.area
        if region is None:
            return bounds
        across, down = bounds.width / area.width, bounds.height / area.height
        left, top = round(region.left * across), round(region.top * down)
        return Rectangle(left, top, round(region.right * across) - left, round(region.bottom * down) - top)

    def _put(self, area: Rectangle | None, bounds: Rectangle) -> None:
        """Fit another area into the picture; None if it is gone."""
        if area is not None and (area.width & ~1, area.height & ~1) == (self.width, self.height):
            area = area.trimmed_to_even()
        before, self._place = self._place, replace(self._place, area=area, bounds=bounds)
        self._wanted, self._changed, self._is_new = None, None, True
        self._shown_at_s = time.monotonic()
        if not self._place.shows_as(before):
            self._report(EventKind.DISPLAY_CHANGED, str(self._place))

    def _part(self, now_s: float) -> Rectangle | None:
        """Return the part of the upright picture that a frame has to show; None for all."""
        place = self._place
        if self._is_new or now_s >= self._whole_at_s or place.is_scaled or place.seen is None:
            return None
        return place.evened(self._changed or Rectangle(place.seen.left, place.seen.top, 2, 2))
