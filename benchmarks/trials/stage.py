"""The tools of the fault trials: desks, recorders that run on them, devices, tones and beacons."""

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

#: SIGKILL; not every system defines the name.
_KILLED: Final = 9

#: Longer than anything here takes; only ends a program that hangs.
_LIMIT_S: Final = 120.0


@contextmanager
def desk(folder: Path, width: int = 640, height: int = 480) -> Iterator[tuple[VirtualDesk, dict[str, str]]]:
    """Start a separate desk whose servers may be killed; yield it and the environment for its programs.

    Their home is in `folder`.
    """
    with VirtualDesk(width, height, window_manager=False) as opened:
        home = folder / "home"
        home.mkdir(exist_ok=True)
        own = {"HOME": str(home), "PYTHONPATH": str(REPOSITORY)}
        yield opened, {**opened.environment_of(os.environ), **own}


class Recorder:
    """A process that runs `capture ARGUMENT… --json` in `folder`; leaving the context kills it."""

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
        """Wait until `condition` holds; return the moment when it did.

        Raises `RuntimeError` with the recorder's output when the recorder ends first.
        """

        def met() -> bool:
            if condition():
                return True
            if self.process.poll() is not None and not condition():
                raise RuntimeError(f"the recorder ended before {what}: {self.said.strip()[-300:]}")
            return False

        return until(met, what)

    def until_recorded(self, path: Path, seconds: float = 0.5) -> float:
        """Wait until `seconds` are recorded; return the moment when the recording began, on the monotonic clock."""
        self.until(lambda: path.exists() and path.stat().st_size, f"{path.name} has content")
        self.until(lambda: self.status().get("elapsed_s", 0.0) >= seconds, f"{seconds:g} s of {path.name}")
        status = self.status()
        return time.monotonic() - float(status["elapsed_s"]) - float(status.get("paused_s", 0.0))

    def status(self, name: str | None = None) -> dict[str, Any]:
        """Return the status of the recorder; empty while it does not answer yet."""
        found = client.running(self._meeting)
        return next((each for each in found if name in (None, each["name"])), {})

    def order(self, verb: str, text: str = "", **options: Any) -> dict[str, Any]:
        """Send a command; return the reply."""
        return client.ask(verb, text=text, options=options, folder=self._meeting)

    @property
    def _meeting(self) -> Path:
        return Path(self.environment["XDG_RUNTIME_DIR"], "capture")

    def wait(self) -> int:
        return self.process.wait(_LIMIT_S)

    def summary(self) -> dict[str, Any]:
        """Wait for the recorder to end; return its summary of the recording."""
        self.wait()
        found = json.loads(_text_of(self._out.fileno()) or "{}")
        return found if isinstance(found, dict) else {}

    def stop(self) -> dict[str, Any]:
        """Ask the recorder to finish; return its summary."""
        self.process.terminate()
        return self.summary()


def _text_of(descriptor: int) -> str:
    if sys.platform == "win32":
        raise OSError("Windows cannot read a file without moving its position")
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode("utf-8", "replace")


def wait_s(seconds: float) -> float:
    """Sleep for `seconds`; return the moment afterwards."""
    time.sleep(seconds)
    return time.monotonic()


# Servers


def kill_server(environment: Mapping[str, str], name: str) -> float:
    """Kill the `Xvfb` or the `pulseaudio` of a desk; return the moment."""
    os.kill(server_of(environment, name), _KILLED)
    return time.monotonic()


def pactl(environment: Mapping[str, str], *arguments: str) -> str:
    return subprocess.run(
        ["pactl", *arguments], env=dict(environment), check=True, timeout=30, stdout=subprocess.PIPE, text=True
    ).stdout


@contextmanager
def output(environment: Mapping[str, str], name: str) -> Iterator[Callable[[], None]]:
    """Add an output; yield a function that removes it before the end of the context."""
    with _module(environment, "module-null-sink", "norewinds=1", f"sink_name={name}") as unload:
        yield unload


@contextmanager
def microphone(environment: Mapping[str, str]) -> Iterator[None]:
    """Add a microphone that hears a tone, and make it the default input."""
    arguments = ("module-sine-source", f"source_name={MICROPHONE}", f"frequency={MICROPHONE_HZ}")
    with _module(environment, *arguments):
        pactl(environment, "set-default-source", MICROPHONE)
        yield


@contextmanager
def _module(environment: Mapping[str, str], *arguments: str) -> Iterator[Callable[[], None]]:
    number = pactl(environment, "load-module", *arguments).strip()

    def unload() -> None:
        # The module or its server may be gone already.
        subprocess.run(["pactl", "unload-module", number], env=dict(environment), stderr=subprocess.DEVNULL)

    try:
        yield unload
    finally:
        unload()


# Stimuli


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
    """Flash the screen and beep until the end of the context, and log the moments; see `seen.pairs`."""
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
