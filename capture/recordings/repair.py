"""Repairs a recording that a crash or an empty battery cut off: makes an ordinary file of it.

Packets are copied, not encoded again. The original stays untouched, byte for byte, until the new file is closed and
checked; if no whole file comes out, the original stays for good. One header may be corrected in it meanwhile: eight
bytes, see `fragments`.

A recorder that is killed while it replaces a file leaves that file aside. If the new one does not play, the old one
gets its name back.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import av
from av.audio.codeccontext import AudioCodecContext
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

from capture.errors import OutputError, RecordingError, UsageError
from capture.formats import CONTAINERS, container_of
from capture.output.chapters import Chapter
from capture.output.file_size import limit_remedy
from capture.output.locked_file import is_being_recorded
from capture.output.muxer import Muxer
from capture.output.naming import check_output, next_free
from capture.output.replaced_file import left_aside
from capture.output.reserved_file import ReservedFile
from capture.recordings.check import CheckReport, check
from capture.recordings.fragments import overwrite, shown_fragments
from capture.recordings.progress import OnProgress, part_of, unwatched, watched
from capture.recordings.rewrite import chapters_of, opened, rewrite, tracks_of, until
from capture.system.durable import publish

__all__ = ["Repaired", "recordings_in", "repair"]

#: How far apart tracks may end: what `check` accepts, less a little for the rounding of containers. More is cut off.
_ENDS_APART_S: Final = 0.4

#: A crash leaves tracks that end a second apart. A track this much longer than another is content, too much to cut off.
_MOST_CUT_S: Final = 5.0

_UNCHANGED: Final = "it was not changed"


@dataclass(frozen=True, slots=True)
class Repaired:
    """The result of a repair. `before` and `after` are the reports of `check`."""

    path: Path
    before: CheckReport
    after: CheckReport
    #: Whether the file needed repair.
    was_needed: bool
    #: Whether the file that was to be replaced has its name back, and where the one is now that does not play.
    put_back: bool = False
    broken: Path | None = None

    @property
    def set_aside(self) -> list[Path]:
        """The files that killed recorders were to replace at `path`."""
        return left_aside(self.path)

    def as_json(self) -> dict[str, Any]:
        return {
            "path": str(self.path),
            "repaired": self.was_needed,
            "ok": self.after.ok,
            "put_back": self.put_back,
            "broken": None if self.broken is None else str(self.broken),
            "set_aside": list(map(str, self.set_aside)),
            "before": {"duration_s": round(self.before.duration_s, 3), "problems": list(self.before.problems)},
            "after": {"duration_s": round(self.after.duration_s, 3), "problems": list(self.after.problems)},
        }


def repair(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    limits: bool = True,
    on_progress: OnProgress = unwatched,
) -> Repaired:
    """Repair the recording at `path`, in place or as a new file at `output`.

    A recording that is whole already stays as it is. One that does not play at all, or is gone, gives its name back to
    the file that it was to replace, if a killed recorder left that aside, and gets another name; with `output` it does
    not. With `limits`, a file beyond those of `check` is not repaired. Raises `RecordingError` when no whole file can
    be made of it, `OutputError` when the new file cannot be written, `UsageError` when `path` names no file or `output`
    cannot be created. The original is then unchanged.
    """
    path, output = Path(path), None if output is None else Path(output)
    if output is not None:
        container_of(output)
        check_output(output, overwrite=False)
        return _repaired_elsewhere(path, output, limits, on_progress)
    if not os.path.lexists(path) and (back := _put_back(path, None, limits)) is not None:
        return back
    before = check(path, listen=False, limits=limits, on_progress=part_of(on_progress, 0.0, 0.3))
    _check_unused(path)
    if before.ok:
        return Repaired(path, before, before, False)
    if not before.plays:
        after = _shown(path, limits)
        if after is None and (back := _put_back(path, before, limits)) is not None:
            return back
        if after is None:
            raise _beyond_repair(path, before)
        return Repaired(path, before, after, True)
    if before.beyond_limits:
        raise _beyond_repair(path, before)
    return Repaired(path, before, _repaired(path, before, part_of(on_progress, 0.3, 1.0)), True)


def _repaired_elsewhere(path: Path, output: Path, limits: bool, on_progress: OnProgress) -> Repaired:
    before = check(path, listen=False, limits=limits, on_progress=part_of(on_progress, 0.0, 0.3))
    _check_unused(path)
    if before.beyond_limits or (not before.plays and shown_fragments(path) is None):
        raise _beyond_repair(path, before)
    own = ReservedFile(output)
    try:
        with path.open("rb") as original, os.fdopen(os.dup(own.descriptor), "wb") as copy:
            shutil.copyfileobj(original, copy)
        own.keep()
        if before.ok:
            after: CheckReport | None = check(output, listen=False, limits=limits)
        else:
            rest = part_of(on_progress, 0.3, 1.0)
            after = _repaired(output, before, rest) if before.plays else _shown(output, limits)
        if after is None:
            raise _beyond_repair(path, before)
    except BaseException as error:
        with suppress(OSError):
            output.unlink(missing_ok=True)
        if isinstance(error, OSError):
            remedy = limit_remedy(error, output.parent, "choose another place")
            raise OutputError(f"{output} cannot be written ({error.strerror})", remedy) from error
        raise
    return Repaired(output, before, after, not before.ok)


def _check_unused(path: Path) -> None:
    if is_being_recorded(path):
        raise RecordingError(f"{path} is still being recorded", "repair it after the recording has ended")


def _beyond_repair(path: Path, before: CheckReport) -> RecordingError:
    return RecordingError(f"{path} cannot be repaired: {before.problems[0]}", _UNCHANGED)


def _shown(path: Path, limits: bool) -> CheckReport | None:
    """Repair a file that does not play because a header hides its fragments.

    Return its report, or None, with the file unchanged, if that is not what is wrong with it. Raises as `repair` does.
    """
    header = shown_fragments(path)
    if header is None:
        return None
    is_repaired = False
    try:
        overwrite(path, header.position, header.showing)
        shown = check(path, listen=False, limits=limits)
        if not shown.plays or shown.beyond_limits:
            return None
        after = _repaired(path, shown)
        is_repaired = True
        return after
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror})", _UNCHANGED) from error
    finally:
        if not is_repaired:
            with suppress(OSError):
                overwrite(path, header.position, header.hiding)


def _put_back(path: Path, before: CheckReport | None, limits: bool) -> Repaired | None:
    """Give `path` back to the latest file left aside that plays, and repair that; None if there is none.

    The file that has the name, whose report is `before`, gets the next free one, unless it is empty. Raises
    `OutputError`.
    """
    for old in reversed(left_aside(path)):
        after = check(old, listen=False, limits=limits) if old.is_file() else None
        if after is None or not after.plays:
            continue
        broken = None
        try:
            if before is not None and path.stat().st_size:
                broken = next_free(path)
                path.rename(broken)
            publish(old, path)
        except OSError as error:
            raise OutputError(f"{path} cannot be replaced by {old} ({error.strerror})", _UNCHANGED) from error
        before = after if before is None else before
        if not after.ok and not after.beyond_limits:
            # Its own recorder was killed, too. Whether or not it can be finished, it plays.
            with suppress(RecordingError):
                after = _repaired(path, after)
        return Repaired(path, before, after, True, put_back=True, broken=broken)
    return None


def recordings_in(folder: Path) -> list[Path]:
    """Return the files in `folder` with a recording's extension, sorted by name, without hidden ones.

    Raises `UsageError` when the folder cannot be read.
    """
    try:
        shown = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    except OSError as error:
        raise UsageError(f"the folder {folder} cannot be read ({error.strerror})", "see its permissions") from error
    return sorted(path for path in shown if path.suffix[1:].lower() in CONTAINERS)


def _repaired(path: Path, found: CheckReport, on_progress: OnProgress = unwatched) -> CheckReport:
    last_s = _last_s(path, found)
    with opened(path) as container:
        if any(stream.type == "data" and stream.name is None for stream in container.streams):
            # A track damaged beyond recognition would be missing from the new file.
            raise RecordingError(f"{path} cannot be repaired: one of its tracks is unknown", _UNCHANGED)

    def fill(muxer: Muxer) -> Sequence[Chapter]:
        with opened(path, in_file_order=True) as container:
            tracks = tracks_of(container)
            chapters = chapters_of(container, last_s)
            muxer.start(tracks, container.metadata, crash_safe=False, chapters=chapters)
            ends = [last_s if math.isinf(last_s) else round(last_s / (track.time_base or 1)) for track in tracks]
            for place, packet in _whole_packets(container, tracks, part_of(on_progress, 0.0, 0.6)):
                if kept := until(packet, ends[place]):
                    muxer.write(place, kept)
            return chapters

    return rewrite(path, fill, found=found, on_check=part_of(on_progress, 0.6, 1.0))


def _last_s(path: Path, found: CheckReport) -> float:
    """Return where the new file ends, so that its tracks end together; infinite if nothing has to be cut off."""
    ends_s = [track.copied_end_s for track in found.streams if track.copied_end_s]
    apart_s = max(ends_s, default=0.0) - min(ends_s, default=0.0)
    if apart_s > _MOST_CUT_S:
        raise RecordingError(f"{path} cannot be repaired: a track ends {apart_s:.1f} s before another", _UNCHANGED)
    return min(ends_s) + _ENDS_APART_S if apart_s > _ENDS_APART_S else math.inf


def _whole_packets(
    container: InputContainer, tracks: Sequence[Stream], on_progress: OnProgress
) -> Iterator[tuple[int, Any]]:
    """Yield each packet worth copying, with the index of its track: whole, in order, from a key frame on."""
    places = {stream.index: place for place, stream in enumerate(tracks)}
    #: The dts that each track has reached.
    reached: dict[int, int] = {}
    decoder = _flac_decoder(container, tracks)
    packets = watched(container.demux(tracks), container.size or 0, on_progress)
    while True:
        try:
            packet = next(packets, None)
        except (av.FFmpegError, ValueError):
            # The cut, or damage that the demuxer cannot read past.
            return
        if packet is None:
            return
        pts, dts = packet.pts, packet.dts
        if pts is None or not packet.size or packet.is_corrupt:
            continue
        if dts is None:
            # FFmpeg finds none for the few frames of a still screen. They were written in the order they are shown.
            packet.dts = dts = pts
        place = places[packet.stream_index]
        if place in reached:
            if dts <= reached[place]:
                continue
        elif packet.stream.type == "video" and not packet.is_keyframe:
            continue
        if decoder is not None and not _is_whole(packet, decoder):
            continue
        reached[place] = dts
        yield place, packet


def _flac_decoder(container: InputContainer, tracks: Sequence[Stream]) -> AudioCodecContext | None:
    """Return a decoder that tests the frames of a FLAC file: nothing states their sizes, and the last may be cut."""
    if container.format.name != "flac" or not tracks:
        return None
    decoder = av.CodecContext.create("flac", "r")
    decoder.extradata = tracks[0].codec_context.extradata
    return decoder


def _is_whole(packet: Packet[Any], decoder: AudioCodecContext) -> bool:
    try:
        return bool(decoder.decode(packet))
    except (av.FFmpegError, ValueError):
        return False
