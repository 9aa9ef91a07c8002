"""Lets the user choose a region of a Wayland desktop with the mouse, in slurp, which compositors let draw over all."""

from __future__ import annotations

import ctypes
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from typing import Final

from capture.errors import NotReadyError, UsageError
from capture.media import Rectangle
from capture.sources.screens import LEAST_SIDE
from capture.system.packages import how_to_install

__all__ = ["pick_region"]

#: The call of `prctl` that lets a process get a signal when its parent ends.
_PR_SET_PDEATHSIG: Final = 1

#: What slurp prints: the place in the desktop's units, which can be negative.
_FORMAT: Final = "%w %h %x %y"
_CHOSEN: Final = re.compile(r"(\d+) (\d+) (-?\d+) (-?\d+)")

#: What it says after Esc or the right button.
_CANCELLED: Final = "cancelled"


def pick_region(say: Callable[[str], None]) -> Rectangle:
    """Return the rectangle that the user drags, in the desktop's units, with even sides. `say` is called first.

    Raises `UsageError` after Esc or the right button, `NotReadyError` without slurp, or where it does not work.
    """
    program = shutil.which("slurp")
    if program is None:
        raise NotReadyError("selecting with the mouse on Wayland needs slurp", how_to_install("slurp"))
    prctl = ctypes.CDLL(None).prctl
    say("Drag a rectangle to record (Esc cancels)")
    while True:
        # No limit: the user may take any time.
        done = subprocess.run(
            [program, "-f", _FORMAT],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            # It holds the mouse, which must be free again however the recorder ends.
            preexec_fn=lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0),
        )
        words = done.stderr.strip()
        found = _CHOSEN.fullmatch(done.stdout.strip())
        if done.returncode or found is None:
            if _CANCELLED in words:
                raise UsageError("nothing was selected", "give --region WxH+X+Y instead")
            last = words.rpartition("\n")[2] or f"exit code {done.returncode}"
            raise NotReadyError(f"slurp cannot select a region here ({last})", "give --region WxH+X+Y")
        width, height, left, top = map(int, found.groups())
        # A click is no choice.
        if min(width, height) >= LEAST_SIDE:
            return Rectangle(left, top, width, height).trimmed_to_even()
