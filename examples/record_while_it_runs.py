"""Record the screen and the sound while your own code runs, with a chapter mark for each step."""

import sys
import time

import capture

with capture.Recorder(sys.argv[1] if len(sys.argv) > 1 else "run.mp4") as recorder:
    for step in ("open", "edit", "save"):
        recorder.mark(step)
        time.sleep(0.5)  # your code

summary = recorder.summary
assert summary is not None
print(f"{summary.path}: {summary.duration_s:.1f} s, check {summary.check}")
