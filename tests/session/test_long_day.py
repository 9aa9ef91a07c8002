"""Take after take: reference counting alone frees everything of a take, and no thread of it stays."""

from __future__ import annotations

import gc
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from running import eventually
from takes import Recording, is_ok

from capture.errors import DiskFullError
from capture.events import Command, State
from capture.output.muxer import Muxer
from capture.playback import preview
from capture.threads.worker import Worker

TAKES = 3

#: Where the parts of a take come from. What lasts, or comes and goes at all times, is from elsewhere: summaries and
#: samples.
ROOMS = (
    *(f"capture.{room}." for room in ("session", "pipeline", "codecs", "output", "playback", "threads")),
    "av.",
)

#: PyAV 19 ties a filter graph to itself in every encoder of sound; it holds no encoder.
TIED = frozenset({"FilterContext", "Graph"} if av.__version__ >= "19" else ())


def found(objects: list[Any]) -> Counter[str]:
    """Count the objects of the program and of PyAV by type."""
    types = Counter(type(item) for item in objects)
    return Counter(
        {
            kind.__qualname__: count
            for kind, count in types.items()
            if str(kind.__module__).startswith(ROOMS) and kind.__qualname__ not in TIED
        }
    )


@pytest.fixture
def garbage() -> Iterator[Callable[[], Counter[str]]]:
    """Without the garbage collector. The function returns what only the collector could free, by type."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)

    def collect() -> Counter[str]:
        gc.collect()
        return found(gc.garbage)

    yield collect
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


def record_take(
    recording: Recording, ended_by: Command = Command.STOP, meanwhile: Callable[[], None] | None = None
) -> None:
    assert is_ok(recording.ask(Command.START))
    recording.until_elapsed(0.1)
    if meanwhile is not None:
        meanwhile()
    recording.ask(ended_by)
    recording.until(State.STANDBY)
    recording.emitted.clear()
    recording.answers.clear()


def check_takes(recording: Recording, garbage: Callable[[], Counter[str]], take: Callable[[], None]) -> None:
    """Record takes and check that the second and later ones leave nothing behind."""
    with recording:
        recording.until(State.STANDBY)
        # The first take also leaves what is loaded once.
        take()
        before, threads = found(gc.get_objects()), threading.active_count()

        def left() -> Counter[str]:
            return found(gc.get_objects()) - before

        for _ in range(TAKES):
            take()
            eventually(lambda: threading.active_count() == threads, "the threads to end")
            # Another thread may be between two objects.
            eventually(lambda: not left(), f"the take to be freed: {left()}")
        assert garbage() == {}
    assert garbage() == {}
    assert recording.raised is None


def test_objects_in_a_circle_are_found(garbage: Callable[[], Counter[str]]) -> None:
    worker = Worker("worker", lambda: None)
    vars(worker)["circle"] = worker
    del worker
    assert garbage() == {"Worker": 1}


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("take.mp4", {"video": True}),
        ("take.webm", {"video": True, "scale": (320, 180)}),
        ("take.mkv", {"video": True, "quality": "high", "ledger": True}),
        ("take.ogg", {"voice": True}),
        ("take.flac", {}),
    ],
)
def test_a_take_is_freed_by_reference_counting(
    tmp_path: Path, garbage: Callable[[], Counter[str]], name: str, more: dict[str, Any]
) -> None:
    recording = Recording(tmp_path / name, standby=True, **more)

    def meanwhile() -> None:
        for command in (Command.MARK, Command.PAUSE, Command.RESUME):
            assert is_ok(recording.ask(command))

    check_takes(recording, garbage, lambda: record_take(recording, meanwhile=meanwhile))


@pytest.mark.parametrize(("more", "times"), [({}, TAKES), ({"replay_s": 5.0}, 0)])
def test_memory_is_handed_back_after_each_take_and_never_while_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], times: int
) -> None:
    states: list[State] = []
    recording = Recording(tmp_path / "take.ogg", standby=True, **more)
    monkeypatch.setattr("capture.session.session.hand_back_memory", lambda: states.append(recording.session.state))
    with recording:
        recording.until(State.STANDBY)
        assert states == [], "nothing was recorded yet"
        for _ in range(TAKES):
            record_take(recording)
    assert states == [State.FINISHED] * times


def test_a_clip_and_a_take_from_a_replay_buffer_are_freed_by_reference_counting(
    tmp_path: Path, garbage: Callable[[], Counter[str]]
) -> None:
    recording = Recording(tmp_path / "take.mp4", standby=True, video=True, replay_s=5.0)

    def save_clip() -> None:
        assert is_ok(recording.ask(Command.CLIP, last_s=0.1))

    with recording:
        recording.until(State.STANDBY)
        for _ in range(TAKES):
            record_take(recording, meanwhile=save_clip)
        assert garbage() == {}
    assert garbage() == {}


def test_a_discarded_take_is_freed_by_reference_counting(tmp_path: Path, garbage: Callable[[], Counter[str]]) -> None:
    recording = Recording(tmp_path / "take.mp4", standby=True, video=True)
    check_takes(recording, garbage, lambda: record_take(recording, Command.DISCARD))


def test_a_take_that_was_played_is_freed_by_reference_counting(
    tmp_path: Path, garbage: Callable[[], Counter[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Any:
        raise OSError("no output")

    recording = Recording(tmp_path / "take.ogg", standby=True)
    monkeypatch.setattr(preview.Preview.__init__, "__kwdefaults__", {"choose": fail})

    def meanwhile() -> None:
        assert is_ok(recording.ask(Command.PAUSE))
        assert is_ok(recording.ask(Command.PREVIEW))
        eventually(lambda: recording.events("no_preview"), "the preview to fail")

    check_takes(recording, garbage, lambda: record_take(recording, meanwhile=meanwhile))


def test_a_take_on_a_full_disk_is_freed_by_reference_counting(
    tmp_path: Path, garbage: Callable[[], Counter[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = Recording(tmp_path / "take.mp4", standby=True, video=True)
    write = Muxer.write

    def fail(muxer: Muxer, stream: int, packet: Any, *more: float) -> bool:
        is_written = write(muxer, stream, packet, *more)
        if packet.pts * packet.time_base > 0.2:
            raise DiskFullError("the disk is full")
        return is_written

    monkeypatch.setattr(Muxer, "write", fail)

    def take() -> None:
        assert is_ok(recording.ask(Command.START))
        eventually(lambda: recording.events("disk_full"), "the failure")
        recording.until(State.STANDBY)
        recording.emitted.clear()
        recording.answers.clear()

    check_takes(recording, garbage, take)
    assert isinstance(recording.session.error, DiskFullError)
