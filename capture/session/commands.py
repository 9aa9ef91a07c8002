"""The table of what a session does with each command in each phase: an action, or a refusal."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from capture.events import Command

__all__ = ["Action", "Phase", "Refusal", "action_of"]


class Phase(Enum):
    """What a session is doing when a command arrives."""

    #: Finding and opening devices, or counting down.
    PREPARING = "preparing"
    #: Waiting for sound or a key to start a recording.
    ARMED = "armed"
    #: Waiting for commands to start any number of recordings.
    STANDBY = "standby"
    RECORDING = "recording"
    PAUSED = "paused"
    #: Finishing the file of a recording.
    FINISHING = "finishing"
    #: Saving the last clips; then the session ends.
    CLOSING = "closing"


class Action(Enum):
    """How a session carries out a command."""

    #: Answer with the state, and do nothing else.
    ANSWER = "answer"
    #: Start a recording.
    BEGIN = "begin"
    #: Stop the recording, or the wait for one.
    END = "end"
    PAUSE = "pause"
    RESUME = "resume"
    MARK = "mark"
    PREVIEW = "preview"
    CLIP = "clip"
    #: Start the next recording when this one is finished.
    NEXT = "next"
    #: Answer when the file is finished.
    AWAIT_FILE = "await file"


#: Why a command is refused; the text of the answer.
Refusal = str

_NOT_YET: Final = "nothing is being recorded yet"
_FINISHING: Final = "the recording is being finished"
_ENDING: Final = "the recorder is shutting down"

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
        # There is no recording to discard, and ending the wait would lose the replay buffer.
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
    """Return what to do about `command` in `phase`: an action, or the text of a refusal."""
    return _TABLE[phase][command]
