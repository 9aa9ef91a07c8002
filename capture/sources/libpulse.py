"""The few calls of PulseAudio's client library that recording, and playing what was recorded, need, through ctypes.

A binding of our own, because a recorder needs what the general ones do not pass on: `DONT_MOVE`, without which the
server may connect a stream whose output is unplugged to the microphone; the timing that tells when a sample is heard;
and a connection that ends with an error instead of ending the process. PipeWire's server speaks the same protocol.

Everything is called by the thread that made the loop, but for `Loop.wake`.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    byref,
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
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np

from capture.errors import NotReadyError
from capture.media import SAMPLE_RATE, SampleArray

__all__ = ["Loop", "Output", "PlaybackStream", "PlayingStream", "RecordStream", "Timing"]

_CONTEXT_READY: Final = 4
_CONTEXT_FAILED: Final = 5
_STREAM_READY: Final = 2
_STREAM_FAILED: Final = 3
_CONTEXT_NOAUTOSPAWN: Final = 0x1
_STREAM_DONT_MOVE: Final = 0x200
_STREAM_ADJUST_LATENCY: Final = 0x2000
_SAMPLE_FLOAT32_NATIVE: Final = 5 if np.little_endian else 6
_OPERATION_RUNNING: Final = 0
_SEEK_RELATIVE: Final = 0
_ABOUT_OUTPUTS: Final = 0x1 | 0x80  # the sinks, and the server, whose default one of them is
_ABOUT_STREAMS: Final = 0x4  # the sink inputs
_CHANNELS_MAX: Final = 32
_DEFAULT: Final = 0xFFFFFFFF

#: How long to wait for an answer that a local server gives within a millisecond.
_ANSWER_LIMIT_S: Final = 1.0


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


class _ChannelMap(Structure):
    _fields_ = (("channels", c_uint8), ("map", c_int * _CHANNELS_MAX))


class _Volume(Structure):
    _fields_ = (("channels", c_uint8), ("values", c_uint32 * _CHANNELS_MAX))


class _SinkInfo(Structure):
    # Only the beginning: the library makes these, and hands out where they are.
    _fields_ = (
        ("name", c_char_p),
        ("index", c_uint32),
        ("description", c_char_p),
        ("sample_spec", _SampleSpec),
        ("channel_map", _ChannelMap),
        ("owner_module", c_uint32),
        ("volume", _Volume),
        ("mute", c_int),
        ("monitor_source", c_uint32),
        ("monitor_source_name", c_char_p),
    )


class _SinkInputInfo(Structure):
    _fields_ = (
        ("index", c_uint32),
        ("name", c_char_p),
        ("owner_module", c_uint32),
        ("client", c_uint32),
        ("sink", c_uint32),
        ("sample_spec", _SampleSpec),
        ("channel_map", _ChannelMap),
        ("volume", _Volume),
        ("buffer_us", c_uint64),
        ("sink_us", c_uint64),
        ("resample_method", c_char_p),
        ("driver", c_char_p),
        ("mute", c_int),
        ("properties", Pointer),
        ("corked", c_int),
    )


class _ClientInfo(Structure):
    _fields_ = (
        ("index", c_uint32),
        ("name", c_char_p),
        ("owner_module", c_uint32),
        ("driver", c_char_p),
        ("properties", Pointer),
    )


_OnEvent: Final = CFUNCTYPE(None, Pointer, c_int, c_uint32, Pointer)
_OnInfo: Final = CFUNCTYPE(None, Pointer, Pointer, c_int, Pointer)
_OnData: Final = CFUNCTYPE(None, Pointer, c_size_t, Pointer)

#: What the server says of something is read from this structure.
Info = TypeVar("Info", bound=Structure)
Found = TypeVar("Found")


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
        self.stream_connect_playback = _declare(
            library.pa_stream_connect_playback,
            c_int,
            *(Pointer, c_char_p, POINTER(_BufferAttributes), c_int, Pointer, Pointer),
        )
        self.stream_writable_size = _declare(library.pa_stream_writable_size, c_size_t, Pointer)
        self.stream_write = _declare(
            library.pa_stream_write, c_int, Pointer, Pointer, c_size_t, Pointer, c_int64, c_int
        )
        self.stream_cork = _declare(library.pa_stream_cork, Pointer, Pointer, c_int, Pointer, Pointer)
        self.stream_flush = _declare(library.pa_stream_flush, Pointer, Pointer, Pointer, Pointer)
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
        self.stream_set_read_callback = _declare(library.pa_stream_set_read_callback, None, Pointer, Pointer, Pointer)
        self.stream_set_monitor_stream = _declare(library.pa_stream_set_monitor_stream, c_int, Pointer, c_uint32)
        self.context_set_subscribe_callback = _declare(
            library.pa_context_set_subscribe_callback, None, Pointer, Pointer, Pointer
        )
        self.context_subscribe = _declare(library.pa_context_subscribe, Pointer, Pointer, c_int, Pointer, Pointer)
        self.get_sink_by_name = _declare(
            library.pa_context_get_sink_info_by_name, Pointer, Pointer, c_char_p, Pointer, Pointer
        )
        self.get_sinks = _declare(library.pa_context_get_sink_info_list, Pointer, Pointer, Pointer, Pointer)
        self.get_sink_inputs = _declare(library.pa_context_get_sink_input_info_list, Pointer, Pointer, Pointer, Pointer)
        self.get_clients = _declare(library.pa_context_get_client_info_list, Pointer, Pointer, Pointer, Pointer)
        self.proplist_gets = _declare(library.pa_proplist_gets, c_char_p, Pointer, c_char_p)
        self.operation_cancel = _declare(library.pa_operation_cancel, None, Pointer)
        self.operation_get_state = _declare(library.pa_operation_get_state, c_int, Pointer)
        self.operation_unref = _declare(library.pa_operation_unref, None, Pointer)


def _declare(function: Any, result: Any, *arguments: Any) -> Any:
    function.restype = result
    function.argtypes = list(arguments)
    return function


@dataclass(frozen=True, slots=True)
class Output:
    """A sink: `monitor` is the exact name of the source that hears what it plays, "" where there is none."""

    index: int
    description: str
    monitor: str


@dataclass(frozen=True, slots=True)
class PlayingStream:
    """A sink input: what a program sends to the output with the index `output`.

    `properties` has those of `PROPERTIES` that the program, or the server for it, has set. One that is `corked` stands
    still.
    """

    index: int
    output: int
    corked: bool
    properties: Mapping[str, str]


#: What tells whose stream one is. Sandboxes are told apart by the last one.
PROPERTIES: Final = (
    "application.name",
    "application.process.binary",
    "application.process.id",
    "application.id",
    "pipewire.access.portal.app_id",
)


class Loop:
    """A connection to the sound server and the loop that serves it.

    The questions serve the loop until the server has answered; they raise `TimeoutError` where it takes long.
    """

    def __init__(self, name: str, server: str | None = None) -> None:
        self._lib = _Library()
        self._lock = threading.Lock()
        self._loop = self._lib.mainloop_new()
        self._context = self._lib.context_new(self._lib.mainloop_get_api(self._loop), name.encode())
        self._changed = False
        self._on_event = _OnEvent(self._note_change)
        self._lib.context_connect(self._context, server.encode() if server else None, _CONTEXT_NOAUTOSPAWN, None)

    @property
    def connected(self) -> bool:
        """Whether the server has answered and is still there."""
        return bool(self._loop and self._lib.context_get_state(self._context) == _CONTEXT_READY)

    @property
    def failed(self) -> bool:
        """Whether there is no server, or no longer."""
        return not self._loop or bool(self._lib.context_get_state(self._context) >= _CONTEXT_FAILED)

    def error(self) -> str:
        """The last error of the connection in the library's words."""
        if not self._loop:
            return "closed"
        text = self._lib.strerror(self._lib.context_errno(self._context))
        return text.decode(errors="replace") if text else "unknown error"

    def serve(self, timeout_s: float) -> None:
        """Handle what the server sent, waiting for something for at most `timeout_s`."""
        if not self._loop:
            return
        self._lib.mainloop_prepare(self._loop, max(0, min(int(timeout_s * 1e6), 2_000_000_000)))
        self._lib.mainloop_poll(self._loop)
        self._lib.mainloop_dispatch(self._loop)

    def watch(self, *, outputs: bool = False, streams: bool = False) -> None:
        """Have `take_changed` tell of changes: of the outputs and which is the default, of the streams to them."""
        mask = _ABOUT_OUTPUTS * outputs | _ABOUT_STREAMS * streams
        self._changed = True
        self._lib.context_set_subscribe_callback(self._context, self._on_event, None)
        operation = self._lib.context_subscribe(self._context, mask, None, None)
        if operation:
            self._lib.operation_unref(operation)

    def take_changed(self) -> bool:
        """Whether something that is watched may have changed since the last call; at first always."""
        changed, self._changed = self._changed, False
        return changed

    def _note_change(self, _context: object, _kind: object, _index: object, _data: object) -> None:
        self._changed = True

    def default_output(self) -> Output | None:
        """Where programs play to that do not choose; None while there is no output at all."""
        found = self._ask(self._lib.get_sink_by_name, b"@DEFAULT_SINK@", of=_SinkInfo, read=_output)
        return found[0] if found else None

    def outputs(self) -> dict[int, Output]:
        """Every output by its index."""
        return {output.index: output for output in self._ask(self._lib.get_sinks, of=_SinkInfo, read=_output)}

    def playing(self) -> list[PlayingStream]:
        """Every stream to an output, in the order of their beginnings."""
        clients = dict(
            self._ask(
                self._lib.get_clients,
                of=_ClientInfo,
                read=lambda info: (int(info.index), self._properties(info.properties)),
            )
        )

        def read(info: _SinkInputInfo) -> PlayingStream:
            properties = {**clients.get(int(info.client), {}), **self._properties(info.properties)}
            return PlayingStream(int(info.index), int(info.sink), bool(info.corked), properties)

        found = self._ask(self._lib.get_sink_inputs, of=_SinkInputInfo, read=read)
        return sorted(found, key=lambda stream: stream.index)

    def _properties(self, properties: int | None) -> dict[str, str]:
        found = {name: self._lib.proplist_gets(properties, name.encode()) for name in PROPERTIES if properties}
        return {name: _text(value) for name, value in found.items() if value}

    def _ask(self, question: Any, *arguments: object, of: type[Info], read: Callable[[Info], Found]) -> list[Found]:
        """What `read` makes of each answer to `question`; nothing where there is none, or no server."""
        found: list[Found] = []

        def collect(_context: object, info: int | None, _end: object, _data: object) -> None:
            # Nothing may be raised into the library; what cannot be read is not there.
            with suppress(Exception):
                if info:
                    found.append(read(ctypes.cast(info, POINTER(of)).contents))

        on_info = _OnInfo(collect)
        operation = question(self._context, *arguments, on_info, None)
        if not self.settle(operation):
            raise TimeoutError("the sound server does not answer")
        return found

    def settle(self, operation: Any) -> bool:
        """Serve the loop until the server has carried `operation` out, or is gone; whether that came in time.

        The operation is given back, and cancelled if it was in vain.
        """
        if not operation:
            return True
        deadline_s = time.monotonic() + _ANSWER_LIMIT_S
        while (running := self._lib.operation_get_state(operation) == _OPERATION_RUNNING) and (
            time.monotonic() < deadline_s
        ):
            self.serve(_ANSWER_LIMIT_S / 10)
        if running:
            self._lib.operation_cancel(operation)
        self._lib.operation_unref(operation)
        return not running

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


