"""A stage for tests of the frame grabber: a scripted screen, and the jobs that its pictures become."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from grabber_stage import AS_GRABBED, EPOCH_S, STEP_S, GrabberStage

from capture.events import Event
from capture.media import VIDEO_TICKS_PER_S, Pixels
from capture.pipeline.frame_grabber import FrameGrabber, FrameJob
from capture.pixels.yuv_part import YuvPart
from capture.sources.scripted import ScriptedFrames
from capture.threads.mailbox import Closed, Mailbox

__all__ = ["ALWAYS", "FPS", "SLOT", "Jobs", "Pictures", "moments_s", "picture", "shown", "ticks"]

FPS = 8
SLOT = VIDEO_TICKS_PER_S // FPS


def picture(number: int) -> Pixels:
    """Return a picture that encodes `number` in its first pixel."""
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0, :2] = divmod(number, 256)
    return pixels


def ticks(seconds: float) -> int:
    return round(seconds * VIDEO_TICKS_PER_S)


class Jobs(Mailbox[FrameJob]):
    """The queue to an encoder, which can be made to look full."""

    declines = False

    def has_room(self) -> bool:
        return not self.declines and super().has_room()


class Pictures(GrabberStage):
    """A stage with a scripted screen. `changes` are the seconds at which pictures 0, 1, … appear."""

    def __init__(
        self,
        changes: Sequence[float] = (0.0,),
        *,
        fps: float = FPS,
        constant: bool = False,
        duration_s: float = math.inf,
        grab_s: float = 0.0,
        late_s: float = 0.0,
        lost_at_s: float = math.inf,
        begin_late_s: float = 0.0,
        capacity: int = 1000,
    ) -> None:
        super().__init__(duration_s)
        script = [(at_s, picture(number)) for number, at_s in enumerate(changes)]
        self.source = ScriptedFrames(self.clock, script, grab_s=grab_s, late_s=late_s, lost_at_s=lost_at_s)
        self.source.begin(EPOCH_S)
        self.jobs = Jobs(capacity)
        self.events: list[Event] = []
        self.frames = FrameGrabber(
            self.source,
            AS_GRABBED,
            self.timeline,
            self.jobs,
            self.clock,
            fps,
            constant=constant,
            report=self.events.append,
        )
        self.clock.advance(begin_late_s)
        self.start(self.frames)

    def end(self) -> None:
        super().end()
        with suppress(Closed):
            self.frames.conclude()

    def taken(self) -> list[FrameJob]:
        """Return the jobs sent since the last call."""
        jobs = []
        while True:
            try:
                jobs.append(self.jobs.get(timeout_s=0))
            except (TimeoutError, Closed):
                return jobs

    def counts(self) -> tuple[int, int, int]:
        return self.frames.frames, self.frames.unchanged, self.frames.dropped


def shown(jobs: Sequence[FrameJob]) -> list[int | None]:
    """Return the number of each picture, or None for a repeat."""
    pictures = [job.part.planes[0] if isinstance(job.part, YuvPart) else None for job in jobs]
    return [None if pixels is None else 256 * int(pixels[0, 0, 0]) + int(pixels[0, 0, 1]) for pixels in pictures]


def moments_s(jobs: Sequence[FrameJob]) -> list[float]:
    return [job.pts / VIDEO_TICKS_PER_S for job in jobs]


ALWAYS = [number * STEP_S for number in range(64 * 5)]
