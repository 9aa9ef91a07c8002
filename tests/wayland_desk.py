"""A headless Wayland desktop that gives programs its outputs without a dialog: sway, and windows that show numbers."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from conftest import PROJECT
from numbered import HEIGHT, WIDTH, numbered
from running import eventually

from capture.sources.lent_memory import LentMemory
from capture.system.wayland_connection import Connection, as_text, text_of

__all__ = ["AS_USER", "Sway", "Window", "has_sway", "sway_desk"]

#: How another sway is started, perhaps a newer one in a folder of its own; it must see the temporary folder.
OTHER_SWAY: Final = shlex.split(os.environ.get("TEST_SWAY", ""))

#: How sway is started otherwise: it refuses to run as root, also in a container, where root is all there is.
AS_USER: Final = (
    ("unshare", "--user", "--map-user=1000", "--map-group=1000")
    if sys.platform != "win32" and os.geteuid() == 0
    else ()
)


@dataclass
class Sway:
    """The desktop; `environment` is that of its programs."""

    environment: dict[str, str]
    process: subprocess.Popen[bytes]

    def move_here(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put this process on the desk."""
        monkeypatch.delenv("DISPLAY", raising=False)
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)

    def tell(self, *words: str) -> None:
        """Give an order, as in sway(5)."""
        done = subprocess.run(
            ["swaymsg", "--", " ".join(words)], env=self.environment, capture_output=True, text=True, timeout=30
        )
        assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def sway_desk(folder: Path, *outputs: str, inside: Sway | None = None) -> Iterator[Sway]:
    """Run sway with one output for each of `outputs`, its settings as in "resolution 640x360 position 0 0".

    `folder` is an empty one of the user's alone with a short path. With `inside`, the outputs are windows there.
    """
    folder.chmod(0o700)
    config = folder / "config"
    lines = [f"output HEADLESS-{number} {settings}" for number, settings in enumerate(outputs, 1) if settings]
    lines += ["default_border none", "xwayland disable", "focus_follows_mouse no", "seat * hide_cursor 0"]
    config.write_text("\n".join(lines) + "\n")
    kept = ("PATH", "TMPDIR", "LANG", "VIRTUAL_ENV")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment |= {
        "DBUS_SESSION_BUS_ADDRESS": "disabled:",
        "HOME": str(folder),
        "PYTHONPATH": str(PROJECT),
        "XDG_CURRENT_DESKTOP": "sway",
        "XDG_RUNTIME_DIR": str(folder),
        "XDG_SESSION_TYPE": "wayland",
    }
    wlroots = {
        "WLR_BACKENDS": "headless" if inside is None else "wayland",
        "WLR_HEADLESS_OUTPUTS": str(len(outputs)),
        "WLR_WL_OUTPUTS": str(len(outputs)),
        "WLR_LIBINPUT_NO_DEVICES": "1",
        "WLR_RENDERER": "pixman",
    }
    if inside is not None:
        outside = Path(inside.environment["XDG_RUNTIME_DIR"], inside.environment["WAYLAND_DISPLAY"])
        wlroots["WAYLAND_DISPLAY"] = str(outside)
    with (folder / "sway.log").open("wb") as log:
        process = subprocess.Popen(
            [*(OTHER_SWAY or (*AS_USER, "sway")), "-c", str(config)],
            env={**environment, **wlroots},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:

        def sockets() -> list[Path]:
            assert process.poll() is None, (folder / "sway.log").read_text()
            return [*folder.glob("wayland-?"), *folder.glob("sway-ipc.*.sock")]

        eventually(lambda: len(sockets()) == 2, "sway")
        wayland, ipc = sockets()
        desk = Sway({**environment, "WAYLAND_DISPLAY": wayland.name, "SWAYSOCK": str(ipc)}, process)
        eventually(lambda: len(_outputs(desk.environment)) == len(outputs), "the outputs of sway")
        yield desk
    finally:
        process.kill()
        process.wait()


def _outputs(environment: Mapping[str, str]) -> list[Any]:
    found = subprocess.run(["swaymsg", "-t", "get_outputs"], env=environment, capture_output=True, timeout=30).stdout
    return list(json.loads(found or "[]"))


def has_sway() -> bool:
    """Whether sway is installed, and can be run by this user."""
    return bool(shutil.which("sway")) and not (
        AS_USER and subprocess.run([*AS_USER, "true"], capture_output=True, timeout=30).returncode
    )


class Window:
    """A window on the desktop of this process's environment, as large as the desktop wants it.

    It shows a number at its left upper corner, as `numbered` draws it, on a `ground` of one grey. With `output`, the
    name of one, it fills that.
    """

    def __init__(self, *, ground: int = 90, title: str = "", output: str = "") -> None:
        self._ground = ground
        self._size = (0, 0)
        self._serial: int | None = None
        self._bound: dict[str, int] = {}
        self._kept: list[LentMemory] = []
        self._outputs: dict[str, int] = {}
        self._connection = Connection()
        self._registry = self._connection.get_registry(self._on_registry)
        self._connection.round_trip()
        self._surface = self._connection.new_id()
        self._send("wl_compositor", 0, "=I", self._surface)
        self._role = self._connection.new_id(self._on_role)
        self._send("xdg_wm_base", 2, "=II", self._role, self._surface)
        top = self._connection.new_id(self._on_top)
        self._request(self._role, 1, "=I", top)
        self._connection.request(top, 2, as_text(title))
        if output:
            self._connection.round_trip()
            self._request(top, 11, "=I", self._outputs[output])
        self._request(self._surface, 6)
        while self._serial is None:
            self._connection.round_trip()

    def draw(self, number: int) -> None:
        """Show `number`; return once the desktop has shown the picture, in the size that it wants."""
        self._draw(number)
        while self._serial is not None:
            self._draw(number)

    def _draw(self, number: int) -> None:
        self._connection.round_trip()
        width, height = self._size
        picture = np.full((height, width, 4), self._ground, np.uint8)
        picture[:HEIGHT, :WIDTH] = numbered(number)
        memory, descriptor = LentMemory.make(picture.nbytes)
        memory.lend(picture.nbytes)[:] = picture.reshape(-1)
        # The desktop may read it until the next one is shown.
        self._kept = [*self._kept[-3:], memory]
        pool, buffer = self._connection.new_id(), self._connection.new_id()
        what = struct.pack("=Ii", pool, picture.nbytes)
        self._connection.request(self._bound["wl_shm"], 0, what, descriptor)
        os.close(descriptor)
        self._request(pool, 0, "=IiiiiI", buffer, 0, width, height, 4 * width, 1)
        self._connection.destroy(pool, 1)
        self._request(self._surface, 1, "=Iii", buffer, 0, 0)
        area = (WIDTH, HEIGHT)
        if self._serial is not None:
            self._request(self._role, 4, "=I", self._serial)
            self._serial, area = None, self._size
        self._request(self._surface, 2, "=iiii", 0, 0, *area)
        shown: list[int] = []
        self._request(self._surface, 3, "=I", self._connection.new_id(lambda code, arguments: shown.append(code)))
        self._request(self._surface, 6)

        def is_shown() -> bool:
            self._connection.round_trip()
            return bool(shown)

        eventually(is_shown, "the picture on the screen")

    def await_size(self, width: int, height: int) -> None:
        """Wait until the desktop wants this size, which the next picture has."""

        def is_wanted() -> bool:
            self._connection.round_trip()
            return self._size == (width, height)

        eventually(is_wanted, f"a window of {width}x{height}")

    def close(self) -> None:
        self._connection.close()

    def _request(self, target: int, code: int, layout: str = "=", *values: int) -> None:
        self._connection.request(target, code, struct.pack(layout, *values))

    def _send(self, interface: str, code: int, layout: str, *values: int) -> None:
        self._request(self._bound[interface], code, layout, *values)

    def _on_registry(self, code: int, arguments: bytes) -> None:
        interface = text_of(arguments[4:]) if code == 0 else ""
        if interface in ("wl_compositor", "wl_shm", "xdg_wm_base"):
            number = self._bound[interface] = self._connection.new_id(
                self._on_base if interface == "xdg_wm_base" else lambda code, arguments: None
            )
            self._connection.request(
                self._registry, 0, arguments[:4] + as_text(interface) + struct.pack("=II", 1, number)
            )

        elif interface == "wl_output":
            number = self._connection.new_id(lambda code, words: self._on_output(number, code, words))
            # From version 4 on, outputs have names.
            version = min(4, struct.unpack_from("=I", arguments, len(arguments) - 4)[0])
            what = arguments[:4] + as_text(interface) + struct.pack("=II", version, number)
            self._connection.request(self._registry, 0, what)

    def _on_output(self, number: int, code: int, arguments: bytes) -> None:
        if code == 4:
            self._outputs[text_of(arguments)] = number

    def _on_base(self, code: int, arguments: bytes) -> None:
        self._connection.request(self._bound["xdg_wm_base"], 3, arguments)

    def _on_role(self, code: int, arguments: bytes) -> None:
        (self._serial,) = struct.unpack("=I", arguments)

    def _on_top(self, code: int, arguments: bytes) -> None:
        if code == 0:
            width, height = struct.unpack_from("=ii", arguments)
            self._size = (width or 640, height or 360)
