#!/usr/bin/env bash
# FFmpeg 9 (in imageio-ffmpeg 0.8.1) counts an MP4 in the common multiple of its sounds' rates; FFmpeg 7 in 1/1000 s.
#
# With sound at 48 and at 44.1 kHz, the movie header counts in 1/7056000 s; with sound at 48 kHz alone in 1/48000 s.
# Lengths of 32 bits, as in edit lists and headers of version 0, end after ten minutes in the first case. And a program
# that adds a track to a finished file, such as a text track for chapters, has to read the unit from `mvhd`.
# `-movie_timescale 1000` brings back the old one.
# Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
for package in 0.6.0 0.8.1; do
    "$folder/venv/bin/pip" -q install "imageio-ffmpeg==$package"
    ffmpeg=$("$folder/venv/bin/python" -c 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())')
    "$ffmpeg" -version | head -n 1 | cut -d ' ' -f 1-3
    made=(-nostdin -v error -f lavfi -i sine=duration=1:sample_rate=48000)
    made+=(-f lavfi -i sine=duration=1:sample_rate=44100 -map 0 -map 1 -c:a aac)
    "$ffmpeg" "${made[@]}" "$folder/$package.mp4"
    "$ffmpeg" "${made[@]}" -movie_timescale 1000 "$folder/$package-told.mp4"
done
cd "$folder"
venv/bin/python - <<'PYTHON'
import struct
from pathlib import Path


def units_per_s(path: str) -> int:
    data = Path(path).read_bytes()
    at = data.index(b"mvhd") + 4
    return struct.unpack_from(">I", data, at + (20 if data[at] else 12))[0]


found = {name: units_per_s(f"{name}.mp4") for name in ("0.6.0", "0.8.1", "0.8.1-told")}
for name, units in found.items():
    print(f"{name}: {units} units a second")
assert found == {"0.6.0": 1000, "0.8.1": 7_056_000, "0.8.1-told": 1000}
PYTHON
