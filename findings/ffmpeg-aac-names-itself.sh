#!/usr/bin/env bash
# FFmpeg 9.0 (in imageio-ffmpeg 0.8.1) writes its version into the sound of AAC, where clearing metadata leaves it.
#
# The first packet and each 256th after it begin with a fill element that says "Lavc" and the version, so packets of the
# same silence are not the same, and a program that takes the first bits of a packet for those of its channels is wrong.
# `-map_metadata -1 -fflags +bitexact` cleans the container alone, and copying the stream keeps the name: sound that is
# the same differs from version to version of FFmpeg. The encoder's own flag, `-flags:a +bitexact`, leaves it out.
# Python 3.11 to 3.13 on Linux. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install imageio-ffmpeg==0.8.1 av==18.1.0
cd "$folder"
venv/bin/python - <<'PYTHON'
import re
import subprocess

import av
import imageio_ffmpeg

PROGRAM = imageio_ffmpeg.get_ffmpeg_exe()
SILENCE = ["-f", "lavfi", "-i", "anullsrc=sample_rate=48000", "-t", "15", "-c:a", "aac"]


def ffmpeg(*words: str) -> None:
    subprocess.run([PROGRAM, "-nostdin", "-loglevel", "error", "-y", *words], check=True)


def packets(path: str) -> list[bytes]:
    with av.open(path) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def named(path: str) -> list[int]:
    """Return the numbers of the packets that have the encoder's name."""
    return [number for number, packet in enumerate(packets(path)) if b"Lavc" in packet]


print(subprocess.run([PROGRAM, "-version"], capture_output=True, text=True, check=True).stdout[:21])
clean = ["-map_metadata", "-1", "-fflags", "+bitexact"]
ffmpeg(*SILENCE, *clean, "silence.m4a")
ffmpeg("-i", "silence.m4a", *clean, "-c", "copy", "copy.m4a")
ffmpeg(*SILENCE, *clean, "-flags:a", "+bitexact", "exact.m4a")
name = re.search(rb"Lavc[0-9.]+", packets("silence.m4a")[0]).group().decode()
found, copied, exact = (named(f"{path}.m4a") for path in ("silence", "copy", "exact"))
print(f"{name} is in packets {found} of {len(packets('silence.m4a'))}; copied: {copied}, with bitexact: {exact}")
assert found == copied == [0, 256, 512]
assert exact == []
PYTHON
