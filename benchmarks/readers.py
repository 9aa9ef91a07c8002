"""Do players, editors and libraries read the files right? Tries whichever of twenty programs are there.

Usage: python -m benchmarks.readers [--python VENV/bin/python] [--only WORD …] [--json [FILE]]

The files hold pictures that carry their number, in HD, with known colours: a still screen, typing, a lively stretch,
and a still screen again. Each program is asked what it shows at moments in the middle of pictures, or converts the file
without any option that concerns time; and it is asked how long files of sound are. A cell says:

- right: every picture, within a slot of 1/30 s;
- next: at some moments the next picture, because the program shows the first one that begins there or later;
- otherwise what is missing or wrong, and by how much; ± says how far the worst colour is off, of 255 levels.

`--python` names an interpreter with libraries that are not installed here, such as a virtual environment with OpenCV,
MoviePy, decord2, imageio-ffmpeg, soundfile and mutagen. Programs that are missing are left out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.reading.pictures import HEIGHT, WIDTH, picture
from benchmarks.reading.programs import LENGTHS, SEEKING, WRITING, Shown, first_shown_s, version_of
from benchmarks.report import add_json_option, announce, publish, table
from capture.codecs.audio_encoder import AudioEncoder
from capture.codecs.video_encoder import VideoEncoder
from capture.formats import CONTAINERS
from capture.media import SAMPLE_RATE, VIDEO_TICKS_PER_S
from capture.output.muxer import Muxer
from capture.recordings.constant_rate import with_constant_rate
from capture.recordings.contiguous import make_contiguous

FPS: Final = 30
SLOT_S: Final = 1 / FPS
HEARTBEAT_S: Final = 0.5512

#: When each number is drawn, and where the file ends.
STILL_S, TYPED_S, LIVELY_S, LENGTH_S = 6.0, 10.0, 14.0, 16.0
DRAWN_S: Final = (
    *(0.0, *np.arange(STILL_S, TYPED_S, 1 / 8)),
    *(TYPED_S + 0.011 + slot / FPS for slot in range(round((LIVELY_S - TYPED_S) * FPS))),
)

#: Moments in the middle of pictures, or half a slot after they were drawn.
SOUGHT: Final = (0, 2, 9, 20, 32, 33, 40, 63, 90, 121, len(DRAWN_S) - 1)

#: Files of sound alone have this length.
SOUND_S: Final = 10.35

PICTURE_FILES: Final = ("mp4", "constant.mp4", "killed.mp4", "mkv", "webm")
#: Asks a program for a file, with an interpreter for libraries; returns the cell.
_Test = Callable[[str, Path, str], str]

SOUND_FILES: Final = ("m4a", "ogg", "mp3", "flac", "wav", "killed.flac", "killed.wav")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="an interpreter with more libraries")
    parser.add_argument("--only", nargs="+", default=[""], metavar="WORD", help="programs with this in their name")
    add_json_option(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        # VLC runs as another user.
        folder = Path(name)
        folder.chmod(0o755)
        announce("making files")
        pictures, sounds = _picture_files(folder), _sound_files(folder)
        tests: list[tuple[str, str, _Test, dict[str, Path]]] = [
            *((program, "seeks", _sought, pictures) for program in SEEKING),
            *((program, "converts", _written, pictures) for program in WRITING),
            *((program, "length", _length, sounds) for program in LENGTHS),
        ]
        rows: dict[str, list[list[str]]] = {"pictures": [], "sounds": []}
        for program, what, read, files in tests:
            # PyAV is what capture itself writes with.
            python = sys.executable if program == "PyAV" else arguments.python
            version = version_of(program, python)
            if not version or not any(word in program for word in arguments.only):
                continue
            announce(f"{program} {version} {what}")
            cells = [_cell(read, program, path, python) for path in files.values()]
            rows["sounds" if files is sounds else "pictures"].append([program, version, what, *cells])
    head = ["program", "version", ""]
    text = "\n\n".join(
        table([*head, *names], rows[kind])
        for kind, names in (("pictures", PICTURE_FILES), ("sounds", SOUND_FILES))
        if rows[kind]
    )
    publish(text, rows, arguments.json)
    return 0


def _cell(read: _Test, program: str, path: Path, python: str) -> str:
    try:
        return read(program, path, python)
    except Exception:
        # That a program cannot read a file is a result, too.
        return "no"


def _sought(program: str, path: Path, python: str) -> str:
    ends_s = (*DRAWN_S[1:], LENGTH_S)
    moments_s = [DRAWN_S[number] + min(ends_s[number] - DRAWN_S[number], 2 * SLOT_S) / 2 for number in SOUGHT]
    shown: Shown = SEEKING[program](program, path, moments_s, python)
    wrong, following, worst_s = 0, 0, 0.0
    for wanted, at_s, (number, _) in zip(SOUGHT, moments_s, shown, strict=True):
        if number == wanted + 1:
            following += 1
        elif not 0 <= number < len(DRAWN_S):
            wrong, worst_s = wrong + 1, max(worst_s, at_s)
        elif number != wanted:
            off_s = max(DRAWN_S[number] - at_s, at_s - ends_s[number])
            wrong, worst_s = wrong + (off_s > SLOT_S), max(worst_s, off_s)
    level = max((level for _, level in shown), default=0)
    if wrong:
        return f"{wrong} of {len(SOUGHT)} wrong, by {worst_s:.2f} s"
    return f"{'next' if following else 'right'}, ±{level}"


def _written(program: str, path: Path, python: str) -> str:
    with tempfile.TemporaryDirectory(dir=path.parent) as name:
        shown_s, level = first_shown_s(WRITING[program](program, path, Path(name), python))
    wanted = dict(enumerate(DRAWN_S[:-1] if "killed" not in path.name else DRAWN_S[:-20]))
    off_s = [abs(shown_s[number] - at_s) for number, at_s in wanted.items() if number in shown_s]
    if len(off_s) < len(wanted) or max(off_s) > 1.1 * SLOT_S:
        return f"{len(off_s)} of {len(wanted)}, off by {max(off_s, default=0.0):.2f} s"
    return f"right, ±{level}"


def _length(program: str, path: Path, python: str) -> str:
    found_s = LENGTHS[program](program, path, python)
    if not found_s:
        return "no"
    # MP3 ends with a whole packet; a kill may cost the last second and a half.
    tolerance_s = 1.5 if "killed" in path.name else 0.06
    return "right" if abs(found_s - SOUND_S) <= tolerance_s else f"{found_s:.3f} s"


def _frames() -> Iterator[tuple[float, int | None]]:
    """Yield when each picture comes, with its number; without one for the repeats of a still screen."""
    moments: list[tuple[float, int | None]] = [(at_s, number) for number, at_s in enumerate(DRAWN_S)]
    moments += [(float(at_s), None) for at_s in np.arange(HEARTBEAT_S, STILL_S, HEARTBEAT_S)]
    moments += [(float(at_s), None) for at_s in np.arange(DRAWN_S[-1] + HEARTBEAT_S, LENGTH_S, HEARTBEAT_S)]
    yield from sorted(moments, key=lambda moment: moment[0])


def _picture_files(folder: Path) -> dict[str, Path]:
    made = {}
    for extension in ("mp4", "mkv", "webm"):
        kind, path = CONTAINERS[extension], folder / f"made.{extension}"
        video = VideoEncoder(str(kind.video_codec), WIDTH, HEIGHT, FPS)
        audio = AudioEncoder(kind.audio_codec, 2)
        muxer = Muxer(path, kind)
        muxer.start([video.template, audio.template])
        heard_s = 0.0
        for at_s, number in _frames():
            pts = round(at_s * VIDEO_TICKS_PER_S)
            for packet in video.repeat(pts) if number is None else video.encode(picture(number), pts):
                muxer.write(0, packet)
            while heard_s < at_s:
                for heard in audio.encode(_noise(0.1)):
                    muxer.write(1, heard)
                heard_s += 0.1
        if extension == "mp4":
            made["killed.mp4"] = _killed(path)
        for heard in [*audio.encode(_noise(LENGTH_S - heard_s)), *audio.finish()]:
            muxer.write(1, heard)
        muxer.close()
        muxer.keep()
        made[extension] = path
    made["constant.mp4"] = folder / "constant.mp4"
    with_constant_rate(made["mp4"], made["constant.mp4"], FPS)
    for path in made.values():
        path.chmod(0o644)
    return {name: made[name] for name in PICTURE_FILES}


def _sound_files(folder: Path) -> dict[str, Path]:
    made = {}
    for extension in ("m4a", "ogg", "mp3", "flac", "wav"):
        kind, path = CONTAINERS[extension], folder / f"sound.{extension}"
        audio = AudioEncoder(kind.audio_codec, 2)
        muxer = Muxer(path, kind)
        muxer.start([audio.template])
        for packet in audio.encode(_noise(SOUND_S)):
            muxer.write(0, packet)
        muxer.update_header()
        if f"killed.{extension}" in SOUND_FILES:
            made[f"killed.{extension}"] = _killed(path)
        for packet in audio.finish():
            muxer.write(0, packet)
        muxer.close()
        muxer.keep()
        if extension == "m4a":
            make_contiguous(path)
        made[extension] = path
    return {name: made[name] for name in SOUND_FILES}


def _killed(path: Path) -> Path:
    """Copy an unfinished file, as a kill would leave it."""
    made = path.with_stem(path.stem + "-killed")
    made.write_bytes(path.read_bytes())
    return made


def _noise(seconds: float) -> Any:
    count = max(0, round(seconds * SAMPLE_RATE))
    return np.random.default_rng(count).normal(0, 0.05, (count, 2)).astype(np.float32)


if __name__ == "__main__":
    sys.exit(main())
