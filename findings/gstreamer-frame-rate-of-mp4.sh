#!/usr/bin/env bash
# GStreamer 1.22 makes 16000 frames a second of a good MP4 whose pictures have no fixed rate, or one.
#
# A recording of a screen that is still for some seconds has few pictures at first, and 30 a second later. MP4 states no
# frame rate, and GStreamer's demuxer makes one up: from the unit of time of this plain file, from the first pictures of
# this fragmented one. It passes all of them at their times, but whatever goes by the rate, such as `videorate`,
# multiplies or drops them. Of the same pictures in Matroska, which states a rate, none is lost. Behind `videorate`, ask
# for a rate: `video/x-raw,framerate=30/1`.
# Needs GStreamer's gst-launch-1.0 with its good and libav plugins on PATH (tried with Debian 12's 1.22.0), and Python
# 3.11 to 3.13; PYTHON names one. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install av==18.1.0 numpy==2.4.6
cd "$folder"
export HOME=$folder XDG_CACHE_HOME=$folder
venv/bin/python - <<'PYTHON'
from fractions import Fraction

import av
import numpy as np

UNIT = Fraction(1, 16_000)
TIMES_S = [0, 1, 2, 3, 4, *(5 + number / 30 for number in range(90))]
files = {"plain.mp4": {}, "fragmented.mp4": {"movflags": "frag_keyframe+empty_moov+delay_moov"}, "stated.mkv": {}}
for name, options in files.items():
    with av.open(name, "w", options=options) as container:
        stream = container.add_stream("libx264", rate=30, options={"bf": "0", "g": "30"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.time_base = UNIT
        for number, time_s in enumerate(TIMES_S):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = round(time_s / UNIT), UNIT
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
PYTHON
gst-launch-1.0 --version | sed -n 2p
frames() { # frames FILE ELEMENT…: print how many frames come out at the end
    gst-launch-1.0 -v filesrc location="$1" ! decodebin ! videoconvert "${@:2}" ! \
        fakesink silent=false sync=false 2>>log | grep -c 'last-message = chain'
}
for name in plain.mp4 fragmented.mp4 stated.mkv; do
    plain=$(frames $name)
    rated=$(frames $name ! videorate)
    chosen=$(frames $name ! videorate ! video/x-raw,framerate=30/1)
    echo "$name, 95 pictures in 8 s: passed $plain, with videorate $rated, with videorate at 30/1 $chosen"
    [ "$plain" = 95 ] && [ "$chosen" -gt 235 ] && [ "$chosen" -lt 245 ]
    case $name in
    plain.mp4) [ "$rated" -gt 100000 ] ;;
    fragmented.mp4) [ "$rated" -lt 20 ] ;;
    stated.mkv) [ "$rated" -gt 235 ] && [ "$rated" -lt 245 ] ;;
    esac
done
