"""Converted by FFmpeg without any option, and read at a constant rate by GStreamer, a file shows every picture in time.

The files begin in ways that have misled FFmpeg about the frame rate. The package under test takes no part in reading.
"""

from __future__ import annotations

import re
import subprocess
from itertools import pairwise
from pathlib import Path

import av
import cv2
import imageio_ffmpeg  # type: ignore[import-untyped]
import numpy as np
import pytest
from numbered import HEIGHT, WIDTH, converted, latest_s, number_of, numbered, shown_from_s

from capture.codecs.video_encoder import VideoEncoder
from capture.formats import CONTAINERS
from capture.media import VIDEO_TICKS_PER_S
from capture.output.muxer import Muxer
from capture.output.writer import FileWriter
from capture.pipeline.tee import Tee
from capture.recordings.constant_rate import with_constant_rate
from capture.recordings.repair import repair
from capture.replay.buffer import ReplayBuffer
from capture.replay.clip_writer import save
from capture.replay.packets import ReplayTrack

#: A still screen is repeated after this long and a little, as the frame grabber does.
HEARTBEAT_S = 0.5512

#: The distances of the frames of each beginning, in seconds. `None` is a lively screen.
BEGINNINGS: dict[str, float | None] = {
    "still": HEARTBEAT_S,
    "typing": 1 / 8,
    "caret at 1 Hz": 0.5,
    "caret at 2 Hz": 0.25,
    "caret at 3 Hz": 1 / 6,
    "caret at 6 Hz": 1 / 12,
    "lively": None,
}
BEGINNING_S = 9.0

#: How each file is made, with the frame rate.
KINDS = [
    *zip(BEGINNINGS, (30, 60, 25, 24, 30, 50, 30), strict=True),
    ("paused", 30),
    ("repaired", 30),
    ("clip", 30),
    ("from the replay buffer", 30),
    ("from the replay buffer", 50),
]

#: When each number is drawn.
Drawn = list[tuple[int, float]]


def begun(beginning: str, fps: float) -> Drawn:
    """Return the pictures of a recording that begins in one way and goes on with a lively screen for 3 s."""
    distance_s = BEGINNINGS[beginning] or 1 / fps
    times_s = [float(at_s) for at_s in np.arange(0.0, BEGINNING_S if BEGINNINGS[beginning] else 2.0, distance_s)]
    times_s += [times_s[-1] + 0.113 + slot / fps for slot in range(round(3 * fps))]
    return list(enumerate(times_s))


def write(path: Path, drawn: Drawn, fps: float, *, closed: bool = True) -> None:
    encoder = VideoEncoder(str(CONTAINERS[path.suffix[1:]].video_codec), WIDTH, HEIGHT, fps)
    muxer = Muxer(path, CONTAINERS[path.suffix[1:]])
    muxer.start([encoder.template])
    for number, at_s in drawn:
        for packet in encoder.encode(numbered(number), round(at_s * VIDEO_TICKS_PER_S)):
            muxer.write(0, packet)
    content = path.read_bytes()
    muxer.close()
    muxer.keep()
    if not closed:
        path.write_bytes(content)


def make(kind: str, path: Path, fps: int) -> Drawn:
    """Write a file of this kind; return when its pictures are shown, except those around its end."""
    if kind in BEGINNINGS:
        drawn = begun(kind, fps)
        write(path, drawn, fps)
        return drawn[:-1]
    if kind == "paused":
        # A still screen, then a pause: in the file, the next picture follows at any distance.
        drawn = [(0, 0.0), (1, HEARTBEAT_S), *((2 + n, 0.5712 + n / 2) for n in range(12))]
        drawn += [(14 + n, 6.6 + n / fps) for n in range(2 * fps)]
        write(path, drawn, fps)
        return drawn[:-1]
    if kind == "repaired":
        drawn = begun("still", fps)
        write(path, drawn, fps, closed=False)
        repair(path)
        return drawn[: -round(fps / 2)]
    encoder = VideoEncoder(str(CONTAINERS[path.suffix[1:]].video_codec), WIDTH, HEIGHT, fps, cuttable=True)
    tee = Tee()
    tee.buffer = ReplayBuffer(60, 1 << 30, [ReplayTrack.of(encoder.template)])
    drawn = [(number, 22.2 + number / 2) for number in range(1, 12)]
    drawn += [(12 + number, 28.2 + number / fps) for number in range(2 * fps)]
    tee.put(0, encoder.encode(numbered(0), 0))
    for beat in range(1, 40):
        tee.put(0, encoder.repeat(round(beat * HEARTBEAT_S * VIDEO_TICKS_PER_S)))
    writer = FileWriter(no_failure)
    if kind == "clip":
        begins_s = 0.0
    else:
        begins_s = tee.attach_since(writer, 18.3)
        assert 17.8 < begins_s < 18.3
        writer.start(Muxer(path, CONTAINERS[path.suffix[1:]]), [encoder.template])
    for number, at_s in drawn:
        tee.put(0, encoder.encode(numbered(number), round(at_s * VIDEO_TICKS_PER_S)))
    if kind == "clip":
        begins_s = save(tee.buffer.snapshot(13.0), path)
    writer.close()
    return [(number, at_s - begins_s) for number, at_s in drawn[:-1]]


