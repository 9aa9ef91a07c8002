"""Ctrl+C at every moment of `record` and of a block, and programs that end without leaving the block."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT
from running import eventually

import capture
import capture.session.force_stop as force_stop_module
import capture.session.summaries as summaries_module
from capture.events import State
from capture.recordings.check import check
from capture.session.session import Session

if sys.platform == "win32":
    pytest.skip("signals reach a process of choice on Unix alone", allow_module_level=True)

pytestmark = pytest.mark.usefixtures("ctrl_c")

LIMIT_S = 30.0


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@contextmanager
def beside(work: Callable[[], None]) -> Iterator[None]:
    """Do `work` in another thread."""
    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        worker.join(LIMIT_S)
        assert not worker.is_alive()


class SlowTone(capture.PatternTone):
    """Takes until `let_go` to open."""

    def __init__(self) -> None:
        super().__init__("internal", capture.MonotonicClock())
        self.opening, self.let_go, self.closed = threading.Event(), threading.Event(), threading.Event()

    def open(self) -> None:
        self.opening.set()
        assert self.let_go.wait(LIMIT_S)
        super().open()

    def close(self) -> None:
        super().close()
        self.closed.set()


def recorded(path: Path, **more: Any) -> None:
    capture.record(path, **{"pattern": True, **more})


def in_a_block(path: Path, **more: Any) -> None:
    with capture.Recorder(path, **{"pattern": True, **more}) as recorder:
        recorder.wait()


@pytest.mark.parametrize("use", [recorded, in_a_block])
def test_ctrl_c_while_devices_open_records_nothing_and_closes_them(
    use: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tone, asked, send = SlowTone(), threading.Event(), Session.send

    def note(*arguments: Any, **more: Any) -> None:
        send(*arguments, **more)
        asked.set()

    monkeypatch.setattr(Session, "send", note)

    def work() -> None:
        assert tone.opening.wait(LIMIT_S)
        press()
        # Python handles a signal when the main thread runs next.
        assert asked.wait(LIMIT_S)
        tone.let_go.set()

    with beside(work), pytest.raises(KeyboardInterrupt):
        use(tmp_path / "talk.ogg", sources=capture.GivenSources(samples=[tone]))
    assert tone.closed.wait(LIMIT_S)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("use", [recorded, in_a_block])
def test_ctrl_c_in_the_countdown_records_nothing(use: Callable[..., None], tmp_path: Path) -> None:
    def work() -> None:
        eventually(lambda: any(thread.name == "events" for thread in threading.enumerate()), "a session")
        press()

    with beside(work), pytest.raises(KeyboardInterrupt):
        use(tmp_path / "talk.ogg", delay_s=LIMIT_S)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_it_records_keeps_the_file(tmp_path: Path) -> None:
    path = tmp_path / "talk.mkv"

    def work() -> None:
        eventually(lambda: path.exists() and path.stat().st_size > 10_000, "packets in the file")
        press()

    with beside(work), pytest.raises(KeyboardInterrupt):
        recorded(path)
    assert check(path).ok


class SlowCheck:
    """Lets the last step of a recording wait for `let_go`."""

    def __init__(self) -> None:
        self.began, self.let_go = threading.Event(), threading.Event()

    def __call__(self, path: Path, **more: Any) -> Any:
        self.began.set()
        assert self.let_go.wait(LIMIT_S)
        return check(path, **more)


@pytest.fixture
def slow_check(monkeypatch: pytest.MonkeyPatch) -> SlowCheck:
    slow = SlowCheck()
    monkeypatch.setattr(summaries_module, "check", slow)
    return slow


def test_ctrl_c_while_the_file_is_finished_waits_for_it(slow_check: SlowCheck, tmp_path: Path) -> None:
    path = tmp_path / "talk.ogg"
    recorder = capture.Recorder(path, pattern=True)

    def work() -> None:
        assert slow_check.began.wait(LIMIT_S)
        for _ in range(3):
            press()
        slow_check.let_go.set()

    def use() -> None:
        with recorder:
            eventually(lambda: recorder.elapsed_s > 0.2, "some of it")

    with beside(work), pytest.raises(KeyboardInterrupt):
        use()
    assert recorder.summary is not None
    assert recorder.summary.check == "ok"
    assert check(path).ok


def test_the_third_ctrl_c_abandons_a_file_that_takes_long(
    slow_check: SlowCheck, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(force_stop_module, "INSISTS_AFTER_S", 0.0)
    path, said = tmp_path / "talk.ogg", threading.Event()

    def hear(event: capture.Event) -> None:
        if event.kind is capture.EventKind.UNFINISHED:
            said.set()

    recorder = capture.Recorder(path, pattern=True, on_event=hear)

    def work() -> None:
        assert slow_check.began.wait(LIMIT_S)
        press()
        assert said.wait(LIMIT_S), "the second says what the next one does"
        press()

    def use() -> None:
        with recorder:
            eventually(lambda: recorder.elapsed_s > 0.2, "some of it")
            raise ZeroDivisionError("by zero")

    try:
        with beside(work), pytest.raises(ZeroDivisionError) as caught:
            use()
    finally:
        slow_check.let_go.set()
    assert caught.value.__notes__ == [
        f"the recording failed too: {path} was left unfinished: to fix it, run capture repair"
    ]
    assert recorder.state is State.FAILED
    assert recorder.summary is not None
    assert recorder.summary.check == "the file was left unfinished"


# Programs that end


def run(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import os, sys, threading, time\nimport capture\n{program}"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        timeout=LIMIT_S,
        capture_output=True,
        text=True,
        check=False,
    )


UNTIL = """
def until(condition):
    while not condition():
        time.sleep(0.005)
