"""The verbs and options of the parser as data, for what is made of them: completions for shells, and the manual."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Final, NamedTuple

from capture.cli.parser import filled_parser

__all__ = ["Argument", "Option", "Outline", "VerbOutline", "read_outline"]

#: What values of options and arguments are, by their metavar.
_FILES: Final = frozenset({"FILE", "FILE|FOLDER", "FOLDER|ZIP", "OUTPUT"})
_FOLDERS: Final = frozenset({"FOLDER"})

#: Values that options accept beside others.
_WORDS: Final = {
    "--audio": ("internal", "mic", "internal+mic", "none"),
    "--encoder": ("auto",),
    "--region": ("select",),
    "--screen": ("primary", "all", "none", "ask"),
    "--window": ("active", "select"),
}

#: The same by the metavar, for an option that other verbs have with another value.
_WORDS_OF: Final = {"WHERE": ("clipboard", "email", "folder", "app", "command")}


class Argument(NamedTuple):
    """An argument of a verb, or the value of an option: its name, and what can be completed in its place."""

    name: str
    help: str = ""
    words: tuple[str, ...] = ()
    takes_file: bool = False
    takes_folder: bool = False
    is_optional: bool = False
    is_repeated: bool = False


class Option(NamedTuple):
    """An option; `value` is None for a flag."""

    flags: tuple[str, ...]
    help: str
    value: Argument | None
    may_repeat: bool = False


class VerbOutline(NamedTuple):
    name: str
    summary: str
    description: str
    options: tuple[Option, ...]
    arguments: tuple[Argument, ...]


class Outline(NamedTuple):
    """The whole command line; `options` are those of capture itself."""

    description: str
    options: tuple[Option, ...]
    verbs: tuple[VerbOutline, ...]


def read_outline(with_keys: Callable[[str], str]) -> Outline:
    """Return the command line as it is parsed. `with_keys` writes the hotkeys into the texts."""
    parser, verbs, summaries = filled_parser()
    return Outline(
        parser.description or "",
        _options(parser, with_keys),
        tuple(
            VerbOutline(
                name,
                with_keys(summaries[name]),
                with_keys(verb.description or ""),
                _options(verb, with_keys),
                tuple(_argument(verb, action, with_keys) for action in verb._actions if not action.option_strings),
            )
            for name, verb in verbs.items()
        ),
    )


def _options(parser: argparse.ArgumentParser, with_keys: Callable[[str], str]) -> tuple[Option, ...]:
    return tuple(
        Option(
            tuple(action.option_strings),
            _help(parser, action, with_keys),
            None if action.nargs == 0 else _argument(parser, action, with_keys),
            isinstance(action, argparse._AppendAction),
        )
        for action in parser._actions
        if action.option_strings and action.help != argparse.SUPPRESS
    )


def _argument(parser: argparse.ArgumentParser, action: argparse.Action, with_keys: Callable[[str], str]) -> Argument:
    name = str(action.metavar or action.dest)
    words = tuple(map(str, action.choices or ())) or next(
        (_WORDS[flag] for flag in action.option_strings if flag in _WORDS), _WORDS_OF.get(name, ())
    )
    return Argument(
        name,
        "" if action.option_strings else _help(parser, action, with_keys),
        words,
        name in _FILES,
        name in _FOLDERS,
        action.nargs in ("?", "*"),
        action.nargs in ("*", "+"),
    )


def _help(parser: argparse.ArgumentParser, action: argparse.Action, with_keys: Callable[[str], str]) -> str:
    # argparse formats its texts in this way.
    return with_keys((action.help or "") % {**vars(action), "prog": parser.prog})
