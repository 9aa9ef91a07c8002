"""An ordinary file out of one that was cut off, as a crash or an empty battery leaves it.

Packets are copied, nothing is encoded anew. The original stays byte for byte what it was until the new file is closed
and found to be whole; where that cannot be reached, it stays for good.
"""

from __future__ import annotations

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

from capture.errors import OutputError, RecordingError
from capture.formats import CONTAINERS, container_of
from capture.output.muxer import Chapter, Muxer
from capture.output.naming import check_output
from capture.output.reserved_file import ReservedFile, is_being_made
from capture.recordings.check import CheckReport, check
from capture.recordings.rewrite import chapters_of, opened, rewrite, tracks_of, until

__all__ = ["Repaired", "recordings_in", "repair"]

#: Tracks may end this far apart, less a little for what a container rounds: what is longer than that is cut off.
_ENDS_APART_S: Final = 0.4

#: A crash leaves tracks that end a second apart. One that lasts so much longer than another is no remainder to cut off.
_MOST_CUT_S: Final = 5.0


_LEFT: Final = "it is left as it is"


@dataclass(frozen=True, slots=True)
class Repaired:
    """What became of a file. `before` and `after` are what `check` says of it."""

    path: Path
    before: CheckReport
    after: CheckReport
    #: Whether there was anything to repair.
    was_needed: bool

    def as_json(self) -> dict[str, Any]:
        return {
            "path": str(self.path),
            "repaired": self.was_needed,
            "ok": self.after.ok,
            "before": {"duration_s": round(self.before.duration_s, 3), "problems": list(self.before.problems)},
            "after": {"duration_s": round(self.after.duration_s, 3), "problems": list(self.after.problems)},
        }


def repair(path: Path, output: Path | None = None) -> Repaired:
    """Make the recording at `path` whole, in its place or as a new file at `output`.

    One that is whole already stays as it is. Raises `RecordingError` where nothing whole can be made of it,
    `OutputError` where that cannot be written, `UsageError` where `path` names no file or `output` one that cannot be
    made: the original is then what it was.
    """
    if output is not None:
        container_of(output)
        check_output(output, overwrite=False)
    before = check(path, listen=False)
    if is_being_made(path):
        raise RecordingError(f"{path} is being recorded", "repair it when that has ended")
    if not before.plays:
        raise RecordingError(f"{path} cannot be repaired: {before.problems[0]}", _LEFT)
    if output is None:
        if before.ok:
            return Repaired(path, before, before, False)
        return Repaired(path, before, _rewritten(path), True)
    own = ReservedFile(output)
    try:
        with path.open("rb") as original, os.fdopen(os.dup(own.descriptor), "wb") as copy:
            shutil.copyfileobj(original, copy)
        own.keep()
        after = check(output, listen=False) if before.ok else _rewritten(output)
    except BaseException as error:
        with suppress(OSError):
            output.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OutputError(f"{output} cannot be written ({error.strerror})", "choose another place") from error
        raise
    return Repaired(output, before, after, not before.ok)


def recordings_in(folder: Path) -> list[Path]:
    """The files in `folder` that are called like recordings, by name; what is hidden is nobody's."""
    shown = (path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return sorted(path for path in shown if path.suffix[1:].lower() in CONTAINERS)


def _rewritten(path: Path) -> CheckReport:
    ends_s = _ends_s(path)
    if ends_s and max(ends_s) - min(ends_s) > _MOST_CUT_S:
        apart_s = max(ends_s) - min(ends_s)
        raise RecordingError(f"{path} cannot be repaired: a track ends {apart_s:.1f} s before another", _LEFT)
    last_s = min(ends_s, default=0.0) + _ENDS_APART_S

    def fill(muxer: Muxer) -> Sequence[Chapter]:
        with opened(path) as container:
            tracks = tracks_of(container)
            muxer.start(tracks, container.metadata, samples=_samples(tracks, ends_s))
            for place, packet in _whole_packets(container, tracks):
                if kept := until(packet, last_s):
                    muxer.write(place, kept)
            return chapters_of(container, last_s)

    return rewrite(path, fill)


def _samples(tracks: Sequence[Stream], ends_s: Sequence[float]) -> int:
    """The length of FLAC, which stands in its header; 0 for all others."""
    context = _flac_context(tracks)
    return round(max(ends_s, default=0.0) * context.sample_rate) if context is not None else 0


def _flac_context(tracks: Sequence[Stream]) -> AudioCodecContext | None:
    """That of the track that is FLAC, if one is."""
    for track in tracks:
        context = track.codec_context
        if isinstance(context, AudioCodecContext) and context.codec.canonical_name == "flac":
            return context
    return None


def _ends_s(path: Path) -> list[float]:
    """Where the last packet of each track that has any ends, on the file's time line."""
    ends_s: dict[int, float] = {}
    with opened(path) as container:
        if any(stream.type == "data" and stream.name is None for stream in container.streams):
            # What it was is damaged beyond recognition, and would be missing in the new file.
            raise RecordingError(f"{path} cannot be repaired: one of its tracks is unknown", _LEFT)
        for place, packet in _whole_packets(container, tracks_of(container)):
            end_s = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            ends_s[place] = max(ends_s.get(place, 0.0), end_s)
    return list(ends_s.values())


def _whole_packets(container: InputContainer, tracks: Sequence[Stream]) -> Iterator[tuple[int, Any]]:
    """The packets that can be taken over, with the place of their track: whole, in order, from a key frame on."""
    places = {stream.index: place for place, stream in enumerate(tracks)}
    reached: dict[int, int] = {}
    decoder = _flac_decoder(tracks)
    packets = container.demux(tracks)
    while True:
        try:
            packet = next(packets, None)
        except (av.FFmpegError, ValueError):
            # The cut, or damage that cannot be read past.
            return
        if packet is None:
            return
        place = places[packet.stream_index]
        if packet.pts is None or not packet.size or packet.is_corrupt:
            continue
        if packet.dts is None:
            # FFmpeg finds none for the few pictures of a still screen. They were written in the order they are shown.
            packet.dts = packet.pts
        if packet.dts <= reached.get(place, packet.dts - 1):
            continue
        if place not in reached and packet.stream.type == "video" and not packet.is_keyframe:
            continue
        if decoder is not None and not _is_whole(packet, decoder):
            continue
        reached[place] = packet.dts
        yield place, packet


def _flac_decoder(tracks: Sequence[Stream]) -> AudioCodecContext | None:
    """What tells whether a frame of FLAC is whole: nothing states how long each is, and the last may be cut."""
    context = _flac_context(tracks)
    if context is None:
        return None
    decoder = av.CodecContext.create("flac", "r")
    decoder.extradata = context.extradata
    return decoder


def _is_whole(packet: Packet[Any], decoder: AudioCodecContext) -> bool:
    try:
        return bool(decoder.decode(packet))
    except (av.FFmpegError, ValueError):
        return False
