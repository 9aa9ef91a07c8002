"""What can be written on the command line, and the settings that it means.

Parsing loads nothing heavy, so that `capture --help` answers at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn

from capture.errors import UsageError

if TYPE_CHECKING:
    pass

__all__ = ["SELECT", "Arguments", "Verb", "before_command", "parse"]

Arguments = argparse.Namespace

#: What a verb does with its arguments; returns the exit code.
Verb = Callable[[Arguments], int]

#: In place of a region or a window: it is shown with the mouse.
SELECT: Final = "select"


class _Parser(argparse.ArgumentParser):
    """Reports a mistake as the rest of the program does: one line, exit code 2.

    `fill` adds what it knows beside its `parents`, when it is to parse: of many verbs one is wanted.
    """

    def __init__(self, *, fill: Callable[[_Parser], None] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._fill = fill

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        fill, self._fill = self._fill, None
        if fill is not None:
            fill(self)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, f"see {self.prog} --help")


def before_command(given: Sequence[str]) -> Sequence[str]:
    """The part of the line that is ours: what stands behind `--` belongs to the command of `headless`."""
    return given[: given.index("--")] if "--" in given else given


def parse(given: list[str]) -> Arguments:
    """The command line `given`, in words; `verb` says what is to be done. Raises `UsageError`."""
    own = _with_levels_joined(before_command(given))
    # As defaults of the parser they would undo a flag that stands before the verb.
    arguments = _parser().parse_args(own, Arguments(json=False, quiet=False, debug=False))
    arguments.command = given[len(before_command(given)) + 1 :]
    if arguments.command and arguments.verb != "headless":
        raise UsageError(f"{arguments.command[0]!r} stands behind --", "only headless runs a command")
    return arguments


def _with_levels_joined(own: Sequence[str]) -> list[str]:
    """The line with `--loudness -16LUFS` as one word: argparse takes what begins with a minus for another option."""
    joined: list[str] = []
    for word in own:
        if joined and joined[-1].startswith("--") and "=" not in joined[-1] and word[:1] == "-" and word[1:2].isdigit():
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _parser() -> _Parser:
    everywhere = _Parser(add_help=False)
    for flag, text in (
        ("--json", "print one JSON object on standard output, everything else on standard error"),
        ("--quiet", "say nothing but what goes wrong"),
        ("--debug", "show where an error came from"),
    ):
        everywhere.add_argument(flag, action="store_true", default=argparse.SUPPRESS, help=text)
    parser = _Parser(
        prog="capture",
        description="Record the screen and what the computer is playing.",
        epilog="capture VERB --help tells more of each.",
        parents=[everywhere],
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)

    def add(name: str, text: str, fill: Callable[[_Parser], None] | None = None, **options: Any) -> None:
        verbs.add_parser(name, parents=[everywhere], help=text, fill=fill, **options)

    add("record", "record until stopped", _fill_record, description=_RECORD)
    add("note", "record a voice note, from its first word to its last", _fill_note, description=_NOTE)
    add("standby", "wait, ready to record at a key", _fill_standby, description=_STANDBY)
    add("replay", "keep the last minute, to be saved by a key", _fill_replay, description=_REPLAY)
    add("clip", "save what has just happened", _fill_clip, description=_CLIP)
    usage = "capture headless [options] [OUTPUT] -- COMMAND..."
    text = "run a command on a private virtual desktop and record that"
    add("headless", text, _fill_headless, description=_HEADLESS, usage=usage)
    for name, text in (
        ("devices", "list what there is to record"),
        ("doctor", "tell whether recording will work, and what to do if not"),
    ):
        add(name, text, description=f"{text.capitalize()}.")
    add("repair", "make an ordinary file of a recording that was cut off", _fill_repair, description=_REPAIR)
    add("check", "open a recording and tell whether it is whole", _fill_check)
    for name, text, more in _REMOTE_VERBS:
        fill = _fill_mark if name == "mark" else _add_whose
        add(name, text, fill, description=f"{text[0].upper()}{text[1:]}.{more}")
    usage = "capture config [NAME [VALUE ... | --unset]]\n       capture config autostart on|off|status"
    add("config", "show and change the settings", _fill_config, description=_CONFIG, usage=usage)
    return parser


def _fill_record(parser: _Parser) -> None:
    _add_output(parser)
    _add_picture_options(parser)
    _add_window(parser)
    _add_sound_options(parser)
    _add_recording_options(parser)
    _add_control_options(parser)


def _fill_note(parser: _Parser) -> None:
    _add_output(parser)
    _add_sound_options(parser)
    _add_recording_options(parser)
    _add_control_options(parser)
    parser.set_defaults(**_NO_PICTURE)


def _fill_standby(parser: _Parser) -> None:
    _add_waiting_options(parser)
    parser.add_argument("--replay", metavar="T", help="keep the last T as replay does")


def _fill_replay(parser: _Parser) -> None:
    _add_waiting_options(parser)
    parser.add_argument("--last", metavar="T", help="how much is kept (60s)")


def _fill_clip(parser: _Parser) -> None:
    add = parser.add_argument
    add("output", metavar="OUTPUT", nargs="?", help="the file to make; without it, a dated one")
    add("--last", metavar="T", help="how much of it (all that is kept)")
    add("--exact", action="store_true", help="begin exactly there, not up to 2 s before")
    add("--max-size", metavar="SIZE", help="encode it anew to fit, like 10MB")
    _add_renamed(
        parser,
        "--log",
        "--ledger",
        dest="ledger",
        action="store_true",
        help="write down what happened, in a file beside it",
    )
    add("--format", metavar="FORMAT", help="what to make of it: gif, webp, mp4, ogg, m4a")
    _add_whose(parser)


def _fill_headless(parser: _Parser) -> None:
    _add_output(parser)
    _add_picture_options(parser)
    _add_sound_options(parser)
    _add_recording_options(parser)
    parser.add_argument("--name", metavar="NAME", help=_NAME)
    parser.add_argument("--size", metavar="WxH", default="1920x1080", help="the desktop's size (%(default)s)")


def _fill_repair(parser: _Parser) -> None:
    parser.add_argument("path", metavar="FILE|FOLDER")
    parser.add_argument("--output", metavar="OUTPUT", help="make a new file instead, and leave the original alone")


def _fill_check(parser: _Parser) -> None:
    parser.add_argument("file", metavar="FILE")


def _fill_mark(parser: _Parser) -> None:
    _add_whose(parser)
    parser.add_argument("text", metavar="TEXT", nargs="?", default="", help="what to call the moment")


_RECORD = (
    "Record the screen and the internal audio until Ctrl+C, Ctrl+Alt+R or --duration. The extension of OUTPUT names "
    "the format: .mp4 .mov .mkv .webm with picture, .ogg .opus .m4a .mp3 .flac .wav for sound alone."
)
_HEADLESS = (
    "Run COMMAND on a virtual desktop with its own screen and sound, which nobody sees or hears, and record it until "
    "it ends. For machines without a screen."
)


_NOTE = (
    "Record sound alone, from when it begins to when it has ended, as messengers write their voice notes (Ogg/Opus). "
    "With --hold it records while a key is held instead."
)
_STANDBY = (
    "Open everything and wait: Ctrl+Alt+R, or capture toggle and stop from any terminal, begin and end recordings, as "
    "often as wanted, each in a file of its own. Between them nothing is encoded and nothing kept, unless --replay is "
    "given."
)
_REPLAY = (
    "Record into memory all the time and keep the last of it. Ctrl+Alt+C or capture clip saves it as a file; "
    "Ctrl+Alt+R begins and ends a recording besides."
)
_REPAIR = (
    "Make a recording that a crash cut off, or every one in a folder, an ordinary file. The original stays until the "
    "new one is checked."
)
_CONFIG = (
    "Show the settings, or one of them, or change it. `autostart on` begins what the setting autostart.verb says with "
    "every session, `autostart off` does so no more, `autostart status` tells."
)
_CLIP = "Save what the replay buffer of a running recorder holds, as a finished file."
_NAME = "what to call this recorder, when several run"

#: Verbs that act on a recorder which runs in another terminal, what they do, and what else is to be said of it.
_REMOTE_VERBS: Final = (
    (
        "status",
        "tell which recorders run, and how far they are",
        " When none runs the exit code is 1; with --json it is 0, and the list is empty.",
    ),
    ("stop", "end the recording and finish its file", " Returns when the file is finished."),
    ("pause", "leave out what comes now", ""),
    ("resume", "record again after a pause", ""),
    ("toggle", "pause, or resume what is paused", ""),
    ("discard", "end the recording and remove its file", ""),
    ("mark", "remember this moment in the recording", ""),
    ("preview", "play what was recorded so far, while it is paused", ""),
)

#: What `note` leaves out of the recording.
_NO_PICTURE = {
    "screen": "none",
    "region": None,
    "scale": None,
    "fps": "30",
    "constant_fps": False,
    "cursor": False,
    "show_clicks": False,
    "show_keys": False,
    "quality": "medium",
    "encoder": "auto",
}


def _add_renamed(parser: _Parser, name: str, old_name: str, **options: Any) -> None:
    """Add an option that had another name, which goes on working and is in no help."""
    option = parser.add_argument(name, **options)
    hidden = {**options, "dest": option.dest, "help": argparse.SUPPRESS, "default": argparse.SUPPRESS}
    parser.add_argument(old_name, **hidden)


def _add_output(parser: _Parser) -> None:
    parser.add_argument(
        "output", metavar="OUTPUT", nargs="?", help="the file to make; without it, a dated one in the recordings folder"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUTPUT if it exists")
    _add_renamed(
        parser,
        "--log",
        "--ledger",
        dest="ledger",
        action="store_true",
        help="write down what happens, in OUTPUT.ledger.jsonl",
    )


def _add_picture_options(parser: _Parser) -> None:
    add = parser.add_argument
    add("--screen", metavar="WHAT", help="primary (default), a number or name from devices, all, none")
    add("--region", metavar="WxH+X+Y", help="a part of the screen; select: drag over it")
    add("--scale", metavar="WxH", help="the size of the recorded picture")
    add("--fps", metavar="N", help="frames per second at most (30)")
    add("--constant-fps", action="store_true", help="a frame in every slot, for video editors")
    add("--cursor", action=argparse.BooleanOptionalAction, help="draw the mouse cursor (yes)")
    add("--show-clicks", action=argparse.BooleanOptionalAction, help="draw a ring where the mouse is clicked (no)")
    add(
        "--show-keys", action=argparse.BooleanOptionalAction, help="show the keys that are pressed, in the picture (no)"
    )
    add("--quality", choices=("low", "medium", "high"), help="(medium)")
    add("--encoder", metavar="NAME", help="auto, or FFmpeg's name of one")


def _add_window(parser: _Parser) -> None:
    parser.add_argument(
        "--window",
        metavar="TITLE",
        help="one window, wherever it goes: its title, its id, or active; select: click at it",
    )


def _add_sound_options(parser: _Parser) -> None:
    add = parser.add_argument
    add(
        "--audio",
        metavar="WHAT",
        action="append",
        help="a track: internal (default), mic, app:NAME for one application, a device's id, none; mix with +, as in "
        "internal+mic; repeatable",
    )
    add(
        "--voice",
        action=argparse.BooleanOptionalAction,
        help="encode as messengers do: Opus, mono, 16 kHz, 24 kb/s (default: for notes)",
    )
    add("--loudness", metavar="LUFS", help="bring the finished recording to this loudness, like -16LUFS")


def _add_recording_options(parser: _Parser) -> None:
    add = parser.add_argument
    add("--duration", metavar="T", help="stop after this long: 90, 90s, 1m30s, 1:30")
    add("--delay", metavar="T", help="wait this long before beginning")
    add(
        "--wait-for-sound",
        action=argparse.BooleanOptionalAction,
        help="begin when sound begins, with a moment before it (default: for notes)",
    )
    add(
        "--stop-after-silence",
        metavar="T",
        help="stop when nothing was heard for this long, and cut that off (default: 2s for notes)",
    )
    add("--sound-threshold", metavar="LEVEL", default="-50dB", help="what is louder is sound (%(default)s)")
    _add_source(parser)


def _add_source(parser: _Parser) -> None:
    parser.add_argument(
        "--source",
        choices=("device", "pattern"),
        default="device",
        help="the devices, or a built-in test picture and tone",
    )


def _add_buffer_options(parser: _Parser) -> None:
    parser.add_argument("--buffer-size", metavar="SIZE", help="the most memory it takes (500MB)")
    parser.add_argument(
        "--fallback-dir", metavar="FOLDER", help="where a clip goes when it cannot be saved where it should"
    )


def _add_control_options(parser: _Parser) -> None:
    add = parser.add_argument
    add("--replay", metavar="T", help="keep the last T besides, for clips")
    _add_renamed(
        parser,
        "--repeat",
        "--each",
        action="store_true",
        help="go on with the next recording, each in a file of its own",
    )
    add("--hold", metavar="KEY", help="record while this key is held, like '<ctrl>+<alt>+space'")
    _add_buffer_options(parser)
    _add_hotkeys_and_name(parser)


def _add_hotkeys_and_name(parser: _Parser) -> None:
    add = parser.add_argument
    add(
        "--hotkeys",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="Ctrl+Alt+R starts and stops, +P pauses, +X discards, +M marks, +C saves a clip; capture config shows and "
        "changes them (default: yes)",
    )
    add("--name", metavar="NAME", help=_NAME)


def _add_waiting_options(parser: _Parser) -> None:
    _add_output(parser)
    _add_picture_options(parser)
    _add_window(parser)
    _add_sound_options(parser)
    add = parser.add_argument
    add("--duration", metavar="T", help="the longest that one recording lasts")
    _add_renamed(
        parser,
        "--pre-roll",
        "--since",
        metavar="T",
        help="begin recordings this long before the key, out of the buffer",
    )
    add("--hold", metavar="KEY", help="record while this key is held, like '<ctrl>+<alt>+space'")
    _add_buffer_options(parser)
    _add_hotkeys_and_name(parser)
    _add_source(parser)


def _add_whose(parser: _Parser) -> None:
    parser.add_argument("--name", metavar="NAME", help="the recorder that is meant, when several run")


def _fill_config(parser: _Parser) -> None:
    add = parser.add_argument
    add("setting", metavar="NAME", nargs="?", help="the setting, like hotkeys.record; without, all")
    add("values", metavar="VALUE", nargs="*", help="what it shall be; several for record.audio")
    add("--unset", action="store_true", help="use the default again")
