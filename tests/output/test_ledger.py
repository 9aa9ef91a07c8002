"""The ledger: events in order, merged into runs, bounded, and on disk as they happen."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import PROJECT
from hypothesis import given
from hypothesis import strategies as st
from reopened import ledger_lines
from running import eventually

from capture.errors import NotReadyError, OutputError
from capture.events import Event, EventKind
from capture.output.ledger import KEPT, Ledger
from capture.output.ledger_file import LedgerFile
from capture.output.naming import ledger_of
from capture.output.reserved_file import ReservedFile


def dropped(first: int, count: int = 1, fps: int = 10) -> Event:
    return Event(EventKind.DROPPED, first / fps, "slow", (first + count) / fps, count)


def silence(from_s: float, to_s: float, track: str = "internal") -> Event:
    return Event(EventKind.NO_DATA, from_s, track, to_s)


def test_every_event_is_reported_once_and_kept_in_order() -> None:
    reported: list[Event] = []
    ledger = Ledger(reported.append)
    happened = [
        Event(EventKind.MARK, 2.0, "second"),
        Event(EventKind.MARK, 1.0, "first"),
        Event(EventKind.DEVICE_CHANGED, 1.0, "now B"),
    ]
    for event in happened:
        ledger.record(event)
    assert reported == happened
    assert ledger.events() == (happened[1], happened[2], happened[0])
    assert ledger.of(EventKind.MARK) == (happened[1], happened[0])
    assert (ledger.count(EventKind.MARK), ledger.count(EventKind.DROPPED)) == (2, 0)


def test_a_source_that_spoils_every_block_for_hours_makes_one_event() -> None:
    ledger = Ledger()
    for place in range(40_000):
        ledger.record(Event(EventKind.BAD_SAMPLES, place / 4, "internal", place / 4 + 0.25, 3))
    assert ledger.events() == (Event(EventKind.BAD_SAMPLES, 0.0, "internal", 10_000.0, 120_000),)


def test_spoiled_blocks_far_apart_make_a_bounded_number_of_events() -> None:
    ledger = Ledger()
    for place in range(KEPT + 500):
        ledger.record(Event(EventKind.BAD_SAMPLES, 4.0 * place, "internal", 4.0 * place + 0.25, 3))
    ledger.settle()
    *kept, rest = ledger.events()
    assert len(kept) == KEPT
    assert (rest.kind, rest.count) == (EventKind.LEFT_OUT, 3 * 500)


def test_drops_close_to_each_other_are_one_run() -> None:
    reported: list[Event] = []
    ledger = Ledger(reported.append)
    for slot in (10, 11, 12, 20, 25):
        ledger.record(dropped(slot))
    ledger.record(dropped(50, 3))
    assert reported == [Event(EventKind.DROPPED, 1.0, "slow", 2.6, 5)]
    assert ledger.events() == (
        Event(EventKind.DROPPED, 1.0, "slow", 2.6, 5),
        Event(EventKind.DROPPED, 5.0, "slow", 5.3, 3),
    )
    ledger.settle(5.3 + 1.9)
    assert len(reported) == 1
    ledger.settle(5.3 + 2.1)
    ledger.settle()
    assert reported == list(ledger.events())


def test_unbroken_silence_is_one_run() -> None:
    ledger = Ledger()
    for from_s, to_s in ((1.0, 1.3), (1.3, 1.45), (1.451, 1.6), (1.7, 2.0)):
        ledger.record(silence(from_s, to_s))
        ledger.record(silence(from_s, to_s, "mic"))
    for track in ("internal", "mic"):
        own = [(event.at_s, event.to_s) for event in ledger.events() if event.detail == track]
        assert own == [(1.0, 1.6), (1.7, 2.0)]


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 30)), max_size=200))
def test_every_dropped_frame_is_counted_once(steps: list[tuple[int, int]]) -> None:
    ledger, slot, lost = Ledger(), 0, 0
    for gap, count in steps:
        ledger.record(dropped(slot + gap, count))
        slot += gap + count
        lost += count
    runs = ledger.events()
    assert sum(run.count for run in runs) == lost
    for before, after in pairwise(runs):
        assert after.at_s > before.end_s + 1.0


def test_memory_is_bounded_and_events_left_out_are_counted() -> None:
    reported: list[Event] = []
    ledger = Ledger(reported.append)
    for number in range(KEPT + 700):
        ledger.record(dropped(30 * number, 2))
        ledger.record(Event(EventKind.MARK, 3.0 * number, str(number)))
    ledger.settle()
    assert len(reported) == 2 * KEPT
    marks, lost = (
        next(event for event in ledger.left_out() if kind in event.detail)
        for kind in (EventKind.MARK, EventKind.DROPPED)
    )
    assert (marks.kind, marks.at_s, marks.to_s, marks.count) == ("left_out", 3.0 * KEPT, 3.0 * (KEPT + 699), 700)
    assert (lost.at_s, lost.count) == (3.0 * KEPT, 1400)
    assert ledger.events()[-2:] == ledger.left_out()
    assert ledger.count(EventKind.MARK) == KEPT + 700
    # Each kind has its own room.
    ledger.record(Event(EventKind.DEVICE_LOST, 1.0))
    assert ledger.of(EventKind.DEVICE_LOST) == (Event(EventKind.DEVICE_LOST, 1.0),)


def test_with_a_span_only_the_last_seconds_are_kept() -> None:
    ledger = Ledger(span_s=60.0)
    for second in range(10 * KEPT):
        ledger.record(Event(EventKind.MARK, float(second)))
    assert [event.at_s for event in ledger.events()] == [10.0 * KEPT - 61 + place for place in range(61)]


def test_finished_runs_are_closed_without_settle() -> None:
    ledger = Ledger(span_s=60.0)
    for second in range(5_000):
        ledger.record(Event(EventKind.HOLE, second, f"{second} s were missing", second + 0.5))
    assert len(ledger._open) < 5
    assert len(ledger.events()) == 61


def test_between_returns_times_relative_to_its_start() -> None:
    ledger = Ledger()
    for event in (
        silence(1.0, 4.0),
        Event(EventKind.MARK, 5.0, "inside"),
        dropped(90, 20),
        Event(EventKind.MARK, 12.0, "behind"),
    ):
        ledger.record(event)
    assert ledger.between(3.0, 10.0) == (
        Event(EventKind.NO_DATA, 0.0, "internal", 1.0),
        Event(EventKind.MARK, 2.0, "inside"),
        Event(EventKind.DROPPED, 6.0, "slow", 7.0, 20),
    )
    assert ledger.between(4.5, 4.9) == ()


# On disk


def never(error: OutputError) -> None:
    raise AssertionError(error)


def test_each_event_is_written_at_once(tmp_path: Path) -> None:
    recording = tmp_path / "out.mp4"
    ledger = Ledger()
    ledger.record(Event(EventKind.NO_HOTKEYS, 0.0, "none"))
    file = LedgerFile(recording, never)
    assert file.path == ledger_of(recording)
    assert file.path.stat().st_mode & 0o777 == 0o600
    ledger.copy_to(file.add)
    ledger.record(dropped(10))
    begun = [
        {"at_s": 0.0, "kind": "begun", "detail": str(recording)},
        {"at_s": 0.0, "kind": "no_hotkeys", "detail": "none"},
        {"at_s": 1.0, "kind": "dropped", "detail": "slow", "to_s": 1.1, "count": 1},
    ]
    eventually(lambda: len(file.path.read_text().splitlines()) == 3, "three lines")
    assert ledger_lines(file.path) == begun
    ledger.record(dropped(11))
    ledger.record(dropped(12))
    ledger.settle()
    file.end(2.0, "duration")
    assert ledger_lines(file.path) == [
        *begun,
        {"at_s": 1.0, "kind": "dropped", "detail": "slow", "to_s": 1.3, "count": 3},
        {"at_s": 2.0, "kind": "ended", "detail": "duration"},
    ]


def test_a_file_with_the_same_name_is_kept_or_replaced(tmp_path: Path) -> None:
    recording, taken = tmp_path / "out.mp4", tmp_path / "out.mp4.ledger.jsonl"
    taken.write_text("somebody's")
    file = LedgerFile(recording, never)
    assert file.path.name == "out.mp4.ledger (2).jsonl"
    file.discard()
    thrown_away = LedgerFile(recording, never, overwrite=True)
    assert thrown_away.path == taken
    thrown_away.discard()
    assert list(tmp_path.iterdir()) == [taken]
    assert taken.read_text() == "somebody's"
    LedgerFile(recording, never, overwrite=True).end(1.0, "stop")
    assert list(tmp_path.iterdir()) == [taken]
    assert [line["kind"] for line in ledger_lines(taken)] == ["begun", "ended"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /dev/full")
def test_a_full_disk_is_reported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out.mp4.ledger.jsonl").symlink_to("/dev/full")
    errors: list[OutputError] = []
    monkeypatch.setattr("capture.output.ledger_file.ReservedFile", lambda path, overwrite: ExistingFile(path))
    file = LedgerFile(tmp_path / "out.mp4", errors.append)
    file.add(Event(EventKind.MARK, 1.0))
    file.end(1.0, "stop")
    assert [str(error) for error in errors] == [f"{file.path} cannot be written (No space left on device)"]


class ExistingFile:
    """Stands in for `ReservedFile`: a file that exists already."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_WRONLY)

    def keep(self, error: OSError | None = None) -> None:
        os.close(self.descriptor)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux syncs content alone")
