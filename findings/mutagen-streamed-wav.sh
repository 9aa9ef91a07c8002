#!/usr/bin/env bash
# mutagen 1.48.1 gives a WAV of one second a length of 13.5 hours when its header says "unknown".
#
# A program that cannot seek back, such as FFmpeg into a pipe, leaves 0xFFFFFFFF as the size of the data. libsndfile
# and FFmpeg then take the data to reach to the end of the file. mutagen divides the placeholder by the data rate.
# Python 3.11 to 3.13 on Linux. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install mutagen==1.48.1 soundfile==0.14.0 numpy==2.4.6 imageio-ffmpeg==0.8.1
cd "$folder"
ffmpeg=$(venv/bin/python -c 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())')
"$ffmpeg" -v error -f lavfi -i sine=duration=1:sample_rate=44100 -f wav - | cat >streamed.wav
"$ffmpeg" -v error -f lavfi -i sine=duration=1:sample_rate=44100 closed.wav
venv/bin/python - <<'PYTHON'
import mutagen
import mutagen.wave
import soundfile

print("mutagen", mutagen.version_string)
for name, expected_s in (("closed.wav", 1.0), ("streamed.wav", 48695.774)):
    length_s = mutagen.wave.WAVE(name).info.length
    frames = soundfile.info(name).frames
    print(f"{name}: libsndfile finds {frames} frames; mutagen says {length_s:.3f} s")
    assert frames == 44100
    assert abs(length_s - expected_s) < 0.001
PYTHON
