"""Finds the servers of a desk, and starts a new sound server in place of a dead one."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.remote import until
from capture.system.unix_socket import listens
from capture.virtual.desk import VirtualDesk

__all__ = ["MICROPHONE", "MICROPHONE_HZ", "server_of", "sound_server"]

#: The tone that the microphone of `sound_server` hears.
MICROPHONE_HZ: Final = 1700
MICROPHONE: Final = "microphone"


def server_of(environment: Mapping[str, str], name: str) -> int:
    """Return the process id of the `Xvfb` or the `pulseaudio` of a desk. Raises `AssertionError` if there is none."""
    folder = environment["XDG_RUNTIME_DIR"].encode()
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                found = (process / "comm").read_text().strip() == name and folder in (process / "cmdline").read_bytes()
            except OSError:
                continue
            if found:
                return int(process.name)
    raise AssertionError(f"there is no {name}")


@contextmanager
def sound_server(desk: VirtualDesk, *outputs: str) -> Iterator[float]:
    """Start a sound server in place of the desk's dead one; yield the moment when it accepted connections.

    It has these outputs, of which the first is the default, and a microphone that always hears a tone and is the
    default input.
    """
    folder = Path(desk.environment["XDG_RUNTIME_DIR"])
    script = folder / "again.pa"
    sink = "load-module module-null-sink norewinds=1 rate=48000"
    lines = [f"{sink} sink_name={name} sink_properties=device.description={name}" for name in outputs]
    lines += [f"load-module module-sine-source source_name={MICROPHONE} rate=48000 frequency={MICROPHONE_HZ}"]
    lines += [f"set-default-sink {outputs[0]}", f"set-default-source {MICROPHONE}"] if outputs else []
    socket = desk.environment["PULSE_SERVER"].removeprefix("unix:")
    cookie = desk.environment["PULSE_COOKIE"]
    lines += [f'load-module module-native-protocol-unix socket="{socket}" auth-cookie="{cookie}"']
    script.write_text("\n".join([*lines, ""]), "utf-8")
    state = str(folder / "pulse")
    own = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "PULSE_CONFIG": str(folder / "pulse.conf")}
    own |= {"PULSE_RUNTIME_PATH": state, "PULSE_STATE_PATH": state}
    # A killed server listens for some moments more, and would be taken for the new one.
    until(lambda: not listens(socket), "the end of the desk's own sound server")
    server = subprocess.Popen(
        ["pulseaudio", "-n", "-F", str(script)],
        env={**desk.environment_of(os.environ), **own},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: listens(socket), "the sound server to start")
        yield time.monotonic()
    finally:
        server.kill()
        server.wait()
