"""A lean connection to the X server for hotkeys: key grabs, the keyboard with all its layouts, and key events.

It uses the protocol layer of python-xlib, which loads in a fraction of the time of the whole library. python-xlib
has no XKB, so the four requests that are needed are described here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Final, NamedTuple

from Xlib import X, error
from Xlib.protocol import display, event, request, rq

from capture.triggers.quiet_xlib import keep_xlib_quiet
from capture.triggers.x11_keyboard import Key, Keyboard

__all__ = ["GONE", "Connection", "Grab", "KeyPress", "KeyRelease", "MapChange", "Wire"]

#: The failures that mean: there is no X server, or none any more. The last is that of a display with too high a number.
GONE: Final = (error.DisplayError, error.ConnectionClosedError, error.XError, OSError, OverflowError)

_XKB: Final = "XKEYBOARD"
_XKB_VERSION: Final = (1, 0)
_CORE_KEYBOARD: Final = 0x100

#: Auto-repeat sends presses without releases.
_DETECTABLE_AUTO_REPEAT: Final = 1

#: The state of a grabbed key's events has the layout in use: X.Org's server needs both GrabsUseXKBState and
#: LookupStateWhenGrabbed for that.
_STATE_HAS_LAYOUT: Final = 2 | 8

#: In the reply about them: those that are set.
_FLAGS: Final = struct.Struct("=12xI")

#: The events about a new keyboard and about a new map, and all parts of a map.
_NEW_KEYBOARD_AND_MAP: Final = 0b11
_ALL_PARTS: Final = 0xFF

#: The part of the map that has the keysyms.
_KEY_SYMBOLS: Final = 2

#: In a reply with the map: its first key, how many there are, and where their keysyms begin.
_MAP_HEAD: Final = struct.Struct("=17xB2xB")
_MAP_START: Final = 40
_MAP_KEY: Final = struct.Struct("=4xBBH")

#: The core protocol knows two layouts, with two keysyms a key in each.
_CORE_LAYOUTS: Final = ((0, 1), (2, 3))


class Grab(NamedTuple):
    """A key with exactly these modifiers, as X11's bit mask, everywhere on the screen whose root window this is."""

    root: int
    keycode: int
    modifiers: int


class KeyPress(NamedTuple):
    """A grabbed key, or a key pressed while this connection has the keyboard.

    `state` is X11's mask, `time` the server's clock, and `root` the root window of the screen with the pointer.
    """

    keycode: int
    state: int
    time: int
    root: int


class KeyRelease(NamedTuple):
    """A key was released while this connection had the keyboard; the fields are those of `KeyPress`."""

    keycode: int
    state: int
    time: int
    root: int


class MapChange(NamedTuple):
    """The keys type something else from now on."""


