"""Files that begin in the ways that have misled FFmpeg about the frame rate, with pictures that carry a number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from capture.codecs.video_encoder import VideoEncoder
from capture.formats import CONTAINERS
from capture.media import VIDEO_TICKS_PER_S, Pixels
from capture.output.muxer import Muxer
from capture.output.writer import FileWriter
from capture.pipeline.tee import Tee
from capture.recordings.repair import repair
from capture.replay.buffer import ReplayBuffer
from capture.replay.clip_writer import save
from capture.replay.packets import ReplayTrack

__all__ = ["KINDS", "Draw", "Drawn", "make"]

#: A still screen is repeated after this long and a little, as the frame grabber does.
HEARTBEAT_S: Final = 0.5512

#: The distances of the frames of each beginning, in seconds. `None` is a lively screen.
_DISTANCES_S: Final[dict[str, float | None]] = {
    "still": HEARTBEAT_S,
    "typing": 1 / 8,
    "caret at 1 Hz": 0.5,
    "caret at 2 Hz": 0.25,
    "caret at 3 Hz": 1 / 6,
    "caret at 6 Hz": 1 / 12,
    "lively": None,
}
_BEGINNING_S: Final = 9.0

#: How a file may begin, or be made.
KINDS: Final = (*_DISTANCES_S, "paused", "repaired", "clip", "from the replay buffer")

#: When each number is drawn, and what draws it.
Drawn = list[tuple[int, float]]
Draw = Callable[[int], Pixels]


def make(kind: str, path: Path, fps: int, draw: Draw) -> Drawn:
    """Write a file of this kind; return when its pictures are shown, except those around its end."""
    if kind in _DISTANCES_S:
        drawn = _begun(_DISTANCES_S[kind], fps)
        _write(path, drawn, fps, draw)
        return drawn[:-1]
    if kind == "paused":
        # A still screen, then a pause: in the file, the next picture follows at any distance.
        drawn = [(0, 0.0), (1, HEARTBEAT_S), *((2 + n, 0.5712 + n / 2) for n in range(12))]
        drawn += [(14 + n, 6.6 + n / fps) for n in range(2 * fps)]
        _write(path, drawn, fps, draw)
        return drawn[:-1]
    if kind == "repaired":
        drawn = _begun(HEARTBEAT_S, fps)
        _write(path, drawn, fps, draw, closed=False)
        repair(path)
        return drawn[: -round(fps / 2)]
    encoder = _encoder(path, fps, draw, cuttable=True)
    tee = Tee()
    tee.buffer = ReplayBuffer(60, 1 << 30, [ReplayTrack.of(encoder.template)])
    drawn = [(number, 22.2 + number / 2) for number in range(1, 12)]
    drawn += [(12 + number, 28.2 + number / fps) for number in range(2 * fps)]
    tee.put(0, encoder.encode(draw(0), 0))
    for beat in range(1, 40):
        tee.put(0, encoder.repeat(round(beat * HEARTBEAT_S * VIDEO_TICKS_PER_S)))
    writer = FileWriter(_fail)
    if kind == "clip":
        begins_s = 0.0
    else:
        begins_s = tee.attach_since(writer, 18.3)
        writer.start(Muxer(path, CONTAINERS[path.suffix[1:]]), [encoder.template])
    for number, at_s in drawn:
        tee.put(0, encoder.encode(draw(number), round(at_s * VIDEO_TICKS_PER_S)))
    if kind == "clip":
        begins_s = save(tee.buffer.snapshot(13.0), path)
    writer.close()
    return [(number, at_s - begins_s) for number, at_s in drawn[:-1]]


def _begun(distance_s: float | None, fps: float) -> Drawn:
    """Return the pictures of a recording that begins in one way and goes on with a lively screen for 3 s."""
    begins_s = np.arange(0.0, 2.0 if distance_s is None else _BEGINNING_S, distance_s or 1 / fps)
    times_s = [float(at_s) for at_s in begins_s]
    times_s += [times_s[-1] + 0.113 + slot / fps for slot in range(round(3 * fps))]
    return list(enumerate(times_s))


def _encoder(path: Path, fps: float, draw: Draw, *, cuttable: bool = False) -> VideoEncoder:
    height, width = draw(0).shape[:2]
    codec = str(CONTAINERS[path.suffix[1:]].video_codec)
    return VideoEncoder(codec, width, height, fps, cuttable=cuttable)


def _write(path: Path, drawn: Drawn, fps: float, draw: Draw, *, closed: bool = True) -> None:
    encoder = _encoder(path, fps, draw)
    muxer = Muxer(path, CONTAINERS[path.suffix[1:]])
    muxer.start([encoder.template])
    for number, at_s in drawn:
        for packet in encoder.encode(draw(number), round(at_s * VIDEO_TICKS_PER_S)):
            muxer.write(0, packet)
    content = path.read_bytes()
    muxer.close()
    muxer.keep()
    if not closed:
        path.write_bytes(content)


def _fail(worker: str, error: BaseException) -> None:
    raise AssertionError(f"{worker} failed") from error
