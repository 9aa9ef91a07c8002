"""The verbs that control a running recorder: status, stop, pause, resume, toggle, discard, mark, preview, clip."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, Final

from capture.cli.parser import Arguments, Verb
from capture.cli.text import fail, say, write_json
from capture.errors import CaptureError, UsageError

__all__ = ["VERBS"]


def _clip(arguments: Arguments) -> int:
    from pathlib import Path

    from capture.formats import CLIP_FORMATS, container_of
    from capture.output.naming import check_output
    from capture.parsing import parse_size, parse_time
    from capture.settings.clip_order import ClipOrder

    output = None if arguments.output is None else Path(arguments.output)
    form = arguments.format
    if form is not None and form not in CLIP_FORMATS:
        raise UsageError(f"{form!r} is not a clip format", f"use {', '.join(CLIP_FORMATS)}")
    if output is not None:
        ending = output.suffix[1:].lower()
        if form is not None and ending != form:
            raise UsageError(f"{output} does not end in .{form}", f"drop --format, or end the name in .{form}")
        if ending not in CLIP_FORMATS:
            container_of(output)
        check_output(output, overwrite=arguments.overwrite)
    order = ClipOrder(
        output,
        None if arguments.last is None else parse_time(arguments.last),
        arguments.exact,
        form,
        None if arguments.max_size is None else parse_size(arguments.max_size),
        arguments.ledger,
        arguments.overwrite,
    )
    return _saved(arguments, _send(arguments, options=order.as_options()))


def _status(arguments: Arguments) -> int:
    from capture.remote.client import not_running_error, running

    everyone = running()
    found = [recorder for recorder in everyone if arguments.name in (None, recorder["name"])]
    if arguments.json:
        write_json({"running": [_as_status(recorder) for recorder in found]})
        return 0
    if not found:
        raise not_running_error(arguments.name, ", ".join(recorder["name"] for recorder in everyone))
    for recorder in found:
        say(arguments, "  ".join(filter(None, (recorder["name"], str(recorder.get("state")), *_doing(recorder)))))
    return 0


def _doing(recorder: dict[str, Any]) -> list[str]:
    """Describe what a recorder has recorded, or keeps in memory while it waits."""
    from capture.cli.terminal import as_clock, as_size

    if recorder.get("state") != "standby":
        return [*_measures(recorder), str(recorder.get("path") or "")]
    if recorder.get("replay_s") is None:
        return ["nothing is recorded"]
    kept = f"{as_clock(recorder.get('buffer_s', 0.0))} of {as_clock(recorder['replay_s'])} in memory"
    return [kept, as_size(recorder.get("buffer_bytes", 0))]


#: The keys of a recorder in the JSON of `status` that scripts rely on; unknown values are null.
_STATUS_KEYS = ("name", "state", "path", "elapsed_s", "size_bytes", "buffer_s", "buffer_bytes", "pid")


def _as_status(recorder: dict[str, Any]) -> dict[str, Any]:
    more = {key: value for key, value in recorder.items() if key != "ok"}
    return {key: recorder.get(key) for key in _STATUS_KEYS} | more


def _stop(arguments: Arguments) -> int:
    if arguments.all:
        return _stop_all(arguments)
    return _ended(arguments, _send(arguments))


def _stop_all(arguments: Arguments) -> int:
    from capture.remote.client import not_running_error, quit_all

    if arguments.name is not None:
        raise UsageError(f"--all and --name {arguments.name} exclude each other", "drop one of them")
    answers = quit_all()
    if arguments.json:
        write_json({"stopped": answers})
    elif not answers:
        raise not_running_error()
    exit_code = 0
    for answer in answers:
        if answer.get("ok"):
            exit_code |= _ended(arguments, answer)
        else:
            exit_code = fail(str(answer.get("error")), 1, arguments.debug)
    return exit_code


def _ended(arguments: Arguments, answer: dict[str, Any]) -> int:
    """Print what the recorder that was stopped leaves, and return the exit code."""
    if answer.get("path"):
        return _saved(arguments, answer)
    waited = answer.get("state") in ("idle", "armed", "standby")
    say(arguments, _stopped(answer) if waited else "nothing was kept")
    return 0


def _toggle(arguments: Arguments) -> int:
    answer = _send(arguments)
    if answer.get("state") != "recording":
        return _ended(arguments, answer)
    say(arguments, f"recording {answer.get('path') or ''}".rstrip())
    return 0


def _stopped(answer: dict[str, Any]) -> str:
    """Describe the end of a recorder that was waiting, and with it of its replay buffer."""
    return "stopped; the replay buffer was dropped" if answer.get("buffer_bytes") else "stopped"


def _saved(arguments: Arguments, answer: dict[str, Any]) -> int:
    """Print where the recorder saved a file and what its check found; return the exit code.

    One that was deleted meanwhile has no bytes.
    """
    if answer.get("size_bytes") != 0:
        say(arguments, "  ".join([f"saved {answer['path']}", *_measures(answer)]))
    if answer.get("note"):
        say(arguments, str(answer["note"]))
    if answer.get("check", "ok") != "ok":
        return fail(f"the check found: {answer['check']}", 1, arguments.debug)
    return 0


def _change(arguments: Arguments) -> int:
    toggles = arguments.verb == "pause" and arguments.toggle
    answer = _send(arguments, "toggle_pause" if toggles else None)
    state = str(answer.get("state"))
    resumed = state == "recording" and (toggles or arguments.verb == "resume")
    say(arguments, f"{'resumed' if resumed else state}{_at(answer)}")
    return 0


def _discard(arguments: Arguments) -> int:
    answer = _send(arguments)
    say(arguments, f"deleted {answer['discarded']}" if answer.get("discarded") else _stopped(answer))
    return 0


def _mark(arguments: Arguments) -> int:
    answer = _send(arguments, text=arguments.text)
    # Without a recording, the mark is for the clips that contain this moment.
    at = " in the replay buffer" if answer.get("state") in ("armed", "standby") else _at(answer)
    say(arguments, f"marked{at}  {arguments.text}".rstrip())
    return 0


def _preview(arguments: Arguments) -> int:
    _send(arguments)
    say(arguments, "playing what was recorded so far")
    return 0


#: What may take a recorder over a second.
_WORK: Final = {"clip": "saving the clip", "stop": "finishing the file", "toggle": "finishing the file"}


def _send(
    arguments: Arguments, verb: str | None = None, *, text: str = "", options: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Send `verb`, by default the command line's, to the recorder; return its answer, which `--json` also prints."""
    from capture.remote.client import ask

    with _at_work(arguments):
        answer = ask(verb or arguments.verb, name=arguments.name, text=text, options=options)
    if arguments.json:
        write_json(answer)
    return answer


