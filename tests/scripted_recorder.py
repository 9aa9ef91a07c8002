"""A recorder for the tests of the remote control: a real server in front of a scripted session."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from capture.events import Answer, Command, Request
from capture.remote.server import RemoteControl

STATUS: Final = {"ok": True, "state": "recording", "path": "/talk.mp4", "elapsed_s": 12.34, "size_bytes": 1_234_567}

#: Returns the answer to a request; None to answer it later.
Script = Callable[[Request], dict[str, Any] | None]


class ScriptedSession:
    """Stands in for the session: keeps the requests it was sent and answers them by a script."""

    def __init__(self, script: Script) -> None:
        self.requests: list[Request] = []
        self._script = script

    def __call__(
        self,
        command: Command,
        given_by: str,
        *,
        at_s: float | None = None,
        text: str = "",
        answer: Answer | None = None,
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        request = Request(command, given_by, 0.0 if at_s is None else at_s, text, answer, options)
        self.requests.append(request)
        content = self._script(request)
        if content is not None:
            self.answer(request, content)

    @staticmethod
    def answer(request: Request, content: dict[str, Any]) -> None:
        assert request.answer is not None
        request.answer(content)

    def of(self, command: Command) -> list[Request]:
        return [request for request in self.requests if request.command is command]


def only_status(request: Request) -> dict[str, Any] | None:
    """Answer `STATUS` to status requests, and leave all others open."""
    return STATUS if request.command is Command.STATUS else None


@contextmanager
def recorder(folder: Path, script: Script = only_status, name: str | None = None) -> Iterator[ScriptedSession]:
    """Run a remote control in `folder`, in front of a session that answers by `script`."""
    control, session = RemoteControl(name, folder=folder), ScriptedSession(script)
    control.start(session)
    try:
        yield session
    finally:
        control.stop()
