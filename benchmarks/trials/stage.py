"""What faults are made with: desks, recorders that run on them, servers that die and come back, tones and beacons."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from benchmarks.process import REPOSITORY
from benchmarks.remote import until
from benchmarks.trials.servers import MICROPHONE, MICROPHONE_HZ, server_of
from capture.remote import client
from capture.virtual.desk import VirtualDesk

__all__ = [
    "Recorder",
    "beacon",
    "desk",
    "kill_server",
    "microphone",
    "output",
    "pactl",
    "playing",
    "wait_s",
]

_RATE: Final = 48_000

#: SIGKILL, which not every system has a name for.
_KILLED: Final = 9

#: Longer than anything here takes: it only ends what hangs.
_LIMIT_S: Final = 120.0


@contextmanager
def desk(folder: Path, width: int = 640, height: int = 480) -> Iterator[tuple[VirtualDesk, dict[str, str]]]:
    """A desk of its own, whose servers may be ended, and the environment of who works there and owns `folder`."""
    with VirtualDesk(width, height) as opened:
        home = folder / "home"
        home.mkdir(exist_ok=True)
        own = {"HOME": str(home), "PYTHONPATH": str(REPOSITORY)}
        yield opened, {**opened.environment_of(os.environ), **own}


class Recorder:
    """A process that runs `capture ARGUMENT… --json` in `folder`; leaving the context kills it if it still runs."""

    def __init__(self, environment: Mapping[str, str], folder: Path, *arguments: str | Path) -> None:
        self.environment = environment
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - closed at the exit
        self.process = subprocess.Popen(
            [sys.executable, "-m", "capture", *map(str, arguments), "--json"],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        self._out.close()
        self._err.close()

    @property
    def said(self) -> str:
        return _text_of(self._err.fileno())

    def until(self, condition: Callable[[], object], what: str) -> float:
        """Wait for `condition`; raises with the recorder's own words when it ends first. When it was seen to hold."""

        def met() -> bool:
            if condition():
                return True
            if self.process.poll() is not None and not condition():
                raise RuntimeError(f"it ended before {what}: {self.said.strip()[-300:]}")
            return False

        return until(met, what)

    def until_recorded(self, path: Path, seconds: float = 0.5) -> float:
        """Wait until it records and so much is over; the moment on the clock at which it began."""
        self.until(lambda: path.exists() and path.stat().st_size, f"{path.name} has content")
        # The file is made when it begins, and the folder is changed by that.
        self.until(lambda: self.status().get("elapsed_s", 0.0) >= seconds, f"{seconds:g} s of {path.name}")
        status = self.status()
        return time.monotonic() - float(status["elapsed_s"]) - float(status.get("paused_s", 0.0))

    def status(self, name: str | None = None) -> dict[str, Any]:
        """What it says of itself; empty while it does not yet."""
        found = client.running(self._meeting)
        return next((each for each in found if name in (None, each["name"])), {})

    def order(self, verb: str, text: str = "", **options: Any) -> dict[str, Any]:
        """Give an order; its answer."""
        return client.ask(verb, text=text, options=options, folder=self._meeting)

    @property
    def _meeting(self) -> Path:
        return Path(self.environment["XDG_RUNTIME_DIR"], "capture")

    def wait(self) -> int:
        return self.process.wait(_LIMIT_S)

    def summary(self) -> dict[str, Any]:
        """What it says of the recording, after its end."""
        self.wait()
        found = json.loads(_text_of(self._out.fileno()) or "{}")
        return found if isinstance(found, dict) else {}

    def stop(self) -> dict[str, Any]:
        """Ask it to end and finish its file; the summary."""
        self.process.terminate()
        return self.summary()


def _text_of(descriptor: int) -> str:
    if sys.platform == "win32":
        raise OSError("Windows cannot read past the file's position")
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode("utf-8", "replace")


def wait_s(seconds: float) -> float:
    """Let so much time pass; the moment then."""
    time.sleep(seconds)
    return time.monotonic()


# Servers


def kill_server(environment: Mapping[str, str], name: str) -> float:
    """Kill the `Xvfb` or the `pulseaudio` of a desk; when."""
    os.kill(server_of(environment, name), _KILLED)
    return time.monotonic()


def pactl(environment: Mapping[str, str], *arguments: str) -> str:
    return subprocess.run(
        ["pactl", *arguments], env=dict(environment), check=True, timeout=30, stdout=subprocess.PIPE, text=True
    ).stdout


@contextmanager
def output(environment: Mapping[str, str], name: str) -> Iterator[Callable[[], None]]:
    """One more output; what is given removes it before the end of the context."""
    with _module(environment, "module-null-sink", "norewinds=1", f"sink_name={name}") as unload:
        yield unload


@contextmanager
def microphone(environment: Mapping[str, str]) -> Iterator[None]:
    """A microphone that hears a tone and is the default input."""
    arguments = ("module-sine-source", f"source_name={MICROPHONE}", f"frequency={MICROPHONE_HZ}")
    with _module(environment, *arguments):
        pactl(environment, "set-default-source", MICROPHONE)
        yield


@contextmanager
def _module(environment: Mapping[str, str], *arguments: str) -> Iterator[Callable[[], None]]:
    number = pactl(environment, "load-module", *arguments).strip()

    def unload() -> None:
        # It may be gone already, or its server.
        subprocess.run(["pactl", "unload-module", number], env=dict(environment), stderr=subprocess.DEVNULL)

    try:
        yield unload
    finally:
        unload()


# What is shown and played


@contextmanager
def playing(environment: Mapping[str, str], folder: Path, hz: float, sink: str, level: float = 0.2) -> Iterator[None]:
    """Play a tone to an output until the end of the context."""
    path = folder / f"{hz:g}.wav"
    times_s = np.arange(120 * _RATE) / _RATE
    samples = np.rint(level * 32767 * np.sin(2 * np.pi * hz * times_s)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        file.writeframes(samples.tobytes())
    player = subprocess.Popen(
        ["paplay", f"--device={sink}", str(path)], env=dict(environment), stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        player.kill()
        player.wait()


@contextmanager
def beacon(environment: Mapping[str, str], log: Path) -> Iterator[None]:
    """Flashes the screen and beeps until the end of the context, and writes the moments down; see `seen.pairs`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.stimulus.flash_beep", "--log", str(log)],
        env=dict(environment),
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(log.exists, "the beacon")
        yield
    finally:
        process.kill()
        process.wait()
