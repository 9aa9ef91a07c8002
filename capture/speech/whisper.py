"""Turns the sound of a recording into words with whisper.cpp, through the optional library pywhispercpp."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from av.audio.resampler import AudioResampler

from capture.errors import NotReadyError, OutputError, RecordingError, UsageError
from capture.media import SAMPLE_RATE, SampleArray
from capture.recordings.progress import OnProgress, unwatched
from capture.recordings.proportion import hold_headers
from capture.recordings.sound_file import SoundFile
from capture.speech.transcript import Segment

__all__ = ["check_model", "heard_in", "sound_for_speech"]

#: What Whisper was trained with.
_RATE: Final = 16_000

#: How the files of its models begin: a mark, and eleven numbers about what is in them. The first is the size of the
#: vocabulary, which all models share but for a few words, the last but one how many bands the sound is split into. With
#: other numbers, the library may take a minute and gigabytes before it fails.
_HEADER: Final = struct.Struct("<4s11i")
_MAGIC: Final = b"lmgg"
_VOCABULARY: Final = range(51_000, 53_000)
_ENGLISH_VOCABULARY: Final = 51_864
_BANDS: Final = (80, 128)

#: The longest sound: eight hours take 1.8 GB, and as much again in the process of the model.
_LONGEST_S: Final = 8 * 3600

_WHERE: Final = "download one, such as ggml-base.bin, from huggingface.co/ggerganov/whisper.cpp"
_SETTING: Final = "capture config speech.model FILE"


def check_model(path: Path | None, language: str = "auto") -> Path:
    """Return the path of the model.

    Raises `NotReadyError` when none was named, or the file is no such model, `UsageError` when it knows English only
    and `language` is another: it would write English words that sound alike.
    """
    if path is None:
        raise NotReadyError("no speech model was named", f"{_WHERE}, then: {_SETTING}")
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER.size)
    except OSError as error:
        reason = error.strerror or error
        raise NotReadyError(
            f"the speech model {path} cannot be read ({reason})", f"{_WHERE}, or name another: {_SETTING}"
        ) from error
    mark, words, *_, bands, _ = _HEADER.unpack(header) if len(header) == _HEADER.size else (b"", 0, 0, 0)
    if mark != _MAGIC or words not in _VOCABULARY or bands not in _BANDS:
        raise NotReadyError(
            f"{path} is not a model of whisper.cpp, or is damaged", f"{_WHERE}, or name another: {_SETTING}"
        )
    if words == _ENGLISH_VOCABULARY and language not in ("auto", "en"):
        raise UsageError(
            f"{path.name} knows English only, not {language!r}", "use a model without .en in its name, or --language en"
        )
    return path


def sound_for_speech(path: Path, track: int | None = None, *, limits: bool = True) -> SampleArray:
    """Return the sound of a recording as one channel at 16 kHz, float32 (n,): all tracks mixed, or one, from 0.

    An hour takes 230 MB. Raises `RecordingError` when the file cannot be opened, has no such sound, or more than eight
    hours of it; with `limits`, also if it claims too much (`headers`) or is out of all proportion to its length.
    """
    if limits:
        try:
            hold_headers(path)
        except RecordingError as error:
            raise RecordingError(f"{path} cannot be transcribed: {error.message}") from error
    resampler = AudioResampler(format="flt", layout="mono", rate=_RATE)
    parts: list[Any] = []
    count = 0
    try:
        with SoundFile(path, tracks=None if track is None else (track,), limits=limits) as sound:
            for block in sound.blocks():
                count += len(block)
                if count > _LONGEST_S * SAMPLE_RATE:
                    raise RecordingError(
                        f"{path} has more than {_LONGEST_S // 3600} hours of sound, too much at once",
                        "cut it into parts with capture trim",
                    )
                # FFmpeg would make it louder by 3 dB, and clip.
                mono = np.ascontiguousarray(block.mean(axis=1, dtype=np.float32).reshape(1, -1))
                frame = av.AudioFrame.from_ndarray(mono, format="flt", layout="mono")
                frame.sample_rate = SAMPLE_RATE
                parts += [made.to_ndarray().reshape(-1) for made in resampler.resample(frame)]
    except NotReadyError as error:
        raise RecordingError(f"there is no such sound in {path}", "see capture check") from error
    parts += [made.to_ndarray().reshape(-1) for made in resampler.resample(None)]
    return np.concatenate(parts).astype(np.float32)


def heard_in(
    samples: SampleArray, model: Path, language: str = "auto", on_progress: OnProgress = unwatched
) -> Sequence[Segment]:
    """Return what the model hears in the sound. Ctrl+C ends the process that runs it.

    Raises `NotReadyError` when the library is missing, `UsageError` for a language that it does not know,
    `RecordingError` when the model fails, `OutputError` when the temporary folder is full.
    """
    length_s = len(samples) / _RATE
    found: list[Segment] = []
    with tempfile.TemporaryFile() as sound:
        try:
            samples.tofile(sound)
            sound.seek(0)
        except OSError as error:
            raise OutputError(
                f"the sound for the speech model cannot be stored ({error.strerror or error})",
                "free some space in the temporary folder, or set TMPDIR to another",
            ) from error
        with subprocess.Popen(
            [sys.executable, "-P", "-m", "capture.speech.listener", str(model.absolute()), language],
            stdin=sound,
            stdout=subprocess.PIPE,
            # It reports every step.
            stderr=subprocess.DEVNULL,
            env=_environment(),
        ) as process:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            try:
                for line in process.stdout:
                    if (segment := _segment_in(line, model, length_s)) is not None:
                        found.append(segment)
                        on_progress(segment.end_s / length_s)
            except BaseException:
                process.kill()
                raise
    if process.returncode < 0:
        how = signal.Signals(-process.returncode).name
        raise RecordingError(f"the speech model {model} crashed ({how})", "the file may be damaged: download it again")
    if process.returncode:
        raise RecordingError(f"the speech model failed (exit code {process.returncode})")
    return found


def _environment() -> dict[str, str]:
    """Return the environment for a process that finds this very package, installed or not."""
    places = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}


def _segment_in(line: bytes, model: Path, length_s: float) -> Segment | None:
    """Return the segment in a line of the listener; None for one without words. Raises as `heard_in` does."""
    told = json.loads(line)
    if "missing" in told:
        raise NotReadyError(
            f"the library pywhispercpp is missing ({told['missing']})", "pip install 'capture-recorder[speech]'"
        )
    if "language" in told:
        raise UsageError(
            f"the speech model does not know the language {told['language']!r}", "give auto, or a code like en"
        )
    if "failed" in told:
        raise RecordingError(f"the speech model {model} failed ({told['failed']})", "try another model")
    # What a damaged model says may be anything.
    text = " ".join("".join(char if char.isprintable() else " " for char in told["text"]).split())
    # The last segment may reach beyond the sound.
    return Segment(told["start_s"], min(told["end_s"], length_s), text) if text else None
