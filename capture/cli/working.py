"""Shows that capture is still at work: a line on the terminal, once something takes over a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from capture.cli.live_line import as_done
from capture.cli.parser import Arguments
from capture.cli.terminal import Terminal

__all__ = ["working"]

#: What is done sooner needs no line.
_SHOWN_AFTER_S: Final = 1.0
_INTERVAL_S: Final = 0.5


@contextmanager
def working(
    arguments: Arguments, what: str, poll: Callable[[], float] | None = None
) -> Iterator[Callable[[float], None]]:
    """Show `what` is being done until the block ends; only on a terminal, and not with `--quiet`.

    Yields a function to call with the share of the work that is done, from 0 to 1. Where it is called the line has the
    percentage and the time left, else for how long the work has taken. `poll`, which a thread of its own calls, returns
    that share instead; it may take a moment.
    """
    share = 0.0

    def note(done: float) -> None:
        nonlocal share
        share = done

    terminal = Terminal("", quiet=arguments.quiet)
    if not terminal.is_live:
        yield note
        return
    done = threading.Event()
    began_s = time.monotonic()

    def show() -> None:
        wait_s = _SHOWN_AFTER_S
        while not done.wait(wait_s):
            wait_s = _INTERVAL_S
            state = as_done(time.monotonic() - began_s, share if poll is None else poll())
            terminal.show(f"… {what}, {state}", f"… {state}")

    thread = threading.Thread(target=show, name="working", daemon=True)
    thread.start()
    try:
        yield note
    finally:
        done.set()
        thread.join()
        terminal.end()
