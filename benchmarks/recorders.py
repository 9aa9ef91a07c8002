"""Runs the recorders under comparison the way a user would."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from benchmarks.desk import Desk
from benchmarks.process import Outcome, run

__all__ = ["FPS", "RECORDERS", "Capture", "Ffmpeg", "Order", "Recorder", "Recording", "WfRecorder"]

FPS = 30

#: The bit rate that `capture` uses for stereo sound without a picture.
_SOUND_BITRATE: Final = "128k"

#: A recorder that takes this much longer than the recording hangs.
_GRACE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Recording:
    """A finished file and what it cost to make. `summary` is the recorder's own report."""

    path: Path
    outcome: Outcome
    summary: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Order:
    """What to record: the desk's screen and internal audio, or only sound if `path` ends in .ogg.

    Without `sound`, only the screen. Recorders that always write every slot ignore `constant_fps`. Those that know no
    monitors record all of them anyway, whatever `all_screens` says.
    """

    path: Path
    seconds: float
    desk: Desk
    fps: int = FPS
    constant_fps: bool = False
    sound: bool = True
    all_screens: bool = False


class Recorder(Protocol):
    """A program that can record a screen."""

    @property
    def name(self) -> str: ...

    def record(self, order: Order) -> Recording: ...


class Capture:
    """This project."""

    name = "capture"

    def record(self, order: Order) -> Recording:
        argv = [sys.executable, "-m", "capture", "record", str(order.path)]
        argv += ["--duration", f"{order.seconds:g}s", "--no-hotkeys", "--json", "--fps", str(order.fps)]
        argv += ["--screen", "all"] if order.all_screens else []
        argv += ["--constant-fps"] if order.constant_fps else []
        argv += [] if order.sound else ["--audio", "none"]
        outcome = _run(argv, order)
        return Recording(order.path, outcome, json.loads(outcome.output))


class Ffmpeg:
    """ffmpeg with the options from its documentation, and with the pixel format that users add to them."""

    def __init__(self, name: str = "ffmpeg", pixel_format: str = "yuv420p") -> None:
        self.name = name
        self._pixel_format = pixel_format

    def record(self, order: Order) -> Recording:
        program = shutil.which("ffmpeg")
        if program is None:
            raise FileNotFoundError("ffmpeg is not installed")
        sound = ["-f", "pulse", "-i", f"{order.desk.sink}.monitor"] if order.sound else []
        if order.path.suffix == ".ogg":
            argv = [*sound, "-c:a", "libopus", "-b:a", _SOUND_BITRATE]
        else:
            width, height = order.desk.size
            argv = ["-f", "x11grab", "-framerate", str(order.fps), "-video_size", f"{width}x{height}"]
            argv += [
                "-i",
                order.desk.environment["DISPLAY"],
                *sound,
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
                "-pix_fmt",
                self._pixel_format,
                "-c:a",
                "aac",
            ]
        argv = [program, "-nostdin", "-y", *argv, "-t", f"{order.seconds:g}", str(order.path)]
        return Recording(order.path, _run(argv, order), {})


class WfRecorder:
    """wf-recorder on a wlroots desktop, as its manual records a screen with sound, and with ffmpeg's fastest preset.

    It has no time limit, so a signal ends it. A still screen is recorded with `-D`, which takes every frame; without
    it, version 0.3 does not end then.
    """

    name = "wf-recorder"

    def __init__(self, *, on_still_screen: bool = False) -> None:
        self._options = ["-D"] if on_still_screen else []

    def record(self, order: Order) -> Recording:
        argv = ["timeout", "--signal=INT", "--preserve-status", f"{order.seconds:g}", "wf-recorder", *self._options]
        # `-t` halves the colours, as nearly every player needs it.
        argv += ["-c", "libx264", "-p", "preset=ultrafast", "-t", f"--audio={order.desk.sink}.monitor"]
        outcome = _run([*argv, "-f", str(order.path)], order)
        # It does not say what it left out, and what did not change is not in the file either.
        return Recording(order.path, outcome, {"video": {"dropped": None}})


#: `capture` comes first, then the programs it is compared with.
RECORDERS: Final[tuple[Recorder, ...]] = (Capture(), Ffmpeg())

#: For the cost alone: what the options of its documentation make of a screen.
FULL_COLOUR: Final = Ffmpeg("ffmpeg 4:4:4", "yuv444p")


def _run(argv: list[str], order: Order) -> Outcome:
    outcome = run(argv, order.desk.environment, order.seconds + _GRACE_S)
    if outcome.exit_code != 0:
        raise RuntimeError(f"{argv[0]} failed with exit code {outcome.exit_code}: {outcome.errors[-1000:]}")
    return outcome
