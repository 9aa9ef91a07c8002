"""The recorders that are compared, as a user would call them."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from benchmarks.process import Outcome, run

__all__ = ["FPS", "HEIGHT", "RECORDERS", "WIDTH", "Capture", "Ffmpeg", "Recorder", "Recording"]

WIDTH, HEIGHT, FPS = 1920, 1080, 30

#: What `capture` gives to sound alone in stereo.
_SOUND_BITRATE: Final = "128k"

#: A recorder that has not ended by then hangs.
_GRACE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Recording:
    """A finished file and what making it took. `summary` is what the recorder itself says about it."""

    path: Path
    outcome: Outcome
    summary: dict[str, Any]


class Recorder(Protocol):
    """Records screen and internal audio, or sound alone where `path` ends in .ogg."""

    @property
    def name(self) -> str: ...

    def record(
        self,
        path: Path,
        seconds: float,
        environment: Mapping[str, str],
        sink: str,
        *,
        fps: int = FPS,
        constant_fps: bool = False,
    ) -> Recording:
        """Record for so long. A recorder that always writes every slot has no need of `constant_fps`."""
        ...


class Capture:
    """This project."""

    name = "capture"

    def record(
        self,
        path: Path,
        seconds: float,
        environment: Mapping[str, str],
        sink: str,
        *,
        fps: int = FPS,
        constant_fps: bool = False,
    ) -> Recording:
        argv = [sys.executable, "-m", "capture", "record", str(path), "--duration", f"{seconds:g}s"]
        argv += ["--no-hotkeys", "--json", "--fps", str(fps), *(["--constant-fps"] if constant_fps else [])]
        outcome = _run(argv, environment, seconds)
        return Recording(path, outcome, json.loads(outcome.output))


class Ffmpeg:
    """ffmpeg with the options that its own documentation gives for this."""

    name = "ffmpeg"

    def record(
        self,
        path: Path,
        seconds: float,
        environment: Mapping[str, str],
        sink: str,
        *,
        fps: int = FPS,
        constant_fps: bool = False,
    ) -> Recording:
        program = shutil.which("ffmpeg")
        if program is None:
            raise FileNotFoundError("ffmpeg is not installed")
        sound = ["-f", "pulse", "-i", f"{sink}.monitor"]
        if path.suffix == ".ogg":
            argv = [*sound, "-c:a", "libopus", "-b:a", _SOUND_BITRATE]
        else:
            argv = ["-f", "x11grab", "-framerate", str(fps), "-video_size", f"{WIDTH}x{HEIGHT}"]
            argv += ["-i", environment["DISPLAY"], *sound, "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac"]
        argv = [program, "-nostdin", "-y", *argv, "-t", f"{seconds:g}", str(path)]
        return Recording(path, _run(argv, environment, seconds), {})


#: `capture` first: each is followed by what it is compared with.
RECORDERS: Final[tuple[Recorder, ...]] = (Capture(), Ffmpeg())


def _run(argv: list[str], environment: Mapping[str, str], seconds: float) -> Outcome:
    outcome = run(argv, environment, seconds + _GRACE_S)
    if outcome.exit_code != 0:
        raise RuntimeError(f"{argv[0]} ended with {outcome.exit_code}: {outcome.errors[-1000:]}")
    return outcome
