"""Offers a file on the X11 clipboard until another program puts something there.

A script: ``python -P clipboard_holder.py``, with DISPLAY in its environment and the path on standard input. Under X11 a
program has to stay to hand out what it copied, so a copy of this process does that, in a session of its own and without
standard streams. The first process ends with 0 once programs can paste, or with 1 if there is no display.

The names are those of the Inter-Client Communication Conventions, 2.0, chapter 2.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from Xlib import X, Xatom, error
from Xlib.protocol import display, event, request

__all__ = ["Holder", "as_offers"]

_SELECTION: Final = "CLIPBOARD"

#: The most pairs of a format and a property in one request, each of two atoms.
_LONGEST_LIST: Final = 128


def as_offers(path: Path) -> dict[str, bytes]:
    """Return what to hand out for a file, by format: the file itself, and its path where only text can be pasted."""
    uri, name = path.as_uri().encode(), os.fsencode(path)
    return {
        "text/uri-list": uri + b"\r\n",
        # The file managers of GNOME, Xfce, MATE and Cinnamon.
        "x-special/gnome-copied-files": b"copy\n" + uri,
        "text/plain;charset=utf-8": name,
        "UTF8_STRING": name,
    }


class Holder:
    """Owns the clipboard. Raises Xlib's `DisplayError` if there is no display, `ConnectionClosedError` once it is gone.

    Raises `PermissionError` if the server gave the clipboard to another program.
    """

    def __init__(self, offers: dict[str, bytes]) -> None:
        self._wire = _Wire()
        # A program that asks may go at any time, and then requests about its window fail.
        self._wire.set_error_handler(lambda failure, failed: None)
        self._atoms: dict[str, int] = {}
        self._offers = {self._atom(name): content for name, content in offers.items()}
        self._window: int = self._wire.allocate_resource_id()
        request.CreateWindow(
            *(self._wire, None),
            **dict.fromkeys(("depth", "border_width", "visual"), X.CopyFromParent),
            wid=self._window,
            parent=self._wire.info.roots[0]["root"],
            **{"x": -1, "y": -1, "width": 1, "height": 1},
            window_class=X.InputOnly,
            event_mask=X.PropertyChangeMask,
        )
        self._since = self._server_time()
        selection = self._atom(_SELECTION)
        request.SetSelectionOwner(self._wire, None, window=self._window, selection=selection, time=self._since)
        if request.GetSelectionOwner(self._wire, selection=selection).owner != self._window:
            raise PermissionError("another program has the clipboard")

    def run(self) -> None:
        """Hand the file out until another program takes the clipboard."""
        while True:
            found = self._wire.next_event()
            if found.type == X.SelectionClear:
                return
            if found.type == X.SelectionRequest:
                with suppress(error.XError):
                    self._answer(found)

    def _server_time(self) -> int:
        """Return the server's time, which comes with a change of a property."""
        self._set(self._window, self._atom("CAPTURE_TIME"), Xatom.INTEGER, (8, b""))
        while (found := self._wire.next_event()).type != X.PropertyNotify:
            pass
        return int(found.time)

    def _answer(self, asked: Any) -> None:
        # Programs from before the conventions name no property.
        place = asked.property or asked.target
        is_given = self._hand_out(asked.requestor, asked.target, place)
        answer = event.SelectionNotify(
            time=asked.time,
            requestor=asked.requestor,
            selection=asked.selection,
            target=asked.target,
            property=place if is_given else X.NONE,
        )
        request.SendEvent(*(self._wire, None), propagate=False, destination=asked.requestor, event_mask=0, event=answer)
        self._wire.flush()

    def _hand_out(self, window: int, target: int, place: int) -> bool:
        """Put what was asked for into a property of that window; return whether it is offered."""
        if target == self._atom("TARGETS"):
            own = [self._atom(name) for name in ("TARGETS", "TIMESTAMP", "MULTIPLE", "SAVE_TARGETS")]
            self._set(window, place, Xatom.ATOM, (32, [*own, *self._offers]))
        elif target == self._atom("TIMESTAMP"):
            self._set(window, place, Xatom.INTEGER, (32, [self._since]))
        elif target == self._atom("SAVE_TARGETS"):
            # Only asks whether there is something to take over.
            self._set(window, place, self._atom("NULL"), (32, []))
        elif target == self._atom("MULTIPLE"):
            pairs = self._pairs(window, place)
            given = [
                (each, where if self._atom("MULTIPLE") != each and self._hand_out(window, each, where) else X.NONE)
                for each, where in pairs
            ]
            self._set(window, place, self._atom("ATOM_PAIR"), (32, [atom for pair in given for atom in pair]))
        elif target in self._offers:
            self._set(window, place, target, (8, self._offers[target]))
        else:
            return False
        return True

    def _pairs(self, window: int, place: int) -> list[tuple[int, int]]:
        found = request.GetProperty(
            self._wire,
            delete=False,
            window=window,
            property=place,
            type=X.AnyPropertyType,
            long_offset=0,
            long_length=_LONGEST_LIST,
        ).value
        atoms = list(found[1]) if found is not None and found[0] == 32 else []
        return list(zip(atoms[::2], atoms[1::2], strict=False))

    def _atom(self, name: str) -> int:
        if name not in self._atoms:
            self._atoms[name] = request.InternAtom(self._wire, name=name, only_if_exists=False).atom
        return self._atoms[name]

    def _set(self, window: int, name: int, kind: int, data: tuple[int, Sequence[int] | bytes]) -> None:
        request.ChangeProperty(
            *(self._wire, None), mode=X.PropModeReplace, window=window, property=name, type=kind, data=data
        )


class _Wire(display.Display):  # type: ignore[misc]  # its package has no types
    """The protocol of a connection; windows are plain numbers."""

    resource_classes: Final[dict[str, type]] = {}


def main() -> int:
    if sys.platform == "win32":
        return 1
    try:
        holder = Holder(as_offers(Path(os.fsdecode(sys.stdin.buffer.read()))))
    except (error.DisplayError, error.ConnectionClosedError, OSError):
        return 1
    # The connection is shared; only the copy goes on using it.
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    with suppress(error.ConnectionClosedError, OSError):
        holder.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
