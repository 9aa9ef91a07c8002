#!/usr/bin/env bash
# PyAV 18.1.0 and 19.0.0 change a packet that they write: its times are then in the unit of that file.
#
# A recorder that encodes once and writes two files, such as Matroska to be safe and MP4 to be sent, gives each packet
# to `mux` twice. The first call converts the packet's own `pts`, `dts`, `duration` and `time_base`: the MP4 gets times
# that were rounded to Matroska's milliseconds, and a caller that goes on counting in its own unit is wrong by 90 times.
# Written to the MP4 first, the times are right. Give each container a copy that has the times of the original.
# Python 3.11 to 3.13 on Linux, 3.12 or newer for PyAV 19; PYTHON names one. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/twice.py" <<'PYTHON'
from fractions import Fraction

import av
import numpy as np

UNIT = Fraction(1, 90_000)
TIMES = [0, 1501, 3003, 4504, 6006]


def write(paths: list[str]) -> tuple[list[str], list[int]]:
    """Write all files from the same packets; return what the second one says after each, and the MP4's times."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base, encoder.framerate = 320, 180, "yuv420p", UNIT, 60
    encoder.options = {"tune": "zerolatency"}
    containers = [av.open(path, "w") for path in paths]
    streams = []
    for container in containers:
        stream = container.add_stream("libx264", rate=60)
        stream.width, stream.height, stream.pix_fmt, stream.codec_context.time_base = 320, 180, "yuv420p", UNIT
        streams.append(stream)
    after = []
    for pts in TIMES:
        frame = av.VideoFrame.from_ndarray(np.full((180, 320, 3), pts % 250, np.uint8), format="rgb24")
        frame.pts, frame.time_base = pts, UNIT
        for packet in encoder.encode(frame):
            for path, container, stream in zip(paths, containers, streams, strict=True):
                packet.stream = stream
                container.mux(packet)
                if pts == TIMES[1]:
                    after.append(f"{path} {packet.pts}/{packet.time_base.denominator}")
    for container in containers:
        container.close()
    with av.open("out.mp4") as container:
        unit = container.streams.video[0].time_base
        return after, [int(packet.pts * unit / UNIT) for packet in container.demux(video=0) if packet.size]


print("PyAV", av.__version__, "times in 1/90000 s", TIMES)
safe_first, mp4_first = write(["out.mkv", "out.mp4"]), write(["out.mp4", "out.mkv"])
for after, times in (safe_first, mp4_first):
    print(f"the second packet after each file: {after}; times in the MP4 {times}")
assert safe_first == (["out.mkv 17/1000", "out.mp4 1530/90000"], [0, 1530, 2970, 4500, 6030])
assert mp4_first == (["out.mp4 1501/90000", "out.mkv 17/1000"], TIMES)
PYTHON
cd "$folder"
versions=(18.1.0)
"${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 12))' && versions+=(19.0.0)
for version in "${versions[@]}"; do
    "${PYTHON:-python3}" -m venv "$folder/$version"
    "$folder/$version/bin/pip" -q install av==$version numpy==2.4.6
    "$folder/$version/bin/python" twice.py
done
