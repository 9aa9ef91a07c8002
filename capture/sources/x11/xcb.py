"""A cheap connection to an X server: requests and events as bytes of the protocol, through libxcb.

A request with its reply takes half as long as through python-xlib, and an event next to nothing. What every frame needs
is requested here; everything else reads better with python-xlib.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_size_t, c_uint, c_uint8
from ctypes import c_void_p as Pointer  # noqa: N812 - what it is here
from functools import cache
from typing import Any, Final, NamedTuple

from capture.errors import DisplayLostError, NotReadyError
from capture.sources.x11.no_display import no_display
from capture.sources.x11.pixel_format import formats_of
from capture.system.packages import how_to_install
from capture.triggers.x11_resets import despite_resets

__all__ = ["Connection", "Extension"]

#: Core requests.
_QUERY_EXTENSION: Final = 98

#: Replies, events and errors have this length; a reply says in its head how much longer it is.
_MESSAGE_BYTES: Final = 32

_LIBRARY: Final = "libxcb.so.1"

_GONE: Final = "the display is gone (the X server closed the connection)"

#: How much longer a reply is, in units of four bytes.
_LENGTH: Final = struct.Struct("=I")


class _Vector(Structure):
    _fields_ = (("base", c_char_p), ("size", c_size_t))


class _Request(Structure):
    _fields_ = (("count", c_size_t), ("extension", Pointer), ("opcode", c_uint8), ("is_void", c_uint8))


class _Screens(Structure):
    _fields_ = (("data", POINTER(c_uint)), ("left", c_int), ("index", c_int))


class Extension(NamedTuple):
    """An extension with the opcode and the first event number that this server gave it."""

    opcode: int
    first_event: int

    def request(self, number: int, body: bytes = b"") -> bytes:
        """Return the extension's request `number`. `body` follows the head; its length must be a multiple of four."""
        return struct.pack("=BBH", self.opcode, number, 1 + len(body) // 4) + body


@cache
def _library() -> Any:
    """Return libxcb with its signatures declared. Raises `OSError` if it is not installed."""
    found = ctypes.CDLL(_LIBRARY)
    declared: dict[str, tuple[Any, list[Any]]] = {
        "xcb_connect": (Pointer, [c_char_p, POINTER(c_int)]),
        "xcb_connection_has_error": (c_int, [Pointer]),
        "xcb_disconnect": (None, [Pointer]),
        "xcb_get_file_descriptor": (c_int, [Pointer]),
        "xcb_get_setup": (Pointer, [Pointer]),
        "xcb_setup_roots_iterator": (_Screens, [Pointer]),
        "xcb_screen_next": (None, [POINTER(_Screens)]),
        "xcb_send_request": (c_uint, [Pointer, c_int, POINTER(_Vector), POINTER(_Request)]),
        "xcb_send_request_with_fds": (
            c_uint,
            [Pointer, c_int, POINTER(_Vector), POINTER(_Request), c_uint, POINTER(c_int)],
        ),
        "xcb_wait_for_reply": (Pointer, [Pointer, c_uint, POINTER(Pointer)]),
        "xcb_poll_for_event": (Pointer, [Pointer]),
        "xcb_generate_id": (c_uint, [Pointer]),
    }
    for name, (result, arguments) in declared.items():
        function = getattr(found, name)
        function.restype, function.argtypes = result, arguments
    return found


@cache
def _free() -> Any:
    function = ctypes.CDLL(None).free
    function.restype, function.argtypes = None, [Pointer]
    return function


class Connection:
    """A connection to the display that DISPLAY names, for one thread.

    Requests are the protocol's bytes in this machine's byte order, including their own length, padded to a multiple of
    four bytes. Everything but the constructor raises `DisplayLostError` once the server is gone.
    """

    def __init__(self) -> None:
        """Connect. Raises `NotReadyError` if there is no X server or no libxcb."""
        try:
            self._lib = _library()
        except OSError as error:
            raise NotReadyError(f"{_LIBRARY} cannot be loaded ({error})", how_to_install("libxcb")) from error
        preferred = despite_resets(self._connect, NotReadyError)
        screens = self._lib.xcb_setup_roots_iterator(self._lib.xcb_get_setup(self._handle))
        for _ in range(preferred):
            self._lib.xcb_screen_next(byref(screens))
        #: The root window.
        self.root = int(screens.data[0])
        #: The pixel formats by visual, and the root's.
        self.formats, visuals = formats_of(self._setup())
        self.root_format = self.formats[visuals[self.root]]
        self._descriptor = int(self._lib.xcb_get_file_descriptor(self._handle))
        # The vectors to send. libxcb uses the two entries before the one it is given, and keeps no reference to them.
        self._vectors = (_Vector * 3)()
        self._vector = ctypes.cast(byref(self._vectors, 2 * ctypes.sizeof(_Vector)), POINTER(_Vector))
        self._request = _Request(1, None, 0, 0)

    def _connect(self) -> int:
        """Connect, and return which screen DISPLAY names. Raises `NotReadyError`."""
        preferred = c_int()
        self._handle = self._lib.xcb_connect(None, byref(preferred))
        if self._lib.xcb_connection_has_error(self._handle):
            self.close()
            raise no_display()
        return preferred.value

    def _setup(self) -> bytes:
        """Return what the server told about itself, as the protocol lays it out."""
        address = self._lib.xcb_get_setup(self._handle)
        (length,) = struct.unpack_from("=H", ctypes.string_at(address, 8), 6)
        return ctypes.string_at(address, 8 + 4 * length)

    def fileno(self) -> int:
        """Return the descriptor for `select`. It does not show events that came with a reply: read `events` first."""
        return self._descriptor

    def extension(self, name: str) -> Extension | None:
        """Return the numbers of an extension; None if the server does not have it."""
        encoded = name.encode()
        padded = encoded + bytes(-len(encoded) % 4)
        head = struct.pack("=BxHHxx", _QUERY_EXTENSION, 2 + len(padded) // 4, len(encoded))
        answer = self.ask(head + padded)
        if answer is None or not answer[8]:
            return None
        return Extension(opcode=answer[9], first_event=answer[10])

    def new_id(self) -> int:
        """Return an id for a new resource."""
        return int(self._lib.xcb_generate_id(self._handle))

    def send(self, request: bytes, descriptor: int | None = None) -> None:
        """Send a request that has no reply, and a descriptor with it, which is then closed. Errors are ignored.

        It leaves with the next `ask`. If the server has to act now, `ask` something.
        """
        self._send(request, descriptor, is_void=True)

    def ask(self, request: bytes) -> bytes | None:
        """Send a request and return its reply; None if the server answers with an error."""
        number = self._send(request, None, is_void=False)
        error = Pointer()
        answer = self._lib.xcb_wait_for_reply(self._handle, number, byref(error))
        if error.value:
            _free()(error)
        if not answer:
            self._check()
            return None
        try:
            message = ctypes.string_at(answer, _MESSAGE_BYTES)
            (more,) = _LENGTH.unpack_from(message, 4)
            return message if not more else ctypes.string_at(answer, _MESSAGE_BYTES + 4 * more)
        finally:
            _free()(answer)

    def events(self) -> Iterator[bytes]:
        """Yield the events since the last call, in order: 32 bytes each."""
        self._require_handle()
        while event := self._lib.xcb_poll_for_event(self._handle):
            message = ctypes.string_at(event, _MESSAGE_BYTES)
            _free()(event)
            # Type 0 is an error; the highest bit marks an event that another client sent.
            if message[0] & 0x7F:
                yield message
        # Events that arrived before the server died were delivered first.
        self._check()

    def close(self) -> None:
        """Close the connection; may be called twice."""
        handle, self._handle = self._handle, None
        if handle:
            self._lib.xcb_disconnect(handle)

    def _send(self, request: bytes, descriptor: int | None, *, is_void: bool) -> int:
        # On a connection that has failed, libxcb sends nothing, and `ask` gets no reply.
        self._require_handle()
        self._vectors[2] = _Vector(request, len(request))
        what = self._request
        what.opcode, what.is_void = request[0], is_void
        if descriptor is None:
            return int(self._lib.xcb_send_request(self._handle, 0, self._vector, byref(what)))
        descriptors = (c_int * 1)(descriptor)
        return int(self._lib.xcb_send_request_with_fds(self._handle, 0, self._vector, byref(what), 1, descriptors))

    def _require_handle(self) -> None:
        """Keep a handle that was closed from libxcb."""
        if not self._handle:
            raise DisplayLostError(_GONE)

    def _check(self) -> None:
        if not self._handle or self._lib.xcb_connection_has_error(self._handle):
            raise DisplayLostError(_GONE)
