#!/usr/bin/env bash
# PulseAudio 16.1 turns a recording of an output into one of the microphone when that output is unplugged.
#
# `parec -d headset.monitor` names the device, and gets no error and no end when the headset goes: the server moves the
# stream to the default source, on a desktop the microphone, and its samples simply go on. A stream with the flag
# PA_STREAM_DONT_MOVE fails instead; parec and the soundcard library (0.4.6) do not set it.
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
# The microphone hears a tone, and nothing is played.
cat >script <<SCRIPT
load-module module-sine-source source_name=microphone frequency=300
load-module module-null-sink sink_name=speakers norewinds=1
load-module module-null-sink sink_name=headset norewinds=1
set-default-source microphone
set-default-sink speakers
load-module module-native-protocol-unix socket=$folder/socket auth-anonymous=1
SCRIPT
pulseaudio -n -F script --daemonize=no --use-pid-file=no --exit-idle-time=-1 --realtime=no --high-priority=no \
    --dl-search-path="$(echo "$folder"/usr/lib/pulse-*/modules)" 2>log &
until [ -S socket ]; do sleep 0.05; done
pulseaudio --version 2>/dev/null
source_name() { # print the name of the source that is recorded
    pactl list short sources | awk -v number="$(pactl list short source-outputs | cut -f 2)" '$1 == number { print $2 }'
}
parec --raw --format=s16le --latency-msec=20 -d headset.monitor >recorded &
recorder=$!
until [ -s recorded ]; do sleep 0.05; done
sleep 1
before=$(source_name) bytes=$(stat -c %s recorded)
pactl unload-module "$(pactl list short modules | awk '/sink_name=headset/ { print $1 }')"
sleep 2
after=$(source_name)
kill -0 "$recorder"
kill "$recorder"
wait "$recorder" || echo "parec ended with $?"
echo "recorded before the headset goes: $before, after: $after"
python3 - "$bytes" <<'PYTHON'
import array
import sys

with open("recorded", "rb") as file:
    headset = array.array("h", file.read(int(sys.argv[1])))
    rest = array.array("h", file.read())
print(f"peak before: {max(headset)}, after: {max(rest)}")
assert max(headset) == 0
assert max(rest) > 10000
PYTHON
[ "$before $after" = "headset.monitor microphone" ]
