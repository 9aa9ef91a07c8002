"""Measures how well picture and sound are in sync in a recording of the flash/beep stimulus."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks import clockface
from benchmarks.alignment import common_shift_s, drift_of, matched
from benchmarks.decoding import Picture, Sound
from benchmarks.onsets import Floats, beep_onsets_s, flash_onsets_s
from benchmarks.recorders import FPS
from capture.output.frame_times import FRAMES_ON_GRID

__all__ = ["BOUNDS", "WAYLAND_BOUNDS", "Synchrony", "Truth", "clock_readings", "judge", "offsets_s"]

#: Flashes and beeps this close to either end of a recording do not count, because they may be cut off.
_EDGE_S: Final = 0.15

#: The largest absolute value allowed for figures of `Synchrony`.
BOUNDS: Final = {
    "median_ms": 15.0,
    "worst_ms": 40.0,
    "drift_ms": 5.0,
    "starts_apart_ms": 20.0,
    "ends_apart_ms": 1000.0 / FPS,
    "duration_error_s": 0.1,
    "missing": 0.0,
}

#: On Wayland, where pictures have the time at which they were shown.
WAYLAND_BOUNDS: Final = {**BOUNDS, "median_ms": 10.0}


@dataclass(frozen=True, slots=True)
class Truth:
    """When the flashes were painted and the beeps were heard, pair by pair, on the monotonic clock."""

    flash_s: Floats
    beep_s: Floats

    @classmethod
    def of(cls, log: Path) -> Truth:
        """Read the stimulus's log."""
        entries = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
        return cls(np.array([entry["flash_s"] for entry in entries]), np.array([entry["beep_s"] for entry in entries]))


@dataclass(frozen=True, slots=True)
class Synchrony:
    """The figures of a recording. Offsets are positive if the picture is late, and corrected for the stimulus."""

    pairs: int
    #: Pairs that happened during the recording but were not found in it.
    missing: int
    median_ms: float
    worst_ms: float
    #: Per minute, and its standard error.
    drift_ms: float
    drift_error_ms: float
    #: The median offset of the last fifth minus that of the first.
    end_minus_start_ms: float
    starts_apart_ms: float
    ends_apart_ms: float
    duration_error_s: float
    #: The largest distance between a flash and its beep in the stimulus itself.
    stimulus_worst_ms: float

    def broken_bounds(self, bounds: Mapping[str, float] = BOUNDS) -> Iterator[str]:
        """Yield the names of the figures that are out of `bounds`.

        Drift counts only if it exceeds its bound by more than twice its standard error: a flash is only known to the
        frame, so a minute of flashes alone gives the slope to five milliseconds, and twenty seconds to thirty.
        """
        for name, bound in bounds.items():
            allowance = 2 * self.drift_error_ms if name == "drift_ms" else 0.0
            if not abs(getattr(self, name)) <= bound + allowance:
                yield name


