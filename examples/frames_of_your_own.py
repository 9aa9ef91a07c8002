"""Record frames and samples that your own code makes; here a grey picture that gets lighter, and silence."""

import sys

import numpy as np

import capture

clock = capture.MonotonicClock()
frames = [(n / 10, np.full((240, 320, 4), 40 + 10 * n, np.uint8)) for n in range(20)]
silence = [capture.ScriptedBlock(np.zeros((4800, 2), np.float32), n / 10) for n in range(40)]

summary = capture.record(
    sys.argv[1] if len(sys.argv) > 1 else "grey.mkv",
    sources=capture.GivenSources(
        capture.ScriptedFrames(clock, frames), [capture.ScriptedSamples("silence", clock, silence)]
    ),
    audio="silence",
    duration_s=1.5,
)
print(summary.path, summary.video)
