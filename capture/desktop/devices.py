"""Lists everything that can be recorded, for `capture devices`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from capture.errors import NotReadyError
from capture.sources.chooser import list_applications, list_audio_devices

if TYPE_CHECKING:
    from capture.media import Rectangle

__all__ = ["describe_devices"]

Found = TypeVar("Found")


def describe_devices() -> tuple[dict[str, Any], list[str]]:
    """Return the screens, windows, sound devices and playing programs under their JSON keys.

    Also returns the error message of each list that could not be made; such a list is empty.
    """
    missing: list[str] = []
    screens = _found(_screens, missing)
    return {
        "screens": screens,
        "windows": _found(_windows, missing) if screens else [],
        "audio": _found(_audio, missing),
        "apps": _found(_apps, []),
    }, missing


def _found(look: Callable[[], list[dict[str, Any]]], missing: list[str]) -> list[dict[str, Any]]:
    try:
        return look()
    except NotReadyError as error:
        missing.append(str(error))
        return []


def _screens() -> list[dict[str, Any]]:
    from capture.sources.screens import list_screens

    return [
        {
            "id": screen.id,
            "name": screen.name,
            **_place(screen.area),
            "primary": screen.primary,
            **({} if screen.scale is None else {"scale": screen.scale}),
        }
        for screen in list_screens()
    ]


def _windows() -> list[dict[str, Any]]:
    from capture.sources.chooser import list_windows
    from capture.sources.wayland.windows import Window as WaylandWindow

    return [
        {
            "id": window.id,
            "title": window.title,
            # Wayland does not tell where a window is.
            **({"app": window.app} if isinstance(window, WaylandWindow) else _place(window.area)),
            "active": window.active,
        }
        for window in list_windows()
    ]


def _place(area: Rectangle) -> dict[str, Any]:
    return {"x": area.left, "y": area.top, "width": area.width, "height": area.height}


def _audio() -> list[dict[str, Any]]:
    return [
        {
            "id": device.id,
            "name": device.name,
            "kind": device.kind,
            "default": device.default,
            **_volume(device.attenuation.is_muted, device.volume_percent),
        }
        for device in list_audio_devices()
    ]


def _apps() -> list[dict[str, Any]]:
    return [
        {
            "name": player.name,
            "binary": player.binary,
            "pid": player.pid,
            **_volume(player.muted, player.volume_percent),
        }
        for player in list_applications()
    ]


def _volume(muted: bool, percent: int | None) -> dict[str, Any]:
    """Return the keys of a mute switch and a volume; none where the system does not say."""
    return {} if percent is None else {"muted": muted, "volume_percent": percent}
