#!/usr/bin/env bash
# PyAV 19.0.0 takes no stream of a closed container as a template; PyAV 18.1.0 takes that of an encoder.
#
# Who encodes first and writes files later keeps an encoder's stream as the template for them, and closes the container
# that it was made in. With PyAV 19 `add_stream_from_template` then raises AssertionError, which names no stream: keep
# that container open, or copy the stream into one of your own while it is open.
# Python 3.12 or newer on Linux (there is no PyAV 19 for 3.11); PYTHON names one. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 18.1.0 19.0.0; do
    "${PYTHON:-python3}" -m venv "$folder/$version"
    "$folder/$version/bin/pip" -q install av==$version numpy==2.4.6
done
cat >"$folder/template.py" <<'PYTHON'
import av
import numpy as np

encoding = av.open("-", "w", format="null")
stream = encoding.add_stream("libopus", rate=48000)
frame = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.float32), format="fltp", layout="mono")
frame.sample_rate, frame.pts = 48000, 0
stream.encode(frame)
stream.encode(None)
copy = av.open("-", "w", format="null").add_stream_from_template(stream, opaque=True)
encoding.close()


def result(template: object) -> str:
    try:
        return av.open("-", "w", format="null").add_stream_from_template(template).codec_context.name
    except AssertionError as problem:
        return f"AssertionError: {problem}"


found = result(stream), result(copy)
print(f"PyAV {av.__version__}: encoder's stream, container closed: {found[0]}; copy in an open one: {found[1]}")
assert found[0].startswith("AssertionError") == (av.__version__ == "19.0.0")
assert found[1] in ("libopus", "opus")
PYTHON
for version in 18.1.0 19.0.0; do
    "$folder/$version/bin/python" "$folder/template.py"
done
