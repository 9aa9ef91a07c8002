"""Orders from any terminal: a running recorder listens on a socket of the user's, and tells what became of each.

One thread serves all, and waits for none: a request is passed to the session, and its answer sent when the session has
given it. A connection may make several requests and gets its answers in their order, each before the next is looked at;
so what is under way is never more than the connections that are served at a time.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final

from capture import unix_socket
from capture.errors import NotReadyError
from capture.event_kinds import EventKind
from capture.events import Command, Send
from capture.remote import runtime_folder
from capture.remote.protocol import REQUEST_LIMIT_BYTES, TEXT_LIMIT, as_line, cleaned
from capture.threads.worker import Worker

__all__ = ["VERBS", "RemoteControl"]

#: What may be asked, by the word that stands in a request.
VERBS: Final[Mapping[str, Command]] = {
    "status": Command.STATUS,
    "stop": Command.STOP,
    "pause": Command.PAUSE,
    "resume": Command.RESUME,
    "toggle": Command.TOGGLE_PAUSE,
    "discard": Command.DISCARD,
    "mark": Command.MARK,
    "preview": Command.PREVIEW,
    "clip": Command.CLIP,
}

_WITH_TEXT: Final = frozenset({Command.MARK})

_GIVEN_BY: Final = "remote"

#: Served at a time; the next ones wait in the listener's queue. More than people have terminals, few enough to poll.
CONNECTIONS: Final = 32

#: How long the rest of a request may take to come, and an answer to be taken. Both are a moment's matter.
PATIENCE_S: Final = 5.0

#: How often those who have gone without waiting for their answer are looked for, when all connections are in use.
_SWEEP_S: Final = 0.5

#: When no connection can be taken because the process has too many files open, the next attempt is after this.
_REST_S: Final = 1.0

#: The thread never blocks; more than this it takes only on a machine that stands still.
_END_S: Final = 2.0

_ENDED: Final[dict[str, Any]] = {"ok": False, "error": "the recorder has ended"}


class RemoteControl:
    """Takes orders under `name`, by default the first free of `capture`, `capture-2`, …

    `folder` is where recorders meet, by default the user's runtime folder. `claim`, `start` and `stop` are called by
    one thread at a time, all else by any.
    """

    absence = EventKind.NO_REMOTE

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
        """What it is called; before `claim` what it would like to be."""
        return self._name

    @property
    def left_behind(self) -> dict[str, Any]:
        """What a recorder that crashed under this name wrote down: `pid`, and `recording` where it had begun one."""
        return self._claim.left_behind if self._claim else {}

    @property
    def left_recordings(self) -> list[str]:
        """The files that recorders of any name were at when they crashed."""
        notes = [self.left_behind, *self._leftovers]
        return [note["recording"] for note in notes if isinstance(note.get("recording"), str)]

    def claim(self) -> None:
        """Take the name; whoever connects from then on waits for `start`. Does nothing the second time.

        `UsageError` for a name that is taken or cannot be one, `NotReadyError` where orders cannot be received.
        """
        if self._claim is not None:
            return
        if sys.platform == "win32":
            raise NotReadyError("the remote control does not work on Windows", "use the hotkeys")
        if self._path is None:
            # Found once: the surroundings may become those of a virtual desktop, where nobody looks for it.
            self._path = runtime_folder.default_folder()
        claim = runtime_folder.claim(self._wanted, self._path)
        try:
            # What a crash left.
            claim.folder.remove_socket(claim.name)
            self._listener = unix_socket.listen(claim.address)
        except OSError as error:
            claim.release()
            raise NotReadyError(
                f"no orders can be received in {claim.folder.path} ({error.strerror})",
                "let XDG_RUNTIME_DIR name another folder",
            ) from error
        except BaseException:
            claim.release()
            raise
        self._claim = claim
        self._leftovers = claim.folder.take_leftovers()
        self._name = claim.name

    def take_began(self, path: str) -> None:
        """Write down which file is being recorded, so that it can be named after a crash."""
        self._note(Path(path))

    def take_ended(self) -> None:
        """That file needs nobody's help any more."""
        self._note(None)

    def _note(self, path: Path | None) -> None:
        with self._claim_lock, suppress(OSError):
            if self._claim is not None:
                self._claim.note(path)

    def start(self, send: Send) -> None:
        """Take orders. Claims the name unless that was done, and raises what `claim` does."""
        self.claim()
        if self._server is None and self._listener is not None:
            self._server = _Server(self._listener, send, {"name": self.name, "pid": os.getpid()})
            self._server.start()

    def stop(self) -> None:
        """Take no more, tell those who still wait that it is over, and give the name back; may be called twice."""
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


