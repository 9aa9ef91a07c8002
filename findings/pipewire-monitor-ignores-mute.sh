#!/usr/bin/env bash
# PipeWire 0.3.65 records a muted output at full level; PulseAudio 16.1, and null sinks of pactl's, as silence.
#
# PulseAudio mixes at the output's volume, unless the hardware does, and its monitor gets what comes out: at 50 % an
# eighth of the amplitude, muted nothing. PipeWire's monitors have the sound before the volume unless the property
# `monitor.channel-volumes` is set: who mutes the speakers to be private is recorded all the same. `pactl load-module
# module-null-sink` sets it, so a test on such an output finds both servers alike; other outputs do not have it.
# Needs Debian 12 with the libraries of its pulseaudio and PipeWire. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
packages=()
for name in pipewire-bin pipewire-pulse libpipewire-0.3-0 libpipewire-0.3-modules libspa-0.2-modules; do
    packages+=("$name=0.3.65-3+deb12u1")
done
for name in pulseaudio pulseaudio-utils libpulse0; do
    packages+=("$name=16.1+dfsg1-2+b1")
done
packages+=(wireplumber=0.4.13-1 libwireplumber-0.4-0=0.4.13-1)
apt-get -q download "${packages[@]}" >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" .; done
library=$(dirname "$folder"/usr/lib/*/libpulse.so.0)
export LD_LIBRARY_PATH=$library:$library/pulseaudio PATH=$folder/usr/bin:$PATH
export PIPEWIRE_MODULE_DIR=$library/pipewire-0.3 SPA_PLUGIN_DIR=$library/spa-0.2
export WIREPLUMBER_MODULE_DIR=$library/wireplumber-0.4 WIREPLUMBER_DATA_DIR=$folder/usr/share/wireplumber
export HOME=$folder XDG_CONFIG_HOME=$folder XDG_STATE_HOME=$folder XDG_RUNTIME_DIR=$folder
unset PULSE_COOKIE PULSE_RUNTIME_PATH PULSE_STATE_PATH PIPEWIRE_RUNTIME_DIR DBUS_SESSION_BUS_ADDRESS DISPLAY
libraries='context.spa-libs = {
    audio.convert.* = audioconvert/libspa-audioconvert
    support.* = support/libspa-support
}'
modules() { # modules NAME…: print the settings that load them
    echo 'context.modules = ['
    printf '    { name = libpipewire-module-%s }\n' "$@"
    echo ']'
}
{
    echo 'context.properties = { support.dbus = false log.level = 1 core.daemon = true core.name = pipewire-0 }'
    echo "$libraries"
    modules protocol-native metadata spa-node-factory client-node client-device access adapter link-factory \
        session-manager
    cat <<'SETTINGS'
context.objects = [
    { factory = adapter args = {
        factory.name = support.null-audio-sink node.name = settings media.class = Audio/Sink
        audio.position = [ FL FR ] audio.rate = 48000 object.linger = true
    } }
]
SETTINGS
} >pipewire.conf
{
    echo 'context.properties = { support.dbus = false log.level = 1 }'
    echo "$libraries"
    modules protocol-native client-node adapter metadata protocol-pulse
    echo "pulse.properties = { server.address = [ \"unix:$folder/pipewire-pulse\" ] }"
} >pulse.conf
mkdir -p wireplumber/policy.lua.d
cat >wireplumber/policy.lua.d/20-defaults.lua <<'SETTINGS'
load_module("metadata")
load_module("default-nodes", { ["use-persistent-storage"] = false })
SETTINGS
pipewire -c "$folder/pipewire.conf" 2>log &
until [ -S pipewire-0 ]; do sleep 0.05; done
wireplumber -c policy.conf 2>log-policy &
pipewire-pulse -c "$folder/pulse.conf" 2>log-pulse &
echo "load-module module-native-protocol-unix socket=$folder/pulseaudio auth-anonymous=1" >script
pulseaudio -n -F script --daemonize=no --use-pid-file=no --exit-idle-time=-1 --realtime=no --high-priority=no \
    --dl-search-path="$(echo "$folder"/usr/lib/pulse-*/modules)" 2>log-pulseaudio &
until [ -S pipewire-pulse ] && [ -S pulseaudio ]; do sleep 0.05; done
python3 -c '
import array, math
wave = [round(8000 * math.sin(math.tau * 480 * n / 48000)) for n in range(48000)]
open("tone", "wb").write(array.array("h", [each for each in wave for _ in "lr"]).tobytes() * 90)'
raw=(--raw --format=s16le --rate=48000 --channels=2 --latency-msec=20)
peak() { # peak OUTPUT: record it for a while, and print the peak of the second half
    timeout 2.5 parec "${raw[@]}" -d "$1.monitor" >sound 2>/dev/null || true
    python3 -c '
import array
samples = array.array("h", open("sound", "rb").read())
print(max(samples[len(samples) // 2:], default=-1))'
}
peaks() { # peaks SERVER OUTPUT: print the peaks at full volume, at half of it, and muted
    export PULSE_SERVER=unix:$folder/$1
    [ "$2" = settings ] || pactl load-module module-null-sink sink_name="$2" norewinds=1 >/dev/null
    until pactl list short sources | grep -q "$2.monitor"; do sleep 0.05; done
    pacat -p "${raw[@]}" -d "$2" tone >/dev/null 2>&1 &
    local player=$!
    until [ -n "$(pactl list short sink-inputs)" ]; do sleep 0.05; done
    local full half
    full=$(peak "$2")
    pactl set-sink-volume "$2" 50%
    half=$(peak "$2")
    pactl set-sink-mute "$2" 1
    echo "$full $half $(peak "$2")"
    kill "$player"
}
pulseaudio --version 2>/dev/null
pulse=$(peaks pulseaudio pactl)
same=$(peaks pipewire-pulse pactl)
PULSE_SERVER=unix:$folder/pipewire-pulse pactl info | grep '^Server Name'
own=$(peaks pipewire-pulse settings)
echo "peaks at 100 %, at 50 % and muted: PulseAudio $pulse; PipeWire, an output of pactl's $same, of its settings $own"
for peaks in "$pulse" "$same"; do
    read -r full half muted <<<"$peaks"
    [ "$full" -gt 7900 ] && [ "$half" -gt 900 ] && [ "$half" -lt 1100 ] && [ "$muted" = 0 ]
done
read -r full half muted <<<"$own"
[ "$full" -gt 7900 ] && [ "$half" -gt 7900 ] && [ "$muted" -gt 7900 ]
