"""Orders to a running recorder: understood or refused, answered in their order, and no caller disturbs another."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pytest
from callers import Caller, refusal
from conftest import PROJECT
from running import LIMIT_S, eventually

from capture import unix_socket
from capture.cli.main import main
from capture.errors import CaptureError, NotReadyError, UsageError
from capture.events import Answer, Command, Request
from capture.remote import client
from capture.remote import server as remote
from capture.remote.client import ask, running
from capture.remote.protocol import REQUEST_LIMIT_BYTES, as_line, cleaned
from capture.remote.runtime_folder import RuntimeFolder
from capture.remote.server import CONNECTIONS, VERBS, RemoteControl

if sys.platform == "win32":
    pytest.skip("the remote control does not work on Windows", allow_module_level=True)

NOBODY: Final = 65_534

STATUS: Final = {"ok": True, "state": "recording", "path": "/talk.mp4", "elapsed_s": 12.34, "size_bytes": 1_234_567}

#: What to answer to a request; None for nothing yet.
Script = Callable[[Request], dict[str, Any] | None]


class Scripted:
    """The session as the remote control knows it: what it was sent, and what it answers."""

    def __init__(self, script: Script) -> None:
        self.requests: list[Request] = []
        self._script = script

    def __call__(
        self,
        command: Command,
        given_by: str,
        *,
        at_s: float | None = None,
        text: str = "",
        answer: Answer | None = None,
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        request = Request(command, given_by, 0.0 if at_s is None else at_s, text, answer, options)
        self.requests.append(request)
        content = self._script(request)
        if content is not None:
            self.answer(request, content)

    @staticmethod
    def answer(request: Request, content: dict[str, Any]) -> None:
        assert request.answer is not None
        request.answer(content)

    def of(self, command: Command) -> list[Request]:
        return [request for request in self.requests if request.command is command]


def only_status(request: Request) -> dict[str, Any] | None:
    return STATUS if request.command is Command.STATUS else None


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where recorders meet; a test that leaves one there fails."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    yield tmp_path / "capture"
    assert not (tmp_path / "capture").exists()


@contextmanager
def recorder(folder: Path, script: Script = only_status, name: str | None = None) -> Iterator[Scripted]:
    control, session = RemoteControl(name, folder=folder), Scripted(script)
    control.start(session)
    try:
        yield session
    finally:
        control.stop()


# What is asked


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_gives_its_command(verb: str, folder: Path) -> None:
    with recorder(folder, lambda request: {"ok": True}) as session:
        assert ask(verb, text="x", folder=folder) == {"ok": True, "name": "capture", "pid": os.getpid()}
    (request,) = session.requests
    assert (request.command, request.given_by) == (VERBS[verb], "remote")
    assert request.text == ("x" if verb == "mark" else "")


def test_the_verbs_are_those_of_the_contract() -> None:
    assert list(VERBS) == ["status", "stop", "pause", "resume", "toggle", "discard", "mark", "preview", "clip"]


def test_what_the_session_answers_is_passed_on(folder: Path) -> None:
    with recorder(folder):
        assert ask("status", folder=folder) == {"name": "capture", "pid": os.getpid(), **STATUS}
    with recorder(folder, lambda request: {"ok": True, "path": Path("/ж\udcff.mp4")}):
        assert ask("status", folder=folder)["path"] == "/ж\udcff.mp4"
    with recorder(folder, lambda request: {"ok": False, "error": "it is not paused"}):
        with pytest.raises(CaptureError, match=r"^it is not paused$") as refused:
            ask("preview", folder=folder)
        assert refused.value.exit_code == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ""),
        ("ein Titel", "ein Titel"),
        ("two\nlines\tand more ", "two lines and more"),
        ("\x1b[2J", "?[2J"),
        ("\udcff", "?"),
        ('"\\' * 500, '"\\' * 500),
        ("🎬" * 1_000, "🎬" * 1_000),
    ],
)
def test_a_text_arrives_as_one_line_that_drives_no_terminal(text: str, told: str, folder: Path) -> None:
    assert cleaned(text) == told
    with recorder(folder, lambda request: {"ok": True}) as session:
        ask("mark", text=text, folder=folder)
        with Caller(folder) as caller:
            raw = as_line({"verb": "mark", "text": text})
            caller.say(raw)
            heard = caller.hears()
            assert heard is not None
            assert heard["ok"] is (len(raw) <= REQUEST_LIMIT_BYTES)
    assert {request.text for request in session.requests} == {told}


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"status\n",
        b"{}\n",
        b"[]\n",
        b'"status"\n',
        b"null\n",
        b'{"verb": "status"\n',
        b'{"verb": "start"}\n',
        b'{"verb": "STATUS"}\n',
        b'{"verb": ["status"]}\n',
        b'{"verb": {}}\n',
        b'{"verb": null}\n',
        b'{"verb": "mark", "text": 7}\n',
        b'{"verb": "mark", "text": null}\n',
        b'{"verb": "mark", "text": "' + b"x" * 1_001 + b'"}\n',
        b'{"verb": "sta\xfftus"}\n',
        b"\xff\xfe\x00\n",
        b"[" * 4_000 + b"\n",
        b"GET / HTTP/1.1\r\n",
        b'{"verb": "status"}' + b" " * REQUEST_LIMIT_BYTES + b"\n",
        b"x" * 100_000 + b"\n",
    ],
    ids=lambda line: repr(line[:30]),
)
def test_nonsense_is_answered_and_disturbs_nothing(line: bytes, folder: Path) -> None:
    with recorder(folder) as session, Caller(folder) as caller:
        caller.say(line, {"verb": "status"})
        assert refusal(caller.hears()).startswith(("a request", "the verb is one of status, stop", "a text has"))
        assert caller.hears() == {"name": "capture", "pid": os.getpid(), **STATUS}
    assert len(session.requests) == 1


def test_a_request_may_be_just_as_long_as_is_allowed(folder: Path) -> None:
    request = b'{"verb": "status"}'
    with recorder(folder), Caller(folder) as caller:
        caller.say(request.ljust(REQUEST_LIMIT_BYTES - 1) + b"\n", request.ljust(REQUEST_LIMIT_BYTES) + b"\n")
        assert (caller.hears() or {})["ok"]
        assert refusal(caller.hears()) == "a request has at most 4096 bytes"


def test_what_is_too_long_is_refused_before_it_ends(folder: Path) -> None:
    with recorder(folder), Caller(folder) as caller:
        caller.say(b"x" * REQUEST_LIMIT_BYTES)
        assert refusal(caller.hears()) == "a request has at most 4096 bytes"
        caller.say(b"x" * 10_000, b"\n", {"verb": "status"})
        assert (caller.hears() or {})["ok"]


def test_half_a_request_is_answered_when_no_more_comes(folder: Path) -> None:
    with recorder(folder) as session, Caller(folder) as caller:
        caller.say(b'{"verb": "st')
        caller.end()
        assert "a request is a line" in refusal(caller.hears())
        assert caller.hears() is None
        assert session.requests == []


def test_the_last_line_needs_no_end(folder: Path) -> None:
    with recorder(folder), Caller(folder) as caller:
        caller.say({"verb": "status"}, b'{"verb": "status"}')
        caller.end()
        assert [(caller.hears() or {}).get("ok") for _ in range(3)] == [True, True, None]


def test_a_request_may_come_in_pieces(folder: Path) -> None:
    with recorder(folder), Caller(folder) as caller:
        for byte in b'{"verb": "status"}\n{"verb"':
            caller.say(bytes([byte]))
        assert (caller.hears() or {})["ok"]
        caller.say(b': "status"}\n')
        assert (caller.hears() or {})["ok"]


def test_half_a_request_is_not_awaited_for_ever(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PATIENCE_S", 0.1)
    with recorder(folder), Caller(folder) as silent, Caller(folder) as halfway:
        halfway.say(b'{"verb": "st')
        assert halfway.hears() is None
        assert silent.hears() is None


def test_one_who_never_listens_is_dropped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PATIENCE_S", 0.1)
    with recorder(folder, lambda request: {**STATUS, "long": "x" * 1_000_000}), Caller(folder) as deaf:
        deaf.say({"verb": "status"})
        # Dropped: what is left is not sent any more.
        eventually(lambda: _is_closed(deaf.socket), "the connection is closed")
        monkeypatch.setattr(remote, "PATIENCE_S", LIMIT_S)
        assert len(running(folder)) == 1


def _is_closed(peer: socket.socket) -> bool:
    try:
        peer.send(b"\n")
    except OSError:
        return True
    return False


# Several at a time


def test_answers_come_in_the_order_of_the_requests(folder: Path) -> None:
    with recorder(folder, lambda request: {"ok": True, "text": request.text}), Caller(folder) as caller:
        caller.say(*({"verb": "mark", "text": str(number)} for number in range(100)))
        assert [(caller.hears() or {})["text"] for _ in range(100)] == list(map(str, range(100)))


def test_others_are_served_while_a_file_is_being_finished(folder: Path) -> None:
    with recorder(folder) as session, Caller(folder) as stopping:
        stopping.say({"verb": "stop"}, {"verb": "status"})
        eventually(lambda: session.of(Command.STOP), "stop")
        for _ in range(10):
            assert ask("status", folder=folder)["ok"]
        session.answer(session.of(Command.STOP)[0], {"ok": True, "path": "/talk.mp4"})
        assert (stopping.hears() or {})["path"] == "/talk.mp4"
        assert (stopping.hears() or {})["state"] == "recording"


def test_an_answer_that_is_given_twice_or_too_late_is_not_heard(folder: Path) -> None:
    with recorder(folder) as session, Caller(folder) as caller:
        caller.say({"verb": "stop"})
        eventually(lambda: session.requests, "stop")
        (stop,) = session.requests
        session.answer(stop, {"ok": True, "given": 1})
        session.answer(stop, {"ok": True, "given": 2})
        assert (caller.hears() or {})["given"] == 1
        caller.say({"verb": "pause"})
        eventually(lambda: session.of(Command.PAUSE), "pause")
        session.answer(stop, {"ok": True, "given": 3})
        session.answer(session.of(Command.PAUSE)[0], {"ok": True, "given": 4})
        assert (caller.hears() or {})["given"] == 4
    session.answer(stop, {"ok": True})


def test_an_answer_that_cannot_be_sent_ends_that_connection_alone(folder: Path) -> None:
    def script(request: Request) -> dict[str, Any]:
        if request.command is Command.PREVIEW:
            raise RuntimeError("the session is broken")
        no_json: dict[Any, Any] = {"ok": True, ("no", "name"): 1}
        return STATUS if request.command is Command.STATUS else no_json

    with recorder(folder, script), Caller(folder) as caller, Caller(folder) as other:
        caller.say({"verb": "pause"})
        other.say({"verb": "preview"})
        assert caller.hears() is None
        assert other.hears() is None
        assert ask("status", folder=folder)["ok"]


def test_one_who_leaves_has_still_asked(folder: Path) -> None:
    with recorder(folder, lambda request: None) as session:
        with Caller(folder) as caller:
            caller.say({"verb": "pause"})
        eventually(lambda: session.requests, "pause")
        session.answer(session.requests[0], {"ok": True})
        with Caller(folder) as caller:
            caller.say({"verb": "resume"})
            eventually(lambda: session.of(Command.RESUME), "resume")
            session.answer(session.of(Command.RESUME)[0], {"ok": True})
            assert caller.hears() is not None


def test_thousands_of_requests_disturb_nobody(folder: Path) -> None:
    def flood() -> None:
        with Caller(folder) as caller:
            for _ in range(500):
                caller.say({"verb": "status"})
                answers.append(caller.hears())

    answers: list[dict[str, Any] | None] = []
    with recorder(folder) as session:
        threads = [threading.Thread(target=flood) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            assert ask("status", folder=folder)["ok"]
            thread.join()
        assert len(session.requests) == 2_004
    assert all(answer is not None and answer["ok"] for answer in answers)
    assert len(answers) == 2_000


def test_more_than_are_served_at_a_time_wait_for_their_turn(folder: Path) -> None:
    with recorder(folder, lambda request: None) as session, ExitStack() as callers:
        crowd = [callers.enter_context(Caller(folder)) for _ in range(CONNECTIONS + 10)]
        for caller in crowd:
            caller.say({"verb": "pause"})
        eventually(lambda: len(session.requests) == CONNECTIONS, "all that are served")
        # Answered, these ten leave, and make room for those who came last.
        for number in range(10):
            session.answer(session.requests[number], {"ok": True})
            assert (crowd[number].hears() or {})["ok"]
            crowd[number].__exit__()
        eventually(lambda: len(session.requests) == CONNECTIONS + 10, "those who waited")
        for request in session.requests[10:]:
            session.answer(request, {"ok": True})
        assert all((caller.hears() or {})["ok"] for caller in crowd[10:])


def test_those_who_left_without_their_answer_make_room(folder: Path) -> None:
    with recorder(folder, only_status) as session:
        with ExitStack() as callers:
            for _ in range(CONNECTIONS):
                callers.enter_context(Caller(folder)).say({"verb": "preview"})
            eventually(lambda: len(session.requests) == CONNECTIONS, "all that are served")
        assert ask("status", folder=folder)["ok"]


def test_a_queue_that_is_full_is_told_as_no_answer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "STATUS_LIMIT_S", 0.1)
    with recorder(folder, lambda request: None), ExitStack() as callers:
        peers = []
        with RuntimeFolder(folder) as opened:
            for _ in range(1_000):
                try:
                    peers.append(callers.enter_context(unix_socket.connect(opened.address("capture"), 0.0)))
                except TimeoutError:
                    break
        assert len(peers) > CONNECTIONS
        assert running(folder) == [
            {"name": "capture", "state": "not_answering", "path": None, "pid": os.getpid()},
        ]
        with pytest.raises(CaptureError, match=r"'capture' has not answered for 0\.1 s"):
            ask("pause", folder=folder, timeout_s=0.1)


# Who asks


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_user_is_refused(folder: Path) -> None:
    # The folder is where the process is, so that nothing above it is in its way.
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
            [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, timeout=60, check=False
        )

    with recorder(folder) as session:
        assert "PermissionError" in visit().stderr
        # Were the doors open, the user would still be asked for.
        folder.chmod(0o711)
        (folder / "capture.sock").chmod(0o666)
        assert refusal(json.loads(visit().stdout)) == "this recorder belongs to another user"
        assert ask("status", folder=folder)["ok"]
        assert [request.command for request in session.requests] == [Command.STATUS]


def test_a_recorder_of_another_user_is_given_no_orders(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with recorder(folder) as session:
        monkeypatch.setattr(unix_socket, "peer_uid", lambda peer: NOBODY)
        assert running(folder) == []
        with pytest.raises(CaptureError, match="no recorder is running"):
            ask("stop", folder=folder)
        monkeypatch.setattr(unix_socket, "peer_uid", lambda peer: None)
        assert running(folder) == []
        assert session.requests == []


def test_the_socket_is_the_users_alone(folder: Path) -> None:
    before = os.umask(0)
    try:
        with recorder(folder):
            assert (folder / "capture.sock").stat().st_mode & 0o777 == 0o600
            assert folder.stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(before)


# Beginning and ending


def test_a_claim_comes_before_the_recording(folder: Path) -> None:
    control = RemoteControl("talk", folder=folder)
    assert control.name == "talk"
    control.claim()
    control.claim()
    with pytest.raises(UsageError, match="a recorder called 'talk' is running already"):
        RemoteControl("talk", folder=folder).claim()
    other = RemoteControl(folder=folder)
    assert other.name == "capture"
    other.start(Scripted(only_status))
    third = RemoteControl(folder=folder)
    third.claim()
    assert third.name == "capture-2"
    # Whoever asks early hears as soon as there is something to hear.
    with Caller(folder, "talk") as caller:
        caller.say({"verb": "status"})
        control.start(Scripted(only_status))
        control.start(Scripted(only_status))
        assert (caller.hears() or {})["name"] == "talk"
    for each in (control, other, third):
        each.stop()
        each.stop()
        each.take_began("/too/late.mp4")
    assert (control.name, other.name, third.name) == ("talk", "capture", "capture-2")


def test_it_can_begin_again(folder: Path) -> None:
    control = RemoteControl(folder=folder)
    for _ in range(3):
        control.start(Scripted(only_status))
        assert ask("status", folder=folder)["ok"]
        control.stop()
        assert running(folder) == []


def test_stopping_what_never_began_does_nothing(folder: Path) -> None:
    RemoteControl(folder=folder).stop()


def test_those_who_wait_hear_that_it_is_over(folder: Path) -> None:
    control, session = RemoteControl(folder=folder), Scripted(lambda request: None)
    control.start(session)
    with Caller(folder) as waiting, Caller(folder) as answered, Caller(folder) as idle:
        waiting.say({"verb": "preview"}, {"verb": "status"})
        answered.say({"verb": "stop"})
        eventually(lambda: len(session.requests) == 2, "both")
        session.answer(session.of(Command.STOP)[0], {"ok": True, "path": "/talk.mp4"})
        control.stop()
        assert (answered.hears() or {})["path"] == "/talk.mp4"
        assert refusal(waiting.hears()) == "the recorder has ended"
        assert refusal(waiting.hears()) == "the recorder has ended"
        assert idle.hears() is None
    session.answer(session.of(Command.PREVIEW)[0], {"ok": True})


def test_where_orders_cannot_be_received_it_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    for begin in (
        RemoteControl(folder=folder).claim,
        lambda: RemoteControl(folder=folder).start(Scripted(only_status)),
    ):
        with pytest.raises(NotReadyError, match="can be written by others"):
            begin()
    with pytest.raises(NotReadyError, match="can be written by others"):
        running(folder)


def test_a_socket_that_cannot_be_made_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(address: str) -> socket.socket:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(unix_socket, "listen", fail)
    with pytest.raises(NotReadyError, match="No space left on device"):
        RemoteControl(folder=folder).claim()


def test_on_windows_it_says_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    for begin in (
        RemoteControl(folder=folder).claim,
        lambda: RemoteControl(folder=folder).start(Scripted(only_status)),
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


def test_one_that_was_killed_is_not_there_any_more(folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    with subprocess.Popen(
        [sys.executable, "-c", CRASHING, str(folder)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            assert [found["pid"] for found in running(folder)] == [process.pid]
        finally:
            process.kill()
    assert (folder / "x.sock").exists()
    assert running(folder) == []
    assert not (folder / "x.sock").exists()
    assert "recording" in json.loads((folder / "x.lock").read_text())
    control = RemoteControl("x", folder=folder)
    control.claim()
    assert control.left_behind == {"pid": process.pid, "recording": "/talk.mp4"}
    control.start(Scripted(only_status))
    assert [found["pid"] for found in running(folder)] == [os.getpid()]
    control.take_began("/other.mp4")
    assert json.loads((folder / "x.lock").read_text()) == {"pid": os.getpid(), "recording": "/other.mp4"}
    control.stop()


# Those who ask


def test_nobody_runs(folder: Path) -> None:
    assert running(folder) == []
    for name in (None, "x"):
        with pytest.raises(CaptureError, match="no recorder is running: start one with capture record") as refused:
            ask("stop", name=name, folder=folder)
        assert refused.value.exit_code == 1


def test_of_several_one_must_be_named(folder: Path) -> None:
    with recorder(folder, name="b") as second, recorder(folder, name="a"):
        assert [found["name"] for found in running(folder)] == ["a", "b"]
        with pytest.raises(UsageError, match=r"several recorders run \(a, b\): name one with --name"):
            ask("status", folder=folder)
        with pytest.raises(CaptureError, match="no recorder called 'c' is running: there is a, b") as refused:
            ask("status", name="c", folder=folder)
        assert refused.value.exit_code == 1
        assert ask("status", name="b", folder=folder)["name"] == "b"
        assert len(second.requests) == 2


def test_what_cannot_be_asked_is_a_mistake_in_the_call(folder: Path) -> None:
    with recorder(folder) as session:
        with pytest.raises(UsageError, match="text is too long: use at most 1000 letters"):
            ask("mark", text="x" * 1_001, folder=folder)
        with pytest.raises(UsageError, match="cannot be a recorder's name"):
            ask("mark", name="../x", folder=folder)
        with pytest.raises(CaptureError, match="the verb is one of status"):
            ask("explode", folder=folder)
        assert session.requests == []


def test_one_that_does_not_answer_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "STATUS_LIMIT_S", 0.5)
    silent = RemoteControl("silent", folder=folder)
    silent.claim()
    silent.take_began("/talk.mp4")
    with recorder(folder, name="well"):
        with pytest.raises(CaptureError, match=r"'silent' has not answered for 0\.1 s: see capture status") as refused:
            ask("stop", name="silent", folder=folder, timeout_s=0.1)
        assert refused.value.exit_code == 1
        found = running(folder)
        assert found[0] == {"name": "silent", "state": "not_answering", "path": "/talk.mp4", "pid": os.getpid()}
        assert found[1]["state"] == "recording"
    silent.stop()


def test_one_that_ends_before_it_answers_is_told(folder: Path) -> None:
    control = RemoteControl(folder=folder)
    control.claim()
    session = Scripted(lambda request: None)
    control.start(session)
    said: list[str] = []

    def wait() -> None:
        with pytest.raises(CaptureError) as refused:
            ask("preview", folder=folder)
        said.append(str(refused.value))

    thread = threading.Thread(target=wait)
    thread.start()
    eventually(lambda: session.requests, "preview")
    control.stop()
    thread.join()
    assert said == ["the recorder has ended"]


@pytest.mark.parametrize("answer", [b"", b"{", b"[]\n", b"nonsense\n", b"[" * 100_000 + b"\n"])
def test_an_answer_that_is_none_is_told(answer: bytes, folder: Path) -> None:
    folder.mkdir(mode=0o700)
    with RuntimeFolder(folder) as opened, unix_socket.listen(opened.address("x")) as listener:
        listener.setblocking(True)

        def serve() -> None:
            for _ in range(2):
                peer, _ = listener.accept()
                with peer:
                    peer.recv(4_096)
                    peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(CaptureError, match="the recorder 'x' ended without an answer: see capture status"):
            ask("stop", folder=folder)
        assert running(folder) == []
        thread.join()
    (folder / "x.sock").unlink()
    folder.rmdir()


def test_asking_loads_little() -> None:
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


# As commands


class Called:
    """What `capture VERB …` returned and said."""

    def __init__(self, *arguments: str) -> None:
        out, err = StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            self.exit_code = main(arguments)
        self.stdout, self.stderr = out.getvalue(), err.getvalue()

    @property
    def all(self) -> tuple[int, str, str]:
        return self.exit_code, self.stdout, self.stderr


def answering(**content: Any) -> Script:
    return lambda request: {"ok": True, **content}


@pytest.mark.parametrize("verb", VERBS)
def test_without_a_recorder_a_verb_fails_in_one_line(verb: str, folder: Path) -> None:
    said = "capture: no recorder is running: start one with capture record, or capture replay for clips\n"
    assert Called(verb).all == (1, "", said)
    assert Called(verb, "--name", "x").all == (1, "", said)


def test_a_script_that_asks_makes_no_mistake(folder: Path) -> None:
    assert Called("status", "--json").all == (0, '{"running": []}\n', "")


def test_status_for_scripts(folder: Path) -> None:
    with recorder(folder, name="b"), recorder(folder, answering(state="paused", buffer_s=30.0, marks=2), name="a"):
        exit_code, stdout, stderr = Called("status", "--json").all
        assert (exit_code, stderr) == (0, "")
        assert stdout == json.dumps(json.loads(stdout)) + "\n"
        a, b = json.loads(stdout)["running"]
        keys = ["name", "state", "path", "elapsed_s", "size_bytes", "buffer_s", "buffer_bytes", "pid"]
        assert list(b) == keys
        assert list(b.values()) == ["b", "recording", "/talk.mp4", 12.34, 1_234_567, None, None, os.getpid()]
        assert list(a) == [*keys, "marks"]
        assert list(a.values()) == ["a", "paused", None, None, None, 30.0, None, os.getpid(), 2]
        assert [each["name"] for each in json.loads(Called("status", "--json", "--name", "b").stdout)["running"]] == [
            "b"
        ]
        assert Called("status", "--json", "--name", "c").all == (0, '{"running": []}\n', "")


def test_status_for_people(folder: Path) -> None:
    with recorder(folder), recorder(folder, answering(state="armed"), name="not"):
        assert Called("status").all == (
            0,
            "capture  recording  0:12.3  1.2 MB  /talk.mp4\nnot  armed\n",
            "",
        )
        assert Called("status", "--name", "not").stdout == "not  armed\n"
        assert Called("status", "--name", "c").all == (
            1,
            "",
            "capture: no recorder called 'c' is running: there is capture, not\n",
        )
        assert Called("status", "--quiet").all == (0, "", "")
        assert Called("pause").all == (
            2,
            "",
            "capture: several recorders run (capture, not): name one with --name\n",
        )


@pytest.mark.parametrize(
    ("arguments", "content", "line"),
    [
        (["pause"], {"state": "paused", "elapsed_s": 12.34}, "paused at 0:12.3"),
        (["resume"], {"state": "recording", "elapsed_s": 12.34}, "resumed at 0:12.3"),
        (["toggle"], {"state": "paused", "elapsed_s": 0.0}, "paused at 0:00.0"),
        (["toggle"], {"state": "recording", "elapsed_s": 3_600}, "recording at 1:00:00"),
        (["toggle"], {"state": "armed"}, "armed"),
        (["stop"], {"path": "/t\x1b.mp4", "duration_s": 12.34, "size_bytes": 1_500}, "saved /t?.mp4  0:12.3  1.5 KB"),
        (["stop"], {"state": "discarded", "path": None}, "nothing was kept"),
        (["stop"], {"state": "armed", "path": None}, "it waits no more"),
        (["discard"], {"path": None, "discarded": "/talk.mp4"}, "/talk.mp4 is gone"),
        (["discard"], {"state": "armed"}, "it waits no more"),
        (["mark"], {"elapsed_s": 12.34}, "marked at 0:12.3"),
        (["mark", "a title"], {"elapsed_s": 12.34}, "marked at 0:12.3  a title"),
        (["preview"], {}, "playing what was recorded so far"),
    ],
)
def test_each_verb_says_what_became_of_it(
    arguments: list[str], content: dict[str, Any], line: str, folder: Path
) -> None:
    with recorder(folder, answering(**content)) as session:
        assert Called(*arguments).all == (0, f"{line}\n", "")
        assert Called(*arguments, "--quiet").all == (0, "", "")
        exit_code, stdout, stderr = Called("--json", *arguments, "--name", "capture").all
        assert (exit_code, stderr) == (0, "")
        assert json.loads(stdout) == {"ok": True, "name": "capture", "pid": os.getpid(), **content}
        assert [request.command for request in session.requests] == [VERBS[arguments[0]]] * 3


def test_a_file_that_is_not_whole_is_told(folder: Path) -> None:
    with recorder(folder, answering(path="/talk.mp4", check="the picture ends early")):
        said = "capture: the check found: the picture ends early\n"
        assert Called("stop").all == (1, "saved /talk.mp4\n", said)


def test_what_the_recorder_refuses_fails(folder: Path) -> None:
    with recorder(folder, lambda request: {"ok": False, "error": "not\npaused: pause first"}):
        assert Called("preview").all == (1, "", "capture: not?paused: pause first\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("stop", "now"), "unrecognized arguments: now"),
        (("mark", "a", "b"), "unrecognized arguments: b"),
        (("pause", "--name"), "expected one argument"),
        (("pause", "--name", "a/b"), "'a/b' cannot be a recorder's name"),
        (("mark", "x" * 1_001), "the text is too long"),
    ],
)
def test_mistakes_in_the_call(arguments: tuple[str, ...], said: str, folder: Path) -> None:
    called = Called(*arguments)
    assert (called.exit_code, called.stdout) == (2, "")
    assert said in called.stderr
    assert called.stderr.count("\n") == 1
