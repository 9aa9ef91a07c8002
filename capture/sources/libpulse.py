"""The few calls of PulseAudio's client library that recording needs, through ctypes.

A binding of our own, because a recorder needs what the general ones do not pass on: `DONT_MOVE`, without which the
server may connect a stream whose output is unplugged to the microphone; the timing that tells when a sample is heard;
and a connection that ends with an error instead of ending the process. PipeWire's server speaks the same protocol.

Everything is called by the thread that made the loop, but for `Loop.wake`.
"""

from __future__ import annotations

import ctypes
import threading
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_int64, c_long, c_size_t, c_uint8, c_uint32, c_uint64
from ctypes import c_void_p as Pointer  # noqa: N812 - what it is here
from typing import Any, Final

import numpy as np

from capture.errors import NotReadyError, SourceLostError
from capture.media import SAMPLE_RATE, SampleArray

__all__ = ["Loop", "RecordStream", "Timing"]

_CONTEXT_READY: Final = 4
_CONTEXT_FAILED: Final = 5
_STREAM_READY: Final = 2
_STREAM_FAILED: Final = 3
_CONTEXT_NOAUTOSPAWN: Final = 0x1
_STREAM_DONT_MOVE: Final = 0x200
_STREAM_ADJUST_LATENCY: Final = 0x2000
_SAMPLE_FLOAT32_NATIVE: Final = 5 if np.little_endian else 6
_OPERATION_RUNNING: Final = 0
_DEFAULT: Final = 0xFFFFFFFF


class _SampleSpec(Structure):
    _fields_ = (("format", c_int), ("rate", c_uint32), ("channels", c_uint8))


class _BufferAttributes(Structure):
    _fields_ = tuple((name, c_uint32) for name in ("maxlength", "tlength", "prebuf", "minreq", "fragsize"))


class _TimingInfo(Structure):
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


class _Library:
    """libpulse with its signatures declared. Raises `NotReadyError` where it is not installed."""

    def __init__(self) -> None:
        try:
            library = ctypes.CDLL("libpulse.so.0")
        except OSError as error:
            raise NotReadyError(
                "the sound library libpulse is not installed", "install the package libpulse0, or use --audio none"
            ) from error
        self.mainloop_new = _declare(library.pa_mainloop_new, Pointer)
        self.mainloop_free = _declare(library.pa_mainloop_free, None, Pointer)
        self.mainloop_get_api = _declare(library.pa_mainloop_get_api, Pointer, Pointer)
        self.mainloop_prepare = _declare(library.pa_mainloop_prepare, c_int, Pointer, c_int)
        self.mainloop_poll = _declare(library.pa_mainloop_poll, c_int, Pointer)
        self.mainloop_dispatch = _declare(library.pa_mainloop_dispatch, c_int, Pointer)
        self.mainloop_wakeup = _declare(library.pa_mainloop_wakeup, None, Pointer)
        self.context_new = _declare(library.pa_context_new, Pointer, Pointer, c_char_p)
        self.context_connect = _declare(library.pa_context_connect, c_int, Pointer, c_char_p, c_int, Pointer)
        self.context_disconnect = _declare(library.pa_context_disconnect, None, Pointer)
        self.context_unref = _declare(library.pa_context_unref, None, Pointer)
        self.context_get_state = _declare(library.pa_context_get_state, c_int, Pointer)
        self.context_errno = _declare(library.pa_context_errno, c_int, Pointer)
        self.strerror = _declare(library.pa_strerror, c_char_p, c_int)
        self.stream_new = _declare(library.pa_stream_new, Pointer, Pointer, c_char_p, POINTER(_SampleSpec), Pointer)
        self.stream_connect_record = _declare(
            library.pa_stream_connect_record, c_int, Pointer, c_char_p, POINTER(_BufferAttributes), c_int
        )
        self.stream_disconnect = _declare(library.pa_stream_disconnect, c_int, Pointer)
        self.stream_unref = _declare(library.pa_stream_unref, None, Pointer)
        self.stream_get_state = _declare(library.pa_stream_get_state, c_int, Pointer)
        self.stream_readable_size = _declare(library.pa_stream_readable_size, c_size_t, Pointer)
        self.stream_peek = _declare(library.pa_stream_peek, c_int, Pointer, POINTER(Pointer), POINTER(c_size_t))
        self.stream_drop = _declare(library.pa_stream_drop, c_int, Pointer)
        self.stream_update_timing_info = _declare(
            library.pa_stream_update_timing_info, Pointer, Pointer, Pointer, Pointer
        )
        self.stream_get_timing_info = _declare(library.pa_stream_get_timing_info, POINTER(_TimingInfo), Pointer)
        self.operation_get_state = _declare(library.pa_operation_get_state, c_int, Pointer)
        self.operation_unref = _declare(library.pa_operation_unref, None, Pointer)


def _declare(function: Any, result: Any, *arguments: Any) -> Any:
    function.restype = result
    function.argtypes = list(arguments)
    return function


