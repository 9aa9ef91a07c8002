"""Which of several recorders a command goes to when the user named none."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest
from scripted_recorder import ScriptedSession, recorder

from capture.errors import CaptureError, UsageError
from capture.events import Command
from capture.remote.client import ask
from capture.remote.routing import KEEP_BUFFER, choose


def status(name: str, state: str, replay_s: float | None = None) -> dict[str, Any]:
    return {"name": name, "state": state, "replay_s": replay_s}


RECORDING: Final = status("recording", "recording")
PAUSED: Final = status("paused", "paused")
ARMED: Final = status("armed", "armed")
STANDBY: Final = status("standby", "standby")
REPLAY: Final = status("replay", "standby", 60.0)
FINISHING: Final = status("finishing", "finishing")
BOTH: Final = status("both", "recording", 60.0)
SILENT: Final = {"name": "silent", "state": "not_answering"}


@pytest.mark.parametrize(
    ("verb", "running", "chosen"),
    [
        ("stop", (REPLAY, RECORDING, ARMED), "recording"),
        ("stop", (REPLAY, PAUSED), "paused"),
        ("stop", (REPLAY, BOTH), "both"),
        ("stop", (REPLAY, FINISHING), "finishing"),
        ("stop", (REPLAY, ARMED), "armed"),
        ("stop", (REPLAY, STANDBY), "standby"),
        ("stop", (REPLAY, SILENT), "replay"),
        ("toggle", (REPLAY, RECORDING), "recording"),
        ("toggle", (REPLAY, ARMED), "replay"),
        ("toggle", (REPLAY, FINISHING), "replay"),
        ("pause", (REPLAY, PAUSED, RECORDING), "recording"),
        ("pause", (REPLAY, PAUSED), "paused"),
        ("resume", (PAUSED, RECORDING), "paused"),
        ("toggle_pause", (REPLAY, PAUSED), "paused"),
        ("discard", (REPLAY, RECORDING), "recording"),
        ("discard", (REPLAY, ARMED), "armed"),
        ("mark", (REPLAY, RECORDING), "recording"),
        ("mark", (REPLAY, STANDBY), "replay"),
        ("preview", (RECORDING, PAUSED), "paused"),
        ("clip", (RECORDING, REPLAY), "replay"),
        ("clip", (RECORDING, BOTH, STANDBY), "both"),
    ],
)
def test_a_command_goes_to_the_recorder_that_can_obey_it(
    verb: str, running: tuple[dict[str, Any], ...], chosen: str
) -> None:
    assert running[choose(verb, running)]["name"] == chosen
    backwards = running[::-1]
    assert backwards[choose(verb, backwards)]["name"] == chosen


@pytest.mark.parametrize(
    ("verb", "running", "names"),
    [
        ("stop", (RECORDING, PAUSED, REPLAY), "recording, paused"),
        ("stop", (REPLAY, {**REPLAY, "name": "other"}), "replay, other"),
        ("toggle", (STANDBY, REPLAY), "standby, replay"),
        ("clip", (REPLAY, BOTH), "replay, both"),
        ("status", (RECORDING, REPLAY), "recording, replay"),
    ],
)
def test_only_a_tie_asks_for_a_name(verb: str, running: tuple[dict[str, Any], ...], names: str) -> None:
    with pytest.raises(UsageError) as refused:
        choose(verb, running)
    assert str(refused.value) == f"several recorders are running ({names}): choose one with --name"


@pytest.mark.parametrize(
    ("verb", "running"),
    [("pause", (REPLAY, STANDBY)), ("toggle_pause", (REPLAY, ARMED)), ("clip", (RECORDING, SILENT))],
)
def test_where_nobody_can_obey_it_says_what_each_does(verb: str, running: tuple[dict[str, Any], ...]) -> None:
    with pytest.raises(CaptureError, match="no recorder that runs can") as refused:
        choose(verb, running)
    assert refused.value.exit_code == 1
    assert f"{running[1]['name']}: {running[1]['state'].replace('_', ' ')}" in str(refused.value)


def test_a_command_reaches_the_chosen_recorder_alone(runtime_path: Path) -> None:
    with ExitStack() as running:

        def start(found: dict[str, Any]) -> ScriptedSession:
            return running.enter_context(recorder(runtime_path, lambda request: {"ok": True, **found}, found["name"]))

        replay, take = start(REPLAY), start(RECORDING)
        assert ask("stop", folder=runtime_path)["name"] == "recording"
        assert ask("clip", folder=runtime_path)["name"] == "replay"
        assert ask("stop", name="replay", folder=runtime_path)["name"] == "replay"
    assert [request.command for request in take.requests] == [Command.STATUS, Command.STOP, Command.STATUS]
    # Only a stop by name may end the replay buffer.
    assert take.requests[1].options == {KEEP_BUFFER: True}
    assert [request.command for request in replay.of(Command.STOP)] == [Command.STOP]
    assert replay.of(Command.STOP)[0].options == {}
