"""Keep the last 30 seconds in memory, and save them as a clip when a check fails."""

import sys
import time
from pathlib import Path

import capture

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")


def check(number: int) -> None:
    time.sleep(0.3)  # the program under test
    assert number != 2, "the second check fails"


with capture.Recorder(folder / "checks.mp4", standby=True, replay_s=30) as recorder:
    for number in range(1, 4):
        try:
            check(number)
        except AssertionError as failure:
            clip = recorder.save_clip(folder / f"check-{number}.mp4", last_s=10)
            print(f"{failure}: see {clip}")
