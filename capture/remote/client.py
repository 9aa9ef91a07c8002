"""The client of the remote control: finds the running recorders and sends them commands.

It imports little, so that it starts fast: a desktop shortcut may run it.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from capture.errors import CaptureError, UsageError
from capture.remote.protocol import TEXT_LIMIT, as_line, cleaned
from capture.remote.routing import KEEP_BUFFER, choose
from capture.remote.runtime_folder import RuntimeFolder, check_name, default_folder
from capture.system import unix_socket

__all__ = ["ask", "not_running_error", "quit_all", "running"]

#: A recorder answers within milliseconds, or a tenth of a second when it is busy.
STATUS_LIMIT_S: Final = 1.0

#: About how long a person waits before checking what is wrong.
ANSWER_LIMIT_S: Final = 10.0

#: Stopping finishes the file; on a slow disk that takes as long as writing what is still in memory.
END_LIMIT_S: Final = 120.0

_ENDING_VERBS: Final = frozenset({"stop", "toggle", "discard", "clip"})

#: An answer may list every mark and event of a long recording.
_ANSWER_LIMIT_BYTES: Final = 1 << 24

_RECEIVED_BYTES: Final = 65_536


def running(folder: Path | None = None) -> list[dict[str, Any]]:
    """Return the answer of each of this user's recorders to `status`, sorted by name, and clean up after crashed ones.

    Takes at most a second, however many there are. A recorder that has not answered by then appears with the state
    `not_answering` and the path and pid from its note. Raises `NotReadyError` when the runtime folder is not safe.
    """
    gives_up_at_s = time.monotonic() + STATUS_LIMIT_S
    with _recorders(folder, gives_up_at_s) as recorders:
        return [status for _, status in _statuses(recorders, gives_up_at_s)]


def quit_all(*, timeout_s: float = END_LIMIT_S, folder: Path | None = None) -> list[dict[str, Any]]:
    """End all of this user's recorders and return their answers, sorted by name: recordings are finished.

    The answer of one that does not end within `timeout_s` has `ok` false and an `error`. Raises `NotReadyError` when
    the runtime folder is not safe.
    """
    gives_up_at_s = time.monotonic() + timeout_s
    found = []
    with _recorders(folder, gives_up_at_s) as recorders:
        for recorder in recorders:
            recorder.ask("quit")
        for recorder in recorders:
            try:
                found.append(recorder.answer(gives_up_at_s))
            except TimeoutError:
                late = f"the recorder {recorder.name!r} did not answer within {timeout_s:g} s"
                found.append({"name": recorder.name, "ok": False, "error": late})
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
    """Send a command to the recorder called `name`, or to the one that can obey it, and return its answer.

    Raises `CaptureError` when there is no such recorder, when it refuses, or when it has not answered after `timeout_s`
    (by default long enough for the verb). Raises `UsageError` when no name is given and several recorders can obey, and
    for an invalid name or text. Raises `NotReadyError` when the runtime folder is not safe.
    """
    if name is not None:
        check_name(name)
    if len(text) > TEXT_LIMIT:
        raise UsageError("the text is too long", f"use at most {TEXT_LIMIT} characters")
    if timeout_s is None:
        timeout_s = END_LIMIT_S if verb in _ENDING_VERBS else ANSWER_LIMIT_S
    gives_up_at_s = time.monotonic() + timeout_s
    with _recorders(folder, gives_up_at_s) as recorders:
        recorder = _chosen(verb, recorders, name)
        if verb == "stop" and name is None:
            options = {**(options or {}), KEEP_BUFFER: True}
        try:
            recorder.ask(verb, cleaned(text), options)
            answer = recorder.answer(gives_up_at_s)
        except TimeoutError:
            raise CaptureError(
                f"the recorder {recorder.name!r} did not answer within {timeout_s:g} s", "run capture status"
            ) from None
        except OSError as error:
            raise CaptureError(
                f"the recorder {recorder.name!r} ended before it answered", "run capture status"
            ) from error
    if not answer.get("ok"):
        kind = UsageError if answer.get("exit_code") == UsageError.exit_code else CaptureError
        raise kind(str(answer.get("error") or f"the recorder {recorder.name!r} refused"))
    return answer


class _Recorder:
    """A running recorder; `connection` is None when it was too busy to accept one, `note` what it wrote in its lock."""

    def __init__(self, name: str, connection: socket.socket | None, note: dict[str, Any]) -> None:
        self.name = name
        self._connection = connection
        self._note = note

    def ask(self, verb: str, text: str = "", options: dict[str, Any] | None = None) -> None:
        """Send a request. It fits into the socket's buffer, so this does not wait."""
        # If it does not arrive, `answer` raises the error.
        with suppress(OSError):
            if self._connection is not None:
                more = {name: value for name, value in (("text", text), ("options", options)) if value}
                self._connection.sendall(as_line({"verb": verb, **more}))

    def answer(self, gives_up_at_s: float) -> dict[str, Any]:
        """Return the answer.

        Raises `TimeoutError` when there is none by `gives_up_at_s` (monotonic), another `OSError` when the connection
        broke or the answer is not valid.
        """
        if self._connection is None:
            raise TimeoutError
        received = bytearray()
        while not received.endswith(b"\n"):
            # At least 1 ms: an answer that has arrived is read even if another recorder used up the time.
            self._connection.settimeout(max(0.001, gives_up_at_s - time.monotonic()))
            part = self._connection.recv(_RECEIVED_BYTES)
            if not part or len(received) > _ANSWER_LIMIT_BYTES:
                raise ConnectionError("the answer is incomplete")
            received += part
        try:
            answer = json.loads(received)
        except (ValueError, RecursionError) as error:
            raise ConnectionError("the answer is not valid") from error
        if not isinstance(answer, dict):
            raise ConnectionError("the answer is not valid")
        return {"name": self.name, **answer}

    def as_noted(self) -> dict[str, Any]:
        """Return a status made from the recorder's note, for one that does not answer."""
        return {
            "name": self.name,
            "state": "not_answering",
            "path": self._note.get("recording"),
            "pid": self._note.get("pid"),
        }


