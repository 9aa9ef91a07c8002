"""The demo's sound: spoken sentences, or a melody with one phrase per sentence if espeak-ng is not installed."""

from __future__ import annotations

import subprocess
import tempfile
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["RATE", "Line", "Voice", "sing", "speak", "write_wav"]

#: In samples a second; the rate of espeak-ng.
RATE: Final = 22_050

PAUSE_S: Final = 0.3

#: One phrase per sentence, in semitones above A3.
MELODY: Final = ((0, 3, 7, 12), (10, 7, 3, 7), (5, 8, 12, 17), (15, 12, 7, 12))
NOTE_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence and when it is heard, in seconds from the start."""

    text: str
    begins_s: float
    ends_s: float


@dataclass(frozen=True, slots=True)
class Voice:
    """Mono samples at `RATE`, float32 (n,) with full scale 1.0, and the lines in them."""

    samples: NDArray[np.float32]
    lines: tuple[Line, ...]

    @property
    def duration_s(self) -> float:
        return len(self.samples) / RATE


def speak(sentences: Sequence[str]) -> Voice:
    """Return the sentences, spoken. Raises `FileNotFoundError` when espeak-ng is not installed."""
    with tempfile.TemporaryDirectory(prefix="capture-demo-") as folder:
        return _in_turn(sentences, [_spoken(sentence, Path(folder) / "line.wav") for sentence in sentences])


def sing(sentences: Sequence[str]) -> Voice:
    """Return a melody with one phrase for each sentence."""
    return _in_turn(sentences, [_phrase(MELODY[number % len(MELODY)]) for number in range(len(sentences))])


def write_wav(voice: Voice, path: Path) -> None:
    """Write the sound as 16-bit WAV."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((voice.samples * 32_767).astype("<i2").tobytes())


def _spoken(sentence: str, path: Path) -> NDArray[np.float32]:
    subprocess.run(["espeak-ng", "-v", "en-us", "-s", "165", "-w", str(path), sentence], check=True)
    with wave.open(str(path), "rb") as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32)


def _phrase(semitones: Sequence[int]) -> NDArray[np.float32]:
    time_s = np.arange(round(NOTE_S * RATE)) / RATE
    swell = np.minimum(1.0, time_s / 0.01) * np.exp(-4.0 * time_s)
    notes = [220.0 * 2.0 ** (semitone / 12.0) for semitone in semitones]
    overtones = ((1, 1.0), (2, 0.4), (3, 0.15))
    sound = [sum(level * np.sin(2 * np.pi * n * note * time_s) for n, level in overtones) * swell for note in notes]
    return np.concatenate(sound).astype(np.float32)


def _in_turn(sentences: Sequence[str], sounds: Sequence[NDArray[np.float32]]) -> Voice:
    pause = np.zeros(round(PAUSE_S * RATE), np.float32)
    lines, pieces, length = [], [pause], len(pause)
    for sentence, sound in zip(sentences, sounds, strict=True):
        lines.append(Line(sentence, length / RATE, (length + len(sound)) / RATE))
        pieces += [sound, pause]
        length += len(sound) + len(pause)
    samples = np.concatenate(pieces)
    return Voice(samples * (0.7 / max(float(np.abs(samples).max()), 1e-6)), tuple(lines))
