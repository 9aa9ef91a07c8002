"""A screen, or a part of one, as a source of frames."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from capture.errors import DisplayLostError
from capture.events import EventKind
from capture.media import Frame, Pixels, Rectangle
from capture.sources.overlays.overlays import Overlays
from capture.sources.placement import Placement

if TYPE_CHECKING:
    from capture.sources.x11.change_watch import X11Watch
    from capture.sources.x11.outline import LastingOutline
from capture.sources.screens import Where

__all__ = ["ScreenSource", "capture_time_s"]

#: How often to retry a grab while the screen is being resized.
MOST_GRABS: Final = 3


#: Some drivers report less damage than they draw. A whole grab this often repairs what was missed, at the cost of a
#: hundredth of a processor.
WHOLE_EVERY_S: Final = 5.0


class _Kept(NamedTuple):
    """The whole picture as it was at `at_s`."""

    at_s: float
    pixels: Callable[[], Pixels]


class ScreenSource:
    """Delivers frames of `area` of an X11 screen. The area must lie on the screen and have even sides.

    A frame shows everything drawn since the frame before it, so its timestamp is the middle between the first report
    of a change and the grab. The moment of the grab alone would be late, by half a slot on a busy screen.

    When the monitors change, `where` returns the area to show from then on; it is fitted into the first size, and the
    change goes to `report`. With `cursor_once_moved` the cursor is left out until the mouse has
    moved. `outlined` shows the area's outline on the screen. `overlays` are drawn into frames.
    """

    def __init__(
        self,
        area: Rectangle,
        *,
        cursor: bool,
        cursor_once_moved: bool = False,
        outlined: bool = False,
        where: Where | None = None,
        report: Callable[[EventKind, str], None] = lambda kind, detail: None,
        overlays: Overlays | None = None,
    ) -> None:
        self._area = area
        self._overlays = overlays or Overlays()
        self._where = where or (lambda screens: area)
        self._report = report
        self._outlined = outlined
        self._outline: LastingOutline | None = None
        self._cursor = cursor
        self._cursor_once_moved = cursor_once_moved
        self._watch: X11Watch | None = None
        self._place = Placement(area.width, area.height, area, area)
        # The picture has not been grabbed since it was last placed.
        self._is_new = True
        self._whole_at_s = 0.0
        self._reported = self._place
        # The first frame of a recording that begins at once, until it is grabbed.
        self._kept: _Kept | None = None

    @property
    def width(self) -> int:
        return self._area.width

    @property
    def height(self) -> int:
        return self._area.height

    def open(self) -> None:
        from capture.sources.x11.change_watch import X11Watch

        watch = self._watch = X11Watch(
            self._area,
            with_cursor=self._cursor,
            cursor_once_moved=self._cursor_once_moved,
            overlays_due_s=self._overlays.due_s,
        )
        self._place = self._reported = replace(self._place, bounds=watch.bounds)
        self._overlays.look_at(self._place.seen)
        self._overlays.open(self.width, self.height, watch.wake_for_overlays)
        if self._outlined:
            from capture.sources.x11.outline import LastingOutline

            self._outline = LastingOutline(self._area)

    def settle(self) -> bool:
        """Have the server write the whole picture into shared memory; False where that is not possible."""
        watch, place = self._opened, self._place
        if place.seen is None or place.seen != place.area or place.is_scaled:
            return False
        watch.begin_grab()
        now_s = time.monotonic()
        pixels = watch.reader.keep(place.seen)
        if pixels is None:
            return False
        self._kept = _Kept(now_s, pixels)
        self._is_new, self._whole_at_s = False, now_s + WHOLE_EVERY_S
        return True

    def begin(self, epoch_s: float) -> None:
        """Make the first frame a whole one, whatever was grabbed before."""
        self._overlays.begin()
        if self._kept is None or self._kept.at_s < epoch_s:
            self._kept, self._is_new = None, True
            self._opened.forget()

    def wait_for_change(self, until_s: float) -> bool:
        watch = self._opened
        self._overlays.attend()
        return self._kept is not None or watch.wait_for_change(until_s) or watch.is_rearranged

    def grab(self) -> Frame:
        watch = self._opened
        kept, self._kept = self._kept, None
        if kept is not None:
            pixels = kept.pixels()
            watch.draw_cursor(pixels, self._area)
            return Frame(pixels, kept.at_s)
        if watch.is_rearranged:
            self._find_area(watch)
        changed_at_s, part = watch.begin_grab(self._overlaid())
        tries_left = MOST_GRABS
        while True:
            # The server may have reported another size just now.
            self._place_area(watch, self._place.area)
            now_s = time.monotonic()
            try:
                pixels, left, top = self._grab_changed(watch, part, now_s)
            except DisplayLostError:
                tries_left -= 1
                watch.sync()
                if not tries_left:
                    raise
            else:
                self._overlays.draw_keys(pixels, left, top)
                return Frame(pixels, capture_time_s(changed_at_s, now_s), left, top)

    def _overlaid(self) -> Rectangle | None:
        """Return the part of the screen that must be read because the overlays on it change now."""
        clicks, keys = self._overlays.update()
        if keys is None:
            return clicks
        part = self._place.part_at(keys)
        # Margins beside the screen cannot be read from it: the frame has to be a whole one.
        self._is_new |= part is None
        return clicks if part is None else part.union(clicks)

    def _grab_changed(self, watch: X11Watch, part: Rectangle, now_s: float) -> tuple[Pixels, int, int]:
        """Read only the part that was drawn to: for a typed letter that is a hundredth of the screen."""
        place = self._place
        is_due = self._is_new or now_s >= self._whole_at_s
        in_pairs = None if is_due or place.is_scaled or place.seen is None else place.evened(part)
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

    def _find_area(self, watch: X11Watch) -> None:
        """Find the recorded area again after the monitors have changed."""
        watch.rearranged_at_s = None
        try:
            area = self._where(watch.reader.screens())
        except DisplayLostError:
            # The monitors are still changing, or the display is gone.
            watch.sync()
            watch.rearranged_at_s = time.monotonic()
            return
        self._place_area(watch, area)
        reported, self._reported = self._reported, self._place
        if not self._place.shows_as(reported):
            self._report(EventKind.DISPLAY_CHANGED, str(self._place))

    def _place_area(self, watch: X11Watch, area: Rectangle | None) -> None:
        """Make `area` fill the picture, clipped to the screen."""
        place = replace(self._place, area=area, bounds=watch.bounds)
        if place != self._place:
            self._place, self._is_new = place, True
            watch.look_at(place.seen)
            self._overlays.look_at(place.seen)

    def idle(self) -> None:
        self._overlays.rest()
        self._opened.hear()
        self._opened.reader.release()

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


def capture_time_s(changed_at_s: float | None, now_s: float) -> float:
    """Return the timestamp of a frame grabbed at `now_s` whose content changed at `changed_at_s`; None if unknown."""
    return now_s if changed_at_s is None else (changed_at_s + now_s) / 2
