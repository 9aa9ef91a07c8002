#!/usr/bin/env bash
# PyAV 18.1.0 and 19.0.0 make a key frame of each picture when they encode what was decoded from Motion JPEG.
#
# A decoded frame carries the type that it had in its file (`pict_type`), and libx264 takes it for an order. FFmpeg's
# own program clears it; PyAV does not, and `reformat` copies it. So a still picture from a camera, encoded again with
# a key frame each 250 pictures, is ten times as large, and from H.264 the key frames stay where they were, whatever `g`
# says. Set `frame.pict_type` to NONE before you encode.
# Python 3.11 to 3.13 on Linux, 3.12 or newer for PyAV 19; PYTHON names one. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/again.py" <<'PYTHON'
from collections.abc import Iterable
from fractions import Fraction

import av
import numpy as np
from av.video.frame import PictureType


def write(path: str, codec: str, form: str, frames: Iterable[av.VideoFrame], options: dict[str, str]) -> None:
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=30, options=options)
        stream.width, stream.height, stream.pix_fmt = 320, 240, form
        for pts, frame in enumerate(frames):
            frame.pts, frame.time_base = pts, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def again(path: str, cleared: bool) -> tuple[int, int]:
    """Encode the file again with few key frames, and return how many there are, and the bytes."""
    with av.open(path) as container:
        frames = [frame.reformat(format="yuv420p") for frame in container.decode(video=0)]
    for frame in frames:
        frame.pict_type = PictureType.NONE if cleared else frame.pict_type
    write("again.mkv", "libx264", "yuv420p", frames, {"g": "250"})
    with av.open("again.mkv") as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    return sum(packet.is_keyframe for packet in packets), sum(packet.size for packet in packets)


print("PyAV", av.__version__)
still = np.random.default_rng(1).integers(0, 256, (240, 320, 3), np.uint8)
for codec, form, options in (("mjpeg", "yuvj420p", {}), ("libx264", "yuv420p", {"g": "5"})):
    source = (av.VideoFrame.from_ndarray(still, format="rgb24") for _ in range(60))
    write("source.mkv", codec, form, source, options)
    (kept, kept_bytes), (cleared, cleared_bytes) = again("source.mkv", False), again("source.mkv", True)
    print(f"60 pictures from {codec}: {kept} key frames in {kept_bytes} bytes; cleared: {cleared} in {cleared_bytes}")
    assert (kept, cleared) == (60 if codec == "mjpeg" else 12, 1)
    assert kept_bytes > 5 * cleared_bytes
PYTHON
cd "$folder"
versions=(18.1.0)
"${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 12))' && versions+=(19.0.0)
for version in "${versions[@]}"; do
    "${PYTHON:-python3}" -m venv "$folder/$version"
    "$folder/$version/bin/pip" -q install av==$version numpy==2.4.6
    "$folder/$version/bin/python" again.py
done
