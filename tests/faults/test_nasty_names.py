"""Hostile names on a real terminal: they cannot control it, escape a folder or break the JSON."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import av
import pytest
from running import LIMIT_S, eventually
from stage import RED, Pane, module, pactl

from capture.recordings.check import check
from capture.remote import client
from capture.virtual.desk import VirtualDesk

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

#: Sets a title, clears the screen, rings the bell, reverses text, overwrites the line, and starts an eight-bit control
#: sequence.
NASTY: Final = "\x1b]0;owned\x07 \x1b[2J\x07 \u202eevil\u202c \rfake\n\x9b31m \x7f ok"

#: The only control characters allowed: return to the start of the line, newline, and clear from there on.
ALLOWED: Final = re.compile(r"\r|\n|\x1b\[J")


class OnTerminal:
    """Runs `capture ARGUMENT…` on its own pseudo-terminal and keeps everything written to it."""

    def __init__(self, environment: Mapping[str, str], folder: Path, *arguments: str | Path) -> None:
        self._terminal, theirs = os.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "capture", *map(str, arguments)],
            cwd=folder,
            env={**environment, "TERM": "xterm"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self._written = bytearray()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        try:
            while data := os.read(self._terminal, 65_536):
                self._written += data
        except OSError:
            # The other end is closed.
            pass

    @property
    def text(self) -> str:
        return self._written.decode()

    def until_shown(self, words: str) -> None:
        eventually(lambda: words in self.text, f"{words!r} on the terminal, not {self.text!r}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.process.kill()
        self.process.wait(LIMIT_S)
        self._reader.join(LIMIT_S)
        os.close(self._terminal)

    def assert_harmless(self) -> None:
        left = ALLOWED.sub("", self.text)
        assert left.isprintable(), [char for char in left if not char.isprintable()]


def show(environment: Mapping[str, str], folder: Path, *arguments: str | Path) -> tuple[int, str]:
    """Run `capture` to its end, assert that its output is harmless, and return the exit code and the output."""
    with OnTerminal(environment, folder, *arguments) as shown:
        pass
    shown.assert_harmless()
    return shown.process.returncode, shown.text


def test_hostile_names_do_no_harm(
    desk: VirtualDesk, capture_environment: dict[str, str], folder: Path, tmp_path: Path
) -> None:
    environment = capture_environment
    runtime = Path(environment["XDG_RUNTIME_DIR"], "capture")
    path, clip = folder / f"{NASTY}.mkv", folder / "clip \x1b[31m.mkv"
    device = f"sink_properties=\"device.description='{NASTY}'\""
    title = NASTY.translate({0x202E: None, 0x202C: None})
    recording = ("record", path, "--audio", "nasty.monitor", "--screen", "none", "--replay", "20s")
    with (
        module(environment, "module-null-sink", "sink_name=nasty", "norewinds=1", device),
        Pane(environment, title, (10, 10, 100, 100), RED),
        OnTerminal(environment, tmp_path, *recording) as recorder,
    ):
        recorder.until_shown("● recording")
        for text in (NASTY, f"../../{NASTY}"):
            assert client.ask("mark", text=text, folder=runtime)["ok"]
        # A raw request, not from the client.
        assert raw_request(runtime, {"verb": "mark", "text": NASTY})["ok"]
        assert not raw_request(runtime, {"verb": "clip", "options": {"output": "../../escaped.mkv"}})["ok"]
        assert not raw_request(runtime, {"verb": NASTY})["ok"]
        eventually(lambda: status(runtime)["buffer_s"] > 0.5, "a buffer")
        assert client.ask("clip", options={"output": str(clip)}, folder=runtime)["check"] == "ok"
        for arguments in (("status",), ("devices",), ("pause",), ("resume",), ("mark", NASTY)):
            code, text = show(environment, tmp_path, *arguments)
            assert code == 0
            assert "ok" in text or arguments[0] in ("pause", "resume")
        pactl(environment, "set-default-sink", "nasty")
        _, text = show(environment, tmp_path, "doctor")
        assert "internal audio: ?]0;owned?" in text
        code, text = show(environment, tmp_path, "status", "--json")
        assert json.loads(text)["running"][0]["path"] == str(path)
        assert client.ask("stop", folder=runtime)["path"] == str(path)
    assert recorder.process.returncode == 0
    recorder.assert_harmless()
    assert {item.name for item in folder.iterdir()} == {path.name, clip.name}
    assert check(path).ok
    with av.open(str(path)) as container:
        titles = [chapter["metadata"]["title"] for chapter in container.chapters()]
    assert all(title.isprintable() and "evil" in title for title in titles if title != "Beginning")
    for verb, name, wanted in (
        ("check", str(path), 0),
        ("check", f"{path}.not there", 2),
        ("repair", str(path), 0),
        ("repair", str(folder), 0),
        ("record", str(path), 2),
    ):
        code, text = show(environment, tmp_path, verb, name)
        assert code == wanted, text


@pytest.mark.parametrize("name", [NASTY, "../escaped", "..", "/etc", "a\\b", "x" * 65])
def test_hostile_recorder_names_do_not_escape_the_folder(
    name: str, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    arguments = ("record", "out.ogg", "--source", "pattern", "--duration", "0.1", "--name", name)
    code, text = show(capture_environment, tmp_path, *arguments)
    assert code == (0 if name == ".." else 2), text
    assert (tmp_path / "out.ogg").exists() == (name == "..")
    assert not list(tmp_path.glob("**/*escaped*"))


def status(runtime: Path) -> dict[str, Any]:
    return client.running(runtime)[0]


def raw_request(runtime: Path, request: dict[str, Any]) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(LIMIT_S)
        caller.connect(str(runtime / "capture.sock"))
        caller.sendall(json.dumps(request).encode() + b"\n")
        with caller.makefile("rb") as answers:
            found = json.loads(answers.readline())
    assert isinstance(found, dict)
    return found
