"""Record and playback streams of the sound server, with the server's timing of when sound is heard.

Only the thread that made the loop may use them.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Mapping
from contextlib import suppress
from ctypes import byref, c_char_p, c_size_t
from ctypes import c_void_p as Pointer  # noqa: N812 - what it is here
from types import MappingProxyType
from typing import Final

from capture.errors import NotReadyError
from capture.media import SAMPLE_RATE, SampleArray
from capture.sources.pulse.libpulse import (
    DEFAULT,
    OPERATION_RUNNING,
    SAMPLE_FLOAT32_NATIVE,
    SEEK_RELATIVE,
    STREAM_ADJUST_LATENCY,
    STREAM_DONT_MOVE,
    STREAM_FAILED,
    STREAM_READY,
    STREAM_START_UNMUTED,
    VOLUME_FULL,
    BufferAttributes,
    ChannelMap,
    OnData,
    SampleSpec,
    TimingInfo,
    Volume,
)
from capture.sources.pulse.loop import ANSWER_LIMIT_S, Loop
from capture.sources.pulse.server_objects import RecordingStream

__all__ = ["RING_S", "PlaybackStream", "RecordStream", "Timing"]

#: How much sound the server keeps for a recorder that does not read, as on a machine that is too busy. PulseAudio keeps
#: at most 4 MiB (`MAX_MEMBLOCKQ_LENGTH`), which is 10.9 s of two channels.
RING_S: Final = 10.0

#: Under this name PulseAudio's module-stream-restore remembers the volume of our record streams.
_REMEMBERED_AS: Final = b"source-output-by-capture"

#: The properties of our record streams. WirePlumber remembers no volume of a stream with the second, and with the third
#: no device that a user once chose for it. The last keeps PipeWire's cycles at their usual 21 ms: long fragments would
#: let them grow to 43, and each switch to another output costs one or two of them.
_RECORD_PROPERTIES: Final = MappingProxyType(
    {
        b"module-stream-restore.id": _REMEMBERED_AS,
        b"state.restore-props": b"false",
        b"state.restore-target": b"false",
        b"node.max-latency": b"1024/48000",
    }
)

#: With this, PipeWire connects a stream without a device to what the default output plays, and never to a microphone.
_OUTPUTS_ALONE: Final = MappingProxyType({b"stream.capture.sink": b"true"})


class Timing:
    """The server's timing of a stream at one moment."""

    def __init__(self, info: TimingInfo) -> None:
        #: Bytes written to this stream so far.
        self.write_index = int(info.write_index)
        #: Bytes read from it: by this process from an input, by an output for rendering.
        self.read_index = int(info.read_index)
        #: How long after that moment the last of them is heard (outputs), or was picked up (inputs, negative).
        self.delay_s = (int(info.sink_us) - int(info.source_us)) / 1e6
        #: Bytes of silence that an output has rendered since it ran out of sound.
        self.starved_bytes = 0 if info.playing else max(0, int(info.since_underrun))


