#!/usr/bin/env bash
# PyAV 18.1.0 never closes the file of an output container that was not closed itself.
#
# A container and its streams hold each other, so that going out of scope, for instance because an exception went
# past, frees nothing at once. A full garbage collection ends the encoders' threads, but the file's descriptor stays
# open for the life of the process. close() frees everything at once, without a collection.
# Python 3.11 to 3.13 on Linux. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install av==18.1.0
cd "$folder"
venv/bin/python - <<'PYTHON'
import gc
import os

import av


def held() -> tuple[int, int]:
    """Return how many threads and descriptors this process has, after a full collection."""
    gc.collect()
    return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))


def record(close: bool) -> None:
    container = av.open("out.mp4", "w")
    stream = container.add_stream("libx264", rate=30)
    stream.width = stream.height = 256
    stream.codec_context.thread_count = 4
    for pts in range(5):
        frame = av.VideoFrame(256, 256, "yuv420p")
        frame.pts = pts
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
    if close:
        container.close()


print("PyAV", av.__version__)
before = held()
for close in (True, False):
    for _ in range(5):
        record(close)
    now = held()
    print(f"five containers, {'closed' if close else 'not closed'}: {now[0] - before[0]} threads"
          f" and {now[1] - before[1]} descriptors more")
    assert (now == before) if close else (now == (before[0], before[1] + 5))
PYTHON
