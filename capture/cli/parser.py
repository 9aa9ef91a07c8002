"""Defines the verbs and options of the command line, and parses it.

Parsing imports nothing heavy, so `capture --help` answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any, Final, NoReturn

from capture.cli.control_options import (
    add_recorder_name,
    fill_completion,
    fill_config,
    fill_mark,
    fill_pause,
    fill_stop,
)
from capture.cli.descriptions import (
    AFTER_SAVE,
    CLIP,
    COMPLETION,
    CONFIG,
    CONFIG_USAGE,
    HEADLESS,
    NAME,
    NOTE,
    RECORD,
    REMOTE_VERBS,
    REPLAY,
    SPEECH,
    STANDBY,
)
from capture.cli.file_options import FILE_VERBS
from capture.cli.key_words import with_keys
from capture.cli.words import before_command, check_verb, rewritten, unknown_words
from capture.errors import UsageError

__all__ = ["SELECT", "Arguments", "Verb", "filled_parser", "parse"]

Arguments = argparse.Namespace

#: Runs a verb with its arguments; returns the exit code.
Verb = Callable[[Arguments], int]

#: The value of `--region` or `--window` that lets the user select with the mouse.
SELECT: Final = "select"


class _Parser(argparse.ArgumentParser):
    """Raises `UsageError` for a mistake, so that it is reported like every other: one line, exit code 2.

    `fill` adds the verb's options just before parsing: only one of the many verbs is used in a run.
    """

    def __init__(self, *, fill: Callable[[_Parser], None] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._fill = fill

    def fill(self) -> None:
        """Add the verb's options, unless it has them."""
        fill, self._fill = self._fill, None
        if fill is not None:
            fill(self)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self.fill()
        return super().parse_known_args(args, namespace)

    @property
    def options(self) -> list[str]:
        """The options; those of a verb only once it has parsed."""
        return list(self._option_string_actions)

    def format_help(self) -> str:
        self.description = with_keys(self.description or "")
        for action in self._actions:
            action.help = with_keys(action.help, "%%") if action.help else action.help
        return super().format_help()

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        # argparse would print the values as Python writes them.
        if action.choices is not None and value not in action.choices:
            name = next(iter(action.option_strings), action.metavar or action.dest)
            raise UsageError(f"{name} {value!r} is unknown", f"use {_listed(list(map(str, action.choices)))}")

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, f"see {self.prog} --help")

    def _print_message(self, message: str, file: Any = None) -> None:
        # argparse says nothing of a help text that could not be written.
        (file or sys.stdout).write(message)


