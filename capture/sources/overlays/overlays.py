"""Draws clicks and keys over the recorded picture; nothing of them is on any screen.

Layers from below: pixels, the cursor, click rings, the keystroke strip.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from capture.events import EventKind
from capture.media import Pixels, Rectangle

if TYPE_CHECKING:
    from capture.sources.overlays.click_rings import ClickRings
    from capture.sources.overlays.input_listener import InputListener
    from capture.sources.overlays.key_names import Label
    from capture.sources.overlays.keystroke_strip import KeyStrip

__all__ = ["KEYS_SHOWN", "Overlays"]

#: The kind of the event that reports shown keys, and its text.
KEYS_SHOWN: Final = EventKind.KEYS_SHOWN
_REPORT: Final = "the recording shows the keys you press"
_WARNING: Final = "; programs do not report password fields here, so only known password prompts are hidden"
_LOST: Final = "programs no longer report password fields, so only known password prompts are hidden"


class Overlays:
    """Draws `clicks` and `keys` if asked to. Belongs to the thread that grabs; any thread may call `due_s`.

    Presses count from `attend` until `rest`; outside that time they are dropped. `report` is called when keys are
    shown, at `open` and at the start of each further recording; and, by another thread, before the first key that is
    shown after programs have stopped to report password fields.
    """

    def __init__(
        self,
        *,
        clicks: bool = False,
        keys: bool = False,
        report: Callable[[EventKind, str], None] = lambda kind, detail: None,
    ) -> None:
        self._wants_clicks = clicks
        self._wants_keys = keys
        self._report = report
        self._wake: Callable[[], None] = lambda: None
        self._rings: ClickRings | None = None
        self._strip: KeyStrip | None = None
        self._listener: InputListener | None = None
        self._attends = False
        # Whether the last report said that password fields are known.
        self._knew_fields = False
        self._recordings = 0
        self._area: Rectangle | None = None

    def open(self, width: int, height: int, wake: Callable[[], None]) -> None:
        """Start listening; the size is the picture's. Any thread may call `wake`, when there is something to draw.

        Raises `NotReadyError` if listening fails.
        """
        if not self._wants_clicks and not self._wants_keys:
            return
        from capture.sources.overlays.input_listener import InputListener

        self._wake = wake
        if self._wants_clicks:
            from capture.sources.overlays.click_rings import ClickRings

            self._rings = ClickRings(height)
        if self._wants_keys:
            from capture.sources.overlays.freetype import Typeface
            from capture.sources.overlays.keystroke_strip import KeyStrip, letters_for

            self._strip = KeyStrip(width, height, Typeface(letters_for(height)))
        self._listener = InputListener(self._click, self._key if self._wants_keys else None)
        self._report_keys()

    def begin(self) -> None:
        """Start a recording: drop everything pressed before."""
        self.rest()
        self._recordings += 1
        if self._recordings > 1:
            self._report_keys()

    def attend(self) -> None:
        """Show presses from now on."""
        if not self._attends:
            if self._listener is not None:
                self._listener.forget()
            self._attends = True

    def rest(self) -> None:
        """Stop showing presses and remove those that are shown: nothing is recorded, as in a pause."""
        self._attends = False
        if self._listener is not None:
            self._listener.forget()
        for layer in (self._rings, self._strip):
            if layer is not None:
                layer.forget()

    def look_at(self, area: Rectangle | None) -> None:
        """Set the part of the desktop that the picture shows; None if it shows none."""
        self._area = area

    def due_s(self) -> float:
        """Return when an overlay changes its look next; infinite for never."""
        return min((layer.due_s() for layer in (self._rings, self._strip) if layer is not None), default=math.inf)

    def update(self) -> tuple[Rectangle | None, Rectangle | None]:
        """Bring all overlays up to date; return the changed part of the desktop, and that of the picture."""
        clicks = self._rings.update() if self._rings is not None else None
        keys = self._strip.update() if self._strip is not None else None
        return clicks, keys

    def draw_clicks(self, pixels: Pixels, part: Rectangle) -> None:
        """Draw clicks as of the last `update` into `pixels`, a picture of `part` of the desktop."""
        if self._rings is not None:
            self._rings.draw(pixels, part)

    def draw_keys(self, pixels: Pixels, left: int = 0, top: int = 0) -> None:
        """Draw keys as of the last `update` into the part of the picture that begins at column `left`, row `top`."""
        if self._strip is not None:
            self._strip.draw(pixels, left, top)

    @property
    def draws_keys(self) -> bool:
        """Whether there are keys to draw as of the last `update`."""
        return self._strip is not None and self._strip.is_shown

    def close(self) -> None:
        """Stop listening; may be called twice."""
        # A listener thread that hangs may still use the strip's letters.
        has_ended = self._listener is None or self._listener.close()
        if self._strip is not None and has_ended:
            self._strip.close()

    def _report_keys(self) -> None:
        if self._listener is not None and self._wants_keys:
            self._knew_fields = self._listener.knows_fields
            self._report(KEYS_SHOWN, _REPORT + ("" if self._knew_fields else _WARNING))

    def _click(self, x: int, y: int) -> None:
        if self._attends and self._rings is not None and self._area is not None and self._rings.click(x, y, self._area):
            self._wake()

    def _key(self, label: Label) -> None:
        if self._attends and self._strip is not None:
            if self._knew_fields and self._listener is not None and not self._listener.knows_fields:
                self._knew_fields = False
                self._report(KEYS_SHOWN, _LOST)
            self._strip.add(label.text, typed=label.typed)
            self._wake()
