"""Figures for people and for programs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["add_json_option", "announce", "publish", "table"]


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """`--json` puts the figures on standard output, and people's text on standard error; `--json FILE` into a file."""
    parser.add_argument("--json", nargs="?", const="-", metavar="FILE", help="the figures as JSON, into FILE if given")


def announce(text: str) -> None:
    """Tell people what is going on."""
    print(text, file=sys.stderr, flush=True)


def publish(text: str, figures: dict[str, Any], destination: str | None) -> None:
    """Print the text, and the figures to where `--json` says."""
    encoded = json.dumps(figures, indent=2)
    if destination == "-":
        announce(text)
        print(encoded)
        return
    print(text)
    if destination is not None:
        Path(destination).write_text(encoded + "\n", "utf-8")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as needed, the first to the left and all others to the right."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]

    def laid_out(line: Sequence[str]) -> str:
        first, *others = (
            text.ljust(width) if not column else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        return "  ".join((first, *others)).rstrip()

    return "\n".join([laid_out(head), "  ".join("-" * width for width in widths), *map(laid_out, rows)])