class _Stream:
    """The base of both directions: a float32 stream at `SAMPLE_RATE`, not connected yet.

    Without a `channel_map`, the channels have the positions that are usual for their number.
    """

    def __init__(
        self,
        loop: Loop,
        name: str,
        channels: int,
        channel_map: ChannelMap | None = None,
        properties: Mapping[bytes, bytes] = MappingProxyType({}),
    ) -> None:
        self._loop = loop
        self._lib = loop.library
        self._channels = channels
        own = self._lib.proplist_new()
        for key, value in properties.items():
            self._lib.proplist_sets(own, key, value)
        self._stream = self._lib.stream_new(
            loop.context,
            name.encode(),
            byref(SampleSpec(SAMPLE_FLOAT32_NATIVE, SAMPLE_RATE, channels)),
            byref(channel_map) if channel_map is not None else None,
            own,
        )
        self._lib.proplist_free(own)
        if not self._stream:
            raise NotReadyError(f"the sound server refuses a stream ({loop.error()})", "use --audio none")
        self._operation = None

    @property
    def ready(self) -> bool:
        """Whether the stream is running."""
        return bool(self._stream and self._lib.stream_get_state(self._stream) == STREAM_READY)

    @property
    def failed(self) -> bool:
        """Whether the device or the server is gone."""
        return not self._stream or bool(self._lib.stream_get_state(self._stream) >= STREAM_FAILED)

    @property
    def suspended(self) -> bool:
        """Whether the device is suspended, by a user or because another program took it."""
        return self.ready and bool(self._lib.stream_is_suspended(self._stream) > 0)

    def ask_timing(self) -> bool:
        """Request the timing and return whether that worked; `timing` returns it once it has come."""
        if self._operation is not None or not self._stream:
            return False
        self._operation = self._lib.stream_update_timing_info(self._stream, None, None)
        return self._operation is not None

    def timing(self) -> Timing | None:
        """Return the answer to `ask_timing`, once; None while it is pending or was not requested."""
        if self._operation is None or self._lib.operation_get_state(self._operation) == OPERATION_RUNNING:
            return None
        self._lib.operation_unref(self._operation)
        self._operation = None
        info = self._lib.stream_get_timing_info(self._stream)
        return Timing(info.contents) if info else None

    def close(self) -> None:
        """Close the stream; may be called twice."""
        if self._stream:
            if self._operation is not None:
                self._lib.operation_unref(self._operation)
                self._operation = None
            self._lib.stream_disconnect(self._stream)
            self._lib.stream_unref(self._stream)
            self._stream = None


class RecordStream(_Stream):
    """Records the source `device` as float32 at `SAMPLE_RATE`; the server may never move it elsewhere.

    With `device` None it records what the default output plays, and PipeWire moves it whenever that changes. PulseAudio
    cannot.

    With `only`, the index of a `PlayingStream`, it records just that stream, on the output whose monitor is `device`.
    The server ends it when that stream ends or moves to another output. It begins unmuted and at full volume, whatever
    the server remembers of earlier streams.
    """

    def __init__(
        self,
        loop: Loop,
        device: str | None,
        channels: int,
        fragment_s: float,
        *,
        only: int | None = None,
        channel_map: ChannelMap | None = None,
    ) -> None:
        properties = _RECORD_PROPERTIES if device is not None else {**_RECORD_PROPERTIES, **_OUTPUTS_ALONE}
        super().__init__(loop, "capture", channels, channel_map, properties)
        # Samples are collected as they come, since the library returns none after the stream has ended.
        self._fragments: list[bytes] = []
        self._found, self._found_bytes = Pointer(), c_size_t()
        self._peek_into = (byref(self._found), byref(self._found_bytes))
        self._on_data = OnData(self._collect)
        self._lib.stream_set_read_callback(self._stream, self._on_data, None)
        fragment_bytes = round(fragment_s * SAMPLE_RATE) * channels * 4
        ring_bytes = round(RING_S * SAMPLE_RATE) * channels * 4
        attributes = BufferAttributes(ring_bytes, DEFAULT, DEFAULT, DEFAULT, fragment_bytes)
        if only is not None:
            self._lib.stream_set_monitor_stream(self._stream, only)
        self._forget_volume()
        flags = STREAM_ADJUST_LATENCY | STREAM_START_UNMUTED
        if device is not None:
            flags |= STREAM_DONT_MOVE
        name = device.encode() if device is not None else None
        self._lib.stream_connect_record(self._stream, name, byref(attributes), flags)

    def _forget_volume(self) -> None:
        """Make PulseAudio forget the volume of our earlier streams.

        A record stream cannot be connected with a volume, and one that is set afterwards comes after the first samples
        and, with flat volumes, changes the microphone's. The server handles this request before the next one, and
        refuses it if it remembers nothing.
        """
        names = (c_char_p * 2)(_REMEMBERED_AS, None)
        operation = self._lib.stream_restore_delete(self._loop.context, names, None, None)
        if operation:
            self._lib.operation_unref(operation)

    @property
    def state(self) -> RecordingStream | None:
        """What it records, and its own mute switch and volume, as the server has them now; None if there is no answer.

        Raises `TimeoutError`.
        """
        return self._loop.recording(self._lib.stream_get_index(self._stream)) if self.ready else None

    def restore_full_volume(self) -> None:
        """Unmute it and turn it up. Call this for devices without flat volumes only: theirs would be changed too."""
        index, full = self._lib.stream_get_index(self._stream), Volume(self._channels)
        full.values[: self._channels] = [VOLUME_FULL] * self._channels
        for operation in (
            self._lib.set_source_output_mute(self._loop.context, index, 0, None, None),
            self._lib.set_source_output_volume(self._loop.context, index, byref(full), None, None),
        ):
            if operation:
                self._lib.operation_unref(operation)

    @property
    def has_sound(self) -> bool:
        """Whether there is something to read."""
        return bool(self._fragments)

    def read(self) -> SampleArray | None:
        """Return what came since the last call as float32 (n, channels), zeros where the server lost some.

        None if nothing came. What came before the stream failed can still be read.
        """
        if not self._fragments:
            return None
        import numpy as np

        # A server may send a block of ours in twenty pieces, as its players write them.
        heard = self._fragments[0] if len(self._fragments) == 1 else b"".join(self._fragments)
        self._fragments.clear()
        return np.frombuffer(heard, np.float32).reshape(-1, self._channels)

    def close(self) -> None:
        if self._stream:
            self._lib.stream_set_read_callback(self._stream, None, None)
        super().close()

    def _collect(self, _stream: object, readable_bytes: int, _data: object) -> None:
        # No exception may reach the library.
        with suppress(Exception):
            while readable_bytes > 0 and self._lib.stream_peek(self._stream, *self._peek_into) == 0:
                size_bytes = self._found_bytes.value
                if not size_bytes:
                    return
                address = self._found.value
                self._fragments.append(
                    ctypes.string_at(address, size_bytes) if address is not None else bytes(size_bytes)
                )
                self._lib.stream_drop(self._stream)
                readable_bytes -= size_bytes


