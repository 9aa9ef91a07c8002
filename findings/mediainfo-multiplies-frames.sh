#!/usr/bin/env bash
# MediaInfo 24.12 (in pymediainfo 7.0.1) counts 150 frames in a Matroska file that has 34, and calls its rate constant.
#
# It multiplies the length by the rate that the header states, and FFmpeg's muxer states there whatever the encoder was
# opened for. Of the same pictures in an MP4, whose index lists each, it says 34 frames of a variable rate; so if you
# ask MediaInfo whether frames were lost, or whether a file needs a constant rate, you get opposite answers. To
# read the whole file (`parse_speed=1`, on the command line --ParseSpeed=1) corrects the number, not "CFR".
# Python 3.11 to 3.13 on Linux; PYTHON names one. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install av==18.1.0 numpy==2.4.6 pymediainfo==7.0.1
cd "$folder"
venv/bin/python - <<'PYTHON'
import json
from fractions import Fraction

import av
import numpy as np
from pymediainfo import MediaInfo

TIMES_MS = [0, 1000, 2000, 3000, *(4000 + round(1000 * number / 30) for number in range(30))]
found = {}
for name in ("made.mkv", "made.mp4"):
    with av.open(name, "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for pts in TIMES_MS:
            frame = av.VideoFrame.from_ndarray(np.full((180, 320, 3), pts % 250, np.uint8), format="rgb24")
            frame.pts, frame.time_base = pts, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(name) as container:
        assert sum(1 for _ in container.decode(video=0)) == len(TIMES_MS)
    for speed in (0.5, 1):
        track = MediaInfo.parse(name, parse_speed=speed).video_tracks[0]
        found[name, speed] = (int(track.frame_count), track.frame_rate_mode)
        print(f"{name} with {len(TIMES_MS)} frames, parse_speed={speed}: {found[name, speed]}")
print("MediaInfo", json.loads(MediaInfo.parse("made.mkv", output="JSON"))["creatingLibrary"]["version"])
assert found["made.mkv", 0.5] == (150, "CFR") and found["made.mkv", 1] == (34, "CFR")
assert found["made.mp4", 0.5] == found["made.mp4", 1] == (34, "VFR")
PYTHON
