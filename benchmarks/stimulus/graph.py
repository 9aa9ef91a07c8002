"""Plays and hears native streams of PipeWire, which know when the graph has each sample, by its own clock.

PipeWire stamps a block with its cycle (`pw_time`), so these moments have no share in the waits of any program. This
module shares no code with `capture`, so that the measurement does not repeat the mistakes of the program it measures.
"""

from __future__ import annotations

import ctypes
import math
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int32, c_int64, c_uint32, c_uint64
from ctypes import c_void_p as Pointer  # noqa: N812 - what it is here
from types import TracebackType
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from benchmarks.stimulus.pulse import Render

__all__ = ["RATE", "Graph", "GraphPlayback", "Hear"]

RATE: Final = 48_000

#: Takes a block, float32 (n,), and when its first sample was heard, on the monotonic clock.
Hear: TypeAlias = Callable[[npt.NDArray[np.float32], float], None]

#: How many cycles a playback remembers, and how many make it steady.
_CYCLES_KEPT: Final = 500
_STEADY_CYCLES: Final = 20

#: What is loud, how long it takes to be quiet, and how many of its starts are remembered.
LOUD: Final = 0.25
_QUIET_S: Final = 0.1
_STARTS_KEPT: Final = 20

#: How much earlier or later than expected a start can be heard: a cycle of 2048 samples, and what a busy machine skips.
_EARLY_S: Final = 0.005
_LATE_S: Final = 0.2

#: How often a playback looks whether it is time, which takes no part in playing.
_LOOK_S: Final = 0.02

_INPUT, _OUTPUT = 0, 1
_ANY: Final = 0xFFFFFFFF
_AUTOCONNECT, _MAP_BUFFERS, _RT_PROCESS = 1, 4, 16


class _Chunk(Structure):
    _fields_ = (("offset", c_uint32), ("size", c_uint32), ("stride", c_int32), ("flags", c_int32))


class _Data(Structure):
    _fields_ = (
        *(("type", c_uint32), ("flags", c_uint32), ("fd", c_int64), ("map_offset", c_uint32)),
        *(("size_max", c_uint32), ("data", Pointer), ("chunk", POINTER(_Chunk))),
    )


class _SpaBuffer(Structure):
    _fields_ = (("n_metas", c_uint32), ("n_datas", c_uint32), ("metas", Pointer), ("datas", POINTER(_Data)))


class _Buffer(Structure):
    # Only the first fields: the library allocates it.
    _fields_ = (("buffer", POINTER(_SpaBuffer)), ("user", Pointer), ("size", c_uint64), ("requested", c_uint64))


class _Time(Structure):
    _fields_ = (
        *(("now_ns", c_int64), ("rate_num", c_uint32), ("rate_denom", c_uint32), ("ticks", c_uint64)),
        *(("delay", c_int64), ("queued", c_uint64)),
        # Of newer versions.
        *(("buffered", c_uint64), ("queued_buffers", c_uint32), ("avail_buffers", c_uint32), ("size", c_uint64)),
    )


_OnProcess: Final = CFUNCTYPE(None, Pointer)


class _Events(Structure):
    _fields_ = (
        *(("version", c_uint32), ("destroy", Pointer), ("state", Pointer), ("control", Pointer), ("io", Pointer)),
        *(("param", Pointer), ("add", Pointer), ("remove", Pointer), ("process", _OnProcess), ("drained", Pointer)),
        *(("command", Pointer), ("trigger", Pointer)),
    )


def _library() -> Any:
    lib = ctypes.CDLL("libpipewire-0.3.so.0")
    size = ctypes.c_size_t
    for name, result, arguments in (
        ("pw_init", None, (Pointer, Pointer)),
        ("pw_main_loop_new", Pointer, (Pointer,)),
        ("pw_main_loop_get_loop", Pointer, (Pointer,)),
        ("pw_main_loop_run", c_int, (Pointer,)),
        ("pw_main_loop_quit", c_int, (Pointer,)),
        ("pw_context_new", Pointer, (Pointer, Pointer, size)),
        ("pw_context_connect", Pointer, (Pointer, Pointer, size)),
        ("pw_properties_new_string", Pointer, (c_char_p,)),
        ("pw_stream_new", Pointer, (Pointer, c_char_p, Pointer)),
        ("pw_stream_add_listener", None, (Pointer, Pointer, Pointer, Pointer)),
        ("pw_stream_connect", c_int, (Pointer, c_int, c_uint32, c_int, POINTER(Pointer), c_uint32)),
        ("pw_stream_dequeue_buffer", Pointer, (Pointer,)),
        ("pw_stream_queue_buffer", c_int, (Pointer, Pointer)),
        ("pw_stream_get_time_n", c_int, (Pointer, POINTER(_Time), size)),
    ):
        function = getattr(lib, name)
        function.restype = result
        function.argtypes = arguments
    return lib


