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
    CLIP,
    COMPLETION,
    CONFIG,
    CONFIG_USAGE,
    HEADLESS,
    NOTE,
    RECORD,
    REMOTE_VERBS,
    REPLAY,
    STANDBY,
)
from capture.cli.file_options import FILE_VERBS
from capture.cli.key_words import with_keys
from capture.cli.recording_options import (
    fill_clip,
    fill_headless,
    fill_note,
    fill_record,
    fill_replay,
    fill_standby,
)
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

    add("record", "record until stopped", fill_record, description=RECORD)
    add("note", "record a voice note, from the first word to the last", fill_note, description=NOTE)
    add("standby", "wait until a key starts a recording", fill_standby, description=STANDBY)
    add("replay", "keep the last minute in memory; a key saves it", fill_replay, description=REPLAY)
    add("clip", "save what has just happened", fill_clip, description=CLIP)
    usage = "capture headless [options] [OUTPUT] -- COMMAND..."
    text = "run a command on a private virtual desktop and record it"
    add("headless", text, fill_headless, description=HEADLESS, usage=usage)
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
