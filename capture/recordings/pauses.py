"""Finds where a recording is silent for long, and what to cut there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream

from capture.codecs.stereo_aac import FRAME_SAMPLES
from capture.media import SAMPLE_RATE, SampleArray
from capture.recordings.opening import patience_s
from capture.recordings.parts import Span
from capture.recordings.progress import OnProgress, part_of
from capture.recordings.rewrite import opened, tracks_of
from capture.recordings.sound_reader import SoundPart, SoundReader, heard_in

__all__ = ["Silence", "long_pauses"]

#: The windows over which a level is measured, as for `--wait-for-sound`: 10 ms.
_WINDOW: Final = SAMPLE_RATE // 100

#: How many samples to look at together.
_GATHERED: Final = SAMPLE_RATE

#: A cut has the length of whole packets, so that those behind it can be copied.
_PACKET_SAMPLES: Final = {"aac": FRAME_SAMPLES}
_OTHER_PACKET_SAMPLES: Final = 960


class Silence(NamedTuple):
    """Where all sound stays below `threshold_dbfs` for longer than `rest_s`, only `rest_s` of it is left."""

    threshold_dbfs: float = -50.0
    rest_s: float = 1.0


def long_pauses(
    path: Path, begin: int, end: int, silence: Silence, on_progress: OnProgress, *, limits: bool = True
) -> list[Span]:
    """Return what to cut between two samples so that no silence in all tracks together is longer than the rest.

    A pause keeps half of the rest at either side; if all is silent, everything is cut. Raises `RecordingError` for
    sound that cannot be decoded, and with `limits` as `paced` does.
    """
    with opened(path, timeout_s=patience_s(limits)) as container:
        tracks = [track for track in tracks_of(container) if isinstance(track, AudioStream)]
        indexes = [track.index for track in tracks]
        codecs = [track.codec_context.codec.canonical_name for track in tracks]
    grid = max(_PACKET_SAMPLES.get(codec, _OTHER_PACKET_SAMPLES) for codec in codecs)
    is_loud = np.zeros(-(-(end - begin) // _WINDOW), np.bool_)
    for number, index in enumerate(indexes):
        own = part_of(on_progress, number / len(indexes), (number + 1) / len(indexes))
        reader = SoundReader(path, index, 2, sixteen_bits=False, limits=limits)
        _mark_loud(reader, begin, end, silence.threshold_dbfs, is_loud, own)
    if not is_loud.any():
        return [Span(begin, end)]
    rest = round(silence.rest_s * SAMPLE_RATE)
    cuts = []
    for quiet in _runs(~is_loud):
        first, last = begin + quiet.begin * _WINDOW, min(end, begin + quiet.end * _WINDOW)
        length = last - first - rest
        if last < end:
            length -= length % grid
        if length > 0:
            kept_before = 0 if first == begin else rest if last == end else rest // 2
            cuts.append(Span(first + kept_before, first + kept_before + length))
    return cuts


def _mark_loud(
    reader: SoundReader,
    begin: int,
    end: int,
    threshold_dbfs: float,
    is_loud: npt.NDArray[np.bool_],
    on_progress: OnProgress,
) -> None:
    """Set the windows in which the track is louder than the threshold; close its reader."""
    least = 10.0 ** (threshold_dbfs / 10.0)
    at = 0
    try:
        for samples in _in_windows(block for _, block in heard_in([SoundPart(reader, begin, end, 0)], 0, 2)):
            count = len(samples) // _WINDOW
            windows = samples[: count * _WINDOW].reshape(count, _WINDOW, 2)
            power = np.einsum("nsc,nsc->nc", windows, windows) / _WINDOW
            is_loud[at : at + count] |= power.max(axis=1, initial=0.0) > least
            at += count
            left = samples[count * _WINDOW :]
            if len(left) and at < len(is_loud):
                is_loud[at] |= bool(np.square(left).mean(axis=0).max() > least)
            on_progress(at / len(is_loud))
    finally:
        reader.close()


def _in_windows(blocks: Iterable[SampleArray]) -> Iterator[SampleArray]:
    """Yield the samples in large blocks, all but the last of whole windows: small ones take several times as long."""
    gathered: list[SampleArray] = []
    count = 0
    for block in blocks:
        gathered.append(block)
        count += len(block)
        if count >= _GATHERED:
            samples = np.concatenate(gathered)
            whole = count - count % _WINDOW
            yield samples[:whole]
            gathered, count = [samples[whole:]], count - whole
    yield np.concatenate(gathered) if gathered else np.zeros((0, 2), np.float32)


def _runs(found: npt.NDArray[np.bool_]) -> list[Span]:
    """Return where consecutive elements are true."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], found, [False])).astype(np.int8)))
    return [Span(int(first), int(last)) for first, last in edges.reshape(-1, 2)]
