"""A window manager for the private desk: full screen windows fill it, and new windows get the keyboard.

A script: ``python -P window_manager.py``, with DISPLAY and XAUTHORITY in its environment. It prints `READY` once
programs can rely on it, and ends with the X server.

It only watches. Other window managers have the X server redirect requests to them; this one answers what has already
happened, and takes nothing that only one program can have. So a program on the desk may bring its own window manager,
which starts as if this one were not there, and this one leaves. Windows have no frame and stay where their program
puts them, except for those that ask for the whole screen.

Only the program to which requests are redirected gets all messages to the window manager: some, like those of xterm,
have a mask that keeps them from others. Those are read through the RECORD extension.

The names with `_NET` are those of the Extended Window Manager Hints, 1.5.
"""

from __future__ import annotations

import select
import struct
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

from Xlib import X, Xatom, Xcursorfont, error
from Xlib.ext import record
from Xlib.protocol import display, event, request

__all__ = ["READY", "WindowManager"]

#: What the script prints when it is ready; `manager_process` waits for it.
READY: Final = "ready"

_NAME: Final = b"capture"

#: The states of a window that fill the screen: the first alone, the other two together.
_FULL_SCREEN: Final = "_NET_WM_STATE_FULLSCREEN"
_MAXIMIZED: Final = ("_NET_WM_STATE_MAXIMIZED_VERT", "_NET_WM_STATE_MAXIMIZED_HORZ")
_FILLING_STATES: Final = (_FULL_SCREEN, *_MAXIMIZED)

_SUPPORTED: Final = (
    *("_NET_SUPPORTED", "_NET_SUPPORTING_WM_CHECK", "_NET_WM_NAME", "_NET_CLIENT_LIST", "_NET_ACTIVE_WINDOW"),
    *("_NET_NUMBER_OF_DESKTOPS", "_NET_CURRENT_DESKTOP", "_NET_WORKAREA", "_NET_FRAME_EXTENTS", "_NET_CLOSE_WINDOW"),
    *("_NET_WM_STATE", *_FILLING_STATES),
)

#: What a message about `_NET_WM_STATE` asks for; 0 removes.
_ADD: Final = 1
_TOGGLE: Final = 2

#: `WM_STATE` of a window that is shown.
_NORMAL_STATE: Final = 1

#: In `WM_HINTS`: the flag of the field after it, which says whether the program wants the keyboard given to it.
_INPUT_HINT: Final = 1

#: How often a window is fitted to the screen before it gets the size that it insists on.
_MOST_FITS: Final = 10

#: The number of the request SendEvent, and its fields: the receiver, the mask, and as the event a client message with
#: the format of its data, the window that it is about, its type and its data.
_SEND_EVENT: Final = 25
_MESSAGE: Final = struct.Struct("=4xIIBB2xII5I")

#: Longer than any list of states or protocols, in units of four bytes.
_LIST_LENGTH: Final = 64


