#!/usr/bin/env bash
# In PyAV 19.0.0 a filter graph and its filters refer to each other, so only the garbage collector frees them.
#
# With PyAV 18.1.0 a graph goes when its last user lets go of it. With 19.0.0 each graph waits for the collector, and so
# does each AudioResampler that has resampled, because it holds a graph. The collector counts Python objects and not the
# native memory behind them, so a program that opens many encoders or resamplers grows until it happens to run.
# Python 3.12 or newer on Linux (there is no PyAV 19 for 3.11); PYTHON names one. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 18.1.0 19.0.0; do
    "${PYTHON:-python3}" -m venv "$folder/$version"
    "$folder/$version/bin/pip" -q install av==$version numpy==2.4.6
done
cat >"$folder/circle.py" <<'PYTHON'
import gc

import av
import av.filter
import numpy as np

gc.collect()
gc.disable()


def graphs() -> int:
    """Return how many filter graphs exist that the collector knows."""
    return sum(type(each) is av.filter.Graph for each in gc.get_objects())


def use_graph() -> None:
    graph = av.filter.Graph()
    graph.add("anullsrc").link_to(graph.add("abuffersink"))
    graph.configure()


def use_resampler() -> None:
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.float32), format="fltp", layout="mono")
    frame.sample_rate = 48000
    av.AudioResampler("s16", "mono", 16000).resample(frame)


for _ in range(10):
    use_graph()
    use_resampler()
left = graphs()
gc.collect()
print(f"PyAV {av.__version__}: {left} of 20 graphs are left without the collector, {graphs()} after it has run")
assert left == (20 if av.__version__ == "19.0.0" else 0)
assert graphs() == 0
PYTHON
for version in 18.1.0 19.0.0; do
    "$folder/$version/bin/python" "$folder/circle.py"
done
