"""Shows the demo on the screen, plays its sound, and exits at the end."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from Xlib.error import ConnectionClosedError, DisplayError

from capture.errors import NotReadyError
from capture.system.packages import how_to_install
from demo.canvas import Canvas
from demo.parts import Clock, Note, Part, Spectrum, Words
from demo.stage import BRIGHT, DIM, DUSK, NIGHT, RED, Stage
from demo.voice import Voice, sing, speak, write_wav
from demo.window import Window

SENTENCES: Final = (
    "This program runs on a private screen.",
    "Capture records what it shows,",
    "and what it plays,",
    "together and in time, into one file.",
)

FRAME_S: Final = 1 / 30

#: How long the last picture stays on the screen.
LINGER_S: Final = 0.7


def main() -> int:
    """Run the demo and return the exit code: 1, with a message, when it cannot be shown."""
    try:
        try:
            voice = speak(SENTENCES)
        except FileNotFoundError:
            voice = sing(SENTENCES)
        with Window("capture demo") as window:
            perform(window, voice)
    except (NotReadyError, DisplayError, ConnectionClosedError) as error:
        print(f"cannot show the demo: {error}", file=sys.stderr)
        return 1
    return 0


def perform(window: Window, voice: Voice) -> None:
    """Show and play `voice` to its end. Raises `NotReadyError` when it cannot be played."""
    stage = Stage(window)
    parts: list[Part] = [Clock(stage, voice), Words(stage, voice), Spectrum(stage, voice), Note(stage, voice)]
    background = Canvas(window.width, window.height, NIGHT, DUSK)
    paint_head(stage, background)
    for part in parts:
        part.paint(background)
    window.show(background)
    with tempfile.TemporaryDirectory(prefix="capture-demo-") as folder:
        sound = Path(folder) / "demo.wav"
        write_wav(voice, sound)
        with play(sound) as player:
            begun_s = time.monotonic()
            while (at_s := time.monotonic() - begun_s) < voice.duration_s + LINGER_S:
                for part in parts:
                    part.draw(min(at_s, voice.duration_s))
                window.flush()
                time.sleep(FRAME_S)
            if player.wait() != 0:
                raise NotReadyError("paplay failed", "check that the sound server is running")


def paint_head(stage: Stage, background: Canvas) -> None:
    """Draw the program's name and a note of where it runs."""
    background.disc(stage.x(64), stage.y(70), stage.px(13), RED)
    (name,) = stage.letters(["capture"], 44, bold=True)
    background.stamp(name, stage.x(94), stage.y(84 - 44), BRIGHT)
    (place,) = stage.letters(["a private screen with its own sound"], 20)
    background.stamp(place, stage.x(1232) - place.shape[1], stage.y(82 - 20), DIM)


def play(sound: Path) -> subprocess.Popen[bytes]:
    """Start to play a file and return the player. Raises `NotReadyError` when paplay is not installed."""
    try:
        return subprocess.Popen(["paplay", "--latency-msec=40", str(sound)])
    except FileNotFoundError:
        raise NotReadyError("paplay is not installed", how_to_install("paplay")) from None


if __name__ == "__main__":
    sys.exit(main())
