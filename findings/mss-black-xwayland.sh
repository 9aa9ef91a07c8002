#!/usr/bin/env bash
# mss 10.2.0 takes black pictures of a Wayland desktop through Xwayland, and reports success.
#
# Xwayland gives each X11 program a surface of its own, so its root window has no pixels. It answers BadMatch to the
# core request GetImage of it; to the same request of MIT-SHM, which mss prefers because it is fast, it answers with
# zeros and without an error. So the desktop, here all red, is black, in the right size. Ask for a pixel by GetImage
# first.
# Needs sway and Xwayland on PATH (tried with Debian 12's 1.7 and 22.1.9). Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install mss==10.2.0 python-xlib==0.33 six==1.17.0
cat >"$folder/sway" <<SETTINGS
xwayland force
output HEADLESS-1 resolution 640x480 bg #ff0000 solid_color
exec echo "\$DISPLAY" >"$folder/display"
SETTINGS
export XDG_RUNTIME_DIR=$folder HOME=$folder WLR_BACKENDS=headless WLR_RENDERER=pixman WLR_LIBINPUT_NO_DEVICES=1
unset DISPLAY WAYLAND_DISPLAY
as_user=()
[ "$(id -u)" != 0 ] || as_user=(unshare --user --map-user=1000 --map-group=1000) # sway refuses to run as root
"${as_user[@]}" sway -c "$folder/sway" 2>"$folder/log" &
until [ -s "$folder/display" ]; do sleep 0.05; done
DISPLAY=$(cat "$folder/display")
export DISPLAY
sway --version
Xwayland -version 2>&1 | grep -o 'Xwayland .*' | head -n 1
"$folder/venv/bin/python" - <<'PYTHON'
import mss
from Xlib import X, display, error

server = display.Display()
try:
    server.screen().root.get_image(0, 0, 640, 480, X.ZPixmap, 0xFFFFFFFF)
    core = "pixels"
except error.BadMatch:
    core = "BadMatch"
results = {}
for backend in ("default", "xshmgetimage", "xgetimage"):
    with mss.MSS(backend=backend) as screen:
        try:
            picture = screen.grab(screen.monitors[0])
            results[backend] = f"{picture.width}x{picture.height}, values {set(picture.rgb)}"
        except Exception as problem:
            results[backend] = type(problem).__name__
print("GetImage of the root window:", core)
print(f"mss {mss.__version__}: {results}")
assert core == "BadMatch"
assert results["default"] == results["xshmgetimage"] == "640x480, values {0}"
assert results["xgetimage"] == "XProtoError"
PYTHON
