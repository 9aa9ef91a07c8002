#!/usr/bin/env bash
# pynput 1.8.2 fires global hotkeys also when more modifiers are held, and those with letters not on a Russian layout.
#
# `GlobalHotKeys` on X11 waits until all keys of a hotkey are down, whatever else is: Ctrl+Alt+Shift+R, a key of another
# program, fires <ctrl>+<alt>+r, <ctrl>+r and r as well. And it knows keys by the letters that the first layout had when
# it was started: with `setxkbmap ru` none fires, and after a change from us to Dvorak the old places go on firing.
# Needs Xvfb and setxkbmap on PATH (tried with Debian 12's 21.1.7 and 1.3.3). Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
# Without its dependencies: evdev, which pynput does not use on X11, takes a compiler.
"$folder/venv/bin/pip" -q install --no-deps pynput==1.8.2 python-xlib==0.33 six==1.17.0
Xvfb -displayfd 5 -screen 0 640x480x24 -nolisten tcp 5>"$folder/number" 2>/dev/null &
until [ -s "$folder/number" ]; do sleep 0.05; done
DISPLAY=:$(cat "$folder/number")
export DISPLAY
"$folder/venv/bin/python" - <<'PYTHON'
import subprocess
import time
from importlib.metadata import version

from pynput import keyboard
from Xlib import XK, X, display
from Xlib.ext import xtest

NAMES = ("r", "<ctrl>+r", "<ctrl>+<alt>+r", "<ctrl>+<alt>+<shift>+r")
MODIFIERS = ("Control_L", "Alt_L", "Shift_L")
# The keys that type R and O in the layout us, by their place.
PLACE_OF_R, PLACE_OF_O = 27, 32

server = display.Display()
fired = []


def layout(*words: str) -> None:
    subprocess.run(["setxkbmap", *words], check=True)
    time.sleep(0.5)


def hear(modifiers: int, place: int) -> list[str]:
    """Press so many modifiers and a key, and return which hotkeys fired."""
    fired.clear()
    codes = [server.keysym_to_keycode(XK.string_to_keysym(name)) for name in MODIFIERS[:modifiers]] + [place]
    for kind, order in ((X.KeyPress, codes), (X.KeyRelease, reversed(codes))):
        for code in order:
            xtest.fake_input(server, kind, code)
            server.sync()
            time.sleep(0.1)
    time.sleep(0.3)
    return list(fired)


def hotkeys() -> keyboard.GlobalHotKeys:
    listener = keyboard.GlobalHotKeys({name: lambda name=name: fired.append(name) for name in NAMES})
    listener.start()
    listener.wait()
    time.sleep(0.5)
    return listener


print("pynput", version("pynput"))
layout("us")
listener = hotkeys()
three = hear(3, PLACE_OF_R)
print("us, Ctrl+Alt+Shift+R:", three)
layout("us", "-variant", "dvorak")
typed, old = hear(2, PLACE_OF_O), hear(2, PLACE_OF_R)
print("changed to Dvorak, Ctrl+Alt and the key that types R now:", typed, "and the one that did:", old)
listener.stop()
layout("ru")
listener = hotkeys()
russian = hear(2, PLACE_OF_R)
print("ru from the start, Ctrl+Alt and the same key:", russian)
listener.stop()
assert set(three) == set(NAMES)
assert typed == [] and "<ctrl>+<alt>+r" in old
assert russian == []
PYTHON
