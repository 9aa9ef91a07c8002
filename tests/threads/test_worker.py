"""A worker reports how it ended and leaves no neighbour waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from capture.errors import NotReadyError
from capture.threads.mailbox import Closed, Mailbox
from capture.threads.worker import Worker

LIMIT_S = 30.0


class Neighbour:
    """Counts calls of `close`."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


@contextmanager
def blocking_work() -> Iterator[Callable[[], None]]:
    """Work that blocks until the `with` block ends."""
    released = threading.Event()
    try:
        yield lambda: None if released.wait(LIMIT_S) else pytest.fail("the worker was never released")
    finally:
        released.set()


def run(work: Callable[[], None], **options: object) -> Worker:
    worker = Worker("stage", work, **options)  # type: ignore[arg-type]
    worker.start()
    assert worker.join(LIMIT_S)
    return worker


def test_work_runs_in_a_thread_of_the_given_name() -> None:
    names: list[str] = []
    worker = run(lambda: names.append(threading.current_thread().name))
    assert names == ["stage"]
    assert (worker.name, worker.error) == ("stage", None)


def test_a_worker_is_a_daemon_thread() -> None:
    daemon: list[bool] = []
    run(lambda: daemon.append(threading.current_thread().daemon))
    assert daemon == [True]


@pytest.mark.parametrize("failure", [None, Closed(), ValueError("broken"), SystemExit(3)])
def test_the_neighbours_are_closed_however_the_worker_ends(failure: BaseException | None) -> None:
    neighbours = [Neighbour(), Neighbour()]

    def work() -> None:
        if failure is not None:
            raise failure

    run(work, closes=neighbours)
    assert [neighbour.closed for neighbour in neighbours] == [1, 1]


def test_a_closed_mailbox_is_a_normal_end() -> None:
    box = Mailbox[int](1)
    reported: list[str] = []
    worker = Worker("stage", lambda: print(box.get()), on_failure=lambda name, error: reported.append(name))
    worker.start()
    box.close()
    assert worker.join(LIMIT_S)
    assert worker.error is None
    assert reported == []


@pytest.mark.parametrize("failure", [ValueError("broken"), KeyboardInterrupt(), SystemExit(3)])
def test_a_failure_is_kept_and_reported_before_the_neighbours_are_closed(failure: BaseException) -> None:
    neighbour = Neighbour()
    reported: list[tuple[str, BaseException, int, str]] = []

    def report(name: str, error: BaseException) -> None:
        reported.append((name, error, neighbour.closed, threading.current_thread().name))

    def work() -> None:
        raise failure

    worker = run(work, closes=[neighbour], on_failure=report)
    assert worker.error is failure
    assert reported == [("stage", failure, 0, "stage")]
    assert neighbour.closed == 1


def test_neighbours_waiting_for_a_failed_worker_end() -> None:
    before, after = Mailbox[int](1), Mailbox[int](1)

    def fill() -> None:
        while True:
            before.put(1)

    def fail() -> None:
        before.get()
        raise ValueError("broken")

    workers = [
        Worker("before", fill, closes=[before]),
        Worker("middle", fail, closes=[before, after]),
        Worker("after", lambda: print(after.get()), closes=[after]),
    ]
    for worker in workers:
        worker.start()
    assert [worker.join(LIMIT_S) for worker in workers] == [True, True, True]
    assert [type(worker.error) for worker in workers] == [type(None), ValueError, type(None)]


def test_join_returns_whether_the_worker_ended() -> None:
    with blocking_work() as work:
        worker = Worker("stage", work)
        worker.start()
        assert not worker.join(0.01)
    assert worker.join(LIMIT_S)
    assert worker.join(0)


def test_join_before_start_returns_at_once() -> None:
    assert Worker("stage", lambda: None).join(0)


def test_a_worker_that_joins_itself_does_not_block() -> None:
    joined: list[bool] = []
    workers: list[Worker] = []
    ready = threading.Event()

    def work() -> None:
        assert ready.wait(LIMIT_S)
        joined.append(workers[0].join())

    workers.append(Worker("stage", work))
    workers[0].start()
    ready.set()
    assert workers[0].join(LIMIT_S)
    assert workers[0].error is None
    assert joined == [True]


def test_a_worker_cannot_be_started_twice() -> None:
    worker = run(lambda: None)
    with pytest.raises(RuntimeError):
        worker.start()


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Python refuse threads, as version 3.12 does once the main thread has ended."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)


@pytest.mark.usefixtures("no_threads")
def test_a_worker_without_a_thread_says_so() -> None:
    worker = Worker("stage", lambda: pytest.fail("the work was done"))
    with pytest.raises(NotReadyError, match="'stage' could not be started"):
        worker.start()
    assert worker.join(LIMIT_S)


@pytest.mark.usefixtures("no_threads")
def test_a_step_without_a_thread_is_done_by_the_caller() -> None:
    done: list[str] = []
    worker = Worker("step", lambda: done.append(threading.current_thread().name), on_end=lambda: done.append("end"))
    worker.start_or_run()
    assert (done, worker.has_ended) == ([threading.current_thread().name, "end"], True)
    assert worker.join(LIMIT_S)
