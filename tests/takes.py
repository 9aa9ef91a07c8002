"""Takes on scripted devices: a player, and a session that runs in its own thread and keeps everything it emits."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Self

import numpy as np
import pytest
from running import eventually

from capture.clock import Clock
from capture.events import Command, Event, Progress, State, Summary
from capture.media import SAMPLE_RATE, SampleArray
from capture.recordings.check import check
from capture.session.session import Session
from capture.settings.record_settings import RecordSettings
from capture.sources.chooser import DeviceSources, Report
from capture.sources.protocols import FrameSource, SampleSource
from capture.sources.scripted import ScriptedBlock, ScriptedSamples

LIMIT_S: Final = 30.0


_BLOCK: Final = 960


def tone(seconds: float, level: float = 0.3) -> SampleArray:
    times_s = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return np.repeat(level * np.sin(2 * np.pi * 500 * times_s)[:, None], 2, axis=1).astype(np.float32)


class Stage(DeviceSources):
    """Sources of a session: the built-in pattern, except for the frames or the samples that a test makes itself."""

    def __init__(
        self,
        *,
        frames: Callable[[Clock], FrameSource] | None = None,
        samples: Callable[[str, Clock], SampleSource] | None = None,
    ) -> None:
        self._make_frames = frames
        self._make_samples = samples

    def choose_frames(
        self, settings: RecordSettings, clock: Clock, report: Report, end: Callable[[str], None]
    ) -> tuple[FrameSource | None, str]:
        if self._make_frames is None or not settings.wants_video:
            return super().choose_frames(settings, clock, report, end)
        return self._make_frames(clock), ""

    def choose_samples(self, settings: RecordSettings, clock: Clock, report: Report) -> list[list[SampleSource]]:
        if self._make_samples is None:
            return super().choose_samples(settings, clock, report)
        return [[self._make_samples(name, clock) for name in track.sources] for track in settings.audio]


class Player:
    """Plays into a scripted device: the samples that the test queues, and silence otherwise."""

    def __init__(self) -> None:
        self._waiting: deque[SampleArray] = deque()
        self.played = 0
        #: Of a session whose only device plays this.
        self.sources = Stage(samples=lambda name, clock: ScriptedSamples(name, clock, self.blocks()))

    def play(self, data: SampleArray) -> None:
        self._waiting.extend(data[start : start + _BLOCK] for start in range(0, len(data), _BLOCK))

    def blocks(self) -> Iterator[ScriptedBlock]:
        while True:
            data = self._waiting.popleft() if self._waiting else np.zeros((_BLOCK, 2), np.float32)
            yield ScriptedBlock(data, self.played * _BLOCK / SAMPLE_RATE)
            self.played += 1

    def go_on_for(self, seconds: float) -> None:
        """Wait until this many more seconds have been played."""
        until = self.played + round(seconds * SAMPLE_RATE / _BLOCK)
        eventually(lambda: self.played >= until, "more sound")


class Recording:
    """A session that runs in its own thread, and everything it emitted. Leaving the context ends it."""

    def __init__(self, output: Path, **more: Any) -> None:
        self.emitted: list[Event | Progress | Summary] = []
        self.answers: list[tuple[Command, list[dict[str, Any]]]] = []
        video, clock, triggers = more.pop("video", False), more.pop("clock", None), more.pop("triggers", ())
        sources, emit = more.pop("sources", None), more.pop("emit", self.emitted.append)
        settings = RecordSettings(output, pattern=True, **{"screen": "primary" if video else None, **more})
        self.session = Session(settings, sources=sources, emit=emit, clock=clock, triggers=triggers)
        self.raised: BaseException | None = None
        self.summary: Summary | None = None
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self.summary = self.session.run()
        except BaseException as error:
            self.raised = error

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.session.send(Command.QUIT, "test")
        self.join()

    @property
    def is_running(self) -> bool:
        return self.thread.is_alive()

    def wait(self, seconds: float) -> None:
        self.thread.join(seconds)

    def join(self) -> Summary | None:
        self.wait(LIMIT_S)
        assert not self.is_running, "the session hangs"
        return self.summary

    def finished(self) -> Summary:
        summary = self.join()
        assert self.raised is None, repr(self.raised)
        assert summary is not None
        return summary

    def until(self, state: State) -> None:
        eventually(lambda: self.session.state is state, f"the state {state}, not {self.session.state}")

    def until_waiting(self) -> None:
        eventually(lambda: any(isinstance(item, Progress) and item.waiting_for for item in self.emitted), "it to wait")

    def until_elapsed(self, seconds: float) -> None:
        self.until_answered(lambda answer: answer["elapsed_s"] >= seconds)

    def until_answered(self, is_met: Callable[[dict[str, Any]], bool]) -> None:
        eventually(lambda: is_met(self.ask(Command.STATUS)), "an answer that fits")

    def send(
        self, command: Command, text: str = "", *, at_s: float | None = None, **options: Any
    ) -> list[dict[str, Any]]:
        """Send a command and return the list that will receive its answers."""
        answers: list[dict[str, Any]] = []
        self.answers.append((command, answers))
        self.session.send(command, command.value, text=text, answer=answers.append, at_s=at_s, options=options)
        return answers

    def ask(self, command: Command, text: str = "", **options: Any) -> dict[str, Any]:
        """Send a command and return its first answer."""
        answers = self.send(command, text, **options)
        eventually(lambda: answers, f"an answer to {command}")
        return answers[0]

    def check_answers(self) -> None:
        """Assert that every command was answered exactly once, with valid JSON."""
        for command, answers in self.answers:
            assert len(answers) == 1, (command, answers)
            assert json.loads(json.dumps(answers[0]))["ok"] in (True, False)
            assert answers[0]["ok"] or answers[0]["error"]

    def events(self, kind: str) -> list[Event]:
        return [item for item in self.emitted if isinstance(item, Event) and item.kind == kind]


def is_ok(answer: dict[str, Any]) -> bool:
    return answer["ok"] is True


class StandbyRecording(Recording):
    """A session in standby with a replay buffer of 20 s."""

    def __init__(self, output: Path, **more: Any) -> None:
        super().__init__(output, **{"standby": True, "replay_s": 20.0, **more})

    def until_kept(self, seconds: float) -> None:
        self.until_answered(lambda answer: answer.get("state") == "standby" and answer["buffer_s"] >= seconds)


@contextmanager
def blocked_check(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Block the check of finished files in `module` until the context ends; yield an event set once it is reached."""
    begun, let_go = threading.Event(), threading.Event()

    def block(path: Path, **more: Any) -> Any:
        begun.set()
        let_go.wait()
        return check(path, **more)

    monkeypatch.setattr(module, "check", block)
    try:
        yield begun
    finally:
        let_go.set()
