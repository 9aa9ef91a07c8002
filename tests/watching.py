"""Watches a source of Wayland pictures as the pipeline does, and keeps what it delivers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
from numbered import HEIGHT, WIDTH, number_of
from running import eventually

from capture.events import EventKind
from capture.media import Frame, Pixels, Rectangle
from capture.sources.wayland.source import CompositorSource
from capture.sources.wayland.subjects import OneOutput, Subject

__all__ = ["SECRET", "Seen", "watched", "watched_output"]

#: What an output or a window shows that must never be recorded.
SECRET: Final = 0x7777


class Seen:
    """What a source delivers, put together as the encoder does; `ended` is the reason for which it wants the end."""

    def __init__(self, source: CompositorSource, events: list[tuple[EventKind, str]], ended: list[str]) -> None:
        self.source = source
        self.events = events
        self.ended = ended
        self.frames: list[Frame] = []
        self.picture: Pixels = np.zeros((source.height, source.width, 4), np.uint8)

    def look(self, limit_s: float = 0.0) -> bool:
        if not self.source.wait_for_change(time.monotonic() + limit_s):
            return False
        frame = self.source.grab()
        height, width = frame.pixels.shape[:2]
        assert not any(side % 2 for side in (frame.left, frame.top, width, height))
        self.picture[frame.top : frame.top + height, frame.left : frame.left + width] = frame.pixels
        self.frames.append(frame)
        assert self.number != SECRET
        return True

    @property
    def number(self) -> int:
        return self.number_at(0, 0)

    def number_at(self, left: int, top: int) -> int:
        return number_of(self.picture[top : top + HEIGHT, left : left + WIDTH, 1])

    def until(self, number: int, left: int = 0, top: int = 0) -> None:
        """Wait for a picture with this number at this place."""

        def shows() -> bool:
            self.look(0.1)
            return self.number_at(left, top) == number

        eventually(shows, f"the number {number}")

    def until_still(self) -> None:
        while self.look(0.1):
            pass


@contextmanager
def watched(
    make: Callable[[Callable[[EventKind, str], None], Callable[[str], None]], Subject], *, begins: bool = True
) -> Iterator[Seen]:
    """Open a source of the subject that `make` returns, which gets the functions that report and end.

    Unless it `begins`, that is left to the test.
    """
    events: list[tuple[EventKind, str]] = []
    ended: list[str] = []

    def report(kind: EventKind, detail: str) -> None:
        events.append((kind, detail))

    source = CompositorSource(make(report, ended.append), fps=30, report=report)
    try:
        source.open()
        if begins:
            source.begin(time.monotonic())
        yield Seen(source, events, ended)
    finally:
        source.close()


@contextmanager
def watched_output(name: str = "HEADLESS-1", region: Rectangle | None = None, *, begins: bool = True) -> Iterator[Seen]:
    with watched(lambda report, end: OneOutput(name, region, with_cursor=True), begins=begins) as seen:
        yield seen