class Loop:
    """A connection to the sound server and the loop that serves it."""

    def __init__(self, name: str, server: str | None = None) -> None:
        self._lib = _Library()
        self._lock = threading.Lock()
        self._loop = self._lib.mainloop_new()
        self._context = self._lib.context_new(self._lib.mainloop_get_api(self._loop), name.encode())
        self._lib.context_connect(self._context, server.encode() if server else None, _CONTEXT_NOAUTOSPAWN, None)

    @property
    def connected(self) -> bool:
        """Whether the server has answered and is still there."""
        return bool(self._lib.context_get_state(self._context) == _CONTEXT_READY)

    @property
    def failed(self) -> bool:
        """Whether there is no server, or no longer."""
        return bool(self._lib.context_get_state(self._context) >= _CONTEXT_FAILED)

    def error(self) -> str:
        """The last error of the connection in the library's words."""
        text = self._lib.strerror(self._lib.context_errno(self._context))
        return text.decode(errors="replace") if text else "unknown error"

    def serve(self, timeout_s: float) -> None:
        """Handle what the server sent, waiting for something for at most `timeout_s`."""
        self._lib.mainloop_prepare(self._loop, max(0, min(int(timeout_s * 1e6), 2_000_000_000)))
        self._lib.mainloop_poll(self._loop)
        self._lib.mainloop_dispatch(self._loop)

    def wake(self) -> None:
        """Make a thread in `serve` return; any thread may call this, also after `close`."""
        with self._lock:
            if self._loop:
                self._lib.mainloop_wakeup(self._loop)

    def close(self) -> None:
        """End the connection; may be called twice."""
        with self._lock:
            if self._loop:
                self._lib.context_disconnect(self._context)
                self._lib.context_unref(self._context)
                self._lib.mainloop_free(self._loop)
                self._loop = None


class Timing:
    """One answer of the server to "where are you?"."""

    def __init__(self, info: _TimingInfo) -> None:
        #: Bytes put into this stream so far.
        self.write_index = int(info.write_index)
        #: How long after that moment the last of them will be heard (outputs), or was picked up (inputs, negative).
        self.delay_s = (int(info.sink_us) - int(info.source_us)) / 1e6


class RecordStream:
    """A float32 stream at `SAMPLE_RATE` from the source called `device`, which the server may never move elsewhere."""

    def __init__(self, loop: Loop, device: str, channels: int, fragment_s: float) -> None:
        self._lib = loop._lib
        self._channels = channels
        self._stream = self._lib.stream_new(
            loop._context, b"capture", byref(_SampleSpec(_SAMPLE_FLOAT32_NATIVE, SAMPLE_RATE, channels)), None
        )
        if not self._stream:
            raise NotReadyError(f"the sound server refuses a stream ({loop.error()})", "use --audio none")
        fragment_bytes = round(fragment_s * SAMPLE_RATE) * channels * 4
        attributes = _BufferAttributes(_DEFAULT, _DEFAULT, _DEFAULT, _DEFAULT, fragment_bytes)
        self._lib.stream_connect_record(
            self._stream, device.encode(), byref(attributes), _STREAM_DONT_MOVE | _STREAM_ADJUST_LATENCY
        )
        self._operation = None

    @property
    def ready(self) -> bool:
        """Whether the stream runs."""
        return bool(self._lib.stream_get_state(self._stream) == _STREAM_READY)

    @property
    def failed(self) -> bool:
        """Whether the device or the server is gone."""
        return bool(self._lib.stream_get_state(self._stream) >= _STREAM_FAILED)

    def read(self) -> SampleArray | None:
        """The next fragment as float32 (n, channels), zeros where the server lost some; None while there is none."""
        if not self.ready or self._lib.stream_readable_size(self._stream) == 0:
            return None
        data, size_bytes = Pointer(), c_size_t()
        if self._lib.stream_peek(self._stream, byref(data), byref(size_bytes)) < 0:
            raise SourceLostError("the sound server broke the stream off")
        if size_bytes.value == 0:
            return None
        count = size_bytes.value // (4 * self._channels)
        samples = np.zeros((count, self._channels), np.float32)
        if data.value is not None:
            ctypes.memmove(samples.ctypes.data, data.value, count * 4 * self._channels)
        self._lib.stream_drop(self._stream)
        return samples

    def ask_timing(self) -> None:
        """Send for the timing; `timing` has it when it came."""
        if self._operation is None:
            self._operation = self._lib.stream_update_timing_info(self._stream, None, None)

    def timing(self) -> Timing | None:
        """The answer to `ask_timing`, once; None while it is under way or when none was asked for."""
        if self._operation is None or self._lib.operation_get_state(self._operation) == _OPERATION_RUNNING:
            return None
        self._lib.operation_unref(self._operation)
        self._operation = None
        info = self._lib.stream_get_timing_info(self._stream)
        return Timing(info.contents) if info else None

    def close(self) -> None:
        """End the stream; may be called twice."""
        if self._stream:
            if self._operation is not None:
                self._lib.operation_unref(self._operation)
                self._operation = None
            self._lib.stream_disconnect(self._stream)
            self._lib.stream_unref(self._stream)
            self._stream = None
