"""A default output that changes costs nothing: what is left goes on being recorded until the next one delivers."""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from typing import Final

import pytest
from running import LIMIT_S, eventually
from servers import ON_BOTH_SERVERS
from stage import module, pactl

from capture.media import Samples
from capture.sources.pulse import reader
from capture.sources.pulse.device_source import PulseSource
from capture.sources.pulse.reader import PulseReader
from capture.sources.pulse.timed_stream import TimestampedStream
from capture.virtual.desk import VirtualDesk

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

#: How long the next output delivers nothing.
LONG_S: Final = 0.5

#: Longer than a test.
NEVER_S: Final = 600.0


class Listening:
    """Reads `internal` in a thread of its own."""

    #: How long the source may wait for a whole block.
    read_s = 0.1

    def __init__(self) -> None:
        self.blocks: list[Samples] = []
        self.reported: list[str] = []
        self._ending = False
        self._source = PulseSource("internal", "Desk", 2, report=lambda kind, detail: self.reported.append(detail))
        self._source.open()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def breaks(self) -> int:
        """How often another stream has begun."""
        return sum(not len(each.data) for each in self.blocks)

    @property
    def until_s(self) -> float:
        """When the last sample was heard."""
        return self.blocks[-1].ends_at_s if self.blocks else 0.0

    def _run(self) -> None:
        while not self._ending:
            samples = self._source.read(time.monotonic() + self.read_s)
            if samples is not None:
                self.blocks.append(samples)

    def close(self) -> None:
        self._ending = True
        self._source.wake()
        self._thread.join()
        self._source.close()


@pytest.fixture
def listen(sound_desk: VirtualDesk) -> Iterator[Callable[[], Listening]]:
    """Begins to listen on a desk with a second output, `other`."""
    with ExitStack() as room:
        properties = "sink_properties=device.description=Other"
        room.enter_context(module(os.environ, "module-null-sink", "sink_name=other", "norewinds=1", properties))
        pactl(os.environ, "set-default-sink", sound_desk.sink)

        def call() -> Listening:
            listening = Listening()
            room.callback(listening.close)
            return listening

        yield call


def test_what_is_left_goes_on_until_the_next_output_delivers(
    listen: Callable[[], Listening], monkeypatch: pytest.MonkeyPatch
) -> None:
    # However busy the machine is.
    monkeypatch.setattr(reader, "SUCCESSION_S", math.inf)
    listening = listen()
    pactl(os.environ, "suspend-sink", "other", "1")
    pactl(os.environ, "set-default-sink", "other")
    eventually(lambda: listening.reported, "the next output")
    goes_on_until_s = listening.until_s + LONG_S
    eventually(lambda: listening.until_s > goes_on_until_s, "the sound of the old one")
    assert listening.breaks == 0
    pactl(os.environ, "suspend-sink", "other", "0")
    eventually(lambda: listening.breaks, "the end of the old one")
    eventually(lambda: len(listening.blocks[-1].data), "the sound of the new one")
    listening.close()
    assert {each.lane for each in listening.blocks} == {0}
    sounds = [each for each in listening.blocks if len(each.data)]
    apart_s = [after.captured_at_s - before.ends_at_s for before, after in pairwise(sounds)]
    # The first stamps of an output that was suspended are off by some hundredths of a second.
    assert max(map(abs, apart_s)) < LONG_S / 2, apart_s


@ON_BOTH_SERVERS
def test_a_change_ends_the_rest_until_a_block_is_complete(
    listen: Callable[[], Listening], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, rest, rests = vars(TimestampedStream)["complete_in_s"], PulseReader._rest, threading.Event()

    def complete_in_s(stream: TimestampedStream) -> float:
        # A stream that needs attention now allows no rest: nothing else may end it.
        return NEVER_S if usual.fget(stream) > 0.0 else 0.0

    def note_rest(source: PulseReader, until_s: float) -> None:
        if until_s > time.monotonic() + LIMIT_S and all(heard.complete_in_s for heard in source._streams.values()):
            rests.set()
        rest(source, until_s)

    monkeypatch.setattr(TimestampedStream, "complete_in_s", property(complete_in_s))
    monkeypatch.setattr(TimestampedStream, "waits_until_s", math.inf)
    monkeypatch.setattr(PulseReader, "_rest", note_rest)
    monkeypatch.setattr(Listening, "read_s", NEVER_S)
    listening = listen()
    eventually(rests.is_set, "the rest")
    pactl(os.environ, "set-default-sink", "other")
    eventually(lambda: listening.reported == ["internal: now Other"], "the report")


def test_an_output_that_delivers_nothing_is_not_waited_for(
    listen: Callable[[], Listening], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TimestampedStream, "begins_at_s", property(lambda self: None))
    monkeypatch.setattr(reader, "SUCCESSION_S", 0.0)
    listening = listen()
    pactl(os.environ, "set-default-sink", "other")
    eventually(lambda: listening.breaks, "the end of the old one")
    eventually(lambda: len(listening.blocks[-1].data), "the sound of the new one")