"""

ENTER = f"""{UNTIL}
r = capture.Recorder("talk.ogg", pattern=True)
def enter():
    r.__enter__()
    until(lambda: r.elapsed_s > 0.2)
"""


@pytest.mark.parametrize(
    ("program", "exit_code"),
    [
        ("enter()", 0),
        ("enter(); sys.exit(4)", 4),
        ("enter(); 1 / 0", 1),
        ("t = threading.Thread(target=enter); t.start(); t.join()", 0),
        (
            "def stay():\n    enter()\n    threading.Event().wait()\n"
            "threading.Thread(target=stay, daemon=True).start(); until(lambda: r.elapsed_s > 0.2)",
            0,
        ),
    ],
)
def test_a_program_that_ends_without_leaving_the_block_finishes_the_file(
    program: str, exit_code: int, tmp_path: Path
) -> None:
    done = run(ENTER + program, tmp_path)
    assert done.returncode == exit_code, done.stderr
    assert check(tmp_path / "talk.ogg").ok


def test_a_thread_that_outlives_the_main_thread_goes_on_recording(tmp_path: Path) -> None:
    # The interpreter waits for it.
    done = run(
        f"""{UNTIL}
begun = threading.Event()
def work():
    with capture.Recorder("talk.ogg", pattern=True) as r:
        begun.set()
        threading.main_thread().join()
        gone_s = r.elapsed_s
        until(lambda: r.elapsed_s > gone_s + 1.5)
    print(r.summary.stopped_by, r.summary.duration_s > 1.5)
threading.Thread(target=work).start()
begun.wait()""",
        tmp_path,
    )
    assert (done.returncode, done.stdout) == (0, "program True\n"), done.stderr


@pytest.mark.parametrize("name", ["talk.mp4", "talk.mkv", "talk.ogg", "talk.wav"])
def test_a_fork_leaves_the_recording_alone(name: str, tmp_path: Path) -> None:
    # It ends as one of multiprocessing does: FFmpeg's objects cannot be freed in a fork.
    done = run(
        f"""{UNTIL}
with capture.Recorder({name!r}, pattern=True) as r:
    until(lambda: r.elapsed_s > 0.3)
    child = os.fork()
    if not child:
        code = 1
        try:
            r.mark("not here")
        except capture.UsageError:
            list(r)
            r.wait()
            r.__exit__(None, None, None)
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    r.mark("here")
    until(lambda: r.elapsed_s > 0.6)
marks = [event.detail for event in r.summary.events if event.kind == "mark"]
assert (r.summary.check, marks) == ("ok", ["here"]), r.summary""",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert check(tmp_path / name).ok
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_fixture_that_is_never_torn_down_does_not_hang_pytest(tmp_path: Path) -> None:
    (tmp_path / "test_leftover.py").write_text(
        "import capture\n"
        "def test_leftover(tmp_path):\n"
        "    capture.Recorder(tmp_path / 'talk.ogg', pattern=True).__enter__()\n"
    )
    done = run(
        "import pytest\nsys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '-c', os.devnull, '--rootdir', '.',"
        " '--basetemp', 'in', 'test_leftover.py']))",
        tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = tmp_path.rglob("talk.ogg")
    assert check(path).ok
