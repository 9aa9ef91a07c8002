"""Defines the options of export and share. Imports nothing heavy."""

from __future__ import annotations

from argparse import ArgumentParser

__all__ = ["add_no_limits", "fill_export", "fill_share"]

#: What FILE may be.
_NAMES = "the recording: a path, last, or a number from capture list"


def fill_export(parser: ArgumentParser) -> None:
    # Imported here: the other verbs do not need it.
    from capture.recordings.presets import PRESETS

    add = parser.add_argument
    add("file", metavar="FILE", nargs="?", default="last", help=f"{_NAMES} (%(default)s)")
    add("output", metavar="OUTPUT", nargs="?", help="the new file (FILE-PRESET.mp4 and the like, beside the recording)")
    add("-o", "--output", metavar="OUTPUT", dest="output_option", help="the same as OUTPUT")
    add("--for", metavar="PRESET", dest="preset", choices=PRESETS, help=f"the preset: {', '.join(PRESETS)}")
    add("--list", action="store_true", help="describe the presets")
    add("--max-size", metavar="SIZE", help="the largest file, like 16MB (the limit of the preset)")
    add("--loudness", metavar="LUFS", help="normalise the sound to this loudness, like -16LUFS")
    add(
        "--tracks",
        metavar="WHICH",
        help="audio tracks, counted from 1: 1, 1,2 (one by one), 1+2 (mixed), mix, all, none (mix; for editors: all)",
    )
    add("--scale", metavar="WxH", help="fit the picture into this size; WxH! forces it")
    add_no_limits(parser)


def fill_share(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("file", metavar="FILE", nargs="?", default="last", help=f"{_NAMES} (%(default)s)")
    add(
        "--to",
        metavar="WHERE",
        nargs="+",
        help="clipboard: to paste it into a chat or a mail; email: a draft with the file attached; folder: the file "
        "manager; app NAME: a program; command 'PROGRAM {path}': a command line, without a shell",
    )
    add("--size-limit", metavar="SIZE", help="if the file is larger, export it first so that it fits, like 16MB")
    add_no_limits(parser)


def add_no_limits(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--no-limits", action="store_true", help="read a file however long that takes; use it for files you trust"
    )
