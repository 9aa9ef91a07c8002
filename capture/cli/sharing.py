"""The verb share."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from capture.cli.exporting import in_words, write_export
from capture.cli.parser import Arguments, Verb
from capture.cli.text import complain, ending_of, say, write_json
from capture.errors import CaptureError, NotReadyError, UsageError
from capture.recordings.presets import PRESETS

__all__ = ["VERBS"]

#: The places of `--to`, and what is said when the file is there.
_PLACES: Final = {
    "clipboard": "{} is on the clipboard: paste it where you want it",
    "email": "{} is attached to a draft, which your mail program opens",
    "folder": "{} is shown in the file manager",
    "app": "{} is opened with {}",
    "command": "{} was handed to {}",
}

#: The places that are nowhere without a desktop.
_ON_DESKTOP: Final = ("clipboard", "email", "folder")

#: The places that need one more word.
_NAMED: Final = {"app": "--to app Telegram", "command": "--to command 'PROGRAM {path}'"}


def _share(arguments: Arguments) -> int:
    from capture.cli.recordings import recording_named
    from capture.output.locked_file import is_being_recorded
    from capture.parsing import parse_size
    from capture.recordings.check import size_bytes_of

    place, name = _place(arguments.to or ())
    command = _words(name) if place == "command" else []
    limit_bytes = None if arguments.size_limit is None else parse_size(arguments.size_limit)
    path = recording_named(arguments.file)
    size_bytes, usual_bytes = size_bytes_of(path), PRESETS["email"].most_bytes or 0
    if is_being_recorded(path):
        raise UsageError(f"{path} is being recorded", "share it when it is finished")
    fitted = limit_bytes is not None and size_bytes > limit_bytes
    if limit_bytes is not None and fitted:
        path = _made_to_fit(arguments, path, limit_bytes)
    elif place == "email" and limit_bytes is None and size_bytes > usual_bytes:
        more = f"{path.name} is {size_bytes / 1e6:.0f} MB, more than many mailboxes accept"
        complain(f"{more}: --size-limit {usual_bytes / 1e6:g}MB makes it fit")
    path = path.absolute()
    try:
        is_sure = _hand_on(arguments, path, place, name, command)
    except NotReadyError as error:
        raise NotReadyError(error.message, "; ".join(filter(None, (error.remedy, _next_best(place, path))))) from error
    if place == "email" and not is_sure:
        say(arguments, f"your mail program got {path}: check that it is attached before you send the mail")
    else:
        say(arguments, _PLACES[place].format(path, command[0] if command else name))
    if arguments.json:
        write_json({"path": str(path), "to": place, "exported": fitted})
    return 0


def _place(words: Sequence[str]) -> tuple[str, str]:
    """Return the place of `--to` and the name after it, "" without one. Raises `UsageError`."""
    if not words:
        raise UsageError("--to is missing", f"choose one of {', '.join(_PLACES)}")
    place, *names = words
    if place not in _PLACES:
        raise UsageError(f"--to {place!r} is unknown", f"use {', '.join(_PLACES)}")
    if place not in _NAMED:
        if names:
            raise UsageError(f"{names[0]!r} follows --to {place}", "name the recording before --to")
        return place, ""
    if len(names) != 1:
        raise UsageError(f"--to {place} needs one word after it, not {len(names)}", f"write it like {_NAMED[place]}")
    return place, names[0]


def _words(command: str) -> list[str]:
    """Return the words of a command. Raises `UsageError`."""
    from capture.parsing import parse_command, takes_path

    words = parse_command(command)
    if not takes_path(words):
        raise UsageError(f"{command!r} does not say where the file goes", f"write it like {_NAMED['command']}")
    return words


def _made_to_fit(arguments: Arguments, path: Path, limit_bytes: int) -> Path:
    from capture.output.file_size import as_limit
    from capture.recordings.export import Wishes

    name = as_limit(limit_bytes)
    limits = not arguments.no_limits
    made = write_export(arguments, path, name, PRESETS["web"], None, Wishes(most_bytes=limit_bytes), limits=limits)
    say(arguments, in_words(made))
    return made.path


def _hand_on(arguments: Arguments, path: Path, place: str, name: str, command: Sequence[str]) -> bool:
    """Hand the file on; return whether it certainly got there."""
    from capture.desktop.clipboard import copy_file
    from capture.desktop.mail import open_draft
    from capture.desktop.programs import open_with_program, show_in_file_manager
    from capture.parsing import with_path

    ways: dict[str, Callable[[], bool | None]] = {
        "clipboard": lambda: copy_file(path),
        "email": lambda: open_draft(path),
        "folder": lambda: show_in_file_manager(path),
        "app": lambda: open_with_program(path, name),
        "command": lambda: _run(arguments, with_path(command, str(path))),
    }
    return ways[place]() is not False


def _run(arguments: Arguments, command: Sequence[str]) -> None:
    """Run a command to its end. Raises `NotReadyError` if it is missing, `CaptureError` if it fails."""
    try:
        # The one thing on standard output is our own JSON.
        done = subprocess.run(command, check=False, stdout=2 if arguments.json else None)
    except OSError as error:
        raise NotReadyError(
            f"{command[0]} cannot be run ({error.strerror})", "install it, or correct its name"
        ) from error
    if done.returncode:
        raise CaptureError(f"{command[0]} {ending_of(done.returncode)}", "the recording is unchanged")


def _next_best(place: str, path: Path) -> str:
    from capture.desktop.programs import has_desktop

    if not has_desktop():
        return f"it is in {path.parent}" if place in _ON_DESKTOP else ""
    if place == "clipboard":
        return "or show it in the file manager: --to folder"
    if place == "email":
        return "or copy it and paste it into a mail: --to clipboard"
    return f"it is in {path.parent}" if place == "folder" else ""


VERBS: Final[dict[str, Verb]] = {
    "share": _share,
}
