#!/usr/bin/env bash
# PyAV 18.1.0 and 19.0.0 encode RGB pictures with the colours of BT.601, also if the encoder was told BT.709.
#
# `codec_context.colorspace = 1` marks the file, as one does for HD. `encode` converts an RGB frame to the pixel format
# of the encoder, which has the marks, but it converts by swscale's default. So every player that obeys the mark shows
# other colours, PyAV's own reader included: a red of 200, 30, 60 becomes 212, 46, 57. To make pixels and marks agree,
# call `reformat(dst_colorspace=..., dst_color_range=...)` before `encode`.
# Python 3.11 to 3.13 on Linux, 3.12 or newer for PyAV 19; PYTHON names one. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/colours.py" <<'PYTHON'
import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

RED = (200, 30, 60)


def shown(reformat_first: bool) -> list[int]:
    """Write a red picture of 1280x720 that is marked BT.709, and return the colour that is read from it."""
    with av.open("out.mp4", "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"qp": "1"})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = 1
        context.color_range = ColorRange.MPEG
        frame = av.VideoFrame.from_ndarray(np.full((720, 1280, 3), RED, np.uint8), format="rgb24")
        if reformat_first:
            frame = frame.reformat(
                format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
            )
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open("out.mp4") as container:
        picture = next(container.decode(video=0))
        assert picture.colorspace == Colorspace.ITU709
        return picture.to_ndarray(format="rgb24")[360, 640].tolist()


def distance(colour: list[int]) -> int:
    return max(abs(one - other) for one, other in zip(colour, RED, strict=True))


print("PyAV", av.__version__)
encoded, reformatted = shown(False), shown(True)
print(f"{list(RED)}, marked BT.709: encoded as RGB {encoded}, reformatted first {reformatted}")
assert distance(encoded) > 10 and distance(reformatted) <= 3
PYTHON
cd "$folder"
versions=(18.1.0)
"${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 12))' && versions+=(19.0.0)
for version in "${versions[@]}"; do
    "${PYTHON:-python3}" -m venv "$folder/$version"
    "$folder/$version/bin/pip" -q install av==$version numpy==2.4.6
    "$folder/$version/bin/python" colours.py
done
