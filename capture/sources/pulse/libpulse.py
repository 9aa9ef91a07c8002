"""The calls of PulseAudio's client library that recording and playback need, through ctypes.

The general bindings lack what a recorder needs: `DONT_MOVE`, without which the server may connect a stream whose output
is unplugged to the microphone; the timing that says when a sample is heard; and a connection that ends with an error
instead of ending the process. PipeWire's server speaks the same protocol.

This module has only the calls, the structures and the numbers; `loop` and `streams` build on them.
"""

from __future__ import annotations

import ctypes
import sys
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_char_p,
    c_int,
    c_int64,
    c_long,
    c_size_t,
    c_uint8,
    c_uint32,
    c_uint64,
)
from ctypes import c_void_p as Pointer  # noqa: N812 - what it is here
from functools import cache
from typing import Any, Final

from capture.errors import NotReadyError
from capture.system.packages import how_to_install

CONTEXT_READY: Final = 4
CONTEXT_FAILED: Final = 5
STREAM_READY: Final = 2
STREAM_FAILED: Final = 3
CONTEXT_NOAUTOSPAWN: Final = 0x1
STREAM_DONT_MOVE: Final = 0x200
STREAM_ADJUST_LATENCY: Final = 0x2000
STREAM_START_UNMUTED: Final = 0x10000
SAMPLE_FLOAT32_NATIVE: Final = 5 if sys.byteorder == "little" else 6
OPERATION_RUNNING: Final = 0
SEEK_RELATIVE: Final = 0
NO_INDEX: Final = 0xFFFFFFFF
ABOUT_OUTPUTS: Final = 0x1 | 0x80  # the sinks, and the server with its default sink
ABOUT_INPUTS: Final = 0x2 | 0x80  # the sources, and the server with its default source
ABOUT_STREAMS: Final = 0x4  # the sink inputs
ABOUT_SOURCES: Final = 0x2 | 0x8  # the sources, and the streams that record them
_CHANNELS_MAX: Final = 32
_NAME: Final = "libpulse.so.0"
DEFAULT: Final = 0xFFFFFFFF

#: What 100 % is as a volume of the server.
VOLUME_FULL: Final = 0x10000

#: The flags of a device: its volume is one of the hardware; the volumes of its streams include its own.
DEVICE_HARDWARE_VOLUME: Final = 0x1
SINK_FLAT_VOLUME: Final = 0x40
SOURCE_FLAT_VOLUME: Final = 0x80

#: Positions of channels by the side of a stereo stream that the server mixes them into. Of LFE (7) and of AUX0 to AUX31
#: (12 to 43) it mixes nothing into either.
LEFT_POSITIONS: Final = frozenset({1, 5, 8, 10, 45, 48})
RIGHT_POSITIONS: Final = frozenset({2, 6, 9, 11, 46, 49})
CENTRE_POSITIONS: Final = frozenset({0, 3, 4, 44, 47, 50})
MONO: Final = 0


class SampleSpec(Structure):
    _fields_ = (("format", c_int), ("rate", c_uint32), ("channels", c_uint8))


class BufferAttributes(Structure):
    _fields_ = tuple((name, c_uint32) for name in ("maxlength", "tlength", "prebuf", "minreq", "fragsize"))


class TimingInfo(Structure):
    _fields_ = (
        ("timestamp_s", c_long),
        ("timestamp_us", c_long),
        ("synchronized_clocks", c_int),
        ("sink_us", c_uint64),
        ("source_us", c_uint64),
        ("transport_us", c_uint64),
        ("playing", c_int),
        ("write_index_corrupt", c_int),
        ("write_index", c_int64),
        ("read_index_corrupt", c_int),
        ("read_index", c_int64),
        ("configured_sink_us", c_uint64),
        ("configured_source_us", c_uint64),
        ("since_underrun", c_int64),
    )


class ChannelMap(Structure):
    _fields_ = (("channels", c_uint8), ("map", c_int * _CHANNELS_MAX))


class Volume(Structure):
    _fields_ = (("channels", c_uint8), ("values", c_uint32 * _CHANNELS_MAX))


class SinkInfo(Structure):
    # Only the first fields: the library allocates these structures and hands out pointers.
    _fields_ = (
        ("name", c_char_p),
        ("index", c_uint32),
        ("description", c_char_p),
        ("sample_spec", SampleSpec),
        ("channel_map", ChannelMap),
        ("owner_module", c_uint32),
        ("volume", Volume),
        ("mute", c_int),
        ("monitor_source", c_uint32),
        ("monitor_source_name", c_char_p),
        ("latency_us", c_uint64),
        ("driver", c_char_p),
        ("flags", c_int),
        ("properties", Pointer),
        ("configured_latency_us", c_uint64),
        ("base_volume", c_uint32),
    )


