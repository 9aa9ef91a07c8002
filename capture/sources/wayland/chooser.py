"""Chooses the output to record, on desktops whose compositor gives programs its outputs without a dialog."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from capture.errors import SettingError
from capture.events import EventKind
from capture.media import Rectangle
from capture.settings.record_settings import RecordSettings
from capture.sources.screens import choose_area
from capture.sources.wayland.source import OutputSource
from capture.sources.x11.monitors import Screen

__all__ = ["choose_output"]


def choose_output(
    settings: RecordSettings, screens: Sequence[Screen], report: Callable[[EventKind, str], None]
) -> OutputSource:
    """Return the source of the one of `screens` that `settings` select, not yet opened.

    Raises `UsageError` for a screen that does not exist, a region outside it, and what is on several screens.
    """
    screen = _chosen(screens, settings.screen or "primary", settings.region)
    return OutputSource(screen.name, settings.region, fps=settings.fps, cursor=settings.cursor, report=report)


def _chosen(screens: Sequence[Screen], wanted: str, region: Rectangle | None) -> Screen:
    area = choose_area(screens, wanted, region)
    # The name is unique; a part of the desktop may be on two screens that show the same.
    named = [each for each in screens if wanted in (each.id, each.name) or (wanted == "primary" and each.primary)]
    found = [each for each in (*named, *screens) if each.area.contains(area)]
    if found:
        return found[0]
    names = ", ".join(each.name for each in screens)
    remedy = f"record one of {names}, or a region of it"
    if region is None:
        raise SettingError("{screen} means several screens, which Wayland gives one by one", remedy, screen=wanted)
    raise SettingError("{region} is on several screens, which Wayland gives one by one", remedy, region=region)
