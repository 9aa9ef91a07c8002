"""Does on a desktop what its user does: answers the dialog, moves the pointer, ends the sharing."""

from __future__ import annotations

import json
import os
import struct
import time
from typing import Any, Final, Protocol
from unittest.mock import patch

from jeepney import DBusAddress, MessageType, new_method_call
from jeepney.io.blocking import open_dbus_connection

from benchmarks.desks.session import Session
from capture.system.wayland_connection import Connection, as_text, text_of

__all__ = ["GnomeHands", "Hands", "SwayHands", "hands_of"]

_SHOWN_LIMIT_S: Final = 20.0
#: What a dialog takes to be ready for keys, and a person from one key to the next.
_READY_S: Final = 3.0
_BETWEEN_S: Final = 0.6

_TAB, _RETURN, _ESCAPE = 0xFF09, 0xFF0D, 0xFF1B

#: A keyboard and a pointer of the shell's own. What they do right after they were made is lost.
_DEVICES: Final = """\
const {Clutter, GLib} = imports.gi;
const seat = global.stage.get_context().get_backend().get_default_seat();
globalThis.keys ??= seat.create_virtual_device(Clutter.InputDeviceType.KEYBOARD_DEVICE);
globalThis.mouse ??= seat.create_virtual_device(Clutter.InputDeviceType.POINTER_DEVICE);
"""
_PRESS: Final = """\
keys.notify_keyval(GLib.get_monotonic_time(), {key}, Clutter.KeyState.PRESSED);
keys.notify_keyval(GLib.get_monotonic_time(), {key}, Clutter.KeyState.RELEASED); 1"""
_MOVE: Final = "mouse.notify_relative_motion(GLib.get_monotonic_time(), {right}, {down}); 1"
_QUIET: Final = "Main.overview.hide(); Main.messageTray.getSources().forEach(source => source.destroy()); 1"
_ASKED: Final = "global.display.focus_window?.get_wm_class() == 'xdg-desktop-portal-gnome'"
_SHARED: Final = "[...Main.panel.statusArea.screenSharing._handles].map(handle => handle.stop()).length"


#: wlroots' virtual pointer: its manager, requests and events.
_POINTERS: Final = "zwlr_virtual_pointer_manager_v1"
_BIND = _GLOBAL = _CREATE_POINTER = _MOTION = 0
_FRAME: Final = 4


class Hands(Protocol):
    """What a user does. `asks` says whether the desktop shows a dialog."""

    asks: bool

    def quiet(self) -> None:
        """Leave nothing over the windows."""
        ...

    def accept(self) -> None:
        """Wait for the dialog, and allow what it suggests, for good."""
        ...

    def refuse(self) -> None:
        """Wait for the dialog, and cancel it."""
        ...

    def move_pointer(self, right: int, down: int) -> None: ...

    def end_sharing(self) -> bool:
        """End it where the desktop has a sign of it; return False where it has none."""
        ...


class GnomeHands:
    """GNOME's user, by the shell's own scripts: it has to run in unsafe mode."""

    asks = True

    def __init__(self, session: Session) -> None:
        self._address = session.environment["DBUS_SESSION_BUS_ADDRESS"]

    def quiet(self) -> None:
        self._eval(_DEVICES + _QUIET)

    def accept(self) -> None:
        self._await_dialog()
        # From "remember" by the monitor and "cancel" to "share".
        for key in (_TAB, _TAB, _TAB, _RETURN):
            self._press(key)

    def refuse(self) -> None:
        self._await_dialog()
        self._press(_ESCAPE)

    def move_pointer(self, right: int, down: int) -> None:
        self._eval(_DEVICES + _MOVE.format(right=right, down=down))

    def end_sharing(self) -> bool:
        return bool(self._eval(_SHARED))

    def _press(self, key: int) -> None:
        self._eval(_DEVICES + _PRESS.format(key=key))
        time.sleep(_BETWEEN_S)

    def _await_dialog(self) -> None:
        deadline_s = time.monotonic() + _SHOWN_LIMIT_S
        while not self._eval(_ASKED):
            if time.monotonic() > deadline_s:
                raise TimeoutError("GNOME shows no dialog")
            self.quiet()
            time.sleep(_BETWEEN_S)
        time.sleep(_READY_S)

    def _eval(self, script: str) -> Any:
        with open_dbus_connection(self._address) as connection:
            where = DBusAddress("/org/gnome/Shell", "org.gnome.Shell", "org.gnome.Shell")
            reply = connection.send_and_get_reply(new_method_call(where, "Eval", "s", (script,)), timeout=10)
        if reply.header.message_type is MessageType.error or not reply.body[0]:
            raise RuntimeError(f"GNOME Shell does not run {script!r}: {reply.body}")
        return json.loads(reply.body[1] or "null")


class SwayHands:
    """sway's user, with a virtual pointer. Its portal asks nothing here, and shows no sign of the sharing."""

    asks = False

    def __init__(self, session: Session) -> None:
        with patch.dict(os.environ, session.environment):
            self._connection = Connection()
        self._manager = 0
        self._registry = self._connection.get_registry(self._on_registry)
        self._connection.round_trip()
        self._pointer = self._connection.new_id()
        self._connection.request(self._manager, _CREATE_POINTER, struct.pack("=II", 0, self._pointer))

    def quiet(self) -> None:
        pass

    def accept(self) -> None:
        pass

    def refuse(self) -> None:
        pass

    def move_pointer(self, right: int, down: int) -> None:
        # In 1/256 pixels.
        now_ms = int(time.monotonic() * 1000) & 0xFFFFFFFF
        self._connection.request(self._pointer, _MOTION, struct.pack("=Iii", now_ms, 256 * right, 256 * down))
        self._connection.request(self._pointer, _FRAME)
        self._connection.round_trip()

    def end_sharing(self) -> bool:
        return False

    def _on_registry(self, code: int, arguments: bytes) -> None:
        if code == _GLOBAL and text_of(arguments[4:]) == _POINTERS:
            self._manager = self._connection.new_id()
            what = arguments[:4] + as_text(_POINTERS) + struct.pack("=II", 1, self._manager)
            self._connection.request(self._registry, _BIND, what)


def hands_of(session: Session) -> Hands:
    """Return the user of this session."""
    return GnomeHands(session) if session.desktop == "GNOME" else SwayHands(session)
