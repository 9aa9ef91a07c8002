"""A private Wayland compositor: sway without a screen, in which one window fills the desk.

It needs no graphics card. X11 programs get an Xwayland of its own where that is installed, started when the first of
them connects.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from capture.errors import NotReadyError
from capture.system.packages import how_to_install
from capture.virtual.server import server_error, start_server, write_private
from capture.virtual.supervised_process import SupervisedProcess

__all__ = ["WaylandServer"]

#: The last line tells when sway is ready, and the names of its displays.
_CONFIG: Final = """\
output * resolution {width}x{height} position 0 0 scale 1
output * bg #000000 solid_color
default_border none
default_floating_border none
focus_follows_mouse no
xwayland {xwayland}
exec echo "$WAYLAND_DISPLAY" "$DISPLAY" > "$XDG_RUNTIME_DIR/{names}"
"""
_NAMES: Final = "displays"

#: Without a screen, a graphics card or input devices.
_WLROOTS: Final = {
    "WLR_BACKENDS": "headless",
    "WLR_HEADLESS_OUTPUTS": "1",
    "WLR_LIBINPUT_NO_DEVICES": "1",
    "WLR_RENDERER": "pixman",
}

#: sway refuses to run as root. Here it is another user, who has root's files and none of root's rights.
_AS_OTHER_USER: Final = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
_NOT_ALLOWED: Final = "unshare"


class WaylandServer:
    """sway with one output. One thread calls `open` and `close`."""

    def __init__(self, folder: Path, width: int, height: int) -> None:
        #: The variables that programs need to find it; known once it is open.
        self.environment: dict[str, str] = {}
        self._folder = folder
        self._size = (width, height)
        self._log = folder / "sway.log"
        self._names = folder / _NAMES
        self._program: SupervisedProcess | None = None

    def open(self, environment: Mapping[str, str], deadline_s: float) -> None:
        """Start the compositor and return once programs can use it.

        Raises `NotReadyError` when it is not installed, when it fails, or when `deadline_s` (monotonic) passes.
        """
        path = environment.get("PATH")
        if shutil.which("sway", path=path) is None:
            raise NotReadyError("sway is not installed", how_to_install("sway"))
        width, height = self._size
        has_x = shutil.which("Xwayland", path=path) is not None
        config = self._folder / "sway.conf"
        words = _CONFIG.format(width=width, height=height, xwayland="enable" if has_x else "disable", names=_NAMES)
        write_private(config, words.encode())
        is_root = sys.platform != "win32" and os.geteuid() == 0
        argv = [*(_AS_OTHER_USER if is_root else ()), "sway", "-c", str(config)]
        # A short name: paths of sockets are limited.
        own = {**_WLROOTS, "SWAYSOCK": str(self._folder / "sway.socket")}
        self._program = start_server(argv, {**environment, **own}, self._log)
        if not self._program.await_answer(self._is_ready, deadline_s):
            if is_root and self._log.read_text("utf-8", "replace").startswith(_NOT_ALLOWED):
                raise NotReadyError(
                    "sway does not run as root, and root may not run it as another user here",
                    "run capture as an ordinary user",
                )
            raise server_error("sway", self._log, deadline_s)
        wayland, _, display = self._names.read_text("utf-8").strip().partition(" ")
        self.environment = {"WAYLAND_DISPLAY": wayland, "SWAYSOCK": own["SWAYSOCK"]}
        if display:
            self.environment["DISPLAY"] = display

    def close(self) -> None:
        """End the compositor; may be called twice."""
        if self._program is not None:
            self._program.end()

    def _is_ready(self) -> bool:
        try:
            return self._names.read_text("utf-8").endswith("\n")
        except FileNotFoundError:
            return False
