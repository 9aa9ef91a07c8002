"""Decodes the picture of a recording: upright, with square pixels, and at a constant rate where that is wanted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, Final, NamedTuple, cast

import av
import av.filter
from av.container import InputContainer
from av.video.stream import VideoStream

from capture.recordings.opening import MOST_PIXELS
from capture.recordings.progress import OnProgress, unwatched

__all__ = ["PictureReader", "Shown", "at_constant_rate", "display_size", "shown"]

#: FFmpeg's filters that apply a rotation, by the degrees counterclockwise that the file asks for.
_TURNS: Final = {90: ("transpose=cclock",), 180: ("hflip", "vflip"), 270: ("transpose=clock",)}


class Shown(NamedTuple):
    """A frame and from when until when it is shown, in seconds from the start of the recording."""

    frame: av.VideoFrame
    from_s: float
    until_s: float


class PictureReader:
    """Decodes the frames of one track, upright. To be iterated once; raises what FFmpeg raises."""

    def __init__(self, container: InputContainer, stream: VideoStream, on_progress: OnProgress) -> None:
        # Frames on several processors, where the codec allows it.
        stream.thread_type = "AUTO"
        stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
        self._container, self._stream = container, stream
        self._on_progress = on_progress
        #: How many packets could not be decoded; players go on with the next, and so does this.
        self.undecodable = 0

    def __iter__(self) -> Iterator[av.VideoFrame]:
        turning = _Turning()
        for packet in self._container.demux(self._stream):
            if packet.pos is not None and self._container.size:
                self._on_progress(packet.pos / self._container.size)
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                self.undecodable += 1
                continue
            for frame in frames:
                yield turning.upright(frame)


def shown(frames: Iterable[av.VideoFrame], origin_s: float, end_s: float) -> Iterator[Shown]:
    """Yield each frame with the time for which it is shown: until the next one, the last one until `end_s`.

    `origin_s` is the time of the container at which the recording starts.
    """
    last: av.VideoFrame | None = None
    last_s = 0.0
    for frame in frames:
        at_s = max(0.0, (frame.time or 0.0) - origin_s)
        if last is not None:
            yield Shown(last, last_s, at_s)
        last, last_s = frame, at_s
    if last is not None:
        yield Shown(last, last_s, max(last_s, end_s))


def at_constant_rate(pictures: Iterable[Shown], fps: Fraction) -> Iterator[tuple[int, av.VideoFrame]]:
    """Yield every slot of 1/fps and the frame that is shown there: the one whose start is nearest, or before it.

    The first slot has the first frame, whenever it comes.
    """
    slot = 0
    for frame, _, until_s in pictures:
        end = round(until_s * fps)
        while slot < end:
            yield slot, frame
            slot += 1


class _Turning:
    """Turns frames as their file says; phones store what they record upright as a picture that lies on its side."""

    def __init__(self) -> None:
        self._graph: Any = None
        self._of: tuple[Any, ...] = ()

    def upright(self, frame: av.VideoFrame) -> av.VideoFrame:
        turns = _TURNS.get(round(frame.rotation / 90) * 90 % 360)
        if turns is None:
            return frame
        of = (frame.width, frame.height, frame.format.name, turns)
        if of != self._of:
            self._graph, self._of = _graph(frame, turns), of
        self._graph.push(frame)
        return cast(av.VideoFrame, self._graph.pull())


def _graph(frame: av.VideoFrame, turns: tuple[str, ...]) -> Any:
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 90_000)
    )
    filters = [graph.add(*turn.split("=")) for turn in turns]
    graph.link_nodes(source, *filters, graph.add("buffersink")).configure()
    return graph


def display_size(container: InputContainer, stream: VideoStream) -> tuple[float, float]:
    """Return the width and the height of the picture as it is shown: upright, in square pixels.

    Decodes the first frame. Raises what FFmpeg raises; the size is 0 by 0 when there is no frame.
    """
    for frame in PictureReader(container, stream, unwatched):
        # It is upright, which its own rotation no longer says.
        ratio = float(stream.sample_aspect_ratio or 1)
        return frame.width * ratio, float(frame.height)
    return 0.0, 0.0