def _text(value: bytes | None) -> str:
    return value.decode(errors="replace") if value else ""


def _output(info: _SinkInfo) -> Output:
    return Output(int(info.index), _text(info.description) or _text(info.name), _text(info.monitor_source_name))


class Timing:
    """One answer of the server to "where are you?"."""

    def __init__(self, info: _TimingInfo) -> None:
        #: Bytes put into this stream so far.
        self.write_index = int(info.write_index)
        #: Bytes taken out of it: by this process from an input, by an output for being rendered.
        self.read_index = int(info.read_index)
        #: How long after that moment the last of them will be heard (outputs), or was picked up (inputs, negative).
        self.delay_s = (int(info.sink_us) - int(info.source_us)) / 1e6
        #: Bytes of silence that an output rendered after it ran out of sound.
        self.starved_bytes = 0 if info.playing else max(0, int(info.since_underrun))


class _Stream:
    """What both directions have in common: a float32 stream at `SAMPLE_RATE`, not yet connected."""

    def __init__(self, loop: Loop, name: str, channels: int) -> None:
        self._loop = loop
        self._lib = loop._lib
        self._channels = channels
        self._stream = self._lib.stream_new(
            loop._context, name.encode(), byref(_SampleSpec(_SAMPLE_FLOAT32_NATIVE, SAMPLE_RATE, channels)), None
        )
        if not self._stream:
            raise NotReadyError(f"the sound server refuses a stream ({loop.error()})", "use --audio none")
        self._operation = None

    @property
    def ready(self) -> bool:
        """Whether the stream runs."""
        return bool(self._stream and self._lib.stream_get_state(self._stream) == _STREAM_READY)

    @property
    def failed(self) -> bool:
        """Whether the device or the server is gone."""
        return not self._stream or bool(self._lib.stream_get_state(self._stream) >= _STREAM_FAILED)

    def ask_timing(self) -> bool:
        """Send for the timing and return whether that could be; `timing` has it when it came."""
        if self._operation is not None or not self._stream:
            return False
        self._operation = self._lib.stream_update_timing_info(self._stream, None, None)
        return self._operation is not None

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


