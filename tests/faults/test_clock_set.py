"""The system clock jumps back and forth during a recording: it decides file names and tags, and nothing else.

No test may really set the clock. Instead, every read of the date from Python returns another day. That nothing
else reads the date is a rule that `test_architecture.py` checks.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Self

import av
import pytest
from reopened import first_loud_s, sound
from takes import Player, Recording, StandbyRecording, is_ok, tone

import capture.session.clip_saver as clips_module
import capture.session.take as take_module
from capture.clock import MonotonicClock
from capture.events import Command, State

NOON = datetime(2026, 3, 29, 12, 0, 0)


class Leaping(datetime):
    """A `datetime` whose `now` jumps with each call: an hour ahead, a day back, a year ahead, …"""

    leaps: Iterator[timedelta]

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        moment = NOON + next(cls.leaps)
        return cls(*moment.timetuple()[:6], tzinfo=tz)


@pytest.fixture
def leaping(monkeypatch: pytest.MonkeyPatch) -> type[Leaping]:
    hours = itertools.cycle((0, 1, -23, 24 * 365, -24 * 700))
    monkeypatch.setattr(time, "time", lambda: NOON.timestamp() + 3600 * next(hours))
    monkeypatch.setattr(time, "time_ns", lambda: round(time.time() * 1e9))
    for module in (take_module, clips_module):
        monkeypatch.setattr(module, "datetime", Leaping)
    Leaping.leaps = (timedelta(hours=next(hours)) for _ in itertools.count())
    return Leaping


@pytest.mark.usefixtures("leaping", "undisturbed")
def test_clock_jumps_do_not_change_the_length_of_a_recording(player: Player, tmp_path: Path) -> None:
    path, clock = tmp_path / "out.wav", MonotonicClock()
    with Recording(path, ledger=True, sources=player.sources) as recording:
        recording.until(State.RECORDING)
        recording.until_elapsed(0.3)
        player.play(tone(0.2))
        recording.until_elapsed(0.6)
        take = recording.session._core.take
        assert take is not None
        paused_at_s = clock.now_s()
        recording.send(Command.PAUSE, at_s=paused_at_s)
        player.go_on_for(0.3)
        recording.send(Command.RESUME, at_s=paused_at_s + 0.25)
        recording.until_elapsed(paused_at_s - take.timeline.epoch_s + 0.3)
        stopped_at_s = clock.now_s()
        recording.send(Command.STOP, at_s=stopped_at_s)
        summary = recording.finished()
    assert (summary.check, summary.stopped_by) == ("ok", "stop")
    assert summary.paused_s == pytest.approx(0.25, abs=0.001)
    assert summary.duration_s == pytest.approx(stopped_at_s - take.timeline.epoch_s - 0.25, abs=0.02)
    assert [event.kind for event in summary.events] == ["pause", "resume"]
    assert summary.audio[0].inserted_silence_s == pytest.approx(0.0, abs=0.05)
    assert 0.3 < first_loud_s(sound(path)) < paused_at_s - take.timeline.epoch_s


def test_recordings_of_the_same_second_get_different_names(
    leaping: type[Leaping], player: Player, tmp_path: Path
) -> None:
    # The same second three times, and once the day before.
    leaping.leaps = iter([timedelta(0), timedelta(0), timedelta(days=-1), timedelta(0)])
    with StandbyRecording(tmp_path / "out.wav", dated=True, numbered=True, sources=player.sources) as recording:
        recording.until_kept(0.3)
        for _ in range(2):
            assert is_ok(recording.ask(Command.START))
            recording.until_elapsed(0.2)
            assert recording.ask(Command.STOP)["check"] == "ok"
        for _ in range(2):
            assert recording.ask(Command.CLIP)["check"] == "ok"
    noon, before = (f"Capture {day:%Y-%m-%d %H.%M.%S}" for day in (NOON, NOON - timedelta(days=1)))
    names = [f"{noon}.wav", f"{noon} (2).wav", f"{before}.wav", f"{noon} (3).wav"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    for path in tmp_path.iterdir():
        with av.open(str(path)) as container:
            dated = datetime.fromisoformat(container.metadata["date"])
        assert path.name.startswith(f"Capture {dated:%Y-%m-%d %H.%M.%S}")
