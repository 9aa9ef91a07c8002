"""Checks whether a saved recording is whole: for `capture check`, and for every recording once it is finished."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from capture.errors import RecordingError, UsageError
from capture.recordings.contents import Contents, Track, read_contents
from capture.recordings.headers import excess_in
from capture.recordings.headers.animation import HEAD_BYTES, animation_head
from capture.recordings.mp4.contents import read_by_index
from capture.recordings.progress import OnProgress, unwatched
from capture.recordings.structure import Ending, Structure, read_structure

__all__ = ["CheckReport", "StreamReport", "check", "size_bytes_of"]

#: With a larger offset, lips and voice are visibly apart.
_START_TOLERANCE_S: Final = 0.05

#: How far apart the last frame, the last block of sound and the last fragment may end.
_END_TOLERANCE_S: Final = 0.5

#: A header that states the length does so to the sample.
_PROMISE_TOLERANCE_S: Final = 0.001


@dataclass(frozen=True, slots=True)
class StreamReport:
    """One track as it plays, in seconds on the file's time line, without priming and edited-out parts.

    `silent` is None for video, and for audio that was not decoded, or not to its end. Only video has a width, a height
    and frames, only audio a sample rate and channels; the others are 0.
    """

    kind: str
    codec: str
    start_s: float
    duration_s: float
    silent: bool | None
    width: int = 0
    height: int = 0
    frames: int = 0
    sample_rate: int = 0
    channels: int = 0
    #: Where listening stopped, if all was silent up to there.
    silent_until_s: float | None = None
    #: The frame rate of a video track if it is constant; None if it is variable.
    constant_fps: float | None = None
    #: Where the last complete packet ends: a repair copies no others.
    copied_end_s: float = 0.0
    #: How many packets play.
    packets: int = 0

    def as_json(self) -> dict[str, Any]:
        own = ("width", "height", "frames", "constant_fps") if self.kind == "video" else ("sample_rate", "channels")
        return {
            "kind": self.kind,
            "codec": self.codec,
            "start_s": round(self.start_s, 3),
            "duration_s": round(self.duration_s, 3),
            "silent": self.silent,
        } | {name: getattr(self, name) for name in own}


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What is in a file and what is wrong with it. `problems` are sentences for the user, the gravest first."""

    path: Path
    problems: tuple[str, ...]
    streams: tuple[StreamReport, ...]
    #: How the file ends, by its container's headers.
    ending: Ending
    #: Whether any track has packets, whatever the problems are.
    plays: bool
    #: Whether a size or a count is beyond the limits, so that not all of the file was read.
    beyond_limits: bool = False

    @property
    def ok(self) -> bool:
        return not self.problems

    @property
    def duration_s(self) -> float:
        """Seconds from the start of the first track to the end of the last."""
        return _span_s([(stream.start_s, stream.start_s + stream.duration_s) for stream in self.streams])

    @property
    def picture(self) -> StreamReport | None:
        """The first track that shows anything."""
        return next((stream for stream in self.streams if stream.frames and stream.width and stream.height), None)

    @property
    def sounds(self) -> list[StreamReport]:
        """The audio tracks, in their order."""
        return [stream for stream in self.streams if stream.kind == "audio"]

    @property
    def heard(self) -> list[int]:
        """The numbers of the audio tracks that are not empty, from 0."""
        return [number for number, sound in enumerate(self.sounds) if sound.duration_s > 0]

    def as_json(self) -> dict[str, Any]:
        """Return the keys that scripts rely on, in their order."""
        return {
            "path": str(self.path),
            "ok": self.ok,
            "problems": list(self.problems),
            "streams": [stream.as_json() for stream in self.streams],
        }


def check(
    path: str | os.PathLike[str],
    *,
    listen: bool = True,
    limits: bool = True,
    by_index: bool = False,
    on_progress: OnProgress = unwatched,
) -> CheckReport:
    """Read the whole file at `path` and report what is wrong with it.

    With `listen`, every audio track is decoded up to its first sound, and `silent` says whether there was none; the
    rest of the audio and all pictures stay undecoded. Silence is not a problem; an unfinished or damaged file is. A
    file that is not a recording gets a report, too; so does an animation (see `check_animation`).

    With `limits`, a file whose headers claim more than any recording holds is not read, and one with too many packets
    is not read to its end: time and memory stay within bounds (see `headers`). Files that capture has just written need
    none. With `by_index`, only the edges of such an MP4 are read packet by packet (`read_by_index`).

    Raises only `UsageError`, when `path` names no regular file.
    """
    path = Path(path)
    size_bytes = size_bytes_of(path)
    path = path.absolute()
    if size_bytes == 0:
        return _nothing_in(path, "the file is empty")
    try:
        excess = excess_in(path) if limits else ""
        if excess:
            return CheckReport(path, (excess,), (), Ending.DAMAGED, plays=False, beyond_limits=True)
        structure = read_structure(path)
        if structure.ending is Ending.UNKNOWN:
            return _nothing_in(path, _unknown(path))
    except OSError as error:
        return _nothing_in(path, f"the file cannot be read: {error.strerror or error}")
    try:
        found = read_by_index(path) if by_index and not listen else None
        contents = found or read_contents(path, listen=listen, limits=limits, on_progress=on_progress)
    except RecordingError as error:
        contents = Contents((), error.remedy)
    ending = _ending(structure, contents.tracks)
    return CheckReport(
        path,
        tuple(_problems(ending, contents)),
        tuple(_stream(track) for track in contents.tracks),
        ending,
        plays=any(track.packets for track in contents.tracks),
        beyond_limits=bool(contents.excess),
    )


