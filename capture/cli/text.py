"""Prints what verbs say, without control codes."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING

from capture.cli.parser import Arguments

if TYPE_CHECKING:
    pass

__all__ = ["fail", "printable", "say"]


def fail(message: str, exit_code: int, debug: bool) -> int:
    """Print an error, with `debug` after its traceback, and return `exit_code`."""
    if debug:
        traceback.print_exc()
    print(f"capture: {printable(message)}", file=sys.stderr)
    return exit_code


def say(arguments: Arguments, line: str) -> None:
    """Print a line on standard output, unless `--json` or `--quiet` was given."""
    if not (arguments.json or arguments.quiet):
        print(printable(line))


def printable(text: str) -> str:
    """Return `text` without control codes: names from outside must not drive the terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)
