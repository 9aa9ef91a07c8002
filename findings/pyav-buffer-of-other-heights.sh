#!/usr/bin/env bash
# PyAV 18.1.0 and 19.0.0 cut and garble a picture in `from_numpy_buffer` unless its height is a multiple of four.
#
# An array of `yuv420p` has three rows for every two of the picture. `VideoFrame.from_numpy_buffer` computes the height
# as `rows // 6 * 4`: of a screen of 1680x1050 it makes 1048 rows, without an error, and takes the rows of brightness
# that are left for colour, so white turns pink. `from_ndarray`, which copies, is right for the same array.
# Python 3.11 to 3.13 on Linux, 3.12 or newer for PyAV 19; PYTHON names one. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/heights.py" <<'PYTHON'
import av
import numpy as np

WIDTH = 1680


def picture(height: int) -> np.ndarray:
    """Return white, whose colours are 128."""
    return np.concatenate([np.full(height * WIDTH, 235, np.uint8), np.full(height * WIDTH // 2, 128, np.uint8)])


def red_green_blue(frame: av.VideoFrame) -> list[int]:
    """Return the colour of the first pixel."""
    return frame.to_ndarray(format="rgb24")[0, 0].tolist()


print("PyAV", av.__version__)
for height in (1080, 1050):
    array = picture(height).reshape(-1, WIDTH)
    shared = av.VideoFrame.from_numpy_buffer(array, format="yuv420p")
    copied = av.VideoFrame.from_ndarray(array, format="yuv420p")
    print(
        f"{height} rows of white: from_numpy_buffer {shared.height} rows of {red_green_blue(shared)}, "
        f"from_ndarray {copied.height} of {red_green_blue(copied)}"
    )
    assert (copied.height, red_green_blue(copied)) == (height, [255, 255, 255])
    right = (shared.height, red_green_blue(shared)) == (height, [255, 255, 255])
    assert right == (height == 1080)
PYTHON
versions=(18.1.0)
"${PYTHON:-python3}" -c 'import sys; sys.exit(sys.version_info < (3, 12))' && versions+=(19.0.0)
for version in "${versions[@]}"; do
    "${PYTHON:-python3}" -m venv "$folder/$version"
    "$folder/$version/bin/pip" -q install av==$version numpy==2.4.6
    "$folder/$version/bin/python" "$folder/heights.py"
done
