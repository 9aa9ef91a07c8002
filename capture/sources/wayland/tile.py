"""One output or window in the recorded picture: when to ask for its pictures, and the last one of them."""

from __future__ import annotations

import math
import time
from typing import Final

from capture.media import Pixels, Rectangle
from capture.sources.placement import black, resized
from capture.sources.wayland.pictures import Capture, Picture
from capture.sources.wayland.turn import Turn

__all__ = ["AT_ONCE_S", "Tile"]

#: How often to ask again for the picture of an output that gives none, as one that is switched off.
RETRY_S: Final = 1.0

#: A picture that was shown longer ago when it is taken is asked for again: it lay there, as during a pause.
FRESH_S: Final = 0.25

#: How long others wait for a picture that is to come at once. The compositor draws one within a few milliseconds.
AT_ONCE_S: Final = 1.0

#: A picture that comes later than this after it was asked for is the first one with a change. Some refreshes are late.
_SOON_REFRESHES: Final = 1.2

#: On a screen that changes all the time, the next picture is shown before this many slots are over.
_LIVELY_SLOTS: Final = 2.0

#: What claims to be shown longer ago, or in the future, has no time.
_OLDEST_S: Final = 2.0


class Tile:
    """Asks `capture` for pictures, every `slot_s` at most; `name` is that of the output or window, for messages.

    The compositor shows one every `refresh_s`.

    The source sets `place`: where the last picture lies, in pixels of what is recorded.
    """

    def __init__(self, capture: Capture, name: str, slot_s: float, refresh_s: float) -> None:
        self._capture = capture
        self.name = name
        self._slot_s = slot_s
        self._refresh_s = refresh_s
        self._turn = Turn()
        self._picture: Picture | None = None
        self._scaled: Pixels | None = None
        self.place = Rectangle(0, 0, 0, 0)
        self.shown_at_s = 0.0
        #: Something has changed that no frame shows yet.
        self.has_change = False
        # When to ask for a picture, and whether as it is now, because the last one may be old.
        self._ask_at_s = 0.0
        self._at_once = True
        # When it was asked for what changes.
        self._asked_at_s = 0.0
        self._is_passed_over = False
        self._late_at_s = 0.0
        self._is_restarted = False
        self._failures = 0

    @property
    def bounds(self) -> Rectangle | None:
        """The last picture, upright; None if there is none."""
        return None if self._picture is None else self._turn.bounds

    @property
    def has_failed(self) -> bool:
        """Whether it has given no picture twice in a row. The first time its size may just have changed."""
        return self._failures > 1

    @property
    def is_current(self) -> bool:
        """Whether the last picture shows how it is now."""
        return not self._at_once

    def is_outdated(self, now_s: float) -> bool:
        """Whether the last picture is of an earlier mode, and one of the present mode will come soon."""
        return self._is_restarted and not self.is_late(now_s)

    def is_late(self, now_s: float) -> bool:
        """Whether the picture that shows how it is now will not come soon."""
        return self._failures > 0 or now_s >= self._late_at_s

    def restart(self, capture: Capture) -> None:
        """Go on with another capture of the same thing, whose last picture stays until the next one."""
        self._capture.close()
        self._capture = capture
        self._ask_at_s, self._failures, self._is_restarted = 0.0, 0, True
        self.renew()

    def renew(self) -> None:
        """Ask for another picture, unless nothing has changed since the last one."""
        if not self._capture.is_asking:
            self._at_once, self._late_at_s = True, time.monotonic() + AT_ONCE_S

    def keep_asking(self, now_s: float, *, is_seen: bool) -> None:
        """Ask for the next picture, once it is time and the last one `is_seen`."""
        if not self._capture.is_asking and now_s >= self._ask_at_s and (self._at_once or is_seen):
            self._asked_at_s = now_s
            self._capture.ask(at_once=self._at_once)

    def due_s(self, now_s: float, *, is_seen: bool) -> float:
        """When there is something to do, even if the compositor is silent (monotonic)."""
        asks_at_s = self._ask_at_s if not self._capture.is_asking and (self._at_once or is_seen) else math.inf
        return min(asks_at_s, self._late_at_s) if self._at_once and now_s < self._late_at_s else asks_at_s

    def absorb(self, *, compares: bool) -> Rectangle | None:
        """Take over what has come; return what of the upright picture has changed, None if none has come.

        An empty rectangle says that nothing has changed. That is looked up only if this `compares`, with numpy.
        """
        picture = self._capture.take()
        if picture is None:
            if self._capture.has_failed:
                self._capture.has_failed = False
                self._at_once, self._failures = True, self._failures + 1
                self._ask_at_s = time.monotonic() + RETRY_S if self.has_failed else 0.0
            return None
        now_s = time.monotonic()
        self.shown_at_s = self._time_of(picture, now_s)
        # One that was asked for as it is now counts, or a machine that is too slow would never get one.
        self._at_once = not self._at_once and now_s - picture.shown_at_s > FRESH_S
        self._failures, self._is_restarted = 0, False
        turn = Turn(picture.width, picture.height, picture.transform)
        before = self._picture if turn == self._turn else None
        changed = picture.damage if before is None or not compares else picture.changed_since(before)
        self._turn, self._picture, self._scaled = turn, picture, None
        self._is_passed_over = False
        return turn.placed(changed)

    def _time_of(self, picture: Picture, now_s: float) -> float:
        """Return when what has changed in a picture was first shown, as far as that is known.

        A screen that changes all the time shows pictures in between, which are not asked for. A change may be in any of
        them, so it has the middle of their times.
        """
        shown_at_s, before = picture.shown_at_s, self._picture
        if not now_s - _OLDEST_S < shown_at_s <= now_s:
            return now_s
        came_soon = shown_at_s - self._asked_at_s < _SOON_REFRESHES * self._refresh_s
        if self._at_once or before is None or self._is_passed_over or not came_soon:
            return shown_at_s
        apart_s = shown_at_s - before.shown_at_s
        pictures = round(apart_s / self._refresh_s)
        if pictures <= 1 or apart_s > _LIVELY_SLOTS * self._slot_s:
            return shown_at_s
        first_s = before.shown_at_s + apart_s / pictures
        return (first_s + shown_at_s) / 2

    def pass_over(self) -> None:
        """Wait a slot with the next picture: the last one shows nothing new."""
        self._ask_at_s, self._is_passed_over = time.monotonic() + self._slot_s, True

    @property
    def is_scaled(self) -> bool:
        bounds = self.bounds
        return bounds is not None and (bounds.width, bounds.height) != (self.place.width, self.place.height)

    def placed(self, part: Rectangle) -> Rectangle:
        """Return where a part of the upright picture is in what is recorded: a little more if the picture is scaled."""
        return self.place if self.is_scaled and part.width else part.moved(self.place.left, self.place.top)

    def pixels(self, part: Rectangle) -> Pixels:
        """Return a part of what is recorded, which must be inside `place`; it may be read-only."""
        inside = part.moved(-self.place.left, -self.place.top)
        if self._picture is None:
            return black(part.width, part.height)
        if self.is_scaled:
            if self._scaled is None:
                whole = self._turn.upright(self._picture.pixels(Rectangle(0, 0, self._turn.width, self._turn.height)))
                self._scaled = resized(whole, self.place.width, self.place.height)
            return self._scaled[inside.top : inside.bottom, inside.left : inside.right]
        return self._turn.upright(self._picture.pixels(self._turn.origin(inside)))

    def release(self) -> None:
        self._capture.release()

    def close(self) -> None:
        self._capture.close()
