"""Compares the moments found in a recording with the true ones: which belong together, how far off, how they drift."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.onsets import Floats

__all__ = ["Drift", "common_shift_s", "drift_of", "matched"]

#: How far a moment may lie from where the others put it. Less than half the shortest interval: none can be taken for
#: its neighbour.
TOLERANCE_S: Final = 0.3
#: Differences as close as this count as one when the shift is voted on: more than a frame at 15 a second.
_VOTE_WIDTH_S: Final = 0.08


@dataclass(frozen=True, slots=True)
class Drift:
    """How an offset changes, in milliseconds over a minute, and the standard error of that figure."""

    ms_a_minute: float
    error_ms: float

    def minus(self, other: Drift) -> Drift:
        """The drift between two things of which each was measured against the same clock."""
        return Drift(self.ms_a_minute - other.ms_a_minute, float(np.hypot(self.error_ms, other.error_ms)))


def common_shift_s(true_s: Floats, found_s: Floats) -> float:
    """What to subtract from found moments to get the true ones: the difference on which most pairs agree.

    With irregular intervals only the right shift brings more than a few together, however large it is.
    """
    differences = np.sort((found_s[None, :] - true_s[:, None]).ravel())
    if differences.size == 0:
        raise ValueError("there is nothing to compare")
    votes = np.searchsorted(differences, differences + _VOTE_WIDTH_S, side="right") - np.arange(differences.size)
    first = int(np.argmax(votes))
    return float(np.median(differences[first : first + votes[first]]))


def matched(true_s: Floats, found_s: Floats) -> dict[int, float]:
    """For each true moment that was found, by its index, how much later it was found."""
    if true_s.size == 0 or found_s.size == 0:
        return {}
    shift_s = common_shift_s(true_s, found_s)
    lateness_s: dict[int, float] = {}
    for index, true in enumerate(true_s):
        nearest = found_s[np.argmin(np.abs(found_s - true - shift_s))]
        if abs(nearest - true - shift_s) <= TOLERANCE_S:
            lateness_s[index] = float(nearest - true)
    return lateness_s


def drift_of(moments_s: Floats, offsets_s: Floats) -> Drift:
    """The slope of the offsets: the median of the slopes between all pairs, which a few wild ones do not move."""
    if moments_s.size < 3:
        return Drift(0.0, float("inf"))
    first, second = np.triu_indices(moments_s.size, 1)
    apart_s = moments_s[second] - moments_s[first]
    distinct = apart_s > 0
    slope = float(np.median((offsets_s[second] - offsets_s[first])[distinct] / apart_s[distinct]))
    residuals_s = offsets_s - slope * moments_s
    # 1.4826 turns the median deviation of normal noise into its standard deviation.
    noise_s = 1.4826 * float(np.median(np.abs(residuals_s - np.median(residuals_s))))
    error = noise_s / float(np.sqrt(moments_s.size) * np.std(moments_s))
    return Drift(slope * 60_000, error * 60_000)
