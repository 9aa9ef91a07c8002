#!/usr/bin/env bash
# PulseAudio 16.1 turns stereo into silence, both ways, at an output whose two channels are called aux0 and aux1.
#
# Channels that have a number and no side, as the outputs of studio interfaces may, are connected to sides by nothing:
# an ordinary stereo player is not heard there, and a recording in stereo is zeros, while one in mono has everything.
# All of them succeed, at full volume. What is wanted here is `--no-remap` (PA_STREAM_NO_REMAP_CHANNELS), which connects
# by number, or a stream with the output's own channel map.
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
load-module module-null-sink sink_name=studio norewinds=1 format=s16le rate=48000 channels=2 channel_map=aux0,aux1
load-module module-null-sink sink_name=usual norewinds=1 format=s16le rate=48000 channels=2
load-module module-native-protocol-unix socket=$folder/socket auth-anonymous=1
SCRIPT
pulseaudio -n -F script --daemonize=no --use-pid-file=no --exit-idle-time=-1 --realtime=no --high-priority=no \
    --dl-search-path="$(echo "$folder"/usr/lib/pulse-*/modules)" 2>log &
until [ -S socket ]; do sleep 0.05; done
pulseaudio --version 2>/dev/null
# Every sample is 8000.
python3 -c 'import array, sys; sys.stdout.buffer.write(array.array("h", [8000]).tobytes() * 2 * 48000 * 60)' >sound
raw=(--raw --format=s16le --rate=48000 --latency-msec=50)
peak() { # peak OUTPUT PLAYER'S-OPTION RECORDER'S-OPTION: print the largest sample of a second that is recorded
    pacat -p "${raw[@]}" --channels=2 "$2" -d "$1" sound 2>/dev/null &
    local player=$!
    timeout 2 parec "${raw[@]}" "$3" -d "$1.monitor" >recorded 2>/dev/null || true
    kill "$player"
    python3 -c 'import array; print(max(array.array("h", open("recorded", "rb").read())))'
}
stereo=--channels=2 mono=--channels=1
usual=$(peak usual $stereo $stereo)
player=$(peak studio $stereo --no-remap)
recorder=$(peak studio --no-remap $stereo)
one=$(peak studio --no-remap $mono)
neither=$(peak studio --no-remap --no-remap)
echo "front-left and front-right: $usual of 8000"
echo "aux0 and aux1: stereo played $player, recorded in stereo $recorder, in mono $one; by numbers $neither"
[ "$usual $player $recorder $one $neither" = "8000 0 0 8000 8000" ]
