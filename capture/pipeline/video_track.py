"""Encodes the frames of the video track."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from capture.pipeline.frame_grabber import FrameJob
from capture.pipeline.tee import PacketSink
from capture.pixels.part_converter import PixelPart
from capture.threads.mailbox import Closed, Mailbox
from capture.timing.timeline import grid_pts

if TYPE_CHECKING:
    from capture.codecs.video_encoder import VideoEncoder

__all__ = ["VideoTrack"]


#: The encoder is behind if this part of the queue is taken: three of seven frames, a tenth of a second at 30 fps. The
#: grabber drops frames from half of the queue on, and cost has to be lowered before. A smaller part would be taken
#: after each hiccup of the machine.
_BEHIND: Final = 0.4


class VideoTrack:
    """Encodes the frames in `jobs` and passes the packets to `deliver`. `run` is the work of a thread.

    On a constant grid of `fps`, it fills the slots that are missing between two jobs with the last picture.
    """

    def __init__(self, encoder: VideoEncoder, jobs: Mailbox[FrameJob], deliver: PacketSink, fps: float) -> None:
        self._encoder = encoder
        self._jobs = jobs
        self._deliver = deliver
        self._fps = fps
        self._next_slot = 0

    def run(self) -> None:
        try:
            while self._encode_next():
                pass
            self._deliver(self._encoder.finish())
        finally:
            self._encoder.close()

    def _encode_next(self) -> bool:
        """Wait for a frame and encode it; return False at the end.

        Nothing refers to its part afterwards: it would be kept until the next frame, 3 MB at 1080p.
        """
        try:
            job = self._jobs.get()
        except Closed:
            return False
        if job.slot is not None:
            for slot in range(self._next_slot, job.slot):
                self._encode(FrameJob(grid_pts(slot, self._fps), None, job.duration))
            self._next_slot = job.slot + 1
        self._encode(job)
        return True

    def _encode(self, job: FrameJob) -> None:
        encoder = self._encoder
        if self._jobs.filled() >= _BEHIND:
            encoder.hurry(job.pts)
        part = job.part.converted() if isinstance(job.part, PixelPart) else job.part
        packets = encoder.repeat(job.pts) if part is None else encoder.encode_part(part, job.pts)
        if job.duration is not None:
            for packet in packets:
                packet.duration = job.duration
        self._deliver(packets)
