#!/usr/bin/env bash
# OpenCV 5.0.0 (opencv-python-headless 5.0.0.93) seeks a video of variable rate by its average rate.
#
# The file shows ten pictures a second apart, then 30 a second: any recording of a screen that was still at first.
# CAP_PROP_POS_MSEC is multiplied by the average rate to give the number of a picture, so that asking for 3.3 s shows
# a picture of over 11 s. After read() the property is the true time of the picture: a loop that reads on is right.
# Python 3.11 to 3.13 on Linux. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install opencv-python-headless==5.0.0.93 numpy==2.4.6 av==18.1.0
cd "$folder"
venv/bin/python - <<'PYTHON'
from fractions import Fraction

import av
import cv2
import numpy as np

times_s = [float(n) for n in range(10)] + [10 + n / 30 for n in range(300)]
with av.open("variable.mp4", "w") as container:
    stream = container.add_stream("libx264", rate=30)
    stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
    stream.time_base = stream.codec_context.time_base = Fraction(1, 90000)
    for n, time_s in enumerate(times_s):
        frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), n * 37 % 256, np.uint8), "rgb24")
        frame.pts, frame.time_base = round(time_s * 90000), stream.time_base
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))

video = cv2.VideoCapture("variable.mp4")
print("OpenCV", cv2.__version__, "average rate", video.get(cv2.CAP_PROP_FPS))
wrong = 0
for asked_ms in (500, 3300, 5000, 15000):
    video.set(cv2.CAP_PROP_POS_MSEC, asked_ms)
    _, picture = video.read()
    at_ms = video.get(cv2.CAP_PROP_POS_MSEC)
    print(f"asked for {asked_ms} ms: a picture of about {at_ms:.0f} ms, value {picture[32, 32, 0]}")
    wrong += abs(at_ms - asked_ms) > 1500
assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 310
assert wrong == 4, wrong
PYTHON
