#!/usr/bin/env bash
# wf-recorder 0.3 takes `-x yuv420p`, and writes full-range YUV 4:4:4, which many players cannot show.
#
# Its help says that -x sets the pixel format of the output. With libx264 it goes nowhere: x264 gets the format that is
# nearest to the screen's RGB among those that it knows, yuvj444p, and the file is of the profile High 4:4:4 Predictive,
# which phones and hardware decoders refuse. There is no warning, and the computer that recorded it plays it. A filter
# (`-F format=yuv420p`) does set the subsampling, but the range is still the full one.
# Needs sway and ffprobe on PATH (tried with Debian 12's 1.7 and 5.1), and Debian 12 with the libraries of its
# wf-recorder. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
cd "$folder"
apt-get -q download wf-recorder=0.3-1+b1 >/dev/null 2>&1
for package in *.deb; do dpkg -x "$package" .; done
echo "output HEADLESS-1 resolution 640x360 bg #204060 solid_color" >sway.conf
echo "exec echo \"\$WAYLAND_DISPLAY\" >'$folder/display'" >>sway.conf
export XDG_RUNTIME_DIR=$folder HOME=$folder WLR_BACKENDS=headless WLR_RENDERER=pixman WLR_LIBINPUT_NO_DEVICES=1
unset DISPLAY WAYLAND_DISPLAY
as_user=()
[ "$(id -u)" != 0 ] || as_user=(unshare --user --map-user=1000 --map-group=1000) # sway refuses to run as root
"${as_user[@]}" sway -c sway.conf 2>log &
until [ -s display ]; do sleep 0.05; done
WAYLAND_DISPLAY=$(cat display)
export WAYLAND_DISPLAY
usr/bin/wf-recorder --version 2>/dev/null || true
written() { # written OPTION…: record a second, and print what the file has
    rm -f out.mp4
    # -D: take pictures of a screen on which nothing changes, too.
    usr/bin/wf-recorder -D -c libx264 "$@" -f out.mp4 >>log 2>&1 </dev/null &
    local recorder=$!
    until [ -s out.mp4 ]; do sleep 0.05; done
    sleep 1
    kill -INT "$recorder"
    wait "$recorder"
    ffprobe -v error -show_entries stream=profile,pix_fmt,color_range -of default=nw=1:nk=1 out.mp4 | paste -s -d ' '
}
asked=$(written -x yuv420p)
filtered=$(written -F format=yuv420p)
echo "-x yuv420p: $asked; -F format=yuv420p: $filtered"
[ "$asked" = "High 4:4:4 Predictive yuvj444p pc" ]
[[ $filtered == *" yuvj420p pc" ]]
