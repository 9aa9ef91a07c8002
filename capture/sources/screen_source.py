"""One screen, or a part of one, as a source of frames."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from capture.errors import DisplayLostError
from capture.event_kinds import EventKind
from capture.media import Frame, Pixels, Rectangle
from capture.sources.overlays.overlays import Overlays
from capture.sources.placement import Placement

if TYPE_CHECKING:
    from capture.sources.x11.change_watch import X11Watch
    from capture.sources.x11.outline import LastingOutline
from capture.sources.screens import Where

__all__ = ["ScreenSource", "middle_s"]

#: So often is a picture grabbed anew when the screen changes its size meanwhile.
MOST_GRABS: Final = 3


#: Some drivers report less than they draw. What was missed is made good after so long, for a hundredth of a processor.
WHOLE_EVERY_S: Final = 5.0


class ScreenSource:
    """Frames of `area` of an X11 screen, which must lie on it and have even sides.

    A frame shows what was drawn since the one before it, so it is stamped with the middle between the first report of a
    change and the grab. The moment of the grab alone would show everything late, on a lively screen by half a slot.

    When the monitors become others, `where` tells what is to be seen from then on; that is fitted into the first size,
    and `tell` hears of it. With `outlined` people see where the area is. `overlays` are drawn into the frames.
    """

    def __init__(
        self,
        area: Rectangle,
        *,
        cursor: bool,
        outlined: bool = False,
        where: Where | None = None,
        tell: Callable[[EventKind, str], None] = lambda kind, detail: None,
        overlays: Overlays | None = None,
    ) -> None:
        self._area = area
        self._overlays = overlays or Overlays()
        self._where = where or (lambda screens: area)
        self._tell = tell
        self._outlined = outlined
        self._outline: LastingOutline | None = None
        self._cursor = cursor
        self._watch: X11Watch | None = None
        self._place = Placement(area.width, area.height, area, area)
        # Nothing of the picture as it is placed now was grabbed yet.
        self._is_new = True
        self._whole_at_s = 0.0
        self._told = self._place

    @property
    def width(self) -> int:
        return self._area.width

    @property
    def height(self) -> int:
        return self._area.height

    def open(self) -> None:
        from capture.sources.x11.change_watch import X11Watch

        watch = self._watch = X11Watch(self._area, with_cursor=self._cursor, overlays_due_s=self._overlays.due_s)
        self._place = self._told = replace(self._place, bounds=watch.bounds)
        self._overlays.look_at(self._place.seen)
        self._overlays.open(self.width, self.height, watch.wake_for_overlays)
        if self._outlined:
            from capture.sources.x11.outline import LastingOutline

            self._outline = LastingOutline(self._area)

    def begin(self, epoch_s: float) -> None:
        """The first picture is new, whatever was seen before."""
        self._is_new = True
        self._overlays.begin()
        self._opened.forget()

    def wait_for_change(self, until_s: float) -> bool:
        watch = self._opened
        self._overlays.attend()
        return watch.wait_for_change(until_s) or watch.is_rearranged

    def grab(self) -> Frame:
        watch = self._opened
        if watch.is_rearranged:
            self._look_anew(watch)
        changed_at_s, part = watch.begin_grab(self._overlaid())
        tries_left = MOST_GRABS
        while True:
            # The server may have told of another size just now.
            self._put(watch, self._place.area)
            now_s = time.monotonic()
            try:
                pixels, left, top = self._grab_changed(watch, part, now_s)
            except DisplayLostError:
                tries_left -= 1
                watch.sync()
                if not tries_left:
                    raise
                watch.reader.renew()
            else:
                self._overlays.draw_keys(pixels, left, top)
                return Frame(pixels, middle_s(changed_at_s, now_s), left, top)

    def _overlaid(self) -> Rectangle | None:
        """What of the screen is to be read because something else is to be drawn over it now."""
        clicks, keys = self._overlays.update()
        if keys is None:
            return clicks
        part = self._place.part_at(keys)
        # What is beside the screen cannot be read anew.
        self._is_new |= part is None
        return clicks if part is None else part.joined(clicks)

    def _grab_changed(self, watch: X11Watch, part: Rectangle, now_s: float) -> tuple[Pixels, int, int]:
        """Read what was drawn to alone: of a typed letter that is a hundredth of the screen."""
        place = self._place
        is_due = self._is_new or now_s >= self._whole_at_s
        in_pairs = None if is_due or place.is_scaled or place.seen is None else place.in_pairs(part)
        if in_pairs is not None:
            return self._seen(watch, in_pairs), *place.corner(in_pairs)
        picture = place.picture(None if place.seen is None else self._seen(watch, place.seen))
        self._is_new, self._whole_at_s = False, now_s + WHOLE_EVERY_S
        return picture, 0, 0

    def _seen(self, watch: X11Watch, part: Rectangle) -> Pixels:
        pixels = watch.reader.grab(part)
        watch.draw_cursor(pixels, part)
        self._overlays.draw_clicks(pixels, part)
        return pixels

    def _look_anew(self, watch: X11Watch) -> None:
        """See where what is to be recorded is now that the monitors are others."""
        watch.rearranged_at_s = None
        watch.reader.renew()
        try:
            area = self._where(watch.reader.screens())
        except DisplayLostError:
            # They change while we look, or the display is gone.
            watch.sync()
            watch.rearranged_at_s = time.monotonic()
            return
        self._put(watch, area)
        told, self._told = self._told, self._place
        if not self._place.shows_as(told):
            self._tell(EventKind.DISPLAY_CHANGED, str(self._place))

    def _put(self, watch: X11Watch, area: Rectangle | None) -> None:
        """Have `area` fill the picture, as far as it is on the screen."""
        place = replace(self._place, area=area, bounds=watch.bounds)
        if place != self._place:
            self._place, self._is_new = place, True
            watch.look_at(place.seen)
            self._overlays.look_at(place.seen)

    def idle(self) -> None:
        self._overlays.rest()
        self._opened.hear()

    def wake(self) -> None:
        if self._watch is not None:
            self._watch.wake()

    def close(self) -> None:
        if self._outline is not None:
            self._outline.close()
        self._overlays.close()
        if self._watch is not None:
            self._watch.close()

    @property
    def _opened(self) -> X11Watch:
        assert self._watch is not None  # noqa: S101 - it is open
        return self._watch


def middle_s(changed_at_s: float | None, now_s: float) -> float:
    """The moment of what is grabbed at `now_s` and changed some time since `changed_at_s`; None: nobody knows when."""
    return now_s if changed_at_s is None else (changed_at_s + now_s) / 2
