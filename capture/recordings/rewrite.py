"""A finished recording made anew without the risk of losing it.

The new file grows in a hidden folder beside the old one. Only when it is closed and found to be whole does it take the
old one's place, at once and by name alone; whatever goes wrong before that, the old one is what it was.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
from av.container import InputContainer
from av.stream import Disposition, Stream

from capture.errors import CaptureError, OutputError, RecordingError, UsageError
from capture.formats import container_of
from capture.output.muxer import Chapter, Muxer
from capture.recordings.check import CheckReport, check
from capture.recordings.contents import READ_OPTIONS
from capture.recordings.scratch import scratch_folder

__all__ = ["chapters_of", "cut_end", "opened", "rewrite", "tracks_of", "until", "zero_s"]

#: A picture that stands for longer is a still one, sent again from time to time. Tracks may end half a second apart.
_LONG_PICTURE_S: Final = 0.4


def rewrite(
    path: Path, fill: Callable[[Muxer], Sequence[Chapter]], *, is_good: Callable[[Path], bool] = lambda path: True
) -> CheckReport:
    """Put what `fill` writes in the place of the recording at `path`; return what `check` says of it.

    `fill` starts the muxer, writes every packet and returns the chapters. Where `is_good` says no to the closed new
    file, it is made once more: whoever gives it takes care that this ends. The new file has the old one's permissions.

    Raises `RecordingError` where the old file is not whole or cannot be opened, `OutputError` where the new one cannot
    be written, is found not to be whole or cannot take the place; and what `fill` raises otherwise. After each of them
    the old file is byte for byte what it was, and nothing else is left. Keep other threads away from both files.
    """
    # Where the name is a link, what it leads to is replaced and not the link.
    old = path.resolve()
    found = check(old, listen=False)
    if not found.plays:
        raise RecordingError(f"{path} is left as it is: {found.problems[0]}", "see capture check")
    new = old
    try:
        with scratch_folder(old.parent) as folder:
            new = folder / old.name
            while True:
                _write(new, fill)
                report = _checked(new, found)
                if is_good(new):
                    break
                new.unlink()
            _take_place(new, old)
    except (CaptureError, OSError, av.FFmpegError) as error:
        raise _explained(path, new, error) from error
    return replace(report, path=path.absolute())


def cut_end(path: Path, end_s: float) -> CheckReport:
    """Keep what begins before `end_s` of the recording at `path`; return what `check` says of what is left.

    `end_s` counts from the beginning of the file. Sound ends with the packet that goes on at `end_s`, a picture is
    shown until then; Matroska and WebM go on to the next picture where one stands still. Chapters end there and those
    behind it go. Raises `UsageError` where nothing would be left and for FLAC, which cannot be cut so, `OutputError`
    and `RecordingError` as `rewrite` does: the recording is then what it was.
    """
    if container_of(path).audio_codec == "flac":
        raise UsageError(f"{path} states its length in each part of it", "cut it with an editor of sound")
    if not end_s > 0:
        raise UsageError(f"nothing of {path} would be left before {end_s:g} s", "cut it later")

    def fill(muxer: Muxer) -> list[Chapter]:
        with opened(path) as container:
            tracks = tracks_of(container)
            muxer.start(tracks, container.metadata)
            places = {stream.index: place for place, stream in enumerate(tracks)}
            stop_s = _next_picture_s(path, end_s) + zero_s(container)
            for packet in container.demux(tracks):
                if packet.pts is not None and packet.size and (kept := until(packet, stop_s)):
                    muxer.write(places[packet.stream_index], kept)
            return chapters_of(container, stop_s)

    return rewrite(path, fill)


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """The recording at `path`, to read packets from. Raises `RecordingError` where it cannot be opened as one."""
    try:
        # A relative name with a colon would be taken for a protocol.
        container = av.open(str(path.absolute()), metadata_errors="replace", options=READ_OPTIONS)
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = str(getattr(error, "strerror", None) or error)
        raise RecordingError(f"{path} cannot be opened as a recording", reason) from error
    with container:
        yield container


def tracks_of(container: InputContainer) -> list[Stream]:
    """The tracks of picture and sound, in their order: those that `check` reports."""
    return [
        stream
        for stream in container.streams
        if stream.type in ("video", "audio") and not stream.disposition & Disposition.attached_pic
    ]


def zero_s(container: InputContainer) -> float:
    """What players count from: MP3 has no place to say that its first samples are the encoder's own."""
    return (container.start_time or 0) / av.time_base if container.format.name == "mp3" else 0.0


