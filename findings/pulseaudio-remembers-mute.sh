#!/usr/bin/env bash
# PulseAudio 16.1 records silence because some earlier recording by a program of the same name was muted.
#
# module-stream-restore, which desktops load, remembers the mute switch and the volume of a recording by the name of its
# program, across restarts. So who once mutes a recording while it runs, in a mixer, mutes all the later ones: they
# start muted, have no error and contain zeros, from any device. `PA_STREAM_START_UNMUTED` decides about the switch; of
# the volume, which a recording cannot be connected with, `pa_ext_stream_restore_delete` makes the server forget.
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
load-module module-null-sink sink_name=one norewinds=1
load-module module-null-sink sink_name=two norewinds=1
load-module module-stream-restore
load-module module-native-protocol-unix socket=$folder/socket auth-anonymous=1
SCRIPT
pulseaudio -n -F script --daemonize=no --use-pid-file=no --exit-idle-time=-1 --realtime=no --high-priority=no \
    --dl-search-path="$(echo "$folder"/usr/lib/pulse-*/modules)" 2>log &
until [ -S socket ]; do sleep 0.05; done
pulseaudio --version 2>/dev/null
# A tone on both outputs, to the end.
python3 -c '
import array, math
wave = [round(8000 * math.sin(math.tau * 441 * n / 44100)) for n in range(44100)]
open("tone", "wb").write(array.array("h", [each for each in wave for _ in "lr"]).tobytes() * 60)'
for sink in one two; do
    pacat -p --raw -d $sink tone 2>/dev/null &
done
until [ "$(pactl list short sink-inputs | wc -l)" = 2 ]; do sleep 0.05; done
recorded() { # recorded NAME DEVICE: record a second as the program NAME, and print the peak
    timeout 1.5 parec --raw --client-name="$1" -d "$2.monitor" >sound 2>/dev/null || true
    python3 -c 'import array; print(max(array.array("h", open("sound", "rb").read())))'
}
before=$(recorded recorder one)
parec --raw --client-name=recorder -d one.monitor >/dev/null 2>&1 &
until number=$(pactl list short source-outputs | cut -f 1) && [ -n "$number" ]; do sleep 0.05; done
pactl set-source-output-mute "$number" 1
kill %parec
until [ -z "$(pactl list short source-outputs)" ]; do sleep 0.05; done
same=$(recorded recorder one)
other_device=$(recorded recorder two)
other_name=$(recorded another one)
echo "peaks: before $before; after one that was muted: $same, from another device $other_device; as another program" \
    "$other_name"
[ "$before" -gt 7000 ] && [ "$same" = 0 ] && [ "$other_device" = 0 ] && [ "$other_name" -gt 7000 ]
