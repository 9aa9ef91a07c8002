"""A stage for tests of sound tracks: scripted blocks in, lossless packets out, on a clock that never really waits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from capture.clock import SteppedClock
from capture.codecs.audio_encoder import AudioEncoder
from capture.events import Event, Level
from capture.media import SAMPLE_RATE, Attenuation, SampleArray, Samples
from capture.pipeline.sound_grabber import QUIET_S, Heard, Quiet
from capture.pipeline.sound_track import SoundTrack
from capture.threads.mailbox import Closed, Mailbox
from capture.timing.timeline import Timeline

__all__ = ["BLOCK", "BLOCK_S", "EPOCH_S", "STEP", "TrackStage", "constant", "tone"]

EPOCH_S = 64.0
BLOCK = 960
BLOCK_S = BLOCK / SAMPLE_RATE

#: Rounding to 16 bits is off by up to half a step.
STEP = 1 / 32767


class Blocks(Mailbox[tuple[int, Heard]]):
    """A track's input on a script. The clock advances while the track waits; the mailbox closes at `end_s`.

    Each source says how long it has been quiet, as its reader does, except for those in `hung`.
    """

    def __init__(self, clock: SteppedClock, end_s: float, sources: int) -> None:
        super().__init__(1)
        self.clock = clock
        self.script: list[tuple[float, tuple[int, Heard] | Callable[[], None]]] = []
        self.hung: set[int] = set()
        self._end_s = EPOCH_S + end_s
        self._quiet_at_s = dict.fromkeys(range(sources), EPOCH_S + QUIET_S)

    def get(self, timeout_s: float | None = None) -> tuple[int, Heard]:
        due_s, number = min(
            ((at_s, number) for number, at_s in self._quiet_at_s.items() if number not in self.hung),
            default=(math.inf, 0),
        )
        if timeout_s is not None and due_s < self._end_s:
            next_s = self.script[0][0] if self.script else math.inf
            if due_s < min(next_s, self.clock.now_s() + timeout_s):
                self._advance_to(due_s)
                self._quiet_at_s[number] = due_s + QUIET_S
                return number, Quiet(due_s)
        number, heard = self._next(timeout_s)
        self._quiet_at_s[number] = self.clock.now_s() + QUIET_S
        return number, heard

    def _next(self, timeout_s: float | None) -> tuple[int, Heard]:
        assert timeout_s is not None, "a track that waits without a timeout cannot notice silence"
        gives_up_s = self.clock.now_s() + timeout_s
        while self.script and self.script[0][0] <= gives_up_s:
            at_s, item = self.script.pop(0)
            self._advance_to(at_s)
            if not callable(item):
                return item
            before_s = self.clock.now_s()
            item()
            if self.clock.now_s() > before_s:
                # The readers did not run either.
                self._quiet_at_s = dict.fromkeys(self._quiet_at_s, self.clock.now_s() + QUIET_S)
            if self.clock.now_s() > gives_up_s:
                raise TimeoutError
        if not self.script and gives_up_s >= self._end_s:
            self._advance_to(self._end_s)
            raise Closed
        self._advance_to(gives_up_s)
        raise TimeoutError

    def _advance_to(self, at_s: float) -> None:
        self.clock.advance(max(0.0, at_s - self.clock.now_s()))


@dataclass
class TrackStage:
    """A track with one source per item of `channels`, encoded without loss."""

    channels: Sequence[int] = (2,)
    end_s: float = 4.0
    events: list[Event] = field(default_factory=list)
    packets: list[av.Packet[Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = SteppedClock(EPOCH_S)
        self.timeline = Timeline(EPOCH_S, self.end_s)
        self.blocks = Blocks(self.clock, self.end_s, len(self.channels))
        self.encoder = AudioEncoder("pcm_s16le", max(self.channels))
        self.track = SoundTrack(
            "internal",
            self.channels,
            self.encoder,
            self.timeline,
            self.blocks,
            self.packets.extend,
            self.clock,
            self.events.append,
        )

    def play(
        self,
        sound: SampleArray,
        *,
        source: int = 0,
        from_s: float = 0.0,
        late_s: float = 0.0,
        attenuation: Attenuation = Attenuation(),  # noqa: B008 - immutable
    ) -> None:
        """Make a source deliver `sound`, heard from `from_s` on, in blocks of 20 ms, each when it ends."""
        for start in range(0, len(sound), BLOCK):
            data = sound[start : start + BLOCK]
            heard_at_s = EPOCH_S + from_s + start / SAMPLE_RATE
            self.add(
                heard_at_s + len(data) / SAMPLE_RATE + late_s,
                (source, Samples(data, heard_at_s, attenuation=attenuation)),
            )

    def at(self, at_s: float, call: Callable[[], None]) -> None:
        self.add(EPOCH_S + at_s, call)

    def add(self, at_s: float, item: tuple[int, Heard] | Callable[[], None]) -> None:
        self.blocks.script.append((at_s, item))
        self.blocks.script.sort(key=lambda step: step[0])

    def levels(self, *at_s: float) -> list[Level]:
        """Run the track and return its levels at these moments."""
        found: list[Level] = []
        for moment_s in at_s:
            self.at(moment_s, lambda: found.append(self.track.level()))
        self.run()
        return found

    def run(self) -> npt.NDArray[np.float64]:
        """Run the track to its end and return the encoded samples, full scale at ±1."""
        self.track.run()
        return self.recorded()

    def recorded(self) -> npt.NDArray[np.float64]:
        whole = b"".join(bytes(packet) for packet in self.packets)
        samples = np.frombuffer(whole, "<i2").reshape(-1, max(self.channels))
        return samples.astype(np.float64) / 32767


def tone(seconds: float, peak: float, channels: int = 2, hz: float = 500.0) -> SampleArray:
    """Return a sine; channel n has (n + 1) times the frequency."""
    times = np.arange(round(seconds * SAMPLE_RATE))[:, None] / SAMPLE_RATE
    return (peak * np.sin(2 * np.pi * hz * (1 + np.arange(channels)) * times)).astype(np.float32)


def constant(seconds: float, value: float, channels: int = 2) -> SampleArray:
    return np.full((round(seconds * SAMPLE_RATE), channels), value, np.float32)
