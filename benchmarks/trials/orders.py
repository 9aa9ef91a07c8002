"""Faults from outside: signals, floods of commands, malformed requests, other users, a second recorder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.trials.seen import expect_whole, heard, pattern_offset_s
from benchmarks.trials.stage import Recorder, desk, wait_s
from benchmarks.trials.trial import Fault, Findings, NotHereError, Trial
from capture.sources.pattern import BEEP_S
from capture.system import unix_socket

__all__ = ["FAULTS", "expect_beeps"]

_PATTERN: Final = ("--source", "pattern", "--fps", "10")

_STATES: Final = ("while it waits to begin", "while it records", "while it is paused")
_SIGNALS: Final = {"SIGINT": "interrupt", "SIGTERM": "terminate", "SIGHUP": "hangup"}

#: Requests per second, for how long, and from how many clients at once.
_FLOOD_PER_S, _FLOOD_S, _FLOODING = 1_000, 3.0, 4

_NONSENSE: Final = (b"\x00\xff\xfe\r\n", b"GET / HTTP/1.1\n", b"[" * 4_000 + b"\n", b"x" * 300_000 + b"\n")

#: Longer than any reply takes.
_PATIENCE_S: Final = 30.0

_NOBODY: Final = 65_534


def _signalled(trial: Trial, findings: Findings) -> None:
    """Send a signal once, twice or three times, in one of the states."""
    state, times = trial.chance.choice(_STATES), 1 + trial.number % 3
    name = trial.chance.choice(sorted(_SIGNALS))
    number = int(getattr(signal, name))
    path = trial.folder / "out.mkv"
    delay = ("--delay", "60") if state == _STATES[0] else ()
    with (
        desk(trial.folder) as (_, environment),
        Recorder(environment, trial.folder, "record", path, *_PATTERN, *delay) as recorder,
    ):
        if delay:
            recorder.until(lambda: recorder.status(), "the recorder to wait")
        else:
            recorder.until_recorded(path)
            if state == _STATES[2]:
                recorder.order("pause")
        for _ in range(times):
            recorder.process.send_signal(number)
            wait_s(trial.chance.uniform(0.0, 0.1))
        code = recorder.wait()
        said, summary = recorder.said, recorder.summary()
    what = f"{name}, {times} times, {state}"
    findings.expect(code == 0, f"{what}: exit code 0, not {code}")
    findings.expect("Traceback" not in said, f"{what}: no traceback")
    if delay:
        findings.expect(not path.exists(), f"{what}: nothing is left")
    else:
        findings.expect(summary.get("stopped_by") == _SIGNALS[name], f"{what}: stopped_by names it")
        expect_whole(path, findings)


def _flooded(trial: Trial, findings: Findings) -> None:
    path = trial.folder / "out.mkv"
    with (
        desk(trial.folder) as (_, environment),
        Recorder(environment, trial.folder, "record", path, *_PATTERN) as recorder,
    ):
        recorder.until_recorded(path)
        address = Path(environment["XDG_RUNTIME_DIR"], "capture", "capture.sock")
        answers: list[int] = []
        crowd = [threading.Thread(target=_flood, args=(address, answers)) for _ in range(_FLOODING)]
        for each in crowd:
            each.start()
        _say_nonsense(address)
        for each in crowd:
            each.join()
        summary = recorder.stop()
    findings.expect(sum(answers) >= 0.99 * _FLOOD_PER_S * _FLOOD_S, f"requests are answered ({sum(answers)})")
    findings.expect(summary.get("check") == "ok", "the recording is whole")
    dropped = (summary.get("video") or {}).get("dropped")
    findings.expect(dropped == 0, f"no frame is dropped ({dropped})")
    findings.lose(float(summary["audio"][0]["inserted_silence_s"]))
    expect_beeps(path, findings)


def _flood(address: Path, answers: list[int]) -> None:
    """Send status requests at a steady rate; append the number of replies to `answers`."""
    count, began_s = round(_FLOOD_PER_S * _FLOOD_S / _FLOODING), time.monotonic()
    heard_lines = 0
    with unix_socket.connect(str(address), time.monotonic() + _PATIENCE_S) as peer:
        peer.settimeout(_PATIENCE_S)
        answered = peer.makefile("rb")
        for number in range(count):
            wait = began_s + number * _FLOODING / _FLOOD_PER_S - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            peer.sendall(b'{"verb": "status"}\n')
            heard_lines += bool(answered.readline())
        answered.close()
    answers.append(heard_lines)


def _say_nonsense(address: Path) -> None:
    with unix_socket.connect(str(address), time.monotonic() + _PATIENCE_S) as peer:
        peer.settimeout(_PATIENCE_S)
        answered = peer.makefile("rb")
        for nonsense in _NONSENSE:
            peer.sendall(nonsense)
            answered.readline()
        answered.close()


def expect_beeps(path: Path, findings: Findings) -> None:
    """Check that the test pattern beeps at whole seconds and at no other moment."""
    track = heard(path)
    into_second_s = (np.flatnonzero(np.abs(track.samples) > 0.2) / track.rate + 0.01) % 1.0
    findings.expect(into_second_s.size, "it beeps")
    findings.expect(into_second_s.size and into_second_s.max() < BEEP_S + 0.03, "it beeps only at whole seconds")


def _visited_by_another_user(trial: Trial, findings: Findings) -> None:
    if sys.platform == "win32" or os.geteuid() != 0:
        raise NotHereError("only root can become another user")
    # The process enters the folder first, so that the permissions of its parents do not matter.
    program = (
        f"import os, socket, sys; os.chdir(sys.argv[1]); os.setgid({_NOBODY}); os.setuid({_NOBODY})\n"
        "peer = socket.socket(socket.AF_UNIX); peer.connect('capture.sock')\n"
        "try:\n"
        '    peer.sendall(b\'{"verb": "discard"}\\n\')\n'
        "except OSError:\n"
        "    pass\n"
        "print(peer.recv(4096).decode())\n"
    )
    path = trial.folder / "out.mkv"
    with desk(trial.folder) as (_, environment):
        meeting = Path(environment["XDG_RUNTIME_DIR"], "capture")

        def visit() -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-c", program, str(meeting)]
            return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

        with Recorder(environment, trial.folder, "record", path, *_PATTERN) as recorder:
            recorder.until_recorded(path)
            findings.expect("PermissionError" in visit().stderr, "the folder is closed to others")
            # Even if file permissions let it in, the recorder checks the user.
            meeting.chmod(0o711)
            (meeting / "capture.sock").chmod(0o666)
            findings.expect("another user" in visit().stdout, "another user is refused")
            recorder.stop()
    expect_whole(path, findings)


def _two_with_one_output(trial: Trial, findings: Findings) -> None:
    path = trial.folder / "out.mp4"
    more = ("--overwrite",) if trial.number % 2 else ()
    with (
        desk(trial.folder) as (_, environment),
        Recorder(environment, trial.folder, "record", path, *_PATTERN) as recorder,
    ):
        recorder.until_recorded(path)
        with Recorder(environment, trial.folder, "record", path, *_PATTERN, *more) as second:
            findings.expect(second.wait() == 2, f"the second is refused with 2 ({second.said.strip()[-100:]})")
        summary = recorder.stop()
    findings.expect(summary.get("check") == "ok", "the first is intact")
    expect_whole(path, findings)


def _two_with_two_outputs(trial: Trial, findings: Findings) -> None:
    paths = [trial.folder / "one.mp4", trial.folder / "two.mkv"]
    with desk(trial.folder) as (_, environment):
        first, second = (Recorder(environment, trial.folder, "record", path, *_PATTERN) for path in paths)
        with first, second:
            for recorder, path in zip((first, second), paths, strict=True):
                recorder.until(lambda path=path: path.exists() and path.stat().st_size, path.name)  # type: ignore[misc]
            wait_s(3.0)
            for recorder in (first, second):
                findings.expect(recorder.stop().get("check") == "ok", "both are intact")
    for path in paths:
        expect_whole(path, findings)
        expect_beeps(path, findings)
        findings.apart(pattern_offset_s(path, 0.5))


FAULTS: Final = (
    Fault("SIGTERM, SIGHUP, SIGINT, once, twice and three times", "the file is finished, exit 0", _signalled, tries=6),
    Fault("two recorders with one OUTPUT", "the second is refused, exit 2", _two_with_one_output, tries=2),
    Fault("two recorders with two OUTPUTs", "both are right", _two_with_two_outputs, most_apart_s=0.04),
    Fault(
        "1,000 requests per second, and malformed ones",
        "answered or refused; no picture and no sound lost",
        _flooded,
        most_lost_s=0.05,
    ),
    Fault("another user at the control socket", "refused; the recording goes on", _visited_by_another_user),
)
