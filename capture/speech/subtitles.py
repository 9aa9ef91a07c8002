"""Puts what was said into a copy of the recording, as a subtitle track that players can show."""

from __future__ import annotations

import heapq
import io
from collections.abc import Iterator, Sequence
from fractions import Fraction
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import av
from av.container import InputContainer
from av.stream import Stream

from capture.errors import OutputError, RecordingError, UsageError
from capture.formats import container_of
from capture.media import in_seconds
from capture.output.file_size import limit_remedy
from capture.recordings.check import check
from capture.recordings.rewrite import chapters_of, new_file, opened, tracks_of
from capture.recordings.scratch import scratch_folder
from capture.recordings.structure import Ending
from capture.speech.transcript import Segment
from capture.system.durable import publish
from capture.system.private_files import copy_mode

__all__ = ["check_container", "with_subtitles"]

#: FFmpeg's encoder of subtitles for each format.
_ENCODERS: Final = {"mp4": "mov_text", "mov": "mov_text", "matroska": "subrip"}

#: FFmpeg's encoders take the style of all subtitles from a header of this form, and refuse to start without one.
_STYLE: Final = (
    b"[Script Info]\nScriptType: v4.00+\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize, PrimaryColour, "
    b"SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, "
    b"BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding\nStyle: Default,Arial,16,&Hffffff,"
    b"&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1\n[Events]\nFormat: Layer, Start, End, Style, Name, "
    b"MarginL, MarginR, MarginV, Effect, Text\n"
)

_EMPTY: Final = b"\0\0"

_TIME_BASE: Final = Fraction(1, 1000)


def check_container(path: Path) -> None:
    """Raise `UsageError` unless a recording of this kind can have subtitles."""
    if container_of(path).format not in _ENCODERS:
        raise UsageError(f"a {path.suffix} file has no room for subtitles", "players find the .srt file beside it")


def with_subtitles(path: Path, output: Path, segments: Sequence[Segment], *, limits: bool = True) -> None:
    """Write a copy of the recording at `path` with these subtitles to `output`, which it replaces.

    Nothing is encoded again, and the recording does not change. Raises `RecordingError` when it does not play, or with
    `limits` when it claims too much (see `check`); `OutputError` when the copy cannot be written.
    """
    found = check(path, listen=False, limits=limits)
    if not found.plays or found.beyond_limits:
        raise RecordingError(f"{path} got no subtitles: {found.problems[0]}", "see capture check")
    try:
        with scratch_folder(output.absolute().parent) as folder:
            made = folder / f"new{output.suffix}"
            _write(path, made, segments)
            report = check(made, listen=False, limits=False)
            # What is wrong with the recording, such as tracks that do not end together, is not the copy's fault.
            if report.ending is not Ending.WHOLE or len(report.problems) > len(found.problems):
                raise OutputError(f"the new file is damaged: {report.problems[0]}")
            copy_mode(path, made)
            publish(made, output)
    except OutputError as error:
        raise OutputError(f"{output} was not written: {error.message}", error.remedy) from error
    except (OSError, av.FFmpegError) as error:
        reason = str(getattr(error, "strerror", None) or error)
        remedy = limit_remedy(error, output.absolute().parent, "check the free space and the permissions of the folder")
        raise OutputError(f"{output} cannot be written ({reason})", remedy) from error


def _write(path: Path, made: Path, segments: Sequence[Segment]) -> None:
    with (
        new_file(made) as muxer,
        opened(path, in_file_order=True) as source,
        av.open(_track(made, segments)) as subtitles,
    ):
        tracks = tracks_of(source)
        assert isinstance(subtitles, InputContainer)  # noqa: S101 - it is opened to be read
        (words,) = subtitles.streams.subtitles
        muxer.start([*tracks, words], source.metadata, crash_safe=False)
        places = {track.index: place for place, track in enumerate(tracks)}
        for _, place, packet in heapq.merge(
            _packets(source, tracks, places),
            _packets(subtitles, [words], {words.index: len(tracks)}),
            key=itemgetter(0),
        ):
            muxer.write(place, packet)
        muxer.close(chapters_of(source))


def _packets(
    container: InputContainer, tracks: Sequence[Stream], places: dict[int, int]
) -> Iterator[tuple[float, int, av.Packet[Any]]]:
    for packet in container.demux(list(tracks)):
        # An MP4 fills the gaps between subtitles with empty ones; the new file makes its own.
        if packet.pts is not None and packet.size and bytes(packet) != _EMPTY:
            dts = packet.pts if packet.dts is None else packet.dts
            yield in_seconds(dts, packet.time_base), places[packet.stream_index], packet


def _track(made: Path, segments: Sequence[Segment]) -> io.BytesIO:
    """Return a file in memory that contains the subtitles alone, in the format of `made`."""
    memory, form = io.BytesIO(), container_of(made).format
    with av.open(memory, "w", format=form) as container:
        stream: Any = container.add_stream(_ENCODERS[form])
        stream.time_base = stream.codec_context.time_base = _TIME_BASE
        stream.codec_context.subtitle_header = _STYLE
        container.start_encoding()
        for segment in segments:
            packet: av.Packet[Any] = av.Packet(_as_sample(segment.text, form))
            packet.stream, packet.time_base = stream, _TIME_BASE
            packet.pts = packet.dts = round(segment.start_s * 1000)
            packet.duration = max(1, round((segment.end_s - segment.start_s) * 1000))
            container.mux_one(packet)
    memory.seek(0)
    return memory


def _as_sample(text: str, form: str) -> bytes:
    """Return the content of a packet. That of an MP4 begins with its length, and has at most 65,535 bytes."""
    content = text.encode(errors="replace")
    if form == "matroska":
        return content
    content = content[:65_000].decode(errors="ignore").encode()
    return len(content).to_bytes(2, "big") + content
