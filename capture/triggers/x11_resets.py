"""Connects to an X server that may be starting over.

A server without `-noreset`, such as `Xvfb :99` alone, starts over when its last client goes. For some 40 ms, or as long
as it takes on a busy machine, it drops new connections.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

__all__ = ["despite_resets"]

_Found = TypeVar("_Found")

#: How long to wait before each further try.
_WAITS_S: Final = (0.02, 0.05, 0.1, 0.2)

#: A DISPLAY of this machine, and where its server listens.
_LOCAL: Final = re.compile(r"(?:unix)?:(\d+)(?:\.\d+)?")
_SOCKETS: Final = Path("/tmp/.X11-unix")  # noqa: S108 - every X server's


def despite_resets(connect: Callable[[], _Found], *failures: type[Exception]) -> _Found:
    """Return what `connect` returns; where a server has its socket, try again for 0.4 s after one of `failures`."""
    for wait_s in _WAITS_S if _has_server() else ():
        try:
            return connect()
        except failures:
            time.sleep(wait_s)
    return connect()


def _has_server() -> bool:
    display = _LOCAL.fullmatch(os.environ.get("DISPLAY", ""))
    return display is not None and (_SOCKETS / f"X{display[1]}").exists()
