"""A connection to the sound server is woken in time, and what the server reports is always read."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Final

import pytest
from running import LIMIT_S, eventually
from stage import pactl

from capture.sources.pulse.application_source import ApplicationSource
from capture.sources.pulse.loop import Loop
from capture.virtual.desk import VirtualDesk

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

#: Longer than a test.
NEVER_S: Final = 600.0


@pytest.mark.usefixtures("sound_desk")
def test_what_wakes_a_loop_before_it_waits_ends_the_wait() -> None:
    loop = Loop("test")
    while not loop.connected:
        loop.serve(0.1)
    # All messages of the start are read.
    loop.outputs()
    loop.wake()
    waiting = threading.Thread(target=loop.serve, args=(NEVER_S,))
    waiting.start()
    waiting.join(LIMIT_S)
    has_ended = not waiting.is_alive()
    loop.wake()
    waiting.join()
    loop.close()
    assert has_ended


def test_both_connections_are_served_while_nothing_plays(
    sound_desk: VirtualDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: set[Loop] = set()
    monkeypatch.setattr(Loop, "_note_change", lambda loop, *event: noted.add(loop))
    source = ApplicationSource("app:nothing", "nothing")
    source.open()

    def are_served() -> bool:
        pactl(os.environ, "set-source-mute", f"{sound_desk.sink}.monitor", "toggle")
        source.read(time.monotonic() + 0.01)
        return len(noted) == 2

    eventually(are_served, "a report on each connection")
    source.close()
