#!/usr/bin/env bash
# FFmpeg 9.0 (in imageio-ffmpeg 0.8.1) seeks to wrong frames in a fragmented MP4 whose index (`sidx`) has one entry for
# several fragments, if the index reaches the end of the file.
#
# ISO/IEC 14496-12 lets a subsegment, which an entry of the index describes, consist of several `moof` and `mdat`.
# FFmpeg takes each entry for one fragment. If the last entry ends with the file, it takes the index for complete and
# looks no further: some seeks then show frames of another time. The same file with an empty box at its end, or without
# an index, is read right.
# Python 3.11 to 3.13 on Linux. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install imageio-ffmpeg==0.8.1
cd "$folder"
venv/bin/python - <<'PYTHON'
import struct
import subprocess

import imageio_ffmpeg

PROGRAM = imageio_ffmpeg.get_ffmpeg_exe()
MOMENTS_S = [0.05 + 0.7 * number for number in range(14)]


def ffmpeg(*words):
    return subprocess.run([PROGRAM, "-loglevel", "error", "-y", *words], check=True, capture_output=True).stdout


def boxes(data, begin=0, end=None):
    at, end = begin, len(data) if end is None else end
    while at < end:
        size, name = struct.unpack_from(">I4s", data, at)
        yield name, at, at + size
        at += size


def inside(data, names, begin=0, end=None):
    for name, at, to in boxes(data, begin, end):
        if name == names[0]:
            return inside(data, names[1:], at + 8, to) if names[1:] else (at, to)


def frame_at(path, moment_s):
    return ffmpeg("-ss", f"{moment_s:.3f}", "-i", path, "-frames:v", "1", "-f", "md5", "-")


# Ten frames a second with a key frame each two seconds, and fragments of half a second.
flags = "frag_keyframe+empty_moov+default_base_moof+skip_trailer"
made = ["-f", "lavfi", "-i", "testsrc2=size=320x240:rate=10:duration=10", "-c:v", "libx264", "-g", "20", "-bf", "0"]
ffmpeg(*made, "-movflags", flags, "-frag_duration", "500000", "plain.mp4")
plain = open("plain.mp4", "rb").read()
first, _ = inside(plain, [b"moof"])
media, _ = inside(plain, [b"moov", b"trak", b"mdia", b"mdhd"])
timescale = struct.unpack_from(">I", plain, media + 20)[0]
moofs = [at for name, at, _ in boxes(plain) if name == b"moof"]
starts = []
for at in moofs:
    place, _ = inside(plain, [b"moof", b"traf", b"tfdt"], at)
    starts.append(struct.unpack_from(">Q", plain, place + 12)[0])
keys = [number for number, start in enumerate(starts) if start % (2 * timescale) == 0]
edges = [*(moofs[number] for number in keys), len(plain)]
times = [*(starts[number] for number in keys), 10 * timescale]
index = struct.pack(">IIIIIHH", 0, 1, timescale, 0, 0, 0, len(keys))
for number in range(len(keys)):
    index += struct.pack(">III", edges[number + 1] - edges[number], times[number + 1] - times[number], 0x90000000)
index = struct.pack(">I4s", len(index) + 8, b"sidx") + index
open("indexed.mp4", "wb").write(plain[:first] + index + plain[first:])
open("longer.mp4", "wb").write(plain[:first] + index + plain[first:] + struct.pack(">I4s", 8, b"free"))

print(ffmpeg("-version").decode().splitlines()[0][:24], f"{len(moofs)} fragments, {len(keys)} entries")
right = [frame_at("plain.mp4", moment_s) for moment_s in MOMENTS_S]


def wrong(path):
    return [round(at_s, 2) for at_s, frame in zip(MOMENTS_S, right, strict=True) if frame_at(path, at_s) != frame]


print(f"other frames at {wrong('indexed.mp4')} s of {len(right)} moments; with a box behind: {wrong('longer.mp4')}")
assert (len(moofs), len(keys)) == (20, 5)
assert wrong("indexed.mp4") and not wrong("longer.mp4")
PYTHON
