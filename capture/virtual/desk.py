"""A virtual desk: a private screen and a private sound output for programs to run on.

::

    with VirtualDesk(1280, 720) as desk:
        desk.run(["xterm"])
        …                       # record with `desk.environment_of(os.environ)`

It needs no display, no sound server and no privileges, so it works on a bare server. It touches nothing of the user's,
and nothing on it outlives the recorder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self, TypeAlias, get_args

from capture.errors import NotReadyError, UsageError
from capture.virtual.manager_process import ManagerProcess
from capture.virtual.sound_server import SINK, SoundServer
from capture.virtual.supervised_process import Stream, SupervisedProcess, end_all
from capture.virtual.wayland_server import WaylandServer
from capture.virtual.xserver import XServer

__all__ = ["VirtualDesk"]

#: What programs draw on: an X server, or a Wayland compositor.
_Kind: TypeAlias = Literal["x11", "wayland"]

#: Both servers answer within half a second; a busy machine or a slow disk takes longer.
START_LIMIT_S: Final = 30.0

# These would lead a program past the desk to the user's own session: to its compositor, to its bus (over which an
# instance that already runs would open the window there instead), to its choice of devices.
_OF_THE_SESSION: Final = frozenset(
    {
        "DBUS_SESSION_BUS_ADDRESS",
        "DESKTOP_SESSION",
        "DESKTOP_STARTUP_ID",
        "DISPLAY",
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
        "XAUTHORITY",
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
    """A private screen and a private sound server; `width` and `height` are the screen's, in pixels.

    The screen is that of an X server. With `window_manager`, windows that ask for full screen get it, and new windows
    get the keyboard; a program may still start another window manager. With the `kind` "wayland" the screen is that of
    a Wayland compositor, sway, where a window fills it; X11 programs can use it if Xwayland is installed. Raises
    `UsageError` for another kind.

    Once open, `display` is the display's name (":99" or "wayland-1"), `sink` is the sound output that everything plays
    to, and `environment` holds the variables a program needs to use the desk. `cleaned_up` says, a line each, what
    earlier desks had left that were killed. One thread at a time may call its methods.
    """

    def __init__(
        self, width: int = 1920, height: int = 1080, *, window_manager: bool = True, kind: _Kind = "x11"
    ) -> None:
        if kind not in get_args(_Kind):
            raise UsageError(f"there is no desk of the kind {kind!r}", "use x11 or wayland")
        self.width = width
        self.height = height
        self._kind = kind
        self._wants_manager = window_manager
        self._manager: ManagerProcess | None = None
        self.sink = SINK
        self.display = ""
        self.environment: dict[str, str] = {}
        self.cleaned_up: tuple[str, ...] = ()
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

        Raises `NotReadyError` when a program is missing, naming its package, when a server fails, quoting the last
        line of its log, or when the temporary folder cannot be written. Nothing is left running in that case.
        """
        if sys.platform != "linux":
            raise NotReadyError("a virtual desktop needs Linux", "record the desktop itself with capture record")
        from capture.virtual.leftovers import clean_up, make_folder

        try:
            self.cleaned_up = tuple(map(str, clean_up()))
            self._folder, held = make_folder()
            self._closing.callback(shutil.rmtree, self._folder, ignore_errors=True)
            self._closing.callback(os.close, held)
            self._open_servers(self._folder)
        except OSError as error:
            self.close()
            where = f" in {self._folder.parent}" if self._folder.name else ""
            raise NotReadyError(
                f"the private desktop cannot keep its files{where} ({error.strerror or error})",
                "free some space there, or set TMPDIR to another folder",
            ) from error
        except BaseException:
            self.close()
            raise

    def _open_servers(self, folder: Path) -> None:
        deadline_s = time.monotonic() + START_LIMIT_S
        sound = SoundServer(folder)
        self.environment = {
            # No library accepts this address. Without the variable some would start a bus, others find the user's.
            "DBUS_SESSION_BUS_ADDRESS": "disabled:",
            "PULSE_CLIENTCONFIG": os.devnull,
            "PULSE_COOKIE": str(sound.cookie),
            "PULSE_SERVER": f"unix:{sound.socket}",
            "XDG_RUNTIME_DIR": str(folder),
            "XDG_SESSION_TYPE": self._kind,
        }
        self._closing.callback(sound.close)
        sound.open(self.environment_of(os.environ), deadline_s)
        display = (
            self._open_compositor(folder, deadline_s)
            if self._kind == "wayland"
            else self._open_x_server(folder, deadline_s)
        )
        sound.await_ready(deadline_s)
        if self._manager is not None:
            self._manager.await_ready(deadline_s)
        self.display = display

    def _open_x_server(self, folder: Path, deadline_s: float) -> str:
        """Start the X server and its window manager; return the display's name."""
        screen = XServer(folder, self.width, self.height)
        self.environment["XAUTHORITY"] = str(screen.authority)
        self._closing.callback(screen.close)
        screen.open(self.environment_of(os.environ), deadline_s)
        self.environment["DISPLAY"] = screen.display
        if self._wants_manager:
            self._manager = ManagerProcess(folder)
            self._closing.callback(self._manager.close)
            self._manager.open(self.environment_of(os.environ))
        return screen.display

    def _open_compositor(self, folder: Path, deadline_s: float) -> str:
        """Start the Wayland compositor; return the display's name."""
        screen = WaylandServer(folder, self.width, self.height)
        self._closing.callback(screen.close)
        screen.open(self.environment_of(os.environ), deadline_s)
        self.environment |= screen.environment
        return screen.environment["WAYLAND_DISPLAY"]

    def close(self) -> None:
        """End all commands and everything they started, then the servers; remove the folder. May be called twice."""
        commands, self._commands = self._commands, []
        self._manager = None
        with self._closing:
            end_all(commands)
        self.display = ""
        self.environment = {}

    def environment_of(self, base: Mapping[str, str]) -> dict[str, str]:
        """Return `base` without the variables of the user's session and with those of the desk."""
        inherited = {
            name: value
            for name, value in base.items()
            if name not in _OF_THE_SESSION and not name.startswith(_OF_THE_SESSION_BY_PREFIX)
        }
        return {**inherited, **self.environment}

    def run(
        self, argv: Sequence[str], *, stdin: Stream = None, stdout: Stream = None, stderr: Stream = None
    ) -> subprocess.Popen[bytes]:
        """Start a command on the desk, in a new session; it shares the recorder's standard streams unless given others.

        Returns the command's supervisor. That process ends with the command's exit code or signal, after it has ended
        whatever the command left running. `terminate` ends the command and everything it started. `pid` is the
        supervisor's, not the command's. Raises `UsageError` when the command cannot be executed.
        """
        if not self.display:
            raise RuntimeError("the desk is not open")
        if not argv:
            raise UsageError("no command was given", "add it after --, as in: capture headless -- xterm")
        try:
            command = SupervisedProcess(
                argv, self.environment_of(os.environ), self._folder, stdin=stdin, stdout=stdout, stderr=stderr
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise UsageError(
                f"cannot run {argv[0]!r} ({reason})", "check the program's name and permissions"
            ) from error
        self._commands.append(command)
        return command.process
