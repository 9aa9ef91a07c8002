#!/usr/bin/env bash
# dunst 1.9.0 without a configuration file says that it takes no markup in bodies, and renders markup all the same.
#
# Its list of capabilities follows one setting, and each notification another, whose default differs. So a program that
# follows the Desktop Notifications Specification sends `a & <b>.ogg` as it is, and dunst fails to parse it. With the
# configuration file of its package (markup = full) it says `body-markup`, and the program escapes the text.
# Needs Debian 12 with the libraries of its dunst, and Xvfb, dbus-run-session and gdbus. Exits 1 if the behaviour has
# changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$folder"' EXIT
(cd "$folder" && apt-get -q download dunst=1.9.0-0.1 >/dev/null 2>&1 && dpkg -x dunst_*.deb .)
export PATH=$folder/usr/bin:$PATH
Xvfb -displayfd 5 -screen 0 640x480x24 -nolisten tcp 5>"$folder/number" 2>/dev/null &
until [ -s "$folder/number" ]; do sleep 0.05; done
DISPLAY=:$(cat "$folder/number")
export DISPLAY folder
dbus-run-session -- bash -euo pipefail 2>/dev/null <<'SESSION'
call() {
    gdbus call --session --dest org.freedesktop.Notifications --object-path /org/freedesktop/Notifications \
        --method "org.freedesktop.Notifications.$1" "${@:2}"
}
dunst -config /dev/null -print >"$folder/dunst" 2>&1 &
gdbus wait --session --timeout 10 org.freedesktop.Notifications
call GetCapabilities >"$folder/capabilities"
call Notify try 0 '' title 'a & <b>.ogg' '[]' '{}' 5000 >/dev/null
sleep 1
kill %1
SESSION
dunst -version
tr -d '\n' <"$folder/capabilities"
echo
grep 'markup' "$folder/dunst"
! grep -q 'body-markup' "$folder/capabilities"
grep -q 'Unable to parse markup' "$folder/dunst"
