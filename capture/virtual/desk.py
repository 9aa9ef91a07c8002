"""A desk nobody sees: a private screen and a private sound output for programs to show and to play on.

::

    with VirtualDesk(1280, 720) as desk:
        desk.run(["xterm"])
        …                       # record with `desk.environment_of(os.environ)`

It needs neither a display nor a sound server nor rights, and works on a bare server. Nothing of the user's is touched,
and nothing of it outlives the recorder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from capture.errors import NotReadyError, UsageError
from capture.virtual.sound_server import SINK, SoundServer
from capture.virtual.supervised_process import Stream, SupervisedProcess, end_all
from capture.virtual.xserver import XServer

__all__ = ["VirtualDesk"]

#: Both servers answer within half a second; a machine that is busy or reads from a slow disk takes longer.
START_LIMIT_S: Final = 30.0

# What would lead a program past the desk to the user's own session: its compositor, its bus (where the instance that
# already runs would open the window over there), its choice of devices.
_OF_THE_SESSION: Final = frozenset(
    {
        "DBUS_SESSION_BUS_ADDRESS",
        "DESKTOP_SESSION",
        "DESKTOP_STARTUP_ID",
        "GDK_BACKEND",
        "HYPRLAND_INSTANCE_SIGNATURE",
        "I3SOCK",
        "MOZ_ENABLE_WAYLAND",
        "QT_QPA_PLATFORM",
        "SDL_AUDIODRIVER",
        "SDL_VIDEODRIVER",
        "SESSION_MANAGER",
        "SWAYSOCK",
        "WAYLAND_DISPLAY",
        "WAYLAND_SOCKET",
        "XDG_ACTIVATION_TOKEN",
        "XDG_CURRENT_DESKTOP",
        "XDG_SEAT",
        "XDG_SESSION_DESKTOP",
        "XDG_SESSION_ID",
        "XDG_VTNR",
    }
)
_OF_THE_SESSION_BY_PREFIX: Final = ("GNOME_", "KDE_", "PIPEWIRE_", "PULSE_")


class VirtualDesk:
    """An X server and a sound server of their own; `width` and `height` in pixels.

    Once open: `display` is its name (":99"), `sink` the sound output that everything plays to, `environment` what a
    program needs in its environment to use the desk. All methods are called by one thread at a time.
    """

    def __init__(self, width: int = 1920, height: int = 1080) -> None:
        self.width = width
        self.height = height
        self.sink = SINK
        self.display = ""
        self.environment: dict[str, str] = {}
        self._folder = Path()
        self._commands: list[SupervisedProcess] = []
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Start both servers and return when they answer.

        `NotReadyError` names the program that is missing and its package, or what a server said last; nothing is left
        running then.
        """
        if sys.platform != "linux":
            raise NotReadyError("a virtual desktop needs Linux", "record the desktop itself with capture record")
        from capture.virtual.supervisor import FOLDER_PREFIX, hold

        try:
            self._folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
            self._closing.callback(shutil.rmtree, self._folder, ignore_errors=True)
            self._closing.callback(os.close, hold(self._folder))
            self._open_servers(self._folder)
        except BaseException:
            self.close()
            raise

    def _open_servers(self, folder: Path) -> None:
        deadline_s = time.monotonic() + START_LIMIT_S
        screen, sound = XServer(folder, self.width, self.height), SoundServer(folder)
        self.environment = {
            # An address that no library takes for one: without any, some would start a bus and others find the user's.
            "DBUS_SESSION_BUS_ADDRESS": "disabled:",
            "PULSE_CLIENTCONFIG": os.devnull,
            "PULSE_COOKIE": str(sound.cookie),
            "PULSE_SERVER": f"unix:{sound.socket}",
            "XAUTHORITY": str(screen.authority),
            "XDG_RUNTIME_DIR": str(folder),
            "XDG_SESSION_TYPE": "x11",
        }
        surroundings = self.environment_of(os.environ)
        self._closing.callback(sound.close)
        sound.open(surroundings)
        self._closing.callback(screen.close)
        screen.open(surroundings, deadline_s)
        sound.await_ready(deadline_s)
        self.display = self.environment["DISPLAY"] = screen.display

    def close(self) -> None:
        """End all commands with whatever they started, then the servers; remove their folder; may be called twice."""
        commands, self._commands = self._commands, []
        with self._closing:
            end_all(commands)
        self.display = ""
        self.environment = {}

    def environment_of(self, base: Mapping[str, str]) -> dict[str, str]:
        """`base` made fit for a program that shall use the desk: the user's session taken out, the desk put in."""
        kept = {
            name: value
            for name, value in base.items()
            if name not in _OF_THE_SESSION and not name.startswith(_OF_THE_SESSION_BY_PREFIX)
        }
        return {**kept, **self.environment}

    def run(
        self, argv: Sequence[str], *, stdin: Stream = None, stdout: Stream = None, stderr: Stream = None
    ) -> subprocess.Popen[bytes]:
        """Start a command on the desk; its standard streams are the recorder's unless given.

        The command has a session of its own. What is returned ends as the command does, and not before what the command
        left running has been ended too; its `terminate` ends all of that, and its `pid` is not the command's but its
        keeper's. `UsageError` for a command that cannot be executed.
        """
        if not self.display:
            raise RuntimeError("the desk is not open")
        if not argv:
            raise UsageError("no command was given", "write it after --, as in: capture headless -- xterm")
        try:
            command = SupervisedProcess(
                argv, self.environment_of(os.environ), self._folder, stdin=stdin, stdout=stdout, stderr=stderr
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise UsageError(f"{argv[0]!r} cannot be run ({reason})", "give a program that exists") from error
        self._commands.append(command)
        return command.process