def no_failure(worker: str, error: BaseException) -> None:
    pytest.fail(f"{worker}: {error!r}")


#: Debian's FFmpeg, and a newer one.
PROGRAMS = ("ffmpeg", imageio_ffmpeg.get_ffmpeg_exe())


@pytest.mark.parametrize(
    ("kind", "fps", "extension"),
    [
        *((kind, fps, "mp4") for kind, fps in KINDS),
        ("still", 24, "mkv"),
        ("clip", 30, "webm"),
        ("from the replay buffer", 30, "mkv"),
        ("from the replay buffer", 30, "webm"),
    ],
)
def test_every_picture_is_kept_and_in_time(kind: str, fps: int, extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"made.{extension}"
    drawn = make(kind, path, fps)
    for program in PROGRAMS:
        # What comes right after the last frame on the grid may be shown a little later than in the next slot.
        assert latest_s(shown_from_s(converted(path, program)), drawn) < 1.1 / fps
    with av.open(str(path)) as container:
        moments_s = [float((packet.pts or 0) * packet.time_base) for packet in container.demux(video=0) if packet.size]
    # Matroska rounds times to a millisecond.
    assert min(later - earlier for earlier, later in pairwise(moments_s)) > 0.5 / fps - 0.0011


@pytest.mark.parametrize("extension", ["mp4", "mkv", "webm"])
def test_gstreamer_shows_every_picture_in_time(extension: str, tmp_path: Path) -> None:
    path, raw = tmp_path / f"made.{extension}", tmp_path / "shown.raw"
    drawn = make("typing", path, 30)
    steps = [
        "decodebin",
        "videoconvert",
        "video/x-raw,format=GRAY8",
        "identity silent=false",
        f"filesink location={raw}",
    ]
    said = subprocess.run(
        ["gst-launch-1.0", "-v", *" ! ".join([f"filesrc location={path}", *steps]).split()],
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    ).stdout
    found = re.findall(r"last-message = chain .*?pts: (\d+):(\d+):([\d.]+)", said)
    moments_s = [3600 * int(hours) + 60 * int(minutes) + float(seconds) for hours, minutes, seconds in found]
    pictures = np.frombuffer(raw.read_bytes(), np.uint8).reshape(-1, HEIGHT, WIDTH)
    shown_s = dict(zip(map(number_of, pictures), moments_s, strict=True))
    assert latest_s(shown_s, drawn) < 1.1 / 30


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
def test_opencv_finds_every_picture_of_a_constant_rate_by_its_number(extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"made.{extension}"
    drawn = make("typing", path, 30)
    copy = path.with_stem("constant")
    assert with_constant_rate(path, copy, 30) == copy
    video = cv2.VideoCapture(str(copy))
    shown = []
    while (found := video.read())[0]:
        shown.append(number_of(np.asarray(found[1])[:, :, 1]))
    shown_s = {number: place / 30 for place, number in reversed(list(enumerate(shown)))}
    assert latest_s(shown_s, drawn) < 1.1 / 30
    for place in (0, 100, 31, len(shown) - 2):
        video.set(cv2.CAP_PROP_POS_FRAMES, place)
        assert number_of(np.asarray(video.read()[1])[:, :, 1]) == shown[place]
    video.release()
