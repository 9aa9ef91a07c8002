"""Plays a stream to PulseAudio's default output and knows when each sample is heard.

For a moment that it names, the server reports which sample it took last and how long that sample takes to be heard.
That gives one number, the origin: the moment at which sample 0 was heard. Sample n is heard n / rate later.

This module calls libpulse directly and shares no code with `capture`, so that the measurement does not repeat the
mistakes of the program it measures.
"""

from __future__ import annotations

import ctypes
import math
import statistics
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["PlaybackStream", "Render"]

#: Returns the mono samples `first` to `first + count`, float32, full scale at ±1.
Render: TypeAlias = Callable[[int, int], npt.NDArray[np.float32]]

_BYTES_PER_SAMPLE: Final = 4
_READING_INTERVAL_S: Final = 0.1
#: Enough to outvote a delayed reading, and few enough to follow an underrun within half a second.
_READINGS_KEPT: Final = 5
#: Readings on a busy machine scatter by a millisecond or two.
_STEADY_S: Final = 0.004
_CONNECT_TIMEOUT_S: Final = 10.0

_CONTEXT_READY, _CONTEXT_FAILED = 4, 5
_STREAM_READY, _STREAM_FAILED = 2, 3
_OPERATION_RUNNING, _OPERATION_DONE = 0, 1
_SAMPLE_FLOAT32LE: Final = 5
_UNSET: Final = 0xFFFFFFFF
#: Without this flag the server resamples, and no reading includes the resampler's delay.
_FLAG_FIX_RATE: Final = 0x0080
_FLAG_ADJUST_LATENCY: Final = 0x2000


class _SampleSpec(ctypes.Structure):
    _fields_ = (("format", ctypes.c_int), ("rate", ctypes.c_uint32), ("channels", ctypes.c_uint8))


class _BufferAttributes(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint32) for name in ("maxlength", "tlength", "prebuf", "minreq", "fragsize"))


class _TimingInfo(ctypes.Structure):
    _fields_ = (
        ("timestamp_s", ctypes.c_long),
        ("timestamp_us", ctypes.c_long),
        ("synchronized_clocks", ctypes.c_int),
        ("sink_us", ctypes.c_uint64),
        ("source_us", ctypes.c_uint64),
        ("transport_us", ctypes.c_uint64),
        ("playing", ctypes.c_int),
        ("write_index_corrupt", ctypes.c_int),
        ("write_index_bytes", ctypes.c_int64),
        ("read_index_corrupt", ctypes.c_int),
        ("read_index_bytes", ctypes.c_int64),
        ("configured_sink_us", ctypes.c_uint64),
        ("configured_source_us", ctypes.c_uint64),
        ("since_underrun_bytes", ctypes.c_int64),
    )


