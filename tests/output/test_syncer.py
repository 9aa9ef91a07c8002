"""A growing file is synced on a thread of its own: the writer never waits, and knows how far behind the disk is."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running import LIMIT_S, eventually

from capture.output.syncer import Syncer
from capture.system import durable


class SteppedDisk:
    """A disk on which each sync waits until the test lets it go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = 0
        self.error: OSError | None = None
        self._let_go = threading.Semaphore(0)
        monkeypatch.setattr("capture.output.syncer.INTERVAL_S", 0.0)
        monkeypatch.setattr("capture.output.syncer.sync_content", self._sync)
        monkeypatch.setattr("capture.output.syncer.sync_name", lambda path: None)

    def _sync(self, descriptor: int) -> None:
        os.fstat(descriptor)
        self.begun += 1
        assert self._let_go.acquire(timeout=LIMIT_S)
        error, self.error = self.error, None
        if error is not None:
            raise error

    def until_begun(self, number: int) -> None:
        eventually(lambda: self.begun == number, f"sync number {number}")

    def let_go(self, times: int = 1) -> None:
        self._let_go.release(times)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> SteppedDisk:
    return SteppedDisk(monkeypatch)


@pytest.fixture
def syncer(disk: SteppedDisk, tmp_path: Path) -> Iterator[Syncer]:
    with (tmp_path / "out").open("wb") as file:
        made = Syncer(file.fileno(), tmp_path / "out")
    yield made
    disk.let_go(100)
    made.close()


def test_a_write_during_a_sync_is_synced_next(syncer: Syncer, disk: SteppedDisk) -> None:
    assert syncer.behind_s == 0.0
    syncer.note_write()
    disk.until_begun(1)
    before_s = syncer.behind_s
    assert before_s > 0.0
    syncer.note_write()
    syncer.note_write()
    assert syncer.behind_s > before_s, "the older write counts"
    disk.let_go()
    disk.until_begun(2)
    assert syncer.behind_s > 0.0
    disk.let_go()
    eventually(lambda: syncer.behind_s == 0.0, "everything on the disk")
    assert disk.begun == 2, "nothing new, no sync"


def test_the_writer_waits_only_for_what_it_asks_for(syncer: Syncer, disk: SteppedDisk) -> None:
    syncer.note_write()
    disk.until_begun(1)
    waiter = threading.Thread(target=syncer.sync)
    waiter.start()
    disk.let_go()
    # The one under way may have begun before the last write.
    disk.until_begun(2)
    assert waiter.is_alive()
    disk.let_go()
    waiter.join(LIMIT_S)
    assert not waiter.is_alive()


def test_a_file_that_is_not_wanted_is_not_waited_for(syncer: Syncer, disk: SteppedDisk) -> None:
    syncer.note_write()
    disk.until_begun(1)
    syncer.close(wait=False)
    assert disk.begun == 1


class ClosedTooLate(threading.Event):
    """Not set when it is waited for, but before the waiting thread goes on."""

    def __init__(self, close: Callable[[], None]) -> None:
        super().__init__()
        self._close: Callable[[], None] | None = close

    def wait(self, timeout: float | None = None) -> bool:
        close, self._close = self._close, None
        if close is None:
            return super().wait(timeout)
        close()
        return False


def test_it_ends_when_it_is_closed_just_as_a_sync_begins(syncer: Syncer, disk: SteppedDisk) -> None:
    disk.let_go(2)
    syncer._is_closing = ClosedTooLate(lambda: syncer.close(wait=False))
    syncer.note_write()
    eventually(lambda: syncer._worker.join(0.0), "the end of the thread")


def test_a_failed_sync_is_not_forgotten(syncer: Syncer, disk: SteppedDisk) -> None:
    disk.error = OSError(errno.EIO, "Input/output error")
    syncer.note_write()
    disk.let_go()
    eventually(lambda: syncer.error is not None, "the error")
    disk.let_go()
    # The kernel would say now that all is well.
    with pytest.raises(OSError, match="Input/output error"):
        syncer.sync()


def test_the_name_is_synced_with_the_first_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[object] = []
    monkeypatch.setattr("capture.output.syncer.INTERVAL_S", 0.0)
    monkeypatch.setattr("capture.output.syncer.sync_content", lambda descriptor: found.append("content"))
    monkeypatch.setattr("capture.output.syncer.sync_name", found.append)
    path = tmp_path / "out"
    with path.open("wb") as file:
        syncer = Syncer(file.fileno(), path)
    try:
        syncer.note_write()
        eventually(lambda: len(found) == 2, "both")
        syncer.note_write()
        eventually(lambda: len(found) == 3, "the content again")
    finally:
        syncer.close()
    assert found == ["content", path, "content"]


# The calls


@pytest.mark.skipif(not hasattr(os, "fdatasync"), reason="only some systems sync content alone")
@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_disk_that_cannot_sync_is_no_error(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.fdatasync", refuse)
    monkeypatch.setattr("os.fsync", refuse)
    made, path = tmp_path / "made", tmp_path / "out"
    made.write_bytes(b"new")
    path.write_bytes(b"old")
    durable.publish(made, path)
    assert path.read_bytes() == b"new"


@pytest.mark.skipif(not hasattr(os, "fdatasync"), reason="only some systems sync content alone")
def test_a_file_that_could_not_be_stored_replaces_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("os.fdatasync", fail)
    made, path = tmp_path / "made", tmp_path / "out"
    made.write_bytes(b"new")
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="Input/output"):
        durable.publish(made, path)
    assert path.read_bytes() == b"old"


def test_a_folder_that_cannot_be_opened_is_no_error(tmp_path: Path) -> None:
    durable.sync_name(tmp_path / "moved away" / "out")