class _Connection:
    """Somebody who gives orders. It reads, or waits for an answer of the session, or writes one: one at a time."""

    def __init__(self, peer: socket.socket) -> None:
        self.socket = peer
        self.inbox = bytearray()
        self.outbox = bytearray()
        #: What the selector watches it for.
        self.watched = 0
        #: Too long a request was refused, and what is left of it is to be passed over.
        self.skipping = False
        self.ended = False
        self.waits = False
        #: The number of the request that was passed to the session last: an answer to another one comes too late.
        self.asked = 0
        #: When it is given up (monotonic), unless the session is to move next.
        self.deadline_s = 0.0


class _Server:
    """The thread and all it holds."""

    def __init__(self, listener: socket.socket, send: Send, identity: dict[str, Any]) -> None:
        self._listener = listener
        self._send = send
        self._identity = identity
        self._selector = selectors.DefaultSelector()
        self._connections: set[_Connection] = set()
        self._answers: SimpleQueue[tuple[_Connection, int, dict[str, Any]]] = SimpleQueue()
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

    # The session's threads

    def _answer(self, connection: _Connection) -> Callable[[dict[str, Any]], None]:
        number = connection.asked

        def answer(content: dict[str, Any]) -> None:
            self._answers.put((connection, number, content))
            self._wake()

        return answer

    def _wake(self) -> None:
        # The lock keeps it from a descriptor that is closed, and by then another file's. Full means woken already.
        with self._wake_lock, suppress(OSError):
            if self._waker.fileno() >= 0:
                self._waker.send(b"\0")

    # The thread

    def _run(self) -> None:
        try:
            while not self._ending:
                self._watch_listener()
                self._attend_to_all(self._timeout_s())
                self._drop_late()
            self._bid_farewell()
        finally:
            for connection in tuple(self._connections):
                self._drop(connection)
            with self._wake_lock:
                self._waker.close()
            self._woken.close()
            self._selector.close()

    def _attend_to_all(self, timeout_s: float | None) -> None:
        for key, _ in self._selector.select(timeout_s):
            key.data()
        with suppress(Empty):
            while True:
                connection, number, content = self._answers.get_nowait()
                if connection in self._connections and connection.waits and connection.asked == number:
                    named = {"ok": True, **self._identity} if content.get("ok") else {}
                    self._guarded(connection, self._conclude, {**named, **content})

    def _bid_farewell(self) -> None:
        """Whoever asked, or has just come to ask, hears that it is over; nobody is waited for."""
        self._accept()
        self._attend_to_all(0.0)
        for connection in tuple(self._connections):
            if connection.waits:
                self._guarded(connection, self._conclude, _ENDED)

    def _empty_waker(self) -> None:
        with suppress(BlockingIOError):
            while self._woken.recv(4_096):
                pass

    def _watch_listener(self) -> None:
        """Those who come when there is no room for them wait in the listener's queue."""
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
            connection = _Connection(peer)
            self._connections.add(connection)
            if unix_socket.is_trusted(peer):
                self._begin_reading(connection)
            else:
                connection.ended = True
                self._reply(connection, _refusal("this recorder belongs to another user"))
            self._guarded(connection, self._go_on)

    def _timeout_s(self) -> float | None:
        deadlines = [connection.deadline_s for connection in self._connections if not connection.waits]
        now_s = time.monotonic()
        if len(self._connections) >= CONNECTIONS:
            deadlines.append(now_s + _SWEEP_S)
        elif self._accepts_from_s > now_s:
            deadlines.append(self._accepts_from_s)
        return max(0.0, min(deadlines) - now_s) if deadlines else None

    def _drop_late(self) -> None:
        now_s = time.monotonic()
        crowded = len(self._connections) >= CONNECTIONS
        for connection in tuple(self._connections):
            if now_s >= connection.deadline_s if not connection.waits else crowded and _has_gone(connection.socket):
                self._drop(connection)

    def _drop(self, connection: _Connection) -> None:
        self._watch(connection, 0)
        self._connections.discard(connection)
        connection.socket.close()

    # One connection

    def _guarded(self, connection: _Connection, step: Callable[..., None], *more: Any) -> None:
        """What goes wrong with one connection ends that one alone."""
        try:
            step(connection, *more)
        except Exception:
            self._drop(connection)

    def _watch(self, connection: _Connection, events: int) -> None:
        if events == connection.watched:
            return
        if connection.watched and events:
            self._selector.modify(connection.socket, events, lambda: self._guarded(connection, self._serve))
        elif events:
            self._selector.register(connection.socket, events, lambda: self._guarded(connection, self._serve))
        else:
            self._selector.unregister(connection.socket)
        connection.watched = events

    def _serve(self, connection: _Connection) -> None:
        """It can be read from or written to, whichever it is at."""
        if not connection.outbox:
            self._read(connection)
        self._go_on(connection)

    def _conclude(self, connection: _Connection, content: dict[str, Any]) -> None:
        """What it waits for is here."""
        connection.waits = False
        self._reply(connection, content)
        self._go_on(connection)

    def _read(self, connection: _Connection) -> None:
        try:
            received = connection.socket.recv(REQUEST_LIMIT_BYTES)
        except BlockingIOError:
            return
        connection.inbox += received
        connection.ended = not received

    def _begin_reading(self, connection: _Connection) -> None:
        connection.deadline_s = time.monotonic() + PATIENCE_S

    def _reply(self, connection: _Connection, content: dict[str, Any]) -> None:
        connection.outbox += as_line(content)
        connection.deadline_s = time.monotonic() + PATIENCE_S

    def _go_on(self, connection: _Connection) -> None:
        """Write what is to be written, then look at the next request, until there is something to wait for."""
        while True:
            if connection.outbox:
                self._write(connection)
                if connection.outbox:
                    self._watch(connection, selectors.EVENT_WRITE)
                    return
                self._begin_reading(connection)
            if connection.waits:
                self._watch(connection, 0)
                return
            line = _next_line(connection)
            if line is None:
                break
            self._obey(connection, line)
        if connection.ended:
            self._drop(connection)
        else:
            self._watch(connection, selectors.EVENT_READ)

    def _write(self, connection: _Connection) -> None:
        with suppress(BlockingIOError):
            while connection.outbox:
                del connection.outbox[: connection.socket.send(connection.outbox)]

    def _obey(self, connection: _Connection, line: bytes) -> None:
        if self._ending:
            self._reply(connection, _ENDED)
            return
        try:
            command, text, options = _understand(line)
        except ValueError as error:
            self._reply(connection, _refusal(str(error)))
            return
        connection.waits = True
        connection.asked += 1
        self._send(command, _GIVEN_BY, text=text, answer=self._answer(connection), options=options)