def _at_work(arguments: Arguments) -> AbstractContextManager[object]:
    if arguments.verb not in _WORK or not sys.stderr.isatty():
        # Importing it takes longer than a command.
        return nullcontext()
    from capture.cli.working import working

    return working(arguments, _WORK[arguments.verb], _clip_done if arguments.verb == "clip" else None)


def _clip_done() -> float:
    """Return the share of a clip's conversion that is done, 0 while none is converted."""
    from capture.remote.client import running

    # Without an answer the line says for how long the command has waited.
    with suppress(CaptureError):
        return max((float(recorder.get("clip_done", 0.0)) for recorder in running()), default=0.0)
    return 0.0


def _measures(answer: dict[str, Any]) -> list[str]:
    """Return the length and the size in the answer, formatted; one that it lacks is left out."""
    # Imported after the command was sent: the import takes longer than the command.
    from capture.cli.terminal import as_clock, as_size

    elapsed_s, size_bytes = answer.get("duration_s", answer.get("elapsed_s")), answer.get("size_bytes")
    lengths = [] if elapsed_s is None else [as_clock(elapsed_s)]
    return lengths if size_bytes is None else [*lengths, as_size(size_bytes)]


def _at(answer: dict[str, Any]) -> str:
    from capture.cli.terminal import as_clock

    return "" if answer.get("elapsed_s") is None else f" at {as_clock(answer['elapsed_s'])}"


VERBS: Final[dict[str, Verb]] = {
    "status": _status,
    "stop": _stop,
    "pause": _change,
    "resume": _change,
    "toggle": _toggle,
    "discard": _discard,
    "mark": _mark,
    "preview": _preview,
    "clip": _clip,
}
