"""The private sound server as PulseAudio's daemon, with one null sink."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

from capture.system.unix_socket import listens
from capture.virtual.server import server_error, start_server, write_private
from capture.virtual.supervised_process import SupervisedProcess

__all__ = ["PulseAudio"]

# No realtime priority and no limits: an ordinary user may not have the first, and under load the second kill it.
_DAEMON: Final = """\
daemonize = no
use-pid-file = no
system-instance = no
local-server-type = user
exit-idle-time = -1
log-level = error
high-priority = no
realtime-scheduling = no
cpu-limit = no
rlimit-rtprio = -1
rlimit-rttime = -1
rlimit-nice = -1
flat-volumes = no
default-sample-rate = 48000
default-sample-channels = 2
"""

# `norewinds` makes the first sound arrive at once. Without it a sink renders two seconds ahead while nothing plays, and
# waits for them to pass before it renders what begins to play.
_SCRIPT: Final = """\
load-module module-null-sink sink_name={sink} norewinds=1 rate=48000 channels=2 format=float32le \
sink_properties="device.description='{description}'"
set-default-sink {sink}
set-default-source {sink}.monitor
load-module module-native-protocol-unix socket="{socket}" auth-cookie="{cookie}"
"""


class PulseAudio:
    """PulseAudio's daemon without hardware, at `socket`; `sink` and `description` name its output.

    Clients need `cookie`. One thread calls all methods.
    """

    def __init__(self, folder: Path, socket: Path, cookie: Path, sink: str, description: str) -> None:
        self._folder = folder
        self._socket = socket
        self._script = _SCRIPT.format(sink=sink, description=description, socket=socket, cookie=cookie)
        self._log = folder / "pulseaudio.log"
        self._program: SupervisedProcess | None = None

    def open(self, environment: Mapping[str, str], deadline_s: float) -> None:
        """Start the server; use `await_ready` to wait for it. Raises `NotReadyError`."""
        daemon, script = self._folder / "pulse.conf", self._folder / "pulse.pa"
        write_private(daemon, _DAEMON.encode())
        # A folder's name need not be UTF-8.
        write_private(script, os.fsencode(self._script))
        state = str(self._folder / "pulse")
        own = {"HOME": str(self._folder), "XDG_CONFIG_HOME": str(self._folder), "PULSE_CONFIG": str(daemon)}
        own |= {"PULSE_RUNTIME_PATH": state, "PULSE_STATE_PATH": state}
        argv = ["pulseaudio", "-n", "-F", str(script)]
        self._program = start_server(argv, {**environment, **own}, self._log)

    def await_ready(self, deadline_s: float) -> None:
        """Return once the server answers. Raises `NotReadyError` when it fails or `deadline_s` (monotonic) passes."""
        if self._program is None or not self._program.await_answer(partial(listens, str(self._socket)), deadline_s):
            raise server_error("pulseaudio", self._log, deadline_s)

    def close(self) -> None:
        """End the server; may be called twice."""
        if self._program is not None:
            self._program.end()
