#!/usr/bin/env bash
# libpulse 16.1 forgets a `pa_mainloop_wakeup` that comes before the loop waits.
#
# `pa_mainloop_prepare`, the first step of `pa_mainloop_iterate`, empties the pipe into which the call has written. So a
# thread that leaves work and then wakes the loop is not heard if the loop is just between two iterations: it waits with
# the work undone, on a quiet connection for ever. Loops such as GLib's and asyncio's keep such a wake-up. Let the loop
# watch a descriptor of your own, or look for work between prepare and poll.
# Needs Debian 12 with the libraries of its libpulse0. Exits 1 if the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -q download libpulse0=16.1+dfsg1-2+b1 >/dev/null 2>&1
dpkg -x libpulse0_*.deb .
library=$(dirname "$folder"/usr/lib/*/libpulse.so.0)
export LD_LIBRARY_PATH=$library:$library/pulseaudio
python3 - <<'PYTHON'
import ctypes
import threading

library = ctypes.CDLL("libpulse.so.0")
library.pa_get_library_version.restype = library.pa_mainloop_new.restype = ctypes.c_void_p
library.pa_mainloop_wakeup.argtypes = [ctypes.c_void_p]
library.pa_mainloop_iterate.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
loop = library.pa_mainloop_new()


def iteration() -> threading.Thread:
    """Start one iteration of the loop, which waits until something happens."""
    thread = threading.Thread(target=library.pa_mainloop_iterate, args=(loop, 1, None), daemon=True)
    thread.start()
    return thread


library.pa_mainloop_wakeup(loop)
thread = iteration()
thread.join(2)
early = not thread.is_alive()
library.pa_mainloop_wakeup(loop)
thread.join(2)
late = not thread.is_alive()
print("libpulse", ctypes.string_at(library.pa_get_library_version()).decode())
print(f"a wake-up before the iteration ends it: {early}; one while it waits: {late}")
assert (early, late) == (False, True)
PYTHON
