"""What is shown and played while a recorder is measured; each program runs until it is ended or `--seconds` are over.

A program prints the line `ready` when its picture is up and, unless it begins in silence, its sound is heard.
"""

from __future__ import annotations

import argparse
import math

__all__ = ["announce_ready", "argument_parser", "rate_parser"]


def argument_parser(description: str | None) -> argparse.ArgumentParser:
    """The options that all programs share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seconds", type=float, default=math.inf, help="how long to go on (default: until ended)")
    return parser


def rate_parser(description: str | None) -> argparse.ArgumentParser:
    """The same, and how often a second the picture is drawn."""
    parser = argument_parser(description)
    parser.add_argument("--fps", type=float, default=30.0, help="pictures drawn a second (default: 30)")
    return parser


def announce_ready() -> None:
    """Tell whoever started this program that recording may begin."""
    print("ready", flush=True)
