"""Text on a real screen stays legible in a recording at the default quality."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from conftest import RunCapture

from benchmarks.process import started
from benchmarks.similarity import luma, similarity
from capture.media import Pixels, Rectangle
from capture.sources.mss_reader import MssReader
from capture.virtual.desk import VirtualDesk

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

#: The least similarity between the screen and the recording.
LEAST_SIMILARITY = 0.97


def last_picture(path: Path) -> Pixels:
    with av.open(str(path)) as container:
        *_, last = container.decode(video=0)
        return cast(Pixels, last.to_ndarray(format="bgra"))


def test_a_page_of_text_stays_legible(
    in_process_desk: VirtualDesk, desk_environment: dict[str, str], run_capture: RunCapture, tmp_path: Path
) -> None:
    path = tmp_path / "page.mp4"
    with started([sys.executable, "-m", "benchmarks.stimulus.still"], desk_environment):
        done = run_capture("record", path, "--duration", "1s", "--audio", "none", "--no-cursor", "--no-hotkeys")
        assert done.returncode == 0, done.stderr
        reader = MssReader()
        screen = luma(reader.grab(Rectangle(0, 0, 1280, 720)))
        reader.close()
    assert np.unique(screen).size > 1, "an empty screen is no test"
    recorded = luma(last_picture(path))
    assert similarity(screen, recorded) >= LEAST_SIMILARITY
    # The measure is sensitive: shifting the page by three rows fails it.
    assert similarity(np.roll(screen, 3, axis=0), recorded) < LEAST_SIMILARITY
