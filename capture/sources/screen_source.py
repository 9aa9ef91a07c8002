"""A screen, or a part of one, as a source of frames."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from capture.errors import DisplayLostError
from capture.events import EventKind
from capture.media import Frame, Pixels, Rectangle
from capture.sources.overlays.overlays import Overlays
from capture.sources.placement import Placement
from capture.sources.screens import Where
from capture.sources.x11.strips import (
    STRIP_BYTES,
    STRIP_IN_MOTION_BYTES,
    KeptStrips,
    ScreenStrips,
    frame_of,
    size_bytes,
)

if TYPE_CHECKING:
    from capture.sources.x11.change_watch import X11Watch
    from capture.sources.x11.outline import LastingOutline

__all__ = ["ScreenSource", "capture_time_s"]

#: How often to retry a grab while the screen is being resized.
MOST_GRABS: Final = 3

#: Some drivers report less damage than they draw. A whole grab this often repairs what was missed, at the cost of a
#: hundredth of a processor.
WHOLE_EVERY_S: Final = 5.0

#: How long after the last large change the screen still counts as in motion: a page is read, then scrolled again.
IN_MOTION_S: Final = 5.0

#: For how long large parts are read in one go, which takes the memory of a whole picture, once strips did not belong
#: together. To read them again costs a slot or two at 60 fps.
IN_ONE_GO_S: Final = 600.0


class _Kept(NamedTuple):
    """The whole picture as it was at `at_s`."""

    at_s: float
    pixels: Callable[[], Pixels]


class ScreenSource:
    """Delivers frames of `area` of an X11 screen. The area must lie on the screen and have even sides.

    A frame shows everything drawn since the frame before it, so its timestamp is the middle between the first report
    of a change and the grab. The moment of the grab alone would be late, by half a slot on a busy screen.

    When the monitors change, `where` returns the area to show from then on; it is fitted into the first size, and the
    change goes to `report`. With `cursor_once_moved` the cursor is left out until the mouse has moved. `outlined` shows
    the area's outline on the screen. `overlays` are drawn into frames. With `in_strips`, the pixels of large frames are
    `Strips`, where the server shares memory.
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
        in_strips: bool = False,
    ) -> None:
        self._area = area
        self._in_strips = in_strips
        # What was read in strips that do not belong together, and when it was first changed.
        self._torn: tuple[float | None, Rectangle] | None = None
        self._in_one_go_until_s = 0.0
        # When a large part last changed.
        self._moved_at_s = -math.inf
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
        """Have the server write the whole picture into shared memory; False where that is not possible.

        Raises `DisplayLostError` if the server is gone.
        """
        watch, place = self._opened, self._place
        if place.seen is None or place.seen != place.area or place.is_scaled:
            return False
        watch.begin_grab()
        now_s = time.monotonic()
        try:
            pixels = watch.reader.keep(place.seen)
        except DisplayLostError:
            # The screen has just been resized, which the first grab sees to, or it is gone.
            watch.sync()
            return False
        if pixels is None:
            return False
        self._kept = _Kept(now_s, pixels)
        self._is_new, self._whole_at_s = False, now_s + WHOLE_EVERY_S
        return True

    def begin(self, epoch_s: float) -> None:
        """Make the first frame a whole one, whatever was grabbed before."""
        self._torn = None
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
            return self._frame_of(kept, watch)
        if watch.is_rearranged:
            self._find_area(watch)
        changed_at_s, part = watch.begin_grab(self._overlaid())
        if self._torn is not None:
            changed_at_s, part = self._torn[0], self._torn[1].union(part)
            self._torn = None
        tries_left = MOST_GRABS
        while True:
            # The server may have reported another size just now.
            self._place_area(watch, self._place.area)
            now_s = time.monotonic()
            at_s = capture_time_s(changed_at_s, now_s)
            try:
                if self._in_strips and (strips := self._strips_of(watch, part, changed_at_s, now_s)):
                    return frame_of(strips[1], at_s, *strips[0])
                pixels, left, top = self._grab_changed(watch, part, now_s)
            except DisplayLostError:
                tries_left -= 1
                watch.sync()
                if not tries_left:
                    raise
            else:
                self._overlays.draw_keys(pixels, left, top)
                return Frame(pixels, at_s, left, top)

    def _frame_of(self, kept: _Kept, watch: X11Watch) -> Frame:
        def pixels() -> Pixels:
            made = kept.pixels()
            watch.draw_cursor(made, self._area)
            return made

        if not self._in_strips:
            return Frame(pixels(), kept.at_s)
        return frame_of(KeptStrips(self._area, pixels, partial(watch.reader.release, STRIP_BYTES)), kept.at_s)

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
        in_pairs = self._changed(part, now_s)
        if in_pairs is not None:
            return self._seen(watch, in_pairs), *place.corner(in_pairs)
        picture = place.picture(None if place.seen is None else self._seen(watch, place.seen))
        self._note_whole(now_s)
        return picture, 0, 0

    def _changed(self, part: Rectangle, now_s: float) -> Rectangle | None:
        """Return what is to be read because `part` was drawn to, in even rows and columns; None for everything."""
        place = self._place
        is_due = self._is_new or now_s >= self._whole_at_s
        return None if is_due or place.is_scaled or place.seen is None else place.evened(part)

    def _note_whole(self, now_s: float) -> None:
        self._is_new, self._whole_at_s = False, now_s + WHOLE_EVERY_S

    def _strips_of(
        self, watch: X11Watch, part: Rectangle, changed_at_s: float | None, now_s: float
    ) -> tuple[tuple[int, int], ScreenStrips] | None:
        """Return what is to be read as strips, with its corner in the picture; None if it is read in one go."""
        place = self._place
        in_pairs = self._changed(part, now_s)
        area = in_pairs or place.seen
        if area is None or size_bytes(area) <= STRIP_BYTES or not watch.reader.shares_memory:
            return None
        is_in_motion = now_s < self._moved_at_s + IN_MOTION_S
        if in_pairs is not None:
            self._moved_at_s = now_s
        strip_bytes = STRIP_IN_MOTION_BYTES if is_in_motion else STRIP_BYTES
        if size_bytes(area) <= strip_bytes or now_s < self._in_one_go_until_s:
            return None
        if in_pairs is None and not place.is_filled_as_it_is:
            return None
        watch.reader.release(strip_bytes)
        # What is drawn from here on is reported before the reply with the pixels that show it.
        watch.sync()
        if not watch.nothing_was_drawn():
            return None
        left, top = place.corner(area)

        def grab(strip: Rectangle) -> Pixels:
            pixels = self._seen(watch, strip)
            self._overlays.draw_keys(pixels, left, top + strip.top - area.top)
            return pixels

        def note(belong_together: bool) -> None:
            if not belong_together:
                self._torn = (changed_at_s, part)
                self._in_one_go_until_s = now_s + IN_ONE_GO_S
            elif in_pairs is None:
                self._note_whole(now_s)

        return (left, top), ScreenStrips(area, strip_bytes, grab, watch.nothing_was_drawn, note)

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
