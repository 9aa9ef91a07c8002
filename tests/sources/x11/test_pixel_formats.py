"""Screens of every depth are recorded in the right colours; those without colours, or not to be read, are named."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from xservers import server

from capture.errors import NotReadyError
from capture.media import Rectangle

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

from Xlib import X
from Xlib.display import Display

from capture.desktop.doctor import diagnose
from capture.sources.screen_source import ScreenSource
from capture.sources.screens import list_screens
from capture.sources.x11.pixel_format import PixelFormat
from capture.sources.x11.shared_memory import SharedMemory
from capture.sources.x11.xcb import Connection
from capture.virtual.xserver import _authority

#: Stripes of the stage: red, green, blue.
COLOURS: Final = ((200, 40, 60), (30, 200, 60), (20, 60, 220), (128, 128, 128), (255, 255, 255))
STRIPE: Final = 60

#: A colour of 5 bits is off by half a step at most.
TOLERANCES: Final = {30: 1, 24: 0, 16: 5, 15: 5}


@contextmanager
def stripes() -> Iterator[None]:
    """A window with `COLOURS` from left to right, over the whole screen."""
    display = Display()
    try:
        screen = display.screen()
        for number, colour in enumerate(COLOURS):
            pixel = screen.default_colormap.alloc_color(*(257 * part for part in colour)).pixel
            place = (number * STRIPE, 0, STRIPE, 240, 0)
            screen.root.create_window(*place, X.CopyFromParent, background_pixel=pixel, override_redirect=True).map()
        display.sync()
        yield
    finally:
        display.close()


@pytest.mark.parametrize("options", [(), ("-extension", "MIT-SHM")], ids=["shared memory", "no shared memory"])
@pytest.mark.parametrize("depth", TOLERANCES)
def test_colours_are_right_at_every_depth(
    depth: int, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    # An odd number of pixels in a row: the server pads it.
    area = Rectangle(2, 10, 5 * STRIPE - 3, 48)
    with server(monkeypatch, f"320x240x{depth}", *options), stripes():
        with closing(Connection()) as another:
            assert (SharedMemory.of(another) is None) == bool(options)
        assert [screen.area for screen in list_screens()] == [Rectangle(0, 0, 320, 240)]
        source = ScreenSource(area, cursor=True)
        source.open()
        try:
            source.begin(time.monotonic())
            assert source.wait_for_change(time.monotonic() + 5)
            pixels = source.grab().pixels
        finally:
            source.close()
    assert pixels.shape == (48, 5 * STRIPE - 3, 4)
    for number, colour in enumerate(COLOURS):
        found = pixels[0, number * STRIPE + 20, 2::-1].astype(int)
        assert np.abs(found - colour).max() <= TOLERANCES[depth], colour


def test_a_server_that_lists_no_monitors_is_one_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    with server(monkeypatch, "320x240x24", "-extension", "RANDR"):
        assert [(screen.id, screen.area, screen.primary) for screen in list_screens()] == [
            ("1", Rectangle(0, 0, 320, 240), True)
        ]


def test_a_display_without_true_colours_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with server(monkeypatch, "320x240x8"):
        with pytest.raises(NotReadyError, match=r"this display has 256 colours \(depth 8\).*depth of 24"):
            list_screens()
        source = ScreenSource(Rectangle(10, 10, 64, 48), cursor=False)
        with pytest.raises(NotReadyError, match="256 colours"):
            source.open()
        source.close()


def test_an_untrusted_connection_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    trusted, untrusted = tmp_path / "trusted", tmp_path / "untrusted"
    trusted.write_bytes(_authority(bytes(range(16))))
    with server(monkeypatch, "320x240x24", "+extension", "SECURITY", "-auth", str(trusted)):
        monkeypatch.setenv("XAUTHORITY", str(trusted))
        with closing(Display()) as display:
            # As `ssh -X` makes one: level 1 is untrusted, and a limit of 0 none.
            made = display.security_generate_authorization("MIT-MAGIC-COOKIE-1", timeout=0, trust_level=1)
            assert [screen.area for screen in list_screens()] == [Rectangle(0, 0, 320, 240)]
            untrusted.write_bytes(_authority(bytes(made.auth_data_return)))
            monkeypatch.setenv("XAUTHORITY", str(untrusted))
            with pytest.raises(NotReadyError, match=r"does not trust this program, as after ssh -X.*ssh -Y"):
                list_screens()


@pytest.mark.parametrize(
    ("bits", "masks", "is_little_endian", "image"),
    [
        # Red, then blue.
        (32, (0xFF0000, 0xFF00, 0xFF), True, "0000ff00 ff000000"),
        (32, (0xFF, 0xFF00, 0xFF0000), True, "ff000000 0000ff00"),
        (32, (0xFF0000, 0xFF00, 0xFF), False, "00ff0000 000000ff"),
        (32, (0x3FF00000, 0xFFC00, 0x3FF), True, "0000f03f ff030000"),
        (16, (0xF800, 0x7E0, 0x1F), True, "00f8 1f00"),
        (16, (0xF800, 0x7E0, 0x1F), False, "f800 001f"),
        (8, (0xE0, 0x1C, 0x03), True, "e0 03 0000"),
    ],
)
def test_a_pixel_format_is_converted(
    bits: int, masks: tuple[int, int, int], is_little_endian: bool, image: str
) -> None:
    layout = PixelFormat(24, bits, 32, masks, True, is_little_endian)
    assert layout.is_readable
    found = np.frombuffer(bytes.fromhex(image), np.uint8)
    assert len(found) == layout.size_bytes(2, 1)
    assert layout.pixels(found, 2, 1)[..., :3].tolist() == [[[0, 0, 255], [255, 0, 0]]]


def test_doctor_names_a_display_that_cannot_be_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    with server(monkeypatch, "320x240x8"):
        display = next(check for check in diagnose({}).checks if check.name == "display")
    assert (display.ok, "256 colours" in display.found) == (False, True)
