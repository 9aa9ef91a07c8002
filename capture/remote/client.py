"""The other end of the remote control: finds the recorders that run, and gives them orders.

It loads in a moment: a key on the desktop may start it.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from capture import unix_socket
from capture.errors import CaptureError, UsageError
from capture.remote.protocol import TEXT_LIMIT, as_line, cleaned
from capture.remote.runtime_folder import RuntimeFolder, check_name, default_folder

__all__ = ["ask", "none_running", "running"]

#: A recorder answers within milliseconds, or a tenth of a second when it is busy.
STATUS_LIMIT_S: Final = 1.0

#: As long as a person waits before looking what is wrong.
ANSWER_LIMIT_S: Final = 10.0

#: Stopping finishes the file, which on a slow disk takes as long as writing what is still in memory.
END_LIMIT_S: Final = 120.0

_ENDING_VERBS: Final = frozenset({"stop", "discard", "clip"})

#: An answer may tell of every mark and event of a long recording.
_ANSWER_LIMIT_BYTES: Final = 1 << 24

_RECEIVED_BYTES: Final = 65_536


def running(folder: Path | None = None) -> list[dict[str, Any]]:
    """What every recorder of this user answers to `status`, by name; those that crashed are cleaned away.

    Takes a second at most, however many there are. A recorder that does not answer by then is told with the state
    `not_answering` and what it wrote down of itself. `NotReadyError` where the runtime folder cannot be trusted.
    """
    gives_up_at_s = time.monotonic() + STATUS_LIMIT_S
    found = []
    with _recorders(folder, gives_up_at_s) as recorders:
        for recorder in recorders:
            recorder.ask("status")
        for recorder in recorders:
            try:
                answer = recorder.answer(gives_up_at_s)
                if answer.get("ok"):
                    found.append(answer)
            except TimeoutError:
                found.append(recorder.as_noted())
            except OSError:
                continue  # it has just ended
    return found


def ask(
    verb: str,
    *,
    name: str | None = None,
    text: str = "",
    options: dict[str, Any] | None = None,
    timeout_s: float | None = None,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Give an order to the recorder called `name`, or to the only one; returns its answer.

    Raises `CaptureError` when there is no such recorder, when it refuses, and when it has not answered after
    `timeout_s`, by default long enough for the verb; `UsageError` when several could be meant, or for a name or text
    that cannot be; `NotReadyError` where the runtime folder cannot be trusted.
    """
    if name is not None:
        check_name(name)
    if len(text) > TEXT_LIMIT:
        raise UsageError("the text is too long", f"use at most {TEXT_LIMIT} letters")
    if timeout_s is None:
        timeout_s = END_LIMIT_S if verb in _ENDING_VERBS else ANSWER_LIMIT_S
    gives_up_at_s = time.monotonic() + timeout_s
    with _recorders(folder, gives_up_at_s) as recorders:
        recorder = _chosen(recorders, name)
        try:
            recorder.ask(verb, cleaned(text), options)
            answer = recorder.answer(gives_up_at_s)
        except TimeoutError:
            raise CaptureError(
                f"the recorder {recorder.name!r} has not answered for {timeout_s:g} s", "see capture status"
            ) from None
        except OSError as error:
            raise CaptureError(
                f"the recorder {recorder.name!r} ended without an answer", "see capture status"
            ) from error
    if not answer.get("ok"):
        kind = UsageError if answer.get("exit_code") == UsageError.exit_code else CaptureError
        raise kind(str(answer.get("error") or f"the recorder {recorder.name!r} refused"))
    return answer


class _Recorder:
    """A connection to a recorder that runs; None when it is too busy to take one."""

    def __init__(self, name: str, connection: socket.socket | None, note: dict[str, Any]) -> None:
        self.name = name
        self._connection = connection
        self._note = note

    def ask(self, verb: str, text: str = "", options: dict[str, Any] | None = None) -> None:
        """Send a request; it fits into what the system keeps for the recorder, so that this does not wait."""
        # Where it does not arrive, `answer` tells that none comes.
        with suppress(OSError):
            if self._connection is not None:
                more = {name: value for name, value in (("text", text), ("options", options)) if value}
                self._connection.sendall(as_line({"verb": verb, **more}))

    def answer(self, gives_up_at_s: float) -> dict[str, Any]:
        """`TimeoutError` when none comes by then (monotonic), another `OSError` when none will come."""
        if self._connection is None:
            raise TimeoutError
        received = bytearray()
        while not received.endswith(b"\n"):
            # What has arrived is read even when the time went to another recorder.
            self._connection.settimeout(max(0.001, gives_up_at_s - time.monotonic()))
            part = self._connection.recv(_RECEIVED_BYTES)
            if not part or len(received) > _ANSWER_LIMIT_BYTES:
                raise ConnectionError("the answer is not whole")
            received += part
        try:
            answer = json.loads(received)
        except (ValueError, RecursionError) as error:
            raise ConnectionError("the answer is none") from error
        if not isinstance(answer, dict):
            raise ConnectionError("the answer is none")
        return {"name": self.name, **answer}

    def as_noted(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "state": "not_answering",
            "path": self._note.get("recording"),
            "pid": self._note.get("pid"),
        }


@contextmanager
def _recorders(path: Path | None, gives_up_at_s: float) -> Iterator[list[_Recorder]]:
    """All recorders of this user that run, connected."""
    with ExitStack() as opened:
        try:
            folder = opened.enter_context(RuntimeFolder(default_folder() if path is None else path))
        except FileNotFoundError:
            yield []
            return
        found = []
        for name in folder.names():
            try:
                connection = unix_socket.connect(folder.address(name), gives_up_at_s)
            except ConnectionRefusedError:
                folder.clean(name)
            except TimeoutError:
                found.append(_Recorder(name, None, folder.note(name)))
            except OSError:
                continue  # it has just ended, or is not this user's
            else:
                found.append(_Recorder(name, opened.enter_context(connection), folder.note(name)))
        yield found


def none_running(name: str | None = None, names: str = "") -> CaptureError:
    """The error for a recorder that is not there, or for none at all; `names` are those that are."""
    if name is None or not names:
        return CaptureError("no recorder is running", "start one with capture record, or capture replay for clips")
    return CaptureError(f"no recorder called {name!r} is running", f"there is {names}")


def _chosen(recorders: list[_Recorder], name: str | None) -> _Recorder:
    names = ", ".join(recorder.name for recorder in recorders)
    if name is not None:
        for recorder in recorders:
            if recorder.name == name:
                return recorder
    if name is not None or not recorders:
        raise none_running(name, names)
    if len(recorders) > 1:
        raise UsageError(f"several recorders run ({names})", "name one with --name")
    return recorders[0]
