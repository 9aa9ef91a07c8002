"""The verb headless: runs a program on a private virtual desktop and records it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from capture.cli.controls import under_control
from capture.cli.parser import Arguments, Verb
from capture.cli.record import conclude, end_process, load_numpy, terminal_of
from capture.errors import UsageError

if TYPE_CHECKING:
    from capture.events import Send
    from capture.virtual.desk import VirtualDesk

__all__ = ["VERBS"]


def _headless(arguments: Arguments) -> int:
    load_numpy()
    from capture.cli.options import settings_of
    from capture.config.store import load
    from capture.parsing import parse_geometry
    from capture.remote.server import RemoteControl
    from capture.session.session import Session
    from capture.virtual.desk import VirtualDesk

    if not arguments.command:
        raise UsageError("headless has no command to run", "write it after --, as in capture headless -- glxgears")
    settings = settings_of(arguments, load())
    settings.check()
    width, height = parse_geometry(arguments.size)
    terminal = terminal_of(arguments, "Ctrl+C stops")
    desk = VirtualDesk(width, height)
    program = _Program(desk, arguments.command)
    # Created outside the desk: commands come from the user's own session, not from the desk's.
    remote = RemoteControl(settings.name)
    session = Session(
        settings,
        emit=terminal,
        observers=[remote],
        on_ready=lambda: program.start(session.send),
        progress_interval_s=terminal.progress_interval_s,
    )
    with under_control(session, remote, terminal, ends_process=arguments.ends_process), desk, _on_desk(desk):
        for line in desk.cleaned_up:
            terminal.say(line)
        summary = session.run()
        exit_code = conclude(arguments, terminal, session, summary, {"exit_code": program.exit_code()})
    return end_process(arguments, exit_code)


@contextmanager
def _on_desk(desk: VirtualDesk) -> Iterator[None]:
    """Replace the environment of this process by the desk's inside the block, so that its sources find the desk."""
    before = dict(os.environ)
    wanted = desk.environment_of(before)
    try:
        os.environ.clear()
        os.environ.update(wanted)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class _Program:
    """Runs the command of `headless`; its end stops the recording."""

    def __init__(self, desk: VirtualDesk, command: Sequence[str]) -> None:
        self._desk = desk
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, send: Send) -> None:
        from capture.events import Command

        # Standard output is reserved for the JSON.
        process = self._process = self._desk.run(self._command, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno())

        def watch() -> None:
            process.wait()
            send(Command.QUIT, "command_ended")

        threading.Thread(target=watch, name="command", daemon=True).start()

    def exit_code(self) -> int | None:
        """Return the command's exit code; None if it still runs because the recording was stopped first."""
        return None if self._process is None else self._process.poll()


VERBS: Final[dict[str, Verb]] = {
    "headless": _headless,
}
