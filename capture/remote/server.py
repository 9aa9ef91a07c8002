"""Takes commands from other terminals: a running recorder listens on a Unix socket and answers each request.

One thread serves all connections and never waits for any of them: it passes a request to the session and sends the
answer when the session has given it. A connection may make several requests. It gets its answers in order, each before
its next request is read; so there are never more requests under way than connections.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final

from capture.errors import NotReadyError
from capture.events import EventKind, Send
from capture.remote import runtime_folder
from capture.remote.connection import VERBS, Connection, parse_request, refusal
from capture.system import unix_socket
from capture.threads.worker import Worker

__all__ = ["VERBS", "RemoteControl"]

_GIVEN_BY: Final = "remote"

#: Connections served at a time; later ones wait in the listener's queue. More than people have terminals, few enough
#: to poll.
CONNECTIONS: Final = 32

#: How often to look for callers that left without waiting for their answer, while all connections are in use.
_SWEEP_S: Final = 0.5

#: How long to wait before accepting again after the process ran out of file descriptors.
_REST_S: Final = 1.0

#: How long to wait for the thread at the end. It never blocks, so it takes longer only on a machine that is stalled.
_END_S: Final = 2.0

_ENDED: Final = refusal("the recorder has ended")


class RemoteControl:
    """Takes commands under `name`, by default the first free one of `capture`, `capture-2`, …

    `folder` is where recorders put their sockets, by default the user's runtime folder. One thread at a time may call
    `claim`, `start` and `stop`; any thread may call the rest.
    """

    unavailable_event = EventKind.NO_REMOTE

    #: As a trigger it has nothing to report once it has started.
    notes: tuple[tuple[EventKind, str], ...] = ()

    def __init__(self, name: str | None = None, *, folder: Path | None = None) -> None:
        self._wanted = name
        self._path = folder
        self._name = name or runtime_folder.DEFAULT_NAME
        self._claim: runtime_folder.Claim | None = None
        self._claim_lock = threading.Lock()
        self._leftovers: list[dict[str, Any]] = []
        self._listener: socket.socket | None = None
        self._server: _Server | None = None

    @property
    def name(self) -> str:
        """The recorder's name; before `claim` the one it will ask for."""
        return self._name

    @property
    def crash_note(self) -> dict[str, Any]:
        """The note of a recorder that crashed under this name: its `pid`, and `recording` if it was writing a file."""
        return self._claim.crash_note if self._claim else {}

    @property
    def interrupted_recordings(self) -> list[str]:
        """The files that crashed recorders of any name were writing."""
        notes = [self.crash_note, *self._leftovers]
        return [note["recording"] for note in notes if isinstance(note.get("recording"), str)]

    def claim(self) -> None:
        """Take the name and listen; callers that connect now wait until `start`. May be called twice.

        Raises `UsageError` when the name is taken or invalid, `NotReadyError` when the recorder cannot listen.
        """
        if self._claim is not None:
            return
        if sys.platform == "win32":
            raise NotReadyError("the remote control does not work on Windows", "use the hotkeys")
        if self._path is None:
            # Looked up once: later the environment may be that of a virtual desk, whose folder no client searches.
            self._path = runtime_folder.default_folder()
        claim = runtime_folder.claim(self._wanted, self._path)
        try:
            # A crashed recorder may have left its socket.
            claim.folder.remove_socket(claim.name)
            self._listener = unix_socket.listen(claim.address)
        except OSError as error:
            claim.release()
            raise NotReadyError(
                f"cannot listen for commands in {claim.folder.path} ({error.strerror})",
                "set XDG_RUNTIME_DIR to another folder",
            ) from error
        except BaseException:
            claim.release()
            raise
        self._claim = claim
        self._leftovers = claim.folder.take_leftovers()
        self._name = claim.name

    def take_began(self, path: str) -> None:
        """Note which file is being recorded, so that the next recorder can name it after a crash."""
        self._note(Path(path))

    def take_ended(self) -> None:
        """Remove that note."""
        self._note(None)

    def _note(self, path: Path | None) -> None:
        with self._claim_lock, suppress(OSError):
            if self._claim is not None:
                self._claim.note(path)

    def start(self, send: Send) -> None:
        """Serve callers. Claims the name first if necessary, and raises what `claim` does."""
        self.claim()
        if self._server is None and self._listener is not None:
            self._server = _Server(self._listener, send, {"name": self.name, "pid": os.getpid()})
            self._server.start()

    def stop(self) -> None:
        """Stop serving: refuse the callers that still wait and release the name. May be called twice."""
        server, self._server = self._server, None
        listener, self._listener = self._listener, None
        if server is not None:
            server.stop()
        if listener is not None:
            listener.close()
        with self._claim_lock:
            claim, self._claim = self._claim, None
            if claim is not None:
                claim.release()


