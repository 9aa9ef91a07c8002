"""Writes a recording as a GIF or an animated WebP."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias, cast

import av
import av.filter
from av.container import OutputContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from capture.recordings.animation_report import report_animation
from capture.recordings.progress import OnProgress, part_of, unwatched
from capture.recordings.rewrite import opened

__all__ = ["write_animation"]

#: Called once for each pass over the frames.
_Frames: TypeAlias = Callable[[], Iterator[av.VideoFrame]]


def write_animation(
    recording: Path,
    path: Path,
    size: tuple[int, int],
    fps: float,
    duration_s: float,
    on_progress: OnProgress = unwatched,
) -> None:
    """Write the picture of `recording`, `duration_s` long, to `path`: a GIF or WebP by its extension, without end.

    `size` is width and height, `fps` the constant frame rate. Raises `RecordingError` when the recording
    cannot be opened or the file turns out incomplete, and what FFmpeg raises.
    """
    form = path.suffix[1:]
    write, passes = (_write_gif, 2) if form == "gif" else (_write_webp, 1)
    begun = itertools.count()

    def frames() -> Iterator[av.VideoFrame]:
        number = next(begun)
        return _at_constant_rate(
            recording, fps, duration_s, part_of(on_progress, number / passes, (number + 1) / passes)
        )

    with av.open(str(path), "w", format=form, container_options={"loop": "0"}) as made:
        write(made, frames, size, fps)
    # It raises if a part is missing.
    report_animation(path)


def _at_constant_rate(
    recording: Path, fps: float, duration_s: float, on_progress: OnProgress
) -> Iterator[av.VideoFrame]:
    """Yield the frame that is shown at each slot of 1/fps."""
    last: av.VideoFrame | None = None
    slot = 0
    with opened(recording) as source:
        for frame in source.decode(video=0):
            until = math.ceil((frame.time or 0.0) * fps - 1e-6)
            while last is not None and slot < until:
                yield _stamped(last, slot, fps)
                slot += 1
            last = frame
            on_progress((frame.time or 0.0) / duration_s if duration_s else 1.0)
    end = max(slot + 1, math.floor(duration_s * fps + 1e-6))
    while last is not None and slot < end:
        yield _stamped(last, slot, fps)
        slot += 1


def _stamped(frame: av.VideoFrame, slot: int, fps: float) -> av.VideoFrame:
    frame.pts, frame.time_base = slot, 1 / Fraction(fps).limit_denominator(1001)
    return frame


def _write_gif(made: OutputContainer, frames: _Frames, size: tuple[int, int], fps: float) -> None:
    """Write in two passes, so that only one frame is in memory: the first chooses the colours, the second paints."""
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
    """Encode every frame that `graph` has ready."""
    while True:
        try:
            frame = cast(av.VideoFrame, graph.pull())
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        made.mux(stream.encode(frame))


def _write_webp(made: OutputContainer, frames: _Frames, size: tuple[int, int], fps: float) -> None:
    stream = made.add_stream(
        cast(Any, "libwebp_anim"), rate=Fraction(fps).limit_denominator(1001), options={"quality": "60"}
    )
    assert isinstance(stream, VideoStream)  # noqa: S101
    stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
    reformatter = VideoReformatter()
    for slot, frame in enumerate(frames()):
        smaller = reformatter.reformat(frame, *size, "yuv420p")
        made.mux(stream.encode(_stamped(smaller, slot, fps)))
    made.mux(stream.encode(None))
