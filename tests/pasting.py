"""Another program on an X server, which pastes and copies, and the processes that hold the clipboard there."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["Program", "holders"]


class Program:
    """Another program, which pastes or copies."""

    def __init__(self) -> None:
        from Xlib.display import Display

        self._display = Display()
        root = self._display.screen().root
        self._window = root.create_window(0, 0, 1, 1, 0, 0)
        self._clipboard = self.atom("CLIPBOARD")

    def close(self) -> None:
        self._display.close()

    def atom(self, name: str) -> int:
        return int(self._display.intern_atom(name))

    def name(self, atom: int) -> str:
        return str(self._display.get_atom_name(atom))

    def paste(self, form: str, pairs: tuple[str, ...] = ()) -> Any:
        """Return what the clipboard has in this format; None if it refuses. `pairs` is the list for MULTIPLE."""
        from Xlib import X

        place = self.atom("PASTED")
        if pairs:
            self._window.change_property(place, self.atom("ATOM_PAIR"), 32, list(map(self.atom, pairs)))
        self._window.convert_selection(self._clipboard, self.atom(form), place, X.CurrentTime)
        self._display.flush()
        while (found := self._display.next_event()).type != X.SelectionNotify:
            pass
        return self.property_of("PASTED") if found.property else None

    def property_of(self, name: str) -> Any:
        from Xlib import X

        found = self._window.get_full_property(self.atom(name), X.AnyPropertyType)
        return None if found is None else found.value if isinstance(found.value, bytes) else list(found.value)

    def copy(self) -> None:
        from Xlib import X

        self._window.set_selection_owner(self._clipboard, X.CurrentTime)
        self._display.sync()


def holders() -> list[int]:
    """Return the processes that hold the clipboard of the display."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (path / "cmdline").read_bytes().split(b"\0")
            screen = f"DISPLAY={os.environ['DISPLAY']}\0".encode()
            if any(word.endswith(b"clipboard_holder.py") for word in words):
                found += [int(path.name)] if screen in (path / "environ").read_bytes() else []
    return found