def _nothing_in(path: Path, problem: str) -> CheckReport:
    return CheckReport(path, (problem,), (), Ending.UNKNOWN, plays=False)


def _unknown(path: Path) -> str:
    with path.open("rb") as file:
        is_animation = animation_head(file.read(HEAD_BYTES)) is not None
    return (
        "this is an animation, not a recording" if is_animation else "this is not a recording, or its start is damaged"
    )


def size_bytes_of(path: Path) -> int:
    """Return the size of the regular file at `path`. Raises `UsageError` when it names none."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"{path} does not exist", "name an existing recording") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{str(path)!r} cannot be opened ({reason})", "name a recording") from error
    if stat.S_ISDIR(found.st_mode):
        raise UsageError(f"{path} is a folder", "name a recording in it")
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{path} is not a regular file", "name a recording")
    return found.st_size


def _ending(structure: Structure, tracks: Sequence[Track]) -> Ending:
    """Return what the container says, corrected when the packets fall short of the length it states."""
    if structure.promised_s is None:
        return structure.ending
    expected_s = structure.promised_s - _PROMISE_TOLERANCE_S
    if max((track.end_s for track in tracks), default=0.0) < expected_s:
        return Ending.CUT_OFF
    return structure.ending if max((track.held_s for track in tracks), default=0.0) >= expected_s else Ending.DAMAGED


def _stream(track: Track) -> StreamReport:
    return StreamReport(
        track.kind,
        track.codec,
        track.start_s,
        track.end_s - track.start_s,
        track.silent,
        track.width,
        track.height,
        track.packets if track.kind == "video" else 0,
        track.sample_rate,
        track.channels,
        track.silent_until_s,
        None if track.constant_fps is None else round(track.constant_fps, 3),
        track.copied_end_s,
        track.packets,
    )


def _span_s(spans_s: Sequence[tuple[float, float]]) -> float:
    return max(end for _, end in spans_s) - min(start for start, _ in spans_s) if spans_s else 0.0


def _problems(ending: Ending, contents: Contents) -> Iterator[str]:
    if contents.excess:
        # Whatever else seems to be wrong may come from reading only a part.
        yield contents.excess
        return
    filled = [track for track in contents.tracks if track.packets]
    complete = ending is Ending.WHOLE
    if not complete:
        yield _unfinished(ending, _span_s([(track.start_s, track.end_s) for track in filled]) if filled else None)
    elif not contents.tracks:
        reason = f" ({contents.failure})" if contents.failure else ""
        yield f"it contains neither picture nor sound{reason}"
    elif contents.failure:
        yield f"it cannot be read to the end: {contents.failure}"
    for number, track in enumerate(contents.tracks):
        yield from _track_problems(_name(contents.tracks, number), track, complete)
    yield from _apart(contents.tracks, "start", lambda track: track.start_s, _START_TOLERANCE_S)
    yield from _apart(contents.tracks, "end", lambda track: track.end_s, _END_TOLERANCE_S)


def _unfinished(ending: Ending, found_s: float | None) -> str:
    """Return the sentence on a file without a proper end; `found_s` seconds of it are there, or None."""
    if found_s is None:
        return {
            Ending.NEVER_CLOSED: "the file was never closed, and nothing in it plays",
            Ending.CUT_OFF: "the end of the file is missing, and nothing that is left of it plays",
        }.get(ending, "the file is damaged, and nothing in it plays")
    return {
        Ending.NEVER_CLOSED: f"the file was never closed: it was cut off after {found_s:.1f} s; the part before plays",
        Ending.CUT_OFF: f"the end of the file is missing: it stops after {found_s:.1f} s; the part before plays",
    }.get(ending, f"the file is damaged: {found_s:.1f} s of it were found, and not all of that may play")


def _track_problems(name: str, track: Track, complete: bool) -> Iterator[str]:
    if not track.packets:
        yield f"{name} is empty"
    if track.goes_back_at_s is not None:
        yield f"the timestamps of {name} jump back at {track.goes_back_at_s:.2f} s"
    # In a file that ends too early, the last packet is incomplete as a matter of course.
    if track.incomplete and complete:
        yield f"{track.incomplete} packets of {name} are incomplete"
    if track.undecodable_at_s is not None and complete:
        yield f"{name} cannot be decoded at {track.undecodable_at_s:.2f} s"


def _apart(tracks: Sequence[Track], verb: str, moment_s: Callable[[Track], float], tolerance_s: float) -> Iterator[str]:
    """Yield a sentence on the two tracks that `verb` furthest apart, if by more than `tolerance_s`."""
    filled = [(moment_s(track), number) for number, track in enumerate(tracks) if track.packets]
    if not filled:
        return
    (early_s, first), (late_s, last) = min(filled), max(filled)
    if late_s - early_s > tolerance_s:
        late, early = _name(tracks, last), _name(tracks, first)
        yield f"the tracks do not {verb} together: {late} {verb}s {late_s - early_s:.2f} s after {early}"


def _name(tracks: Sequence[Track], number: int) -> str:
    """Return the track's name for the user: `the audio track`, or `audio track 2` when there are several."""
    kind = tracks[number].kind
    alike = [other for other, track in enumerate(tracks) if track.kind == kind]
    return f"the {kind} track" if len(alike) == 1 else f"{kind} track {alike.index(number) + 1}"
