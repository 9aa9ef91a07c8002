#!/usr/bin/env bash
# With `tune=zerolatency`, libx264 in FFmpeg 8 (PyAV 18.1.0) ignores the times of pictures when it meets a bit rate.
#
# Ten pictures a second, as of a screen that changes now and then, in an encoder that was opened for 30: without the
# tune the stream has the bit rate that was asked for; with it a third of that, and looks like it. The tune turns x264's
# `vfr-input` off, so each picture gets the bits of 1/30 s, however long it is shown, and the stream's header says that
# its frame rate is fixed. `x264-params=force-cfr=0` turns that on again.
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

PICTURES, ASKED_KBPS = 300, 300


def rate_kbps(distance_ms: int, **options: str) -> float:
    """Return the bit rate of noisy pictures that are this far apart."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.thread_count = 320, 240, "yuv420p", 1
    encoder.time_base, encoder.framerate = Fraction(1, 1000), Fraction(30)
    encoder.bit_rate = ASKED_KBPS * 1000
    encoder.options = {"preset": "veryfast", **options}
    chance = np.random.default_rng(1)
    still = chance.integers(0, 128, (360, 320), np.uint8)
    size = 0
    for number in range(PICTURES):
        frame = av.VideoFrame.from_ndarray(still + chance.integers(0, 64, still.shape, np.uint8), format="yuv420p")
        frame.pts, frame.time_base = number * distance_ms, encoder.time_base
        size += sum(packet.size for packet in encoder.encode(frame))
    size += sum(packet.size for packet in encoder.encode(None))
    return size * 8 / (PICTURES * distance_ms)


print("PyAV", av.__version__)
for distance_ms in (33, 100):
    usual = rate_kbps(distance_ms)
    tuned = rate_kbps(distance_ms, tune="zerolatency")
    mended = rate_kbps(distance_ms, tune="zerolatency", **{"x264-params": "force-cfr=0"})
    print(
        f"a picture each {distance_ms} ms, {ASKED_KBPS} kb/s asked for: {usual:.0f} as usual, {tuned:.0f} with "
        f"zerolatency, {mended:.0f} with force-cfr=0 as well"
    )
    assert abs(usual - ASKED_KBPS) < 0.15 * ASKED_KBPS
    assert abs(mended - ASKED_KBPS) < 0.15 * ASKED_KBPS
    assert abs(tuned - ASKED_KBPS * 33 / distance_ms) < 0.15 * ASKED_KBPS
PYTHON
