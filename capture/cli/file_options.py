"""Defines the options of the verbs for saved recordings. Imports nothing heavy."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Final

from capture.cli.descriptions import (
    BACKUP,
    CHECK,
    CONVERT,
    EXPORT,
    IMPORT,
    JOIN,
    LIST,
    OPEN,
    PLAY,
    REPAIR,
    SHARE,
    TRANSCRIBE,
    TRIM,
)
from capture.cli.export_options import add_no_limits, fill_export, fill_share
from capture.formats import CLIP_FORMATS, CONTAINERS

__all__ = ["FILE_VERBS"]

#: What `import` converts to.
_NOTE_FORMATS: Final = tuple(form for form in CLIP_FORMATS if form in CONTAINERS and not CONTAINERS[form].holds_video)

#: What FILE may be.
_NAMES: Final = "the recording: a path, last, or a number from capture list"


def _fill_list(parser: ArgumentParser) -> None:
    # Imported here: the other verbs do not need it.
    from capture.recordings.overview import KINDS

    add = parser.add_argument
    _add_times(parser, "recorded")
    add("--kind", action="append", choices=KINDS, help="only these; repeat the option for more")
    add("--text", metavar="TEXT", help="only those with TEXT in their title, file name or transcript")
    add("-n", "--newest", metavar="N", type=int, help="only the newest N")


def _add_times(parser: ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--since", metavar="WHEN", help=f"{what} from then on: today, yesterday, 7d, 2h, 2026-11-01, 14:30"
    )
    parser.add_argument("--until", metavar="WHEN", help=f"{what} up to then, that day or minute included")


def _fill_import(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("paths", metavar="FOLDER|ZIP", nargs="+", help="a folder with everything in it, or an exported chat")
    _add_times(parser, "sent")
    add("-n", "--newest", metavar="N", type=int, help="only the newest N")
    add("--copy", action="store_true", help="copy them into your recordings folder")
    add("--format", choices=_NOTE_FORMATS, help="convert what is copied")


def _fill_transcribe(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("file", metavar="FILE", help=_NAMES)
    add("--model", metavar="FILE", help="the speech model (default: the setting speech.model)")
    add("--language", metavar="CODE", help="the language spoken, like en or de (default: speech.language, else auto)")
    add("--track", metavar="N", type=int, help="only this audio track, counted from 1 (default: all, mixed)")
    add("--embed", action="store_true", help="also write a copy with a subtitle track (FILE-subtitled.mp4)")
    add("--overwrite", action="store_true", help="replace earlier texts and subtitles")
    add_no_limits(parser)


def _fill_backup(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "files",
        metavar="FILE",
        nargs="*",
        help="also these, wherever they are: paths, last, or numbers from capture list",
    )
    add("--now", action="store_true", help="also try again what failed a moment ago")
    add("--status", action="store_true", help="only show what has a copy and what waits")


def _fill_play(parser: ArgumentParser) -> None:
    add = parser.add_argument
    _add_file(parser)
    add("--from", metavar="T", dest="from_time", help="start there: 90, 90s, 1m30s, 1:30")
    add("--speed", metavar="N", default="1", help="1.5 or 2, for instance; the pitch stays (%(default)s)")
    add("--track", metavar="N", type=int, help="only this audio track, counted from 1 (default: all, mixed)")
    add("--sound", action="store_true", help="play the sound of a recording with a picture here")


def _add_file(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", nargs="?", default="last", help=f"{_NAMES} (%(default)s)")


def _fill_repair(parser: ArgumentParser) -> None:
    parser.add_argument("path", metavar="FILE|FOLDER", help=f"{_NAMES}; or a folder of recordings")
    parser.add_argument("-o", "--output", metavar="OUTPUT", help="write a new file and leave the original unchanged")
    add_no_limits(parser)


def _fill_convert(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help=_NAMES)
    text = "fill every slot of 1/N s with a frame (30); nothing is encoded again"
    parser.add_argument("--constant-fps", metavar="N", nargs="?", const="30", required=True, help=text)
    parser.add_argument("-o", "--output", metavar="OUTPUT", help="the new file (FILE-30fps.mp4 and the like)")
    add_no_limits(parser)


def _fill_trim(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("file", metavar="FILE", help=_NAMES)
    add("--from", metavar="T", dest="from_time", help="keep what is from there on: 90, 90s, 1m30s, 1:30 (its start)")
    add("--to", metavar="T", dest="to_time", help="keep what is up to there (its end)")
    add("--cut", metavar="T-T", action="append", help="leave out what is between two times; repeat the option for more")
    add("--silence", action="store_true", help="shorten every long silence to --rest, the picture with it")
    add("--rest", metavar="T", help="what --silence leaves of a silence longer than this (1s)")
    add("--sound-threshold", metavar="LEVEL", help="level below which it is silent (-50dB)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("-o", "--output", metavar="OUTPUT", help="the new file (FILE-trimmed.mp4 and the like)")
    where.add_argument("--in-place", action="store_true", help="replace the recording, once the new file is checked")
    add_no_limits(parser)


def _fill_join(parser: ArgumentParser) -> None:
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="two or more, in their order: paths, last, or numbers from capture list",
    )
    parser.add_argument("-o", "--output", metavar="OUTPUT", help="the new file (FILE-joined.mp4 and the like)")
    add_no_limits(parser)


def _fill_check(parser: ArgumentParser) -> None:
    parser.add_argument(
        "files", metavar="FILE", nargs="+", help="the recordings: paths, last, or numbers from capture list"
    )
    add_no_limits(parser)


#: The verbs for saved recordings: the name, the help text, what adds the options, and the description.
FILE_VERBS: Final = (
    ("list", "list the saved recordings, newest first", _fill_list, LIST),
    ("play", "play a recording", _fill_play, PLAY),
    ("open", "show a recording in the file manager", _add_file, OPEN),
    ("import", "list and copy the voice notes of messengers", _fill_import, IMPORT),
    ("transcribe", "write what is said as text and subtitles", _fill_transcribe, TRANSCRIBE),
    ("backup", "copy recordings to a remote storage", _fill_backup, BACKUP),
    ("repair", "fix a recording that was cut off by a crash", _fill_repair, REPAIR),
    ("convert", "give a recording a constant frame rate", _fill_convert, CONVERT),
    ("trim", "keep a part of a recording, or cut parts out of it", _fill_trim, TRIM),
    ("join", "join several recordings into one", _fill_join, JOIN),
    ("export", "copy a recording in a form that a messenger, a browser or an editor accepts", fill_export, EXPORT),
    ("share", "put a recording on the clipboard, into a mail, into a program", fill_share, SHARE),
    ("check", "check that a recording is complete", _fill_check, CHECK),
)
