#!/usr/bin/env bash
# A screenshot of an X11 screen of depth 24 has alpha values in it, from translucent windows and other programs.
#
# The root window has no alpha, so one takes the fourth byte of each pixel for constant, 0 or 255. The server keeps what
# programs wrote there: 0 or 255 as their colours were given, and in a window of 32 bits that window's alpha, though no
# compositor runs and the screen shows it opaque. So BGRA that is passed on as it is, to PNG or a codec with alpha, has
# holes, and two pictures that look the same differ in bytes, here after the same red was drawn once more. Call the
# pixels BGR0, and mask the byte before a comparison.
# Needs Xvfb on PATH (tried with Debian 12's 21.1.7). Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install mss==10.2.0 python-xlib==0.33 six==1.17.0
Xvfb -displayfd 5 -screen 0 640x480x24 -nolisten tcp 5>"$folder/number" 2>/dev/null &
until [ -s "$folder/number" ]; do sleep 0.05; done
DISPLAY=:$(cat "$folder/number")
export DISPLAY
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

import mss
from Xlib import X, display

server = display.Display()
screen = server.screen()
root = screen.root


def fill(colour: int, left: int) -> None:
    root.fill_rectangle(root.create_gc(foreground=colour), left, 0, 100, 100)
    server.sync()


fill(0x00FF0000, 0)
fill(0xFFFF0000, 100)
visual = next(each for depth in screen.allowed_depths if depth.depth == 32 for each in depth.visuals)
colours = root.create_colormap(visual.visual_id, X.AllocNone)
window = root.create_window(
    200, 0, 100, 100, 0, 32, visual=visual.visual_id, colormap=colours, background_pixel=0x80FF0000, border_pixel=0,
    override_redirect=1, event_mask=X.ExposureMask,
)  # fmt: skip
window.map()
while server.next_event().type != X.Expose:
    pass
results = {}
for backend in ("xshmgetimage", "xgetimage"):
    with mss.MSS(backend=backend) as grabber:
        picture = grabber.grab(grabber.monitors[0])
        pixels = [bytes(picture.bgra[4 * (50 * picture.width + x) :][:4]) for x in (50, 150, 250)]
        before = bytes(picture.bgra)
        fill(0xFFFF0000, 0)
        after = bytes(grabber.grab(grabber.monitors[0]).bgra)
        fill(0x00FF0000, 0)
    results[backend] = [tuple(pixel) for pixel in pixels]
    print(f"mss {version('mss')}, {backend}: three reds on depth {screen.root_depth} in BGRA: {results[backend]}")
    visible = [before[n::4] == after[n::4] for n in range(4)]
    print(f"the first one drawn again: the same blue, green, red, fourth byte: {visible}")
    assert [pixel[:3] for pixel in results[backend]] == [(0, 0, 255)] * 3
    assert [pixel[3] for pixel in results[backend]] == [0, 255, 128]
    assert visible == [True, True, True, False]
PYTHON
