"""ClickRings that appear where the mouse is clicked, and fade."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from capture.media import Pixels, Rectangle
from capture.sources.overlays.sprites import Sprite, coloured

__all__ = ["FADE_S", "ClickRings", "ring"]

FADE_S: Final = 0.5

#: The number of steps of a fade: as smooth as 30 frames a second can show, and no frames for more.
STEPS: Final = 15
STEP_S: Final = FADE_S / STEPS

#: More rings at once are of no use to a viewer.
MOST: Final = 16

#: As a fraction of the picture's height; and the smallest radius in pixels that is visible in a small picture.
RADIUS: Final = 0.03
LEAST_RADIUS: Final = 18

#: As fractions of the radius, to either side of the circle. The edge is visible even on a ground of the ring's colour.
HALF_WIDTH: Final = 0.14
EDGE: Final = 0.08

COLOUR: Final = (255, 190, 0)
EDGE_COLOUR: Final = (40, 20, 0)
OPACITY: Final = 0.95


def ring(radius: int) -> Sprite:
    """Return a ring around its hot spot; `radius` is in pixels and measured to the middle of the line."""
    side = radius + math.ceil((HALF_WIDTH + EDGE) * radius) + 1
    places = np.arange(-side, side + 1, dtype=np.float32)
    off: npt.NDArray[np.float32] = np.abs(np.hypot(places, places[:, np.newaxis]) - radius)
    # Half a pixel softens the rim.
    line: npt.NDArray[np.float32] = np.clip(HALF_WIDTH * radius + 0.5 - off, 0, 1)
    whole: npt.NDArray[np.float32] = np.clip((HALF_WIDTH + EDGE) * radius + 0.5 - off, 0, 1)
    picture = coloured(line * OPACITY, COLOUR) + coloured((whole - line) * OPACITY, EDGE_COLOUR)
    return Sprite(picture.astype(np.uint16), side, side)


@dataclass(slots=True)
class _Click:
    x: int
    y: int
    #: When it was first drawn, and how many steps had passed in the last frame: -1 before its first frame.
    at_s: float = -math.inf
    step: int = -1

    @property
    def is_drawn(self) -> bool:
        return self.step >= 0

    @property
    def due_s(self) -> float:
        """When its look changes next."""
        return self.at_s + (self.step + 1) * STEP_S


class ClickRings:
    """The rings around the clicks of the last half second, in desktop coordinates.

    Any thread may call `click` and `due_s`, the rest belongs to the thread that grabs.
    """

    def __init__(self, height: int, now_s: Callable[[], float] = time.monotonic) -> None:
        """`height` is the picture's height in pixels."""
        self._ring = ring(max(LEAST_RADIUS, round(height * RADIUS)))
        self._now_s = now_s
        self._lock = threading.Lock()
        self._clicks: list[_Click] = []

    def click(self, x: int, y: int, area: Rectangle) -> bool:
        """Add a ring at this place now. Return whether it shows in a picture of `area`.

        If so, it appears in the next frame, however late that is.
        """
        if not self._ring.covered(x, y).intersects(area):
            return False
        with self._lock:
            if len(self._clicks) >= MOST:
                return False
            self._clicks.append(_Click(x, y))
        return True

    def due_s(self) -> float:
        """Return when the rings' look changes next; infinite if it does not."""
        with self._lock:
            return min((click.due_s for click in self._clicks), default=math.inf)

    def forget(self) -> None:
        """Remove all rings."""
        with self._lock:
            self._clicks = [click for click in self._clicks if click.is_drawn]
            for click in self._clicks:
                click.at_s = -math.inf

    def update(self) -> Rectangle | None:
        """Advance the rings to the present; return the area that changes, None if none does."""
        now_s, changed = self._now_s(), None
        with self._lock:
            for click in self._clicks:
                if not click.is_drawn:
                    click.at_s = now_s
                if click.due_s <= now_s:
                    click.step = int(min(STEPS, (now_s - click.at_s) / STEP_S))
                    changed = self._ring.covered(click.x, click.y).union(changed)
            self._clicks = [click for click in self._clicks if click.step < STEPS]
        return changed

    def draw(self, pixels: Pixels, part: Rectangle) -> None:
        """Draw the rings as of the last `update` into `pixels`, a picture of `part` of the desktop."""
        with self._lock:
            shown = [(click.x, click.y, click.step) for click in self._clicks if click.is_drawn]
        for x, y, step in shown:
            if self._ring.covered(x, y).intersects(part):
                self._ring.faded(1 - step / STEPS).draw(pixels, x - part.left, y - part.top)
