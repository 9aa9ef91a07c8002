"""The verbs that act on a recorder running elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from capture.cli.parser import Arguments, Verb
from capture.cli.text import fail, say, write_json
from capture.errors import UsageError

if TYPE_CHECKING:
    pass

__all__ = ["VERBS"]


def _clip(arguments: Arguments) -> int:
    from pathlib import Path

    from capture.formats import CLIP_FORMATS, container_of
    from capture.output.naming import check_output
    from capture.parsing import parse_size, parse_time
    from capture.settings import ClipOrder

    output = None if arguments.output is None else Path(arguments.output)
    form = arguments.format
    if form is not None and form not in CLIP_FORMATS:
        raise UsageError(f"{form!r} is no format for a clip", f"use one of {', '.join(CLIP_FORMATS)}")
    if output is not None:
        ending = output.suffix[1:].lower()
        if form is not None and ending != form:
            raise UsageError(f"{output} does not end in .{form}", "drop --format, or name the clip accordingly")
        if ending not in CLIP_FORMATS:
            container_of(output)
        check_output(output, overwrite=False)
    order = ClipOrder(
        output,
        None if arguments.last is None else parse_time(arguments.last),
        arguments.exact,
        form,
        None if arguments.max_size is None else parse_size(arguments.max_size),
        arguments.ledger,
    )
    return _saved(arguments, _order(arguments, options=order.as_options()))


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
        say(
            arguments,
            "  ".join(
                [recorder["name"], str(recorder.get("state")), *_measures(recorder), str(recorder.get("path") or "")]
            ).rstrip(),
        )
    return 0


#: The keys of a recorder in the JSON of `status` that scripts rely on; what is not known or not there is null.
_STATUS_KEYS = ("name", "state", "path", "elapsed_s", "size_bytes", "buffer_s", "buffer_bytes", "pid")


def _as_status(recorder: dict[str, Any]) -> dict[str, Any]:
    more = {key: value for key, value in recorder.items() if key != "ok"}
    return {key: recorder.get(key) for key in _STATUS_KEYS} | more


def _stop(arguments: Arguments) -> int:
    answer = _order(arguments)
    if answer.get("path"):
        return _saved(arguments, answer)
    say(arguments, "it waits no more" if answer.get("state") in ("armed", "standby") else "nothing was kept")
    return 0


def _saved(arguments: Arguments, answer: dict[str, Any]) -> int:
    """Say where a recorder has saved a file, and what it found in it."""
    say(arguments, "  ".join([f"saved {answer['path']}", *_measures(answer)]))
    if answer.get("note"):
        say(arguments, str(answer["note"]))
    if answer.get("check", "ok") != "ok":
        return fail(f"the check found: {answer['check']}", 1, arguments.debug)
    return 0


def _change(arguments: Arguments) -> int:
    answer = _order(arguments)
    state = str(answer.get("state"))
    say(arguments, f"{'resumed' if arguments.verb == 'resume' else state}{_at(answer)}")
    return 0


def _discard(arguments: Arguments) -> int:
    answer = _order(arguments)
    say(arguments, f"{answer['discarded']} is gone" if answer.get("discarded") else "it waits no more")
    return 0


def _mark(arguments: Arguments) -> int:
    answer = _order(arguments, arguments.text)
    say(arguments, f"marked{_at(answer)}  {arguments.text}".rstrip())
    return 0


def _preview(arguments: Arguments) -> int:
    _order(arguments)
    say(arguments, "playing what was recorded so far")
    return 0


def _order(arguments: Arguments, text: str = "", options: dict[str, Any] | None = None) -> dict[str, Any]:
    """Give the recorder the order that the verb is, and print its answer where JSON is wanted."""
    from capture.remote.client import ask

    answer = ask(arguments.verb, name=arguments.name, text=text, options=options)
    if arguments.json:
        write_json(answer)
    return answer


def _measures(answer: dict[str, Any]) -> list[str]:
    """How long and how large, as far as the recorder told."""
    # After the order was given: it takes longer to load than that.
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
    "toggle": _change,
    "discard": _discard,
    "mark": _mark,
    "preview": _preview,
    "clip": _clip,
}
