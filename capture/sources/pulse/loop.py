"""A connection to the sound server: the loop that serves it, requests, and change notifications.

Only the thread that made the loop may use it, except for `Loop.wake`.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from ctypes import POINTER, Structure
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

from capture.sources.pulse.libpulse import (
    ABOUT_INPUTS,
    ABOUT_OUTPUTS,
    ABOUT_STREAMS,
    CONTEXT_FAILED,
    CONTEXT_NOAUTOSPAWN,
    CONTEXT_READY,
    NO_INDEX,
    OPERATION_RUNNING,
    ClientInfo,
    Library,
    OnEvent,
    OnInfo,
    SinkInfo,
    SinkInputInfo,
    SourceInfo,
    Volume,
)

__all__ = ["ANSWER_LIMIT_S", "Input", "Loop", "Output", "PlayingStream"]

#: How long to wait for an answer; a local server gives it within a millisecond.
ANSWER_LIMIT_S: Final = 1.0

#: The most messages handled in one `serve`, so that the caller gets to look at the results.
MOST_ROUNDS: Final = 16

#: The structure that holds an answer of the server.
Info = TypeVar("Info", bound=Structure)
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Output:
    """A sink. `monitor` is the exact name of the source that records what it plays, "" if there is none.

    `muted` includes turned down to zero: either gives silence.
    """

    index: int
    name: str
    description: str
    monitor: str
    channels: int
    muted: bool


class Input(NamedTuple):
    """A source, by its exact name: a microphone, or what an output plays if `is_monitor`."""

    name: str
    description: str
    is_monitor: bool
    channels: int
    muted: bool


@dataclass(frozen=True, slots=True)
class PlayingStream:
    """A sink input: a stream that a program plays to the output with the index `output`.

    `properties` holds those of `PROPERTIES` that the program, or the server for it, has set. A `corked` stream is
    paused.
    """

    index: int
    output: int
    corked: bool
    properties: Mapping[str, str]


#: The properties that identify a stream's owner. The last one tells sandboxed programs apart.
PROPERTIES: Final = (
    "application.name",
    "application.process.binary",
    "application.process.id",
    "application.id",
    "pipewire.access.portal.app_id",
)


class Loop:
    """A connection to the sound server and the loop that serves it.

    Requests serve the loop until the server has answered. They raise `TimeoutError` after `ANSWER_LIMIT_S`.
    """

    def __init__(self, name: str, server: str | None = None) -> None:
        self.library = Library()
        self._lock = threading.Lock()
        self._loop = self.library.mainloop_new()
        self.context = self.library.context_new(self.library.mainloop_get_api(self._loop), name.encode())
        self._changed = False
        self._on_event = OnEvent(self._note_change)
        self.library.context_connect(self.context, server.encode() if server else None, CONTEXT_NOAUTOSPAWN, None)

    @property
    def connected(self) -> bool:
        """Whether the server has answered and is still there."""
        return bool(self._loop and self.library.context_get_state(self.context) == CONTEXT_READY)

    @property
    def failed(self) -> bool:
        """Whether there is no server, or the connection has ended."""
        return not self._loop or bool(self.library.context_get_state(self.context) >= CONTEXT_FAILED)

    def error(self) -> str:
        """Return the connection's last error, in the library's words."""
        if not self._loop:
            return "closed"
        text = self.library.strerror(self.library.context_errno(self.context))
        return text.decode(errors="replace") if text else "unknown error"

    def serve(self, timeout_s: float) -> None:
        """Handle messages from the server, waiting at most `timeout_s` for the first."""
        if not self._loop:
            return
        self.library.mainloop_prepare(self._loop, max(0, min(int(timeout_s * 1e6), 2_000_000_000)))
        self.library.mainloop_poll(self._loop)
        handled, rounds = self.library.mainloop_dispatch(self._loop), 1
        # A round handles one message, and usually several have arrived.
        while handled > 0 and rounds < MOST_ROUNDS:
            handled, rounds = self.library.mainloop_iterate(self._loop, 0, None), rounds + 1

    def watch(self, *, outputs: bool = False, inputs: bool = False, streams: bool = False) -> None:
        """Make `take_changed` report changes of the outputs or inputs and of their default, or of the streams."""
        mask = ABOUT_OUTPUTS * outputs | ABOUT_INPUTS * inputs | ABOUT_STREAMS * streams
        self._changed = True
        self.library.context_set_subscribe_callback(self.context, self._on_event, None)
        operation = self.library.context_subscribe(self.context, mask, None, None)
        if operation:
            self.library.operation_unref(operation)

    def take_changed(self) -> bool:
        """Whether anything watched may have changed since the last call; always True at first."""
        changed, self._changed = self._changed, False
        return changed

    def _note_change(self, _context: object, _kind: object, _index: object, _data: object) -> None:
        self._changed = True

    def default_output(self) -> Output | None:
        """Return the default output; None while there is no output at all."""
        found = self._ask(self.library.get_sink_by_name, b"@DEFAULT_SINK@", of=SinkInfo, read=_output)
        return found[0] if found else None

    def outputs(self) -> dict[int, Output]:
        """Return every output by its index."""
        return {output.index: output for output in self._ask(self.library.get_sinks, of=SinkInfo, read=_output)}

    def default_microphone(self) -> Input | None:
        """Return the default microphone; None if the default source is missing, or is what an output plays."""
        found = self.input("@DEFAULT_SOURCE@")
        return found if found is not None and not found.is_monitor else None

    def input(self, name: str) -> Input | None:
        """Return the source with exactly this name; None if there is none."""
        found = self._ask(self.library.get_source_by_name, name.encode(), of=SourceInfo, read=_input)
        return found[0] if found else None

    def inputs(self) -> list[Input]:
        """Return every source, monitors of outputs included."""
        return self._ask(self.library.get_sources, of=SourceInfo, read=_input)

    def playing(self) -> list[PlayingStream]:
        """Return every stream to an output, oldest first."""
        clients = dict(
            self._ask(
                self.library.get_clients,
                of=ClientInfo,
                read=lambda info: (int(info.index), self._properties(info.properties)),
            )
        )

        def read(info: SinkInputInfo) -> PlayingStream:
            properties = {**clients.get(int(info.client), {}), **self._properties(info.properties)}
            return PlayingStream(int(info.index), int(info.sink), bool(info.corked), properties)

        found = self._ask(self.library.get_sink_inputs, of=SinkInputInfo, read=read)
        return sorted(found, key=lambda stream: stream.index)

    def _properties(self, properties: int | None) -> dict[str, str]:
        found = {name: self.library.proplist_gets(properties, name.encode()) for name in PROPERTIES if properties}
        return {name: _text(value) for name, value in found.items() if value}

    def _ask(self, question: Any, *arguments: object, of: type[Info], read: Callable[[Info], Found]) -> list[Found]:
        """Return what `read` makes of each answer to `question`; empty if there is no answer or no server."""
        found: list[Found] = []
        if self.failed:
            # Asking would only hide the error that ended the connection.
            return found

        def collect(_context: object, info: int | None, _end: object, _data: object) -> None:
            # No exception may reach the library; an answer that fails to parse is dropped.
            with suppress(Exception):
                if info:
                    found.append(read(ctypes.cast(info, POINTER(of)).contents))

        on_info = OnInfo(collect)
        operation = question(self.context, *arguments, on_info, None)
        if not self.settle(operation):
            raise TimeoutError("the sound server does not answer")
        return found

    def settle(self, operation: Any) -> bool:
        """Serve the loop until the server has carried out `operation`, or is gone. Return whether that came in time.

        Releases the operation, and cancels it on a timeout.
        """
        if not operation:
            return True
        deadline_s = time.monotonic() + ANSWER_LIMIT_S
        while (running := self.library.operation_get_state(operation) == OPERATION_RUNNING) and (
            time.monotonic() < deadline_s
        ):
            self.serve(ANSWER_LIMIT_S / 10)
        if running:
            self.library.operation_cancel(operation)
        self.library.operation_unref(operation)
        return not running

    def wake(self) -> None:
        """Make a thread in `serve` return. Any thread may call this, even after `close`."""
        with self._lock:
            if self._loop:
                self.library.mainloop_wakeup(self._loop)

    def close(self) -> None:
        """Close the connection; may be called twice."""
        with self._lock:
            if self._loop:
                self.library.context_disconnect(self.context)
                self.library.context_unref(self.context)
                self.library.mainloop_free(self._loop)
                self._loop = None


def _text(value: bytes | None) -> str:
    return value.decode(errors="replace") if value else ""


def _output(info: SinkInfo) -> Output:
    return Output(
        index=int(info.index),
        name=_text(info.name),
        description=_text(info.description) or _text(info.name),
        monitor=_text(info.monitor_source_name),
        channels=int(info.sample_spec.channels),
        muted=bool(info.mute) or _is_down(info.volume),
    )


def _input(info: SourceInfo) -> Input:
    return Input(
        name=_text(info.name),
        description=_text(info.description) or _text(info.name),
        is_monitor=int(info.monitor_of_sink) != NO_INDEX,
        channels=int(info.sample_spec.channels),
        muted=bool(info.mute),
    )


def _is_down(volume: Volume) -> bool:
    return not any(volume.values[: volume.channels])