class PlaybackStream:
    """Plays the samples from `render` without gaps, as long as `pump` is called at least every `latency_s`.

    Used by one thread. `pump` calls `render` with consecutive indices.
    """

    def __init__(self, render: Render, latency_s: float) -> None:
        self._render = render
        self._latency_s = latency_s
        self._lib = _load_library()
        self._mainloop: int | None = None
        self._context: int | None = None
        self._stream: int | None = None
        self._operation: int | None = None
        self._next_reading_s = 0.0
        self._origins_s: deque[float] = deque(maxlen=_READINGS_KEPT)
        self.written = 0
        self.rate = 0

    def __enter__(self) -> PlaybackStream:
        self._mainloop = self._lib.pa_mainloop_new()
        self._context = self._lib.pa_context_new(self._lib.pa_mainloop_get_api(self._mainloop), b"stimulus")
        self._lib.pa_context_connect(self._context, None, 0, None)
        self._await(lambda: int(self._lib.pa_context_get_state(self._context)), _CONTEXT_READY, _CONTEXT_FAILED)
        asked = _SampleSpec(_SAMPLE_FLOAT32LE, 48_000, 1)
        self._stream = self._lib.pa_stream_new(self._context, b"stimulus", ctypes.byref(asked), None)
        target_bytes = int(self._latency_s * asked.rate) * _BYTES_PER_SAMPLE
        attributes = _BufferAttributes(_UNSET, target_bytes, _UNSET, _UNSET, _UNSET)
        self._lib.pa_stream_connect_playback(
            self._stream, None, ctypes.byref(attributes), _FLAG_FIX_RATE | _FLAG_ADJUST_LATENCY, None, None
        )
        self._await(lambda: int(self._lib.pa_stream_get_state(self._stream)), _STREAM_READY, _STREAM_FAILED)
        self.rate = self._lib.pa_stream_get_sample_spec(self._stream).contents.rate
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lib.pa_stream_disconnect(self._stream)
        self._lib.pa_context_disconnect(self._context)
        self._lib.pa_mainloop_free(self._mainloop)

    @property
    def is_steady(self) -> bool:
        """Whether the latest readings agree, so that moments are reliable; after an underrun they differ."""
        origins_s = self._origins_s
        return len(origins_s) == _READINGS_KEPT and max(origins_s) - min(origins_s) < _STEADY_S

    def heard_at_s(self, index: int) -> float:
        """Return when sample `index` is or was heard, on the monotonic clock."""
        return statistics.median(self._origins_s) + index / self.rate

    def index_heard_at(self, moment_s: float) -> int:
        """Return the first sample heard at `moment_s` or later."""
        return math.ceil((moment_s - statistics.median(self._origins_s)) * self.rate)

    def pump(self) -> None:
        """Write as many samples as the server has room for, and read its timing; does not block.

        Raises `ConnectionError` when the server has ended the stream.
        """
        while self._lib.pa_mainloop_iterate(self._mainloop, 0, None) > 0:
            pass
        room_bytes = self._lib.pa_stream_writable_size(self._stream)
        if room_bytes == ctypes.c_size_t(-1).value:
            raise ConnectionError("the sound server ended the stream")
        if count := room_bytes // _BYTES_PER_SAMPLE:
            data = np.ascontiguousarray(self._render(self.written, count), dtype="<f4").tobytes()
            self._lib.pa_stream_write(self._stream, data, len(data), None, 0, 0)
            self.written += count
        self._take_reading()

    def pump_until(self, moment_s: float) -> None:
        """Keep the stream going until `moment_s`, accurate to well below a millisecond."""
        while (left_s := moment_s - time.monotonic()) > 0:
            self.pump()
            time.sleep(max(0.0, min(self._latency_s / 10, left_s)))

    def pump_until_steady(self, timeout_s: float = 10.0) -> None:
        """Keep the stream going until its moments are reliable. Raises `TimeoutError`."""
        deadline_s = time.monotonic() + timeout_s
        while not self.is_steady:
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"the timing of the sound server did not settle within {timeout_s:g} s")
            self.pump()
            time.sleep(self._latency_s / 10)

    def _take_reading(self) -> None:
        now_s = time.monotonic()
        if self._operation is None:
            if now_s >= self._next_reading_s:
                self._next_reading_s = now_s + _READING_INTERVAL_S
                self._operation = self._lib.pa_stream_update_timing_info(self._stream, None, None)
            return
        state = self._lib.pa_operation_get_state(self._operation)
        if state == _OPERATION_RUNNING:
            return
        self._lib.pa_operation_unref(self._operation)
        self._operation = None
        info = self._lib.pa_stream_get_timing_info(self._stream)
        if state == _OPERATION_DONE and info and info.contents.playing and not info.contents.read_index_corrupt:
            self._origins_s.append(self._origin_s(info.contents))

    def _origin_s(self, info: _TimingInfo) -> float:
        # The timestamp is when the server took the reading, on its wall clock.
        taken_s = info.timestamp_s + info.timestamp_us / 1e6 + time.monotonic() - time.time()
        return float(taken_s + info.sink_us / 1e6 - info.read_index_bytes / _BYTES_PER_SAMPLE / self.rate)

    def _await(self, state: Callable[[], int], ready: int, failed: int) -> None:
        deadline_s = time.monotonic() + _CONNECT_TIMEOUT_S
        while (now := state()) != ready:
            # States after `failed` mean that the connection has ended.
            if now >= failed or time.monotonic() > deadline_s:
                raise ConnectionError("the sound server does not accept the stream")
            self._lib.pa_mainloop_iterate(self._mainloop, 0, None)
            time.sleep(0.001)


def _load_library() -> Any:
    """Load libpulse and declare the functions used here."""
    lib = ctypes.CDLL("libpulse.so.0")
    pointer = ctypes.c_void_p
    for name, result, arguments in (
        ("pa_mainloop_new", pointer, ()),
        ("pa_mainloop_get_api", pointer, (pointer,)),
        ("pa_mainloop_iterate", ctypes.c_int, (pointer, ctypes.c_int, pointer)),
        ("pa_mainloop_free", None, (pointer,)),
        ("pa_context_new", pointer, (pointer, ctypes.c_char_p)),
        ("pa_context_connect", ctypes.c_int, (pointer, ctypes.c_char_p, ctypes.c_int, pointer)),
        ("pa_context_get_state", ctypes.c_int, (pointer,)),
        ("pa_context_disconnect", None, (pointer,)),
        ("pa_stream_new", pointer, (pointer, ctypes.c_char_p, pointer, pointer)),
        (
            "pa_stream_connect_playback",
            ctypes.c_int,
            (pointer, ctypes.c_char_p, pointer, ctypes.c_int, pointer, pointer),
        ),
        ("pa_stream_get_state", ctypes.c_int, (pointer,)),
        ("pa_stream_get_sample_spec", ctypes.POINTER(_SampleSpec), (pointer,)),
        ("pa_stream_writable_size", ctypes.c_size_t, (pointer,)),
        (
            "pa_stream_write",
            ctypes.c_int,
            (pointer, ctypes.c_char_p, ctypes.c_size_t, pointer, ctypes.c_int64, ctypes.c_int),
        ),
        ("pa_stream_update_timing_info", pointer, (pointer, pointer, pointer)),
        ("pa_stream_get_timing_info", ctypes.POINTER(_TimingInfo), (pointer,)),
        ("pa_stream_disconnect", ctypes.c_int, (pointer,)),
        ("pa_operation_get_state", ctypes.c_int, (pointer,)),
        ("pa_operation_unref", None, (pointer,)),
    ):
        function = getattr(lib, name)
        function.restype = result
        function.argtypes = arguments
    return lib
