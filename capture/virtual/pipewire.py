"""The private sound server as PipeWire: the daemon with one null sink, WirePlumber, and PipeWire's PulseAudio server.

Each gets a configuration of its own, so that none opens hardware, joins a session bus or reads the user's settings.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

from capture.system.unix_socket import listens
from capture.virtual.server import server_error, start_server, write_private
from capture.virtual.supervised_process import SupervisedProcess

__all__ = ["PIPEWIRE_PROGRAMS", "PipeWire"]

#: The programs that this takes.
PIPEWIRE_PROGRAMS: Final = ("pipewire", "wireplumber", "pipewire-pulse")

#: The socket of PipeWire's own protocol, which programs look for in XDG_RUNTIME_DIR.
_SOCKET: Final = "pipewire-0"

#: How long a program may take to print its version.
_VERSION_LIMIT_S: Final = 10.0

_COMMON: Final = """\
context.properties = {{
    support.dbus = false
    log.level = 1
    {more}
}}
context.spa-libs = {{
    audio.convert.* = audioconvert/libspa-audioconvert
    support.* = support/libspa-support
}}
"""

#: Real-time threads where this user may have them, as root may: without, a busy machine skips cycles of the sound. No
#: bus is asked for them, and their priority is below that of a desktop's PipeWire, 88.
_REAL_TIME: Final = """\
    { name = libpipewire-module-rt
      args = { nice.level = 0, rt.prio = 20, rtportal.enabled = false, rtkit.enabled = false }
      flags = [ ifexists, nofail ]
    }
"""

# The sink's volume is in the recording, as with PulseAudio.
_DAEMON: Final = """\
context.modules = [
{real_time}
    {{ name = libpipewire-module-protocol-native }}
    {{ name = libpipewire-module-metadata }}
    {{ name = libpipewire-module-spa-node-factory }}
    {{ name = libpipewire-module-client-node }}
    {{ name = libpipewire-module-client-device }}
    {{ name = libpipewire-module-access }}
    {{ name = libpipewire-module-adapter }}
    {{ name = libpipewire-module-link-factory }}
    {{ name = libpipewire-module-session-manager }}
]
context.objects = [
    {{ factory = adapter
      args = {{
          factory.name = support.null-audio-sink
          node.name = "{sink}"
          node.description = "{description}"
          media.class = Audio/Sink
          audio.position = [ FL FR ]
          audio.rate = 48000
          monitor.channel-volumes = true
          priority.session = 1000
          object.linger = true
      }}
    }}
]
"""

_PULSE: Final = """\
context.modules = [
{real_time}
    {{ name = libpipewire-module-protocol-native }}
    {{ name = libpipewire-module-client-node }}
    {{ name = libpipewire-module-adapter }}
    {{ name = libpipewire-module-metadata }}
    {{ name = libpipewire-module-protocol-pulse }}
]
pulse.properties = {{
    server.address = [ "unix:{socket}" ]
}}
"""

#: What WirePlumber 0.4 needs beside its policy, which connects programs with devices: the defaults, kept nowhere.
_POLICY: Final = """\
load_module("metadata")
load_module("default-nodes", { ["use-persistent-storage"] = false })
"""


class PipeWire:
    """PipeWire without hardware, with its PulseAudio server at `socket`; `sink` and `description` name its output.

    It asks for no cookie: the folder keeps other users out. One thread calls all methods.
    """

    def __init__(self, folder: Path, socket: Path, sink: str, description: str) -> None:
        self._folder = folder
        self._socket = socket
        self._daemon = _COMMON.format(more=f"core.daemon = true core.name = {_SOCKET}")
        self._daemon += _DAEMON.format(real_time=_REAL_TIME, sink=sink, description=description)
        self._pulse = _COMMON.format(more="") + _PULSE.format(
            real_time=_REAL_TIME, socket=str(socket).replace("\\", "\\\\")
        )
        self._programs: dict[str, SupervisedProcess] = {}

    def open(self, environment: Mapping[str, str], deadline_s: float) -> None:
        """Start the server; use `await_ready` to wait for it.

        Raises `NotReadyError` when a part fails, or `deadline_s` (monotonic) passes.
        """
        daemon, pulse = self._folder / "pipewire.conf", self._folder / "pipewire-pulse.conf"
        write_private(daemon, os.fsencode(self._daemon))
        write_private(pulse, os.fsencode(self._pulse))
        own = {"HOME": "", "XDG_CONFIG_HOME": "", "XDG_STATE_HOME": "state"}
        inside = {**environment, **{name: str(self._folder / place) for name, place in own.items()}}
        self._start("pipewire", ["-c", str(daemon)], inside)
        self._await("pipewire", self._folder / _SOCKET, deadline_s)
        self._start("wireplumber", self._policy_options(inside), inside)
        self._start("pipewire-pulse", ["-c", str(pulse)], inside)

    def await_ready(self, deadline_s: float) -> None:
        """Return once the server answers. Raises `NotReadyError` when it fails or `deadline_s` (monotonic) passes.

        WirePlumber may still be starting: streams wait for it.
        """
        self._await("pipewire-pulse", self._socket, deadline_s)

    def close(self) -> None:
        """End the server; may be called twice."""
        # The daemon last: without it the others would complain in their logs.
        for program in reversed(self._programs.values()):
            program.end()

    def _start(self, name: str, options: list[str], environment: Mapping[str, str]) -> None:
        self._programs[name] = start_server([name, *options], environment, self._log(name))

    def _await(self, name: str, socket: Path, deadline_s: float) -> None:
        if not self._programs[name].await_answer(partial(listens, str(socket)), deadline_s):
            raise server_error(name, self._log(name), deadline_s)

    def _policy_options(self, environment: Mapping[str, str]) -> list[str]:
        """Return the options with which WirePlumber connects programs and devices, and leaves hardware alone."""
        if not _is_old(environment):
            return ["-p", "policy"]
        folder = self._folder / "wireplumber" / "policy.lua.d"
        folder.mkdir(mode=0o700, parents=True)
        write_private(folder / "20-desk.lua", _POLICY.encode())
        return ["-c", "policy.conf"]

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"


def _is_old(environment: Mapping[str, str]) -> bool:
    """Whether WirePlumber is older than 0.5, whose configuration is written in another language."""
    try:
        said = subprocess.run(
            ["wireplumber", "--version"],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_VERSION_LIMIT_S,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
    return re.search(r"libwireplumber 0\.[0-4]\.", said) is not None
