#!/usr/bin/env bash
# soundfile 0.14.0 (libsndfile 1.2.2) cannot read a FLAC file of unknown length to its end.
#
# The total number of samples in a FLAC header may be 0, "unknown"; FFmpeg writes that when it cannot seek back, for
# instance into a pipe. FFmpeg decodes such a file to its end. libsndfile takes it for 9223372036854775807 samples:
# soundfile.read() asks for an array of that size, and a read of a block that reaches past the end raises instead of
# returning the samples that are left, because soundfile then seeks to where the block would have ended.
# Python 3.11 to 3.13 on Linux. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install soundfile==0.14.0 numpy==2.4.6 imageio-ffmpeg==0.8.1 av==18.1.0
cd "$folder"
ffmpeg=$(venv/bin/python -c 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())')
"$ffmpeg" -v error -f lavfi -i sine=duration=1:sample_rate=48000 -f flac - | cat >unknown.flac
"$ffmpeg" -v error -f lavfi -i sine=duration=1:sample_rate=48000 known.flac
venv/bin/python - <<'PYTHON'
import av
import soundfile

print("soundfile", soundfile.__version__, soundfile.__libsndfile_version__)
for name in ("known.flac", "unknown.flac"):
    with av.open(name) as container:
        decoded = sum(frame.samples for frame in container.decode(audio=0))
    frames = soundfile.info(name).frames
    with soundfile.SoundFile(name) as file:
        read = 0
        try:
            while block := len(file.read(10000)):
                read += block
            end = "the end"
        except soundfile.LibsndfileError as error:
            end = str(error)
    print(f"{name}: FFmpeg decodes {decoded}; soundfile says {frames} and reads {read}, then: {end}")
    assert decoded == 48000
    if name == "known.flac":
        assert (frames, read, end) == (48000, 48000, "the end")
    else:
        assert (frames, read, end) == (2**63 - 1, 40000, "Internal psf_fseek() failed.")
PYTHON