def _listed(words: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def parse(given: list[str]) -> Arguments:
    """Parse the arguments `given`; `verb` in the result names the verb. Raises `UsageError`."""
    own = rewritten(before_command(given))
    parser, verbs = _parser()
    check_verb(own, list(verbs), parser.options)
    # As defaults of the verb's parser, these would undo a flag given before the verb.
    arguments: Arguments
    arguments, unknown = parser.parse_known_args(own, Arguments(json=False, quiet=False, debug=False))
    if unknown:
        raise unknown_words(arguments.verb, unknown, verbs[arguments.verb].options)
    arguments.command = given[len(before_command(given)) + 1 :]
    if arguments.command and arguments.verb != "headless":
        raise UsageError(f"{arguments.command[0]!r} follows --", "only headless runs a command")
    _take_output_option(arguments)
    return arguments


def _take_output_option(arguments: Arguments) -> None:
    """Make the value of `-o` the output. Raises `UsageError` when there is another one."""
    output = getattr(arguments, "output_option", None)
    if output is not None:
        if getattr(arguments, "output", None) is not None:
            raise UsageError(f"two outputs were given, {arguments.output} and {output}", "drop one of them")
        arguments.output = output


def _parser() -> tuple[_Parser, dict[str, _Parser]]:
    """Return the parser of the command line, and that of each verb."""
    everywhere = _Parser(add_help=False)
    for flag, text in (
        ("--json", "print one JSON object on standard output, everything else on standard error"),
        ("--quiet", "print only what goes wrong"),
        ("--debug", "show where an error came from"),
    ):
        everywhere.add_argument(flag, action="store_true", default=argparse.SUPPRESS, help=text)
    parser = _Parser(
        prog="capture",
        description="Record the screen and what the computer is playing.",
        epilog="capture help VERB describes a verb and its options.",
        parents=[everywhere],
    )
    # The package of this module, which is always loaded.
    version = f"capture {vars(sys.modules['capture'])['__version__']}"
    parser.add_argument("--version", action="version", version=version, help="show the version and exit")
    adding = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    verbs: dict[str, _Parser] = {}

    def add(name: str, text: str, fill: Callable[[_Parser], None] | None = None, **options: Any) -> None:
        verbs[name] = adding.add_parser(name, parents=[everywhere], help=text, fill=fill, **options)

    add("record", "record until stopped", _fill_record, description=RECORD)
    add("note", "record a voice note, from the first word to the last", _fill_note, description=NOTE)
    add("standby", "wait until a key starts a recording", _fill_standby, description=STANDBY)
    add("replay", "keep the last minute in memory; a key saves it", _fill_replay, description=REPLAY)
    add("clip", "save what has just happened", _fill_clip, description=CLIP)
    usage = "capture headless [options] [OUTPUT] -- COMMAND..."
    text = "run a command on a private virtual desktop and record it"
    add("headless", text, _fill_headless, description=HEADLESS, usage=usage)
    for name, text in (
        ("devices", "list the screens, windows and sound devices to record"),
        ("doctor", "check whether recording will work, and say what to do if not"),
    ):
        add(name, text, description=f"{text.capitalize()}.")
    for name, text, fill_verb, description in FILE_VERBS:
        add(name, text, fill_verb, description=description)
    fills = {"mark": fill_mark, "pause": fill_pause, "stop": fill_stop}
    for name, text, more in REMOTE_VERBS:
        fill = fills.get(name, add_recorder_name)
        add(name, text, fill, description=f"{text[0].upper()}{text[1:]}.{more}")
    add("config", "show and change the settings", fill_config, description=CONFIG, usage=CONFIG_USAGE)
    add("completion", "write the completion of capture for a shell", fill_completion, description=COMPLETION)
    return parser, verbs


def filled_parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser], dict[str, str]]:
    """Return the parser of the command line, that of each verb with its options, and the help text of each verb."""
    parser, verbs = _parser()
    for verb in verbs.values():
        verb.fill()
    (adding,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    summaries = {choice.dest: choice.help or "" for choice in adding._choices_actions}
    return parser, dict(verbs), summaries


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
    parser.add_argument("--speech", action="store_true", help=SPEECH)
    parser.set_defaults(**_NO_PICTURE)


def _fill_standby(parser: _Parser) -> None:
    _add_waiting_options(parser)
    parser.add_argument("--replay", metavar="T", help="keep the last T in memory for clips, like 60s")


def _fill_replay(parser: _Parser) -> None:
    _add_waiting_options(parser)
    parser.add_argument("--last", metavar="T", help="keep the last T in memory (60s)")


def _fill_clip(parser: _Parser) -> None:
    add = parser.add_argument
    _add_output_name(parser, "the file to write (default: a new file named by date and time)")
    add("--last", metavar="T", help="save the last T (default: the whole buffer)")
    add("--exact", action="store_true", help="start exactly there, not up to 2 s earlier")
    add("--max-size", metavar="SIZE", help="re-encode to fit into SIZE, like 10MB")
    _add_renamed(
        parser,
        "--log",
        "--ledger",
        dest="ledger",
        action="store_true",
        help="write the events of the clip into a file beside it",
    )
    add("--overwrite", action="store_true", help="replace OUTPUT if it exists")
    add("--format", metavar="FORMAT", help="convert the clip: gif, webp, mp4, ogg, m4a")
    add_recorder_name(parser)


def _fill_headless(parser: _Parser) -> None:
    _add_output(parser)
    _add_picture_options(parser)
    _add_sound_options(parser)
    _add_recording_options(parser)
    parser.add_argument("--name", metavar="NAME", help=NAME)
    parser.add_argument("--size", metavar="WxH", default="1920x1080", help="size of the virtual desktop (%(default)s)")
    parser.add_argument(
        "--desk", choices=("x11", "wayland"), default="x11", help="what COMMAND draws on; wayland needs sway (x11)"
    )
    parser.add_argument(
        "--wait-for-window", action="store_true", help="start when COMMAND opens its first window, within 60 s"
    )
    parser.add_argument(
        "--ignore-exit-code", action="store_true", help="exit with 0 when the recording succeeded but COMMAND failed"
    )


#: What `note` sets in place of the picture options, which it does not have.
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
    """Add an option whose old name still works but is not in the help."""
    option = parser.add_argument(name, **options)
    hidden = {**options, "dest": option.dest, "help": argparse.SUPPRESS, "default": argparse.SUPPRESS}
    parser.add_argument(old_name, **hidden)


def _add_output_name(parser: _Parser, text: str) -> None:
    parser.add_argument("output", metavar="OUTPUT", nargs="?", help=text)
    parser.add_argument("-o", "--output", metavar="OUTPUT", dest="output_option", help="the same as OUTPUT")


def _add_output(parser: _Parser) -> None:
    _add_output_name(parser, "the file to write (default: a new file named by date and time in your recordings folder)")
    parser.add_argument("--overwrite", action="store_true", help="replace OUTPUT if it exists")
    _add_renamed(
        parser,
        "--log",
        "--ledger",
        dest="ledger",
        action="store_true",
        help="write events as they happen into OUTPUT.ledger.jsonl",
    )
    parser.add_argument("--after-save", metavar="COMMAND", help=AFTER_SAVE)


def _add_picture_options(parser: _Parser) -> None:
    add = parser.add_argument
    add("--screen", metavar="WHAT", help="primary (default), all, none, or a number or name from capture devices")
    add("--region", metavar="WxH+X+Y", help="part of the screen; select: drag a rectangle")
    add("--scale", metavar="WxH", help="fit the picture into this size; WxH! forces it")
    add("--fps", metavar="N", help="maximum frame rate (30)")
    add("--constant-fps", action="store_true", help="constant frame rate, for video editors")
    add("--cursor", action=argparse.BooleanOptionalAction, help="draw the mouse cursor (yes)")
    add("--show-clicks", action=argparse.BooleanOptionalAction, help="draw a ring at each mouse click (no)")
    add("--show-keys", action=argparse.BooleanOptionalAction, help="show pressed keys in the picture (no)")
    add("--quality", choices=("low", "medium", "high"), help="picture quality (medium)")
    add("--encoder", metavar="NAME", help="auto (default), or FFmpeg's name of a video encoder")


def _add_window(parser: _Parser) -> None:
    parser.add_argument(
        "--window",
        metavar="TITLE",
        help="one window, wherever it moves: its title, its id, or active; select: click it",
    )


def _add_sound_options(parser: _Parser) -> None:
    add = parser.add_argument
    add(
        "--audio",
        metavar="WHAT",
        action="append",
        help="an audio track: internal (default; what the computer plays), mic, app:NAME for one application, a device "
        "id from capture devices, or none; + mixes, as in internal+mic; repeat the option for more tracks",
    )
    add(
        "--voice",
        action=argparse.BooleanOptionalAction,
        help="encode as messengers do: Opus, mono, 16 kHz, 24 kb/s (default for note)",
    )
    add("--loudness", metavar="LUFS", help="normalise the finished recording to this loudness, like -16LUFS")


def _add_recording_options(parser: _Parser) -> None:
    add = parser.add_argument
    add("--duration", metavar="T", help="stop after this time: 90, 90s, 1m30s, 1:30")
    add("--delay", metavar="T", help="wait this long before recording")
    add("--title", metavar="TEXT", help="title of the recording, which players and capture list show")
    add(
        "--wait-for-sound",
        action=argparse.BooleanOptionalAction,
        help="start when sound starts, with 0.1 s before it (default for note)",
    )
    add(
        "--stop-after-silence",
        metavar="T",
        help="stop after this much silence and cut it off (default for note: 2s)",
    )
    add("--sound-threshold", metavar="LEVEL", default="-50dB", help="level above which sound counts (%(default)s)")
    _add_source(parser)


def _add_source(parser: _Parser) -> None:
    parser.add_argument(
        "--source",
        choices=("device", "pattern"),
        default="device",
        help="record the real devices (default), or a built-in test picture and tone",
    )


def _add_control_options(parser: _Parser) -> None:
    add = parser.add_argument
    add("--replay", metavar="T", help="also keep the last T in memory for clips, like 60s")
    _add_renamed(
        parser,
        "--repeat",
        "--each",
        action="store_true",
        help="continue with the next recording, each in its own file",
    )
    _add_key_and_buffer_options(parser)


def _add_key_and_buffer_options(parser: _Parser) -> None:
    add = parser.add_argument
    add("--hold", metavar="KEY", help="record while this key is held, like '<ctrl>+<alt>+space'")
    add("--buffer-size", metavar="SIZE", help="memory limit of the replay buffer (500MB)")
    add("--fallback-dir", metavar="FOLDER", help="save clips here if their own folder cannot be written")
    add(
        "--hotkeys",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="listen to the hotkeys: {record} starts and stops, {pause} pauses, {discard} discards, {mark} adds a "
        "chapter mark, {clip} saves a clip; capture config shows and changes them, on Wayland the desktop does (yes)",
    )
    add("--name", metavar="NAME", help=NAME)


def _add_waiting_options(parser: _Parser) -> None:
    _add_output(parser)
    _add_picture_options(parser)
    _add_window(parser)
    _add_sound_options(parser)
    add = parser.add_argument
    ending = "end" if parser.prog.endswith("replay") else "stop each recording"
    add("--duration", metavar="T", help=f"{ending} after this time: 90, 90s, 1m30s, 1:30")
    _add_renamed(
        parser,
        "--pre-roll",
        "--since",
        metavar="T",
        help="start recordings this long before the key press, from the replay buffer",
    )
    _add_key_and_buffer_options(parser)
    _add_source(parser)
