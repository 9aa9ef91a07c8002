"""Tells the desktop that a file was saved, with buttons to play it, to show it in its folder, and to copy it.

The buttons must work after the recorder has ended, so a process of its own shows the notification and waits for them:
`main`. It ends when the notification does, at once where there are no buttons.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from capture.desktop.clipboard import can_copy_file, copy_file
from capture.desktop.programs import open_with_desktop, show_in_file_manager
from capture.errors import NotReadyError
from capture.system.session_bus import bus_address

__all__ = ["main", "start_saved_notice"]

#: How long the buttons work. After that the notification is withdrawn.
WAIT_S: Final = 300.0

#: Runs `main` with the same modules as this process, whose folder may be in no path of Python's: a checkout.
_PROGRAM: Final = (
    "import sys; folder = sys.argv[1]; folder in sys.path or sys.path.insert(0, folder); "
    "from capture.desktop.saved_notice import main; main(*sys.argv[2:])"
)

#: The buttons by their keys, in their order. `default` is a click on the notification itself.
_BUTTONS: Final = {"default": "Show in folder", "play": "Play", "show": "Show in folder", "copy": "Copy"}

_ACTIONS: Final[Mapping[str, Callable[[Path], None]]] = {
    "default": show_in_file_manager,
    "play": open_with_desktop,
    "show": show_in_file_manager,
    "copy": copy_file,
}


def start_saved_notice(
    title: str, body: str, path: str, environment: Mapping[str, str]
) -> subprocess.Popen[bytes] | None:
    """Start the process that shows a notification about the file at `path`; None if it cannot be started."""
    with suppress(OSError):
        return subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM, str(Path(__file__).parents[2]), title, body, path],
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # It outlives the recorder, whose Ctrl+C must not reach it.
            start_new_session=True,
        )
    return None


def main(title: str, body: str, path: str) -> None:
    """Show the notification and do what the user chooses; nothing where the desktop fails."""
    with suppress(OSError, RuntimeError, ValueError):
        _show(title, body, Path(path))


def _show(title: str, body: str, path: Path) -> None:
    # It takes 20 ms to load.
    from capture.desktop.notices import Notices

    address = bus_address(os.environ)
    if address is None:
        return
    until_s = time.monotonic() + WAIT_S
    with closing(Notices(address)) as notices:
        if "actions" not in notices.capabilities:
            notices.show(title, body)
            return
        notices.listen()
        buttons = {key: label for key, label in _BUTTONS.items() if key != "copy" or can_copy_file(os.environ)}
        number = notices.show(title, body, actions=buttons)
        chosen = notices.choice(number, until_s)
        if chosen is None:
            return
        with suppress(OSError):
            # Not every desktop does that by itself, and the buttons work once.
            notices.withdraw(number)
        key, token = chosen
        if token:
            # Lets the desktop give the program that opens the focus.
            os.environ["XDG_ACTIVATION_TOKEN"] = token
        try:
            _ACTIONS.get(key, show_in_file_manager)(path)
        except NotReadyError as error:
            notices.show("capture", str(error))
