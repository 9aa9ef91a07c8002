"""A hundred pauses with a mark and a clip at every step: nothing is lost, and picture and sound stay in sync.

The clock is stepped, so every moment is exact and independent of the speed of the machine. The long run saves a clip at
every single step: `python -m pytest -m long tests/faults/test_every_moment.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pytest
from reopened import Track, each_picture, pictures, sound
from running import eventually
from takes import Recording, Stage

from capture.clock import Clock, SteppedClock
from capture.events import Command, State
from capture.media import SAMPLE_RATE, Frame
from capture.output.naming import ledger_of
from capture.recordings.check import check
from capture.sources.pattern import PatternFrames, draw_pattern, read_clock
from capture.sources.scripted import ScriptedBlock, ScriptedSamples
from capture.timing.timeline import Timeline
from capture.triggers.trigger import Trigger

Floats = npt.NDArray[np.float64]

PAUSES: Final = 100
STEP_S: Final = 0.005
SLOT_S: Final = 1 / 30

#: The length of each clip from the replay buffer of five seconds.
CLIP_S: Final = 1.5

#: The promise: picture and sound are at most this far apart. The tests measure against it.
SYNC_S: Final = 0.02

#: Sound is compared in windows of this length; each spans several pauses.
WINDOW_S: Final = 0.4

#: Only every sixth sample is compared: the noise has no higher frequencies to miss.
THINNED: Final = 6

#: How many clips are saved at once: more than any user would.
AT_ONCE: Final = 4

SIZE: Final = (320, 180)


class SmallPattern(PatternFrames):
    """The test pattern, small enough to be encoded hundreds of times."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.width, self.height = SIZE

    def grab(self) -> Frame:
        now_s = self._clock.now_s()
        return Frame(draw_pattern(max(0.0, now_s - self._epoch_s), *SIZE), now_s)


def noise(seconds: float) -> Floats:
    """Noise: float64 samples that never repeat, low enough in frequency to survive a lossy encoder."""
    rough = np.random.default_rng(11).normal(size=round(seconds * SAMPLE_RATE))
    smooth = np.convolve(rough, np.hanning(32), "same")
    return np.asarray(0.2 * smooth / np.abs(smooth).max() * 3, np.float64).clip(-0.9, 0.9)


NOISE: Final = noise(14.0)


def blocks() -> Iterator[ScriptedBlock]:
    for first in range(0, len(NOISE), 960):
        yield ScriptedBlock(
            np.repeat(NOISE[first : first + 960, None], 2, axis=1).astype(np.float32), first / SAMPLE_RATE
        )


class Stepped:
    """A recording with a replay buffer on a clock that the test steps."""

    def __init__(self, path: Path, triggers: Sequence[Trigger] = ()) -> None:
        self.clock = SteppedClock(64.0)
        sources = Stage(frames=SmallPattern, samples=lambda name, clock: ScriptedSamples(name, clock, blocks()))
        more = {"replay_s": 5.0, "ledger": True, "clock": self.clock, "triggers": triggers}
        self.recording = Recording(path, video=True, sources=sources, **more)

    @property
    def now_s(self) -> float:
        return self.clock.now_s()

    def begin(self) -> None:
        self.recording.until(State.RECORDING)
        feed = self.recording.session._core.feed
        assert feed is not None
        self.feed = feed
        #: The pauses as sent to the session, tracked independently.
        self.timeline = Timeline(feed.pipeline.timeline.epoch_s)
        self.settle()

    def order(self, command: Command, text: str = "") -> None:
        """Send a command and wait for its answer before the clock advances."""
        answers = self.recording.send(command, text, at_s=self.now_s)
        eventually(lambda: answers, f"an answer to {command}")

    def end(self, command: Command) -> None:
        """End the recording now. Step the clock until it ends, because the session waits for the last of the sound."""
        self.recording.send(command, at_s=self.now_s)
        while self.recording.session.state is State.RECORDING or self.recording.is_running:
            self.clock.advance(STEP_S)
            self.recording.wait(0.01)

    def settle(self) -> None:
        """Wait until the devices wait for the clock and the encoders have taken everything they delivered."""
        self.clock.await_waiters(2)
        eventually(lambda: not any(inlet._items for inlet in self.feed.pipeline._inlets), "an encoder")  # type: ignore[attr-defined]

    def go_on(self, steps: int) -> None:
        for _ in range(steps):
            self.clock.advance(STEP_S)
            self.settle()

    def media_s(self, at_s: float) -> float:
        return self.timeline.media_s(at_s)