@pytest.mark.parametrize("when", ["while it is written", "at the end"])
def test_a_ledger_that_could_not_be_stored_is_reported_once(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()

    def fail_once(descriptor: int) -> None:
        if not failed.is_set():
            failed.set()
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("os.fdatasync", fail_once)
    monkeypatch.setattr("capture.output.syncer.INTERVAL_S", 0.0 if when == "while it is written" else 60.0)
    errors: list[OutputError] = []
    file = LedgerFile(tmp_path / "out.mp4", errors.append)
    if when == "while it is written":
        assert failed.wait(10)
    file.end(1.0, "stop")
    assert [error.message for error in errors] == [f"{file.path} could not be stored (Input/output error)"]
    assert [line["kind"] for line in ledger_lines(file.path)] == ["begun", "ended"]


def test_a_ledger_without_a_thread_to_sync_it_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise NotReadyError("the thread 'sync' could not be started", "end other programs")

    monkeypatch.setattr("capture.output.ledger_file.Syncer", refuse)
    errors: list[OutputError] = []
    file = LedgerFile(tmp_path / "out.mp4", errors.append)
    file.end(1.0, "stop")
    assert [error.remedy for error in errors] == ["end other programs"]


def test_a_ledger_without_a_thread_to_write_it_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(NotReadyError):
        LedgerFile(tmp_path / "out.mp4", never)
    assert list(tmp_path.iterdir()) == []


def test_a_link_that_takes_the_name_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def swapped(path: Path, *, overwrite: bool) -> ReservedFile:
        file = ReservedFile(path, overwrite=overwrite)
        path.rename(tmp_path / "ours")
        path.symlink_to(tmp_path / "theirs")
        return file

    (tmp_path / "theirs").write_text("untouched\n")
    monkeypatch.setattr("capture.output.ledger_file.ReservedFile", swapped)
    LedgerFile(tmp_path / "out.mp4", never).end(1.0, "stop")
    assert (tmp_path / "theirs").read_text() == "untouched\n"
    assert [line["kind"] for line in ledger_lines(tmp_path / "ours")] == ["begun", "ended"]


WRITING = """
import sys
from pathlib import Path
from capture.events import EventKind
from capture.events import Event
from capture.output.ledger_file import LedgerFile
file = LedgerFile(Path(sys.argv[1]), print)
for number in range(200_000):
    file.add(Event(EventKind.MARK, float(number), "x" * 50))
    if number == 1_000:
        print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_kill_loses_no_written_line(tmp_path: Path) -> None:
    path = ledger_of(tmp_path / "out.mp4")
    with subprocess.Popen(
        [sys.executable, "-c", WRITING, str(tmp_path / "out.mp4")],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        eventually(lambda: path.stat().st_size > 10_000, "lines")
        process.kill()
        assert process.wait() == -9
    _, *lines = path.read_text().split("\n")
    *whole, unfinished = lines
    assert [json.loads(line)["at_s"] for line in whole] == [float(number) for number in range(len(whole))]
    # The kernel writes a line that crosses a page in two steps, and the kill may come between them.
    assert json.dumps(Event(EventKind.MARK, float(len(whole)), "x" * 50).as_json()).startswith(unfinished)
