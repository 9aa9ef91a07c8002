"""The desk's window manager: windows that want the whole screen get it, and any other window manager may replace it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self
from unittest.mock import patch

import pytest
from running import eventually
from stage import mouse

from capture.virtual.desk import VirtualDesk

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

from Xlib import X, Xatom, Xutil
from Xlib.display import Display
from Xlib.error import ConnectionClosedError, XError
from Xlib.protocol.event import ClientMessage

Place = tuple[int, int, int, int]

SCREEN: Final[Place] = (0, 0, 640, 480)
OWN: Final[Place] = (20, 30, 200, 100)

FULL: Final = "_NET_WM_STATE_FULLSCREEN"
WIDE: Final = "_NET_WM_STATE_MAXIMIZED_HORZ"
HIGH: Final = "_NET_WM_STATE_MAXIMIZED_VERT"

REMOVE, ADD, TOGGLE = range(3)

#: As in the window manager: how often it fits a window, the first time included.
MOST_FITS: Final = 10

#: The masks with which programs send messages to window managers: most of them, and xterm.
USUAL: Final = X.SubstructureRedirectMask | X.SubstructureNotifyMask
LIKE_XTERM: Final = X.SubstructureRedirectMask


class Client:
    """A program on the desk, with windows."""

    def __init__(self, environment: dict[str, str]) -> None:
        with patch.dict(os.environ, {"XAUTHORITY": environment["XAUTHORITY"]}):
            self.display = Display(environment["DISPLAY"])
        self.root = self.display.screen().root

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # A test may have had it killed.
        with suppress(ConnectionClosedError):
            self.display.close()

    def window(self, place: Place = OWN, *, states: tuple[str, ...] = (), shown: bool = True, **attributes: Any) -> Any:
        """Return a new window at `place` with these states of `_NET_WM_STATE`."""
        made = self.root.create_window(*place, 1, X.CopyFromParent, background_pixel=0xFFFFFF, **attributes)
        if states:
            made.change_property(self.atom("_NET_WM_STATE"), Xatom.ATOM, 32, [self.atom(state) for state in states])
        if shown:
            made.map()
        self.display.sync()
        return made

    def atom(self, name: str) -> int:
        return int(self.display.intern_atom(name))

    def ask(self, window: Any, message: str, *data: int | str, mask: int = USUAL) -> None:
        """Send the window manager a message about a window; strings in `data` are names of atoms."""
        values = [self.atom(value) if isinstance(value, str) else value for value in data]
        event = ClientMessage(window=window, client_type=self.atom(message), data=(32, [*values, *[0] * 5][:5]))
        self.root.send_event(event, event_mask=mask)
        self.display.sync()

    def place(self, window: Any) -> Place:
        found = window.get_geometry()
        return found.x, found.y, found.width, found.height

    def until_at(self, window: Any, place: Place) -> None:
        eventually(lambda: self.place(window) == place, f"a window at {place}")

    def until_states(self, window: Any, states: list[str]) -> None:
        numbers = [self.atom(state) for state in states]
        eventually(lambda: self.listed("_NET_WM_STATE", window) == numbers, f"the states {states}")

    def listed(self, name: str, window: Any = None) -> list[int]:
        found = (window or self.root).get_full_property(self.atom(name), X.AnyPropertyType)
        return [] if found is None else list(found.value)

    def numbers(self) -> list[int]:
        """Return the windows on the desk, as the X server knows them."""
        return [int(window.id) for window in self.root.query_tree().children]

    def focus(self) -> object:
        found = self.display.get_input_focus().focus
        return getattr(found, "id", found)

    def until_focused(self, window: Any) -> None:
        eventually(lambda: self.focus() == window.id, "the keyboard")
        eventually(lambda: self.listed("_NET_ACTIVE_WINDOW") == [window.id], "the active window")


@pytest.fixture(scope="module")
def managed_desk(temporary_folder: Path) -> Iterator[VirtualDesk]:
    with VirtualDesk(*SCREEN[2:]) as opened:
        yield opened


@pytest.fixture
def client(managed_desk: VirtualDesk) -> Iterator[Client]:
    with Client(managed_desk.environment_of(os.environ)) as opened:
        yield opened
        opened.display.sync()


def test_a_window_that_asks_for_full_screen_fills_the_screen(client: Client) -> None:
    window = client.window(states=(FULL,))
    client.until_at(window, SCREEN)
    # The border lies outside the screen.
    assert window.get_geometry().border_width == 0


@pytest.mark.parametrize("mask", [USUAL, LIKE_XTERM])
def test_full_screen_comes_and_goes_by_message(client: Client, mask: int) -> None:
    window = client.window()
    for action, place in ((ADD, SCREEN), (REMOVE, OWN), (TOGGLE, SCREEN), (TOGGLE, OWN)):
        client.ask(window, "_NET_WM_STATE", action, FULL, mask=mask)
        client.until_at(window, place)
        client.until_states(window, [FULL] * (place == SCREEN))


@pytest.mark.parametrize("mask", [USUAL, LIKE_XTERM])
def test_a_message_is_about_the_window_that_has_the_number_now(managed_desk: VirtualDesk, mask: int) -> None:
    environment = managed_desk.environment_of(os.environ)
    with Client(environment) as client:
        before = client.window()
        client.until_focused(before)
        manager = manager_of(Path(managed_desk.environment["XDG_RUNTIME_DIR"]))
        assert manager is not None
        os.kill(manager, signal.SIGSTOP)
    try:
        with Client(environment) as client:
            eventually(lambda: before.id not in client.numbers(), "the end of the window")
        with Client(environment) as client:
            window = client.window()
            assert window.id == before.id, "the server has given the number again"
            client.ask(window, "_NET_WM_STATE", ADD, FULL, mask=mask)
            os.kill(manager, signal.SIGCONT)
            client.until_at(window, SCREEN)
            client.ask(window, "_NET_WM_STATE", REMOVE, FULL, mask=mask)
            client.until_at(window, OWN)
    finally:
        os.kill(manager, signal.SIGCONT)


def test_a_window_fills_the_screen_if_it_is_maximized_both_ways(client: Client) -> None:
    window, other = client.window(), client.window(states=(WIDE,))
    client.ask(window, "_NET_WM_STATE", ADD, WIDE, HIGH)
    client.until_at(window, SCREEN)
    client.ask(window, "_NET_WM_STATE", REMOVE, HIGH)
    client.until_at(window, OWN)
    assert client.place(other) == OWN


def test_a_full_screen_window_that_shrinks_is_fitted_again(client: Client) -> None:
    window = client.window(states=(FULL,))
    client.until_at(window, SCREEN)
    window.configure(width=100, height=100)
    client.until_at(window, SCREEN)


def test_a_window_that_insists_on_its_size_gets_it_in_the_end(client: Client) -> None:
    window = client.window(states=(FULL,))
    for _ in range(MOST_FITS):
        client.until_at(window, SCREEN)
        window.configure(width=100, height=100)
    other = client.window()
    client.until_focused(other)
    assert client.place(window)[2:] == (100, 100)


def test_other_windows_keep_their_place(client: Client) -> None:
    window, tip = client.window(), client.window(states=(FULL,), override_redirect=True)
    client.until_focused(window)
    assert client.place(window) == client.place(tip) == OWN
    assert client.listed("_NET_FRAME_EXTENTS", window) == [0, 0, 0, 0]


def test_the_newest_window_gets_the_keyboard_and_the_one_before_it_afterwards(client: Client) -> None:
    first = client.window()
    client.until_focused(first)
    second = client.window()
    client.until_focused(second)
    assert client.listed("_NET_CLIENT_LIST") == [first.id, second.id]
    second.unmap()
    client.until_focused(first)
    second.map()
    client.until_focused(second)
    second.destroy()
    client.until_focused(first)
    assert client.listed("_NET_CLIENT_LIST") == [first.id]


def test_the_keyboard_follows_the_mouse(client: Client, managed_desk: VirtualDesk) -> None:
    environment = managed_desk.environment_of(os.environ)
    mouse(environment, "mousemove 600 400")
    left, right = client.window((0, 0, 100, 100)), client.window((200, 0, 100, 100))
    client.until_focused(right)
    mouse(environment, "mousemove 50 50")
    client.until_focused(left)
    mouse(environment, "mousemove 600 400")
    assert client.focus() == left.id


def test_a_window_that_takes_the_keyboard_itself_is_asked_to(client: Client) -> None:
    window = client.window(shown=False)
    window.set_wm_hints(flags=Xutil.InputHint, input=0)
    window.set_wm_protocols([client.atom("WM_TAKE_FOCUS")])
    window.map()
    eventually(lambda: client.listed("_NET_ACTIVE_WINDOW") == [window.id], "the active window")
    message = client.display.next_event()
    assert (message.client_type, message.data[1][0]) == (client.atom("WM_PROTOCOLS"), client.atom("WM_TAKE_FOCUS"))
    assert client.focus() != window.id


def test_a_window_is_closed_by_message(client: Client, managed_desk: VirtualDesk) -> None:
    polite = client.window(shown=False)
    polite.set_wm_protocols([client.atom("WM_DELETE_WINDOW")])
    polite.map()
    client.ask(polite, "_NET_CLOSE_WINDOW")
    assert client.display.next_event().data[1][0] == client.atom("WM_DELETE_WINDOW")
    with Client(managed_desk.environment_of(os.environ)) as other:
        blunt = other.window()
        client.ask(client.display.create_resource_object("window", blunt.id), "_NET_CLOSE_WINDOW")
        eventually(lambda: blunt.id not in client.listed("_NET_CLIENT_LIST"), "the end of the window")


def test_programs_find_the_window_manager_as_the_standard_says(client: Client) -> None:
    (check,) = client.listed("_NET_SUPPORTING_WM_CHECK")
    window = client.display.create_resource_object("window", check)
    assert client.listed("_NET_SUPPORTING_WM_CHECK", window) == [check]
    assert window.get_full_text_property(client.atom("_NET_WM_NAME")) == "capture"
    assert {client.atom(FULL), client.atom(WIDE), client.atom(HIGH)} <= set(client.listed("_NET_SUPPORTED"))
    assert client.listed("_NET_WORKAREA") == list(SCREEN)


def manager_of(folder: Path) -> int | None:
    """Return the process id of the window manager of the desk of `folder`; None if it runs no more."""
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                words = (process / "cmdline").read_bytes()
                found = str(folder).encode() in (process / "environ").read_bytes()
            except OSError:
                continue
            # Its supervisor has the script among its arguments too.
            if found and b"window_manager.py" in words and b"supervisor.py" not in words:
                return int(process.name)
    return None


def test_a_program_may_bring_its_own_window_manager(tmp_path: Path) -> None:
    with VirtualDesk(*SCREEN[2:]) as desk:
        environment = {**desk.environment_of(os.environ), "HOME": str(tmp_path)}
        folder = Path(desk.environment["XDG_RUNTIME_DIR"])
        assert manager_of(folder) is not None
        with Client(environment) as client:
            # Also with a window on the screen already.
            window = client.window()
            client.until_focused(window)
            (tmp_path / "jwmrc").write_text("<JWM></JWM>")
            command = ["jwm", "-f", str(tmp_path / "jwmrc")]
            desk.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            eventually(lambda: manager_of(folder) is None, "the end of the desk's window manager")

            def name() -> object:
                check = client.listed("_NET_SUPPORTING_WM_CHECK")
                try:
                    manager = client.display.create_resource_object("window", check[0])
                    return manager.get_full_text_property(client.atom("_NET_WM_NAME"))
                except (XError, IndexError):
                    return None

            eventually(lambda: name() == "JWM", "the other window manager")
            client.ask(window, "_NET_WM_STATE", ADD, FULL)
            client.until_at(window, SCREEN)


def test_a_desk_can_be_had_without_it() -> None:
    with VirtualDesk(320, 240, window_manager=False) as desk:
        assert manager_of(Path(desk.environment["XDG_RUNTIME_DIR"])) is None
