"""Writes the manual page from the parser. The build puts it into the wheel: see `setup.py`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from typing import Final

from capture.cli.outline import Argument, Option, read_outline

__all__ = ["manual"]

_EXIT_CODES: Final = (
    ("0", "recorded, saved and checked"),
    ("1", "failed; what could be kept was kept, and its path is named"),
    ("2", "a mistake in the command line; nothing was touched"),
    ("3", "recording is not possible here: the message says what is missing and what to do"),
)

_EXAMPLES: Final = (
    ("capture record lesson.mp4 --audio internal+mic", "Record the screen, what plays, and your voice, until Ctrl+C."),
    ("capture note", "Record a voice note: it starts with the message that you play, and ends after it."),
    ("capture replay", "Keep the last minute in memory; capture clip saves it."),
    ("capture headless out.mp4 -- firefox", "Record a program on a private virtual desktop."),
)

_HOTKEY: Final = re.compile(r"\{(record|pause|discard|clip|mark)\}")


def manual() -> str:
    """Return the page capture(1), with the default hotkeys, in the language of man(7)."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    outline = read_outline(_with_default_keys)
    version = vars(sys.modules["capture"])["__version__"]
    yield f'.TH CAPTURE 1 "" "capture {version}" "User Commands"'
    yield ".SH NAME"
    yield r"capture \- record the screen and what the computer is playing"
    yield ".SH SYNOPSIS"
    yield ".B capture"
    yield r".I VERB\/"
    yield r"[\fIoptions\fR]"
    yield ".SH DESCRIPTION"
    yield _text(outline.description)
    yield "Each verb has the options"
    yield r"\fB\-\-json\fR, \fB\-\-quiet\fR, \fB\-\-debug\fR and \fB\-\-help\fR."
    yield ".SH OPTIONS"
    common = {flag for option in outline.options for flag in option.flags}
    yield from _options(outline.options)
    yield ".SH VERBS"
    for verb in outline.verbs:
        arguments = " ".join(map(_argument, verb.arguments)) + (
            " \\-\\- \\fICOMMAND\\fR..." * (verb.name == "headless")
        )
        yield f".SS {verb.name} {arguments}".rstrip()
        yield _text(verb.description)
        for argument in verb.arguments:
            if argument.help:
                yield from (".TP", rf"\fI{_text(argument.name)}\fR", _text(argument.help))
        yield from _options(option for option in verb.options if common.isdisjoint(option.flags))
    yield ".SH EXAMPLES"
    for command, text in _EXAMPLES:
        yield from (".TP", rf"\fB{_text(command)}\fR", _text(text))
    yield ".SH EXIT STATUS"
    for code, text in _EXIT_CODES:
        yield from (".TP", rf"\fB{code}\fR", _text(text))
    yield ".SH FILES"
    yield from (".TP", r"\fI~/.config/capture/settings.toml\fR", "the settings, on Linux; capture config shows them")


def _options(options: Iterable[Option]) -> Iterator[str]:
    for option in options:
        flags = ", ".join(rf"\fB{_text(flag)}\fR" for flag in option.flags)
        yield ".TP"
        yield flags if option.value is None else f"{flags} {_value(option.value)}"
        yield _text(option.help)


def _value(value: Argument) -> str:
    name = rf"\fI{_text('|'.join(value.words) if value.name.islower() else value.name)}\fR"
    return f"[{name}]" if value.is_optional else name


def _argument(argument: Argument) -> str:
    name = rf"\fI{_text(argument.name)}\fR" + "..." * argument.is_repeated
    return f"[{name}]" if argument.is_optional else name


def _text(text: str) -> str:
    """Return `text` as it stands in a line of roff."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-").replace("~", r"\(ti").replace("^", r"\(ha")
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped


def _with_default_keys(text: str) -> str:
    from capture.triggers.bindings import HOTKEYS, as_readable

    keys = {hotkey.name: as_readable(hotkey.key) for hotkey in HOTKEYS}
    return _HOTKEY.sub(lambda found: keys[found[1]], text)