class WindowManager:
    """Manages the windows of the display that DISPLAY names. Raises Xlib's `DisplayError` if there is none."""

    def __init__(self) -> None:
        self._wire = _Wire()
        # Windows may go at any time, and then requests about them fail.
        self._wire.set_error_handler(lambda failure, failed: None)
        screen = self._wire.info.roots[0]
        self._root: int = screen["root"]
        self._size: tuple[int, int] = (screen["width_in_pixels"], screen["height_in_pixels"])
        self._atoms: dict[str, int] = {}
        #: The shown windows, the one that got the keyboard last at the end.
        self._windows: list[int] = []
        #: Where a window was before it filled the screen: x, y, width, height.
        self._places: dict[int, tuple[int, int, int, int]] = {}
        #: How often each window that fills the screen had to be fitted.
        self._fitted: dict[int, int] = {}
        self._watch(self._root, X.SubstructureNotifyMask | X.StructureNotifyMask)
        self._furnish()
        for window in request.QueryTree(self._wire, window=self._root).children:
            self._attend(window)
        self._messages = _RedirectedMessages(self._root)
        self._advertise(screen["root_depth"])
        self._sync()

    def run(self) -> None:
        """Manage windows until another window manager has started. Raises Xlib's `ConnectionClosedError`."""
        while not self._is_replaced():
            if not self._wire.pending_events():
                select.select([self._wire.fileno(), self._messages.fileno()], [], [])
            if messages := self._messages.read():
                # What happened before them has been reported then: a number may be that of another window by now.
                self._sync()
            while self._wire.pending_events():
                found = self._wire.next_event()
                handle = getattr(self, f"_on_{type(found).__name__}", lambda found: None)
                with suppress(error.XError):
                    handle(found)
            for window, asked, data in messages:
                with suppress(error.XError):
                    self._on_message(window, asked, data)

    def _is_replaced(self) -> bool:
        """Whether a program has requests redirected to it: that makes it the window manager."""
        masks = request.GetWindowAttributes(self._wire, window=self._root).all_event_masks
        return bool(masks & X.SubstructureRedirectMask)

    def _furnish(self) -> None:
        """Give the empty desk a black background and an arrow for a pointer, which windows inherit."""
        font, arrow = self._wire.allocate_resource_id(), self._wire.allocate_resource_id()
        request.OpenFont(self._wire, None, fid=font, name="cursor")
        request.CreateGlyphCursor(
            self._wire,
            None,
            cid=arrow,
            source=font,
            mask=font,
            source_char=Xcursorfont.left_ptr,
            mask_char=Xcursorfont.left_ptr + 1,
            **dict.fromkeys(("fore_red", "fore_green", "fore_blue"), 0),
            **dict.fromkeys(("back_red", "back_green", "back_blue"), 0xFFFF),
        )
        black = self._wire.info.roots[0]["black_pixel"]
        request.ChangeWindowAttributes(self._wire, None, window=self._root, background_pixel=black, cursor=arrow)
        request.ClearArea(self._wire, None, exposures=False, window=self._root, x=0, y=0, width=0, height=0)

    def _advertise(self, depth: int) -> None:
        """Announce the window manager, so that programs ask it for full screen."""
        check = self._wire.allocate_resource_id()
        request.CreateWindow(
            self._wire,
            None,
            depth=depth,
            wid=check,
            parent=self._root,
            x=-1,
            y=-1,
            width=1,
            height=1,
            border_width=0,
            window_class=X.InputOutput,
            visual=X.CopyFromParent,
            override_redirect=True,
        )
        self._set(check, "_NET_SUPPORTING_WM_CHECK", Xatom.WINDOW, [check])
        self._set(check, "_NET_WM_NAME", self._atom("UTF8_STRING"), _NAME)
        self._set(self._root, "_NET_SUPPORTED", Xatom.ATOM, [self._atom(name) for name in _SUPPORTED])
        self._set(self._root, "_NET_NUMBER_OF_DESKTOPS", Xatom.CARDINAL, [1])
        self._set(self._root, "_NET_CURRENT_DESKTOP", Xatom.CARDINAL, [0])
        self._set(self._root, "_NET_WORKAREA", Xatom.CARDINAL, [0, 0, *self._size])
        self._list_windows()
        # The last one: programs look for it first.
        self._set(self._root, "_NET_SUPPORTING_WM_CHECK", Xatom.WINDOW, [check])

    def _on_CreateNotify(self, found: Any) -> None:  # noqa: N802 - named after the event
        self._attend(found.window)

    def _attend(self, window: int) -> None:
        """Follow a window that its program lets be managed."""
        about = request.GetWindowAttributes(self._wire, window=window)
        if about.override_redirect or about.win_class != X.InputOutput:
            return
        self._watch(window, X.PropertyChangeMask | X.EnterWindowMask)
        self._set(window, "_NET_FRAME_EXTENTS", Xatom.CARDINAL, [0, 0, 0, 0])
        self._fit(window)
        if about.map_state != X.IsUnmapped:
            self._show(window)

    def _on_MapNotify(self, found: Any) -> None:  # noqa: N802
        if not found.override and found.event == self._root:
            self._show(found.window)

    def _show(self, window: int) -> None:
        """Take in a window that is on the screen now."""
        state = self._atom("WM_STATE")
        self._set(window, "WM_STATE", state, [_NORMAL_STATE, X.NONE])
        self._fit(window)
        if window not in self._windows:
            self._windows.append(window)
        self._activate(window)

    def _on_UnmapNotify(self, found: Any) -> None:  # noqa: N802
        self._drop(found.window)

    def _on_DestroyNotify(self, found: Any) -> None:  # noqa: N802
        self._places.pop(found.window, None)
        self._drop(found.window)

    def _on_ReparentNotify(self, found: Any) -> None:  # noqa: N802
        if found.parent != self._root:
            self._drop(found.window)

    def _drop(self, window: int) -> None:
        """Take out a window that has left the screen; the one before it gets the keyboard."""
        self._fitted.pop(window, None)
        if window in self._windows:
            had_keyboard = window == self._windows[-1]
            self._windows.remove(window)
            if had_keyboard and self._windows:
                self._activate(self._windows[-1])
            else:
                self._list_windows()

    def _on_EnterNotify(self, found: Any) -> None:  # noqa: N802
        # The keyboard follows the mouse, as on a desk without a window manager.
        if found.mode == X.NotifyNormal and found.detail != X.NotifyInferior and found.window in self._windows:
            self._activate(found.window)

    def _on_PropertyNotify(self, found: Any) -> None:  # noqa: N802
        if found.atom == self._atom("_NET_WM_STATE") and found.window not in self._windows:
            # Before the window is on the screen, its program sets the states that it wants.
            self._fit(found.window)

    def _on_ConfigureNotify(self, found: Any) -> None:  # noqa: N802
        if found.window == self._root:
            self._size = (found.width, found.height)
            self._set(self._root, "_NET_WORKAREA", Xatom.CARDINAL, [0, 0, *self._size])
            for window in list(self._fitted):
                self._fill_screen(window)
            return
        fills = (found.x, found.y, found.width, found.height) == (0, 0, *self._size)
        if not fills and 0 < self._fitted.get(found.window, 0) < _MOST_FITS:
            self._fill_screen(found.window)

    def _on_ClientMessage(self, found: Any) -> None:  # noqa: N802
        if found.data[0] == 32:
            self._on_message(found.window, found.client_type, found.data[1])

    def _on_message(self, window: int, asked: int, data: Sequence[int]) -> None:
        """Do what a program asked for in a message to the window manager."""
        if asked == self._atom("_NET_WM_STATE"):
            self._change_states(window, data[0], data[1:3])
        elif asked == self._atom("_NET_ACTIVE_WINDOW") and window in self._windows:
            request.ConfigureWindow(self._wire, None, window=window, stack_mode=X.Above)
            self._activate(window)
        elif asked == self._atom("_NET_CLOSE_WINDOW"):
            self._close(window)

    def _change_states(self, window: int, action: int, named: Iterable[int]) -> None:
        states = self._list(window, "_NET_WM_STATE")
        for state in (self._atom(name) for name in _FILLING_STATES):
            if state in named:
                wanted = state not in states if action == _TOGGLE else action == _ADD
                states = [other for other in states if other != state] + [state] * wanted
        self._set(window, "_NET_WM_STATE", Xatom.ATOM, states)
        self._fit(window)

    def _fit(self, window: int) -> None:
        """Let a window fill the screen as long as its states ask for that, and put it back afterwards."""
        states = self._list(window, "_NET_WM_STATE")
        wanted = self._atom(_FULL_SCREEN) in states or all(self._atom(name) in states for name in _MAXIMIZED)
        if wanted and window not in self._fitted:
            place = request.GetGeometry(self._wire, drawable=window)
            self._places[window] = (place.x, place.y, place.width, place.height)
            self._fitted[window] = 0
            self._fill_screen(window)
        elif not wanted and window in self._fitted:
            del self._fitted[window]
            self._place(window, *self._places.pop(window))

    def _fill_screen(self, window: int) -> None:
        self._fitted[window] += 1
        self._place(window, 0, 0, *self._size)

    def _place(self, window: int, x: int, y: int, width: int, height: int) -> None:
        request.ConfigureWindow(
            *(self._wire, None), window=window, x=x, y=y, width=width, height=height, border_width=0, stack_mode=X.Above
        )

    def _activate(self, window: int) -> None:
        """Give the keyboard to a window, as its program wants it given."""
        self._windows.remove(window)
        self._windows.append(window)
        hints = self._list(window, "WM_HINTS")
        if len(hints) < 2 or not hints[0] & _INPUT_HINT or hints[1]:
            request.SetInputFocus(self._wire, None, revert_to=X.RevertToPointerRoot, focus=window, time=X.CurrentTime)
        self._send_if_known(window, "WM_TAKE_FOCUS")
        self._list_windows()

    def _close(self, window: int) -> None:
        if not self._send_if_known(window, "WM_DELETE_WINDOW"):
            request.KillClient(self._wire, None, resource=window)

    def _send_if_known(self, window: int, protocol: str) -> bool:
        """Send a message of `WM_PROTOCOLS` to a window that knows it; return whether it does."""
        atom, protocols = self._atom(protocol), self._atom("WM_PROTOCOLS")
        if atom not in self._list(window, "WM_PROTOCOLS"):
            return False
        message = event.ClientMessage(window=window, client_type=protocols, data=(32, (atom, X.CurrentTime, 0, 0, 0)))
        request.SendEvent(self._wire, None, propagate=False, destination=window, event_mask=0, event=message)
        return True

    def _list_windows(self) -> None:
        self._set(self._root, "_NET_CLIENT_LIST", Xatom.WINDOW, self._windows)
        self._set(self._root, "_NET_ACTIVE_WINDOW", Xatom.WINDOW, self._windows[-1:] or [X.NONE])

    def _watch(self, window: int, mask: int) -> None:
        request.ChangeWindowAttributes(self._wire, None, window=window, event_mask=mask)

    def _atom(self, name: str) -> int:
        if name not in self._atoms:
            self._atoms[name] = request.InternAtom(self._wire, name=name, only_if_exists=False).atom
        return self._atoms[name]

    def _list(self, window: int, name: str) -> list[int]:
        """Return a property of a window, a list of 32-bit values; an empty list if it has none."""
        with suppress(error.XError):
            found = request.GetProperty(
                self._wire,
                delete=False,
                window=window,
                property=self._atom(name),
                type=X.AnyPropertyType,
                long_offset=0,
                long_length=_LIST_LENGTH,
            ).value
            if found is not None and found[0] == 32:
                return list(found[1])
        return []

    def _set(self, window: int, name: str, kind: int, value: Sequence[int] | bytes) -> None:
        data = (8, value) if isinstance(value, bytes) else (32, value)
        request.ChangeProperty(
            *(self._wire, None), mode=X.PropModeReplace, window=window, property=self._atom(name), type=kind, data=data
        )

    def _sync(self) -> None:
        request.GetInputFocus(self._wire)


