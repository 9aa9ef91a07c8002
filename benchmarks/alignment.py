"""Matches moments found in a recording with the true ones and measures their offsets and drift."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.onsets import Floats

__all__ = ["Drift", "common_shift_s", "drift_of", "matched"]

#: How far a moment may be from where the others put it. Less than half the shortest interval, so that no moment is
#: mistaken for its neighbour.
TOLERANCE_S: Final = 0.3
#: Differences this close count as one when voting on the shift: more than a frame at 15 fps.
_VOTE_WIDTH_S: Final = 0.08


@dataclass(frozen=True, slots=True)
class Drift:
    """The change of an offset in milliseconds per minute, and its standard error."""

    ms_a_minute: float
    error_ms: float

    def minus(self, other: Drift) -> Drift:
        """Return the drift between two things that were both measured against the same clock."""
        return Drift(self.ms_a_minute - other.ms_a_minute, float(np.hypot(self.error_ms, other.error_ms)))


def common_shift_s(true_s: Floats, found_s: Floats) -> float:
    """Return what to subtract from found moments to get the true ones: the difference on which most pairs agree.

    Because the intervals are irregular, only the right shift matches more than a few pairs, however large it is. Raises
    `ValueError` when either array is empty.
    """
    differences = np.sort((found_s[None, :] - true_s[:, None]).ravel())
    if differences.size == 0:
        raise ValueError("there is nothing to compare")
    votes = np.searchsorted(differences, differences + _VOTE_WIDTH_S, side="right") - np.arange(differences.size)
    first = int(np.argmax(votes))
    return float(np.median(differences[first : first + votes[first]]))


def matched(true_s: Floats, found_s: Floats) -> dict[int, float]:
    """Return how much later each true moment was found, by its index; moments that were not found are missing."""
    if true_s.size == 0 or found_s.size == 0:
        return {}
    shift_s = common_shift_s(true_s, found_s)
    lateness_s: dict[int, float] = {}
    for index, true in enumerate(true_s):
        nearest = found_s[np.argmin(np.abs(found_s - true - shift_s))]
        if abs(nearest - true - shift_s) <= TOLERANCE_S:
            lateness_s[index] = float(nearest - true)
    return lateness_s


def drift_of(moments_s: Floats, offsets_s: Floats, resolution_s: float = 0.0) -> Drift:
    """Return the slope of the offsets as the median of the slopes between all pairs, which ignores a few outliers.

    With `resolution_s`, each offset is up to that much too large, evenly spread. A few such offsets can lie on a line
    by chance, so the error is at least that of an even spread, however close to the line they are.
    """
    if moments_s.size < 3:
        return Drift(0.0, float("inf"))
    first, second = np.triu_indices(moments_s.size, 1)
    apart_s = moments_s[second] - moments_s[first]
    distinct = apart_s > 0
    slope = float(np.median((offsets_s[second] - offsets_s[first])[distinct] / apart_s[distinct]))
    residuals_s = offsets_s - slope * moments_s
    # The standard deviation of normal noise is 1.4826 times its median deviation.
    noise_s = 1.4826 * float(np.median(np.abs(residuals_s - np.median(residuals_s))))
    noise_s = max(noise_s, resolution_s / float(np.sqrt(12)))
    error = noise_s / float(np.sqrt(moments_s.size) * np.std(moments_s))
    return Drift(slope * 60_000, error * 60_000)
