"""One caller's connection to a running recorder: the request it sends and the answer it gets.

A connection is always in one of three phases: it reads a request, waits for the session's answer, or writes an answer.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from capture.events import Command
from capture.remote.protocol import REQUEST_LIMIT_BYTES, TEXT_LIMIT, as_line, cleaned

__all__ = ["VERBS", "Connection", "parse_request", "refusal"]

#: The command of each verb that a request may name.
VERBS: Final[Mapping[str, Command]] = {
    "status": Command.STATUS,
    "stop": Command.STOP,
    "pause": Command.PAUSE,
    "resume": Command.RESUME,
    "toggle": Command.TOGGLE,
    "toggle_pause": Command.TOGGLE_PAUSE,
    "discard": Command.DISCARD,
    "mark": Command.MARK,
    "preview": Command.PREVIEW,
    "clip": Command.CLIP,
    "quit": Command.QUIT,
}

_WITH_TEXT: Final = frozenset({Command.MARK})

#: How long a caller has to send the rest of a request, and to take an answer. Both normally take milliseconds.
PATIENCE_S: Final = 5.0


class Connection:
    """The buffers and the phase of one connection. No method blocks; only the serving thread calls them.

    `peer` is a non-blocking socket. Its time to send the first request starts now.
    """

    def __init__(self, peer: socket.socket) -> None:
        self.socket = peer
        #: The events that the selector watches the socket for.
        self.watched_events = 0
        #: The session has a request of this connection and has not answered it yet.
        self.awaits_answer = False
        #: The number of the last request passed to the session. An answer to an earlier request comes too late.
        self.request_number = 0
        #: When to give the connection up (monotonic), unless it awaits the session's answer.
        self.deadline_s = 0.0
        self._inbox = bytearray()
        self._outbox = bytearray()
        self._input_ended = False
        # A request was too long and has been refused; the rest of it is still to be skipped.
        self._skipping = False
        self.expect_request()

    @property
    def input_ended(self) -> bool:
        """Whether the caller sends nothing more."""
        return self._input_ended

    @property
    def is_writing(self) -> bool:
        """Whether some of the answer is still to be sent."""
        return bool(self._outbox)

    def expect_request(self) -> None:
        """Give the caller `PATIENCE_S` from now for its next request."""
        self.deadline_s = time.monotonic() + PATIENCE_S

    def read(self) -> None:
        """Take in what the caller has sent. Raises `OSError` when the connection is broken."""
        try:
            received = self.socket.recv(REQUEST_LIMIT_BYTES)
        except BlockingIOError:
            return
        self._inbox += received
        self._input_ended = not received

    def next_line(self) -> bytes | None:
        """Take the next request out of what was read, without its line end; None when it is not complete yet.

        A request that is too long is returned, cut off, as soon as it is known to be. The rest of it is skipped.
        """
        inbox = self._inbox
        while True:
            end = inbox.find(b"\n")
            if self._skipping:
                self._skipping = end < 0
                del inbox[: end + 1 if end >= 0 else len(inbox)]
                if self._skipping:
                    return None
                continue
            if end >= REQUEST_LIMIT_BYTES or (end < 0 and len(inbox) >= REQUEST_LIMIT_BYTES):
                self._skipping = True
                return bytes(inbox[:REQUEST_LIMIT_BYTES])
            if end < 0 and not (self._input_ended and inbox):
                return None
            line = bytes(inbox if end < 0 else inbox[:end])
            del inbox[: len(line) + 1]
            return line

    def reply(self, content: dict[str, Any]) -> None:
        """Queue an answer; the caller has `PATIENCE_S` to take it. Raises `TypeError` when it cannot become JSON."""
        self._outbox += as_line(content)
        self.deadline_s = time.monotonic() + PATIENCE_S

    def turn_away(self, reason: str) -> None:
        """Queue a refusal and read nothing from this caller."""
        self._input_ended = True
        self.reply(refusal(reason))

    def write(self) -> None:
        """Send as much of the queued answer as the socket takes. Raises `OSError` when the connection is broken."""
        with suppress(BlockingIOError):
            while self._outbox:
                del self._outbox[: self.socket.send(self._outbox)]

    def is_hung_up(self) -> bool:
        """Whether the caller has closed the connection; one that has only finished sending still wants its answer."""
        if sys.platform == "win32":
            return False
        import select

        poll = select.poll()
        # Without any events, which leaves the hang-up: that is always reported.
        poll.register(self.socket, 0)
        return bool(poll.poll(0))


def parse_request(line: bytes) -> tuple[Command, str, dict[str, Any]]:
    """Return a request's command, text and options. Raises `ValueError`, naming the mistake, for a bad request."""
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
        raise ValueError(f"a text has at most {TEXT_LIMIT} characters")
    options = request.get("options", {})
    if not isinstance(options, dict):
        raise ValueError("options must be an object")
    return command, cleaned(text) if command in _WITH_TEXT else "", options


def refusal(reason: str) -> dict[str, Any]:
    """Return the answer to a request that is refused."""
    return {"ok": False, "error": reason}
