"""Plays clicks on PipeWire and logs when the graph had each of them, by its own clock.

Usage: python -m benchmarks.stimulus.graph_clicks --log FILE   (prints `ready`, then runs until it is ended)

It plays to the default output and captures what that plays, both as native streams. PipeWire stamps a captured block
with the start of its cycle (`pw_time`), so the log has no share in the waits of any program. Each line is a moment on
the monotonic clock, in seconds. This module shares no code with `capture`.
"""

from __future__ import annotations

import argparse
import ctypes
import signal
import struct
import time
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int32, c_int64, c_uint32, c_uint64
from ctypes import c_void_p as Pointer  # noqa: N812 - what it is here
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["CLICK_LEVEL", "CLICK_SAMPLES", "INTERVAL_S"]

RATE: Final = 48_000
INTERVAL_S: Final = 0.31
CLICK_LEVEL: Final = 0.8
CLICK_SAMPLES: Final = 240

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


class _Clicks:
    """Two streams of one connection. The library calls `_play` and `_hear` on its own thread."""

    def __init__(self, log: IO[str]) -> None:
        self._log = log
        self._lib = _library()
        self._lib.pw_init(None, None)
        self._main = self._lib.pw_main_loop_new(None)
        context = self._lib.pw_context_new(self._lib.pw_main_loop_get_loop(self._main), None, 0)
        self._core = self._lib.pw_context_connect(context, None, 0)
        if not self._core:
            raise ConnectionError("PipeWire does not answer")
        tone = np.sin(2 * np.pi * 1000 * np.arange(CLICK_SAMPLES) / RATE)
        self._click = (CLICK_LEVEL * np.where(np.arange(CLICK_SAMPLES) == 0, 1.0, tone)).astype(np.float32)
        self._next_s = time.monotonic() + INTERVAL_S
        self._quiet_at_s = 0.0
        # What the library goes on using.
        self._kept: list[Any] = []
        playback = "{ media.type=Audio media.category=Playback media.role=Music }"
        self._player = self._connect("clicks", playback, _OUTPUT, self._play)
        capture = "{ media.type=Audio media.category=Capture media.role=Music stream.capture.sink=true }"
        self._ear = self._connect("truth", capture, _INPUT, self._hear)

    def run(self) -> None:
        self._lib.pw_main_loop_run(self._main)

    def _connect(self, name: str, properties: str, direction: int, process: Any) -> Any:
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

    def _play(self, _data: object) -> None:
        found = self._lib.pw_stream_dequeue_buffer(self._player)
        if not found:
            return
        buffer = _Buffer.from_address(found)
        data = buffer.buffer.contents.datas[0]
        count = min(int(buffer.requested) or 1024, data.size_max // 4)
        samples = np.zeros(count, np.float32)
        if time.monotonic() >= self._next_s and count >= CLICK_SAMPLES:
            # Anywhere in the cycle, so that no reader profits from where its blocks begin.
            at = int(np.random.default_rng().integers(0, count - CLICK_SAMPLES + 1))
            samples[at : at + CLICK_SAMPLES] = self._click
            self._next_s = time.monotonic() + INTERVAL_S
        ctypes.memmove(data.data, samples.ctypes.data, count * 4)
        chunk = data.chunk.contents
        chunk.offset, chunk.stride, chunk.size = 0, 4, count * 4
        self._lib.pw_stream_queue_buffer(self._player, found)

    def _hear(self, _data: object) -> None:
        while found := self._lib.pw_stream_dequeue_buffer(self._ear):
            data = _Buffer.from_address(found).buffer.contents.datas[0]
            chunk = data.chunk.contents
            samples = np.frombuffer(ctypes.string_at(data.data + chunk.offset, chunk.size), np.float32)
            at = _Time()
            self._lib.pw_stream_get_time_n(self._ear, ctypes.byref(at), ctypes.sizeof(at))
            delay_s = at.delay * at.rate_num / max(1, at.rate_denom)
            self._note(samples, at.now_ns / 1e9 - delay_s)
            self._lib.pw_stream_queue_buffer(self._ear, found)

    def _note(self, samples: npt.NDArray[np.float32], began_at_s: float) -> None:
        for place in np.flatnonzero(np.abs(samples) > CLICK_LEVEL / 2):
            at_s = began_at_s + int(place) / RATE
            if at_s > self._quiet_at_s:
                self._log.write(f"{at_s:.6f}\n")
                self._log.flush()
            self._quiet_at_s = at_s + INTERVAL_S / 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, required=True)
    # The loop is in C, where Python handles no signal.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    with parser.parse_args().log.open("w") as log:
        clicks = _Clicks(log)
        print("ready", flush=True)
        clicks.run()


if __name__ == "__main__":
    main()