@pytest.mark.parametrize("clip_every", [8, pytest.param(1, marks=pytest.mark.long)])
def test_marks_and_clips_are_exact_at_every_step_of_a_hundred_pauses(clip_every: int, tmp_path: Path) -> None:
    path, folder = tmp_path / "out.mkv", tmp_path / "clips"
    folder.mkdir()
    stepped = Stepped(path)
    random = np.random.default_rng(5)
    marks_s: list[float] = []
    clips: list[tuple[float, Path, list[dict[str, Any]]]] = []
    with stepped.recording as recording:
        stepped.begin()
        stepped.go_on(round(0.6 / STEP_S))
        for moment in range(2 * PAUSES):
            pausing = moment % 2 == 0
            now_s = stepped.now_s
            for mark in ("before", "after"):
                stepped.order(Command.MARK, f"{mark} {moment}")
                marks_s.append(stepped.media_s(now_s))
                if mark == "before":
                    stepped.order(Command.PAUSE if pausing else Command.RESUME)
                    (stepped.timeline.pause if pausing else stepped.timeline.resume)(now_s)
            if moment % clip_every == 0:
                clip = folder / f"{moment}.mkv"
                options = {"output": str(clip), "last_s": CLIP_S}
                answers: list[dict[str, Any]] = []
                recording.session.send(Command.CLIP, "test", at_s=now_s, answer=answers.append, options=options)
                clips.append((now_s, clip, answers))
                eventually(lambda: sum(not answers for _, _, answers in clips) <= AT_ONCE, "clips")
            stepped.go_on(int(random.integers(1, 9 if pausing else 11)))
        stepped.go_on(round(0.2 / STEP_S))
        stopped_s = stepped.now_s
        stepped.end(Command.STOP)
        summary = recording.finished()
    recording.check_answers()
    kept = kept_sound(stepped, stopped_s)
    length_s = len(kept) / SAMPLE_RATE
    # The recording as a whole.
    assert (summary.check, summary.stopped_by) == ("ok", "stop")
    assert summary.video is not None
    assert (summary.video.dropped, summary.audio[0].inserted_silence_s) == (0, 0.0)
    assert summary.duration_s == pytest.approx(length_s, abs=SYNC_S)
    assert summary.paused_s == pytest.approx(stepped.timeline.paused_s(stopped_s), abs=0.001)
    assert_together(path, stepped, kept, begins_s=0.0)
    # Every mark and every pause at its time.
    found = [event for event in summary.events if event.kind == "mark"]
    assert [event.at_s for event in found] == pytest.approx(marks_s, abs=0.001)
    for kind, place in (("pause", 0), ("resume", 1)):
        reported_s = [event.at_s for event in summary.events if event.kind == kind]
        expected_s = [stepped.media_s(pause[place]) for pause in stepped.timeline.pauses()]
        assert reported_s == pytest.approx(expected_s, abs=0.001)
    assert len(ledger_of(path).read_text().splitlines()) == len(summary.events) + 2
    # Every clip.
    assert len(clips) == 2 * PAUSES // clip_every
    for at_s, clip, (answer,) in clips:
        assert (answer.get("error"), answer.get("check")) == (None, "ok")
        assert check(clip).ok
        until_s = stepped.media_s(at_s)
        begins_s = assert_together(clip, stepped, kept)
        # A clip may be up to two seconds longer than requested, and ends almost exactly at the command.
        assert until_s - CLIP_S - 2.1 < begins_s <= max(0.0, until_s - CLIP_S) + 0.03
        assert sound(clip).end_s + begins_s == pytest.approx(until_s, abs=0.13)
        assert until_s - 0.1 < pictures(clip).moments_s[-1] + begins_s <= until_s + 0.001


