"""Outputs or a window of a Wayland desktop as a source of frames, for compositors that give them without a dialog."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from capture.errors import DisplayLostError, NotReadyError
from capture.events import EventKind
from capture.media import Frame, Pixels, Rectangle
from capture.sources.placement import Placement, black, cropped_to_even
from capture.sources.wayland.desktop import Desktop
from capture.sources.wayland.subjects import Member, Subject
from capture.sources.wayland.tile import AT_ONCE_S, Tile

__all__ = ["CompositorSource"]

#: How long to wait for the first picture, which the compositor draws at once.
FIRST_PICTURE_S: Final = 3.0

#: Some drivers report less damage than they draw. A whole picture this often repairs what was missed.
WHOLE_EVERY_S: Final = 5.0


class CompositorSource:
    """Delivers frames of `subject`, and of nothing else: while it is not there, they are black.

    The picture keeps its first size, made even; if what is recorded changes its size, it is centred, scaled down if it
    is too large. Outputs that lie apart have black between them.

    A picture is asked for when the one before is grabbed, `fps` times a second at most, and stamped with the moment at
    which the compositor showed it.
    """

    def __init__(self, subject: Subject, *, fps: float, report: Callable[[EventKind, str], None]) -> None:
        self._subject = subject
        self._slot_s = 1 / fps
        self._report = report
        self._desktop: Desktop | None = None
        self._tiles: dict[int, tuple[Member, Tile]] = {}
        self._all_tiles: list[Tile] = []
        # What was to be recorded before it was made even, and where the tiles were.
        self._arranged: tuple[Rectangle, tuple[Rectangle, ...]] | None = None
        self._place = Placement(2, 2, None, Rectangle(0, 0, 2, 2))
        self._shown_at_s = 0.0
        self._is_open = False
        # The next frame has to be whole, or what it has to show; when it is to be whole anyway.
        self._is_new = True
        self._changed: Rectangle | None = None
        self._whole_at_s = 0.0
        # Since when the first frame of a recording that begins at once is kept, until it is grabbed.
        self._kept_at_s: float | None = None
        # How many changes of the desktop the tiles follow.
        self._followed = -1
        # The outputs that give no picture now.
        self._unreadable: set[int] = set()

    @property
    def width(self) -> int:
        return self._place.width

    @property
    def height(self) -> int:
        return self._place.height

    def open(self) -> None:
        try:
            self._desktop = Desktop()
            self._subject.open(self._desktop)
            self._await_first(self._desktop)
        except DisplayLostError as error:
            raise NotReadyError(error.message, "see capture doctor") from error

    def _await_first(self, desktop: Desktop) -> None:
        until_s = time.monotonic() + FIRST_PICTURE_S
        others_until_s: float | None = None
        self._follow()
        while missing := [tile for tile in self._all_tiles if tile.bounds is None and not tile.has_failed]:
            now_s = time.monotonic()
            if others_until_s is None and len(missing) < len(self._tiles):
                # Those that are on give theirs at once.
                others_until_s = now_s + AT_ONCE_S
            limit_s = until_s if others_until_s is None else min(until_s, others_until_s)
            if now_s >= limit_s or self._subject.is_over:
                break
            self._keep_asking(now_s)
            desktop.connection.wait(self._wait_until_s(limit_s))
            self._absorb()
        if all(tile.bounds is None for tile in self._all_tiles):
            raise NotReadyError(f"{self._subject.name} gives no picture", "switch it on")
        # Only now, because the first size stays.
        self._is_open = True
        self._arrange()
        for key, (_, tile) in self._tiles.items():
            if tile.bounds is None:
                self._miss(key, tile)
        self._look_out()

    def settle(self) -> bool:
        """Keep the pictures as they are now; False where one is missing."""
        self._opened.connection.hear()
        self._absorb()
        if self._subject.is_over or not self._tiles or not all(tile.is_current for tile in self._all_tiles):
            return False
        self._kept_at_s = time.monotonic()
        self._look_out()
        return True

    def begin(self, epoch_s: float) -> None:
        """Make the first frame a whole one, whatever was grabbed before."""
        self._is_new = True
        if self._kept_at_s is None or self._kept_at_s < epoch_s:
            self._kept_at_s = None
            self._absorb()
            self._renew()

    def wait_for_change(self, until_s: float) -> bool:
        connection = self._opened.connection
        connection.hear()
        if self._kept_at_s is not None:
            return True
        self._absorb()
        while True:
            now_s = time.monotonic()
            if self._has_change(now_s):
                return True
            self._keep_asking(now_s)
            if now_s >= until_s:
                return False
            wait_until_s = self._wait_until_s(until_s)
            if connection.wait(wait_until_s):
                self._absorb()
            elif time.monotonic() < wait_until_s:
                # It was woken.
                return False

    def grab(self) -> Frame:
        is_kept, self._kept_at_s = self._kept_at_s is not None, None
        if not is_kept:
            self._absorb()
        place, now_s = self._place, time.monotonic()
        part = self._part(now_s)
        seen = part or place.seen
        self._is_new, self._changed = False, None
        for tile in self._all_tiles:
            tile.has_change = False
        if seen is None or not self._tiles:
            return Frame(place.picture(None), self._shown_at_s)
        if not is_kept:
            # Already now, so that the next change is shown with the time that it has.
            self._keep_asking(now_s)
        pixels = self._pixels(seen)
        if part is not None:
            return Frame(pixels, self._shown_at_s, *place.corner(part))
        self._whole_at_s = now_s + WHOLE_EVERY_S
        return Frame(place.picture(pixels), self._shown_at_s)

    def idle(self) -> None:
        self._opened.connection.hear()
        if self._kept_at_s is not None:
            # What has changed since is shown by the frame after the one that is kept.
            return
        self._absorb()
        self._renew()
        for tile in self._all_tiles:
            tile.release()

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

    def _has_change(self, now_s: float) -> bool:
        # What is over stays as it is. One of several that is off must not hold up the others.
        is_current = self._subject.is_over or all(
            tile.is_current or (len(self._tiles) > 1 and tile.is_late(now_s)) for tile in self._all_tiles
        )
        return is_current and (self._is_new or self._changed is not None)

    def _is_seen(self, tile: Tile) -> bool:
        return not self._is_new and not tile.has_change

    def _renew(self) -> None:
        """Take other pictures before the next grab, where something has changed since the last one."""
        for tile in self._all_tiles:
            tile.renew()

    def _look_out(self) -> None:
        """Ask for what changes from now on, though no frame shows yet what there is."""
        now_s = time.monotonic()
        for tile in self._all_tiles:
            tile.keep_asking(now_s, is_seen=True)

    def _keep_asking(self, now_s: float) -> None:
        if self._subject.is_over:
            return
        for tile in self._all_tiles:
            tile.keep_asking(now_s, is_seen=self._is_seen(tile))

    def _wait_until_s(self, until_s: float) -> float:
        if self._subject.is_over:
            return until_s
        now_s = time.monotonic()
        return min((until_s, *(tile.due_s(now_s, is_seen=self._is_seen(tile)) for tile in self._all_tiles)))

    def _absorb(self) -> None:
        """Take in what the compositor has said."""
        self._follow()
        for key, (_, tile) in self._tiles.items():
            # A whole frame needs no comparison, and the first one is kept before numpy is loaded.
            changed = tile.absorb(compares=not self._is_new)
            if changed is not None:
                self._take_in(key, tile, changed)
            elif tile.has_failed and self._is_open and not self._subject.is_over:
                self._miss(key, tile)

    def _miss(self, key: int, tile: Tile) -> None:
        """Say that an output gives no picture, unless that is known."""
        if key not in self._unreadable:
            self._unreadable.add(key)
            instead = "it is black" if tile.bounds is None else "repeating its last one"
            self._report(EventKind.SCREEN_UNREADABLE, f"{tile.name} gives no picture: {instead} until it does")

    def _follow(self) -> None:
        """Capture what has come or has another mode, and nothing that is gone."""
        if self._followed == self._opened.changes:
            return
        self._followed = self._opened.changes
        members = {member.key: member for member in self._subject.members()}
        if members == {key: member for key, (member, _) in self._tiles.items()}:
            return
        before, self._tiles = self._tiles, {}
        for key, member in members.items():
            known, tile = before.pop(key, (None, None))
            if tile is None:
                tile = Tile(member.capture(), member.name, self._slot_s, member.refresh_s)
            elif known is not None and known.mode != member.mode:
                # What was asked for is of the old mode.
                tile.restart(member.capture())
            self._tiles[key] = member, tile
        self._all_tiles = [tile for _, tile in self._tiles.values()]
        for _, tile in before.values():
            tile.close()
        self._unreadable &= self._tiles.keys()
        if self._is_open:
            self._arrange()

    def _take_in(self, key: int, tile: Tile, damage: Rectangle) -> None:
        if key in self._unreadable:
            self._unreadable.discard(key)
            self._report(EventKind.SCREEN_READABLE, f"{tile.name} can be read again")
        if self._is_open:
            self._arrange()
        place = self._place
        changed = None if place.seen is None else tile.placed(damage).intersection(place.seen)
        if changed is None and not self._is_new:
            tile.pass_over()
            return
        tile.has_change = True
        self._shown_at_s = tile.shown_at_s
        self._changed = self._changed if changed is None else changed.union(self._changed)

    def _arrange(self) -> None:
        """Put what is captured where it is now, once all pictures are of the present modes."""
        tiles, now_s = list(self._tiles.values()), time.monotonic()
        if any(tile.is_outdated(now_s) for _, tile in tiles):
            return
        if not any(tile.bounds is not None for _, tile in tiles):
            self._put(None, self._place.bounds)
            return
        wanted = self._subject.arrange(tiles)
        places = tuple(tile.place for _, tile in tiles)
        arranged, before = (wanted, places), self._arranged
        if arranged == before:
            return
        bounds = functools.reduce(Rectangle.union, places)
        if before is None:
            area = cropped_to_even(wanted, "the region", self._report)
            self._place = Placement(area.width, area.height, area, bounds)
        else:
            self._put(wanted, bounds)
        self._arranged = arranged

    def _put(self, area: Rectangle | None, bounds: Rectangle) -> None:
        """Fit another area into the picture; None if it is gone."""
        if area is not None and (area.width & ~1, area.height & ~1) == (self.width, self.height):
            area = area.trimmed_to_even()
        before, self._place = self._place, replace(self._place, area=area, bounds=bounds)
        self._arranged, self._changed, self._is_new = (Rectangle(0, 0, 0, 0), ()), None, True
        self._shown_at_s = time.monotonic()
        if self._subject.tells_sizes and not self._place.shows_as(before):
            self._report(EventKind.DISPLAY_CHANGED, str(self._place))

    def _part(self, now_s: float) -> Rectangle | None:
        """Return the part that a frame has to show; None for all."""
        place = self._place
        if self._is_new or now_s >= self._whole_at_s or place.is_scaled or place.seen is None:
            return None
        return place.evened(self._changed or Rectangle(place.seen.left, place.seen.top, 2, 2))

    def _pixels(self, part: Rectangle) -> Pixels:
        """Return a part of what is captured."""
        for tile in self._all_tiles:
            if tile.place.contains(part):
                return tile.pixels(part)
        canvas = black(part.width, part.height)
        for tile in self._all_tiles:
            shared = tile.place.intersection(part)
            if shared is not None:
                left, top = shared.left - part.left, shared.top - part.top
                canvas[top : top + shared.height, left : left + shared.width] = tile.pixels(shared)
        return canvas
