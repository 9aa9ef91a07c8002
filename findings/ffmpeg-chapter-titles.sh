#!/usr/bin/env bash
# FFmpeg 8 (in PyAV 18.1.0) cuts long titles of chapters in an MP4 inside a letter.
#
# The list of chapters (`chpl`) counts the bytes of a title in one byte. FFmpeg keeps the first 255 bytes, whatever they
# end with. The text track that it writes as well has the whole title, and FFmpeg reads that one.
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

with av.open("out.mp4", "w") as container:
    stream = container.add_stream("aac", rate=48000, layout="stereo")
    frame = av.AudioFrame.from_ndarray(np.zeros((2, 48000), np.float32), format="fltp", layout="stereo")
    frame.sample_rate, frame.pts = 48000, 0
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
    chapter = {"id": 1, "start": 0, "end": 1000, "time_base": Fraction(1, 1000), "metadata": {"title": "ü" * 200}}
    container.set_chapters([chapter])
with open("out.mp4", "rb") as file:
    data = file.read()
# Version and flags, four bytes, the count, the time of the first chapter, and the length of its title.
at = data.index(b"chpl") + 4 + 4 + 4 + 1 + 8
title = data[at + 1 : at + 1 + data[at]]
print("PyAV", av.__version__)
print(f"the list has {len(title)} bytes of 400, the last of them {title[-1]:#04x}")
assert len(title) == 255 and title[-1] == "ü".encode()[0]
PYTHON
