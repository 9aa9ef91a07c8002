"""A server with as many clients as it takes refuses the second connection of a source, which records all the same."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

import pytest
from running import LIMIT_S, eventually
from stage import module, pactl

from capture.errors import NotReadyError
from capture.sources.pulse.device_source import PulseSource
from capture.sources.pulse.loop import Loop
from capture.virtual.desk import VirtualDesk

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

#: More than any server takes: PulseAudio takes 64, and has no setting for it.
MANY: Final = 1000


class Crowd:
    """Clients of the sound server that ask for nothing, as many as it takes."""

    def __init__(self, room: ExitStack) -> None:
        self._clients: list[Loop] = []
        for _ in range(MANY):
            client = Loop("crowd")
            room.callback(client.close)
            if not _is_let_in(client):
                return
            self._clients.append(client)
        pytest.fail("the server has no limit")

    def leave_room(self) -> None:
        """Leave room for one other client."""
        self._clients.pop().close()


def _is_let_in(client: Loop) -> bool:
    def is_answered() -> bool:
        client.serve(0.1)
        return client.connected or client.failed

    eventually(is_answered, "an answer")
    return client.connected


@pytest.fixture
def other(sound_desk: VirtualDesk) -> Iterator[str]:
    """A second output of the desk, which is not the default."""
    with module(
        os.environ, "module-null-sink", "sink_name=other", "norewinds=1", "sink_properties=device.description=Other"
    ):
        pactl(os.environ, "set-default-sink", sound_desk.sink)
        yield "other"


@pytest.mark.usefixtures("other")
def test_a_source_records_and_follows_the_default_without_its_second_connection() -> None:
    reported: list[str] = []
    source = PulseSource("internal", "Desk", 2, report=lambda kind, detail: reported.append(detail))
    with ExitStack() as room:
        crowd = Crowd(room)
        with pytest.raises(NotReadyError, match="no sound server answers"):
            source.open()
        source.close()
        crowd.leave_room()
        eventually(lambda: _opens(source), "there is room for one")
        room.callback(source.close)
        assert source._bell is not None
        assert source._bell.failed
        first = source.read(time.monotonic() + LIMIT_S)
        assert first is not None
        assert len(first.data)
        crowd.leave_room()
        eventually(lambda: _makes_default("other"), "there is room for another client")
        until_s = time.monotonic() + LIMIT_S
        while reported != ["internal: now Other"]:
            assert source.read(until_s) is not None


def _makes_default(sink: str) -> bool:
    try:
        pactl(os.environ, "set-default-sink", sink)
    except subprocess.CalledProcessError:
        return False
    return True


def _opens(source: PulseSource) -> bool:
    try:
        source.open()
    except NotReadyError:
        source.close()
        return False
    return True
