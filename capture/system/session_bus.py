"""Finds the session bus, over which programs of the desktop talk."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

__all__ = ["bus_address"]


def bus_address(environment: Mapping[str, str]) -> str | None:
    """Return the address of the user's session bus; None when the bus would first have to be started."""
    given = environment.get("DBUS_SESSION_BUS_ADDRESS", "").split(";")
    running = [address for address in given if address and not address.startswith(("autolaunch:", "disabled:"))]
    if running:
        return ";".join(running)
    folder = environment.get("XDG_RUNTIME_DIR")
    if folder and not any(given):
        with suppress(OSError):
            if Path(folder, "bus").is_socket():
                return f"unix:path={quote(f'{folder}/bus')}"
    return None
