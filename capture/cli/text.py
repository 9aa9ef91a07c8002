"""What a verb prints, with nothing in it that a terminal could obey.

A stream can be closed, its disk full, its reader gone. That fails a verb only where its output was what the user asked
for: `write` and `write_json` raise, `say` and `complain` do not.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from capture.cli.parser import Arguments
from capture.errors import OutputError
from capture.system.standard_streams import fill_closed

__all__ = [
    "as_argument",
    "complain",
    "counted",
    "ending_of",
    "fail",
    "open_streams",
    "printable",
    "say",
    "settle",
    "to_standard_output",
    "write",
    "write_json",
]


def counted(number: int, thing: str) -> str:
    """Return the number with the noun: `1 recording`, `2 recordings`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def ending_of(returncode: int) -> str:
    """Return how a command ended that failed, from what `subprocess` says: negative for a signal."""
    return f"was ended by signal {-returncode}" if returncode < 0 else f"ended with exit code {returncode}"


def open_streams() -> None:
    """Make the standard streams usable, also those that were closed when the process started."""
    fill_closed()
    # Python has no object for a stream that was closed.
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - it stays open
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115


def fail(message: str, exit_code: int, debug: bool) -> int:
    """Print an error, with `debug` after its traceback, and return `exit_code`."""
    if debug:
        # Imported here, as by every module that a recording loads before it begins: little is reported.
        import traceback

        with suppress(OSError):
            traceback.print_exc()
    complain(message)
    return exit_code


def complain(message: str) -> None:
    """Write what went wrong to standard error."""
    with suppress(OSError):
        print(f"capture: {printable(message)}", file=sys.stderr, flush=True)


def say(arguments: Arguments, line: str) -> None:
    """Print a line on standard output, unless `--json` or `--quiet` was given; the exit code says it too."""
    if not (arguments.json or arguments.quiet):
        with suppress(OSError):
            print(printable(line), flush=True)


def write(line: str) -> None:
    """Write a line that the user asked for. Raises `OutputError` or `BrokenPipeError` when that fails."""
    with to_standard_output():
        print(line)


def write_json(content: dict[str, Any]) -> None:
    """Write the one JSON object of a verb. Raises `OutputError` when that fails."""
    # Imported here: the help does not need it.
    from capture.strict_json import to_json

    try:
        write(to_json(content))
    except BrokenPipeError as error:
        raise _unwritten(error) from error


@contextmanager
def to_standard_output() -> Iterator[None]:
    """Deliver what is printed inside the block. Raises `OutputError` or `BrokenPipeError` when that fails."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader has all it wants, as after `| head`.
        raise
    except OSError as error:
        raise _unwritten(error) from error


def settle() -> None:
    """Drop what the standard streams could not take: Python would try again at its end, and fail then."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            _drop(stream)


def _drop(stream: TextIO) -> None:
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def _unwritten(error: OSError) -> OutputError:
    reason = "it is closed" if error.errno == errno.EBADF else error.strerror or str(error)
    return OutputError(f"standard output cannot be written ({reason})", "send it to a file or a pipe")


def printable(text: str) -> str:
    """Return `text` without control codes: names from outside must not drive the terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)


def as_argument(path: str) -> str:
    """Return `path` quoted for a shell; unprintable bytes become escapes, in a form that bash and zsh read."""
    # Imported here: the help does not need them.
    import shlex
    import string

    if path.isprintable():
        return shlex.quote(path)
    plain = {ord(char) for char in string.digits + string.ascii_letters + "/._- "}
    return "$'" + "".join(chr(byte) if byte in plain else f"\\x{byte:02x}" for byte in os.fsencode(path)) + "'"
