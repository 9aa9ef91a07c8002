"""The calls and structures of libpipewire-0.3 that a stream of pictures needs, through ctypes.

They are the same from 0.3.65 to 1.6. The loop is driven through its table of methods, because the functions for that
are exported from 1.4 on only.
"""

from __future__ import annotations

import ctypes
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_char_p,
    c_int,
    c_int32,
    c_int64,
    c_size_t,
    c_uint32,
    c_uint64,
)
from ctypes import c_void_p as Pointer  # noqa: N812 - what it is here
from functools import cache
from typing import Any, Final

from capture.errors import NotReadyError
from capture.system.packages import how_to_install

_LIBRARY: Final = "libpipewire-0.3.so.0"

#: The states of a stream (enum pw_stream_state).
STATE_ERROR: Final = -1
STATE_UNCONNECTED: Final = 0
STATE_PAUSED: Final = 2
STATE_STREAMING: Final = 3

#: A stream that takes (enum spa_direction), is connected by the session manager, and never to another node (enum
#: pw_stream_flags).
DIRECTION_INPUT: Final = 0
FLAG_AUTOCONNECT: Final = 1 << 0
FLAG_DONT_RECONNECT: Final = 1 << 7

#: The kinds of memory (enum spa_data_type): in this process, or behind a descriptor that can be mapped.
DATA_POINTER: Final = 1
DATA_DESCRIPTOR: Final = 2

#: The kinds of metadata of a buffer (enum spa_meta_type).
META_HEADER: Final = 1
META_DAMAGE: Final = 3
META_CURSOR: Final = 5

#: Marks a buffer whose content is no picture (SPA_CHUNK_FLAG_CORRUPTED, SPA_META_HEADER_FLAG_CORRUPTED).
CHUNK_CORRUPTED: Final = 1 << 0
HEADER_CORRUPTED: Final = 1 << 1


class Interface(Structure):
    _fields_ = (("type", c_char_p), ("version", c_uint32), ("methods", Pointer), ("data", Pointer))


class LoopParts(Structure):
    """struct pw_loop."""

    _fields_ = (("system", Pointer), ("loop", Pointer), ("control", POINTER(Interface)), ("utils", Pointer))


class LoopMethods(Structure):
    """struct spa_loop_control_methods, up to the last one needed."""

    _fields_ = (
        ("version", c_uint32),
        ("get_fd", CFUNCTYPE(c_int, Pointer)),
        ("add_hook", Pointer),
        ("enter", CFUNCTYPE(None, Pointer)),
        ("leave", CFUNCTYPE(None, Pointer)),
        ("iterate", CFUNCTYPE(c_int, Pointer, c_int)),
    )


class Meta(Structure):
    _fields_ = (("type", c_uint32), ("size", c_uint32), ("data", Pointer))


class Chunk(Structure):
    _fields_ = (("offset", c_uint32), ("size", c_uint32), ("stride", c_int32), ("flags", c_int32))


class Data(Structure):
    _fields_ = (
        ("type", c_uint32),
        ("flags", c_uint32),
        ("fd", c_int64),
        ("mapoffset", c_uint32),
        ("maxsize", c_uint32),
        ("data", Pointer),
        ("chunk", POINTER(Chunk)),
    )


class SpaBuffer(Structure):
    _fields_ = (("n_metas", c_uint32), ("n_datas", c_uint32), ("metas", POINTER(Meta)), ("datas", POINTER(Data)))


class StreamBuffer(Structure):
    """struct pw_buffer, up to the last field that every version has."""

    _fields_ = (("buffer", POINTER(SpaBuffer)), ("user_data", Pointer), ("size", c_uint64))


OnState = CFUNCTYPE(None, Pointer, c_int, c_int, c_char_p)
OnParameter = CFUNCTYPE(None, Pointer, c_uint32, Pointer)
OnBuffer = CFUNCTYPE(None, Pointer, Pointer)
OnProcess = CFUNCTYPE(None, Pointer)


class StreamEvents(Structure):
    """struct pw_stream_events, version 0."""

    _fields_ = (
        ("version", c_uint32),
        ("destroy", Pointer),
        ("state_changed", OnState),
        ("control_info", Pointer),
        ("io_changed", Pointer),
        ("param_changed", OnParameter),
        ("add_buffer", OnBuffer),
        ("remove_buffer", OnBuffer),
        ("process", OnProcess),
        ("drained", Pointer),
    )


#: struct spa_hook, which the library fills.
HOOK_BYTES: Final = 6 * ctypes.sizeof(Pointer)

_FUNCTIONS: Final[dict[str, tuple[Any, list[Any]]]] = {
    "pw_init": (None, [Pointer, Pointer]),
    "pw_main_loop_new": (Pointer, [Pointer]),
    "pw_main_loop_get_loop": (Pointer, [Pointer]),
    "pw_main_loop_destroy": (None, [Pointer]),
    "pw_context_new": (Pointer, [Pointer, Pointer, c_size_t]),
    "pw_context_connect_fd": (Pointer, [Pointer, c_int, Pointer, c_size_t]),
    "pw_context_destroy": (None, [Pointer]),
    "pw_core_disconnect": (c_int, [Pointer]),
    "pw_properties_new_string": (Pointer, [c_char_p]),
    "pw_stream_new": (Pointer, [Pointer, c_char_p, Pointer]),
    "pw_stream_add_listener": (None, [Pointer, Pointer, POINTER(StreamEvents), Pointer]),
    "pw_stream_connect": (c_int, [Pointer, c_int, c_uint32, c_int, POINTER(Pointer), c_uint32]),
    "pw_stream_update_params": (c_int, [Pointer, POINTER(Pointer), c_uint32]),
    "pw_stream_dequeue_buffer": (Pointer, [Pointer]),
    "pw_stream_queue_buffer": (c_int, [Pointer, Pointer]),
    "pw_stream_destroy": (None, [Pointer]),
}


@cache
def library() -> Any:
    """Return the library, initialised, with its signatures declared. Raises `NotReadyError` if it is not installed."""
    try:
        found = ctypes.CDLL(_LIBRARY)
    except OSError as error:
        raise NotReadyError(f"{_LIBRARY} cannot be loaded ({error})", how_to_install("libpipewire")) from error
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(found, name)
        function.restype, function.argtypes = result, arguments
    found.pw_init(None, None)
    return found
