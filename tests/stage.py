"""Material to record: a window with known colours at known places, a cursor of known shape, a tone."""

from __future__ import annotations

import json
import os
import subprocess
import wave
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeAlias
from unittest.mock import patch

import numpy as np

Colour: TypeAlias = tuple[int, int, int]

BLACK: Final[Colour] = (0, 0, 0)
WHITE: Final[Colour] = (255, 255, 255)
RED: Final[Colour] = (230, 30, 30)
GREEN: Final[Colour] = (30, 200, 60)
BLUE: Final[Colour] = (40, 60, 220)
GREY: Final[Colour] = (90, 90, 90)

#: Title of the `Stage` window.
TITLE: Final = "Stage"

#: Width of the frame of a `Pane`, in pixels.
FRAME: Final = 12

#: The cursor of `Stage`: a square of this side, with its hot spot this far from its top left corner.
CURSOR_SIDE: Final = 16
CURSOR_HOT: Final = 4

RATE: Final = 48_000


class Stage:
    """A window over the whole screen of a desk. Black at first; the test draws into it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        from Xlib import X
        from Xlib.display import Display

        with patch.dict(os.environ, {"XAUTHORITY": environment["XAUTHORITY"]}):
            self._display = Display(environment["DISPLAY"])
        screen = self._display.screen()
        self.width, self.height = screen.width_in_pixels, screen.height_in_pixels
        self._window = screen.root.create_window(
            0,
            0,
            self.width,
            self.height,
            0,
            X.CopyFromParent,
            background_pixel=_pixel(BLACK),
            override_redirect=True,
            event_mask=X.KeyPressMask | X.ExposureMask,
            cursor=self._square_cursor(screen.root),
        )
        self._window.set_wm_name(TITLE)
        self._pen = self._window.create_gc()
        self._window.map()
        # The server discards what is drawn into a window that is not visible yet.
        while self._display.next_event().type != X.Expose:
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from Xlib.error import ConnectionClosedError

        # Some tests kill the server.
        with suppress(ConnectionClosedError):
            self._display.close()

    def paint(self, left: int, top: int, width: int, height: int, colour: Colour) -> None:
        """Fill a rectangle and return once it is on the screen."""
        self._pen.change(foreground=_pixel(colour))
        self._window.fill_rectangle(self._pen, left, top, width, height)
        self._display.sync()

    def point_at(self, x: int, y: int) -> None:
        """Move the cursor and return once it is there."""
        self._window.warp_pointer(x, y)
        self._display.sync()

    def take_focus(self) -> None:
        """Give this window the keyboard focus."""
        from Xlib import X

        self._window.set_input_focus(X.RevertToPointerRoot, X.CurrentTime)
        self._display.sync()

    def typed(self, count: int) -> str:
        """Wait for the next `count` characters typed into this window and return them."""
        from Xlib import X

        text = ""
        while len(text) < count:
            event = self._display.next_event()
            if event.type == X.KeyPress:
                symbol = self._display.keycode_to_keysym(event.detail, event.state & X.ShiftMask)
                # Keysyms of characters are their Latin-1 codes; all other keysyms are far above.
                text += chr(symbol) if 32 <= symbol < 127 else ""
        return text

    def _square_cursor(self, root: Any) -> Any:
        shape = root.create_pixmap(CURSOR_SIDE, CURSOR_SIDE, 1)
        pen = shape.create_gc(foreground=1)
        shape.fill_rectangle(pen, 0, 0, CURSOR_SIDE, CURSOR_SIDE)
        return shape.create_cursor(shape, tuple(257 * part for part in RED), (0, 0, 0), CURSOR_HOT, CURSOR_HOT)


class Pane:
    """A window of one colour with a title, above the existing ones.

    With `framed` it gets a frame like that of a window manager. `program` is its WM_CLASS. With `managed` a real window
    manager may place and decorate it. The server itself repaints uncovered parts.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        title: str,
        place: tuple[int, int, int, int],
        colour: Colour,
        *,
        framed: bool = False,
        program: str = "",
        managed: bool = False,
    ) -> None:
        from Xlib.display import Display

        with patch.dict(os.environ, {"XAUTHORITY": environment["XAUTHORITY"]}):
            self._display = Display(environment["DISPLAY"])
        left, top, width, height = place
        inside = self._display.screen().root
        self._frame: Any = None
        if framed:
            inside = self._frame = self._make(
                inside, (left - FRAME, top - FRAME, width + 2 * FRAME, height + 2 * FRAME)
            )
            left = top = FRAME
        self._window = self._make(inside, (left, top, width, height), colour, managed=managed)
        self._window.set_wm_name(title)
        if program:
            self._window.set_wm_class(program, program.capitalize())
        self.id = hex(self._window.id)
        for window in filter(None, (self._window, self._frame)):
            window.map()
        self._display.sync()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.close()

    def mark(self, left: int, top: int, width: int, height: int, colour: Colour) -> None:
        """Add an area of another colour."""
        self._make(self._window, (left, top, width, height), colour).map()
        self._display.sync()

    def move(self, left: int, top: int) -> None:
        if self._frame is not None:
            self._frame.configure(x=left - FRAME, y=top - FRAME)
        else:
            self._window.configure(x=left, y=top)
        self._display.sync()

    def resize(self, width: int, height: int) -> None:
        self._window.configure(width=width, height=height)
        self._display.sync()

    def show(self, shown: bool) -> None:
        """Map the window, or unmap it as a window manager does to minimise it."""
        window = self._frame or self._window
        if shown:
            window.map()
        else:
            window.unmap()
        self._display.sync()

    def roll_up(self, height: int) -> None:
        """Reduce the frame to this height, as window managers do to roll a window up."""
        self._frame.configure(height=height)
        self._display.sync()

    def set_property(self, name: str, kind: str, value: bytes | list[int] | None) -> None:
        """Set a property of the window, or remove it: bytes, or numbers of 32 bits. `kind` is its type."""
        atom = self._display.get_atom(name)
        if value is None:
            self._window.delete_property(atom)
        else:
            size = 8 if isinstance(value, bytes) else 32
            self._window.change_property(atom, self._display.get_atom(kind), size, value)
        self._display.sync()

    def ask_manager(self, message: str, *data: int | str, to_window: bool = True) -> None:
        """Send the window manager a client message about this window, or about the root if not `to_window`.

        Strings in `data` are names of atoms.
        """
        from Xlib import X
        from Xlib.protocol.event import ClientMessage

        root = self._display.screen().root
        values = [self._display.get_atom(value) if isinstance(value, str) else value for value in data]
        event = ClientMessage(
            window=self._window if to_window else root,
            client_type=self._display.get_atom(message),
            data=(32, [*values, 0, 0, 0, 0, 0][:5]),
        )
        root.send_event(event, event_mask=X.SubstructureRedirectMask | X.SubstructureNotifyMask)
        self._display.sync()

    @property
    def is_viewable(self) -> bool:
        from Xlib import X

        return bool(self._window.get_attributes().map_state == X.IsViewable)

    @property
    def place(self) -> tuple[int, int, int, int]:
        """Its place on the screen: left, top, width, height."""
        corner = self._window.translate_coords(self._display.screen().root, 0, 0)
        size = self._window.get_geometry()
        return -corner.x, -corner.y, size.width, size.height

    def take_focus(self) -> None:
        from Xlib import X

        self._window.set_input_focus(X.RevertToPointerRoot, X.CurrentTime)
        self._display.sync()

    @property
    def has_focus(self) -> bool:
        return bool(self._display.get_input_focus().focus == self._window)

    def close(self) -> None:
        self._window.destroy()
        self._display.sync()

    def _make(
        self, inside: Any, place: tuple[int, int, int, int], colour: Colour = GREY, *, managed: bool = False
    ) -> Any:
        from Xlib import X

        return inside.create_window(
            *place, 0, X.CopyFromParent, background_pixel=_pixel(colour), override_redirect=not managed
        )


