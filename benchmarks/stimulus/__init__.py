"""Programs that show and play something while a recorder is measured, until they are stopped or `--seconds` are over.

A program prints the line `ready` when its picture is visible and its sound is audible, unless it starts in silence.
"""

from __future__ import annotations

import argparse
import math

__all__ = ["announce_ready", "argument_parser", "rate_parser"]


def argument_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that all programs share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seconds", type=float, default=math.inf, help="how long to run (default: until stopped)")
    return parser


def rate_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser that also has the frame rate."""
    parser = argument_parser(description)
    parser.add_argument("--fps", type=float, default=30.0, help="pictures drawn per second (default: 30)")
    return parser


def announce_ready() -> None:
    """Tell the parent process that recording may begin."""
    print("ready", flush=True)