class _Server:
    """The serving thread and its connections. `start` and `stop` may be called by another thread."""

    def __init__(self, listener: socket.socket, send: Send, identity: dict[str, Any]) -> None:
        self._listener = listener
        self._send = send
        self._identity = identity
        self._selector = selectors.DefaultSelector()
        self._connections: set[Connection] = set()
        self._answers: SimpleQueue[tuple[Connection, int, dict[str, Any]]] = SimpleQueue()
        self._ending = False
        self._accepts_from_s = 0.0
        self._waker, self._woken = socket.socketpair()
        self._wake_lock = threading.Lock()
        self._worker = Worker("remote control", self._run)

    def start(self) -> None:
        self._waker.setblocking(False)
        self._woken.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, self._empty_waker)
        self._worker.start()

    def stop(self) -> None:
        self._ending = True
        self._wake()
        self._worker.join(_END_S)

    # Called by the session's threads

    def _answer(self, connection: Connection) -> Callable[[dict[str, Any]], None]:
        """Return the function with which the session answers the request that the connection is about to await."""
        number = connection.request_number

        def answer(content: dict[str, Any]) -> None:
            self._answers.put((connection, number, content))
            self._wake()

        return answer

    def _wake(self) -> None:
        # Without the lock this could write to a descriptor that was closed and reused. A full socket is awake already.
        with self._wake_lock, suppress(OSError):
            if self._waker.fileno() >= 0:
                self._waker.send(b"\0")

    # Called by the serving thread

    def _run(self) -> None:
        try:
            while not self._ending:
                self._watch_listener()
                self._handle_events(self._timeout_s())
                self._drop_late()
            self._refuse_all()
        finally:
            for connection in tuple(self._connections):
                self._drop(connection)
            with self._wake_lock:
                self._waker.close()
            self._woken.close()
            self._selector.close()

    def _handle_events(self, timeout_s: float | None) -> None:
        for key, _ in self._selector.select(timeout_s):
            key.data()
        with suppress(Empty):
            while True:
                connection, number, content = self._answers.get_nowait()
                if connection in self._connections and connection.awaits_answer and connection.request_number == number:
                    identity = {"ok": True, **self._identity} if content.get("ok") else {}
                    self._guarded(connection, self._conclude, {**identity, **content})

    def _refuse_all(self) -> None:
        """Answer every caller that has asked or has just connected that the recorder has ended, without waiting."""
        self._accept()
        self._handle_events(0.0)
        for connection in tuple(self._connections):
            if connection.awaits_answer:
                self._guarded(connection, self._conclude, _ENDED)

    def _empty_waker(self) -> None:
        with suppress(BlockingIOError):
            while self._woken.recv(4_096):
                pass

    def _watch_listener(self) -> None:
        """Watch the listener while there is room; otherwise new callers wait in its queue."""
        room = len(self._connections) < CONNECTIONS and time.monotonic() >= self._accepts_from_s
        watched = self._listener.fileno() in self._selector.get_map()
        if room and not watched:
            self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        elif watched and not room:
            self._selector.unregister(self._listener)

    def _accept(self) -> None:
        while len(self._connections) < CONNECTIONS:
            try:
                peer, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:
                self._accepts_from_s = time.monotonic() + _REST_S
                return
            peer.setblocking(False)
            connection = Connection(peer)
            self._connections.add(connection)
            if not unix_socket.is_trusted(peer):
                connection.turn_away("this recorder belongs to another user")
            self._guarded(connection, self._go_on)

    def _timeout_s(self) -> float | None:
        deadlines = [connection.deadline_s for connection in self._connections if not connection.awaits_answer]
        now_s = time.monotonic()
        if len(self._connections) >= CONNECTIONS:
            deadlines.append(now_s + _SWEEP_S)
        elif self._accepts_from_s > now_s:
            deadlines.append(self._accepts_from_s)
        return max(0.0, min(deadlines) - now_s) if deadlines else None

    def _drop_late(self) -> None:
        """Drop connections past their deadline and, while there is no room, those that left before their answer."""
        now_s = time.monotonic()
        crowded = len(self._connections) >= CONNECTIONS
        for connection in tuple(self._connections):
            if connection.awaits_answer:
                is_over = crowded and connection.is_hung_up()
            else:
                is_over = now_s >= connection.deadline_s
            if is_over:
                self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        self._watch(connection, 0)
        self._connections.discard(connection)
        connection.socket.close()

    # One connection

    def _guarded(self, connection: Connection, step: Callable[..., None], *more: Any) -> None:
        """Run `step` for one connection and drop it if that fails: an error of one must not end the others."""
        try:
            step(connection, *more)
        except Exception:
            self._drop(connection)

    def _watch(self, connection: Connection, events: int) -> None:
        if events == connection.watched_events:
            return
        if connection.watched_events and events:
            self._selector.modify(connection.socket, events, lambda: self._guarded(connection, self._serve))
        elif events:
            self._selector.register(connection.socket, events, lambda: self._guarded(connection, self._serve))
        else:
            self._selector.unregister(connection.socket)
        connection.watched_events = events

    def _serve(self, connection: Connection) -> None:
        """Read or write, whichever the connection is ready for."""
        if not connection.is_writing:
            connection.read()
        self._go_on(connection)

    def _conclude(self, connection: Connection, content: dict[str, Any]) -> None:
        """Send the answer that the connection has been waiting for."""
        connection.awaits_answer = False
        connection.reply(content)
        self._go_on(connection)

    def _go_on(self, connection: Connection) -> None:
        """Write the answer and take the next request, until the connection must wait; then watch it for that."""
        while True:
            if connection.is_writing:
                connection.write()
                if connection.is_writing:
                    self._watch(connection, selectors.EVENT_WRITE)
                    return
                connection.expect_request()
            if connection.awaits_answer:
                self._watch(connection, 0)
                return
            line = connection.next_line()
            if line is None:
                break
            self._pass_on(connection, line)
        if connection.input_ended:
            self._drop(connection)
        else:
            self._watch(connection, selectors.EVENT_READ)

    def _pass_on(self, connection: Connection, line: bytes) -> None:
        """Pass a request to the session, or refuse it."""
        if self._ending:
            connection.reply(_ENDED)
            return
        try:
            command, text, options = parse_request(line)
        except ValueError as error:
            connection.reply(refusal(str(error)))
            return
        connection.awaits_answer = True
        connection.request_number += 1
        self._send(command, _GIVEN_BY, text=text, answer=self._answer(connection), options=options)