class PlaybackStream(_Stream):
    """Plays float32 at `SAMPLE_RATE` to the default output under `name`, heard about `latency_s` after `write`.

    It starts with the first sample written. If too little is written it falls silent and resumes with the next sample.
    """

    def __init__(self, loop: Loop, name: str, channels: int, latency_s: float = 0.1) -> None:
        super().__init__(loop, name, channels)
        self._frame_bytes = 4 * channels
        target_bytes = max(1, round(latency_s * SAMPLE_RATE)) * self._frame_bytes
        # Start at the first sample: otherwise sound shorter than the buffer would never be heard.
        attributes = BufferAttributes(DEFAULT, target_bytes, self._frame_bytes, DEFAULT, DEFAULT)
        self._lib.stream_connect_playback(self._stream, None, byref(attributes), STREAM_ADJUST_LATENCY, None, None)
        self._latency_s = latency_s
        self._stopped = False
        self._written_bytes = 0
        self._rendered_bytes: int | None = None
        self._asked_at_s = 0.0
        self._heard_at_s: float | None = None
        self._draining: int | None = None

    def write(self, samples: SampleArray) -> int:
        """Write as many of the samples (n, channels) as the server wants now; return how many.

        Returns 0 before it is `ready`, when the server wants none, and after `stop`.
        """
        if self._stopped or not self.ready:
            return 0
        wanted = self._lib.stream_writable_size(self._stream)
        if wanted == ctypes.c_size_t(-1).value:
            return 0
        count = min(len(samples), int(wanted) // self._frame_bytes)
        if count == 0:
            return 0
        import numpy as np

        data = np.ascontiguousarray(samples[:count], np.float32)
        size_bytes = count * self._frame_bytes
        if data.nbytes != size_bytes:
            raise ValueError(f"samples of shape {samples.shape} do not fit {self._channels} channels")
        # Without a function to free them, the library copies the samples.
        if self._lib.stream_write(self._stream, data.ctypes.data, size_bytes, None, 0, SEEK_RELATIVE) < 0:
            return 0
        self._written_bytes += size_bytes
        self._heard_at_s = None
        return count

    def drained(self) -> bool:
        """Whether everything written has been heard, or never will be. Call it repeatedly between `serve`s: it requests
        the timing each time, and the answer comes with the next `serve`.
        """
        if self.failed or self._stopped:
            return True
        if self._written_bytes == 0:
            return False
        if self._draining is None:
            # Otherwise PipeWire never renders the end, where that does not fill one of its blocks.
            self._draining = self._lib.stream_drain(self._stream, None, None)
        if self._heard_at_s is None:
            timing = self.timing()
            if timing is not None and (timing.read_index >= self._written_bytes or self._has_drained()):
                capture_time_s = (self._asked_at_s + time.monotonic()) / 2
                self._heard_at_s = capture_time_s + timing.delay_s - self._seconds(timing.starved_bytes)
            elif self._operation is None:
                self._asked_at_s = time.monotonic()
                self.ask_timing()
        return self._heard_at_s is not None and time.monotonic() >= self._heard_at_s

    def _has_drained(self) -> bool:
        """Whether the server has said that it has rendered everything."""
        return bool(self._draining) and self._lib.operation_get_state(self._draining) != OPERATION_RUNNING

    def close(self) -> None:
        if self._draining is not None:
            self._lib.operation_unref(self._draining)
            self._draining = None
        super().close()

    def stop(self) -> float:
        """Drop what is not rendered yet; return in how many seconds the rest has been heard, or recorded.

        Serves the loop for the moment that the server takes to answer. Write nothing afterwards.
        """
        if self._stopped or not self.ready:
            self._stopped = True
            return 0.0
        self._stopped = True
        # The first answer says when a sample is heard; the second, with the stream paused, which sample is the last.
        # The second one's delay is useless: an output without a stream renders far ahead.
        before = self._fresh_timing()
        # The server may have answered sooner. To be late is harmless here: what is still heard would be recorded.
        answered_at_s = time.monotonic()
        self._loop.settle(self._lib.stream_cork(self._stream, 1, None, None))
        after = self._fresh_timing()
        self._loop.settle(self._lib.stream_flush(self._stream, None, None))
        if after is not None:
            self._rendered_bytes = min(after.read_index, self._written_bytes)
        if before is None or after is None:
            return 0.0
        # Even if the output takes back part of it, a recorder of the output has received that already.
        rendered_s = self._seconds(max(0, after.read_index - before.read_index))
        heard_at_s = answered_at_s + before.delay_s + rendered_s
        return max(0.0, heard_at_s - time.monotonic())

    def heard_s(self) -> float:
        """Return how many seconds of what was written were heard: about, and exactly after `stop`."""
        if self._heard_at_s is not None:
            return self._seconds(self._written_bytes)
        if self._rendered_bytes is not None:
            return self._seconds(self._rendered_bytes)
        return max(0.0, self._seconds(self._written_bytes) - self._latency_s)

    def _seconds(self, size_bytes: int) -> float:
        return size_bytes / (self._frame_bytes * SAMPLE_RATE)

    def _fresh_timing(self) -> Timing | None:
        """Ask the server and wait for its answer."""
        self._settle_timing()
        self.ask_timing()
        return self._settle_timing()

    def _settle_timing(self) -> Timing | None:
        """Return the pending answer, waiting for it."""
        deadline_s = time.monotonic() + ANSWER_LIMIT_S
        while (timing := self.timing()) is None and self._operation is not None and time.monotonic() < deadline_s:
            self._loop.serve(ANSWER_LIMIT_S / 10)
        return timing
