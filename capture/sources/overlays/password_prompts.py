"""Decides whether typing on an X11 desktop may be a password, as well as that can be known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from Xlib import X, error
from Xlib.display import Display
from Xlib.ext import res

from capture.sources.overlays.password_fields import PasswordFields
from capture.sources.overlays.terminals import waits_for_password
from capture.sources.x11.input_record import PressReader

__all__ = ["PasswordPrompts"]

#: Parts of the names of programs that ask for passwords or lock the screen, as their windows report them (WM_CLASS), in
#: lower case.
PROMPTS: Final = (
    *("pinentry", "askpass", "gcr-prompter", "keyring", "kwallet", "polkit", "policykit"),
    *("gksu", "kdesu", "lxqt-sudo", "lxsudo", "keepass", "bitwarden", "1password"),
    *("greeter", "screenlock", "screensaver", "lockscreen", "light-locker", "i3lock", "slock", "xlock", "xtrlock"),
    *("xsecurelock", "kscreenlocker", "physlock"),
)

#: Windows are nested less deeply than this.
_DEEPEST: Final = 32


class PasswordPrompts:
    """Decides whether typing may be a password. `hides_typing` is for one thread.

    It may be one while a password field has the focus, in a program that reports it to assistive technology; while the
    focused window belongs to a program that asks for passwords, or to a terminal in which a command asks for one; and
    while a program has grabbed the keyboard.
    """

    def __init__(self, display: Display, presses: PressReader) -> None:
        """`display` is for requests, and `presses` reports keyboard grabs."""
        self._display = display
        self._presses = presses
        self._root = display.screen().root
        self._reports_processes = display.has_extension(res.extname)
        self._fields: PasswordFields | None = None
        with suppress(OSError):
            self._fields = PasswordFields(self._accessibility_bus())

    @property
    def knows_fields(self) -> bool:
        """Whether programs can report their password fields here, and still do."""
        return self._fields is not None and not self._fields.is_lost

    def hides_typing(self) -> bool:
        """Whether typing must be hidden now. Raises `ConnectionClosedError` once the server has ended."""
        if self._presses.keyboard_is_held or (self._fields is not None and self._fields.focused):
            return True
        try:
            return any(self._is_prompt(window) for window in self._windows_with_focus())
        except error.XError:
            # The window was closed meanwhile: what was typed into it is unknown.
            return True

    def close(self) -> None:
        """Stop following the focus; may be called twice."""
        if self._fields is not None:
            self._fields.close()

    def _windows_with_focus(self) -> Iterator[Any]:
        """Yield the window with the keyboard focus, then its ancestors."""
        focus = self._display.get_input_focus().focus
        if focus == X.PointerRoot:
            # Without a window manager, keys go to the window under the pointer.
            focus = self._root
            for _ in range(_DEEPEST):
                if not (inner := focus.query_pointer().child):
                    break
                focus = inner
        for _ in range(_DEEPEST):
            if isinstance(focus, int) or focus.id == self._root.id:
                return
            yield focus
            focus = focus.query_tree().parent

    def _is_prompt(self, window: Any) -> bool:
        names = window.get_wm_class()
        if names is None:
            return False
        called = " ".join(names).lower()
        return any(part in called for part in PROMPTS) or any(map(waits_for_password, self._processes(window)))

    def _processes(self, window: Any) -> list[int]:
        """Return the process that owns the window, empty if the server does not know."""
        if not self._reports_processes:
            return []
        asked = [{"client": window.id, "mask": res.LocalClientPIDMask}]
        found = self._display.res_query_client_ids(asked).ids
        return [int(value) for each in found if each.spec.mask == res.LocalClientPIDMask for value in each.value[:1]]

    def _accessibility_bus(self) -> str | None:
        """Return the address of the accessibility bus, if the display has it."""
        said = self._root.get_full_property(self._display.get_atom("AT_SPI_BUS"), X.AnyPropertyType)
        # python-xlib's way to read a text raises for one that is not in UTF-8.
        return bytes(said.value).decode(errors="replace") if said is not None and said.format == 8 else None
