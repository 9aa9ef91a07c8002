"""Reads recordings after a fault, as far as they can be decoded, and checks what is in them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks.alignment import matched
from benchmarks.decoding import read_picture, read_sound
from benchmarks.onsets import Floats, Waveform, beep_onsets_s, flash_onsets_s
from benchmarks.trials.trial import Findings
from capture.recordings.check import check
from capture.recordings.repair import repair
from capture.sources.pattern import read_clock

__all__ = [
    "Heard",
    "Pairs",
    "beeps_after",
    "expect_repairable",
    "expect_stopped",
    "expect_whole",
    "heard",
    "pairs",
    "pattern_offset_s",
    "picture_end_s",
]


@dataclass(frozen=True, slots=True)
class Heard:
    """An audio track as mono samples, as far as it can be decoded."""

    samples: Waveform
    rate: int

    @property
    def end_s(self) -> float:
        return self.samples.size / self.rate

    def between(self, from_s: float, to_s: float) -> Waveform:
        return self.samples[max(0, round(from_s * self.rate)) : max(0, round(to_s * self.rate))]

    def level(self, hz: float, from_s: float, to_s: float) -> float:
        """Return the amplitude of a sine of `hz` between two times."""
        samples = self.between(from_s, to_s)
        if samples.size == 0:
            return 0.0
        window = np.hanning(samples.size)
        turning = np.exp(-2j * np.pi * hz / self.rate * np.arange(samples.size))
        return float(2 * abs(np.sum(samples * window * turning)) / np.sum(window))


def heard(path: Path) -> Heard:
    """Decode the first audio track as far as possible."""
    parts: list[Waveform] = []
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=stream.rate)
        try:
            for frame in container.decode(stream):
                parts += [made.to_ndarray()[0] for made in resampler.resample(frame)]
        except av.error.InvalidDataError:
            pass
        return Heard(np.concatenate(parts) if parts else np.zeros(0, np.float32), stream.rate)


def picture_end_s(path: Path) -> float:
    """Return the time of the last picture that can be decoded."""
    end_s = 0.0
    with av.open(str(path)) as container:
        try:
            for frame in container.decode(video=0):
                end_s = max(end_s, frame.time or 0.0)
        except av.error.InvalidDataError:
            pass
    return end_s


def expect_whole(path: Path, findings: Findings) -> None:
    """Check that the file exists, opens, and passes `capture check`."""
    findings.expect(path.exists(), f"{path.name} is there")
    if path.exists():
        report = check(path)
        findings.expect(report.ok, f"{path.name} is intact ({next(iter(report.problems), '')})")


def expect_stopped(summary: dict[str, Any], findings: Findings) -> None:
    """Check that the recording went on until the requested stop, and is intact."""
    found = summary.get("stopped_by"), summary.get("check")
    findings.expect(found == ("terminate", "ok"), f"it goes on until the stop ({found[0]}, {found[1]})")


def expect_repairable(path: Path, findings: Findings) -> None:
    """Check that `repair` makes an ordinary file of a truncated one, and leaves the original unchanged."""
    content, whole = path.read_bytes(), path.with_stem("repaired")
    done = repair(path, whole)
    findings.expect(done.after.ok and check(whole).ok, f"{path.name} can be repaired")
    findings.expect(path.read_bytes() == content, f"repair leaves {path.name} unchanged")


def pairs(log: Path) -> Floats:
    """Return when each flash of a beacon was shown and each beep was heard, on the monotonic clock: (n, 2)."""
    lines = log.read_text("utf-8").splitlines(keepends=True) if log.exists() else []
    whole = [json.loads(line) for line in lines if line.endswith("\n")]
    return np.array([(pair["flash_s"], pair["beep_s"]) for pair in whole], float).reshape(-1, 2)


def beeps_after(log: Path, at_s: float) -> int:
    """Return how many logged beeps of a beacon began after `at_s`."""
    return int(np.count_nonzero(pairs(log)[:, 1] > at_s))


class Pairs:
    """The flashes and beeps of a beacon found in a recording."""

    def __init__(self, path: Path, moments_s: Floats) -> None:
        picture, sound = read_picture(path), read_sound(path)
        self._moments_s = moments_s
        flashes_s = flash_onsets_s(picture.pts_s, picture.luma)
        self._flash_lateness_s = matched(moments_s[:, 0], flashes_s)
        self._beep_lateness_s = matched(moments_s[:, 1], beep_onsets_s(sound.samples, sound.rate, sound.start_s))
        #: When the file begins, on the monotonic clock.
        self.epoch_s = -float(np.median(list(self._flash_lateness_s.values()) or [np.nan]))

    def expect_together(self, findings: Findings, from_s: float, to_s: float = np.inf) -> None:
        """Record the median offset of picture and sound between two moments on the monotonic clock."""
        both = self._flash_lateness_s.keys() & self._beep_lateness_s.keys()
        found = [
            self._flash_lateness_s[number] - self._beep_lateness_s[number]
            for number in both
            if from_s < self._moments_s[number, 1] < to_s
        ]
        findings.expect(len(found) >= 2, f"flashes and beeps are found after the fault ({len(found)})")
        if found:
            findings.apart(float(np.median(found)))


def pattern_offset_s(path: Path, from_s: float) -> float:
    """Return the offset of the test pattern's picture from its beeps, for the part of the file after `from_s`.

    Beeps start at whole seconds of the pattern's clock, and the picture shows its milliseconds. Raises `ValueError`
    when there are no beeps or no pictures.
    """
    track = heard(path)
    loud = np.abs(track.samples) > 0.1
    onsets = np.flatnonzero(loud[1:] & ~loud[:-1]) + 1
    # Take the first loud sample after a silence, because a beep crosses zero a thousand times per second.
    begins = [at for at in onsets if not loud[max(0, at - track.rate // 10) : at].any() and at > from_s * track.rate]
    shifts_s = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            if frame.time is not None and frame.time > from_s:
                shifts_s.append(read_clock(_bgra(frame)) / 1000 - frame.time)
    if not begins or not shifts_s:
        raise ValueError(f"there are no beeps or no pictures after {from_s:.1f} s")
    shift_s = float(np.median(shifts_s))
    seconds = [at / track.rate + shift_s for at in begins]
    return max((second - round(second) for second in seconds), key=abs)


def _bgra(frame: av.VideoFrame) -> Any:
    return frame.to_ndarray(format="bgra")
