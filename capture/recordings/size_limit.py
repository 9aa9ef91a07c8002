"""Searches for the best encoding of a recording that stays under a size: makes it, weighs it, adjusts, tries again."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Final

from capture.errors import UsageError
from capture.recordings.check import StreamReport
from capture.recordings.encoding_plan import MOST_SOUND, Plan, even

__all__ = ["fit_animation", "fit_tracks"]

#: An attempt that uses this share of the limit is good enough, because each attempt takes seconds. The aim is nearer to
#: that than to the limit: encoders exceed their rate more often than they stay below it.
_ENOUGH: Final = 0.97
_AIM: Final = 0.975

#: How many bit rates to try for each picture size; an animation, with its two dimensions, gets twice as many attempts.
_TRIES: Final = 8

#: The fewest bits per second for an audio track, and the share of all bits that sound gets beside a picture.
_LEAST_SOUND: Final = 16_000
_SOUND_SHARE: Final = 0.2

#: What a frame takes in the headers of a file.
_FRAME_BYTES: Final = 12

#: With fewer bits per pixel than this, text turns to mush: a smaller picture shows more.
_LEAST_BITS_PER_PIXEL: Final = 0.012
_SCALES: Final = (1.0, 0.75, 0.5, 0.375, 0.25)

#: The fewest bits per second for a picture.
_LEAST_PICTURE: Final = 8_000

#: An animation gets no smaller and no slower than this.
_LEAST_ANIMATION_WIDTH: Final = 64
_LEAST_ANIMATION_FPS: Final = 3.0


class _Attempts:
    """Keeps the largest attempt that fits, and the size of the smallest one."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.best: Path | None = None
        self._best_bytes = 0
        self._smallest_bytes = math.inf

    def weigh(self, path: Path) -> int:
        """Take in the attempt at `path`; return its size in bytes."""
        size = path.stat().st_size
        self._smallest_bytes = min(self._smallest_bytes, size)
        if self._best_bytes < size <= self.limit_bytes:
            self.best, self._best_bytes = path, size
        return size

    def too_large(self, recording: Path) -> UsageError:
        """Return the error for a limit that no attempt reached."""
        return UsageError(
            f"{recording} does not fit into {self.limit_bytes / 1000:g}KB",
            f"the smallest possible is {math.ceil(self._smallest_bytes / 1000)}KB",
        )


def fit_tracks(
    recording: Path,
    limit_bytes: int,
    encode: Callable[[Plan], Path],
    *,
    length_s: float,
    picture: StreamReport | None,
    sounds: int,
) -> Path:
    """Return the largest file that `encode` makes of `recording` within `limit_bytes`.

    `picture` is None when no picture is encoded; `sounds` is the number of audio tracks that are. Where the picture
    would get too few bits, smaller ones are tried. Raises `UsageError` with the smallest possible size when nothing
    fits, and what `encode` raises.
    """
    attempts = _Attempts(limit_bytes)
    total = limit_bytes * 8 * _AIM / length_s
    sound_rate = 0.0
    if sounds:
        share = _SOUND_SHARE if picture is not None else 1.0
        sound_rate = min(MOST_SOUND, max(_LEAST_SOUND, total * share / sounds))
    if picture is None:
        _search_rate(attempts, encode, Plan(0.0, sound_rate), other_bytes=0.0)
    else:
        # Silence and voices take fewer bytes than their rate says. The picture gets the rest, and its first attempt is
        # mostly good enough.
        other_bytes = picture.frames * _FRAME_BYTES
        if sounds:
            other_bytes += encode(Plan(0.0, sound_rate)).stat().st_size
        rate = max(_LEAST_PICTURE, total - other_bytes * 8 / length_s)
        for scale in _SCALES:
            size = even(picture.width * scale), even(picture.height * scale)
            if scale > _SCALES[-1] and rate < _least_rate(picture, size, length_s):
                continue
            _search_rate(attempts, encode, Plan(rate, sound_rate, size), other_bytes=other_bytes)
            if attempts.best is not None:
                break
    if attempts.best is None:
        raise attempts.too_large(recording)
    return attempts.best


def _least_rate(picture: StreamReport, size: tuple[int, int], length_s: float) -> float:
    """Return the fewest bits per second with which text stays legible at `size`."""
    # A still screen has few pictures, and most of them cost nothing.
    fps = min(30.0, picture.frames / length_s)
    return size[0] * size[1] * fps * _LEAST_BITS_PER_PIXEL


def _search_rate(attempts: _Attempts, encode: Callable[[Plan], Path], plan: Plan, *, other_bytes: float) -> None:
    """Try bit rates from that of `plan` on: of the picture, or without one of the sound.

    `other_bytes` is what else is in the file.
    """
    limit_bytes = attempts.limit_bytes
    low, high = 0.0, math.inf
    if plan.picture_rate:
        rate, least, most, fixed = plan.picture_rate, float(_LEAST_PICTURE), math.inf, other_bytes
    else:
        rate, least, most, fixed = plan.sound_rate, _LEAST_SOUND / 2, 2.0 * MOST_SOUND, 0.0
    before = 0
    for _ in range(_TRIES):
        size = attempts.weigh(encode(Plan(rate, plan.sound_rate, plan.size) if plan.picture_rate else Plan(0.0, rate)))
        # Good enough, or a higher rate changed nothing: the content needs no more.
        if limit_bytes * _ENOUGH <= size <= limit_bytes or (size < limit_bytes and 0 < size <= before * 1.003):
            break
        low, high = (max(low, rate), high) if size < limit_bytes else (low, min(high, rate))
        part = max(1.0, size - fixed)
        wanted = rate * max(0.1, (limit_bytes * _AIM - fixed) / part)
        if not low < wanted < high:
            wanted = (low + high) / 2 if high < math.inf else rate * 2
        wanted = min(max(least, wanted), most)
        if abs(wanted / rate - 1.0) < 0.001:
            break
        before, rate = size if size < limit_bytes and wanted > rate else 0, wanted


def fit_animation(
    recording: Path, limit_bytes: int, animate: Callable[[int, float], Path], *, width: float, fps: float
) -> Path:
    """Return the largest animation that `animate`, called with a width and a rate, makes within `limit_bytes`.

    Starts at `width` and `fps` and makes the picture smaller first, then slower. Raises `UsageError` with the smallest
    possible size when nothing fits, and what `animate` raises.
    """
    attempts = _Attempts(limit_bytes)
    least = min(width, _LEAST_ANIMATION_WIDTH)
    # At the present rate, the widest that is known to fit and the narrowest known not to.
    low, high = least, width
    for _ in range(2 * _TRIES):
        size = attempts.weigh(animate(even(width), fps))
        if size <= limit_bytes and (size >= limit_bytes * _ENOUGH or width >= high - 2):
            break
        if size > limit_bytes:
            if width <= least:
                if fps <= _LEAST_ANIMATION_FPS:
                    break
                # The picture is as small as it gets: show fewer of them.
                fps = max(_LEAST_ANIMATION_FPS, fps * 0.7)
                continue
            high = width
            if width < 2 * _LEAST_ANIMATION_WIDTH + 200 and fps > 10 and attempts.best is None:
                fps = 10.0
        else:
            low = width
        guess = width * math.sqrt(limit_bytes * _AIM / size)
        width = guess if low < guess < high else (low + high) / 2
        if high - low < 4 and attempts.best is not None:
            break
        width = max(least, float(even(width)))
    if attempts.best is None:
        raise attempts.too_large(recording)
    return attempts.best
