"""A connection to the sound server: the loop that serves it, requests, and change notifications.

Only the thread that made the loop may use it, except for `Loop.wake`.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from ctypes import POINTER, Structure
from pathlib import Path
from typing import Any, Final, TypeVar

from capture.sources.pulse.libpulse import (
    ABOUT_INPUTS,
    ABOUT_OUTPUTS,
    ABOUT_SOURCES,
    ABOUT_STREAMS,
    CONTEXT_FAILED,
    CONTEXT_NOAUTOSPAWN,
    CONTEXT_READY,
    OPERATION_RUNNING,
    ClientInfo,
    OnEvent,
    OnInfo,
    OnServerInfo,
    ServerInfo,
    SinkInfo,
    SinkInputInfo,
    SourceInfo,
    SourceOutputInfo,
    opened_library,
)
from capture.sources.pulse.server_objects import (
    MONITOR_PROPERTY,
    NODE_PROPERTY,
    PROPERTIES,
    Input,
    Output,
    PlayingStream,
    RecordingStream,
    control_of,
    input_of,
    output_of,
    text_of,
)

__all__ = ["ANSWER_LIMIT_S", "Loop"]

#: How long to wait for an answer; a local server gives it within a millisecond.
ANSWER_LIMIT_S: Final = 1.0

#: The most messages handled in one `serve`, so that the caller gets to look at the results.
MOST_ROUNDS: Final = 16

#: The folder with a runtime folder for each user, by its number, as systemd and elogind make them.
RUNTIME_FOLDERS: Final = Path("/run/user")

#: What names a server that the user has chosen, first the one that counts.
_NAMES_OF_SERVER: Final = ("PULSE_SERVER", "PULSE_RUNTIME_PATH")

#: The structure that holds an answer of the server.
Info = TypeVar("Info", bound=Structure)
Found = TypeVar("Found")


class Loop:
    """A connection to the sound server and the loop that serves it.

    Requests serve the loop until the server has answered. They raise `TimeoutError` after `ANSWER_LIMIT_S`.
    """

    def __init__(self, name: str, server: str | None = None) -> None:
        self.library = opened_library()
        self._name = name
        self._lock = threading.Lock()
        self._is_woken = False
        self._loop = self.library.mainloop_new()
        self._other_servers = [] if server else _servers_of_the_user()
        self._changed = False
        self._is_pipewire: bool | None = None
        self._on_event = OnEvent(self._note_change)
        self._connect(server)
        self._try_other_servers()

    def _connect(self, server: str | None) -> None:
        self.context = self.library.context_new(self.library.mainloop_get_api(self._loop), self._name.encode())
        self.library.context_connect(self.context, server.encode() if server else None, CONTEXT_NOAUTOSPAWN, None)

    def _try_other_servers(self) -> None:
        if self.connected:
            self._other_servers = []
        while self._other_servers and self.failed:
            self.library.context_unref(self.context)
            self._connect(self._other_servers.pop(0))

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

    def absence(self) -> str:
        """Return words for a server that cannot be reached: where the environment says it is, and why."""
        named = next((name for name in _NAMES_OF_SERVER if os.environ.get(name)), None)
        where = f" at {named}={os.environ[named]}" if named else ""
        return f"no sound server answers{where} ({self.error()})"

    def serve(self, timeout_s: float) -> None:
        """Handle messages from the server, waiting at most `timeout_s` for the first."""
        if not self._loop:
            return
        self.library.mainloop_prepare(self._loop, max(0, min(int(timeout_s * 1e6), 2_000_000_000)))
        with self._lock:
            # Preparing forgets what woke the loop before.
            if self._is_woken:
                self._is_woken = False
                self.library.mainloop_wakeup(self._loop)
        self.library.mainloop_poll(self._loop)
        handled, rounds = self.library.mainloop_dispatch(self._loop), 1
        # A round handles one message, and usually several have arrived.
        while handled > 0 and rounds < MOST_ROUNDS:
            handled, rounds = self.library.mainloop_iterate(self._loop, 0, None), rounds + 1
        if self._other_servers:
            self._try_other_servers()

    def watch(self, *, outputs: bool = False, inputs: bool = False, streams: bool = False) -> None:
        """Make `take_changed` report changes of the outputs or inputs and of their default, or of the streams.

        It always reports changes of monitors and of what records them: these can be muted too.
        """
        mask = ABOUT_OUTPUTS * outputs | ABOUT_INPUTS * inputs | ABOUT_STREAMS * streams | ABOUT_SOURCES
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

    @property
    def is_pipewire(self) -> bool:
        """Whether the server is PipeWire's, by its name; False without an answer. Raises `TimeoutError`."""
        if self._is_pipewire is None and self.connected:
            names: list[str] = []

            def note(_context: object, info: int | None, _data: object) -> None:
                with suppress(Exception):
                    if info:
                        names.append(text_of(ctypes.cast(info, POINTER(ServerInfo)).contents.server_name))

            on_info = OnServerInfo(note)
            if not self.settle(self.library.get_server_info(self.context, on_info, None)):
                raise TimeoutError("the sound server does not answer")
            self._is_pipewire = any("PipeWire" in name for name in names)
        return bool(self._is_pipewire)

    def default_output(self) -> Output | None:
        """Return the default output; None while there is no output at all."""
        found = self._ask(self.library.get_sink_by_name, b"@DEFAULT_SINK@", of=SinkInfo, read=self._output)
        return found[0] if found else None

    def outputs(self) -> dict[int, Output]:
        """Return every output by its index."""
        return {output.index: output for output in self._ask(self.library.get_sinks, of=SinkInfo, read=self._output)}

    def _output(self, info: SinkInfo) -> Output:
        return output_of(info, self._properties(info.properties, (NODE_PROPERTY, MONITOR_PROPERTY)))

    def default_microphone(self) -> Input | None:
        """Return the default microphone; None if the default source is missing, or is what an output plays."""
        found = self.input("@DEFAULT_SOURCE@")
        return found if found is not None and not found.is_monitor else None

    def input(self, name: str) -> Input | None:
        """Return the source with exactly this name; None if there is none."""
        found = self._ask(self.library.get_source_by_name, name.encode(), of=SourceInfo, read=input_of)
        return found[0] if found else None

    def inputs(self) -> list[Input]:
        """Return every source, monitors of outputs included."""
        return self._ask(self.library.get_sources, of=SourceInfo, read=input_of)

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
            control = control_of(info)
            return PlayingStream(int(info.index), int(info.sink), bool(info.corked), properties, control)

        found = self._ask(self.library.get_sink_inputs, of=SinkInputInfo, read=read)
        return sorted(found, key=lambda stream: stream.index)

    def recording(self, index: int) -> RecordingStream | None:
        """Return the record stream with this index; None if there is none."""

        def read(info: SourceOutputInfo) -> RecordingStream:
            return RecordingStream(int(info.source), control_of(info))

        found = self._ask(self.library.get_source_output, index, of=SourceOutputInfo, read=read)
        return found[0] if found else None

    def _properties(self, properties: int | None, names: Sequence[str] = PROPERTIES) -> dict[str, str]:
        found = {name: self.library.proplist_gets(properties, name.encode()) for name in names if properties}
        return {name: text_of(value) for name, value in found.items() if value}

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
        """Make a thread in `serve` return, or else the next call. Any thread may call this, even after `close`."""
        with self._lock:
            self._is_woken = True
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


def _servers_of_the_user() -> list[str]:
    """Return the addresses to try once the library has found no server: that of the user's own runtime folder.

    Jobs of cron and of `ssh` may run without XDG_RUNTIME_DIR, and after `su` it is another user's. The library then
    looks elsewhere. A server that the environment names is the user's choice: it is never replaced.
    """
    if sys.platform == "win32" or not os.environ.keys().isdisjoint(_NAMES_OF_SERVER):
        return []
    user = os.getuid()
    with suppress(OSError):
        named = os.environ.get("XDG_RUNTIME_DIR")
        if named and Path(named).stat().st_uid == user:
            return []
        socket = RUNTIME_FOLDERS / str(user) / "pulse" / "native"
        if socket.is_socket() and socket.stat().st_uid == user:
            return [f"unix:{socket}"]
    return []
