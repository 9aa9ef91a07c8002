#!/usr/bin/env bash
# pywhispercpp 1.5.1 makes a Model of a file that whisper.cpp could not load.
#
# whisper.cpp returns no context for a damaged model. `Model(path)` raises nothing then, and `transcribe` fails later
# with an error that does not name the model. With a header cut off after the mark, it may first take gigabytes of memory.
# The model here has a valid header, and ends within the table that follows.
# Python 3.11 on Linux. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install pywhispercpp==1.5.1 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'PYTHON'
import struct

import numpy
from pywhispercpp.model import Model

header = struct.pack("<4s11i", b"lmgg", 51864, 1500, 64, 1, 1, 448, 64, 1, 1, 80, 1)
with open("cut.bin", "wb") as file:
    file.write(header + struct.pack("<2i", 80, 201) + bytes(1000))
model = Model("cut.bin", redirect_whispercpp_logs_to=None, print_progress=False)
print("a Model was made of a file that ends in the middle")
try:
    model.transcribe(numpy.zeros(16000, numpy.float32))
except Exception as error:
    print("transcribe:", type(error).__name__, error)
else:
    raise SystemExit("transcribe took it for a model")
PYTHON
