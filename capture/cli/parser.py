"""Defines the verbs and options of the command line, and parses it.

Parsing imports nothing heavy, so `capture --help` answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final, NamedTuple, NoReturn

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

#: The flags of every verb, and of capture itself before the verb.
_EVERYWHERE: Final = (
    ("--json", "print one JSON object on standard output, everything else on standard error"),
    ("--quiet", "print only what goes wrong"),
    ("--debug", "show where an error came from"),
)

_HEADLESS_USAGE: Final = "capture headless [options] [OUTPUT] -- COMMAND..."


class _Parser(argparse.ArgumentParser):
    """Raises `UsageError` for a mistake, so that it is reported like every other: one line, exit code 2.

    `fill` adds the verb's options just before parsing: only one of the many verbs is used in a run.
    """

    def __init__(self, *, fill: Callable[[_Parser], None] | None = None, **options: Any) -> None:
        self._measures_terminal = False
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

    def _get_formatter(self) -> Any:
        # argparse also makes one for each option that it adds. To measure the terminal for that, it would load
        # `shutil` with every compressor, which takes 5 ms.
        return super()._get_formatter() if self._measures_terminal else argparse.HelpFormatter(self.prog, width=80)

    def format_help(self) -> str:
        self._measures_terminal = True
        self.description = with_keys(self.description or "")
        for action in self._actions:
            # The lines of the verbs, which argparse keeps as actions of the one that chooses among them.
            for line in (action, *getattr(action, "_choices_actions", ())):
                line.help = with_keys(line.help, "%%") if line.help else line.help
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
    parser, verbs = _parser(_verb_alone(own))
    check_verb(own, list(_verbs()), parser.options)
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


def _verb_alone(words: Sequence[str]) -> str | None:
    """Return the verb of the command line; None where the parser has to know the other verbs, too."""
    flags = {name for name, _ in _EVERYWHERE}
    word = next((word for word in words if word not in flags), None)
    return word if word in _verbs() else None


def _take_output_option(arguments: Arguments) -> None:
    """Make the value of `-o` the output. Raises `UsageError` when there is another one."""
    output = getattr(arguments, "output_option", None)
    if output is not None:
        if getattr(arguments, "output", None) is not None:
            raise UsageError(f"two outputs were given, {arguments.output} and {output}", "drop one of them")
        arguments.output = output


class _VerbOptions(NamedTuple):
    """One verb: its line in the help, what adds its options, and its own help."""

    text: str
    fill: Callable[[_Parser], None] | None
    description: str
    usage: str | None = None


@cache
def _verbs() -> dict[str, _VerbOptions]:
    """Return every verb by its name, in the order of the help."""
    fills = {"mark": fill_mark, "pause": fill_pause, "stop": fill_stop}
    headless = "run a command on a private virtual desktop and record it"
    devices = "list the screens, windows and sound devices to record"
    doctor = "check whether recording will work, and say what to do if not"
    return {
        "record": _VerbOptions("record until stopped", fill_record, RECORD),
        "note": _VerbOptions("record a voice note, from the first word to the last", fill_note, NOTE),
        "standby": _VerbOptions("wait until a key starts a recording", fill_standby, STANDBY),
        "replay": _VerbOptions("keep the last minute in memory; a key saves it", fill_replay, REPLAY),
        "clip": _VerbOptions("save what has just happened", fill_clip, CLIP),
        "headless": _VerbOptions(headless, fill_headless, HEADLESS, _HEADLESS_USAGE),
        "devices": _VerbOptions(devices, None, _sentence(devices)),
        "doctor": _VerbOptions(doctor, None, _sentence(doctor)),
        **{name: _VerbOptions(text, fill, description) for name, text, fill, description in FILE_VERBS},
        **{
            name: _VerbOptions(text, fills.get(name, add_recorder_name), _sentence(text) + more)
            for name, text, more in REMOTE_VERBS
        },
        "config": _VerbOptions("show and change the settings", fill_config, CONFIG, CONFIG_USAGE),
        "completion": _VerbOptions("write a script for completion with the Tab key", fill_completion, COMPLETION),
    }


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _parser(only: str | None = None) -> tuple[_Parser, dict[str, _Parser]]:
    """Return the parser of the command line, and that of each verb, or of one.

    Making those of all verbs takes 10 ms, as each looks for translations of its headings.
    """
    everywhere = _Parser(add_help=False)
    for flag, text in _EVERYWHERE:
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
    for name, verb in _verbs().items():
        if only in (None, name):
            verbs[name] = adding.add_parser(
                name,
                parents=[everywhere],
                help=verb.text,
                fill=verb.fill,
                description=verb.description,
                usage=verb.usage,
            )
    return parser, verbs


def filled_parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser], dict[str, str]]:
    """Return the parser of the command line, that of each verb with its options, and the help text of each verb."""
    parser, verbs = _parser()
    for verb in verbs.values():
        verb.fill()
    (adding,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    summaries = {choice.dest: choice.help or "" for choice in adding._choices_actions}
    return parser, dict(verbs), summaries
