#!/usr/bin/env bash
# PyAV 18.1.0 and 19.0.0 ignore `stream.time_base` of a stream that encodes: only that of its codec context counts.
#
# A screen recorder gives its pictures times in 1/1000 s and says so to the stream, as one does with FFmpeg's libraries
# before the header. But the encoder keeps the 1/30 s of `add_stream(rate=30)`, and PyAV rounds each frame to that: two
# pictures 10 ms apart get the same time, and MP4 then refuses the second. Frames without a time base of their own are
# taken for 1/30 s each, so 140 ms last over four seconds. `stream.codec_context.time_base` does what was wanted.
# Python 3.11 to 3.13 on Linux, 3.12 or newer for PyAV 19; PYTHON names one. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/times.py" <<'PYTHON'
from fractions import Fraction

import av
import numpy as np

TIMES_MS = (0, 40, 50, 60, 140)


def times_ms(on: str, frames_too: bool) -> list[int]:
    """Write pictures with the unit set on `stream` or `context`, and return the times in the file."""
    with av.open("out.mkv", "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        (stream if on == "stream" else stream.codec_context).time_base = Fraction(1, 1000)
        for pts in TIMES_MS:
            frame = av.VideoFrame.from_ndarray(np.full((180, 320, 3), 90, np.uint8), format="rgb24")
            frame.pts = pts
            if frames_too:
                frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open("out.mkv") as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        return [round(1000 * float(packet.pts * packet.time_base)) for packet in packets]


print("PyAV", av.__version__, "times in ms", list(TIMES_MS))
for frames_too in (True, False):
    stream, context = times_ms("stream", frames_too), times_ms("context", frames_too)
    have = "with" if frames_too else "without"
    print(f"frames {have} a time base: set on the stream {stream}, on the context {context}")
    assert context == list(TIMES_MS)
    assert stream == ([0, 33, 67, 67, 133] if frames_too else [0, 1333, 1667, 2000, 4667])
PYTHON
cd "$folder"
versions=(18.1.0)
"${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 12))' && versions+=(19.0.0)
for version in "${versions[@]}"; do
    "${PYTHON:-python3}" -m venv "$folder/$version"
    "$folder/$version/bin/pip" -q install av==$version numpy==2.4.6
    "$folder/$version/bin/python" times.py
done
