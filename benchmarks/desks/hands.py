"""Does on a desktop what its user does: answers the dialog, moves the pointer, ends the sharing."""

from __future__ import annotations

import json
import os
import struct
import time
from copy import copy
from typing import Any, Final, Protocol
from unittest.mock import patch

from jeepney import DBusAddress, MessageType, new_method_call
from jeepney.io.blocking import open_dbus_connection

from benchmarks.desks.session import Session
from capture.system.wayland_connection import Connection, as_text, text_of

__all__ = ["GnomeHands", "Hands", "KdeHands", "SwayHands", "hands_of"]

_SHOWN_LIMIT_S: Final = 20.0
#: What a dialog takes to be ready for keys, and a person from one key to the next.
_READY_S: Final = 3.0
_BETWEEN_S: Final = 0.6

_TAB, _RETURN, _ESCAPE, _SPACE = 0xFF09, 0xFF0D, 0xFF1B, 0x20

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


#: wlroots' virtual pointer: requests of its manager, and its own.
_CREATE_POINTER = _MOTION = 0
_FRAME: Final = 4

#: KWin's fake input: its requests, and the keys by the kernel's numbers. From version 4 on it has keys.
_FAKE_INPUT_VERSION: Final = 4
_AUTHENTICATE: Final = 0
_FAKE_MOTION: Final = 1
_FAKE_KEY: Final = 10
_ENTER_CODE, _ESCAPE_CODE = 28, 1

#: A part of the dialog's title.
_DIALOG_OF_KDE: Final = "Share"

#: Of the registry.
_BIND = _GLOBAL = 0


class _Device:
    """An object of the compositor's by which a program does what a user does."""

    def __init__(self, session: Session, interface: str, version: int) -> None:
        with patch.dict(os.environ, session.environment):
            self._connection = Connection()
        self._wanted = (interface, version)
        self._number = 0
        self._registry = self._connection.get_registry(self._on_registry)
        self._connection.round_trip()
        if not self._number:
            raise RuntimeError(f"the compositor offers no {interface}")

    def request(self, code: int, arguments: bytes = b"") -> None:
        self._connection.request(self._number, code, arguments)
        self._connection.round_trip()

    def make(self, code: int) -> _Device:
        """Return the object that a request makes, of no seat."""
        made = copy(self)
        made._number = self._connection.new_id()
        self.request(code, struct.pack("=II", 0, made._number))
        return made

    def _on_registry(self, code: int, arguments: bytes) -> None:
        name, version = self._wanted
        if code == _GLOBAL and text_of(arguments[4:]) == name:
            self._number = self._connection.new_id()
            what = arguments[:4] + as_text(name) + struct.pack("=II", version, self._number)
            self._connection.request(self._registry, _BIND, what)


class Hands(Protocol):
    """What a user does. `asks` says whether the desktop shows a dialog."""

    asks: bool

    def quiet(self) -> None:
        """Leave nothing over the windows."""
        ...

    def accept(self) -> None:
        """Wait for the dialog, and allow what it suggests, for good."""
        ...

    def accept_window(self) -> None:
        """Wait for the dialog about windows, and allow the first one."""
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

    def accept_window(self) -> None:
        self._await_dialog()
        # From "cancel" to the first window, and on to "cancel" and "share".
        for key in (_TAB, _TAB, _SPACE, _TAB, _TAB, _RETURN):
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


class KdeHands:
    """KDE's user, by KWin's fake input: it has to check no permissions."""

    asks = True

    def __init__(self, session: Session) -> None:
        self._address = session.environment["DBUS_SESSION_BUS_ADDRESS"]
        self._device = _Device(session, "org_kde_kwin_fake_input", _FAKE_INPUT_VERSION)
        self._device.request(_AUTHENTICATE, as_text("capture") + as_text("benchmarks"))

    def quiet(self) -> None:
        pass

    def accept(self) -> None:
        self._await_dialog()
        self._press(_ENTER_CODE)

    def accept_window(self) -> None:
        self.accept()

    def refuse(self) -> None:
        self._await_dialog()
        self._press(_ESCAPE_CODE)

    def move_pointer(self, right: int, down: int) -> None:
        # In 1/256 pixels.
        self._device.request(_FAKE_MOTION, struct.pack("=ii", 256 * right, 256 * down))

    def end_sharing(self) -> bool:
        return False

    def _press(self, key: int) -> None:
        for pressed in (1, 0):
            self._device.request(_FAKE_KEY, struct.pack("=II", key, pressed))
        time.sleep(_BETWEEN_S)

    def _await_dialog(self) -> None:
        deadline_s = time.monotonic() + _SHOWN_LIMIT_S
        where = DBusAddress("/WindowsRunner", "org.kde.KWin", "org.kde.krunner1")
        with open_dbus_connection(self._address) as connection:
            while True:
                reply = connection.send_and_get_reply(
                    new_method_call(where, "Match", "s", (_DIALOG_OF_KDE,)), timeout=10
                )
                if reply.header.message_type is not MessageType.error and reply.body[0]:
                    break
                if time.monotonic() > deadline_s:
                    raise TimeoutError(f"KDE shows no dialog: {reply.body}")
                time.sleep(_BETWEEN_S)
        time.sleep(_READY_S)


class SwayHands:
    """sway's user, with a virtual pointer. Its portal asks nothing here, and shows no sign of the sharing."""

    asks = False

    def __init__(self, session: Session) -> None:
        manager = _Device(session, "zwlr_virtual_pointer_manager_v1", 1)
        self._pointer = manager.make(_CREATE_POINTER)

    def quiet(self) -> None:
        pass

    def accept(self) -> None:
        pass

    def accept_window(self) -> None:
        pass

    def refuse(self) -> None:
        pass

    def move_pointer(self, right: int, down: int) -> None:
        # In 1/256 pixels.
        now_ms = int(time.monotonic() * 1000) & 0xFFFFFFFF
        self._pointer.request(_MOTION, struct.pack("=Iii", now_ms, 256 * right, 256 * down))
        self._pointer.request(_FRAME)

    def end_sharing(self) -> bool:
        return False


def hands_of(session: Session) -> Hands:
    """Return the user of this session."""
    kinds: dict[str, type[GnomeHands] | type[KdeHands] | type[SwayHands]]
    kinds = {"GNOME": GnomeHands, "KDE": KdeHands, "sway": SwayHands}
    return kinds[session.desktop](session)