class SourceInfo(Structure):
    # Only the first fields, too.
    _fields_ = (
        ("name", c_char_p),
        ("index", c_uint32),
        ("description", c_char_p),
        ("sample_spec", SampleSpec),
        ("channel_map", ChannelMap),
        ("owner_module", c_uint32),
        ("volume", Volume),
        ("mute", c_int),
        ("monitor_of_sink", c_uint32),
        ("monitor_of_sink_name", c_char_p),
        ("latency_us", c_uint64),
        ("driver", c_char_p),
        ("flags", c_int),
        ("properties", Pointer),
        ("configured_latency_us", c_uint64),
        ("base_volume", c_uint32),
    )


class SinkInputInfo(Structure):
    _fields_ = (
        ("index", c_uint32),
        ("name", c_char_p),
        ("owner_module", c_uint32),
        ("client", c_uint32),
        ("sink", c_uint32),
        ("sample_spec", SampleSpec),
        ("channel_map", ChannelMap),
        ("volume", Volume),
        ("buffer_us", c_uint64),
        ("sink_us", c_uint64),
        ("resample_method", c_char_p),
        ("driver", c_char_p),
        ("mute", c_int),
        ("properties", Pointer),
        ("corked", c_int),
    )


class SourceOutputInfo(Structure):
    _fields_ = (
        ("index", c_uint32),
        ("name", c_char_p),
        ("owner_module", c_uint32),
        ("client", c_uint32),
        ("source", c_uint32),
        ("sample_spec", SampleSpec),
        ("channel_map", ChannelMap),
        ("buffer_us", c_uint64),
        ("source_us", c_uint64),
        ("resample_method", c_char_p),
        ("driver", c_char_p),
        ("properties", Pointer),
        ("corked", c_int),
        ("volume", Volume),
        ("mute", c_int),
    )


class ServerInfo(Structure):
    # Only the first fields, as above.
    _fields_ = (
        ("user_name", c_char_p),
        ("host_name", c_char_p),
        ("server_version", c_char_p),
        ("server_name", c_char_p),
    )


class ClientInfo(Structure):
    _fields_ = (
        ("index", c_uint32),
        ("name", c_char_p),
        ("owner_module", c_uint32),
        ("driver", c_char_p),
        ("properties", Pointer),
    )


OnEvent: Final = CFUNCTYPE(None, Pointer, c_int, c_uint32, Pointer)
OnInfo: Final = CFUNCTYPE(None, Pointer, Pointer, c_int, Pointer)
OnServerInfo: Final = CFUNCTYPE(None, Pointer, Pointer, Pointer)
OnData: Final = CFUNCTYPE(None, Pointer, c_size_t, Pointer)