class RecordStream(_Stream):
    """A float32 stream at `SAMPLE_RATE` from the source called `device`, which the server may never move elsewhere.

    With `only`, the index of a `PlayingStream`, it hears of the output whose monitor `device` is nothing but that one.
    The server ends it when that stream ends or goes to another output.
    """

    def __init__(self, loop: Loop, device: str, channels: int, fragment_s: float, *, only: int | None = None) -> None:
        super().__init__(loop, "capture", channels)
        self._fragments: deque[SampleArray] = deque()
        # Taken in as they come, since the library gives out nothing any more once the stream has ended.
        self._on_data = _OnData(self._collect)
        self._lib.stream_set_read_callback(self._stream, self._on_data, None)
        fragment_bytes = round(fragment_s * SAMPLE_RATE) * channels * 4
        attributes = _BufferAttributes(_DEFAULT, _DEFAULT, _DEFAULT, _DEFAULT, fragment_bytes)
        if only is not None:
            self._lib.stream_set_monitor_stream(self._stream, only)
        self._lib.stream_connect_record(
            self._stream, device.encode(), byref(attributes), _STREAM_DONT_MOVE | _STREAM_ADJUST_LATENCY
        )

    def read(self) -> SampleArray | None:
        """The next fragment as float32 (n, channels), zeros where the server lost some; None while there is none.

        What came before the stream failed can still be read.
        """
        return self._fragments.popleft() if self._fragments else None

    def close(self) -> None:
        if self._stream:
            self._lib.stream_set_read_callback(self._stream, None, None)
        super().close()

    def _collect(self, _stream: object, _size_bytes: object, _data: object) -> None:
        # Nothing may be raised into the library.
        with suppress(Exception):
            data, size_bytes = Pointer(), c_size_t()
            while self._lib.stream_peek(self._stream, byref(data), byref(size_bytes)) == 0 and size_bytes.value:
                count = size_bytes.value // (4 * self._channels)
                samples = np.zeros((count, self._channels), np.float32)
                if data.value is not None:
                    ctypes.memmove(samples.ctypes.data, data.value, count * 4 * self._channels)
                self._lib.stream_drop(self._stream)
                self._fragments.append(samples)


