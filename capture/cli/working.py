"""Shows that capture is still at work: a line on the terminal, once something takes over a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from capture.cli.parser import Arguments
from capture.cli.terminal import Terminal

__all__ = ["working"]

#: What is done sooner needs no line.
_SHOWN_AFTER_S: Final = 1.0
_INTERVAL_S: Final = 0.5


@contextmanager
def working(arguments: Arguments, what: str) -> Iterator[None]:
    """Show `what` is being done and for how long, until the block ends; only on a terminal, and not with `--quiet`."""
    terminal = Terminal("", quiet=arguments.quiet)
    if not terminal.is_live:
        yield
        return
    done = threading.Event()
    began_s = time.monotonic()

    def show() -> None:
        wait_s = _SHOWN_AFTER_S
        while not done.wait(wait_s):
            wait_s = _INTERVAL_S
            waited = f"{time.monotonic() - began_s:.0f} s so far"
            terminal.show(f"… {what}, {waited}", f"… {waited}")

    thread = threading.Thread(target=show, name="working", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        terminal.end()