def judge(
    picture: Picture, sound: Sound, truth: Truth, requested_s: float, launched_s: float, *, has_clock: bool = True
) -> Synchrony:
    """Compare a recording with the truth; `launched_s` is shortly before it begins.

    Without `has_clock`, what looks like the running clock is something else.

    Raises `ValueError` when no flash with its beep is found.
    """
    flashes_s = flash_onsets_s(picture.pts_s, picture.luma)
    beeps_s = beep_onsets_s(sound.samples, sound.rate, sound.start_s)
    flash_lateness_s, beep_lateness_s = matched(truth.flash_s, flashes_s), matched(truth.beep_s, beeps_s)
    pairs = _pairs(flash_lateness_s, beep_lateness_s)
    moments_s = truth.flash_s[pairs]
    apart_s = np.array([flash_lateness_s[pair] - beep_lateness_s[pair] for pair in pairs])
    offsets_ms = 1000 * apart_s
    fifth = max(1, len(pairs) // 5)
    shown = clock_readings(picture, launched_s) if has_clock else ClockReadings(np.empty(0), np.empty(0))
    # Where the grid of the first frames of an MP4 ends, the offset changes once, which is no drift.
    shown = shown.after(picture.pts_s[:FRAMES_ON_GRID][-1])
    drift = drift_of(moments_s, apart_s, 1 / FPS)
    if shown.pts_s.size > len(pairs):
        lateness_s = np.array([beep_lateness_s[pair] for pair in pairs])
        drift = drift_of(shown.pts_s, shown.pts_s - shown.moment_s).minus(drift_of(moments_s, lateness_s))
    start_s = min(picture.start_s, sound.start_s)
    end_s = max(picture.end_s, sound.end_s)
    return Synchrony(
        pairs=len(pairs),
        missing=_expected(truth, flashes_s, beeps_s, picture, sound) - len(pairs),
        median_ms=float(np.median(offsets_ms)),
        worst_ms=float(offsets_ms[np.argmax(np.abs(offsets_ms))]),
        drift_ms=drift.ms_a_minute,
        drift_error_ms=drift.error_ms,
        end_minus_start_ms=float(np.median(offsets_ms[-fifth:]) - np.median(offsets_ms[:fifth])),
        starts_apart_ms=1000 * (picture.start_s - sound.start_s),
        ends_apart_ms=1000 * (picture.end_s - sound.end_s),
        duration_error_s=end_s - start_s - requested_s,
        stimulus_worst_ms=float(1000 * np.max(np.abs(truth.flash_s - truth.beep_s))),
    )


def offsets_s(truth: Truth, flashes_s: Floats, beeps_s: Floats) -> Floats:
    """Return by how much each flash is later than its beep, corrected for the stimulus.

    Raises `ValueError` when no flash with its beep is found.
    """
    flash_lateness_s, beep_lateness_s = matched(truth.flash_s, flashes_s), matched(truth.beep_s, beeps_s)
    pairs = _pairs(flash_lateness_s, beep_lateness_s)
    return np.array([flash_lateness_s[pair] - beep_lateness_s[pair] for pair in pairs])


def _pairs(flash_lateness_s: Mapping[int, float], beep_lateness_s: Mapping[int, float]) -> list[int]:
    pairs = sorted(flash_lateness_s.keys() & beep_lateness_s.keys())
    if not pairs:
        raise ValueError("no flash with its beep was found in the recording")
    return pairs


@dataclass(frozen=True, slots=True)
class ClockReadings:
    """The moments shown by the running clock, for the frames in which it is readable."""

    pts_s: Floats
    moment_s: Floats

    def after(self, pts_s: float) -> ClockReadings:
        """Return the readings of the frames after `pts_s`."""
        later = self.pts_s > pts_s
        return ClockReadings(self.pts_s[later], self.moment_s[later])


def clock_readings(picture: Picture, launched_s: float) -> ClockReadings:
    """Read the clock in every frame that shows one."""
    read = [
        (pts_s, moment_s)
        for pts_s, cells in zip(picture.pts_s, picture.cells, strict=True)
        if (moment_s := clockface.moment_shown_s(cells.tolist(), launched_s + pts_s)) is not None
    ]
    return ClockReadings(np.array([pts_s for pts_s, _ in read]), np.array([moment_s for _, moment_s in read]))


def _expected(truth: Truth, flashes_s: Floats, beeps_s: Floats, picture: Picture, sound: Sound) -> int:
    """Return how many pairs are entirely inside both tracks."""
    in_picture_s = truth.flash_s + common_shift_s(truth.flash_s, flashes_s)
    in_sound_s = truth.beep_s + common_shift_s(truth.beep_s, beeps_s)
    inside = (in_picture_s > picture.start_s + _EDGE_S) & (in_picture_s < picture.end_s - _EDGE_S)
    inside &= (in_sound_s > sound.start_s + _EDGE_S) & (in_sound_s < sound.end_s - _EDGE_S)
    return int(inside.sum())