def _pixel(colour: Colour) -> int:
    red, green, blue = colour
    return red << 16 | green << 8 | blue


def press(environment: Mapping[str, str], *keys: str) -> None:
    """Press keys as a person would, `ctrl+alt+r` for several at once. The focused window receives them."""
    subprocess.run(["xdotool", "key", "--clearmodifiers", *keys], env=dict(environment), check=True, timeout=30)


def point_at(environment: Mapping[str, str], x: int, y: int) -> None:
    """Move the mouse pointer and return once it is there."""
    subprocess.run(["xdotool", "mousemove", "--sync", str(x), str(y)], env=dict(environment), check=True, timeout=30)


def mouse(environment: Mapping[str, str], *steps: str) -> None:
    """Run xdotool steps such as `mousemove 10 20` and `click 1`."""
    subprocess.run(["xdotool", *" ".join(steps).split()], env=dict(environment), check=True, timeout=30)


def colour_at(environment: Mapping[str, str], x: int, y: int) -> Colour:
    """Return the colour of that pixel on the screen."""
    from Xlib import X
    from Xlib.display import Display

    with patch.dict(os.environ, {"XAUTHORITY": environment["XAUTHORITY"]}):
        display = Display(environment["DISPLAY"])
    try:
        blue, green, red = display.screen().root.get_image(x, y, 1, 1, X.ZPixmap, 0xFFFFFFFF).data[:3]
    finally:
        display.close()
    return red, green, blue


