"""Starts a desktop without a screen: its compositor, its portal, its bus and PipeWire, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final

from jeepney.bus_messages import message_bus
from jeepney.io.blocking import Proxy, open_dbus_connection

__all__ = ["SESSIONS", "Gnome", "Kde", "Session", "Sway"]

_START_LIMIT_S: Final = 60.0
_LOOK_S: Final = 0.05
_END_LIMIT_S: Final = 5.0

_SYSTEM_BUS: Final = Path("/run/dbus/system_bus_socket")
_PORTAL: Final = "org.freedesktop.portal.Desktop"
_SINK: Final = "speakers"


class Session:
    """A desktop whose files are in `folder`, one of a short path: sessions after each other share its home.

    `environment` is that of its programs. One thread uses it.
    """

    #: What XDG_CURRENT_DESKTOP says, and the display's name.
    desktop = ""
    display = ""
    #: What a recording is stopped by, with the exit code, if one of these programs is killed.
    endings: Mapping[str, tuple[str, int]] = MappingProxyType({})

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        runtime, home = folder / "run", folder / "home"
        # Of the session before.
        shutil.rmtree(runtime, ignore_errors=True)
        for made in (runtime, home):
            made.mkdir(mode=0o700, exist_ok=True)
        self.environment = {
            **os.environ,
            **{f"XDG_{name}_HOME": str(home / name.lower()) for name in ("CACHE", "CONFIG", "DATA", "STATE")},
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={runtime}/bus",
            "HOME": str(home),
            "LIBGL_ALWAYS_SOFTWARE": "1",
            "PULSE_SERVER": f"unix:{runtime}/pulse/native",
            "WAYLAND_DISPLAY": self.display,
            "XDG_CURRENT_DESKTOP": self.desktop,
            "XDG_RUNTIME_DIR": str(runtime),
            "XDG_SESSION_CLASS": "user",
            "XDG_SESSION_TYPE": "wayland",
        }
        self._runtime = runtime
        self._programs: dict[str, subprocess.Popen[bytes]] = {}
        self._closing = ExitStack()

    def __enter__(self) -> Session:
        try:
            self._open()
        except BaseException:
            self._closing.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    def kill(self, name: str) -> None:
        """Kill one of the programs."""
        self._programs[name].kill()
        self._programs[name].wait()

    def run(self, *argv: str) -> str:
        """Run a command in the session; return what it prints."""
        done = subprocess.run(argv, env=self.environment, capture_output=True, text=True, timeout=_START_LIMIT_S)
        return done.stdout

    def _open(self) -> None:
        self._take_activation()
        if not _SYSTEM_BUS.exists():
            _SYSTEM_BUS.parent.mkdir(exist_ok=True)
            self._closing.callback(_SYSTEM_BUS.unlink, missing_ok=True)
            self._start("dbus-daemon", "--system", "--nofork", "--nopidfile", log="system-bus")
            self._await("the system's bus", _SYSTEM_BUS.exists)
        address = self.environment["DBUS_SESSION_BUS_ADDRESS"]
        self._start("dbus-daemon", "--session", "--nofork", "--nopidfile", f"--address={address}")
        self._await("the bus", (self._runtime / "bus").exists)
        self._start("pipewire")
        self._await("PipeWire", (self._runtime / "pipewire-0").exists)
        self._start("wireplumber")
        self._start("pipewire-pulse")
        self._await("the sound server", lambda: "Server Name" in self.run("pactl", "info"))
        self.run("pactl", "load-module", "module-null-sink", f"sink_name={_SINK}")
        self.run("pactl", "set-default-sink", _SINK)
        self._start_compositor()
        self._await("the compositor", (self._runtime / self.display).exists)
        self._settle()
        self.run("dbus-update-activation-environment", "--all")
        self._start_portal()
        self._await("the portal", lambda: self.has_name(_PORTAL))

    def _start_compositor(self) -> None:
        raise NotImplementedError

    def _settle(self) -> None:
        """Wait until the portal may be started."""

    def _start_portal(self) -> None:
        raise NotImplementedError

    def has_name(self, name: str) -> bool:
        """Whether a program on the bus has this name."""
        with open_dbus_connection(self.environment["DBUS_SESSION_BUS_ADDRESS"]) as connection:
            return bool(Proxy(message_bus, connection).NameHasOwner(name)[0])

    def _take_activation(self) -> None:
        """Let the bus start no part of the portal: it would know no display."""
        services = Path(self.environment["XDG_DATA_HOME"], "dbus-1/services")
        services.mkdir(parents=True, exist_ok=True)
        names = [_PORTAL, *(f"org.freedesktop.impl.portal.desktop.{part}" for part in ("gnome", "gtk", "kde", "wlr"))]
        for name in names:
            (services / f"{name}.service").write_text(f"[D-BUS Service]\nName={name}\nExec=/bin/false\n")

    def _start(self, *argv: str, log: str = "", environment: Mapping[str, str | None] | None = None) -> None:
        name = log or Path(argv[0]).name
        found = {**self.environment, **(environment or {})}
        with (self.folder / f"{name}.log").open("ab") as output:
            program = subprocess.Popen(
                argv,
                env={name: value for name, value in found.items() if value is not None},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self._programs[name] = program
        self._closing.callback(self._end, program)

    def _end(self, program: subprocess.Popen[bytes]) -> None:
        program.terminate()
        try:
            program.wait(_END_LIMIT_S)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()

    def _await(self, what: str, condition: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + _START_LIMIT_S
        while not condition():
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"{what} did not start: see the logs in {self.folder}")
            time.sleep(_LOOK_S)


class Gnome(Session):
    """GNOME Shell with its portal."""

    desktop = "GNOME"
    display = "wayland-desk"
    endings = MappingProxyType({"gnome-shell": ("display_lost", 1), "pipewire": ("display_lost", 1)})

    def _start_compositor(self) -> None:
        # Unsafe mode lets `hands` look into the shell.
        options = ("--headless", "--wayland", "--no-x11", "--unsafe-mode", "--virtual-monitor", "1920x1080")
        self._start("gnome-shell", *options, "--wayland-display", self.display, environment={"WAYLAND_DISPLAY": None})

    def _settle(self) -> None:
        # Its portal shows dialogs through this.
        self._await("GNOME Shell", lambda: self.has_name("org.gnome.Mutter.ServiceChannel"))

    def _start_portal(self) -> None:
        self._start("/usr/libexec/xdg-desktop-portal-gnome")
        self._await("GNOME's portal", lambda: self.has_name("org.freedesktop.impl.portal.desktop.gnome"))
        self._start("/usr/libexec/xdg-desktop-portal")


class Kde(Session):
    """KWin with its portal. KWin gives pictures only where it draws by OpenGL, which takes a render node (/dev/dri)."""

    desktop = "KDE"
    display = "wayland-kde"
    endings = MappingProxyType({"kwin_wayland": ("display_lost", 1), "pipewire": ("display_lost", 1)})

    def _start_compositor(self) -> None:
        # Without the checks, `hands` may press keys. Qt draws the portal's dialog by itself.
        own = {"KDE_SESSION_VERSION": "6", "QT_QPA_PLATFORM": "wayland", "QT_QUICK_BACKEND": "software"}
        self.environment |= {**own, "KWIN_WAYLAND_NO_PERMISSION_CHECKS": "1"}
        options = ("--virtual", "--width", "1920", "--height", "1080", "--no-lockscreen", "--socket", self.display)
        self._start("kwin_wayland", *options, environment={"WAYLAND_DISPLAY": None, "QT_QPA_PLATFORM": None})

    def _start_portal(self) -> None:
        (portal,) = Path("/usr/lib").glob("*/libexec/xdg-desktop-portal-kde")
        self._start(str(portal))
        self._await("KDE's portal", lambda: self.has_name("org.freedesktop.impl.portal.desktop.kde"))
        self._start("/usr/libexec/xdg-desktop-portal")


class Sway(Session):
    """sway with wlroots' portal, which asks nothing."""

    desktop = "sway"
    display = "wayland-1"
    # sway itself gives the pictures.
    endings = MappingProxyType({"sway": ("display_lost", 1), "pipewire": ("duration", 0)})

    def _start_compositor(self) -> None:
        config = self.folder / "sway.conf"
        lines = ("output * resolution 1920x1080 position 0 0", "output * bg #204060 solid_color", "default_border none")
        config.write_text("\n".join(lines) + "\n")
        wlroots = {"WLR_BACKENDS": "headless", "WLR_RENDERER": "pixman", "WLR_LIBINPUT_NO_DEVICES": "1"}
        self.environment["SWAYSOCK"] = str(self._runtime / "sway.socket")
        self._start("sway", "-c", str(config), environment={**wlroots, "WAYLAND_DISPLAY": None})

    def _start_portal(self) -> None:
        portals = Path(self.environment["XDG_CONFIG_HOME"], "xdg-desktop-portal")
        portals.mkdir(parents=True, exist_ok=True)
        (portals / "portals.conf").write_text("[preferred]\ndefault=wlr\n")
        config = self.folder / "portal.conf"
        config.write_text("[screencast]\nmax_fps=60\nchooser_type=none\noutput_name=HEADLESS-1\n")
        self._start("/usr/libexec/xdg-desktop-portal-wlr", "-c", str(config))
        self._await("wlroots' portal", lambda: self.has_name("org.freedesktop.impl.portal.desktop.wlr"))
        self._start("/usr/libexec/xdg-desktop-portal")


SESSIONS: Final[dict[str, type[Session]]] = {"gnome": Gnome, "kde": Kde, "sway": Sway}
