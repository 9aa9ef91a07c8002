"""A flood on the control socket, from any user: it is answered or refused, and the recording is not affected."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from callers import Caller, refusal
from reopened import sound
from running import LIMIT_S, Recorder, kinds
from test_crash import assert_beeps
from test_every_moment import Stepped, assert_together, kept_sound

from capture.events import Command
from capture.recordings.check import check
from capture.remote import connection
from capture.remote.client import ask, running
from capture.remote.server import CONNECTIONS, RemoteControl

if sys.platform == "win32":
    pytest.skip("the remote control does not work on Windows", allow_module_level=True)

#: How many callers ask at once, and how often each.
ASKING: Final = 5
TIMES: Final = 600

#: Invalid requests: each one must be answered.
NONSENSE: Final = (
    b"\x00\x01\x02\xff\xfe\r\n",
    b"GET / HTTP/1.1\n",
    b"[" * 4_000 + b"\n",
    b'{"verb": "mark", "text": ' + b"9" * 4_000 + b"}\n",
    b"x" * 300_000 + b"\n",
    b'{"verb": "clip", "options": {"output": "/etc/passwd\\u0000.mp4"}}\n',
    b'{"verb": "clip", "options": {"last_s": 1e999}}\n',
)


class Crowd:
    """Runs each visit in its own thread, until `finished`."""

    def __init__(self, *visits: Callable[[], None]) -> None:
        self._failures: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run, args=(visit,)) for visit in visits]
        for thread in self._threads:
            thread.start()

    def _run(self, visit: Callable[[], None]) -> None:
        try:
            visit()
        except BaseException as error:
            self._failures.append(error)

    @property
    def is_running(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def finished(self) -> None:
        for thread in self._threads:
            thread.join(LIMIT_S)
        assert not self.is_running
        assert self._failures == []


def flooding(folder: Path, name: str, times: int) -> Callable[[], None]:
    def visit() -> None:
        with Caller(folder, name) as caller:
            # Send many at once: a caller need not wait for an answer before the next request.
            for first in range(0, times, 50):
                caller.send(*[{"verb": "status"}] * min(50, times - first))
                for _ in range(min(50, times - first)):
                    answer = caller.receive()
                    assert answer is not None
                    assert answer["ok"]

    return visit


def talking_nonsense(folder: Path, name: str, times: int) -> Callable[[], None]:
    def visit() -> None:
        random = np.random.default_rng(3)
        with Caller(folder, name) as caller:
            for _ in range(times):
                for nonsense in (*NONSENSE, random.bytes(200).replace(b"\n", b"") + b"\n"):
                    caller.send(nonsense)
                    assert refusal(caller.receive())

    return visit


def test_a_flood_drops_no_frame_and_no_sample(tmp_path: Path) -> None:
    path, folder = tmp_path / "out.mkv", tmp_path / "meeting"
    control = RemoteControl("flood", folder=folder)
    stepped = Stepped(path, triggers=[control])
    with stepped.recording as recording, ExitStack() as callers:
        stepped.begin()
        stepped.go_on(20)
        # Some callers send nothing, one stops in the middle of a word, and one never reads.
        silent = [callers.enter_context(Caller(folder, "flood")) for _ in range(8)]
        silent[0].send(b'{"verb": "st')
        silent[1].send(*[{"verb": "status"}] * 300)
        crowd = Crowd(*[flooding(folder, "flood", TIMES)] * ASKING, talking_nonsense(folder, "flood", 10))
        # Stop before the scripted sound runs out.
        begun_s, steps = stepped.now_s, 0
        while crowd.is_running and stepped.now_s < begun_s + 10.0:
            stepped.go_on(1)
            steps += 1
        crowd.finished()
        assert steps > 10
        stepped.go_on(20)
        stopped_s = stepped.now_s
        stepped.end(Command.STOP)
        summary = recording.finished()
    control.stop()
    assert (summary.check, summary.stopped_by, summary.events) == ("ok", "stop", ())
    assert summary.video is not None
    assert (summary.video.dropped, summary.audio[0].inserted_silence_s) == (0, 0.0)
    assert_together(path, stepped, kept_sound(stepped, stopped_s), begins_s=0.0)


@pytest.fixture
def recorder(tmp_path: Path, capture_environment: dict[str, str]) -> Iterator[tuple[Recorder, Path]]:
    """A recorder of the test pattern with its own runtime folder, and the folder of its socket."""
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    environment = {**capture_environment, "XDG_RUNTIME_DIR": str(runtime)}
    arguments = ("record", "out.ogg", "--source", "pattern", "--no-hotkeys", "--json")
    with Recorder(environment, tmp_path, *arguments) as found:
        found.until_recording(tmp_path / "out.ogg")
        yield found, runtime / "capture"


def stopped(recorder: Recorder, folder: Path) -> dict[str, Any]:
    """Stop the recorder by a command, assert that its sound is complete, and return the summary."""
    answer = ask("stop", folder=folder)
    assert recorder.wait() == 0, recorder.stderr
    assert "Traceback" not in recorder.stderr
    summary = recorder.summary()
    assert (summary["check"], summary["stopped_by"]) == ("ok", "remote")
    assert summary["audio"][0]["inserted_silence_s"] == pytest.approx(0.0, abs=0.05)
    assert answer["path"] == summary["path"]
    assert check(Path(summary["path"])).ok
    assert_beeps(sound(Path(summary["path"])))
    return summary


def test_a_flood_of_requests_and_nonsense_does_not_harm_a_recorder(recorder: tuple[Recorder, Path]) -> None:
    process, folder = recorder
    crowd = Crowd(*[flooding(folder, "capture", TIMES)] * ASKING, talking_nonsense(folder, "capture", 10))
    crowd.finished()
    assert kinds(stopped(process, folder)) == []


def test_silent_callers_delay_others_only_for_a_while(recorder: tuple[Recorder, Path]) -> None:
    process, folder = recorder
    with ExitStack() as callers:
        for _ in range(2 * CONNECTIONS):
            callers.enter_context(Caller(folder))
        # This caller is served once the earlier ones have timed out.
        began_s = time.monotonic()
        assert ask("status", folder=folder, timeout_s=6 * connection.PATIENCE_S)["ok"]
        assert time.monotonic() - began_s > 0.5 * connection.PATIENCE_S, "so many are not served at once"
        stopped(process, folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_refused_by_a_recorder(recorder: tuple[Recorder, Path]) -> None:
    process, folder = recorder
    # The process changes into the folder first, so that no parent folder can stop it.
    program = (
        "import os, socket, sys; os.chdir(sys.argv[1]); os.setgid(65534); os.setuid(65534)\n"
        "for _ in range(200):\n"
        "    peer = socket.socket(socket.AF_UNIX); peer.connect('capture.sock')\n"
        "    try:\n"
        '        peer.sendall(b\'{"verb": "discard"}\\n\' * 20)\n'
        "    except OSError:\n"
        "        pass\n"
        "    print(peer.recv(4096).decode(), end='')\n"
    )

    def visit() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, timeout=LIMIT_S, check=False
        )

    assert "PermissionError" in visit().stderr
    # Even with open permissions, the recorder checks the user.
    folder.chmod(0o711)
    (folder / "capture.sock").chmod(0o666)
    answers = visit().stdout.splitlines()
    assert len(answers) == 200
    assert all("this recorder belongs to another user" in answer for answer in answers)
    assert len(running(folder)) == 1
    stopped(process, folder)
