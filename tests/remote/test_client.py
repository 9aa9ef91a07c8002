"""The client of the remote control: which recorder it asks, and what it reports when there is no answer."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from conftest import PROJECT
from running import eventually
from scripted_recorder import ScriptedSession, recorder

from capture.errors import CaptureError, UsageError
from capture.remote import client
from capture.remote.client import ask, running
from capture.remote.runtime_folder import RuntimeFolder
from capture.remote.server import RemoteControl
from capture.system import unix_socket

if sys.platform == "win32":
    pytest.skip("the remote control does not work on Windows", allow_module_level=True)


def test_without_a_recorder_every_command_fails(runtime_path: Path) -> None:
    assert running(runtime_path) == []
    for name in (None, "x"):
        with pytest.raises(CaptureError, match="no recorder is running: start one with capture record") as refused:
            ask("stop", name=name, folder=runtime_path)
        assert refused.value.exit_code == 1


def test_with_several_recorders_a_name_is_required(runtime_path: Path) -> None:
    with recorder(runtime_path, name="b") as second, recorder(runtime_path, name="a"):
        assert [found["name"] for found in running(runtime_path)] == ["a", "b"]
        with pytest.raises(UsageError, match=r"several recorders are running \(a, b\): choose one with --name"):
            ask("status", folder=runtime_path)
        with pytest.raises(CaptureError, match="no recorder called 'c' is running: choose one of a, b") as refused:
            ask("status", name="c", folder=runtime_path)
        assert refused.value.exit_code == 1
        assert ask("status", name="b", folder=runtime_path)["name"] == "b"
        # Without a name each is asked what it does.
        assert len(second.requests) == 3


def test_an_invalid_request_is_a_usage_error(runtime_path: Path) -> None:
    with recorder(runtime_path) as session:
        with pytest.raises(UsageError, match="text is too long: use at most 1000 characters"):
            ask("mark", text="x" * 1_001, folder=runtime_path)
        with pytest.raises(UsageError, match="is not a valid recorder name"):
            ask("mark", name="../x", folder=runtime_path)
        with pytest.raises(CaptureError, match="the verb is one of status"):
            ask("explode", folder=runtime_path)
        assert session.requests == []


def test_a_recorder_that_does_not_answer_is_reported(runtime_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "STATUS_LIMIT_S", 0.5)
    silent = RemoteControl("silent", folder=runtime_path)
    silent.claim()
    silent.take_began("/talk.mp4")
    with recorder(runtime_path, name="well"):
        with pytest.raises(CaptureError, match=r"'silent' did not answer within 0\.1 s: run capture status") as refused:
            ask("stop", name="silent", folder=runtime_path, timeout_s=0.1)
        assert refused.value.exit_code == 1
        found = running(runtime_path)
        assert found[0] == {"name": "silent", "state": "not_answering", "path": "/talk.mp4", "pid": os.getpid()}
        assert found[1]["state"] == "recording"
    silent.stop()


def test_a_recorder_that_ends_before_it_answers_is_reported(runtime_path: Path) -> None:
    control = RemoteControl(folder=runtime_path)
    control.claim()
    session = ScriptedSession(lambda request: None)
    control.start(session)
    errors: list[str] = []

    def wait() -> None:
        with pytest.raises(CaptureError) as refused:
            ask("preview", folder=runtime_path)
        errors.append(str(refused.value))

    thread = threading.Thread(target=wait)
    thread.start()
    eventually(lambda: session.requests, "preview")
    control.stop()
    thread.join()
    assert errors == ["the recorder has ended"]


@pytest.mark.parametrize("answer", [b"", b"{", b"[]\n", b"nonsense\n", b"[" * 100_000 + b"\n"])
def test_an_invalid_answer_is_reported(answer: bytes, runtime_path: Path) -> None:
    runtime_path.mkdir(mode=0o700)
    with RuntimeFolder(runtime_path) as opened, unix_socket.listen(opened.address("x")) as listener:
        listener.setblocking(True)

        def serve() -> None:
            for _ in range(2):
                peer, _ = listener.accept()
                with peer:
                    peer.recv(4_096)
                    peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(CaptureError, match="the recorder 'x' ended before it answered: run capture status"):
            ask("stop", folder=runtime_path)
        assert running(runtime_path) == []
        thread.join()
    (runtime_path / "x.sock").unlink()
    runtime_path.rmdir()


def test_the_client_imports_little() -> None:
    program = "import sys, capture.remote.client; print(sorted(set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    for module in ("numpy", "av", "dataclasses", "platformdirs", "tempfile", "capture.events", "asyncio"):
        assert f"'{module}'" not in done.stdout, module