@contextmanager
def _recorders(path: Path | None, gives_up_at_s: float) -> Iterator[list[_Recorder]]:
    """Connect to all running recorders of this user; the connections are closed when the context ends."""
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
                continue  # it has just ended, or belongs to another user
            else:
                found.append(_Recorder(name, opened.enter_context(connection), folder.note(name)))
        yield found


def not_running_error(name: str | None = None, names: str = "") -> CaptureError:
    """Return the error for no running recorder, or none called `name`; `names` lists those that run."""
    if name is None or not names:
        return CaptureError("no recorder is running", "start one with capture record, or capture replay for clips")
    return CaptureError(f"no recorder called {name!r} is running", f"choose one of {names}")


def _statuses(recorders: Sequence[_Recorder], gives_up_at_s: float) -> list[tuple[_Recorder, dict[str, Any]]]:
    """Return the recorders that still run, each with its answer to `status`."""
    for recorder in recorders:
        recorder.ask("status")
    found = []
    for recorder in recorders:
        try:
            answer = recorder.answer(gives_up_at_s)
        except TimeoutError:
            answer = recorder.as_noted()
        except OSError:
            continue  # it has just ended
        if answer.get("ok", True):
            found.append((recorder, answer))
    return found


def _chosen(verb: str, recorders: Sequence[_Recorder], name: str | None) -> _Recorder:
    """Return the recorder called `name`, or else the one that can obey `verb`."""
    if name is not None:
        for recorder in recorders:
            if recorder.name == name:
                return recorder
        raise not_running_error(name, ", ".join(recorder.name for recorder in recorders))
    if len(recorders) == 1:
        return recorders[0]
    found = _statuses(recorders, time.monotonic() + STATUS_LIMIT_S)
    if not found:
        raise not_running_error()
    return found[choose(verb, [status for _, status in found])][0]
