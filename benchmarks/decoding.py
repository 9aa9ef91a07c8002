"""Reads the contents of a recording by decoding all of it, or a part."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer

from benchmarks import clockface
from benchmarks.onsets import Floats, Waveform

__all__ = ["Picture", "Sound", "read_picture", "read_sound"]

#: Every 16th pixel both ways shows brightness and change well enough, at a fraction of the cost.
_STEP: Final = 16
#: Two frames differ if their mean change of brightness, out of 255, is above this. Codec noise stays below.
_CHANGE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Picture:
    """The video track, with one entry per frame."""

    pts_s: Floats
    luma: Floats
    #: The cells of the running clock, True for white, shape (frames, cells).
    cells: npt.NDArray[np.bool_]
    #: When the last frame ends.
    end_s: float
    #: How many frames differ as a whole from the previous one; a typed letter does not count.
    moved: int

    @property
    def start_s(self) -> float:
        return float(self.pts_s[0])


@dataclass(frozen=True, slots=True)
class Sound:
    """The first audio track, mixed to mono, with gaps filled with zeros."""

    samples: Waveform
    rate: int
    start_s: float

    @property
    def end_s(self) -> float:
        return self.start_s + self.samples.size / self.rate


def read_picture(
    path: Path, most_frames: int | None = None, *, between_s: tuple[float, float] | None = None
) -> Picture:
    """Decode the video track, or only its first `most_frames`, or what begins `between_s` two times.

    Raises `ValueError` when there are no frames.
    """
    pts_s: list[float] = []
    luma: list[float] = []
    cells: list[npt.NDArray[np.bool_]] = []
    moved, end_s, before = 0, 0.0, None
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for frame in _frames(container, stream, between_s):
            plane = _luma_plane(frame)
            sparse = plane[::_STEP, ::_STEP].astype(np.int16)
            if before is None or before.shape != sparse.shape or np.abs(sparse - before).mean() > _CHANGE:
                moved += 1
            before = sparse
            pts_s.append(_pts_s(frame))
            end_s = max(end_s, pts_s[-1] + float(frame.duration * frame.time_base))
            luma.append(float(sparse.mean()))
            cells.append(_clock_cells(plane))
            if len(pts_s) == most_frames:
                break
    if not pts_s:
        raise ValueError(f"{path} contains no frames")
    return Picture(np.array(pts_s), np.array(luma), np.array(cells), end_s, moved)


def read_sound(path: Path, *, between_s: tuple[float, float] | None = None) -> Sound:
    """Decode the first audio track, or what begins `between_s` two times. Raises `ValueError` when it is empty."""
    blocks: list[tuple[float, Waveform]] = []
    rate = 0
    with av.open(str(path)) as container:
        for frame in _frames(container, container.streams.audio[0], between_s):
            rate = frame.sample_rate
            blocks.append((_pts_s(frame), _mono(frame)))
    if not blocks:
        raise ValueError(f"{path} contains no samples")
    start_s = blocks[0][0]
    return Sound(_laid_out(blocks, rate, start_s), rate, start_s)


def _frames(container: InputContainer, stream: Any, between_s: tuple[float, float] | None) -> Iterator[Any]:
    """Yield the frames of a stream that have a time, or those of them that begin between two times."""
    from_s, to_s = between_s or (-math.inf, math.inf)
    if between_s is not None:
        container.seek(int(from_s / stream.time_base), stream=stream)
    for frame in container.decode(stream):
        if frame.pts is None or frame.time_base is None or _pts_s(frame) < from_s:
            continue
        if _pts_s(frame) >= to_s:
            return
        yield frame


def _pts_s(frame: Any) -> float:
    return float(frame.pts * frame.time_base)


def _luma_plane(frame: av.VideoFrame) -> npt.NDArray[np.uint8]:
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: frame.height, : frame.width]


def _clock_cells(luma: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return whether the middle of each cell is bright; all False if the picture is too small for the clock."""
    middles = []
    for index in range(clockface.CELLS):
        place = clockface.cell(index)
        if place.right > luma.shape[1] or place.bottom > luma.shape[0]:
            return np.zeros(clockface.CELLS, np.bool_)
        inset = place.width // 4
        middles.append(luma[place.top + inset : place.bottom - inset, place.left + inset : place.right - inset].mean())
    return np.array(middles) > 128


def _mono(frame: av.AudioFrame) -> Waveform:
    values = frame.to_ndarray()
    if frame.format.name.startswith("s16"):
        values = values.astype(np.float32) / 2**15
    if not frame.format.is_planar:
        values = values.reshape(-1, len(frame.layout.channels)).T
    return np.asarray(values.mean(axis=0), np.float32)


def _laid_out(blocks: list[tuple[float, Waveform]], rate: int, start_s: float) -> Waveform:
    placed = list(_placed(blocks, rate, start_s))
    samples = np.zeros(max(first + block.size for first, block in placed), np.float32)
    for first, block in placed:
        samples[first : first + block.size] = block
    return samples


def _placed(blocks: list[tuple[float, Waveform]], rate: int, start_s: float) -> Iterator[tuple[int, Waveform]]:
    """Yield each block with the index of its first sample; a pts rounded to milliseconds makes no gap."""
    following = 0
    for moment_s, block in blocks:
        first = round((moment_s - start_s) * rate)
        if abs(first - following) <= rate // 500:
            first = following
        yield first, block
        following = first + block.size
