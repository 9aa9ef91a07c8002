"""Finds the session bus, over which programs of the desktop talk."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

__all__ = ["absence", "bus_address"]

_NAME: Final = "DBUS_SESSION_BUS_ADDRESS"

#: In place of an address: a bus that would have to be started, or none.
_NONE: Final = ("autolaunch:", "disabled:")

#: A transport, and where it leads as pairs of names and values.
_ADDRESS: Final = re.compile(r"[^:;]+:[^=,;]+=[^,;]*(,[^=,;]+=[^,;]*)*")


def bus_address(environment: Mapping[str, str]) -> str | None:
    """Return the address of the user's session bus; None when it names none, or the bus would first have to be started.

    What is no address is ignored: libraries would not say what is wrong with it.
    """
    given = environment.get(_NAME, "").split(";")
    running = [address for address in given if _ADDRESS.fullmatch(address) and not address.startswith(_NONE)]
    if running:
        return ";".join(running)
    folder = environment.get("XDG_RUNTIME_DIR")
    if folder and not any(given):
        with suppress(OSError):
            if Path(folder, "bus").is_socket():
                return f"unix:path={quote(f'{folder}/bus')}"
    return None


def absence(environment: Mapping[str, str]) -> str:
    """Return words for an environment in which `bus_address` finds none."""
    given = environment.get(_NAME)
    return (
        f"{_NAME}={given} names no session bus" if given and not given.startswith(_NONE) else "there is no session bus"
    )
