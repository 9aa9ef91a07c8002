#!/usr/bin/env bash
# FFmpeg 8 (in PyAV 18.1.0) keeps the last 256 KiB of a file in memory: a minute of speech is a file of 0 bytes.
#
# By default (`flush_packets=-1`), what the muxer has finished, Ogg's pages or Matroska's clusters, goes to the system
# in blocks of that size, and not before. So a voice recorder that is killed loses up to 85 s at 24 kb/s, often the
# whole file; formats made for that, such as Ogg, do not help, and a program that reads along sees nothing either. With
# `flush_packets=1` each page or cluster is written when it is finished.
# Python 3.11 to 3.13 on Linux. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install av==18.1.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import os

import av
import numpy as np

RATE, SAMPLES, SECONDS = 48_000, 960, 60


def written(path: str, options: dict[str, str]) -> tuple[int, int]:
    """Return how many bytes are in the file after a minute of noise at 24 kb/s, and once it is closed."""
    chance = np.random.default_rng(1)
    with av.open(path, "w", options=options) as container:
        stream = container.add_stream("libopus", rate=RATE, layout="mono")
        stream.bit_rate = 24_000
        for pts in range(0, SECONDS * RATE, SAMPLES):
            sound = chance.normal(0, 0.05, (1, SAMPLES)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(sound, format="flt", layout="mono")
            frame.sample_rate, frame.pts = RATE, pts
            container.mux(stream.encode(frame))
        recorded = os.path.getsize(path)
        container.mux(stream.encode(None))
    return recorded, os.path.getsize(path)


print("PyAV", av.__version__)
for path in ("speech.ogg", "speech.mka"):
    usual, flushed = written(path, {}), written(path, {"flush_packets": "1"})
    print(f"{path}, {SECONDS} s: {usual[0]} bytes of {usual[1]} are in the file, with flush_packets=1 {flushed[0]}")
    assert usual[0] == 0
    assert flushed[0] > 0.85 * flushed[1]
PYTHON