class Connection:
    """One connection. For one thread at a time. Everything raises `GONE` when the server is gone."""

    def __init__(self) -> None:
        """Connect to the server that DISPLAY names."""
        self._wire = Wire()
        self._wire.set_error_handler(lambda failure, failed: None)
        self.roots: tuple[int, ...] = tuple(screen["root"] for screen in self._wire.info.roots)
        #: Whether auto-repeat sends presses only. Otherwise each repeat has a release as well.
        self.tells_repeats = False
        self._xkb = request.QueryExtension(self._wire, name=_XKB)
        if self._xkb.present:
            self._begin_xkb()

    def _begin_xkb(self) -> None:
        opcode = self._xkb.major_opcode
        major, minor = _XKB_VERSION
        _UseExtension(display=self._wire, opcode=opcode, major=major, minor=minor)
        flags = _DETECTABLE_AUTO_REPEAT | _STATE_HAS_LAYOUT
        answer = _PerClientFlags(display=self._wire, opcode=opcode, device=_CORE_KEYBOARD, change=flags, value=flags)
        self.tells_repeats = bool(_FLAGS.unpack_from(answer.body)[0] & _DETECTABLE_AUTO_REPEAT)
        _SelectEvents(
            display=self._wire,
            opcode=opcode,
            device=_CORE_KEYBOARD,
            which=_NEW_KEYBOARD_AND_MAP,
            all=_NEW_KEYBOARD_AND_MAP,
            affected=_ALL_PARTS,
            parts=_ALL_PARTS,
        )

    def fileno(self) -> int:
        """Return the descriptor for `select`: readable when the server has sent something."""
        return int(self._wire.fileno())

    def keyboard(self) -> Keyboard:
        """Return what the keys type at present, in every layout."""
        rows = request.GetModifierMapping(self._wire).keycodes
        keys = self._xkb_keys() if self._xkb.present else self._core_keys()
        return Keyboard(keys, tuple(tuple(filter(None, row)) for row in rows))

    def change_grabs(
        self, release: Iterable[Grab], take: Iterable[tuple[Grab, bool]], on_refused: Callable[[Grab], None]
    ) -> None:
        """Release grabs, then take others; with True, the keyboard waits for an answer to each event.

        Calls `on_refused` for each grab that another program has, before this returns.
        """
        for grab in release:
            request.UngrabKey(self._wire, None, grab_window=grab.root, key=grab.keycode, modifiers=grab.modifiers)
        for grab, waits in take:
            request.GrabKey(
                self._wire,
                _when_refused(on_refused, grab),
                owner_events=False,
                grab_window=grab.root,
                modifiers=grab.modifiers,
                key=grab.keycode,
                pointer_mode=X.GrabModeAsync,
                keyboard_mode=X.GrabModeSync if waits else X.GrabModeAsync,
            )
        self._sync()

    def take(self, event: KeyPress | KeyRelease) -> bool:
        """Take the whole keyboard, which then waits after each event for an answer: `keep`, `give_back` or `let_go`.

        It waits at once, so this event wants an answer too: keys pressed until then are neither lost nor given to
        anybody. Return whether the keyboard could be taken. It cannot while another program has it.
        """
        answer = request.GrabKeyboard(
            self._wire,
            owner_events=False,
            grab_window=event.root,
            time=event.time,
            pointer_mode=X.GrabModeAsync,
            keyboard_mode=X.GrabModeSync,
        )
        return bool(answer.status == X.GrabSuccess)

    def keep(self, event: KeyPress | KeyRelease) -> None:
        """Keep an event, and let the keyboard go on to the next."""
        request.AllowEvents(self._wire, None, mode=X.SyncKeyboard, time=event.time)
        self._wire.flush()

    def give_back(self, event: KeyPress | KeyRelease) -> None:
        """Give an event to the program that has the focus, and the keyboard too."""
        request.AllowEvents(self._wire, None, mode=X.ReplayKeyboard, time=event.time)
        # The server replays nothing, and ends no grab, if it did not wait for the answer to this event.
        self.let_go(event)

    def let_go(self, event: KeyPress | KeyRelease) -> None:
        """Keep an event, and give the keyboard back."""
        request.UngrabKeyboard(self._wire, None, time=event.time)
        self._wire.flush()

    def keys_down(self) -> frozenset[int]:
        """Return the keycodes of the keys that are down, or whose release `events` has yet to yield."""
        down = self.keys_down_at_server()
        return down.union(event.detail for event in self._wire.event_queue if event.type == X.KeyRelease)

    def keys_down_at_server(self) -> frozenset[int]:
        """Return the keycodes of the keys whose release the server has not yet handled."""
        bits = request.QueryKeymap(self._wire).map
        return frozenset(8 * place + bit for place, byte in enumerate(bits) for bit in range(8) if byte >> bit & 1)

    @property
    def has_events(self) -> bool:
        """Whether `events` has some already, so that the descriptor need not become readable."""
        return bool(self._wire.event_queue)

    def events(self) -> Iterator[KeyPress | KeyRelease | MapChange]:
        """Yield the events that have arrived, without waiting for more."""
        while self._wire.pending_events():
            found = self._wire.next_event()
            if found.type == X.KeyPress:
                yield KeyPress(found.detail, found.state, found.time, found.root)
            elif found.type == X.KeyRelease:
                yield KeyRelease(found.detail, found.state, found.time, found.root)
            elif found.type == X.MappingNotify or (self._xkb.present and found.type == self._xkb.first_event):
                yield MapChange()

    def close(self, *, releasing: bool = True) -> None:
        """Close the connection, with `releasing` only after the server has released the grabs; may be called twice."""
        with suppress(*GONE):
            for root in self.roots if releasing else ():
                request.UngrabKey(self._wire, None, grab_window=root, key=X.AnyKey, modifiers=X.AnyModifier)
            if releasing:
                self._sync()
            self._wire.close()

    def cut(self) -> None:
        """End the wait for a server that does not answer: it sees a closed connection. Any thread may call this."""
        self._wire.cut()

    def _sync(self) -> None:
        request.GetInputFocus(self._wire)

    def _xkb_keys(self) -> dict[int, Key]:
        first = self._wire.info.min_keycode
        count = self._wire.info.max_keycode - first + 1
        reply = _GetMap(
            display=self._wire,
            opcode=self._xkb.major_opcode,
            device=_CORE_KEYBOARD,
            full=_KEY_SYMBOLS,
            partial=0,
            first=first,
            count=count,
        )
        return keys_of(reply.body)

    def _core_keys(self) -> dict[int, Key]:
        first = self._wire.info.min_keycode
        count = self._wire.info.max_keycode - first + 1
        table = request.GetKeyboardMapping(self._wire, first_keycode=first, count=count).keysyms
        found = {}
        for keycode, symbols in enumerate(table, first):
            layouts = [tuple(symbols[at] for at in places if at < len(symbols)) for places in _CORE_LAYOUTS]
            found[keycode] = Key(tuple(layout for layout in layouts if any(layout)))
        return found


