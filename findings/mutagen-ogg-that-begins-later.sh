#!/usr/bin/env bash
# mutagen 1.48.1 says that three seconds of Ogg/Opus last 123 if their times begin at two minutes.
#
# A piece of a stream that runs on, such as a replay or a listener's recording of a radio, may keep its times: RFC 7845
# (4.5) lets the first granule position be larger than what came before it, just for that. libsndfile and GStreamer find
# the three seconds that are there. mutagen takes the last position alone for the length, and so does MediaInfo:
# libraries of music and seek bars then show two minutes more. Begin a file's times at 0 when you write it.
# Python 3.11 to 3.13 on Linux; PYTHON names one. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install av==18.1.0 numpy==2.4.6 mutagen==1.48.1 soundfile==0.14.0 pymediainfo==7.0.1
cd "$folder"
venv/bin/python - <<'PYTHON'
from fractions import Fraction

import av
import mutagen
import numpy as np
import soundfile
from mutagen.oggopus import OggOpus
from pymediainfo import MediaInfo


def lengths_s(begins_s: int) -> dict[str, float]:
    """Write three seconds whose times begin there, and return how long the file is for each library."""
    with av.open("out.ogg", "w") as container:
        stream = container.add_stream("libopus", rate=48000, layout="mono")
        for number in range(150):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.time_base = 48000, Fraction(1, 48000)
            frame.pts = 48000 * begins_s + 960 * number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return {
        "libsndfile": soundfile.info("out.ogg").duration,
        "mutagen": OggOpus("out.ogg").info.length,
        "MediaInfo": float(MediaInfo.parse("out.ogg").audio_tracks[0].duration) / 1000,
    }


print("mutagen", mutagen.version_string)
usual, later = lengths_s(0), lengths_s(120)
print(f"three seconds from 0 s on: {usual}; from 120 s on: {later}")
assert all(abs(length_s - 3) < 0.05 for length_s in usual.values())
assert abs(later["libsndfile"] - 3) < 0.05
assert all(abs(later[name] - 123) < 0.05 for name in ("mutagen", "MediaInfo"))
PYTHON
