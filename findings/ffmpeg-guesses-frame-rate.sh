#!/usr/bin/env bash
# FFmpeg 9.0 (in imageio-ffmpeg 0.8.1) drops half of the pictures of a good MP4 when it converts it without any option.
#
# A recording of a screen that is still for some seconds has few pictures at first, and 30 a second later. MP4 states no
# frame rate, so FFmpeg guesses one from its first pictures, here 12.5, and writes the new file at that rate, though all
# the times are in the old one. Of the same pictures in Matroska, which states a rate, none is lost. `-fps_mode
# passthrough` keeps them all.
# Python 3.11 to 3.13 on Linux. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install imageio-ffmpeg==0.8.1 av==18.1.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import subprocess
from fractions import Fraction

import av
import imageio_ffmpeg
import numpy as np

PROGRAM = imageio_ffmpeg.get_ffmpeg_exe()
UNIT = Fraction(1, 90000)

# One picture each 0.56 s for six seconds, then 30 a second for eight, each up to 4 ms early or late.
chance = np.random.default_rng(3)
DISTANCES_S = [0.56] * 11 + list(1 / 30 + chance.uniform(-0.004, 0.004, 240))
TIMES_S = np.cumsum([0.0, *DISTANCES_S])


def record(path: str) -> None:
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.time_base = stream.codec_context.time_base = UNIT
        for number, time_s in enumerate(TIMES_S):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), number % 256, np.uint8), format="rgb24")
            frame.pts, frame.time_base = round(time_s / UNIT), UNIT
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def pictures(path: str) -> int:
    with av.open(path) as container:
        return sum(1 for packet in container.demux(video=0) if packet.size)


def converted(path: str, *options: str) -> int:
    """Return how many pictures are left."""
    words = [PROGRAM, "-nostdin", "-loglevel", "error", "-y", "-i", path, *options, f"new-{path}"]
    subprocess.run(words, check=True)
    return pictures(f"new-{path}")


print(subprocess.run([PROGRAM, "-version"], capture_output=True, text=True, check=True).stdout[:21])
for path in ("screen.mp4", "screen.mkv"):
    record(path)
    with av.open(path) as container:
        guessed = float(container.streams.video[0].guessed_rate)
    kept, passed = converted(path), converted(path, "-fps_mode", "passthrough")
    print(f"{path}: {pictures(path)} pictures, taken for {guessed:.2f} fps; {kept} are left, passed through {passed}")
    assert pictures(path) == len(TIMES_S) == passed
    assert (kept < 0.6 * len(TIMES_S)) if path.endswith(".mp4") else (kept == len(TIMES_S))
PYTHON
