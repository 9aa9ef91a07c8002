"""Shows a still page of text while a quiet voice plays.

Usage: python -m benchmarks.stimulus.still [--seconds S]
"""

from __future__ import annotations

from benchmarks.stimulus import argument_parser
from benchmarks.stimulus.page import TextPainter
from benchmarks.stimulus.screen import FullScreen
from benchmarks.stimulus.voice import show_with_voice


def main() -> None:
    options = argument_parser(__doc__).parse_args()
    with FullScreen() as screen:
        TextPainter(screen).page(screen.window, screen.width, screen.height)
        screen.settle()
        show_with_voice(lambda elapsed_s: None, 10, options.seconds)


if __name__ == "__main__":
    main()
