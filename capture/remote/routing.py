"""Chooses the recorder that a command is for, when several run and the user named none.

A command goes to the recorder that can obey it: a clip to the replay buffer, a stop to the recording. `_ORDERS` is the
whole rule; the user is asked for a name only where two recorders fit equally well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from capture.errors import CaptureError, UsageError

__all__ = ["KEEP_BUFFER", "choose"]

#: A recorder's answer to `status`.
Status: TypeAlias = Mapping[str, Any]

#: The option of a `stop` that names no recorder: it must not end one that only keeps a replay buffer, because what was
#: meant is a recording, and that may have ended a moment ago.
KEEP_BUFFER: Final = "keep_buffer"


def _records(status: Status) -> bool:
    return status["state"] in ("recording", "paused")


def _is(*states: str) -> Callable[[Status], bool]:
    return lambda status: status["state"] in states


def _keeps_buffer(status: Status) -> bool:
    return status.get("replay_s") is not None


def _only_waits(status: Status) -> bool:
    return status["state"] == "standby" and not _keeps_buffer(status)


#: Whom each command is for: the first of these that is true of any recorder decides.
_ORDERS: Final[Mapping[str, Sequence[Callable[[Status], bool]]]] = {
    "stop": (_records, _is("finishing"), _is("armed", "idle"), _only_waits, _keeps_buffer),
    "toggle": (_records, _is("standby"), _is("armed", "idle"), _is("finishing")),
    "pause": (_is("recording"), _is("paused")),
    "resume": (_is("paused"), _is("recording")),
    "toggle_pause": (_records,),
    "discard": (_records, _is("armed", "idle")),
    "mark": (_records, _keeps_buffer),
    "preview": (_is("paused"), _is("recording")),
    "clip": (_keeps_buffer,),
}


def choose(verb: str, statuses: Sequence[Status]) -> int:
    """Return the index of the status of the recorder that `verb` is for.

    Raises `UsageError` when several fit equally well, `CaptureError` when none does.
    """
    fitting = list(range(len(statuses)))
    if verb in _ORDERS:
        ranks = ([index for index in fitting if fits(statuses[index])] for fits in _ORDERS[verb])
        fitting = next(filter(None, ranks), [])
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = ", ".join(str(statuses[index]["name"]) for index in fitting)
        raise UsageError(f"several recorders are running ({names})", "choose one with --name")
    states = ", ".join(f"{status['name']}: {status['state'].replace('_', ' ')}" for status in statuses)
    what = "pause" if verb == "toggle_pause" else verb
    raise CaptureError(f"no recorder that runs can {what} now ({states})", "see capture status")
