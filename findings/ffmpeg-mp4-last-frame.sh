#!/usr/bin/env bash
# FFmpeg 8 (in PyAV 18.1.0) lets the last frame of an MP4 last as long as the distance between two others.
#
# Four frames 0.55 s apart, the last of which is shown for 0.02 s: a still screen that is encoded again. The MP4 muxer
# keeps as a frame's length the distance to the next frame that is stored. With B-frames, the last frame shown is not
# the last one stored, so it lasts 0.55 s, whatever duration it was given. Without them its own duration counts.
# Python 3.11 to 3.13 on Linux. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install av==18.1.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
from fractions import Fraction

import av
import numpy as np


def end_s(b_frames: str) -> float:
    """Write the file, and return where its last frame ends for who reads it."""
    with av.open("out.mp4", "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"bf": b_frames})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for pts in (0, 550, 1100, 1650):
            frame = av.VideoFrame.from_ndarray(np.full((180, 320, 3), 90, np.uint8), format="rgb24")
            frame.pts, frame.time_base = pts, Fraction(1, 1000)
            frame.duration = 550 if pts < 1650 else 20
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open("out.mp4") as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        return max(float((packet.pts + packet.duration) * packet.time_base) for packet in packets)


print("PyAV", av.__version__)
found = {b_frames: end_s(b_frames) for b_frames in ("3", "0")}
for b_frames, ends_s in found.items():
    print(f"with at most {b_frames} B-frames the picture ends at {ends_s:.2f} s, of 1.67 s")
assert found["3"] > 2.1 and found["0"] < 1.7
PYTHON
