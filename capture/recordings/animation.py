"""Writes a GIF or an animated WebP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, cast

import av
import av.filter
from av.container import OutputContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

__all__ = ["stamped", "write_gif", "write_webp"]


def stamped(frame: av.VideoFrame, slot: int, fps: float) -> av.VideoFrame:
    frame.pts, frame.time_base = slot, 1 / Fraction(fps).limit_denominator(1001)
    return frame


_Frames = Callable[[], Iterator[av.VideoFrame]]


def write_gif(made: OutputContainer, frames: _Frames, size: tuple[int, int], fps: float) -> None:
    """In two passes, so that no more than a picture is in memory: one chooses the colours, one paints with them."""
    stream = made.add_stream("gif", rate=Fraction(fps).limit_denominator(1001))
    assert isinstance(stream, VideoStream)  # noqa: S101
    stream.width, stream.height, stream.pix_fmt = *size, "pal8"
    palette: av.VideoFrame | None = None
    chooser: av.filter.Graph | None = None
    for frame in frames():
        if chooser is None:
            chooser = av.filter.Graph()
            source = _buffer(chooser, frame, fps)
            scale = chooser.add("scale", f"{size[0]}:{size[1]}:flags=area")
            chooser.link_nodes(
                source, scale, chooser.add("palettegen", "stats_mode=diff"), chooser.add("buffersink")
            ).configure()
        chooser.push(frame)
    if chooser is None:
        return
    chooser.push(None)
    palette = cast(av.VideoFrame, chooser.pull())
    painter: av.filter.Graph | None = None
    for frame in frames():
        if painter is None:
            painter = av.filter.Graph()
            picture = _buffer(painter, frame, fps)
            colours = painter.add_buffer(
                width=palette.width, height=palette.height, format=palette.format, time_base=Fraction(1, 1000)
            )
            scale = painter.add("scale", f"{size[0]}:{size[1]}:flags=area")
            use = painter.add("paletteuse", "dither=bayer:bayer_scale=5:diff_mode=rectangle")
            sink = painter.add("buffersink")
            picture.link_to(scale)
            scale.link_to(use, 0, 0)
            colours.link_to(use, 0, 1)
            use.link_to(sink)
            painter.configure()
            palette.pts = 0
            colours.push(palette)
            colours.push(None)
            inlet = picture
        inlet.push(frame)
        _paint(made, stream, painter)
    if painter is not None:
        inlet.push(None)
        _paint(made, stream, painter)
    made.mux(stream.encode(None))


def _buffer(graph: av.filter.Graph, frame: av.VideoFrame, fps: float) -> Any:
    return graph.add_buffer(
        width=frame.width,
        height=frame.height,
        format=frame.format,
        time_base=1 / Fraction(fps).limit_denominator(1001),
    )


def _paint(made: OutputContainer, stream: VideoStream, graph: av.filter.Graph) -> None:
    while True:
        try:
            frame = cast(av.VideoFrame, graph.pull())
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        made.mux(stream.encode(frame))


def write_webp(made: OutputContainer, frames: _Frames, size: tuple[int, int], fps: float) -> None:
    stream = made.add_stream(
        cast(Any, "libwebp_anim"), rate=Fraction(fps).limit_denominator(1001), options={"quality": "60"}
    )
    assert isinstance(stream, VideoStream)  # noqa: S101
    stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
    reformatter = VideoReformatter()
    for slot, frame in enumerate(frames()):
        smaller = reformatter.reformat(frame, *size, "yuv420p")
        made.mux(stream.encode(stamped(smaller, slot, fps)))
    made.mux(stream.encode(None))
