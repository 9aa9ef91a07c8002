#!/usr/bin/env bash
# FFmpeg 8 (in PyAV 18.1.0) writes chapters into Ogg a second late if they begin in the second half of a second.
#
# Their comments are like CHAPTER001=00:00:01.600. FFmpeg rounds the time to whole seconds, and puts the thousandths of
# the time behind that. It writes other comments as they are, and reads these as chapters.
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

STARTS_MS = (0, 1400, 1600)


def written(as_comments):
    with av.open("out.ogg", "w") as container:
        stream = container.add_stream("libopus", rate=48000, layout="mono")
        if as_comments:
            for number, start in enumerate(STARTS_MS):
                container.metadata[f"CHAPTER{number:03d}"] = f"00:00:{start // 1000:02d}.{start % 1000:03d}"
        else:
            unit = {"end": 3000, "time_base": Fraction(1, 1000), "metadata": {"title": "a"}}
            container.set_chapters([{"id": number, "start": start, **unit} for number, start in enumerate(STARTS_MS)])
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48000 * 3), np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
        resampler = av.AudioResampler("s16", "mono", 48000, 960)
        for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
            container.mux(stream.encode(piece))
    with av.open("out.ogg") as container:
        return [chapter["start"] for chapter in container.chapters()]


print("PyAV", av.__version__)
found = written(as_comments=False)
print(f"chapters at {STARTS_MS} ms are read back at {found}, as comments at {written(as_comments=True)}")
assert found == [0, 1400, 2600]
assert written(as_comments=True) == list(STARTS_MS)
PYTHON