def _next_line(connection: _Connection) -> bytes | None:
    """The next request of what was received, without its end; None when more must come first.

    What is longer than a request may be counts as one as soon as that is certain. The rest of it is passed over.
    """
    inbox = connection.inbox
    while True:
        end = inbox.find(b"\n")
        if connection.skipping:
            connection.skipping = end < 0
            del inbox[: end + 1 if end >= 0 else len(inbox)]
            if connection.skipping:
                return None
            continue
        if end >= REQUEST_LIMIT_BYTES or (end < 0 and len(inbox) >= REQUEST_LIMIT_BYTES):
            connection.skipping = True
            return bytes(inbox[:REQUEST_LIMIT_BYTES])
        if end < 0 and not (connection.ended and inbox):
            return None
        line = bytes(inbox if end < 0 else inbox[:end])
        del inbox[: len(line) + 1]
        return line


def _understand(line: bytes) -> tuple[Command, str, dict[str, Any]]:
    """The command of a request, its text and its options; `ValueError` says what is wrong with it."""
    if len(line) >= REQUEST_LIMIT_BYTES:
        raise ValueError(f"a request has at most {REQUEST_LIMIT_BYTES} bytes")
    try:
        request = json.loads(line.decode())
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict):
        raise ValueError('a request is a line such as {"verb": "status"}')
    verb, text = request.get("verb"), request.get("text", "")
    command = VERBS.get(verb) if isinstance(verb, str) else None
    if command is None:
        raise ValueError(f"the verb is one of {', '.join(VERBS)}")
    if not isinstance(text, str) or len(text) > TEXT_LIMIT:
        raise ValueError(f"a text has at most {TEXT_LIMIT} letters")
    options = request.get("options", {})
    if not isinstance(options, dict):
        raise ValueError("options are an object")
    return command, cleaned(text) if command in _WITH_TEXT else "", options


def _refusal(reason: str) -> dict[str, Any]:
    return {"ok": False, "error": reason}


def _has_gone(peer: socket.socket) -> bool:
    """Whether the other end was closed altogether: one that only says no more still waits for its answer."""
    if sys.platform == "win32":
        return False
    import select

    poll = select.poll()
    # Nothing but a hang-up, which is always told.
    poll.register(peer, 0)
    return bool(poll.poll(0))
