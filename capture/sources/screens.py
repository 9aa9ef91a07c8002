"""The monitors of this system, and the area that `--screen` and `--region` select on them."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from typing import Final, TypeAlias

from capture.errors import DisplayLostError, NotReadyError, UsageError
from capture.media import Rectangle
from capture.sources.x11.monitors import Screen
from capture.sources.x11.no_display import NO_DISPLAY

__all__ = [
    "LEAST_SIDE",
    "Screen",
    "Where",
    "choose_area",
    "desktop_of",
    "follow_area",
    "is_wayland",
    "list_screens",
    "require_x11",
]

#: A shorter drag over the region to record counts as a click.
LEAST_SIDE: Final = 8

#: Returns where the recorded area lies on the current screens, with even sides; None if it is on none of them.
Where: TypeAlias = Callable[[Sequence[Screen]], Rectangle | None]


def list_screens() -> list[Screen]:
    """Return the monitors in the system's order; exactly one is primary.

    Raises `NotReadyError` if there is none, or the desktop shows them only in its dialog.
    """
    if is_wayland():
        from capture.sources.wayland.desktop import list_outputs

        if outputs := list_outputs():
            return outputs
        raise NotReadyError(
            "Wayland shows programs no screens and no windows",
            "use --screen ask or --window ask, and choose in the desktop's dialog",
        )
    try:
        screens = _x11_screens() if sys.platform == "linux" else _mss_screens()
    except DisplayLostError as error:
        raise NotReadyError(error.message, NO_DISPLAY) from error
    if not screens:
        raise NotReadyError("no screen is connected", NO_DISPLAY)
    return screens


def _x11_screens() -> list[Screen]:
    from capture.sources.x11.reader import X11Reader
    from capture.sources.x11.xcb import Connection

    with closing(Connection()) as connection:
        return X11Reader(connection).screens()


def _mss_screens() -> list[Screen]:
    from capture.sources.mss_reader import MssReader

    with closing(MssReader()) as reader:
        return reader.screens()


def choose_area(screens: Sequence[Screen], screen: str, region: Rectangle | None) -> Rectangle:
    """Return the rectangle that `--screen` and `--region` select. Raises `UsageError` if there is no such screen or
    area.
    """
    if not screens:
        raise UsageError("no screen is connected", "connect one")
    chosen = desktop = desktop_of(screens)
    if screen == "primary":
        chosen = next(item.area for item in screens if item.primary)
    elif screen != "all":
        found = [item.area for item in screens if screen in (item.id, item.name)]
        if not found:
            names = [name for item in screens for name in (item.id, item.name)]
            # Imported here: most names are right.
            import difflib

            near = difflib.get_close_matches(screen, names, 3, 0.0)
            raise UsageError(f"there is no screen {screen!r}", f"use primary, all, {', '.join(near)}")
        chosen = found[0]
    if region is None:
        return chosen
    bounds = desktop if screen in ("primary", "all") else chosen
    if not bounds.contains(region):
        raise UsageError(f"the region {region} reaches outside the screen", f"the screen is {bounds}")
    return region


def desktop_of(screens: Sequence[Screen]) -> Rectangle:
    """Return the smallest rectangle around all screens; there must be at least one."""
    return functools.reduce(Rectangle.union, (screen.area for screen in screens))


def follow_area(screens: Sequence[Screen], screen: str, region: Rectangle | None) -> Where:
    """Return a function that finds the area `choose_area` gave for `screens` once the monitors have changed."""
    if region is not None:
        return lambda now: region.trimmed_to_even()
    if screen not in ("primary", "all"):
        # Numbers change when a monitor is unplugged; names do not.
        screen = next((item.name for item in screens if screen in (item.id, item.name)), screen)

    def find(now: Sequence[Screen]) -> Rectangle | None:
        with suppress(UsageError):
            return choose_area(now, screen, None).trimmed_to_even()
        return None

    return find


def require_x11() -> None:
    """Raise `NotReadyError` on a Wayland desktop, where X11 calls succeed but know nothing of other programs."""
    if is_wayland():
        raise NotReadyError(
            "Wayland shows programs neither windows nor the mouse",
            "give a region in numbers, or use --window ask and choose in the desktop's dialog",
        )


def is_wayland() -> bool:
    """Whether only Wayland shows the desktop: the X server of DISPLAY has no screen of its own, or there is none."""
    if sys.platform != "linux":
        return False
    from capture.sources.x11.xcb import Connection
    from capture.sources.x11.xwayland import is_rootless

    if os.environ.get("DISPLAY"):
        with suppress(NotReadyError, DisplayLostError), closing(Connection()) as connection:
            return is_rootless(connection)
    return bool(os.environ.get("WAYLAND_DISPLAY"))
