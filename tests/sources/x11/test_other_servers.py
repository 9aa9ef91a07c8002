"""Recording on X servers other than Xvfb: one for VNC, one in a window, and Xorg with two monitors."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from reopened import pictures
from running import Recorder, kinds
from stage import BLACK, BLUE, RED, Colour, Pane

if sys.platform != "linux":
    pytest.skip("X servers need Linux", allow_module_level=True)

#: How far codecs and 4:2:0 subsampling may change a colour in the middle of an area.
COLOUR_TOLERANCE: Final = 3

#: Each server with its options; -displayfd lets it choose its number.
SERVERS: Final = {
    "Xvnc": ("-geometry", "320x240", "-depth", "24", "-SecurityTypes", "None", "-rfbport", "-1"),
    # Without -noreset it drops who connects just when the last client has gone.
    "Xephyr": ("-screen", "320x240", "-ac", "-noreset"),
    "Xorg": ("-noreset", "-nolisten", "tcp", "-novtswitch", "-sharevts"),
}

HEADS: Final = """\
Section "Device"
    Identifier "device"
    Driver "dummy"
    VideoRam 65536
EndSection
Section "Screen"
    Identifier "screen"
    Device "device"
    DefaultDepth 24
    SubSection "Display"
        Virtual 2048 1024
    EndSubSection
EndSection
"""


@contextmanager
def server(name: str, environment: Mapping[str, str], *options: str) -> Iterator[dict[str, str]]:
    """Run an X server; yield the environment of its programs."""
    from Xlib.protocol import display, event

    reading, writing = os.pipe()
    argv = [name, "-displayfd", str(writing), *SERVERS[name], *options]
    with subprocess.Popen(
        argv, env=dict(environment), pass_fds=[writing], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        os.close(writing)
        try:
            with os.fdopen(reading) as written:
                number = written.readline().strip()
            assert number, f"{name} does not start"
            with pytest.MonkeyPatch.context() as patch:
                # python-xlib keeps the event numbers of one server for all connections.
                patch.setattr(display.Display, "event_classes", event.event_class.copy())
                yield {**environment, "DISPLAY": f":{number}", "XAUTHORITY": os.devnull}
        finally:
            process.terminate()


def recorded(environment: Mapping[str, str], folder: Path, *arguments: str) -> Recorder:
    more = ("--audio", "none", "--no-hotkeys", "--quality", "high", "--json")
    return Recorder(environment, folder, "record", folder / "made.mkv", *more, *arguments)


def assert_shows(path: Path, x: int, y: int, colour: Colour) -> None:
    """Assert what the last frame shows around a place."""
    seen = pictures(path).last[y - 8 : y + 8, x - 8 : x + 8].reshape(-1, 3).mean(axis=0)
    assert np.abs(seen - colour).max() <= COLOUR_TOLERANCE, seen


@pytest.mark.parametrize("name", ["Xvnc", "Xephyr"])
def test_what_changes_is_recorded(name: str, capture_environment: dict[str, str], folder: Path) -> None:
    with server(name, capture_environment) as environment, recorded(environment, folder) as recorder:
        recorder.until_recording(folder / "made.mkv")
        with Pane(environment, "pane", (100, 60, 64, 64), RED):
            recorder.until_grown(folder / "made.mkv")
            summary = recorder.stop()
    assert (summary["check"], summary["video"]["width"], summary["video"]["height"]) == ("ok", 320, 240)
    assert_shows(folder / "made.mkv", 132, 92, RED)
    assert_shows(folder / "made.mkv", 40, 40, BLACK)


def xrandr(environment: Mapping[str, str], *arguments: str) -> None:
    subprocess.run(["xrandr", *arguments], env=dict(environment), check=True, timeout=30)


@pytest.mark.skipif(
    not os.access("/dev/tty0", os.W_OK), reason="Xorg opens the console, which root may where there is one"
)
def test_a_second_monitor_is_followed_to_another_mode_and_place(
    capture_environment: dict[str, str], folder: Path, tmp_path: Path
) -> None:
    configuration = tmp_path / "heads.conf"
    configuration.write_text(HEADS)
    options = ("-config", str(configuration), "-logfile", str(tmp_path / "xorg.log"))
    with server("Xorg", capture_environment, *options) as environment:
        for mode, width, height in (("large", 400, 300), ("small", 200, 150)):
            sides = [side + more for side in (width, height) for more in range(4)]
            xrandr(environment, "--newmode", mode, "25", *map(str, sides))
            xrandr(environment, "--addmode", "DUMMY1", mode)
        xrandr(environment, "--output", "DUMMY0", "--mode", "640x480", "--pos", "0x0")
        xrandr(environment, "--output", "DUMMY1", "--mode", "large", "--pos", "640x100")
        with recorded(environment, folder, "--screen", "DUMMY1") as recorder:
            recorder.until_recording(folder / "made.mkv")
            xrandr(environment, "--output", "DUMMY1", "--mode", "small", "--pos", "700x50")
            with Pane(environment, "pane", (700, 50, 200, 150), BLUE):
                recorder.until_grown(folder / "made.mkv")
                summary = recorder.stop()
    assert (summary["check"], summary["video"]["width"], summary["video"]["height"]) == ("ok", 400, 300)
    assert "display_changed" in kinds(summary)
    assert_shows(folder / "made.mkv", 200, 150, BLUE)
    assert_shows(folder / "made.mkv", 40, 30, BLACK)
