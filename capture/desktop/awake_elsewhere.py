"""Keeps the screen awake on Windows and macOS. Never run there: tested with doubles."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Final

__all__ = ["keep_macos_awake", "keep_windows_awake"]

#: The flags of SetThreadExecutionState: until the next call; the system and the screen are in use.
_CONTINUOUS: Final = 0x80000000
_SYSTEM_REQUIRED: Final = 1
_DISPLAY_REQUIRED: Final = 2

#: How long caffeinate may take to end.
_END_LIMIT_S: Final = 0.5


def keep_windows_awake(released: threading.Event) -> None:
    """Ask Windows not to blank the screen or to sleep until `released` is set. It forgets that when the thread ends."""
    if sys.platform == "win32":
        import ctypes

        set_state = ctypes.windll.kernel32.SetThreadExecutionState
        set_state(_CONTINUOUS | _SYSTEM_REQUIRED | _DISPLAY_REQUIRED)
        released.wait()
        set_state(_CONTINUOUS)


def keep_macos_awake(released: threading.Event) -> None:
    """Let caffeinate keep macOS, its disks and its screen from sleeping, until `released` is set or this process ends.

    Without that program, which is a part of macOS, nothing happens.
    """
    with suppress(OSError):
        program = subprocess.Popen(
            ["caffeinate", "-dim", "-w", str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # The Ctrl+C that ends the recording must not reach it.
            start_new_session=True,
        )
        with program:
            released.wait()
            program.terminate()
            try:
                program.wait(_END_LIMIT_S)
            except subprocess.TimeoutExpired:
                program.kill()
