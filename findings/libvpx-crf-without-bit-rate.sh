#!/usr/bin/env bash
# FFmpeg 8 (in PyAV 18.1.0) gives VP8 of any size 256 kb/s, whatever `crf` says, unless a bit rate is set as well.
#
# With libx264, and with VP9 in the same library, `crf` alone asks for a quality, and the size follows. With VP8 it only
# limits the quality of what fits in the bit rate, and that is 256 kb/s by default: `crf` of 10, 30 and 50 make the same
# file, and a large screen with moving text is unreadable in all. With a bit rate that is never reached, `crf` decides.
# Python 3.11 to 3.13 on Linux; PYTHON names one. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install av==18.1.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import av
import numpy as np

NOISE = np.random.default_rng(1).integers(0, 256, (180, 440, 3), np.uint8)
QUICK = {"deadline": "good", "cpu-used": "5"}


def rate_kbps(codec: str, crf: int, bit_rate: int | None = None) -> int:
    """Encode two seconds of noise that moves sideways, and return the bit rate of the file."""
    with av.open("out.mkv", "w") as container:
        stream = container.add_stream(codec, rate=30, options={"crf": str(crf), **QUICK})
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        if bit_rate is not None:
            stream.bit_rate = bit_rate
        for pts in range(60):
            picture = np.ascontiguousarray(NOISE[:, pts : pts + 320])
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = pts
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open("out.mkv") as container:
        return round(sum(packet.size for packet in container.demux(video=0)) * 8 / 2 / 1000)


print("PyAV", av.__version__, "kb/s by crf")
found = {}
for codec, bit_rate in (("libvpx", None), ("libvpx", 50_000_000), ("libvpx-vp9", None)):
    found[codec, bit_rate] = rates = [rate_kbps(codec, crf, bit_rate) for crf in (10, 30, 50)]
    print(f"{codec}, bit rate {bit_rate}: {dict(zip((10, 30, 50), rates, strict=True))}")
assert len(set(found["libvpx", None])) == 1
for rates in (found["libvpx", 50_000_000], found["libvpx-vp9", None]):
    assert rates[0] > 1.5 * rates[1] > 2 * rates[2]
PYTHON
