#!/usr/bin/env bash
# In PyAV 18.1.0 and 19.0.0 a stream that somebody still holds keeps its encoder, after the container was closed.
#
# `container.close()` writes the end of the file, but the codec context is freed with the last reference to the stream.
# Until then x264's threads exist, and the pictures that it has allocated: tens of megabytes at 1080p, for as long as an
# object that describes the track lives. With PyAV 18, all of it goes with the stream; with 19, a stream and its
# `index_entries` refer to each other, so the garbage collector has to run as well.
# Python 3.12 or newer on Linux (there is no PyAV 19 for 3.11); PYTHON names one. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/keeps.py" <<'PYTHON'
import gc
import os

import av
import numpy as np

started = len(os.listdir("/proc/self/task"))


def threads() -> int:
    """Return how many threads there are more than at the start."""
    return len(os.listdir("/proc/self/task")) - started


def resident_mb() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


container = av.open("-", "w", format="null")
stream = container.add_stream("libx264", rate=30, options={"threads": "4", "preset": "ultrafast"})
stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
for _ in range(8):
    stream.encode(av.VideoFrame.from_ndarray(np.zeros((1080, 1920, 3), np.uint8), format="rgb24"))
stream.encode(None)
container.close()
gc.collect()
closed, closed_mb = threads(), resident_mb()
del stream
alone = threads()
gc.collect()
print(
    f"PyAV {av.__version__}: closed, {closed} threads of the encoder; without the stream {alone}, "
    f"collected {threads()}, and {closed_mb - resident_mb():.0f} MB less"
)
assert closed >= 4 and threads() == 0
assert (alone == 0) == av.__version__.startswith("18.")
PYTHON
for version in 18.1.0 19.0.0; do
    "${PYTHON:-python3}" -m venv "$folder/$version"
    "$folder/$version/bin/pip" -q install av==$version numpy==2.4.6
    "$folder/$version/bin/python" "$folder/keeps.py"
done
