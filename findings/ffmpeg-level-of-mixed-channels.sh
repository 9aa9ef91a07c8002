#!/usr/bin/env bash
# FFmpeg 8 and 9 (in PyAV 18.1.0 and 19.0.0) change the level when they make one channel out of two, or two out of one.
#
# The same constant of 0.3 in both channels becomes 0.3 in one channel of 16-bit integers, but 0.42 of floats: the
# weights of 0.71 are scaled down only where the result could overflow. Loud speech clips as soon as it is encoded. One
# channel of 0.3 becomes 0.21 in each of two, whatever the format. So a file that is turned from one channel into two
# and back keeps its level as floats, and loses 3 dB as integers. Average or repeat the channels yourself to keep it.
# Python 3.12 or newer on Linux (there is no PyAV 19 for 3.11); PYTHON names one. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/level.py" <<'PYTHON'
import av
import numpy as np

CASES = {
    ("fltp", "stereo", "fltp", "mono"): 0.424,
    ("s16p", "stereo", "s16p", "mono"): 0.3,
    ("fltp", "stereo", "s16p", "mono"): 0.3,
    ("fltp", "mono", "fltp", "stereo"): 0.212,
    ("s16p", "mono", "s16p", "stereo"): 0.212,
}
SCALE = {"fltp": 1.0, "s16p": 32767.0}
TYPE = {"fltp": np.float32, "s16p": np.int16}


def level(source: str, layout: str, target: str, new_layout: str) -> float:
    samples = np.full((1 if layout == "mono" else 2, 4800), 0.3 * SCALE[source]).astype(TYPE[source])
    frame = av.AudioFrame.from_ndarray(samples, format=source, layout=layout)
    frame.sample_rate = 48000
    resampler = av.AudioResampler(target, new_layout, 48000)
    parts = [made.to_ndarray() for made in (*resampler.resample(frame), *resampler.resample(None))]
    return float(np.concatenate(parts, axis=1)[0, 2400]) / SCALE[target]


print("PyAV", av.__version__)
for case, expected in CASES.items():
    found = level(*case)
    print(f"{case[0]} {case[1]} to {case[2]} {case[3]}: 0.300 becomes {found:.3f}")
    assert abs(found - expected) < 2e-3
PYTHON
for version in 18.1.0 19.0.0; do
    "${PYTHON:-python3}" -m venv "$folder/$version"
    "$folder/$version/bin/pip" -q install av==$version numpy==2.4.6
    "$folder/$version/bin/python" "$folder/level.py"
done
