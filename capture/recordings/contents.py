"""Reads what is really in the tracks of a recording, packet by packet.

Headers say what the writer intended; packets show what it wrote. Every packet is read, none is kept, and sound is
decoded only up to the first that is audible.
"""

from __future__ import annotations

import math
import struct
import sys
from array import array
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import av
import numpy as np
from av.stream import Disposition

from capture.errors import RecordingError
from capture.media import SILENCE_DBFS
from capture.recordings.headers.bounds import TRUST, most_packets
from capture.recordings.opening import PATIENCE_S, open_recording, patience_s, reason_of
from capture.recordings.progress import OnProgress, unwatched, watched

__all__ = ["Contents", "Tally", "Track", "is_track", "read_contents"]

#: The absolute sample value, full scale at 1, above which a track is not silent.
_HEARD: Final = 10.0 ** (SILENCE_DBFS / 20.0)

#: How much silence to decode in all, in packets and samples: 7 minutes of Opus, whose decoding takes longest, or half
#: an hour of FLAC. Packets that repeat silence, as those of a muted computer do, are not decoded and do not count.
_MOST_LISTENED_PACKETS: Final = 20_000
_MOST_LISTENED_SAMPLES: Final = 200_000_000

#: The most samples of all channels in FLAC: nine hours of stereo. A repair decodes all of them, at 1 ns each.
_MOST_FLAC_SAMPLES: Final = 3_000_000_000


class Track(NamedTuple):
    """One track of picture or sound.

    Seconds are on the file's own time line and count what players play: priming and parts that an edit list leaves out
    do not count. A track without packets starts and ends at 0.
    """

    #: `video` or `audio`.
    kind: str
    codec: str
    start_s: float
    end_s: float
    #: How many packets play; for video, frames.
    packets: int
    #: The sum of their durations, without the holes between them.
    held_s: float
    #: Where the timestamps first jump back.
    goes_back_at_s: float | None
    #: How many packets the demuxer marked as incomplete.
    incomplete: int
    #: Where sound could not be decoded, if that part was decoded at all.
    undecodable_at_s: float | None
    #: None for video, and for audio that was not decoded, or not to its end.
    silent: bool | None
    width: int = 0
    height: int = 0
    sample_rate: int = 0
    channels: int = 0
    #: Where listening stopped, if all was silent up to there.
    silent_until_s: float | None = None
    #: The frame rate if it is constant; None otherwise, and for audio.
    constant_fps: float | None = None
    #: Where the last packet ends that a repair can copy: one that is complete.
    copied_end_s: float = 0.0


class Contents(NamedTuple):
    """The tracks of a file, and why reading stopped before its end, or ""."""

    tracks: tuple[Track, ...]
    failure: str = ""
    #: What is more than a recording of this size holds, as a sentence, or "".
    excess: str = ""


def read_contents(path: Path, *, listen: bool, limits: bool = True, on_progress: OnProgress = unwatched) -> Contents:
    """Read every packet of the file at `path`; with `listen`, decode each audio track up to its first audible sound.

    Skips cover pictures, subtitles and chapters. With `limits`, stops when the file has more packets than `headers`
    allows. Raises `RecordingError` when the file cannot be opened as a recording.
    """
    try:
        # Every packet takes some bytes of the file. An index that points at the same bytes again and again would keep
        # this busy for days.
        size_bytes = path.stat().st_size
        allowance_bytes = 2 * size_bytes + 65_536
        most = most_packets(size_bytes) if limits else sys.maxsize
        # The first picture of a file from elsewhere may still say what its header does not.
        container = open_recording(path, patience_s(limits), in_file_order=True, undecoded=not limits)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise RecordingError(f"{path} cannot be opened as a recording", reason_of(error)) from error
    with container:
        header_end_s = _header_end_s(container)
        listening = _Listening() if listen else None
        tallies = {
            stream.index: Tally(stream, listening, header_end_s) for stream in container.streams if is_track(stream)
        }
        failure = excess = ""
        try:
            for count, packet in enumerate(watched(container.demux(), size_bytes, on_progress)):
                if count > most:
                    excess = f"it holds more than {most:,} packets: {TRUST}"
                    break
                allowance_bytes -= packet.size + 1
                if allowance_bytes < 0:
                    failure = "its index points to the same bytes several times"
                    break
                if packet.stream_index in tallies:
                    tallies[packet.stream_index].add(packet)
        except av.error.ExitError:
            excess = f"no packet was found in it for {PATIENCE_S:g} s: {TRUST}"
        except (av.FFmpegError, OSError, ValueError) as error:
            failure = reason_of(error)
        tracks = tuple(tally.track() for tally in tallies.values())
        if limits and not excess and _flac_samples(tracks) > _MOST_FLAC_SAMPLES:
            excess = f"it holds more than {_MOST_FLAC_SAMPLES:,} samples: {TRUST}"
        return Contents(tracks, failure, excess)