def keys_of(reply: bytes) -> dict[int, Key]:
    """Return the keys in an XKB reply with keysyms, by keycode."""
    first, count = _MAP_HEAD.unpack_from(reply)
    found, at = {}, _MAP_START
    for keycode in range(first, first + count):
        about, width, number = _MAP_KEY.unpack_from(reply, at)
        at += _MAP_KEY.size
        symbols = struct.unpack_from(f"={number}I", reply, at)
        at += 4 * number
        layouts = about & 0x0F
        found[keycode] = Key(
            tuple(symbols[layout * width : (layout + 1) * width] for layout in range(layouts)),
            clamps=about >> 6 == 1,
            redirects_to=about >> 4 & 3 if about >> 6 == 2 else None,
        )
    return found


def _when_refused(on_refused: Callable[[Grab], None], grab: Grab) -> Callable[[Any, Any], bool]:
    def note(failure: Any, failed: Any) -> bool:
        on_refused(grab)
        return True

    return note


class Wire(display.Display):  # type: ignore[misc]  # its package has no types
    """The protocol of a connection; windows are plain numbers."""

    resource_classes: Final[dict[str, type]] = {}

    # The library shares this table among all connections, and the events of extensions have other numbers elsewhere.
    event_classes = event.event_class.copy()

    def __init__(self) -> None:
        keep_xlib_quiet()
        super().__init__()

    def cut(self) -> None:
        import socket

        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)


class _Bytes:
    """Reads a reply as it is."""

    def parse_binary(self, data: Any, connection: Any, rawdict: bool = False) -> tuple[dict[str, Any], bytes]:
        body = bytes(data)
        return {"sequence_number": struct.unpack_from("=2xH", body)[0], "body": body}, b""


class _UseExtension(rq.ReplyRequest):  # type: ignore[misc]  # its package has no types
    _request = rq.Struct(rq.Card8("opcode"), rq.Opcode(0), rq.RequestLength(), rq.Card16("major"), rq.Card16("minor"))
    _reply = _Bytes()


class _SelectEvents(rq.Request):  # type: ignore[misc]
    _request = rq.Struct(
        *(rq.Card8("opcode"), rq.Opcode(1), rq.RequestLength(), rq.Card16("device"), rq.Card16("which")),
        *(rq.Pad(2), rq.Card16("all"), rq.Card16("affected"), rq.Card16("parts")),
    )


class _GetMap(rq.ReplyRequest):  # type: ignore[misc]
    _request = rq.Struct(
        *(rq.Card8("opcode"), rq.Opcode(8), rq.RequestLength(), rq.Card16("device")),
        *(rq.Card16("full"), rq.Card16("partial"), rq.Pad(2), rq.Card8("first"), rq.Card8("count"), rq.Pad(14)),
    )
    _reply = _Bytes()


class _PerClientFlags(rq.ReplyRequest):  # type: ignore[misc]
    _request = rq.Struct(
        *(rq.Card8("opcode"), rq.Opcode(21), rq.RequestLength(), rq.Card16("device"), rq.Pad(2)),
        *(rq.Card32("change"), rq.Card32("value"), rq.Pad(12)),
    )
    _reply = _Bytes()
