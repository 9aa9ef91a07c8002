"""Floods a terminal that fills the screen with text, as a build or a log does, while a quiet voice plays.

Usage: python -m benchmarks.stimulus.terminal [--seconds S] [--fps 30]

The terminal is xterm, which scrolls by copying what is on its screen. So many lines come that every picture is new.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from Xlib.display import Display

from benchmarks.stimulus import rate_parser
from benchmarks.stimulus.page import words
from benchmarks.stimulus.voice import show_with_voice

#: The cells of xterm's font `6x13`.
_CELL_WIDTH, _CELL_HEIGHT = 6, 13

_LINES_A_PICTURE: Final = 8

#: How long xterm may take to fill the screen with its first lines.
_DRAWN_S: Final = 1.0


def main() -> None:
    options = rate_parser(__doc__).parse_args()
    if sys.platform == "win32":
        raise OSError("xterm reads the text from a named pipe")
    program = shutil.which("xterm")
    if program is None:
        raise FileNotFoundError("xterm is not installed")
    display = Display()
    screen = display.screen()
    columns, rows = screen.width_in_pixels // _CELL_WIDTH - 1, screen.height_in_pixels // _CELL_HEIGHT
    display.close()
    # Otherwise the other program would be left.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit())
    text = words(3, 20_000)
    with tempfile.TemporaryDirectory() as folder:
        pipe = Path(folder, "lines")
        os.mkfifo(pipe)
        window = ["-fn", "6x13", "-b", "0", "-bw", "0", "+sb", "-geometry", f"{columns}x{rows}+0+0"]
        terminal = subprocess.Popen([program, *window, "-e", "cat", str(pipe)])
        try:
            with pipe.open("w") as lines:

                def draw(elapsed_s: float, count: int = _LINES_A_PICTURE) -> None:
                    first = round(elapsed_s * options.fps) * count
                    for number in range(first, first + count):
                        begin = number * columns * 7 // 11 % (len(text) - columns)
                        print(text[begin : begin + columns - number % 40], file=lines)
                    lines.flush()

                draw(0.0, rows)
                time.sleep(_DRAWN_S)
                show_with_voice(draw, options.fps, options.seconds)
        finally:
            terminal.terminate()
            terminal.wait()


if __name__ == "__main__":
    main()
