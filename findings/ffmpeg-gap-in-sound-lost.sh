#!/usr/bin/env bash
# FFmpeg 9 (in imageio-ffmpeg 0.8.1) leaves a gap in the sound out when it converts to WAV, FLAC or MP3.
#
# An MP4 has a second without packets of sound, as after a suspend of the computer; its times say so, players keep them,
# and so do conversions to M4A, Matroska or Ogg. WAV, FLAC and MP3 have no times, so one expects silence there. Instead
# all that follows is a second early, without a warning: a transcript or an edit that is made from the WAV no longer
# fits the picture. `-af aresample=async=1` fills the gap.
# Python 3.11 to 3.13 on Linux; PYTHON names one. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install av==18.1.0 numpy==2.4.6 imageio-ffmpeg==0.8.1
cd "$folder"
venv/bin/python - <<'PYTHON'
import subprocess
from fractions import Fraction

import av
import imageio_ffmpeg
import numpy as np

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
UNIT = Fraction(1, 48000)

with av.open("gap.mp4", "w") as container:
    encoded = container.add_stream("aac", rate=48000, layout="mono")
    sound = np.zeros((1, 1024), np.float32)
    for number in range(94):
        # A second without sound; from 2.5 s on it is loud.
        at = 1024 * number + (48000 if number >= 47 else 0)
        sound[:] = 0.5 * np.sin(np.arange(1024) / 8) if at >= 2.5 * 48000 else 0
        frame = av.AudioFrame.from_ndarray(sound, format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, at, UNIT
        container.mux(encoded.encode(frame))
    container.mux(encoded.encode(None))


def loud_from_s(path: str) -> float:
    """Return when the file becomes loud, by the times that it has."""
    with av.open(path) as container:
        start_s = next(container.decode(audio=0)).time
    with av.open(path) as container:
        for frame in container.decode(audio=0):
            samples = np.abs(frame.to_ndarray().reshape(-1).astype(float))
            samples /= 32768 if frame.format.name.startswith("s16") else 2**31 if frame.format.name[0] == "s" else 1
            if (loud := samples > 0.1).any():
                return frame.time - start_s + loud.argmax() / 48000
    raise ValueError(path)


print(subprocess.run([FFMPEG, "-version"], capture_output=True, text=True).stdout.split(" Copyright")[0])
found = {"gap.mp4": loud_from_s("gap.mp4")}
filled = ["-af", "aresample=async=1"]
for name, options in (
    ("out.m4a", []), ("out.mka", []), ("out.ogg", ["-c:a", "libopus"]), ("out.wav", []), ("out.flac", []),
    ("out.mp3", []), ("filled.wav", filled),
):  # fmt: skip
    subprocess.run([FFMPEG, "-nostdin", "-v", "error", "-i", "gap.mp4", *options, name], check=True)
    found[name] = loud_from_s(name)
for name, at_s in found.items():
    print(f"{name}: loud from {at_s:.2f} s on")
for name, at_s in found.items():
    assert abs(at_s - (1.5 if name in ("out.wav", "out.flac", "out.mp3") else 2.5)) < 0.1, name
PYTHON
