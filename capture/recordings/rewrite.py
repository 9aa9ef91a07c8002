"""Rewrites a finished recording without the risk of losing it.

The new file grows in a hidden folder beside the old one. It replaces the old one, by one rename, only after it was
closed, checked and brought to the disk; if anything fails before that, the old file is unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, cast

import av
from av.container import InputContainer
from av.stream import Discard, Disposition, Stream
from av.video.stream import VideoStream

from capture.errors import CaptureError, OutputError, RecordingError
from capture.formats import container_of
from capture.media import SAMPLE_RATE, as_fraction
from capture.output.chapters import Chapter
from capture.output.file_size import limit_remedy
from capture.output.frame_times import half_slot_s
from capture.output.muxer import Muxer
from capture.recordings.check import CheckReport, check
from capture.recordings.opening import open_recording, reason_of
from capture.recordings.progress import OnProgress, unwatched
from capture.recordings.scratch import scratch_folder
from capture.system.durable import publish
from capture.system.private_files import copy_mode

__all__ = ["chapters_of", "least_s", "new_file", "opened", "read_alone", "rewrite", "tracks_of", "until", "zero_s"]

#: The rate of a track that states none.
_DEFAULT_FPS: Final = 30

#: No frame has to be shown for longer, whatever its rate.
_NEAR_END_S: Final = half_slot_s(Fraction(1))


def rewrite(
    path: Path,
    fill: Callable[[Muxer], Sequence[Chapter]],
    *,
    is_good: Callable[[Path], bool] = lambda path: True,
    found: CheckReport | None = None,
    on_check: OnProgress = unwatched,
) -> CheckReport:
    """Replace the recording at `path` with the one that `fill` writes; return its report.

    `fill` starts the muxer, writes every packet and returns the chapters. While `is_good` rejects the closed new file,
    `fill` runs again: the caller makes sure that this ends. The new file gets the old one's permissions. `found` is the
    report of the old file, if the caller has it; `on_check` learns how far the check of the new one has got.

    Raises `RecordingError` when the old file does not play or cannot be opened, `OutputError` when the new one cannot
    be written, is damaged or cannot replace the old one, and whatever else `fill` raises. After an error the old file
    is unchanged, byte for byte, and nothing else is left. Keep other threads away from both files.
    """
    # Replace the target of a link, not the link itself.
    old = path.resolve()
    if found is None:
        found = check(old, listen=False, limits=False)
    if not found.plays:
        raise RecordingError(f"{path} was not changed: {found.problems[0]}", "see capture check")
    try:
        with scratch_folder(old.parent) as folder:
            new = folder / f"new{old.suffix}"
            while True:
                with new_file(new) as muxer:
                    muxer.close(fill(muxer))
                report = _checked(new, found, on_check)
                if is_good(new):
                    break
                new.unlink()
            _take_place(new, old)
    except (CaptureError, OSError, av.FFmpegError) as error:
        raise _explained(path, old.parent, error) from error
    return replace(report, path=path.absolute())


@contextmanager
def opened(path: Path, *, timeout_s: float | None = None, in_file_order: bool = False) -> Iterator[InputContainer]:
    """Open the recording at `path` to read its packets (`open_recording`). Raises `RecordingError` when that fails."""
    try:
        container = open_recording(path, timeout_s, in_file_order=in_file_order)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise RecordingError(f"{path} cannot be opened as a recording", reason_of(error)) from error
    with container:
        yield container


def read_alone(container: InputContainer, track: Stream) -> None:
    """Let `container` read no other track: FFmpeg would read their bytes, too, and throw them away."""
    for stream in container.streams:
        if stream.index != track.index:
            stream.discard = Discard.all


def tracks_of(container: InputContainer) -> list[Stream]:
    """Return the video and audio tracks in their order, the same that `check` reports."""
    return [
        stream
        for stream in container.streams
        if stream.type in ("video", "audio") and not stream.disposition & Disposition.attached_pic
    ]


def zero_s(container: InputContainer) -> float:
    """Return the time that players count from. It is 0 but for MP3, which cannot mark its first samples as priming."""
    return (container.start_time or 0) / av.time_base if container.format.name == "mp3" else 0.0


def chapters_of(container: InputContainer, end_s: float = math.inf) -> list[Chapter]:
    """Return the chapters that start before `end_s`; the last one ends there at the latest."""
    found = []
    for chapter in container.chapters():
        unit_s = chapter["time_base"] or Fraction(1, 1000)
        start_s, stop_s = float(chapter["start"] * unit_s), float(chapter["end"] * unit_s)
        if start_s < end_s:
            found.append(Chapter(chapter.get("metadata", {}).get("title", ""), start_s, min(stop_s, end_s)))
    return found


def least_s(track: VideoStream) -> float:
    """Return for how long every frame of a recording is shown at least: half a slot.

    It may be shorter by the rounding of the track's times, and of a cut, which is at a sample.
    """
    rate = as_fraction(track.guessed_rate or _DEFAULT_FPS)
    return half_slot_s(rate) - float(as_fraction(track.time_base)) - 1 / SAMPLE_RATE


def until(packet: av.Packet[Any], end: float) -> av.Packet[Any] | None:
    """Return the packet if it starts before `end`, else None; the last frame ends there.

    A frame that would be shown for less than half a slot is left out: the one before stays. `end` is in units of the
    packet's time base, or infinite.
    """
    pts = packet.pts or 0
    if pts >= end:
        return None
    # The rate is looked up near the end alone: it takes as long as the rest.
    if packet.stream.type != "video" or pts + (packet.duration or 0) < end - _NEAR_END_S / float(packet.time_base):
        return packet
    latest = end - math.floor(least_s(cast(VideoStream, packet.stream)) / float(packet.time_base))
    if pts > max(0, latest):
        return None
    if pts + (packet.duration or 0) > latest:
        packet.duration = round(end) - pts
    return packet


@contextmanager
def new_file(path: Path) -> Iterator[Muxer]:
    """Yield the muxer of a new file for the caller to close; after an error the file is removed.

    The caller checks it and brings it to the disk. Raises `UsageError` when it exists, `OutputError` when it cannot be
    created.
    """
    muxer = Muxer(path, container_of(path))
    try:
        yield muxer
        muxer.hand_over()
    except BaseException:
        with suppress(CaptureError, OSError):
            muxer.discard()
        raise


def _checked(new: Path, found: CheckReport, on_check: OnProgress) -> CheckReport:
    """Return the report of the new file. Raises `OutputError` unless it is whole and has the tracks of the old one."""
    if not new.exists():
        raise OutputError("nothing was written")
    report = check(new, limits=False, on_progress=on_check)
    if not report.ok:
        raise OutputError(f"the new file is damaged: {report.problems[0]}")
    if [track.kind for track in report.streams] != [track.kind for track in found.streams]:
        raise OutputError(f"the new file has {len(report.streams)} tracks instead of {len(found.streams)}")
    return report


def _take_place(new: Path, old: Path) -> None:
    copy_mode(old, new)
    publish(new, old)


def _explained(path: Path, folder: Path, error: Exception) -> OutputError:
    """Return the error about the new file in `folder` as one about the recording at `path`."""
    reason = str(getattr(error, "strerror", None) or error)
    remedy = limit_remedy(error, folder, "check the free space and the permissions of the folder")
    if isinstance(error, CaptureError):
        reason, remedy = error.message, error.remedy
    return OutputError(f"{path} was not changed: {reason}", remedy)