def _mono_float32() -> bytes:
    """Return the format as a POD: an object of SPA_TYPE_OBJECT_Format for SPA_PARAM_EnumFormat."""
    ident, integer, thing = 3, 4, 15
    properties = b""
    # The media type, its subtype raw, the sample format F32, the rate and the channels.
    for key, kind, value in (
        (1, ident, 1),
        (2, ident, 1),
        (0x10001, ident, 0x11B),
        (0x10003, integer, RATE),
        (0x10004, integer, 1),
    ):
        properties += struct.pack("<IIIIiI", key, 0, 4, kind, value, 0)
    return struct.pack("<IIII", 8 + len(properties), thing, 0x40003, 3) + properties


class Graph:
    """A connection to PipeWire with streams of one channel. The library calls their functions on its own thread."""

    def __init__(self) -> None:
        """Raises `ConnectionError` if PipeWire does not answer."""
        self._lib = _library()
        self._lib.pw_init(None, None)
        self._main = self._lib.pw_main_loop_new(None)
        context = self._lib.pw_context_new(self._lib.pw_main_loop_get_loop(self._main), None, 0)
        self._core = self._lib.pw_context_connect(context, None, 0)
        if not self._core:
            raise ConnectionError("PipeWire does not answer")
        # What the library goes on using.
        self._kept: list[Any] = []

    def run(self) -> None:
        """Serve the streams until the program ends, or `quit`."""
        self._lib.pw_main_loop_run(self._main)

    def quit(self) -> None:
        """Make `run` return. Any thread may call this."""
        self._lib.pw_main_loop_quit(self._main)

    def play(self, render: Callable[[int, float], npt.NDArray[np.float32]]) -> None:
        """Play to the default output: `render` returns so many samples, of which the first is heard at about that time.

        It is a cycle too early where the stream fills a buffer in advance, which PipeWire does not count as queued.
        """

        def process(_data: object) -> None:
            found = self._lib.pw_stream_dequeue_buffer(stream)
            if not found:
                return
            buffer = _Buffer.from_address(found)
            data = buffer.buffer.contents.datas[0]
            count = min(int(buffer.requested) or 1024, data.size_max // 4)
            at = self._time_of(stream)
            later_s = (at.delay + at.queued) * at.rate_num / max(1, at.rate_denom)
            samples = np.ascontiguousarray(render(count, at.now_ns / 1e9 + later_s), np.float32)
            ctypes.memmove(data.data, samples.ctypes.data, count * 4)
            chunk = data.chunk.contents
            chunk.offset, chunk.stride, chunk.size = 0, 4, count * 4
            self._lib.pw_stream_queue_buffer(stream, found)

        properties = "{ media.type=Audio media.category=Playback media.role=Music }"
        stream = self._connect("stimulus", properties, _OUTPUT, process)

    def hear(self, hear: Hear) -> None:
        """Call `hear` with everything that the default output plays."""

        def process(_data: object) -> None:
            while found := self._lib.pw_stream_dequeue_buffer(stream):
                data = _Buffer.from_address(found).buffer.contents.datas[0]
                chunk = data.chunk.contents
                samples = np.frombuffer(ctypes.string_at(data.data + chunk.offset, chunk.size), np.float32)
                at = self._time_of(stream)
                hear(samples, at.now_ns / 1e9 - at.delay * at.rate_num / max(1, at.rate_denom))
                self._lib.pw_stream_queue_buffer(stream, found)

        properties = "{ media.type=Audio media.category=Capture media.role=Music stream.capture.sink=true }"
        stream = self._connect("truth", properties, _INPUT, process)

    def _time_of(self, stream: Any) -> _Time:
        at = _Time()
        self._lib.pw_stream_get_time_n(stream, ctypes.byref(at), ctypes.sizeof(at))
        return at

    def _connect(self, name: str, properties: str, direction: int, process: Callable[[object], None]) -> Any:
        lib = self._lib
        stream = lib.pw_stream_new(self._core, name.encode(), lib.pw_properties_new_string(properties.encode()))
        on_process = _OnProcess(process)
        events, hook = _Events(version=2, process=on_process), (Pointer * 6)()
        pod = ctypes.create_string_buffer(_mono_float32())
        params = (Pointer * 1)(ctypes.addressof(pod))
        self._kept += [on_process, events, hook, pod, params]
        lib.pw_stream_add_listener(stream, ctypes.addressof(hook), ctypes.addressof(events), None)
        flags = _AUTOCONNECT | _MAP_BUFFERS | _RT_PROCESS
        if lib.pw_stream_connect(stream, direction, _ANY, flags, params, 1) < 0:
            raise ConnectionError("PipeWire refuses the stream")
        return stream


class _Cycle(NamedTuple):
    """The samples from index `first` on, of which the first is heard at `heard_at_s`."""

    first: int
    heard_at_s: float


class GraphPlayback:
    """Does what `PlaybackStream` does, on PipeWire, except that only the start of a loud sound after a quiet one has an
    exact moment: that at which the graph had it in what the output plays.

    `render` is called on a thread of the library.
    """

    def __init__(self, render: Render) -> None:
        self._render = render
        self._cycles: deque[_Cycle] = deque(maxlen=_CYCLES_KEPT)
        self._starts_s: deque[float] = deque(maxlen=_STARTS_KEPT)
        self._loud_until_s = 0.0
        self.written = 0
        self.rate = RATE
        self._graph = Graph()
        self._thread = threading.Thread(target=self._graph.run, name="graph", daemon=True)

    def __enter__(self) -> GraphPlayback:
        self._graph.play(self._play)
        self._graph.hear(self._hear)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._graph.quit()
        self._thread.join()

    @property
    def is_steady(self) -> bool:
        """Whether moments are reliable, as those of all cycles are."""
        return len(self._cycles) >= _STEADY_CYCLES

    def heard_at_s(self, index: int) -> float:
        """Return when the loud sound that begins with sample `index` was heard, on the monotonic clock; else NaN."""
        cycle = next(cycle for cycle in reversed(self._cycles.copy()) if cycle.first <= index)
        about_s = cycle.heard_at_s + (index - cycle.first) / self.rate
        found = [at_s for at_s in self._starts_s.copy() if -_EARLY_S < at_s - about_s < _LATE_S]
        return found[0] if found else math.nan

    def index_heard_at(self, moment_s: float) -> int:
        """Return the first sample heard at `moment_s` or later."""
        cycle = self._cycles[-1]
        return cycle.first + math.ceil((moment_s - cycle.heard_at_s) * self.rate)

    def pump_until(self, moment_s: float) -> None:
        """Wait until `moment_s`."""
        time.sleep(max(0.0, moment_s - time.monotonic()))

    def pump_until_steady(self, timeout_s: float = 10.0) -> None:
        """Wait until moments are reliable. Raises `TimeoutError`."""
        deadline_s = time.monotonic() + timeout_s
        while not self.is_steady:
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"PipeWire played nothing within {timeout_s:g} s")
            time.sleep(_LOOK_S)

    def _hear(self, samples: npt.NDArray[np.float32], heard_at_s: float) -> None:
        for place in np.flatnonzero(np.abs(samples) > LOUD):
            at_s = heard_at_s + int(place) / self.rate
            if at_s > self._loud_until_s:
                self._starts_s.append(at_s)
            self._loud_until_s = at_s + _QUIET_S

    def _play(self, count: int, heard_at_s: float) -> npt.NDArray[np.float32]:
        first, self.written = self.written, self.written + count
        self._cycles.append(_Cycle(first, heard_at_s))
        return self._render(first, count)
