#!/usr/bin/env bash
# PulseAudio 16.1's null sink lets a player or recorder wait for up to two seconds, which are in no recording.
#
# When nobody uses it, it renders two seconds of silence at once, and stands still until they are over, also for a
# program that comes meanwhile. So two seconds of sound take four to play, each time, and in three seconds a recorder of
# the monitor gets one: all that follows is early by the rest, beside a picture for instance. The programs here ask for
# a latency of 20 ms, which does not help. With the sink's option `norewinds=1` neither happens.
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
load-module module-null-sink sink_name=plain format=s16le rate=48000 channels=2
load-module module-null-sink sink_name=norewinds norewinds=1 format=s16le rate=48000 channels=2
load-module module-native-protocol-unix socket=$folder/socket auth-anonymous=1
SCRIPT
pulseaudio -n -F script --daemonize=no --use-pid-file=no --exit-idle-time=-1 --realtime=no --high-priority=no \
    --dl-search-path="$(echo "$folder"/usr/lib/pulse-*/modules)" 2>log &
until [ -S socket ]; do sleep 0.05; done
pulseaudio --version 2>/dev/null
head -c 384000 /dev/zero >two-seconds
raw=(--raw --format=s16le --rate=48000 --channels=2 --latency-msec=20)
play_ms() { # play_ms OUTPUT: print how long it takes to play two seconds, the median of three in a row
    for _ in 1 2 3; do
        local began_ms=$(($(date +%s%N) / 1000000))
        pacat -p "${raw[@]}" -d "$1" two-seconds
        echo $(($(date +%s%N) / 1000000 - began_ms))
    done | sort -n | sed -n 2p
}
record_ms() { # record_ms OUTPUT: print how much is recorded in three seconds, the least of four in a row
    for _ in 1 2 3 4; do
        timeout 3 parec "${raw[@]}" -d "$1.monitor" >recorded 2>/dev/null || true
        echo $(($(stat -c %s recorded) / 192))
    done | sort -n | head -n 1
}
plain="$(play_ms plain) $(record_ms plain)"
norewinds="$(play_ms norewinds) $(record_ms norewinds)"
for sink in plain norewinds; do
    read -r played recorded <<<"${!sink}"
    echo "$sink: two seconds take $played ms to play; of three seconds $recorded ms are recorded"
done
read -r played recorded <<<"$plain"
[ "$played" -gt 3200 ] && [ "$recorded" -lt 2200 ]
read -r played recorded <<<"$norewinds"
[ "$played" -lt 2800 ] && [ "$recorded" -gt 2500 ]
