"""Writes a recording as a GIF or an animated WebP."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import av
from av.container import OutputContainer
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from capture.recordings.animation_report import report_animation
from capture.recordings.decoded_pictures import PictureReader, at_constant_rate, shown
from capture.recordings.opening import origin_s
from capture.recordings.palette import PaletteChooser, Rgb
from capture.recordings.progress import OnProgress, part_of, unwatched
from capture.recordings.rewrite import opened, tracks_of

__all__ = ["write_animation"]

#: Called once for each pass: yields each frame, in its final size, with the slots for which it is shown.
_Frames: TypeAlias = Callable[[], Iterator[tuple[av.VideoFrame, range]]]

#: The most bytes of frames kept for the second pass. Beyond that, frames are decoded and scaled again.
_KEPT_BYTES: Final = 96_000_000


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
    rate = Fraction(fps).limit_denominator(1001)
    write, passes = (_write_gif, 2) if form == "gif" else (_write_webp, 1)
    pixel_format = "rgb24" if form == "gif" else "yuv420p"
    begun = itertools.count()
    kept: list[tuple[av.VideoFrame, range]] | None = []

    def frames() -> Iterator[tuple[av.VideoFrame, range]]:
        nonlocal kept
        number = next(begun)
        on_pass = part_of(on_progress, number / passes, (number + 1) / passes)
        if number and kept is not None:
            for place, each in enumerate(kept, 1):
                on_pass(place / len(kept))
                yield each
            return
        left_bytes = _KEPT_BYTES if passes > 1 else -1
        for frame, slots in _at_slots(recording, rate, duration_s, size, pixel_format, on_pass):
            left_bytes -= sum(plane.buffer_size for plane in frame.planes)
            if left_bytes < 0:
                kept = None
            if kept is not None:
                kept.append((frame, slots))
            yield frame, slots

    with av.open(str(path), "w", format=form, container_options={"loop": "0"}) as made:
        write(made, frames, size, rate)
    # It raises if a part is missing.
    report_animation(path)


def _at_slots(
    recording: Path,
    rate: Fraction,
    duration_s: float,
    size: tuple[int, int],
    pixel_format: str,
    on_progress: OnProgress,
) -> Iterator[tuple[av.VideoFrame, range]]:
    """Yield each frame with the slots of 1/rate for which it is shown, in this size and format."""
    with opened(recording) as source:
        track = next(track for track in tracks_of(source) if isinstance(track, VideoStream))
        # A picture that is shorter than the sound, or than a slot, is shown for one.
        end_s = max(duration_s, float(1 / rate))
        pictures = shown(PictureReader(source, track, on_progress), origin_s(source), end_s)
        reformatter = VideoReformatter()
        for frame, run in itertools.groupby(at_constant_rate(pictures, rate), key=lambda each: each[1]):
            slots = [slot for slot, _ in run]
            smaller = reformatter.reformat(frame, *size, pixel_format, interpolation=Interpolation.AREA)
            yield smaller, range(slots[0], slots[-1] + 1)


def _stamped(frame: av.VideoFrame, slot: int, rate: Fraction) -> av.VideoFrame:
    frame.pts, frame.time_base = slot, 1 / rate
    return frame


def _write_gif(made: OutputContainer, frames: _Frames, size: tuple[int, int], rate: Fraction) -> None:
    """Write in two passes: the first chooses the colours, the second paints."""
    stream = made.add_stream("gif", rate=rate)
    assert isinstance(stream, VideoStream)  # noqa: S101
    stream.width, stream.height, stream.pix_fmt = *size, "pal8"
    chooser = PaletteChooser()
    for frame, _ in frames():
        chooser.add(_pixels(frame))
    palette = chooser.palette()
    for frame, slots in frames():
        painted = av.VideoFrame.from_ndarray(cast(Any, (palette.painted(_pixels(frame)), palette.argb)), "pal8")
        # A frame stays until the next one.
        made.mux(stream.encode(_stamped(painted, slots[0], rate)))
    if len(slots) > 1:
        # The last one would only stay for a slot.
        made.mux(stream.encode(_stamped(painted, slots[-1], rate)))
    made.mux(stream.encode(None))


def _pixels(frame: av.VideoFrame) -> Rgb:
    return cast(Rgb, frame.to_ndarray())


def _write_webp(made: OutputContainer, frames: _Frames, size: tuple[int, int], rate: Fraction) -> None:
    stream = made.add_stream(cast(Any, "libwebp_anim"), rate=rate, options={"quality": "60"})
    assert isinstance(stream, VideoStream)  # noqa: S101
    stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
    for frame, slots in frames():
        for slot in slots:
            made.mux(stream.encode(_stamped(frame, slot, rate)))
    made.mux(stream.encode(None))
