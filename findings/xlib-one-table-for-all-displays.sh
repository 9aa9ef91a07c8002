#!/usr/bin/env bash
# python-xlib 0.33 sends requests to one display with the extension numbers of another.
#
# Each X server numbers its extensions itself. python-xlib keeps the numbers in one table of a class, so the display
# opened last overwrites those of all that are open. With two servers that offer different extensions, a request of the
# first display then reaches another extension, which answers an error, or does something else.
# Needs Xvfb on PATH (tried with Debian 12's 21.1.7). Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
servers=()
trap 'kill "${servers[@]}" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install python-xlib==0.33
start() { # start OPTION…: run a server on a free display and append its number to $displays
    Xvfb -displayfd 3 -screen 0 640x480x24 -nolisten tcp "$@" 3>"$folder/number" 2>/dev/null &
    servers+=($!)
    until [ -s "$folder/number" ]; do sleep 0.05; done
    displays+=(":$(cat "$folder/number")")
    : >"$folder/number"
}
displays=()
start
start -extension MIT-SHM -extension SYNC -extension XFIXES
"$folder/venv/bin/python" - "${displays[@]}" <<'PYTHON'
import signal
import sys

import Xlib
from Xlib import display, error


def asked() -> tuple[int, str]:
    """Ask the first display for its version of DAMAGE; return the number used for it, and what came of it."""
    number = first.display.get_extension_major("DAMAGE")
    try:
        return number, f"version {first.damage_query_version()._data['major_version']}"
    except error.XError as refused:
        return number, type(refused).__name__


print("python-xlib", Xlib.__version_string__)
signal.alarm(20)
first = display.Display(sys.argv[1])
alone = asked()
second = display.Display(sys.argv[2])
beside = asked()
print(f"alone: request {alone[0]}, {alone[1]}; with a second display open: request {beside[0]}, {beside[1]}")
true = first.query_extension("DAMAGE").major_opcode
assert alone == (true, "version 1")
assert beside[0] != true
assert beside[1] == "BadLength"
PYTHON