def _flac_samples(tracks: Sequence[Track]) -> float:
    return sum(track.held_s * track.sample_rate * track.channels for track in tracks if track.codec == "flac")


def is_track(stream: av.stream.Stream) -> bool:
    return stream.type in ("video", "audio") and not stream.disposition & Disposition.attached_pic


def _header_end_s(container: av.container.InputContainer) -> Fraction | None:
    """Return the length that a Matroska or WebM header states; None if it states none, and for other formats."""
    if "matroska" not in container.format.name or container.duration is None:
        return None
    return Fraction(container.duration, av.time_base)


class _Listening:
    """What is left to listen to, for all tracks together."""

    def __init__(self) -> None:
        self._packets = _MOST_LISTENED_PACKETS
        self._samples = _MOST_LISTENED_SAMPLES

    @property
    def has_ended(self) -> bool:
        return self._packets < 0 or self._samples < 0

    def spend(self, samples: int) -> None:
        """Count a decoded packet of so many samples."""
        self._packets -= 1
        self._samples -= samples


class Tally:
    """Gathers one track. Times are whole units of `time_base` until the end, so that rounding happens only once."""

    def __init__(self, stream: av.stream.Stream, listening: _Listening | None, header_end_s: Fraction | None) -> None:
        self._stream = stream
        self._time_base = stream.time_base or Fraction(1, 1_000_000)
        self._is_video = stream.type == "video"
        self._listening = listening if stream.type == "audio" else None
        self._silent = True if self._listening else None
        self._silent_until: int | None = None
        #: The latest silent packet, and whether it followed an equal one.
        self._silence = b""
        self._repeats = False
        self._packets = 0
        self._start: int | None = None
        self._header_end = None if header_end_s is None else math.ceil(header_end_s / self._time_base)
        self._last_shown: int | None = None
        self._end = 0
        self._copied_end = 0
        self._held = 0
        self._longest = 0
        self._last_dts: int | None = None
        self._skipped_until: int | None = None
        self._last: av.Packet[Any] | None = None
        self._goes_back_at: int | None = None
        self._undecodable_at: int | None = None
        self._incomplete = 0
        self._shown = array("q")

    def add(self, packet: av.Packet[Any]) -> None:
        """Count the next packet of the track."""
        pts, dts, duration = packet.pts, packet.dts, packet.duration or 0
        if pts is None:
            if dts is None and not packet.size:
                return  # a stream ends with an empty one
            pts = self._end if dts is None else dts
        if self._listening is not None:
            self._listen(packet, pts, self._listening)
        if self._last is None:
            self._skipped_until = pts + self._units(_skipped_samples(packet)[0])
        # Frames may be decoded in another order than they are shown in: only their dts must rise.
        if dts is None and not self._is_video:
            dts = pts
        if dts is not None:
            if self._last_dts is not None and dts < self._last_dts and self._goes_back_at is None:
                self._goes_back_at = dts
            self._last_dts = dts
        self._last = packet
        is_whole = not packet.is_corrupt
        if not is_whole:
            self._incomplete += 1
        if packet.is_discard:
            return
        self._packets += 1
        if self._start is None or pts < self._start:
            self._start = pts
        self._held += duration
        if duration > self._longest:
            self._longest = duration
        end = self._picture_end(pts, duration) if self._is_video else pts + duration
        if is_whole and end > self._copied_end:
            self._copied_end = end
        if not self._is_video:
            if self._packets == 1 or end > self._end:
                self._end = end
            return
        self._shown.append(pts)
        # A frame stays until the next one, whatever its own duration; only that of the last one counts.
        if self._last_shown is None or pts >= self._last_shown:
            self._last_shown, self._end = pts, end

    def _picture_end(self, pts: int, duration: int) -> int:
        """Return where the frame ends if it is the last.

        A Matroska frame without a duration gets that of its track, which may reach beyond the end of the file.
        """
        if self._header_end is None:
            return pts + duration
        return max(pts, min(pts + duration, self._header_end))

    def _listen(self, packet: av.Packet[Any], at: int, listening: _Listening) -> None:
        """Decode one packet. The decoder may hold back a few milliseconds; shorter sound counts as silence."""
        content = bytes(packet)
        if self._repeats and content == self._silence:
            return
        if listening.has_ended:
            self._listening, self._silent, self._silent_until = None, None, at
            return
        samples = 0
        try:
            for frame in packet.decode():
                decoded = frame.to_ndarray()
                samples += decoded.size
                if _peak(decoded) > _HEARD:
                    self._listening, self._silent = None, False
        except (av.FFmpegError, ValueError):
            if self._undecodable_at is None:
                self._undecodable_at = at
        listening.spend(samples)
        self._repeats = bool(samples) and content == self._silence
        self._silence = content

    def track(self) -> Track:
        """Return the finished track."""
        start, end, held = self._start or 0, self._end, self._held
        if self._start is not None and self._skipped_until is not None:
            start = max(start, self._skipped_until)
        if self._last is not None and (unplayed := self._units(_skipped_samples(self._last)[1])):
            # Some demuxers shorten the last packet by its unplayed part, others leave that to the decoder.
            end = min(end, (self._last.pts or 0) + self._longest - unplayed)
        if self._last is not None and self._ends_in_half_a_frame(self._last):
            end -= self._last.duration or 0
            held -= self._last.duration or 0
        context = self._stream.codec_context
        return Track(
            kind=self._stream.type,
            codec=context.codec.canonical_name if context else "unknown",
            start_s=self._seconds(start),
            end_s=self._seconds(max(start, end)),
            packets=self._packets,
            held_s=self._seconds(held),
            goes_back_at_s=None if self._goes_back_at is None else self._seconds(self._goes_back_at),
            incomplete=self._incomplete,
            undecodable_at_s=None if self._undecodable_at is None else self._seconds(self._undecodable_at),
            silent=self._silent,
            width=getattr(context, "width", 0) if self._is_video else 0,
            height=getattr(context, "height", 0) if self._is_video else 0,
            sample_rate=0 if self._is_video else getattr(context, "sample_rate", 0),
            channels=0 if self._is_video else getattr(context, "channels", 0),
            silent_until_s=None if self._silent_until is None else self._seconds(self._silent_until),
            constant_fps=self._constant_fps(),
            copied_end_s=self._seconds(self._copied_end),
        )

    def _constant_fps(self) -> float | None:
        """Return the rate of frames that are all equally far apart, but for rounding; None if they are not."""
        shown = sorted(self._shown)
        distances = {later - earlier for earlier, later in pairwise(shown)}
        if not distances or max(distances) - min(distances) > 1 or not max(distances):
            return None
        return (len(shown) - 1) / self._seconds(shown[-1] - shown[0])

    def _ends_in_half_a_frame(self, last: av.Packet[Any]) -> bool:
        """Whether a FLAC file, which does not state the sizes of its frames, breaks off in the last one."""
        context = self._stream.codec_context
        if context is None or context.codec.canonical_name != "flac":
            return False
        decoder = av.CodecContext.create("flac", "r")
        decoder.extradata = context.extradata
        try:
            return not decoder.decode(last)
        except (av.FFmpegError, ValueError):
            return True

    def _seconds(self, units: int) -> float:
        return float(units * self._time_base)

    def _units(self, samples: int) -> int:
        rate = getattr(self._stream.codec_context, "sample_rate", 0)
        return math.ceil(Fraction(samples, rate) / self._time_base) if rate and samples else 0


def _skipped_samples(packet: av.Packet[Any]) -> tuple[int, int]:
    """Return how many samples at the start and at the end of `packet` are decoded but not played."""
    if not packet.has_sidedata("skip_samples"):
        return 0, 0
    start, end = struct.unpack_from("<II", bytes(packet.get_sidedata("skip_samples")).ljust(8, b"\0"))
    return start, end


def _peak(samples: np.ndarray[Any, Any]) -> float:
    """Return the largest absolute value of decoded samples of any dtype, with full scale at 1."""
    if not samples.size:
        return 0.0
    lowest, highest = float(samples.min()), float(samples.max())
    if samples.dtype.kind == "u":
        middle = float(2 ** (8 * samples.dtype.itemsize - 1))
        lowest, highest = (lowest - middle) / middle, (highest - middle) / middle
    elif samples.dtype.kind == "i":
        full_scale = float(2 ** (8 * samples.dtype.itemsize - 1))
        lowest, highest = lowest / full_scale, highest / full_scale
    return max(-lowest, highest)
