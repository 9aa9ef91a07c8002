"""Chooses what to record of a Wayland desktop: what its compositor gives without a dialog, or what its dialog gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from capture.errors import NotReadyError, UsageError
from capture.events import EventKind
from capture.media import Rectangle
from capture.settings.record_settings import RecordSettings
from capture.sources.portal.chooser import ASK, BY_DIALOG, WINDOWS_OF_DIALOG, answers, choose_in_dialog
from capture.sources.protocols import FrameSource
from capture.sources.screens import choose_area, require_x11
from capture.sources.wayland.desktop import list_outputs
from capture.sources.wayland.source import CompositorSource
from capture.sources.wayland.subjects import OneOutput, OneWindow, SeveralOutputs, Subject
from capture.sources.wayland.windows import Window, active_window, choose_window, list_windows
from capture.sources.x11.monitors import Screen

__all__ = ["choose_on_wayland", "list_given_outputs", "list_windows_to_choose", "pick_on_wayland"]

#: The window that stands for: the one that is active when the recording begins.
_ACTIVE: Final = "active"


def choose_on_wayland(
    settings: RecordSettings, report: Callable[[EventKind, str], None], end: Callable[[str], None]
) -> FrameSource:
    """Return the source of what `settings` select, not yet opened: the compositor gives it, or else the dialog.

    `end` is called when the recorded window is closed, or when the user ends the sharing. Raises `UsageError` for what
    does not exist, and `NotReadyError` without a portal where one is needed, or without its permission.
    """
    if settings.show_clicks or settings.show_keys:
        what = "pressed keys" if settings.show_keys else "clicks"
        raise NotReadyError(f"{what} cannot be shown on Wayland, which keeps them from programs", "record without them")
    is_left_to_dialog = settings.window is not None or settings.screen in BY_DIALOG
    outputs = list_given_outputs() if is_left_to_dialog else list_outputs()
    subject: Subject | None = None
    if settings.window is not None:
        windows = list_windows() if settings.window not in WINDOWS_OF_DIALOG else None
        if windows is not None:
            subject = _window(settings, windows, report, end)
    elif outputs and settings.screen != ASK:
        subject = _outputs(settings, outputs)
    if subject is not None:
        return CompositorSource(subject, fps=settings.fps, report=report)
    try:
        return choose_in_dialog(settings, report, end)
    except NotReadyError as error:
        if not outputs:
            raise
        instead = "record the region where it is" if settings.window is not None else "record it by its name"
        raise NotReadyError(error.message, f"{instead}; this compositor needs no dialog for screens") from error


def list_given_outputs() -> list[Screen]:
    """Return the outputs that the compositor gives programs; none if only the portal gives them, in its dialog.

    Raises `NotReadyError` if neither answers.
    """
    try:
        return list_outputs()
    except NotReadyError:
        # Some programs reach the portal alone, as in a sandbox.
        if answers():
            return []
        raise


def list_windows_to_choose() -> list[Window]:
    """Return the windows that `--window` can name. Raises `NotReadyError` if the desktop shows programs none."""
    windows = list_windows()
    if windows is None:
        if not list_outputs():
            require_x11()
        raise NotReadyError("this compositor shows programs no windows", "record the region where the window is")
    return windows


def pick_on_wayland(what: str, say: Callable[[str], None]) -> Rectangle:
    """Return the region that the user drags with the mouse; `say` is called with instructions.

    Raises `UsageError` when the user cancels, and `NotReadyError` if `what` is a window, or where places on the desktop
    mean nothing, because only its dialog gives screens.
    """
    if what == "window" and list_windows() is not None:
        words = "Wayland does not tell which window is under the mouse"
        raise NotReadyError(words, "use --window TITLE or --window active; capture devices lists the windows")
    if what == "window" or not list_outputs():
        require_x11()
    # Imported here: few select with the mouse.
    from capture.sources.wayland import picker

    return picker.pick_region(say)


def _outputs(settings: RecordSettings, screens: Sequence[Screen]) -> Subject:
    wanted, region = settings.screen or "primary", settings.region
    area = choose_area(screens, wanted, region)
    if region is not None and not any(each.area.intersects(region) for each in screens):
        raise UsageError(f"the region {region} is on no screen", "see capture devices")
    if wanted != "all" or region is not None:
        # The name is unique; a part of the desktop may be on two screens that show the same.
        named = [each for each in screens if wanted in (each.id, each.name) or (wanted == "primary" and each.primary)]
        found = next((each for each in (*named, *screens) if each.area.contains(area)), None)
        if found is not None:
            return OneOutput(found.name, region, with_cursor=settings.cursor)
    return SeveralOutputs(region, with_cursor=settings.cursor)


def _window(
    settings: RecordSettings,
    windows: Sequence[Window],
    report: Callable[[EventKind, str], None],
    end: Callable[[str], None],
) -> Subject:
    # The active one is found when the source opens: `--delay` gives the user time to switch to it.
    wanted = settings.window or _ACTIVE
    find = active_window if wanted == _ACTIVE else partial(_still_open, choose_window(windows, wanted))
    return OneWindow(find, with_cursor=settings.cursor, report=report, end=end)


def _still_open(chosen: Window, windows: Sequence[Window]) -> Window:
    for window in windows:
        if window.id == chosen.id:
            return window
    raise NotReadyError(f"the window {chosen.title!r} is gone", "see capture devices")
