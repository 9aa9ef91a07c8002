#!/usr/bin/env bash
# faad 2.10.1 decodes an MP4 only if its sound lies in one piece.
#
# It goes to the first sample and reads on by the sizes of the samples; it never looks at where the chunks are (`stco`,
# `stsc`). With a picture between them, as in every ordinary MP4, or with the fragment headers that a hybrid MP4 keeps,
# it stops at the first foreign byte. The same packets in an M4A of their own are decoded whole.
# Needs Debian 12 and its ffmpeg. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -q download faad=2.10.1-1 libfaad2=2.10.1-1 >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" .; done
export PATH=$folder/usr/bin:$PATH LD_LIBRARY_PATH=$(dirname "$folder"/usr/lib/*/libfaad.so.2)
ffmpeg -v error -f lavfi -i testsrc=duration=10 -f lavfi -i sine=duration=10:sample_rate=48000 \
    -c:v libx264 -pix_fmt yuv420p -c:a aac -ac 2 -shortest film.mp4
ffmpeg -v error -i film.mp4 -vn -c copy sound.m4a
{ faad -h 2>&1 || true; } | grep -o 'Decoder V[0-9.]*'
film=$(faad -w -f 2 -b 1 film.mp4 2>/dev/null | wc -c) || true
sound=$(faad -w -f 2 -b 1 sound.m4a 2>/dev/null | wc -c) || true
echo "film.mp4: $((film / 4)) samples; sound.m4a: $((sound / 4)) samples of 480000"
[ "$film" -lt 400000 ] && [ "$sound" -gt 1900000 ]