class Library:
    """libpulse with its signatures declared. Raises `NotReadyError` if it is not installed.

    Calls keep the interpreter unless they may take long. Each takes about a microsecond, a block of sound takes fifty,
    and where they let the interpreter go, another thread that was working would have to be waited for after each.
    """

    def __init__(self) -> None:
        try:
            quick, waiting = ctypes.PyDLL(_NAME), ctypes.CDLL(_NAME)
        except OSError as error:
            raise NotReadyError(
                "the sound library libpulse is not installed", f"{how_to_install('libpulse')}, or use --audio none"
            ) from error
        self.mainloop_new = _declare(quick.pa_mainloop_new, Pointer)
        self.mainloop_free = _declare(waiting.pa_mainloop_free, None, Pointer)
        self.mainloop_get_api = _declare(quick.pa_mainloop_get_api, Pointer, Pointer)
        self.mainloop_prepare = _declare(quick.pa_mainloop_prepare, c_int, Pointer, c_int)
        self.mainloop_poll = _declare(waiting.pa_mainloop_poll, c_int, Pointer)
        self.mainloop_dispatch = _declare(quick.pa_mainloop_dispatch, c_int, Pointer)
        self.mainloop_iterate = _declare(quick.pa_mainloop_iterate, c_int, Pointer, c_int, Pointer)
        self.mainloop_wakeup = _declare(quick.pa_mainloop_wakeup, None, Pointer)
        self.context_new = _declare(waiting.pa_context_new, Pointer, Pointer, c_char_p)
        self.context_connect = _declare(waiting.pa_context_connect, c_int, Pointer, c_char_p, c_int, Pointer)
        self.context_disconnect = _declare(waiting.pa_context_disconnect, None, Pointer)
        self.context_unref = _declare(waiting.pa_context_unref, None, Pointer)
        self.context_get_state = _declare(quick.pa_context_get_state, c_int, Pointer)
        self.context_errno = _declare(quick.pa_context_errno, c_int, Pointer)
        self.strerror = _declare(quick.pa_strerror, c_char_p, c_int)
        self.stream_new = _declare(
            quick.pa_stream_new_with_proplist, Pointer, Pointer, c_char_p, POINTER(SampleSpec), Pointer, Pointer
        )
        self.stream_get_index = _declare(quick.pa_stream_get_index, c_uint32, Pointer)
        self.stream_connect_record = _declare(
            quick.pa_stream_connect_record, c_int, Pointer, c_char_p, POINTER(BufferAttributes), c_int
        )
        self.stream_connect_playback = _declare(
            quick.pa_stream_connect_playback,
            c_int,
            *(Pointer, c_char_p, POINTER(BufferAttributes), c_int, Pointer, Pointer),
        )
        self.stream_writable_size = _declare(quick.pa_stream_writable_size, c_size_t, Pointer)
        self.stream_write = _declare(quick.pa_stream_write, c_int, Pointer, Pointer, c_size_t, Pointer, c_int64, c_int)
        self.stream_cork = _declare(quick.pa_stream_cork, Pointer, Pointer, c_int, Pointer, Pointer)
        self.stream_drain = _declare(quick.pa_stream_drain, Pointer, Pointer, Pointer, Pointer)
        self.stream_flush = _declare(quick.pa_stream_flush, Pointer, Pointer, Pointer, Pointer)
        self.stream_disconnect = _declare(quick.pa_stream_disconnect, c_int, Pointer)
        self.stream_unref = _declare(quick.pa_stream_unref, None, Pointer)
        self.stream_get_state = _declare(quick.pa_stream_get_state, c_int, Pointer)
        self.stream_is_suspended = _declare(quick.pa_stream_is_suspended, c_int, Pointer)
        self.stream_peek = _declare(quick.pa_stream_peek, c_int, Pointer, POINTER(Pointer), POINTER(c_size_t))
        self.stream_drop = _declare(quick.pa_stream_drop, c_int, Pointer)
        self.stream_update_timing_info = _declare(
            quick.pa_stream_update_timing_info, Pointer, Pointer, Pointer, Pointer
        )
        self.stream_get_timing_info = _declare(quick.pa_stream_get_timing_info, POINTER(TimingInfo), Pointer)
        self.stream_set_read_callback = _declare(quick.pa_stream_set_read_callback, None, Pointer, Pointer, Pointer)
        self.stream_set_monitor_stream = _declare(quick.pa_stream_set_monitor_stream, c_int, Pointer, c_uint32)
        self.context_set_subscribe_callback = _declare(
            quick.pa_context_set_subscribe_callback, None, Pointer, Pointer, Pointer
        )
        self.context_subscribe = _declare(quick.pa_context_subscribe, Pointer, Pointer, c_int, Pointer, Pointer)
        self.get_server_info = _declare(quick.pa_context_get_server_info, Pointer, Pointer, Pointer, Pointer)
        self.get_sink_by_name = _declare(
            quick.pa_context_get_sink_info_by_name, Pointer, Pointer, c_char_p, Pointer, Pointer
        )
        self.get_sinks = _declare(quick.pa_context_get_sink_info_list, Pointer, Pointer, Pointer, Pointer)
        self.get_source_by_name = _declare(
            quick.pa_context_get_source_info_by_name, Pointer, Pointer, c_char_p, Pointer, Pointer
        )
        self.get_sources = _declare(quick.pa_context_get_source_info_list, Pointer, Pointer, Pointer, Pointer)
        self.get_sink_inputs = _declare(quick.pa_context_get_sink_input_info_list, Pointer, Pointer, Pointer, Pointer)
        self.get_clients = _declare(quick.pa_context_get_client_info_list, Pointer, Pointer, Pointer, Pointer)
        self.get_source_output = _declare(
            quick.pa_context_get_source_output_info, Pointer, Pointer, c_uint32, Pointer, Pointer
        )
        self.set_source_output_volume = _declare(
            quick.pa_context_set_source_output_volume, Pointer, Pointer, c_uint32, POINTER(Volume), Pointer, Pointer
        )
        self.set_source_output_mute = _declare(
            quick.pa_context_set_source_output_mute, Pointer, Pointer, c_uint32, c_int, Pointer, Pointer
        )
        self.stream_restore_delete = _declare(
            quick.pa_ext_stream_restore_delete, Pointer, Pointer, POINTER(c_char_p), Pointer, Pointer
        )
        self.proplist_new = _declare(quick.pa_proplist_new, Pointer)
        self.proplist_free = _declare(quick.pa_proplist_free, None, Pointer)
        self.proplist_sets = _declare(quick.pa_proplist_sets, c_int, Pointer, c_char_p, c_char_p)
        self.proplist_gets = _declare(quick.pa_proplist_gets, c_char_p, Pointer, c_char_p)
        self.operation_cancel = _declare(quick.pa_operation_cancel, None, Pointer)
        self.operation_get_state = _declare(quick.pa_operation_get_state, c_int, Pointer)
        self.operation_unref = _declare(quick.pa_operation_unref, None, Pointer)


@cache
def opened_library() -> Library:
    """Open the library once per process: each `CDLL` makes a class, which only the garbage collector can free.

    Raises `NotReadyError` if it is not installed.
    """
    return Library()


def _declare(function: Any, result: Any, *arguments: Any) -> Any:
    function.restype = result
    function.argtypes = list(arguments)
    return function
