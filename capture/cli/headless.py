"""The verb headless: runs a program on a private virtual desktop and records it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from capture.cli.controls import under_control
from capture.cli.parser import Arguments, Verb
from capture.cli.record import conclude, end_process, terminal_of
from capture.cli.slim_numpy import load_numpy
from capture.errors import UsageError

if TYPE_CHECKING:
    from capture.cli.terminal import Terminal
    from capture.events import Send
    from capture.virtual.desk import VirtualDesk

__all__ = ["VERBS"]

#: The `stopped_by` of a recording that its command ended.
COMMAND_ENDED: Final = "command_ended"

#: What shells add to the number of the signal that killed a program.
_KILLED: Final = 128


def _headless(arguments: Arguments) -> int:
    load_numpy()
    from capture.cli.after_save import AfterSave, command_after_save
    from capture.cli.options import settings_of
    from capture.config.store import load
    from capture.parsing import parse_geometry
    from capture.remote.server import RemoteControl
    from capture.session.session import Session
    from capture.virtual.desk import VirtualDesk

    if not arguments.command:
        raise UsageError("headless has no command to run", "write it after --, as in capture headless -- glxgears")
    config = load()
    after_words = command_after_save(arguments, config)
    # The mouse is where the server put it, not where a person did.
    settings = replace(settings_of(arguments, config), cursor_once_moved=True)
    settings.check()
    width, height = parse_geometry(arguments.size)
    terminal = terminal_of(arguments, "Ctrl+C stops")
    # Created outside the desk: what follows a recording is the user's own, too.
    after = AfterSave.of(after_words, config, lambda line: terminal.complain(f"capture: {line}"))
    desk = VirtualDesk(width, height, kind=arguments.desk)
    program = _Program(desk, arguments.command)
    # Created outside the desk: commands come from the user's own session, not from the desk's.
    remote = RemoteControl(settings.name)
    session = Session(
        settings,
        emit=after.before(terminal),
        observers=[remote],
        on_ready=lambda: program.start(session.send),
        progress_interval_s=terminal.progress_interval_s,
    )
    with under_control(session, remote, terminal, ends_process=arguments.ends_process), desk, _on_desk(desk):
        for line in desk.cleaned_up:
            terminal.say(line)
        summary = session.run()
        # A command that the recording outlives is ended with the desk; how says nothing about the command.
        ended_first = summary is None or summary.stopped_by == COMMAND_ENDED
        command_exit_code = program.exit_code() if ended_first else None
        exit_code = conclude(arguments, terminal, session, summary, {"exit_code": command_exit_code})
    after.close(session.summaries)
    if settings.wait_for_window and summary is None and session.error is None and command_exit_code is not None:
        terminal.complain(f"capture: {arguments.command[0]} ended before it opened a window")
        exit_code = 1
    if command_exit_code:
        exit_code = _pass_on(command_exit_code, exit_code, arguments, terminal)
    return end_process(arguments, exit_code)


def _pass_on(command_exit_code: int, exit_code: int, arguments: Arguments, terminal: Terminal) -> int:
    """Say how the command failed, and return the exit code of capture; `exit_code` is that of the recording."""
    ending = f"{arguments.command[0]} ended with exit code {command_exit_code}{_signal_words(command_exit_code)}"
    if exit_code != 0:
        terminal.complain(ending)
        return exit_code
    ending += "; the recording itself succeeded"
    if arguments.ignore_exit_code:
        terminal.say(ending)
        return 0
    terminal.complain(ending)
    return command_exit_code


def _signal_words(exit_code: int) -> str:
    """Name the signal that an exit code above 128 stands for; a command may choose such a code itself."""
    try:
        return f" ({signal.Signals(exit_code - _KILLED).name})"
    except ValueError:
        return ""


@contextmanager
def _on_desk(desk: VirtualDesk) -> Iterator[None]:
    """Replace the environment of this process by the desk's inside the block, so that its sources find the desk."""
    before = dict(os.environ)
    wanted = desk.environment_of(before)
    if "WAYLAND_DISPLAY" in wanted:
        # A look at the X server for X11 programs would start it.
        wanted.pop("DISPLAY", None)
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
            send(Command.QUIT, COMMAND_ENDED)

        threading.Thread(target=watch, name="command", daemon=True).start()

    def exit_code(self) -> int | None:
        """Return the command's exit code, in the form that shells use for signals; None while it runs."""
        code = None if self._process is None else self._process.poll()
        return _KILLED - code if code is not None and code < 0 else code


VERBS: Final[dict[str, Verb]] = {
    "headless": _headless,
}
