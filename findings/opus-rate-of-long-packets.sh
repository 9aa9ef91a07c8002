#!/usr/bin/env bash
# libopus 1.6.1 (in PyAV 18.1.0) exceeds a bit rate by up to nine tenths, but never in packets of more than 20 ms.
#
# A sawtooth at 128 kb/s takes 242 in packets of 20 ms and 128 in those of 40 or 60, which one would expect to differ by
# their headers alone. By default the rate is variable, and a tonal sound gets up to twice the bits. But a longer packet
# is made of frames of 20 ms, and since libopus 1.5 each of them may take no more than its share of the rate: there a
# variable rate can only save. So the length of the packets, which is chosen for delay, decides size and quality.
# `vbr=constrained` keeps to the rate with all of them.
# Python 3.11 to 3.13 on Linux. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install av==18.1.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import ctypes
from pathlib import Path

import av
import numpy as np

RATE, SECONDS, ASKED_KBPS = 48_000, 5, 128

times = np.arange(SECONDS * RATE) / RATE
sawtooth = 0.2 * sum(np.sin(2 * np.pi * 220 * n * times) / n for n in range(1, 30))
noise = np.random.default_rng(1).normal(0, 0.1, times.shape)


def rate_kbps(sound: np.ndarray, **options: str) -> float:
    """Return the bit rate of a sound that is the same on both sides."""
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = RATE, "stereo", "flt"
    encoder.bit_rate, encoder.options = ASKED_KBPS * 1000, options
    encoder.open()
    size = count = 0
    for at in range(0, len(sound) - encoder.frame_size + 1, encoder.frame_size):
        block = np.repeat(sound[at : at + encoder.frame_size], 2).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(block.reshape(1, -1), format="flt", layout="stereo")
        frame.sample_rate, frame.pts = RATE, at
        size += sum(packet.size for packet in encoder.encode(frame))
        count += encoder.frame_size
    return size * 8 / count * RATE / 1000


(path,) = (Path(av.__file__).parent.parent / "av.libs").glob("libopus-*")
library = ctypes.CDLL(str(path))
library.opus_get_version_string.restype = ctypes.c_char_p
print(f"PyAV {av.__version__}, {library.opus_get_version_string().decode()}")
for name, sound in (("sawtooth", sawtooth), ("noise", noise)):
    rates = {ms: rate_kbps(sound, frame_duration=str(ms)) for ms in (20, 40, 60)}
    bound = {ms: rate_kbps(sound, frame_duration=str(ms), vbr="constrained") for ms in (20, 60)}
    text = ", ".join(f"{ms} ms: {rate:.0f}" for ms, rate in rates.items())
    print(f"{name} at {ASKED_KBPS} kb/s, packets of {text}; constrained {bound[20]:.0f} and {bound[60]:.0f}")
    assert max(rates[40], rates[60], *bound.values()) < 1.02 * ASKED_KBPS
    if name == "sawtooth":
        assert rates[20] > 1.5 * rates[60]
PYTHON
