#!/usr/bin/env bash
# PyAV 18.1.0 and 19.0.0 stretch each picture to the size of the encoder, which is 640x480 if nobody sets one.
#
# A window that is resized while it is recorded gives pictures of another size. FFmpeg's libx264 refuses those, so one
# expects an error; PyAV scales them first, without keeping their shape, and says nothing: here a circle of 180x180
# becomes 320 wide and 90 high. It is the same for the first picture: an encoder whose size was forgotten does not take
# it from there, as other wrappers do. Compare the size of each frame with the context's yourself.
# Python 3.11 to 3.13 on Linux, 3.12 or newer for PyAV 19; PYTHON names one. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/sizes.py" <<'PYTHON'
import av
import numpy as np


def circle(width: int, height: int) -> av.VideoFrame:
    """Return white on black, as wide as it is high."""
    y, x = np.mgrid[:height, :width]
    inside = (x - width / 2) ** 2 + (y - height / 2) ** 2 < 90**2
    return av.VideoFrame.from_ndarray(np.where(inside, 255, 0).astype(np.uint8), format="gray")


def recorded(size: tuple[int, int] | None) -> list[str]:
    """Record two sizes of a window, and describe the pictures in the file."""
    with av.open("out.mp4", "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"qp": "4"})
        stream.pix_fmt = "yuv420p"
        if size:
            stream.width, stream.height = size
        for pts, (width, height) in enumerate(((320, 180), (180, 360))):
            frame = circle(width, height)
            frame.pts = pts
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    found = []
    with av.open("out.mp4") as container:
        for frame in container.decode(video=0):
            white = frame.to_ndarray(format="gray") > 128
            found.append(f"{frame.width}x{frame.height} circle {white.any(0).sum()}x{white.any(1).sum()}")
    return found


print("PyAV", av.__version__)
chosen, forgotten = recorded((320, 180)), recorded(None)
print(f"320x180, then 180x360, each with a circle of 180x180: set {chosen}, not set {forgotten}")
assert chosen[0].startswith("320x180 circle 1") and chosen[1].startswith("320x180 circle 3"), chosen
assert all(text.startswith("640x480") for text in forgotten)
PYTHON
cd "$folder"
versions=(18.1.0)
"${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 12))' && versions+=(19.0.0)
for version in "${versions[@]}"; do
    "${PYTHON:-python3}" -m venv "$folder/$version"
    "$folder/$version/bin/pip" -q install av==$version numpy==2.4.6
    "$folder/$version/bin/python" sizes.py
done
