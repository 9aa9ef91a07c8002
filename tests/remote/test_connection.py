"""Requests to a running recorder: read in any pieces, understood or refused."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest
from callers import Caller, refusal
from running import LIMIT_S, eventually
from scripted_recorder import STATUS, recorder

from capture.errors import CaptureError
from capture.remote import connection
from capture.remote.client import ask, running
from capture.remote.protocol import REQUEST_LIMIT_BYTES, as_line, cleaned
from capture.remote.server import VERBS

if sys.platform == "win32":
    pytest.skip("the remote control does not work on Windows", allow_module_level=True)


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_sends_its_command(verb: str, runtime_path: Path) -> None:
    with recorder(runtime_path, lambda request: {"ok": True}) as session:
        assert ask(verb, text="x", folder=runtime_path) == {"ok": True, "name": "capture", "pid": os.getpid()}
    (request,) = session.requests
    assert (request.command, request.given_by) == (VERBS[verb], "remote")
    assert request.text == ("x" if verb == "mark" else "")


def test_the_verbs_are_as_documented() -> None:
    ending, pausing = ["stop", "toggle", "discard", "quit"], ["pause", "resume", "toggle_pause"]
    assert sorted(VERBS) == sorted(["status", *ending, *pausing, "mark", "preview", "clip"])


def test_the_sessions_answer_is_passed_on(runtime_path: Path) -> None:
    with recorder(runtime_path):
        assert ask("status", folder=runtime_path) == {"name": "capture", "pid": os.getpid(), **STATUS}
    with recorder(runtime_path, lambda request: {"ok": True, "path": Path("/ж\udcff.mp4")}):
        assert ask("status", folder=runtime_path)["path"] == "/ж\udcff.mp4"
    with recorder(runtime_path, lambda request: {"ok": False, "error": "it is not paused"}):
        with pytest.raises(CaptureError, match=r"^it is not paused$") as refused:
            ask("preview", folder=runtime_path)
        assert refused.value.exit_code == 1


@pytest.mark.parametrize(
    ("text", "sent"),
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
def test_a_text_arrives_on_one_line_without_control_codes(text: str, sent: str, runtime_path: Path) -> None:
    assert cleaned(text) == sent
    with recorder(runtime_path, lambda request: {"ok": True}) as session:
        ask("mark", text=text, folder=runtime_path)
        with Caller(runtime_path) as caller:
            raw = as_line({"verb": "mark", "text": text})
            caller.send(raw)
            answer = caller.receive()
            assert answer is not None
            assert answer["ok"] is (len(raw) <= REQUEST_LIMIT_BYTES)
    assert {request.text for request in session.requests} == {sent}


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
def test_an_invalid_request_is_refused_and_the_next_one_served(line: bytes, runtime_path: Path) -> None:
    with recorder(runtime_path) as session, Caller(runtime_path) as caller:
        caller.send(line, {"verb": "status"})
        assert refusal(caller.receive()).startswith(("a request", "the verb is one of status, stop", "a text has"))
        assert caller.receive() == {"name": "capture", "pid": os.getpid(), **STATUS}
    assert len(session.requests) == 1


def test_the_longest_request_is_accepted_and_one_byte_more_refused(runtime_path: Path) -> None:
    request = b'{"verb": "status"}'
    with recorder(runtime_path), Caller(runtime_path) as caller:
        caller.send(request.ljust(REQUEST_LIMIT_BYTES - 1) + b"\n", request.ljust(REQUEST_LIMIT_BYTES) + b"\n")
        assert (caller.receive() or {})["ok"]
        assert refusal(caller.receive()) == "a request has at most 4096 bytes"


def test_a_request_that_is_too_long_is_refused_before_it_ends(runtime_path: Path) -> None:
    with recorder(runtime_path), Caller(runtime_path) as caller:
        caller.send(b"x" * REQUEST_LIMIT_BYTES)
        assert refusal(caller.receive()) == "a request has at most 4096 bytes"
        caller.send(b"x" * 10_000, b"\n", {"verb": "status"})
        assert (caller.receive() or {})["ok"]


def test_half_a_request_is_refused_when_the_caller_stops_sending(runtime_path: Path) -> None:
    with recorder(runtime_path) as session, Caller(runtime_path) as caller:
        caller.send(b'{"verb": "st')
        caller.finish_sending()
        assert "a request is a line" in refusal(caller.receive())
        assert caller.receive() is None
        assert session.requests == []


def test_the_last_request_needs_no_line_end(runtime_path: Path) -> None:
    with recorder(runtime_path), Caller(runtime_path) as caller:
        caller.send({"verb": "status"}, b'{"verb": "status"}')
        caller.finish_sending()
        assert [(caller.receive() or {}).get("ok") for _ in range(3)] == [True, True, None]


def test_a_request_may_arrive_in_pieces(runtime_path: Path) -> None:
    with recorder(runtime_path), Caller(runtime_path) as caller:
        for byte in b'{"verb": "status"}\n{"verb"':
            caller.send(bytes([byte]))
        assert (caller.receive() or {})["ok"]
        caller.send(b': "status"}\n')
        assert (caller.receive() or {})["ok"]


def test_a_caller_that_never_completes_its_request_is_dropped(
    runtime_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "PATIENCE_S", 0.1)
    with recorder(runtime_path), Caller(runtime_path) as silent, Caller(runtime_path) as halfway:
        halfway.send(b'{"verb": "st')
        assert halfway.receive() is None
        assert silent.receive() is None


def test_a_caller_that_never_reads_its_answer_is_dropped(runtime_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PATIENCE_S", 0.1)
    with recorder(runtime_path, lambda request: {**STATUS, "long": "x" * 1_000_000}), Caller(runtime_path) as deaf:
        deaf.send({"verb": "status"})
        # The rest of the answer is not sent.
        eventually(lambda: _is_closed(deaf.socket), "the connection is closed")
        monkeypatch.setattr(connection, "PATIENCE_S", LIMIT_S)
        assert len(running(runtime_path)) == 1


def _is_closed(peer: socket.socket) -> bool:
    try:
        peer.send(b"\n")
    except OSError:
        return True
    return False
