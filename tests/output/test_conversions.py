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

from benchmarks.reading.beginnings import KINDS, make
from capture.recordings.constant_rate import with_constant_rate

#: How each file begins or is made, with one frame rate; `benchmarks.beginnings` tries all.
MADE = [
    *zip(KINDS, (30, 60, 25, 24, 30, 50, 30, 30, 30, 30, 30), strict=True),
    ("from the replay buffer", 50),
]


#: Debian's FFmpeg, and a newer one.
PROGRAMS = ("ffmpeg", imageio_ffmpeg.get_ffmpeg_exe())


@pytest.mark.parametrize(
    ("kind", "fps", "extension"),
    [
        *((kind, fps, "mp4") for kind, fps in MADE),
        ("still", 24, "mkv"),
        ("clip", 30, "webm"),
        ("from the replay buffer", 30, "mkv"),
        ("from the replay buffer", 30, "webm"),
    ],
)
def test_every_picture_is_kept_and_in_time(kind: str, fps: int, extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"made.{extension}"
    drawn = make(kind, path, fps, numbered)
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
    drawn = make("typing", path, 30, numbered)
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
    drawn = make("typing", path, 30, numbered)
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
