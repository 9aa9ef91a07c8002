"""What is drawn over the recorded picture for those who watch it, and is on no screen: clicks and keys.

They lie above the cursor: pixels, then the cursor, then the rings of clicks, then the strip of keys.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from capture.event_kinds import EventKind
from capture.media import Pixels, Rectangle

if TYPE_CHECKING:
    from capture.sources.overlays.click_rings import Rings
    from capture.sources.overlays.input_listener import InputListener
    from capture.sources.overlays.key_names import Label
    from capture.sources.overlays.keystroke_strip import KeyStrip

__all__ = ["KEYS_SHOWN", "Overlays"]

#: The kind of the event that says so, and what it says.
KEYS_SHOWN: Final = EventKind.KEYS_SHOWN
_SAID: Final = "the keys that are pressed are shown in the recording"
_WARNED: Final = "; programs do not tell of their password fields here, only known prompts for passwords are left out"


class Overlays:
    """Nothing, unless `clicks` or `keys` are wanted. Used by the thread that grabs; `due_s` by any.

    What is pressed is taken in from `attend` until `rest`; before and after nobody remembers it. `tell` hears that keys
    are shown when it is opened, and in every further recording.
    """

    def __init__(
        self,
        *,
        clicks: bool = False,
        keys: bool = False,
        tell: Callable[[EventKind, str], None] = lambda kind, detail: None,
    ) -> None:
        self._wants_clicks = clicks
        self._wants_keys = keys
        self._tell = tell
        self._wake: Callable[[], None] = lambda: None
        self._rings: Rings | None = None
        self._strip: KeyStrip | None = None
        self._hearing: InputListener | None = None
        self._attends = False
        self._recordings = 0
        self._area: Rectangle | None = None

    def open(self, width: int, height: int, wake: Callable[[], None]) -> None:
        """Begin to hear; the size is that of the picture. `wake` is called by any thread when something is to be drawn.

        Raises `NotReadyError` where that cannot be.
        """
        if not self._wants_clicks and not self._wants_keys:
            return
        from capture.sources.overlays.input_listener import InputListener

        self._wake = wake
        if self._wants_clicks:
            from capture.sources.overlays.click_rings import Rings

            self._rings = Rings(height)
        if self._wants_keys:
            from capture.sources.overlays.freetype import Typeface
            from capture.sources.overlays.keystroke_strip import KeyStrip, letters_for

            self._strip = KeyStrip(width, height, Typeface(letters_for(height)))
        self._hearing = InputListener(self._click, self._key if self._wants_keys else None)
        self._say()

    def begin(self) -> None:
        """A recording begins: nothing of what was before belongs to it."""
        self.rest()
        self._recordings += 1
        if self._recordings > 1:
            self._say()

    def attend(self) -> None:
        """From here on what is pressed is shown."""
        if not self._attends:
            if self._hearing is not None:
                self._hearing.forget()
            self._attends = True

    def rest(self) -> None:
        """Nothing is recorded from here on: show nothing of what is pressed, and forget what was."""
        self._attends = False
        if self._hearing is not None:
            self._hearing.forget()
        for layer in (self._rings, self._strip):
            if layer is not None:
                layer.forget()

    def look_at(self, area: Rectangle | None) -> None:
        """This part of the desktop is what the picture shows, None for nothing of it."""
        self._area = area

    def due_s(self) -> float:
        """When it next looks other than in the last frame; infinite for never."""
        return min((layer.due_s() for layer in (self._rings, self._strip) if layer is not None), default=math.inf)

    def update(self) -> tuple[Rectangle | None, Rectangle | None]:
        """Let all look as it should now; return what changes by that: of the desktop, and of the picture."""
        clicks = self._rings.update() if self._rings is not None else None
        keys = self._strip.update() if self._strip is not None else None
        return clicks, keys

    def draw_clicks(self, pixels: Pixels, part: Rectangle) -> None:
        """Draw the clicks as they were at the last `update` into a picture of `part` of the desktop."""
        if self._rings is not None:
            self._rings.draw(pixels, part)

    def draw_keys(self, pixels: Pixels, left: int = 0, top: int = 0) -> None:
        """Draw the keys likewise into the part of the picture that begins at column `left` and row `top`."""
        if self._strip is not None:
            self._strip.draw(pixels, left, top)

    @property
    def draws_keys(self) -> bool:
        """Whether keys are to be drawn since the last `update`."""
        return self._strip is not None and self._strip.is_shown

    def close(self) -> None:
        """Hear nothing more; may be called twice."""
        # A thread that hangs may still want its letters.
        has_ended = self._hearing is None or self._hearing.close()
        if self._strip is not None and has_ended:
            self._strip.close()

    def _say(self) -> None:
        if self._hearing is not None and self._wants_keys:
            self._tell(KEYS_SHOWN, _SAID + ("" if self._hearing.knows_fields else _WARNED))

    def _click(self, x: int, y: int) -> None:
        if self._attends and self._rings is not None and self._area is not None and self._rings.click(x, y, self._area):
            self._wake()

    def _key(self, label: Label) -> None:
        if self._attends and self._strip is not None:
            self._strip.add(label.text, typed=label.typed)
            self._wake()
