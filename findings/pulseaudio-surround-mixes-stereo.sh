#!/usr/bin/env bash
# PulseAudio 16.1 lets the left be heard on the right when stereo is played on a 5.1 output and recorded in stereo.
#
# A stereo player on an output of six channels is mixed to all of them, and the centre gets both sides. A stereo
# recording of that output is mixed down again, and both sides get the centre: what was on the left alone is 15 dB below
# it on the right, and 1.5 dB weaker than played. What plays and what records have the same two channels, so one would
# expect the same samples. With `--no-remix` for the recorder (PA_STREAM_NO_REMIX_CHANNELS) the front pair is as it was
# played, but then what a film has in the centre is missing.
# Needs Debian 12 with the libraries of its pulseaudio. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
version=16.1+dfsg1-2+b1
apt-get -q download "pulseaudio=$version" "pulseaudio-utils=$version" "libpulse0=$version" >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" .; done
library=$(dirname "$folder"/usr/lib/*/libpulse.so.0)
export LD_LIBRARY_PATH=$library:$library/pulseaudio PATH=$folder/usr/bin:$PATH
export HOME=$folder XDG_CONFIG_HOME=$folder XDG_RUNTIME_DIR=$folder PULSE_SERVER=unix:$folder/socket
unset PULSE_COOKIE PULSE_RUNTIME_PATH PULSE_STATE_PATH
cat >script <<SCRIPT
load-module module-null-sink sink_name=stereo norewinds=1 rate=48000 channels=2
load-module module-null-sink sink_name=surround norewinds=1 rate=48000 channels=6 channel_map=surround-51
load-module module-native-protocol-unix socket=$folder/socket auth-anonymous=1
SCRIPT
pulseaudio -n -F script --daemonize=no --use-pid-file=no --exit-idle-time=-1 --realtime=no --high-priority=no \
    --dl-search-path="$(echo "$folder"/usr/lib/pulse-*/modules)" 2>log &
until [ -S socket ]; do sleep 0.05; done
pulseaudio --version 2>/dev/null
python3 -c '
import array, math
wave = [round(8000 * math.sin(math.tau * 480 * n / 48000)) for n in range(48000)]
open("tone", "wb").write(array.array("h", [each for left in wave for each in (left, 0)]).tobytes() * 60)'
for sink in stereo surround; do
    pacat -p --raw --rate=48000 -d $sink tone 2>/dev/null &
done
until [ "$(pactl list short sink-inputs | wc -l)" = 2 ]; do sleep 0.05; done
recorded() { # recorded DEVICE OPTION…: record a second, and print the peaks of left and right
    timeout 1.5 parec --raw --rate=48000 -d "$1.monitor" "${@:2}" >sound 2>/dev/null || true
    python3 -c '
import array
samples = array.array("h", open("sound", "rb").read())
print(max(samples[0::2]), max(samples[1::2]))'
}
stereo=$(recorded stereo)
surround=$(recorded surround)
unmixed=$(recorded surround --no-remix)
echo "played: 8000 on the left; recorded left and right: from stereo $stereo; from 5.1 $surround, unmixed $unmixed"
read -r left right <<<"$stereo"
[ "$left" -gt 7900 ] && [ "$right" = 0 ]
read -r left right <<<"$surround"
[ "$left" -lt 7200 ] && [ "$right" -gt 1000 ]
read -r left right <<<"$unmixed"
[ "$left" -gt 7900 ] && [ "$right" = 0 ]
