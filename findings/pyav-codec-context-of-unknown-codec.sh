#!/usr/bin/env bash
# PyAV 18.1.0 gives a track whose codec FFmpeg does not know `codec_context` None, which its type hints rule out.
#
# `AudioStream.codec_context` is declared as `AudioCodecContext`. For a WAV file with a format tag that FFmpeg has no
# codec for, the stream is listed with its type, but its context is None, and reading an attribute that the stream
# passes on, such as `sample_rate`, raises AttributeError as if streams of sound had none. Ask for None before use.
# Linux, Python 3.11 or newer; PYTHON names one. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/env"
"$folder/env/bin/pip" -q install av==18.1.0
cat >"$folder/unknown.py" <<'PYTHON'
import inspect
import struct
import sys
from pathlib import Path

import av

# One channel, 16000 bytes a second; no codec has the tag 0x1234.
layout = struct.pack("<HHIIHH", 0x1234, 1, 16000, 16000, 1, 8)
samples = bytes(16000)
body = b"WAVEfmt " + struct.pack("<I", len(layout)) + layout + b"data" + struct.pack("<I", len(samples)) + samples
path = Path(sys.argv[1], "unknown.wav")
path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)

hints = Path(inspect.getfile(av)).with_name("audio") / "stream.pyi"
declared = next(line.strip() for line in hints.read_text().splitlines() if "codec_context" in line)
with av.open(str(path)) as container:
    (stream,) = container.streams
    try:
        rate = str(stream.sample_rate)
    except AttributeError as problem:
        rate = f"AttributeError: {problem}"
    print(f"PyAV {av.__version__}: {stream.type}, codec_context {stream.codec_context}; sample_rate: {rate}")
    print(f"declared: {declared}")
    assert stream.type == "audio"
    assert stream.codec_context is None
    assert rate.startswith("AttributeError")
assert declared == "codec_context: AudioCodecContext"
PYTHON
"$folder/env/bin/python" "$folder/unknown.py" "$folder"
