"""Lets the user choose in the desktop's dialog what is recorded, or takes what was chosen the last time."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from capture.errors import NotReadyError, SettingError
from capture.events import EventKind
from capture.settings.record_settings import RecordSettings

if TYPE_CHECKING:
    from capture.sources.portal.screencast import ScreenCast
    from capture.sources.portal.source import PortalSource

__all__ = ["ASK", "BY_DIALOG", "WINDOWS_OF_DIALOG", "answers", "choose_in_dialog", "describe"]

#: The screen that stands for: ask again.
ASK: Final = "ask"

#: The windows that stand for the one that the dialog chooses, where the compositor would also give one by its title.
WINDOWS_OF_DIALOG: Final = ("any", ASK)

#: The screens that the dialog can stand for.
BY_DIALOG: Final = ("primary", ASK)


def choose_in_dialog(
    settings: RecordSettings, report: Callable[[EventKind, str], None], end: Callable[[str], None]
) -> PortalSource:
    """Ask for a screen, or for a window if `settings` name one, and return its source, not yet opened.

    A screen is remembered, and given again without a dialog unless `settings.screen` is `ask`; a window is asked for
    each time, because the desktop may give another one. Calls `report` with `waiting` while the dialog is shown.

    Raises `SettingError` for what the dialog cannot choose, and `NotReadyError` without a portal, PipeWire or
    permission.
    """
    # Imported here: most compositors made with wlroots need none of it, and it takes a tenth of a second.
    from capture.sources.portal import permission
    from capture.sources.portal.libpipewire import library
    from capture.sources.portal.screencast import MONITOR, WINDOW, CursorMode, ScreenCast
    from capture.sources.portal.source import PortalSource

    _check(settings)
    library()
    portal = ScreenCast()
    try:
        is_window = settings.window is not None
        cursor = _cursor_mode(portal, settings, report)
        token = "" if is_window or settings.screen == ASK else permission.recall()
        what = "window" if is_window else "screen"
        words = f"choose the {what} to record in the desktop's dialog"
        if token:
            words = f"the desktop asks again: {words}"
        grant = portal.ask(
            source=WINDOW if is_window else MONITOR,
            cursor=cursor,
            remember=not is_window,
            token=token,
            waiting=lambda: report(EventKind.WAITING, words),
        )
        if not is_window:
            permission.remember(grant.token)
        return PortalSource(
            portal,
            grant.descriptor,
            grant.node,
            fps=settings.fps,
            region=settings.region,
            draws_cursor=cursor == CursorMode.METADATA,
            cursor_once_moved=settings.cursor_once_moved,
            report=report,
            end=end,
        )
    except BaseException:
        portal.close()
        raise


def describe() -> str:
    """Return how the screen is recorded here, for `doctor`. Raises `NotReadyError` if it cannot be."""
    from capture.sources.portal.libpipewire import library
    from capture.sources.portal.screencast import ScreenCast

    library()
    portal = ScreenCast()
    try:
        desktop = os.environ.get("XDG_CURRENT_DESKTOP") or "Wayland"
        return f"{desktop}: chosen in the desktop's dialog (ScreenCast {portal.version})"
    finally:
        portal.close()


def answers() -> bool:
    """Whether there is a portal that gives the screen."""
    try:
        describe()
    except NotReadyError:
        return False
    return True


def _check(settings: RecordSettings) -> None:
    if settings.screen not in BY_DIALOG:
        raise SettingError(
            "{screen} cannot be chosen on this Wayland desktop, where only its dialog chooses",
            "use {screen:ask}",
            screen=settings.screen,
        )


def _cursor_mode(portal: ScreenCast, settings: RecordSettings, report: Callable[[EventKind, str], None]) -> int:
    """Return how the cursor is to come: apart if possible, so that its moves cost little."""
    from capture.sources.portal.screencast import CursorMode

    if not settings.cursor:
        return CursorMode.HIDDEN
    for mode in (CursorMode.METADATA, CursorMode.EMBEDDED):
        if portal.cursor_modes & mode:
            return mode
    report(EventKind.NO_CURSOR, "this desktop does not show the mouse cursor in recordings")
    return CursorMode.HIDDEN
