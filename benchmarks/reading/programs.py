"""The programs that `benchmarks.readers` tries: how each one is run, and what it showed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import av

from benchmarks.process import REPOSITORY
from benchmarks.reading.browsers import browser_frames
from benchmarks.reading.pictures import number_in, worst_level

__all__ = ["LENGTHS", "SEEKING", "WRITING", "Shown", "first_shown_s", "version_of"]

_TIMEOUT_S: Final = 180.0

#: The number in a picture and how far its worst colour is off, for each moment; -1 for no picture.
Shown = list[tuple[int, int]]


def _run(command: Sequence[str | Path], **more: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_TIMEOUT_S,
        check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "SDL_AUDIODRIVER": "dummy"},
        **more,
    )


def version_of(program: str, python: str) -> str:
    """Return the version of a program, or "" if it is not there."""
    if program in _LIBRARIES:
        package = _LIBRARIES[program]
        code = f"from importlib import metadata; print(metadata.version({package!r}))"
        done = _run([python, "-c", code])
        return done.stdout.decode().strip() if done.returncode == 0 else ""
    command = _command(program, python)
    if not command:
        return ""
    option = {"faad": "-h"}.get(program, "-version" if program.startswith("ff") else "--version")
    done = _run([*_as_user(program), command, option])
    found = re.search(r"(?<![-\w.])[nvV]?(\d+(?:\.\d+)+)", (done.stderr + done.stdout).decode("utf-8", "replace"))
    return found[1] if found else "?"


def _as_user(program: str) -> list[str]:
    """Return what has to come before the command: VLC refuses to run as root."""
    if sys.platform == "win32" or program != "cvlc" or os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def _command(program: str, python: str) -> str:
    if program != "ffmpeg of imageio-ffmpeg":
        return shutil.which(program) or ""
    done = _run([python, "-c", "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())"])
    return done.stdout.decode().strip()


#: The package of each library that `worker` knows.
_LIBRARIES: Final = {
    "PyAV": "av",
    "OpenCV": "opencv-python-headless",
    "MoviePy": "moviepy",
    "MoviePy, written": "moviepy",
    "decord2": "decord2",
    "soundfile": "soundfile",
    "mutagen": "mutagen",
}


def _worker(program: str, path: Path, python: str, moments_s: Sequence[float] = ()) -> Any:
    done = _run([python, "-m", "benchmarks.reading.worker", program, path, *map(str, moments_s)], cwd=REPOSITORY)
    if done.returncode:
        raise RuntimeError(done.stderr.decode("utf-8", "replace").strip().splitlines()[-1])
    return json.loads(done.stdout.splitlines()[-1])["found"]


def _image(path: Path) -> tuple[int, int]:
    with av.open(str(path)) as container:
        image = next(container.decode(video=0)).to_ndarray(format="rgb24")
    return number_in(image), worst_level(image)


# What is shown at a moment


def _by_library(program: str, path: Path, moments_s: Sequence[float], python: str) -> Shown:
    return [(number, level) for number, level in _worker(program, path, python, moments_s)]


def _by_ffmpeg(program: str, path: Path, moments_s: Sequence[float], python: str) -> Shown:
    return _stills(
        moments_s, lambda at_s, to: [_command(program, python), "-y", "-ss", at_s, "-i", path, "-frames:v", "1", to]
    )


def _by_mpv(program: str, path: Path, moments_s: Sequence[float], python: str) -> Shown:
    options = ("--no-config", "--no-audio", "--hr-seek=yes", "--frames=1", "--vo=image", "--vo-image-format=png")
    return _stills(
        moments_s, lambda at_s, to: ["mpv", *options, f"--vo-image-outdir={to.parent}", f"--start={at_s}", path]
    )


def _by_vlc(program: str, path: Path, moments_s: Sequence[float], python: str) -> Shown:
    options = [*_as_user(program), "cvlc", "-I", "dummy", "--no-audio", "--vout=dummy", "--no-video-title-show"]
    options += ["--video-filter=scene", "--scene-format=png", "--scene-ratio=1000000", "--run-time=1"]
    return _stills(
        moments_s,
        lambda at_s, to: [*options, f"--scene-path={to.parent}", f"--start-time={at_s}", path, "vlc://quit"],
    )


def _stills(moments_s: Sequence[float], command: Callable[[str, Path], Sequence[str | Path]]) -> Shown:
    """Run a command for each moment that writes one picture into an empty folder."""
    shown: Shown = []
    for at_s in moments_s:
        with tempfile.TemporaryDirectory() as name:
            Path(name).chmod(0o777)
            _run(command(f"{at_s:.4f}", Path(name, "shown.png")))
            written = sorted(Path(name).iterdir())
            shown.append(_image(written[0]) if written else (-1, 0))
    return shown


SEEKING: Final[dict[str, Callable[[str, Path, Sequence[float], str], Shown]]] = {
    "ffmpeg": _by_ffmpeg,
    "ffmpeg of imageio-ffmpeg": _by_ffmpeg,
    "mpv": _by_mpv,
    "cvlc": _by_vlc,
    "chromium": browser_frames,
    "firefox-esr": browser_frames,
    "PyAV": _by_library,
    "decord2": _by_library,
    "OpenCV": _by_library,
    "MoviePy": _by_library,
}


# What is left after a conversion


def _ffmpeg_writes(program: str, path: Path, folder: Path, python: str) -> Path:
    made = folder / f"ffmpeg{path.suffix}"
    _run([_command(program, python), "-y", "-i", path, made])
    return made


def _gstreamer_writes(program: str, path: Path, folder: Path, python: str) -> Path:
    made = folder / "gstreamer.mkv"
    steps = "decodebin ! videoconvert ! vp8enc deadline=1 max-quantizer=10 ! matroskamux ! filesink"
    _run(["gst-launch-1.0", *f"filesrc location={path} ! {steps} location={made}".split()])
    return made


def _mkvmerge_writes(program: str, path: Path, folder: Path, python: str) -> Path:
    made = folder / "mkvmerge.mkv"
    _run(["mkvmerge", "-o", made, path])
    return made


def _melt_writes(program: str, path: Path, folder: Path, python: str) -> Path:
    made = folder / "melt.mp4"
    consumer = (f"avformat:{made}", "vcodec=libx264", "preset=ultrafast", "an=1", "real_time=-1")
    _run(["melt", "-profile", "atsc_720p_30", path, "-consumer", *consumer])
    return made


def _handbrake_writes(program: str, path: Path, folder: Path, python: str) -> Path:
    made = folder / "handbrake.mp4"
    _run(["HandBrakeCLI", "-i", path, "-o", made, "-e", "x264", "--encoder-preset", "ultrafast", "--crop", "0:0:0:0"])
    return made


def _moviepy_writes(program: str, path: Path, folder: Path, python: str) -> Path:
    return Path(_worker(program, path, python))


WRITING: Final[dict[str, Callable[[str, Path, Path, str], Path]]] = {
    "ffmpeg": _ffmpeg_writes,
    "ffmpeg of imageio-ffmpeg": _ffmpeg_writes,
    "gst-launch-1.0": _gstreamer_writes,
    "mkvmerge": _mkvmerge_writes,
    "melt": _melt_writes,
    "HandBrakeCLI": _handbrake_writes,
    "MoviePy, written": _moviepy_writes,
}


def first_shown_s(path: Path) -> tuple[dict[int, float], int]:
    """Return when each number is first shown in a file, counted from its first frame, and the worst colour."""
    found: dict[int, float] = {}
    worst, begins_s = 0, None
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            image = frame.to_ndarray(format="rgb24")
            begins_s = frame.time if begins_s is None else begins_s
            found.setdefault(number_in(image), float(frame.time or 0) - float(begins_s or 0))
            worst = max(worst, worst_level(image))
    return found, worst


# How long a file is


def _faad_length(program: str, path: Path, python: str) -> float:
    done = _run(["faad", "-w", "-f", "2", "-b", "1", path])
    return len(done.stdout) / 4 / 48_000


def _mediainfo_length(program: str, path: Path, python: str) -> float:
    return int(float(_run(["mediainfo", "--Inform=General;%Duration%", path]).stdout)) / 1000


def _ffprobe_length(program: str, path: Path, python: str) -> float:
    return float(_run(["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", path]).stdout)


def _library_length(program: str, path: Path, python: str) -> float:
    return float(_worker(program, path, python))


LENGTHS: Final[dict[str, Callable[[str, Path, str], float]]] = {
    "ffprobe": _ffprobe_length,
    "mediainfo": _mediainfo_length,
    "soundfile": _library_length,
    "mutagen": _library_length,
    "faad": _faad_length,
}
