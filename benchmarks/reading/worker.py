"""Reads a file with one Python library and prints what it found, as JSON: run as a program, under any Python.

Usage: python -m benchmarks.reading.worker LIBRARY FILE [SECONDS …]

It prints the version, and for each moment the number in the picture and its worst colour; for sound, the length.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from importlib import import_module, metadata
from typing import Any

from benchmarks.reading.pictures import number_in, worst_level

Found = list[tuple[int, int]]


def _found(image: Any) -> tuple[int, int]:
    return number_in(image), worst_level(image)


def opencv(path: str, moments_s: Sequence[float]) -> Found:
    cv2: Any = import_module("cv2")
    video, found = cv2.VideoCapture(path), []
    for at_s in moments_s:
        video.set(cv2.CAP_PROP_POS_MSEC, at_s * 1000)
        done, image = video.read()
        found.append(_found(image[..., ::-1]) if done else (-1, 0))
    return found


def moviepy(path: str, moments_s: Sequence[float]) -> Found:
    clip: Any = import_module("moviepy").VideoFileClip(path)
    try:
        return [_found(clip.get_frame(at_s)) for at_s in moments_s]
    finally:
        clip.close()


def decord2(path: str, moments_s: Sequence[float]) -> Found:
    reader: Any = import_module("decord").VideoReader(path)
    times = reader.get_frame_timestamp(range(len(reader)))[:, 0]
    places = [max(0, int((times <= at_s + 1e-3).sum()) - 1) for at_s in moments_s]
    return [_found(reader[place].asnumpy()) for place in places]


def pyav(path: str, moments_s: Sequence[float]) -> Found:
    av: Any = import_module("av")
    found = []
    with av.open(path) as container:
        for at_s in moments_s:
            container.seek(round(at_s * 1e6))
            shown = None
            for frame in container.decode(video=0):
                if shown is not None and frame.time > at_s:
                    break
                shown = frame
            found.append((-1, 0) if shown is None else _found(shown.to_ndarray(format="rgb24")))
    return found


def moviepy_write(path: str, _: Sequence[float]) -> str:
    clip: Any = import_module("moviepy").VideoFileClip(path, audio=False)
    made = path + ".moviepy.mp4"
    clip.write_videofile(made, logger=None, preset="ultrafast")
    clip.close()
    return made


def soundfile(path: str, _: Sequence[float]) -> float:
    info: Any = import_module("soundfile").info(path)
    return float(info.frames / info.samplerate)


def mutagen(path: str, _: Sequence[float]) -> float:
    return float(import_module("mutagen").File(path).info.length)


#: Each library: its name in the index of packages, and what it does.
LIBRARIES: dict[str, tuple[str, Callable[[str, Sequence[float]], Any]]] = {
    "PyAV": ("av", pyav),
    "OpenCV": ("opencv-python-headless", opencv),
    "MoviePy": ("moviepy", moviepy),
    "MoviePy, written": ("moviepy", moviepy_write),
    "decord2": ("decord2", decord2),
    "soundfile": ("soundfile", soundfile),
    "mutagen": ("mutagen", mutagen),
}

if __name__ == "__main__":
    package, read = LIBRARIES[sys.argv[1]]
    version = metadata.version(package)
    print(json.dumps({"version": version, "found": read(sys.argv[2], [float(at_s) for at_s in sys.argv[3:]])}))