class PlaybackStream(_Stream):
    """A float32 stream at `SAMPLE_RATE` to the default output, called `name`, heard about `latency_s` after `write`.

    It begins with the first sample written; where too little is written it falls silent and goes on with the next.
    """

    def __init__(self, loop: Loop, name: str, channels: int, latency_s: float = 0.1) -> None:
        super().__init__(loop, name, channels)
        self._frame_bytes = 4 * channels
        target_bytes = max(1, round(latency_s * SAMPLE_RATE)) * self._frame_bytes
        # Begun at the first sample: what is shorter than the buffer would never be heard.
        attributes = _BufferAttributes(_DEFAULT, target_bytes, self._frame_bytes, _DEFAULT, _DEFAULT)
        self._lib.stream_connect_playback(self._stream, None, byref(attributes), _STREAM_ADJUST_LATENCY, None, None)
        self._stopped = False
        self._written_bytes = 0
        self._asked_at_s = 0.0
        self._heard_at_s: float | None = None

    def write(self, samples: SampleArray) -> int:
        """Write as many of the frames (n, channels) as the server wants now; return how many.

        0 before it is `ready`, when nothing is wanted, and after `stop`.
        """
        if self._stopped or not self.ready:
            return 0
        wanted = self._lib.stream_writable_size(self._stream)
        if wanted == ctypes.c_size_t(-1).value:
            return 0
        count = min(len(samples), int(wanted) // self._frame_bytes)
        if count == 0:
            return 0
        data = np.ascontiguousarray(samples[:count], np.float32)
        size_bytes = count * self._frame_bytes
        if data.nbytes != size_bytes:
            raise ValueError(f"{samples.shape} is not what {self._channels} channels need")
        # Without a function that frees them the library copies the samples.
        if self._lib.stream_write(self._stream, data.ctypes.data, size_bytes, None, 0, _SEEK_RELATIVE) < 0:
            return 0
        self._written_bytes += size_bytes
        self._heard_at_s = None
        return count

    def drained(self) -> bool:
        """Whether all that was written has been heard, or never will be. To be asked again and again between `serve`s;
        it sends for the timing each time, and the answer comes with the next `serve`.
        """
        if self.failed or self._stopped:
            return True
        if self._written_bytes == 0:
            return False
        if self._heard_at_s is None:
            timing = self.timing()
            if timing is not None and timing.read_index >= self._written_bytes:
                middle_s = (self._asked_at_s + time.monotonic()) / 2
                self._heard_at_s = middle_s + timing.delay_s - self._seconds(timing.starved_bytes)
            elif self._operation is None:
                self._asked_at_s = time.monotonic()
                self.ask_timing()
        return self._heard_at_s is not None and time.monotonic() >= self._heard_at_s

    def stop(self) -> float:
        """Play nothing more that is not rendered yet; return how many seconds from now its end is heard, or recorded.

        Serves the loop for the moment that the server needs to answer. Nothing is written any more afterwards.
        """
        if self._stopped or not self.ready:
            self._stopped = True
            return 0.0
        self._stopped = True
        # By one answer it is known when a sample is heard, by the next, with the stream standing still, which is the
        # last. The delay of the second would not do: an output without a stream renders far ahead.
        before, asked_at_s = self._timing_now()
        self._loop.settle(self._lib.stream_cork(self._stream, 1, None, None))
        after, _ = self._timing_now()
        self._loop.settle(self._lib.stream_flush(self._stream, None, None))
        if before is None or after is None:
            return 0.0
        # What the output takes back of it, whoever records the output has been given already.
        rendered_s = self._seconds(max(0, after.read_index - before.read_index))
        heard_at_s = asked_at_s + before.delay_s + rendered_s
        return max(0.0, heard_at_s - time.monotonic())

    def _seconds(self, size_bytes: int) -> float:
        return size_bytes / (self._frame_bytes * SAMPLE_RATE)

    def _timing_now(self) -> tuple[Timing | None, float]:
        """The server's answer, and the moment it was given."""
        self._settle_timing()
        begun_s = time.monotonic()
        self.ask_timing()
        return self._settle_timing(), (begun_s + time.monotonic()) / 2

    def _settle_timing(self) -> Timing | None:
        """The answer that is under way."""
        deadline_s = time.monotonic() + _ANSWER_LIMIT_S
        while (timing := self.timing()) is None and self._operation is not None and time.monotonic() < deadline_s:
            self._loop.serve(_ANSWER_LIMIT_S / 10)
        return timing
