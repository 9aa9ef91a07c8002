"""The server of a running recorder: answers come in order, callers do not disturb each other, its name is released."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest
from callers import Caller, refusal
from conftest import PROJECT
from running import eventually
from scripted_recorder import STATUS, ScriptedSession, only_status, recorder

from capture.errors import CaptureError, NotReadyError, UsageError
from capture.events import Command, Request
from capture.remote import client
from capture.remote.client import ask, running
from capture.remote.runtime_folder import RuntimeFolder
from capture.remote.server import CONNECTIONS, RemoteControl
from capture.system import unix_socket

if sys.platform == "win32":
    pytest.skip("the remote control does not work on Windows", allow_module_level=True)

NOBODY: Final = 65_534


# Several callers at once


def test_answers_come_in_the_order_of_the_requests(runtime_path: Path) -> None:
    with recorder(runtime_path, lambda request: {"ok": True, "text": request.text}), Caller(runtime_path) as caller:
        caller.send(*({"verb": "mark", "text": str(number)} for number in range(100)))
        assert [(caller.receive() or {})["text"] for _ in range(100)] == list(map(str, range(100)))


def test_other_callers_are_served_while_a_file_is_being_finished(runtime_path: Path) -> None:
    with recorder(runtime_path) as session, Caller(runtime_path) as stopping:
        stopping.send({"verb": "stop"}, {"verb": "status"})
        eventually(lambda: session.of(Command.STOP), "stop")
        for _ in range(10):
            assert ask("status", folder=runtime_path)["ok"]
        session.answer(session.of(Command.STOP)[0], {"ok": True, "path": "/talk.mp4"})
        assert (stopping.receive() or {})["path"] == "/talk.mp4"
        assert (stopping.receive() or {})["state"] == "recording"


def test_a_second_or_late_answer_is_ignored(runtime_path: Path) -> None:
    with recorder(runtime_path) as session, Caller(runtime_path) as caller:
        caller.send({"verb": "stop"})
        eventually(lambda: session.requests, "stop")
        (stop,) = session.requests
        session.answer(stop, {"ok": True, "given": 1})
        session.answer(stop, {"ok": True, "given": 2})
        assert (caller.receive() or {})["given"] == 1
        caller.send({"verb": "pause"})
        eventually(lambda: session.of(Command.PAUSE), "pause")
        session.answer(stop, {"ok": True, "given": 3})
        session.answer(session.of(Command.PAUSE)[0], {"ok": True, "given": 4})
        assert (caller.receive() or {})["given"] == 4
    session.answer(stop, {"ok": True})


def test_an_answer_that_cannot_be_sent_ends_only_that_connection(runtime_path: Path) -> None:
    def script(request: Request) -> dict[str, Any]:
        if request.command is Command.PREVIEW:
            raise RuntimeError("the session is broken")
        not_json: dict[Any, Any] = {"ok": True, ("no", "name"): 1}
        return STATUS if request.command is Command.STATUS else not_json

    with recorder(runtime_path, script), Caller(runtime_path) as caller, Caller(runtime_path) as other:
        caller.send({"verb": "pause"})
        other.send({"verb": "preview"})
        assert caller.receive() is None
        assert other.receive() is None
        assert ask("status", folder=runtime_path)["ok"]


def test_a_request_counts_even_if_its_caller_leaves(runtime_path: Path) -> None:
    with recorder(runtime_path, lambda request: None) as session:
        with Caller(runtime_path) as caller:
            caller.send({"verb": "pause"})
        eventually(lambda: session.requests, "pause")
        session.answer(session.requests[0], {"ok": True})
        with Caller(runtime_path) as caller:
            caller.send({"verb": "resume"})
            eventually(lambda: session.of(Command.RESUME), "resume")
            session.answer(session.of(Command.RESUME)[0], {"ok": True})
            assert caller.receive() is not None


def test_thousands_of_requests_are_all_answered(runtime_path: Path) -> None:
    def flood() -> None:
        with Caller(runtime_path) as caller:
            for _ in range(500):
                caller.send({"verb": "status"})
                answers.append(caller.receive())

    answers: list[dict[str, Any] | None] = []
    with recorder(runtime_path) as session:
        threads = [threading.Thread(target=flood) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            assert ask("status", folder=runtime_path)["ok"]
            thread.join()
        assert len(session.requests) == 2_004
    assert all(answer is not None and answer["ok"] for answer in answers)
    assert len(answers) == 2_000


def test_callers_beyond_the_limit_wait_for_their_turn(runtime_path: Path) -> None:
    with recorder(runtime_path, lambda request: None) as session, ExitStack() as callers:
        crowd = [callers.enter_context(Caller(runtime_path)) for _ in range(CONNECTIONS + 10)]
        for caller in crowd:
            caller.send({"verb": "pause"})
        eventually(lambda: len(session.requests) == CONNECTIONS, "all that are served")
        # Ten callers get their answers, leave, and make room for the last ones.
        for number in range(10):
            session.answer(session.requests[number], {"ok": True})
            assert (crowd[number].receive() or {})["ok"]
            crowd[number].__exit__()
        eventually(lambda: len(session.requests) == CONNECTIONS + 10, "those that waited")
        for request in session.requests[10:]:
            session.answer(request, {"ok": True})
        assert all((caller.receive() or {})["ok"] for caller in crowd[10:])


def test_callers_that_left_before_their_answer_make_room(runtime_path: Path) -> None:
    with recorder(runtime_path, only_status) as session:
        with ExitStack() as callers:
            for _ in range(CONNECTIONS):
                callers.enter_context(Caller(runtime_path)).send({"verb": "preview"})
            eventually(lambda: len(session.requests) == CONNECTIONS, "all that are served")
        assert ask("status", folder=runtime_path)["ok"]


def test_a_full_queue_is_reported_as_no_answer(runtime_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "STATUS_LIMIT_S", 0.1)
    with recorder(runtime_path, lambda request: None), ExitStack() as callers:
        peers = []
        with RuntimeFolder(runtime_path) as opened:
            for _ in range(1_000):
                try:
                    peers.append(callers.enter_context(unix_socket.connect(opened.address("capture"), 0.0)))
                except TimeoutError:
                    break
        assert len(peers) > CONNECTIONS
        assert running(runtime_path) == [
            {"name": "capture", "state": "not_answering", "path": None, "pid": os.getpid()},
        ]
        with pytest.raises(CaptureError, match=r"'capture' did not answer within 0\.1 s"):
            ask("pause", folder=runtime_path, timeout_s=0.1)


# Other users


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_another_user_is_refused(runtime_path: Path) -> None:
    # The process starts in the folder, so that no parent folder keeps it out.
    program = (
        "import os, socket, sys; os.chdir(sys.argv[1]); os.setgid(65534); os.setuid(65534)\n"
        "peer = socket.socket(socket.AF_UNIX); peer.connect('capture.sock')\n"
        "try:\n"
        '    peer.sendall(b\'{"verb": "stop"}\\n\')\n'
        "except OSError:\n"
        "    pass\n"
        "print(peer.recv(4096).decode())\n"
    )

    def visit() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, str(runtime_path)], capture_output=True, text=True, timeout=60, check=False
        )

    with recorder(runtime_path) as session:
        assert "PermissionError" in visit().stderr
        # Even with open permissions the server checks the user.
        runtime_path.chmod(0o711)
        (runtime_path / "capture.sock").chmod(0o666)
        assert refusal(json.loads(visit().stdout)) == "this recorder belongs to another user"
        assert ask("status", folder=runtime_path)["ok"]
        assert [request.command for request in session.requests] == [Command.STATUS]


def test_a_recorder_of_another_user_is_sent_nothing(runtime_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with recorder(runtime_path) as session:
        monkeypatch.setattr(unix_socket, "peer_uid", lambda peer: NOBODY)
        assert running(runtime_path) == []
        with pytest.raises(CaptureError, match="no recorder is running"):
            ask("stop", folder=runtime_path)
        monkeypatch.setattr(unix_socket, "peer_uid", lambda peer: None)
        assert running(runtime_path) == []
        assert session.requests == []


def test_only_the_user_can_use_the_socket(runtime_path: Path) -> None:
    before = os.umask(0)
    try:
        with recorder(runtime_path):
            assert (runtime_path / "capture.sock").stat().st_mode & 0o777 == 0o600
            assert runtime_path.stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(before)


# Start and stop


def test_a_recorder_claims_its_name_before_it_starts(runtime_path: Path) -> None:
    control = RemoteControl("talk", folder=runtime_path)
    assert control.name == "talk"
    control.claim()
    control.claim()
    with pytest.raises(UsageError, match="a recorder called 'talk' is already running"):
        RemoteControl("talk", folder=runtime_path).claim()
    other = RemoteControl(folder=runtime_path)
    assert other.name == "capture"
    other.start(ScriptedSession(only_status))
    third = RemoteControl(folder=runtime_path)
    third.claim()
    assert third.name == "capture-2"
    # A caller that connects early is answered as soon as the server starts.
    with Caller(runtime_path, "talk") as caller:
        caller.send({"verb": "status"})
        control.start(ScriptedSession(only_status))
        control.start(ScriptedSession(only_status))
        assert (caller.receive() or {})["name"] == "talk"
    for each in (control, other, third):
        each.stop()
        each.stop()
        each.take_began("/too/late.mp4")
    assert (control.name, other.name, third.name) == ("talk", "capture", "capture-2")


def test_it_can_start_again_after_a_stop(runtime_path: Path) -> None:
    control = RemoteControl(folder=runtime_path)
    for _ in range(3):
        control.start(ScriptedSession(only_status))
        assert ask("status", folder=runtime_path)["ok"]
        control.stop()
        assert running(runtime_path) == []


def test_stop_before_start_does_nothing(runtime_path: Path) -> None:
    RemoteControl(folder=runtime_path).stop()


def test_waiting_callers_learn_that_the_recorder_has_ended(runtime_path: Path) -> None:
    control, session = RemoteControl(folder=runtime_path), ScriptedSession(lambda request: None)
    control.start(session)
    with Caller(runtime_path) as waiting, Caller(runtime_path) as answered, Caller(runtime_path) as idle:
        waiting.send({"verb": "preview"}, {"verb": "status"})
        answered.send({"verb": "stop"})
        eventually(lambda: len(session.requests) == 2, "both")
        session.answer(session.of(Command.STOP)[0], {"ok": True, "path": "/talk.mp4"})
        control.stop()
        assert (answered.receive() or {})["path"] == "/talk.mp4"
        assert refusal(waiting.receive()) == "the recorder has ended"
        assert refusal(waiting.receive()) == "the recorder has ended"
        assert idle.receive() is None
    session.answer(session.of(Command.PREVIEW)[0], {"ok": True})


def test_an_unsafe_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    for begin in (
        RemoteControl(folder=folder).claim,
        lambda: RemoteControl(folder=folder).start(ScriptedSession(only_status)),
    ):
        with pytest.raises(NotReadyError, match="is writable by others"):
            begin()
    with pytest.raises(NotReadyError, match="is writable by others"):
        running(folder)


def test_a_socket_that_cannot_be_created_leaves_nothing_behind(
    runtime_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(address: str) -> socket.socket:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(unix_socket, "listen", fail)
    with pytest.raises(NotReadyError, match="No space left on device"):
        RemoteControl(folder=runtime_path).claim()


def test_on_windows_the_error_suggests_hotkeys(runtime_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    for begin in (
        RemoteControl(folder=runtime_path).claim,
        lambda: RemoteControl(folder=runtime_path).start(ScriptedSession(only_status)),
    ):
        with pytest.raises(NotReadyError, match="does not work on Windows: use the hotkeys"):
            begin()
    with pytest.raises(NotReadyError, match="does not work on Windows"):
        running()


# After a crash

CRASHING: Final = """
import sys, time
from pathlib import Path
from capture.remote.server import RemoteControl
control = RemoteControl("x", folder=Path(sys.argv[1]))
control.start(lambda *given, **more: more["answer"]({"ok": True, "state": "recording"}))
control.take_began("/talk.mp4")
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_killed_recorder_is_not_listed_and_its_note_is_kept(runtime_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    with subprocess.Popen(
        [sys.executable, "-c", CRASHING, str(runtime_path)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            assert [found["pid"] for found in running(runtime_path)] == [process.pid]
        finally:
            process.kill()
    assert (runtime_path / "x.sock").exists()
    assert running(runtime_path) == []
    assert not (runtime_path / "x.sock").exists()
    assert "recording" in json.loads((runtime_path / "x.lock").read_text())
    control = RemoteControl("x", folder=runtime_path)
    control.claim()
    assert control.crash_note == {"pid": process.pid, "recording": "/talk.mp4"}
    control.start(ScriptedSession(only_status))
    assert [found["pid"] for found in running(runtime_path)] == [os.getpid()]
    control.take_began("/other.mp4")
    assert json.loads((runtime_path / "x.lock").read_text()) == {"pid": os.getpid(), "recording": "/other.mp4"}
    control.stop()
