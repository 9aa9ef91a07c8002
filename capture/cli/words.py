"""Rewrites the words of the command line into those that argparse understands, and explains those that it does not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from capture.errors import UsageError
from capture.formats import CONTAINERS

__all__ = ["before_command", "check_verb", "rewritten", "unknown_words"]

#: How alike two words must be for one to be suggested: `rekord` and `record` are, `clip` and `discard` are not.
_ALIKE: Final = 0.6

#: Options of other recorders, and what they are here.
_ELSEWHERE: Final = {
    "--bitrate": "--quality low, medium or high",
    "--codec": "--encoder",
    "--format": "the extension of OUTPUT, as in out.mp4",
    "--framerate": "--fps",
    "--full-screen": "--screen",
    "--fullscreen": "--screen",
    "--geometry": "--region WxH+X+Y",
    "--mic": "--audio mic",
    "--microphone": "--audio mic",
    "--monitor": "--screen",
    "--mute": "--audio none",
    "--no-audio": "--audio none",
    "--no-sound": "--audio none",
    "--no-video": "--screen none",
    "--rate": "--fps",
    "--resolution": "--scale WxH",
    "--size": "--scale WxH",
    "--sound": "--audio",
    "--time": "--duration",
    "--timeout": "--duration",
}


def before_command(given: Sequence[str]) -> Sequence[str]:
    """Return the arguments for capture itself; what follows `--` is the command of `headless`."""
    return given[: given.index("--")] if "--" in given else given


def rewritten(own: Sequence[str]) -> list[str]:
    """Return the words with `help VERB` as `VERB --help`, and levels such as `--loudness -16LUFS` joined by `=`.

    argparse takes a word that begins with a minus for an option.
    """
    words: list[str] = []
    for word in own:
        if words and words[-1].startswith("--") and "=" not in words[-1] and word[:1] == "-" and word[1:2].isdigit():
            words[-1] += f"={word}"
        else:
            words.append(word)
    return [*words[1:], "--help"] if words[:1] == ["help"] else words


def check_verb(words: Sequence[str], verbs: Sequence[str], options: Sequence[str]) -> None:
    """Raise `UsageError` if the first word that is none of these `options` is not a verb."""
    for before in words:
        if not before.startswith("-"):
            break
        if not any(option.startswith(before) for option in options):
            if alike := _near(before, options):
                raise UsageError(f"capture has no option {before}", f"did you mean {_any_of(alike)}?")
            raise UsageError(f"{before} comes before the verb", "write the verb first, as in capture record out.mp4")
    word = next((word for word in words if not word.startswith("-")), None)
    if word is None or word in verbs:
        return
    near = f"did you mean {_any_of(found)}?" if (found := _near(word, verbs)) else "see capture --help"
    if Path(word).suffix[1:].lower() in CONTAINERS:
        near = f"did you mean capture record {word}?"
    raise UsageError(f"there is no verb {word!r}", near)


def unknown_words(verb: str, words: Sequence[str], options: Sequence[str]) -> UsageError:
    """Return the error for `words` that `verb`, which has these `options`, does not understand."""
    option = next((word.partition("=")[0] for word in words if word.startswith("-")), None)
    if option is None:
        what = f"capture {verb} does not understand {' '.join(map(repr, words))}"
        return UsageError(what, f"see capture {verb} --help")
    # What another recorder calls it is a better guess than a word that looks alike.
    known = ("the extension", *options) if "-o" in options else tuple(options)
    if _ELSEWHERE.get(option, "").startswith(known):
        remedy = f"use {_ELSEWHERE[option]}"
    elif found := _near(option, [each for each in options if each.startswith("--")]):
        remedy = f"did you mean {_any_of(found)}?"
    else:
        remedy = f"see capture {verb} --help"
    return UsageError(f"capture {verb} has no option {option}", remedy)


def _near(word: str, words: Sequence[str]) -> list[str]:
    """Return the words that `word` may be a slip of: those that it begins, else the one most like it."""
    # Imported here: most command lines have no mistake.
    import difflib

    bare = word.lstrip("-").lower()
    begun = [each for each in words if len(bare) > 1 and each.lstrip("-").startswith(bare)]
    alike = difflib.get_close_matches(bare, [each.lstrip("-") for each in words], n=1, cutoff=_ALIKE)
    return begun[:2] or [each for like in alike for each in words if each.lstrip("-") == like]


def _any_of(words: Sequence[str]) -> str:
    return " or ".join(words)
