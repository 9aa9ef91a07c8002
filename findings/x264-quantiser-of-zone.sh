#!/usr/bin/env bash
# With a constant quantiser, x264 gives a zone its own quantiser only up to that of B pictures, even if there are none.
#
# `qp=22:zones=0,100,q=27` makes pictures with 25: x264 takes the largest of the quantisers that it derives from `qp`
# for I, P and B pictures for the most that there can be, and limits the zone's to it without a warning. `pbratio`,
# which is about B pictures only, moves the limit: 1.8 raises it by five. The picture parameter set stays that of `qp`.
# Python 3.11 or newer on Linux; PYTHON names one. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install av==18.1.0 numpy==2.4.6
cat >"$folder/zone.py" <<'PYTHON'
import av
import numpy as np


def size(qp: int, parameters: str) -> int:
    """Return how many bytes the second of two pictures of noise takes, without B pictures."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.thread_count = 320, 160, "yuv420p", 1
    encoder.time_base = encoder.framerate = 1
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "qp": str(qp), "x264-params": parameters}
    chance = np.random.default_rng(1)
    sizes = []
    for pts in range(2):
        frame = av.VideoFrame.from_ndarray(chance.integers(0, 256, (240, 320), np.uint8), format="yuv420p")
        frame.pts = pts
        sizes += [packet.size for packet in encoder.encode(frame)]
    return sizes[1]


def about(one: int, other: int) -> bool:
    return abs(one - other) < 0.01 * other


plain = {qp: size(qp, "bframes=0") for qp in (22, 25, 27)}
zone = size(22, "bframes=0:zones=0,100,q=27")
raised = size(22, "bframes=0:zones=0,100,q=27:pbratio=1.8")
print(f"quantisers and bytes: {plain}; a zone of 27 in 22: {zone}, with pbratio=1.8: {raised}")
assert about(zone, plain[25])
assert about(raised, plain[27])
PYTHON
"$folder/venv/bin/python" "$folder/zone.py"
