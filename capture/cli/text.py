"""What a verb prints, with nothing in it that a terminal could obey."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING

from capture.cli.parser import Arguments

if TYPE_CHECKING:
    pass

__all__ = ["fail", "printable", "say"]


def fail(message: str, exit_code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(f"capture: {printable(message)}", file=sys.stderr)
    return exit_code


def say(arguments: Arguments, line: str) -> None:
    if not (arguments.json or arguments.quiet):
        print(printable(line))


def printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