def kept_sound(stepped: Stepped, stopped_s: float) -> Floats:
    """Return the samples played outside the pauses, up to the stop."""
    epoch_s = stepped.timeline.epoch_s
    heard = np.ones(round((stopped_s - epoch_s) * SAMPLE_RATE), bool)
    for from_s, to_s in stepped.timeline.pauses():
        heard[round((from_s - epoch_s) * SAMPLE_RATE) : round((to_s - epoch_s) * SAMPLE_RATE)] = False
    return NOISE[: len(heard)][heard]


def assert_together(path: Path, stepped: Stepped, kept: Floats, begins_s: float | None = None) -> float:
    """Assert that each frame and each window of sound is in its place; return the media time where the file starts."""
    shown: dict[int, tuple[float, float]] = {}
    before_s, may_be_late_s = -math.inf, 0.0
    for at_s, picture in each_picture(path):
        # No frame is shown for less than half a slot: the next one waits. With pauses, several may come within that.
        waits = at_s - before_s < 0.5 * SLOT_S + 0.002
        may_be_late_s = min(2 * SLOT_S, may_be_late_s + 0.5 * SLOT_S) if waits else 0.0
        # The first frame with this clock counts; later ones repeat it.
        shown.setdefault(read_clock(picture), (at_s, may_be_late_s))
        before_s = at_s
    offsets_s = [stepped.media_s(stepped.timeline.epoch_s + clock / 1000) - at_s for clock, (at_s, _) in shown.items()]
    if begins_s is None:
        later = list(zip(offsets_s, shown.values(), strict=True))[1:]
        in_time = [offset_s for offset_s, (_, may_be_late_s) in later if not may_be_late_s]
        # Where frames keep coming too fast, the one that is the least late counts.
        begins_s = float(np.median(in_time)) if in_time else max(offset_s for offset_s, _ in later)
    # The clock counts whole milliseconds, and so does Matroska. The first frame may have been on screen for a while;
    # the last one of a clip may come early, to be shown for half a slot.
    end_s = sound(path).end_s
    for offset_s, (at_s, may_be_late_s) in list(zip(offsets_s, shown.values(), strict=True))[1:]:
        may_be_early_s = 0.5 * SLOT_S if at_s > end_s - 0.5 * SLOT_S - 0.025 else 0.0
        assert -may_be_late_s - 0.003 < offset_s - begins_s < may_be_early_s + 0.003
    track = sound(path)
    stretches_s = np.arange(track.start_s + 0.05, track.end_s - WINDOW_S, WINDOW_S)
    lags_s = [lag_s(track, kept, at_s, begins_s) for at_s in stretches_s]
    assert lags_s
    assert max(map(abs, lags_s)) < SYNC_S
    return begins_s


def lag_s(track: Track, kept: Floats, at_s: float, begins_s: float) -> float:
    """Return how much too late a window of sound is in the file, relative to the picture, in seconds."""
    reach = round(0.06 * SAMPLE_RATE)
    first = round((at_s + begins_s) * SAMPLE_RATE)
    found = track.between(at_s, at_s + WINDOW_S).astype(float)
    around = np.zeros(len(found) + 2 * reach)
    inside = kept[max(0, first - reach) : first + len(found) + reach]
    around[max(0, reach - first) :][: len(inside)] = inside
    found, around = found[::THINNED], around[::THINNED]
    likeness = np.correlate(around, found, "valid") / (np.linalg.norm(found) * np.linalg.norm(around) + 1e-12)
    best = int(np.argmax(likeness))
    assert likeness[best] > 0.5, f"what is heard at {at_s:.2f} s was never played near it"
    return (reach - best * THINNED) / SAMPLE_RATE
