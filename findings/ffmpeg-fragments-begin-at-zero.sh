#!/usr/bin/env bash
# FFmpeg 8 (in PyAV 18.1.0 and 19.0.0) puts a track that begins later at the start of a fragmented MP4.
#
# The sound begins half a second before the picture, as where a grabber starts slowly. The header of a fragmented MP4 is
# written before it is known when tracks begin, but each fragment states its time, so one expects all to be right. With
# `cmaf` the whole picture comes half a second early, beside the sound. With `empty_moov` the first picture, and only
# it, moves to 0. `delay_moov` keeps the times, and also the edit list that drops the encoder's first 21 ms of sound.
# Python 3.11 to 3.13 on Linux, 3.12 or newer for PyAV 19; PYTHON names one. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/late.py" <<'PYTHON'
from fractions import Fraction

import av
import numpy as np

LATE_MS = 500


def pictures_ms(flags: str) -> list[int]:
    """Write two seconds, and return when the first three pictures are shown, counted from the start of the sound."""
    with av.open("out.mp4", "w", options={"movflags": flags} if flags else {}) as container:
        video = container.add_stream("libx264", rate=30, options={"bf": "0", "g": "20"})
        video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        audio = container.add_stream("aac", rate=48000, layout="mono")
        for number in range(50):
            picture = av.VideoFrame.from_ndarray(np.full((180, 320, 3), number, np.uint8), format="rgb24")
            picture.pts, picture.time_base = LATE_MS + 40 * number, Fraction(1, 1000)
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1920), np.float32), format="fltp", layout="mono")
            sound.sample_rate, sound.pts, sound.time_base = 48000, 1920 * number, Fraction(1, 48000)
            container.mux(audio.encode(sound))
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    with av.open("out.mp4") as container:
        sound_s = next(container.decode(audio=0)).time
    with av.open("out.mp4") as container:
        return [round(1000 * (picture.time - sound_s)) for picture in container.decode(video=0)][:3]


print("PyAV", av.__version__, "pictures at 500, 540, 580 ms")
expected = {
    "": [500, 540, 580],
    "frag_keyframe+delay_moov": [500, 540, 580],
    "frag_keyframe+empty_moov": [0, 561, 601],
    "cmaf": [0, 40, 80],
    "cmaf+delay_moov": [500, 540, 580],
}
for flags, times_ms in expected.items():
    found = pictures_ms(flags)
    print(f"movflags={flags or 'none'}: {found}")
    assert all(abs(one - other) <= 1 for one, other in zip(found, times_ms, strict=True))
PYTHON
cd "$folder"
versions=(18.1.0)
"${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 12))' && versions+=(19.0.0)
for version in "${versions[@]}"; do
    "${PYTHON:-python3}" -m venv "$folder/$version"
    "$folder/$version/bin/pip" -q install av==$version numpy==2.4.6
    "$folder/$version/bin/python" late.py
done
