"""X servers of other kinds than that of the desk."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

__all__ = ["server"]


@contextmanager
def server(monkeypatch: pytest.MonkeyPatch, screen: str, *options: str, resets: bool = False) -> Iterator[None]:
    """Run an X server with this screen, as in `320x240x16`, and these options of Xvfb; this process uses it.

    With `resets`, it starts over when its last client goes.
    """
    from Xlib.protocol import display, event

    reading, writing = os.pipe()
    argv = ["Xvfb", "-displayfd", str(writing), "-screen", "0", screen, "-nolisten", "tcp"]
    options += () if resets else ("-noreset",)
    with subprocess.Popen([*argv, *options], pass_fds=[writing], stderr=subprocess.DEVNULL) as process:
        os.close(writing)
        try:
            with os.fdopen(reading) as number:
                monkeypatch.setenv("DISPLAY", f":{number.readline().strip()}")
            monkeypatch.delenv("XAUTHORITY", raising=False)
            monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
            # python-xlib keeps the event numbers of one server for all connections.
            monkeypatch.setattr(display.Display, "event_classes", event.event_class.copy())
            yield
        finally:
            process.terminate()