class _Wire(display.Display):  # type: ignore[misc]  # its package has no types
    """The protocol of a connection; windows are plain numbers."""

    resource_classes: Final[dict[str, type]] = {}


class _RedirectedMessages:
    """Reads the messages for the window manager that are sent to no other program."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._messages: list[tuple[int, int, Sequence[int]]] = []
        # Once it records, a connection is good for nothing else.
        self._wire = _Wire()
        extension = request.QueryExtension(self._wire, name=record.extname)
        if not extension.present:
            return
        context, opcode = self._wire.allocate_resource_id(), extension.major_opcode
        nothing: dict[str, Any] = dict.fromkeys(("core_replies", "delivered_events", "device_events", "errors"), (0, 0))
        nothing |= dict.fromkeys(("ext_requests", "ext_replies"), (0, 0, 0, 0))
        nothing |= {"client_started": False, "client_died": False}
        record.CreateContext(
            display=self._wire,
            opcode=opcode,
            context=context,
            element_header=0,
            clients=[record.AllClients],
            ranges=[{"core_requests": (_SEND_EVENT, _SEND_EVENT), **nothing}],
        )
        record.EnableContext(self._take, display=self._wire, defer=True, opcode=opcode, context=context)
        self._wire.flush()

    def fileno(self) -> int:
        """Return the descriptor for `select`."""
        return int(self._wire.fileno())

    def read(self) -> list[tuple[int, int, Sequence[int]]]:
        """Return the messages that have arrived, without waiting for more: the window, the type and the data."""
        self._wire.pending_events()
        found, self._messages = self._messages, []
        return found

    def _take(self, reply: Any) -> None:
        if reply.category != record.FromClient or len(reply.data) != _MESSAGE.size:
            return
        receiver, mask, code, data_format, window, asked, *data = _MESSAGE.unpack(reply.data)
        to_managers = mask & X.SubstructureRedirectMask and not mask & X.SubstructureNotifyMask
        if (receiver, code & 0x7F, data_format) == (self._root, X.ClientMessage, 32) and to_managers:
            self._messages.append((window, asked, data))


def main() -> int:
    with suppress(error.ConnectionClosedError):
        manager = WindowManager()
        print(READY, flush=True)
        manager.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
