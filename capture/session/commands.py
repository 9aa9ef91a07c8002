"""Which command a session obeys in which phase, and what it answers to the others. One table, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from capture.events import Command

__all__ = ["Action", "Phase", "Refusal", "action_of"]


class Phase(Enum):
    """What a session is doing when a command reaches it."""

    #: Devices are being found and opened, or the countdown runs.
    PREPARING = "preparing"
    #: It waits for sound or for a key to begin one recording.
    ARMED = "armed"
    #: It waits for any number of recordings.
    STANDBY = "standby"
    RECORDING = "recording"
    PAUSED = "paused"
    #: The file of a recording is being finished.
    FINISHING = "finishing"
    #: The last clips are being saved; then the session ends.
    CLOSING = "closing"


class Action(Enum):
    """What obeying a command comes to."""

    #: Answer with the state of things; there is nothing else to do.
    ANSWER = "answer"
    #: Begin a recording.
    BEGIN = "begin"
    #: End the recording, or the wait for one.
    END = "end"
    PAUSE = "pause"
    RESUME = "resume"
    MARK = "mark"
    PREVIEW = "preview"
    CLIP = "clip"
    #: Begin the next recording, once this one is finished.
    NEXT = "next"
    #: Answer when the file is finished.
    AWAIT_FILE = "await file"


#: Why a command is refused, for the one who gave it.
Refusal = str

_NOT_YET: Final = "nothing is being recorded yet"
_FINISHING: Final = "the recording is being finished"
_ENDING: Final = "the recorder is ending"

_WHILE_RECORDING: Final[Mapping[Command, Action | Refusal]] = {
    Command.START: Action.ANSWER,
    Command.STOP: Action.END,
    Command.QUIT: Action.END,
    Command.TOGGLE: Action.END,
    Command.DISCARD: Action.END,
    Command.PAUSE: Action.PAUSE,
    Command.RESUME: Action.ANSWER,
    Command.TOGGLE_PAUSE: Action.PAUSE,
    Command.MARK: Action.MARK,
    Command.PREVIEW: "pause first: a preview played while recording would be recorded",
    Command.CLIP: Action.CLIP,
    Command.STATUS: Action.ANSWER,
}

_WHILE_ARMED: Final[Mapping[Command, Action | Refusal]] = {
    Command.START: Action.BEGIN,
    Command.TOGGLE: Action.BEGIN,
    Command.STOP: Action.END,
    Command.QUIT: Action.END,
    Command.DISCARD: Action.END,
    Command.PAUSE: _NOT_YET,
    Command.RESUME: _NOT_YET,
    Command.TOGGLE_PAUSE: _NOT_YET,
    Command.MARK: Action.MARK,
    Command.PREVIEW: _NOT_YET,
    Command.CLIP: Action.CLIP,
    Command.STATUS: Action.ANSWER,
}

_TABLE: Final[Mapping[Phase, Mapping[Command, Action | Refusal]]] = {
    Phase.PREPARING: {
        **dict.fromkeys(Command, _NOT_YET),
        **dict.fromkeys((Command.STOP, Command.QUIT, Command.DISCARD, Command.TOGGLE), Action.END),
        Command.STATUS: Action.ANSWER,
    },
    Phase.ARMED: _WHILE_ARMED,
    Phase.STANDBY: {
        **_WHILE_ARMED,
        # A desktop's key may be bound to this one command alone.
        Command.TOGGLE_PAUSE: Action.BEGIN,
        # There is no recording to discard, and nobody means to end the wait and lose the replay buffer.
        Command.DISCARD: _NOT_YET,
    },
    Phase.RECORDING: _WHILE_RECORDING,
    Phase.PAUSED: {
        **_WHILE_RECORDING,
        Command.PAUSE: Action.ANSWER,
        Command.RESUME: Action.RESUME,
        Command.TOGGLE_PAUSE: Action.RESUME,
        Command.PREVIEW: Action.PREVIEW,
    },
    Phase.FINISHING: {
        **dict.fromkeys(Command, _FINISHING),
        Command.START: Action.NEXT,
        Command.TOGGLE: Action.NEXT,
        Command.STOP: Action.AWAIT_FILE,
        Command.QUIT: Action.AWAIT_FILE,
        Command.CLIP: Action.CLIP,
        Command.STATUS: Action.ANSWER,
    },
    Phase.CLOSING: {**dict.fromkeys(Command, _ENDING), Command.STATUS: Action.ANSWER},
}


def action_of(phase: Phase, command: Command) -> Action | Refusal:
    """What to do about `command` in `phase`: an action, or the words of a refusal."""
    return _TABLE[phase][command]
