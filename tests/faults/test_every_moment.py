"""A hundred pauses, and a mark and a clip at every moment: nothing is lost, and picture and sound stay together.

The clock is stepped, so that every moment is exact and none depends on how fast the machine is. The long run saves a
clip at every single step: `python -m pytest -m long tests/test_every_moment.py`.
"""

from __future__ import annotations

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

#: The least that a replay buffer of five seconds is asked for.
CLIP_S: Final = 1.5

#: What is promised, and what it is measured with: at most so far apart.
SYNC_S: Final = 0.02

#: The sound is compared in stretches of this length, each of which spans several pauses.
WINDOW_S: Final = 0.4

#: There is nothing in it that so few samples would not show.
THINNED: Final = 6

#: More clips at a time than anybody saves.
AT_ONCE: Final = 4

SIZE: Final = (320, 180)


class SmallPattern(PatternFrames):
    """The test picture, small enough to be encoded hundreds of times."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.width, self.height = SIZE

    def grab(self) -> Frame:
        now_s = self._clock.now_s()
        return Frame(draw_pattern(max(0.0, now_s - self._epoch_s), *SIZE), now_s)


def noise(seconds: float) -> Floats:
    """Sound of which every stretch is unlike every other, low enough to come through a lossy encoder as it is."""
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
    """A recording that keeps the last seconds as well, on a clock that goes on step by step."""

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
        #: What the session is told of the pauses, put together once more.
        self.timeline = Timeline(feed.pipeline.timeline.epoch_s)
        self.settle()

    def order(self, command: Command, text: str = "") -> None:
        """Have it obeyed before the clock goes on."""
        answers = self.recording.send(command, text, at_s=self.now_s)
        eventually(lambda: answers, f"an answer to {command}")

    def end(self, command: Command) -> None:
        """Have it end now, and let the clock go on for the last of the sound, which is waited for."""
        self.recording.send(command, at_s=self.now_s)
        while self.recording.session.state is State.RECORDING or self.recording.goes_on:
            self.clock.advance(STEP_S)
            self.recording.wait(0.01)

    def settle(self) -> None:
        """Wait until the devices wait for the clock and all they delivered is being encoded."""
        self.clock.await_waiters(2)
        eventually(lambda: not any(inlet._items for inlet in self.feed.pipeline._inlets), "an encoder")  # type: ignore[attr-defined]

    def go_on(self, steps: int) -> None:
        for _ in range(steps):
            self.clock.advance(STEP_S)
            self.settle()

    def media_s(self, at_s: float) -> float:
        return self.timeline.media_s(at_s)


@pytest.mark.parametrize("clip_every", [8, pytest.param(1, marks=pytest.mark.long)])
def test_a_hundred_pauses_with_a_mark_and_a_clip_at_every_moment(
    clip_every: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    # Every mark and every pause, each at its moment.
    found = [event for event in summary.events if event.kind == "mark"]
    assert [event.at_s for event in found] == pytest.approx(marks_s, abs=0.001)
    for kind, place in (("pause", 0), ("resume", 1)):
        told_s = [event.at_s for event in summary.events if event.kind == kind]
        expected_s = [stepped.media_s(pause[place]) for pause in stepped.timeline.pauses()]
        assert told_s == pytest.approx(expected_s, abs=0.001)
    assert len(ledger_of(path).read_text().splitlines()) == len(summary.events) + 2
    # Every clip.
    assert len(clips) == 2 * PAUSES // clip_every
    for at_s, clip, (answer,) in clips:
        assert (answer.get("error"), answer.get("check")) == (None, "ok")
        assert check(clip).ok
        until_s = stepped.media_s(at_s)
        begins_s = assert_together(clip, stepped, kept)
        # Up to two seconds more than was asked for, and next to nothing behind the moment of the order.
        assert until_s - CLIP_S - 2.1 < begins_s <= max(0.0, until_s - CLIP_S) + 0.03
        assert sound(clip).end_s + begins_s == pytest.approx(until_s, abs=0.13)
        assert until_s - 0.1 < pictures(clip).moments_s[-1] + begins_s <= until_s + 0.001


def kept_sound(stepped: Stepped, stopped_s: float) -> Floats:
    """What was heard outside the pauses, up to the end."""
    epoch_s = stepped.timeline.epoch_s
    heard = np.ones(round((stopped_s - epoch_s) * SAMPLE_RATE), bool)
    for from_s, to_s in stepped.timeline.pauses():
        heard[round((from_s - epoch_s) * SAMPLE_RATE) : round((to_s - epoch_s) * SAMPLE_RATE)] = False
    return NOISE[: len(heard)][heard]


def assert_together(path: Path, stepped: Stepped, kept: Floats, begins_s: float | None = None) -> float:
    """That each picture and each stretch of sound is where it belongs; with which moment the file begins."""
    shown: dict[int, float] = {}
    for at_s, picture in each_picture(path):
        # The first frame with this clock: those after it repeat it.
        shown.setdefault(read_clock(picture), at_s)
    offsets_s = [stepped.media_s(stepped.timeline.epoch_s + clock / 1000) - at_s for clock, at_s in shown.items()]
    if begins_s is None:
        begins_s = float(np.median(offsets_s))
    # The clock counts whole milliseconds, and so does Matroska. A first picture may have stood for a moment already.
    assert max(abs(offset_s - begins_s) for offset_s in offsets_s[1:]) < 0.003
    track = sound(path)
    stretches_s = np.arange(track.start_s + 0.05, track.end_s - WINDOW_S, WINDOW_S)
    lags_s = [lag_s(track, kept, at_s, begins_s) for at_s in stretches_s]
    assert lags_s
    assert max(map(abs, lags_s)) < SYNC_S
    return begins_s


def lag_s(track: Track, kept: Floats, at_s: float, begins_s: float) -> float:
    """How much later a stretch of sound is in the file than it was heard, against the picture."""
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
