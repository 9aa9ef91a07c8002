#!/usr/bin/env bash
# FFmpeg 9 (in imageio-ffmpeg 0.8.1) keeps the room for the sizes of a large WAV behind `fmt `; FFmpeg 7 kept it first.
#
# With `-rf64 auto`, the muxer leaves 28 bytes of `JUNK` that become `ds64` in a file of more than 4 GiB. RF64 requires
# `ds64` to be the first chunk (EBU Tech 3306), so a program that completes the header of an unclosed file has
# to move chunks with version 9, where overwriting the name and the sizes was enough before.
# Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
for package in 0.6.0 0.8.1; do
    "$folder/venv/bin/pip" -q install "imageio-ffmpeg==$package"
    ffmpeg=$("$folder/venv/bin/python" -c 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())')
    "$ffmpeg" -version | head -n 1 | cut -d ' ' -f 1-3
    "$ffmpeg" -nostdin -v error -f lavfi -i sine=duration=0.2 -rf64 auto "$folder/$package.wav"
done
cd "$folder"
venv/bin/python - <<'PYTHON'
import struct
from pathlib import Path


def chunks(path: str) -> list[str]:
    data, place, found = Path(path).read_bytes(), 12, []
    while place + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, place)
        found.append(kind.decode())
        place += 8 + size + size % 2
    return found


old, new = chunks("0.6.0.wav"), chunks("0.8.1.wav")
print("before:", *old)
print("now:   ", *new)
assert old[:2] == ["JUNK", "fmt "]
assert new[:2] == ["fmt ", "JUNK"]
PYTHON