def chapters_of(container: InputContainer, end_s: float = math.inf) -> list[Chapter]:
    """The chapters that begin before `end_s`, none of which goes on beyond it."""
    found = []
    for chapter in container.chapters():
        unit_s = chapter["time_base"] or Fraction(1, 1000)
        start_s, stop_s = float(chapter["start"] * unit_s), float(chapter["end"] * unit_s)
        if start_s < end_s:
            found.append(Chapter(chapter.get("metadata", {}).get("title", ""), start_s, min(stop_s, end_s)))
    return found


def _next_picture_s(path: Path, end_s: float) -> float:
    """Where a cut at `end_s` leaves no picture behind whose length the file cannot tell.

    Matroska gives every picture the same length; one that stood for longer would end long before the sound.
    """
    with opened(path) as container:
        pictures = [stream for stream in tracks_of(container) if stream.type == "video"]
        if "matroska" not in container.format.name or not pictures:
            return end_s
        before_s = 0.0
        for packet in container.demux(pictures):
            if packet.pts is None:
                continue
            at_s = float(packet.pts * packet.time_base)
            if at_s >= end_s:
                length_s = float((packet.duration or 0) * packet.time_base)
                return at_s + length_s if end_s - before_s > _LONG_PICTURE_S else end_s
            before_s = max(before_s, at_s)
    return end_s


def until(packet: av.Packet[Any], end_s: float) -> av.Packet[Any] | None:
    """The packet if it begins before `end_s`; a picture lasts no longer than until then."""
    end = round(end_s / packet.time_base)
    if (packet.pts or 0) >= end:
        return None
    if packet.stream.type == "video":
        packet.duration = min(packet.duration or 0, end - (packet.pts or 0))
    return packet


def _write(new: Path, fill: Callable[[Muxer], Sequence[Chapter]]) -> None:
    muxer = Muxer(new, container_of(new))
    try:
        muxer.close(fill(muxer))
        muxer.keep()
    except BaseException:
        with suppress(CaptureError, OSError):
            muxer.discard()
        raise


def _checked(new: Path, found: CheckReport) -> CheckReport:
    """What `check` says of the new file, which is to be whole and to have the tracks of the old one."""
    if not new.exists():
        raise OutputError("nothing was written")
    report = check(new)
    if not report.ok:
        raise OutputError(f"the new file is not whole: {report.problems[0]}")
    if [track.kind for track in report.streams] != [track.kind for track in found.streams]:
        raise OutputError(f"the new file has {len(report.streams)} tracks where there were {len(found.streams)}")
    return report


def _take_place(new: Path, old: Path) -> None:
    shutil.copymode(old, new)
    # On the disk before the old one goes: a power cut leaves one of them, whole.
    with new.open("rb+") as file:
        os.fsync(file.fileno())
    new.replace(old)


def _explained(path: Path, new: Path, error: Exception) -> OutputError:
    """The same reason, told of the file that the caller knows."""
    reason, remedy = str(getattr(error, "strerror", None) or error), "see that there is room and a right to write"
    if isinstance(error, CaptureError):
        reason, remedy = error.message, error.remedy
    return OutputError(f"{path} is left as it was: {reason.replace(str(new), 'the new file')}", remedy)
