"""A private sound server with one output, reached by PulseAudio's protocol over its own Unix socket.

It is PulseAudio's daemon where that is installed, else PipeWire. Both cannot always be installed: on Debian's desktops
the one removes the other. PulseAudio is preferred because PipeWire skips cycles of 21 ms on a machine that is busy.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from capture.errors import NotReadyError
from capture.system.packages import how_to_install
from capture.virtual.pipewire import PIPEWIRE_PROGRAMS, PipeWire
from capture.virtual.pulseaudio import PulseAudio
from capture.virtual.server import write_private

__all__ = ["SINK", "SoundServer"]

#: The name of the output that programs play to, and what mixers call it.
SINK: Final = "desk"
_DESCRIPTION: Final = "Virtual desk"

#: The longest path of a socket on Linux, without the NUL at its end (unix(7)).
_SOCKET_PATH_BYTES: Final = 107


class SoundServer:
    """A sound server without hardware, closed to other users. One thread calls all methods."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "pulse.socket"
        self.cookie = folder / "pulse.cookie"
        self._folder = folder
        self._server: PulseAudio | PipeWire | None = None

    def open(self, environment: Mapping[str, str], deadline_s: float) -> None:
        """Start the server that the PATH of `environment` has; use `await_ready` to wait for it.

        Raises `NotReadyError` when none is installed, when it fails, when `deadline_s` (monotonic) passes, or the
        desk's folder is too deep for a socket.
        """
        if len(os.fsencode(self.socket)) > _SOCKET_PATH_BYTES:
            raise NotReadyError(
                f"the temporary folder {self._folder.parent} has too long a path for a socket",
                "set TMPDIR to a shorter one",
            )
        write_private(self.cookie, secrets.token_bytes(256))
        missing = [name for name in PIPEWIRE_PROGRAMS if shutil.which(name, path=environment.get("PATH")) is None]
        if shutil.which("pulseaudio", path=environment.get("PATH")) is not None:
            self._server = PulseAudio(self._folder, self.socket, self.cookie, SINK, _DESCRIPTION)
        elif not missing:
            self._server = PipeWire(self._folder, self.socket, SINK, _DESCRIPTION)
        elif len(missing) < len(PIPEWIRE_PROGRAMS):
            raise NotReadyError(f"{missing[0]} is not installed", how_to_install(*missing))
        else:
            raise NotReadyError("no sound server is installed", how_to_install("pulseaudio"))
        self._server.open(environment, deadline_s)

    def await_ready(self, deadline_s: float) -> None:
        """Return once the server answers. Raises `NotReadyError` when it fails or `deadline_s` (monotonic) passes."""
        if self._server is not None:
            self._server.await_ready(deadline_s)

    def close(self) -> None:
        """End the server; may be called twice."""
        if self._server is not None:
            self._server.close()
