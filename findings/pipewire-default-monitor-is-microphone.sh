#!/usr/bin/env bash
# With PipeWire 0.3.65 and WirePlumber 0.4.13, `@DEFAULT_MONITOR@` records the microphone.
#
# For PulseAudio that name is what the default output plays, and scripts record it with `parec -d @DEFAULT_MONITOR@`.
# PipeWire's server for PulseAudio's programs takes the name, and the stream is connected to the default source, on a
# desktop the microphone, without an error. The monitor by its own name, from `pactl list short sources`, is right.
# Needs Debian 12 with the libraries of its PipeWire and WirePlumber. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
version=0.3.65-3+deb12u1
packages=()
for name in pipewire-bin pipewire-pulse libpipewire-0.3-0 libpipewire-0.3-modules libspa-0.2-modules; do
    packages+=("$name=$version")
done
packages+=(wireplumber=0.4.13-1 libwireplumber-0.4-0=0.4.13-1)
packages+=(pulseaudio-utils=16.1+dfsg1-2+b1 libpulse0=16.1+dfsg1-2+b1)
apt-get -q download "${packages[@]}" >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" .; done
library=$(dirname "$folder"/usr/lib/*/libpulse.so.0)
export LD_LIBRARY_PATH=$library:$library/pulseaudio PATH=$folder/usr/bin:$PATH
export PIPEWIRE_MODULE_DIR=$library/pipewire-0.3 SPA_PLUGIN_DIR=$library/spa-0.2
export WIREPLUMBER_MODULE_DIR=$library/wireplumber-0.4 WIREPLUMBER_DATA_DIR=$folder/usr/share/wireplumber
export HOME=$folder XDG_CONFIG_HOME=$folder XDG_STATE_HOME=$folder XDG_RUNTIME_DIR=$folder
export PULSE_SERVER=unix:$folder/socket
unset PULSE_COOKIE PULSE_RUNTIME_PATH PIPEWIRE_RUNTIME_DIR DBUS_SESSION_BUS_ADDRESS DISPLAY
modules() { # modules NAME…: print the settings that load them
    echo 'context.modules = ['
    printf '    { name = libpipewire-module-%s }\n' "$@"
    echo ']'
}
{
    cat <<'SETTINGS'
context.properties = { support.dbus = false log.level = 1 core.daemon = true core.name = pipewire-0 }
context.spa-libs = {
    audio.convert.* = audioconvert/libspa-audioconvert
    audiotestsrc = audiotestsrc/libspa-audiotestsrc
    support.* = support/libspa-support
}
context.objects = [
    { factory = adapter args = {
        factory.name = support.null-audio-sink node.name = speakers media.class = Audio/Sink
        audio.position = [ FL FR ] audio.rate = 48000 object.linger = true
    } }
    # It hears a tone.
    { factory = adapter args = {
        factory.name = audiotestsrc node.name = microphone media.class = Audio/Source
        audio.position = [ MONO ] object.linger = true
    } }
]
SETTINGS
    modules protocol-native metadata spa-node-factory client-node client-device access adapter link-factory \
        session-manager
} >pipewire.conf
{
    echo 'context.properties = { support.dbus = false log.level = 1 }'
    grep -A 4 spa-libs pipewire.conf
    modules protocol-native client-node adapter metadata protocol-pulse
    echo "pulse.properties = { server.address = [ \"unix:$folder/socket\" ] }"
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
until [ -S socket ]; do sleep 0.05; done
until pactl list short sources | grep -q microphone; do sleep 0.05; done
pactl set-default-sink speakers
pactl set-default-source microphone
until [ "$(pactl get-default-source)" = microphone ]; do sleep 0.05; done
pactl info | grep '^Server Name'
wireplumber --version | grep Linked
recorded() { # recorded DEVICE: print the source that is recorded, and the peak
    parec --raw --format=s16le --latency-msec=20 -d "$1" >sound &
    sleep 1.5
    local number
    number=$(pactl list short source-outputs | cut -f 2)
    pactl list short sources | awk -v number="$number" '$1 == number { printf "%s ", $2 }'
    kill %parec
    wait %parec || true
    python3 -c 'import array; print(max(array.array("h", open("sound", "rb").read())))'
}
usual=$(recorded speakers.monitor)
default=$(recorded @DEFAULT_MONITOR@)
echo "nothing is played; speakers.monitor records (source and peak): $usual, @DEFAULT_MONITOR@: $default"
[ "$usual" = "speakers.monitor 0" ]
[ "${default% *}" = microphone ] && [ "${default#* }" -gt 10000 ]
