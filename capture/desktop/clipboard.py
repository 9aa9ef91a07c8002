"""Puts a file itself on the clipboard: pasted into a chat, a mail or a file manager, it is attached or copied.

Programs read the file when they paste it, so it must stay where it is. It stays on the clipboard when this process
ends.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from capture.errors import NotReadyError
from capture.system.desktop_kind import has_wayland_desktop
from capture.system.packages import how_to_install

__all__ = ["can_copy_file", "copy_file"]

_HOLDER: Final = Path(__file__).with_name("clipboard_holder.py")

#: How long a display may take to answer.
_LIMIT_S: Final = 10.0

#: These take the path from outside, so that nothing in it is ever interpreted as script.
_APPLE_SCRIPT: Final = ("on run names", "set the clipboard to (POSIX file (item 1 of names))", "end run")
_POWERSHELL: Final = "Set-Clipboard -LiteralPath $env:CAPTURE_COPIED"


def can_copy_file(environment: Mapping[str, str]) -> bool:
    """Whether there is a Linux desktop here on which a file can be copied: Wayland needs a program for that."""
    return _has_wl_copy(environment) if has_wayland_desktop(environment) else bool(environment.get("DISPLAY"))


def copy_file(path: Path, environment: Mapping[str, str] = os.environ) -> None:
    """Put the file at `path` on the clipboard of the desktop that `environment` is about. Any thread may call it.

    Returns once programs can paste it. Raises `NotReadyError` when there is no desktop, or a program is missing.
    """
    path = path.absolute()
    environment = dict(environment)
    if sys.platform == "win32":
        environment["CAPTURE_COPIED"] = str(path)
        _run(["powershell", "-NoProfile", "-Command", _POWERSHELL], b"", environment)
    elif sys.platform == "darwin":
        lines = [word for line in _APPLE_SCRIPT for word in ("-e", line)]
        _run(["osascript", *lines, "--", str(path)], b"", environment)
    elif has_wayland_desktop(environment):
        # A program in the background may not own the clipboard there, unless it speaks protocols of which each
        # compositor has another. wl-copy speaks them.
        if not _has_wl_copy(environment):
            raise NotReadyError("the program wl-copy is missing", how_to_install("wl-copy"))
        _run(["wl-copy", "--type", "text/uri-list"], path.as_uri().encode() + b"\r\n", environment)
    elif environment.get("DISPLAY"):
        # Without -P, modules beside the script could stand in for libraries.
        _run([sys.executable, "-P", str(_HOLDER)], os.fsencode(path), environment)
    else:
        raise NotReadyError("there is no desktop here that has a clipboard", "run this in a terminal of the desktop")


def _has_wl_copy(environment: Mapping[str, str]) -> bool:
    return shutil.which("wl-copy", path=environment.get("PATH")) is not None


def _run(command: Sequence[str], content: bytes, environment: Mapping[str, str]) -> None:
    """Run a program that puts on the clipboard what it reads. Raises `NotReadyError` when it fails."""
    try:
        done = subprocess.run(
            command,
            input=content,
            env=environment,
            stdout=subprocess.DEVNULL,
            # Not a pipe: what stays behind to hand the file out would keep it open.
            stderr=subprocess.DEVNULL,
            timeout=_LIMIT_S,
            check=False,
            # What stays behind outlives this process, whose Ctrl+C must not reach it.
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as error:
        raise _refused(f"it did not answer within {_LIMIT_S:g} s") from error
    except OSError as error:
        raise _refused(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        raise _refused(f"{Path(command[0]).name} failed")


def _refused(reason: str) -> NotReadyError:
    return NotReadyError(f"the clipboard did not take the file ({reason})", "check that the desktop is running")
