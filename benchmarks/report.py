"""Prints figures as a table for people and as JSON for programs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from capture.strict_json import to_json

__all__ = ["add_json_option", "announce", "publish", "table"]


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add `--json`: figures go to standard output and text to standard error; `--json FILE` writes figures to FILE."""
    parser.add_argument(
        "--json", nargs="?", const="-", metavar="FILE", help="write the figures as JSON, to FILE if given"
    )


def announce(text: str) -> None:
    """Print progress to standard error."""
    print(text, file=sys.stderr, flush=True)


def publish(text: str, figures: dict[str, Any], destination: str | None) -> None:
    """Print the text, and write the figures to the destination given by `--json`."""
    encoded = to_json(figures, indent=2)
    if destination == "-":
        announce(text)
        print(encoded)
        return
    print(text)
    if destination is not None:
        Path(destination).write_text(encoded + "\n", "utf-8")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table: the first column is left-aligned, all others right-aligned."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]

    def laid_out(line: Sequence[str]) -> str:
        first, *others = (
            text.ljust(width) if not column else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        return "  ".join((first, *others)).rstrip()

    return "\n".join([laid_out(head), "  ".join("-" * width for width in widths), *map(laid_out, rows)])