def write_tone(path: Path, hz: float, duration_s: float, level: float = 0.5) -> Path:
    """Write a WAV file with a sine of `hz`; return `path`."""
    times_s = np.arange(round(duration_s * RATE)) / RATE
    samples = np.rint(level * 32767 * np.sin(2 * np.pi * hz * times_s)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.repeat(samples, 2).tobytes())
    return path


@contextmanager
def playing(
    environment: Mapping[str, str], tone: Path, sink: str, *, program: str = "paplay", channel_map: str = ""
) -> Iterator[int]:
    """Play a WAV file to `sink` until the context ends; yield the process id of the player.

    The player calls itself `program`. `channel_map` names the positions of the file's channels, if not the usual ones.
    """
    command = ["paplay", f"--client-name={program}", f"--device={sink}", str(tone)]
    command += [f"--channel-map={channel_map}"] if channel_map else []
    player = subprocess.Popen(command, env=dict(environment), stderr=subprocess.DEVNULL)
    try:
        yield player.pid
    finally:
        player.terminate()
        player.wait()


@contextmanager
def playing_raw(
    environment: Mapping[str, str], sound: Path, sink: str, *, program: str = "pacat"
) -> Iterator[subprocess.Popen[bytes]]:
    """Play a file of raw stereo float32 to `sink` until the context ends; yield the player, which calls itself so."""
    shape = ["--raw", "--format=float32le", f"--rate={RATE}", "--channels=2"]
    command = ["pacat", "--playback", *shape, f"--client-name={program}", f"--device={sink}", str(sound)]
    with subprocess.Popen(command, env=dict(environment), stderr=subprocess.DEVNULL) as player:
        try:
            yield player
        finally:
            player.terminate()


def streams(environment: Mapping[str, str]) -> list[tuple[str, int]]:
    """Return the playback streams of the sound server: program name and stream index."""
    found = json.loads(pactl(environment, "--format=json", "list", "sink-inputs"))
    return [(stream["properties"].get("application.name", ""), stream["index"]) for stream in found]


@contextmanager
def module(environment: Mapping[str, str], *arguments: str) -> Iterator[int]:
    """Load a module of the sound server until the context ends; yield its index."""
    number = int(pactl(environment, "load-module", *arguments))
    try:
        yield number
    finally:
        # The test may have unloaded it or killed the server.
        subprocess.run(["pactl", "unload-module", str(number)], env=dict(environment), stderr=subprocess.DEVNULL)


def pactl(environment: Mapping[str, str], *arguments: str) -> str:
    return subprocess.run(
        ["pactl", *arguments], env=dict(environment), check=True, timeout=30, stdout=subprocess.PIPE, text=True
    ).stdout
