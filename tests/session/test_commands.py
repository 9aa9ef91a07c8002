"""The table of commands: every phase has an answer to every command, and the answers that people rely on."""

from __future__ import annotations

import pytest

from capture.events import Command
from capture.session.commands import Action, Phase, action_of


@pytest.mark.parametrize("phase", Phase)
def test_every_command_has_an_answer_in_every_phase(phase: Phase) -> None:
    for command in Command:
        action = action_of(phase, command)
        assert isinstance(action, Action) or action.strip()


@pytest.mark.parametrize("phase", Phase)
def test_status_is_always_answered(phase: Phase) -> None:
    assert action_of(phase, Command.STATUS) is Action.ANSWER


@pytest.mark.parametrize(
    ("phase", "command", "expected"),
    [
        (Phase.PREPARING, Command.STOP, Action.END),
        (Phase.PREPARING, Command.PAUSE, "nothing is being recorded yet"),
        (Phase.ARMED, Command.TOGGLE, Action.BEGIN),
        (Phase.ARMED, Command.DISCARD, Action.END),
        (Phase.STANDBY, Command.TOGGLE, Action.BEGIN),
        (Phase.STANDBY, Command.TOGGLE_PAUSE, "nothing is being recorded yet"),
        (Phase.STANDBY, Command.DISCARD, "nothing is being recorded yet"),
        (Phase.RECORDING, Command.TOGGLE, Action.END),
        (Phase.RECORDING, Command.RESUME, Action.ANSWER),
        (Phase.RECORDING, Command.PREVIEW, "pause first: a preview played while recording would be recorded"),
        (Phase.PAUSED, Command.TOGGLE_PAUSE, Action.RESUME),
        (Phase.PAUSED, Command.PREVIEW, Action.PREVIEW),
        (Phase.FINISHING, Command.PAUSE, "the recording is being finished"),
        (Phase.FINISHING, Command.STOP, Action.AWAIT_FILE),
        (Phase.CLOSING, Command.CLIP, "the recorder is shutting down"),
    ],
)
def test_actions_and_refusals_that_users_rely_on(phase: Phase, command: Command, expected: Action | str) -> None:
    assert action_of(phase, command) == expected


def test_a_recording_can_always_be_ended() -> None:
    for phase in (Phase.RECORDING, Phase.PAUSED):
        for command in (Command.STOP, Command.QUIT, Command.DISCARD, Command.TOGGLE):
            assert action_of(phase, command) is Action.END
