#!/usr/bin/env bash
# pynput 1.8.2 on X11 does not know Alt if Shift was pressed before it, so `<alt>+<shift>+r` fires in one order only.
#
# It names a key by the symbol that it has with the modifiers held at that moment. With Shift, the Alt key of the usual
# layouts is Meta, Tab is ISO_Left_Tab, and with Ctrl and Alt F1 is a switch of consoles. So Alt and then Shift and R
# fires the hotkey, Shift and then Alt and R does not, and `<shift>+<tab>` and `<ctrl>+<alt>+<f1>` never fire. A program
# that keeps a set of the keys held is wrong as well: Shift+A, with Shift let go first, is a press of A and a release of
# a. Name keys by their codes (`key.vk` is the symbol's number, not that).
# Needs Xvfb on PATH (tried with Debian 12's 21.1.7). Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
# Without its dependencies: evdev, which pynput does not use on X11, takes a compiler.
"$folder/venv/bin/pip" -q install --no-deps pynput==1.8.2 python-xlib==0.33 six==1.17.0
Xvfb -displayfd 3 -nolisten tcp 3>"$folder/display" 2>"$folder/log" &
until [ -s "$folder/display" ]; do sleep 0.05; done
DISPLAY=:$(cat "$folder/display")
export DISPLAY
"$folder/venv/bin/python" - <<'PYTHON'
import time
from importlib.metadata import version

from pynput import keyboard
from Xlib import XK, X, display
from Xlib.ext import xtest

fired: list[str] = []
heard: list[str] = []


def name(key: object) -> str:
    return str(key).strip("'")


server = display.Display()
names = ("<alt>+<shift>+r", "<ctrl>+<shift>+r", "<shift>+<tab>", "<ctrl>+<alt>+<f1>")
hotkeys = keyboard.GlobalHotKeys({each: lambda each=each: fired.append(each) for each in names})
listener = keyboard.Listener(
    on_press=lambda key: heard.append(f"{name(key)} down"), on_release=lambda key: heard.append(f"{name(key)} up")
)
for each in (hotkeys, listener):
    each.start()
    each.wait()


def send(kind: int, key: str) -> None:
    xtest.fake_input(server, kind, server.keysym_to_keycode(XK.string_to_keysym(key)))
    server.sync()


def typed(keys: str, *, in_order: bool = False) -> tuple[list[str], list[str]]:
    """Press these keys one after the other, let them go, and return the hotkeys fired and what a listener heard.

    A press and a release of the space bar end it: whatever came before is through then.
    """
    fired.clear()
    heard.clear()
    pressed = keys.split()
    for key in pressed:
        send(X.KeyPress, key)
    for key in pressed if in_order else reversed(pressed):
        send(X.KeyRelease, key)
    for kind in (X.KeyPress, X.KeyRelease):
        send(kind, "space")
    until = time.monotonic() + 10
    while "Key.space up" not in heard and time.monotonic() < until:
        time.sleep(0.05)
    # The hotkeys are another thread's.
    time.sleep(0.3)
    return fired[:], heard[:-2]


# The first key after the start is needed by nobody.
typed("b")
print("pynput", version("pynput"))
results = {}
for keys in ("Alt_L Shift_L r", "Shift_L Alt_L r", "Control_L Shift_L r", "Shift_L Control_L r", "Shift_L Tab"):
    results[keys], keys_heard = typed(keys)
    print(f"{keys}: fired {results[keys]}; heard {keys_heard}")
results["F1"], keys_heard = typed("Control_L Alt_L F1")
print(f"Control_L Alt_L F1: fired {results['F1']}; heard {keys_heard}")
_, letters = typed("Shift_L a", in_order=True)
print("Shift, a, Shift up, a up:", letters)
assert results["Alt_L Shift_L r"] == ["<alt>+<shift>+r"] and results["Shift_L Alt_L r"] == []
assert results["Control_L Shift_L r"] == results["Shift_L Control_L r"] == ["<ctrl>+<shift>+r"]
assert results["Shift_L Tab"] == results["F1"] == []
assert letters == ["Key.shift down", "A down", "Key.shift up", "a up"]
PYTHON
