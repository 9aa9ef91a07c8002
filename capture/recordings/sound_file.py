"""Reads the sound of a recording, even while the file is still being written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream

from capture.errors import NotReadyError, RecordingError
from capture.media import SAMPLE_RATE, SampleArray
from capture.recordings.opening import open_recording, origin_s, patience_s, reason_of
from capture.recordings.proportion import paced

__all__ = ["CHANNELS", "SoundFile"]

#: Everything becomes stereo: outputs with one channel or six accept it as well.
CHANNELS: Final = 2

#: A hole shorter than this comes from rounded timestamps, milliseconds in Matroska.
_HOLE_SAMPLES: Final = SAMPLE_RATE // 50

#: A hole longer than this comes from wrong timestamps.
_LONGEST_HOLE_SAMPLES: Final = 60 * SAMPLE_RATE

#: How far one track may be ahead of another in the file. Beyond that the other one counts as silent: it has ended, or
#: starts later.
_AHEAD_SAMPLES: Final = 5 * SAMPLE_RATE

#: How long before the start to decode: decoders need some sound before what they make is right, Opus 80 ms.
_RUN_UP_S: Final = 0.25

#: The least to yield at once, 0.1 s.
BLOCK_SAMPLES: Final = 4_800


class SoundFile:
    """Reads the sound of a file as blocks of float32 (n, 2) at `SAMPLE_RATE`, with all tracks mixed. For one thread."""

    def __init__(
        self, path: Path, *, from_s: float = 0.0, tracks: Sequence[int] | None = None, limits: bool = True
    ) -> None:
        """Open the file, to be read from `from_s` on; with `tracks`, only those audio tracks, counted from 0.

        With `limits`, `blocks` ends at what is out of all proportion to the length (`paced`).

        Raises `RecordingError` when the file cannot be opened, `NotReadyError` when it has no such audio track yet.
        """
        try:
            # FFmpeg would take a relative "rec-12:30.mp4" for a protocol.
            self._container = open_recording(path, patience_s(limits))
        except (av.FFmpegError, OSError, ValueError) as error:
            raise RecordingError(f"{path} cannot be played ({reason_of(error)})") from error
        self._limits = limits
        self._path = path
        start_s = origin_s(self._container)
        streams = self._container.streams.audio
        if tracks is not None:
            streams = tuple(stream for place, stream in enumerate(streams) if place in tracks)
        self._tracks = {stream.index: _Track(stream, start_s, from_s) for stream in streams}
        if not self._tracks:
            self._container.close()
            raise NotReadyError("there is no sound to play", "the recording has no audio track")
        if from_s > _RUN_UP_S:
            # A file that cannot be sought is decoded from its start.
            with suppress(av.FFmpegError, ValueError, OverflowError):
                at_s = start_s + from_s - _RUN_UP_S
                self._container.seek(math.floor(at_s / (streams[0].time_base or 1)), stream=streams[0])

    @property
    def is_mono(self) -> bool:
        """Whether both channels are the same throughout, because no track has more than one."""
        return all(track.is_mono for track in self._tracks.values())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    def blocks(self) -> Iterator[SampleArray]:
        """Yield the sound from `from_s` to the current end of the file, which may be in the middle of a packet.

        Raises `NotReadyError` when there is none, `RecordingError` as `paced` does.
        """
        streams = [track.stream for track in self._tracks.values()]
        try:
            for packet in paced(self._container, streams, limits=self._limits):
                # At the end there is an empty packet for every track, video included.
                if packet.stream_index in self._tracks:
                    self._tracks[packet.stream_index].take_in(packet)
                if (common := self._common()) >= BLOCK_SAMPLES:
                    yield self._mix(common)
        except RecordingError as error:
            raise RecordingError(f"{self._path} cannot be played: {error.message}", "see capture check") from error
        except (av.FFmpegError, OSError, ValueError):
            # The file is cut off here: play what came before.
            pass
        for track in self._tracks.values():
            track.finish()
        rest = max(track.available for track in self._tracks.values())
        if rest:
            yield self._mix(rest)
        elif not any(track.made for track in self._tracks.values()):
            raise NotReadyError("there is no sound to play", "the file has none yet")

    def _common(self) -> int:
        """Return how many samples can be mixed: those that all tracks have, or all tracks but those far behind."""
        available = [track.available for track in self._tracks.values()]
        return max(min(available), max(available) - _AHEAD_SAMPLES)

    def _mix(self, count: int) -> SampleArray:
        first, *others = (track.take_out(count) for track in self._tracks.values())
        for other in others:
            first = first + other
        return np.clip(first, -1.0, 1.0) if others else first


class _Track:
    """Decodes one track onto the time line of the file, whose sample 0 is at `origin_s`, and drops what is before
    `from_s` on it.
    """

    def __init__(self, stream: AudioStream, origin_s: float, from_s: float) -> None:
        self.stream = stream
        layout = "mono" if stream.codec_context.channels == 1 else "stereo"
        self._resampler = AudioResampler(format="flt", layout=layout, rate=SAMPLE_RATE)
        self._channels = 1 if layout == "mono" else CHANNELS
        self._parts: list[SampleArray] = []
        self._origin_s = origin_s
        self._from = round(from_s * SAMPLE_RATE)
        self._has_begun = self._from == 0
        #: How many samples wait to be taken out, and where on the time line the next one belongs.
        self.available = 0
        self.made = self._from

    @property
    def is_mono(self) -> bool:
        return self._channels == 1

    def take_in(self, packet: av.Packet[Any]) -> None:
        """Decode a packet, and fill a hole before it with silence. An undecodable packet is skipped."""
        try:
            frames = packet.decode()
        except (av.FFmpegError, ValueError):
            return
        for frame in frames:
            if not isinstance(frame, av.AudioFrame):
                continue
            if frame.time is not None:
                place = round((frame.time - self._origin_s) * SAMPLE_RATE)
                if not self._has_begun:
                    self.made = min(place, self._from)
                hole = place - self.made
                if _HOLE_SAMPLES < hole < _LONGEST_HOLE_SAMPLES:
                    self._add(np.zeros((hole, self._channels), np.float32))
            self._has_begun = True
            self._resample(frame)

    def finish(self) -> None:
        """Decode the rest: there are no more packets."""
        with suppress(av.FFmpegError, ValueError):
            self._resample(None)

    def take_out(self, count: int) -> SampleArray:
        """Return the next `count` samples, float32 (count, 2), padded with silence."""
        missing = max(0, count - self.available)
        data = np.concatenate([*self._parts, np.zeros((missing, CHANNELS), np.float32)])
        self._parts = [data[count:]]
        self.available += missing - count
        self.made += missing
        return data[:count]

    def _resample(self, frame: av.AudioFrame | None) -> None:
        for resampled in self._resampler.resample(frame):
            self._add(np.asarray(resampled.to_ndarray(), np.float32).reshape(-1, self._channels))

    def _add(self, samples: SampleArray) -> None:
        if self._channels < CHANNELS:
            samples = np.repeat(samples, CHANNELS, axis=1)
        early = self._from - self.made
        self.made += len(samples)
        if early > 0:
            samples = samples[early:]
        self._parts.append(samples)
        self.available += len(samples)
