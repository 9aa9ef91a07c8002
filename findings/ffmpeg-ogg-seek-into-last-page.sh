#!/usr/bin/env bash
# FFmpeg 8 (in PyAV 18.1.0) drops the sound after a seek into the last page of an Ogg/Opus file.
#
# Eight seconds of Opus in packets of 60 ms, as voice notes have, and pages of a second are read to the end; then the
# same container seeks back by a fraction of a second. The demuxer counts on from where it was and takes what is beyond
# the end of the file for padding: each packet gets a length of one sample, and the decoder drops the rest of it. A
# container that is opened again counts right.
# Python 3.11 to 3.13 on Linux. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install av==18.1.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import av
import numpy as np

RATE = 48_000

with av.open("out.ogg", "w") as container:
    stream = container.add_stream("libopus", rate=RATE, layout="mono", options={"frame_duration": "60"})
    tone = (0.2 * np.sin(np.arange(8 * RATE) / 17)).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(tone.reshape(1, -1), format="flt", layout="mono")
    frame.sample_rate, frame.pts = RATE, 0
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def samples_from(at: int, *, after_reading_all: bool) -> int:
    """Return how many samples are decoded after a seek."""
    with av.open("out.ogg") as container:
        stream = container.streams.audio[0]
        if after_reading_all:
            for _ in container.demux(stream):
                pass
        container.seek(at, stream=stream)
        return sum(frame.samples for frame in container.decode(stream))


print("PyAV", av.__version__)
at = round(7.9 * RATE)
fresh, used = (samples_from(at, after_reading_all=each) for each in (False, True))
print(f"decoded from the last page on: {fresh} samples by a new container, {used} by one that has read the file")
assert fresh > 1000 > used
PYTHON
