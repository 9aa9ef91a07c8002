"""Packets in, one file out. The only owner of its container, used by one thread.

The file is written so that a crash, even SIGKILL or a power cut, leaves what was recorded until about a second before:

* MP4, MOV and M4A are written in fragments of 0.3 s and become ordinary ones (`ftyp`, `mdat`, `moov`) when they
  are closed. `delay_moov` keeps the edit list that cancels the encoder's priming, so that the tracks start together.
* Matroska and WebM clusters and Ogg pages are cut short for the same reason.
* `flush_packets` hands each to the operating system at once; without it up to 256 KiB stay in this process.

A full disk costs no file its end: what that takes is kept back, and grows with the recording.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import av
from av.stream import Stream
from av.video.stream import VideoStream

from capture.errors import DiskFullError, FileGoneError, OutputError
from capture.formats import Container
from capture.media import in_seconds
from capture.output.margin import Margin
from capture.output.output_file import OutputFile
from capture.output.reserved_file import ReservedFile

__all__ = ["WITH_CHAPTERS", "Chapter", "Muxer"]

_FRAGMENTED: Final = {"movflags": "hybrid_fragmented+delay_moov", "frag_duration": "300000"}
_CLUSTERS: Final = {"cluster_time_limit": "200"}

#: Muxer options by FFmpeg's format name; durations in microseconds, but clusters in milliseconds.
_OPTIONS: Final[dict[str, dict[str, str]]] = {
    "mp4": _FRAGMENTED,
    "mov": _FRAGMENTED,
    "ipod": _FRAGMENTED,
    "matroska": _CLUSTERS,
    "webm": _CLUSTERS,
    "ogg": {"page_duration": "200000"},
    # A plain WAV cannot count beyond 4 GB, six hours; this one becomes the larger kind when it has to.
    "wav": {"rf64": "auto"},
}

#: How far the muxer lets one track run ahead of another before it writes what it has. A still picture sends a packet
#: now and then; at the default of 10 s all sound since would wait in memory for the next, and a crash would lose it.
_INTERLEAVE_US: Final = 200_000

#: The formats that take chapters when all else is written; the others would want them before the first packet.
WITH_CHAPTERS: Final = frozenset({"mp4", "mov", "ipod", "matroska", "webm"})

#: What a packet adds to what is written when the file is closed, at most. MP4 notes its length (8 bytes), its size (4),
#: that it is a key frame (4), and where each run of packets stands (20 for a track in every fragment): 13 were seen for
#: pictures at irregular moments. Matroska has about 25 for a key frame, or in sound alone for every cluster.
_INDEX_BYTES: Final = {"mp4": 24, "mov": 24, "ipod": 24, "matroska": 4, "webm": 4}

#: What to do about a full disk.
_MAKE_ROOM: Final = "free some space, or record to another disk"

#: What containers say about themselves and about one file's tracks, in lower case; every muxer writes its own.
_OF_ONE_FILE: Final = frozenset(
    {"compatible_brands", "duration", "encoder", "major_brand", "minor_version", "vendor_id"}
)


class Chapter(NamedTuple):
    """A named stretch of a recording, in seconds of media time."""

    title: str
    start_s: float
    end_s: float


class Muxer:
    """A file being written. Creating it makes the file, private to the user; nothing is written before `start`."""

    def __init__(self, path: Path, container: Container, *, overwrite: bool = False) -> None:
        """`OutputError` where the file cannot be made, `UsageError` where it exists and `overwrite` is not given."""
        # FFmpeg takes "rec-12:30.mp4" for a protocol; an absolute path it takes as it is.
        self._own = ReservedFile(path, overwrite=overwrite)
        self.path = self._own.path
        self._file = OutputFile(self._own)
        self._margin = Margin(self._file, _INDEX_BYTES.get(container.format, 0))
        self._container_kind = container
        self._container: av.container.OutputContainer | None = None
        self._streams: list[Stream] = []
        self._held: dict[int, av.Packet[Any]] = {}
        # What is the matter with the disk is said once.
        self._said = False
        self._closed_bytes = 0
        #: Whether somebody had removed the file when it was closed.
        self.is_gone = False
        self._crash_safe = True

    def start(
        self,
        templates: Sequence[Stream],
        metadata: Mapping[str, str] | None = None,
        *,
        crash_safe: bool = True,
        samples: int = 0,
    ) -> None:
        """Open the container with a stream for each template, an encoder's or a file's; `write` names them by place.

        `metadata` is that of the whole file; a file's stream brings its own. Without `crash_safe` the file is nothing
        until it is closed, and written several times as fast; its packets come in the order of their times. `samples`
        is the length of FLAC, where the packets come from a file: else its encoder tells it, at the end.
        """
        self._crash_safe = crash_safe
        options = {"rf64": "auto"} if self._container_kind.format == "wav" else {}
        if crash_safe:
            options = {
                **_OPTIONS.get(self._container_kind.format, {}),
                "flush_packets": "1",
                "max_interleave_delta": str(_INTERLEAVE_US),
            }
        try:
            self._container = av.open(
                cast(Any, self._file), "w", format=self._container_kind.format, container_options=options
            )
            self._streams = [self._container.add_stream_from_template(item, opaque=True) for item in templates]
            self._container.metadata.update(_lasting(metadata or {}))
            for stream, template in zip(self._streams, templates, strict=True):
                stream.metadata.update(_lasting(template.metadata))
                # It tells how long the last picture lasts, and files do not always keep it with the codec.
                if isinstance(stream, VideoStream) and isinstance(template, VideoStream) and template.average_rate:
                    stream.codec_context.framerate = template.average_rate
                if samples:
                    stream.codec_context.extradata = _with_length(stream.codec_context.extradata or b"", samples)
            self._container.start_encoding()
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._failure("cannot be written", error, "choose another place") from error

    def write(self, stream: int, packet: av.Packet[Any]) -> None:
        """Write a packet of stream number `stream`. Raises `OutputError`; a later packet may still succeed.

        A fragment that ends at a packet of unknown length makes FFmpeg guess it, and place all that follows by the
        guess. There such a packet is held until the next one tells its length.
        """
        packet.stream = self._streams[stream]
        before = self._held.pop(stream, None)
        if before is not None:
            before.duration = int(packet.pts or 0) - int(before.pts or 0)
            self._mux(before)
        fragmented = self._crash_safe and _OPTIONS.get(self._container_kind.format) is _FRAGMENTED
        if fragmented and not packet.duration:
            self._held[stream] = packet
        else:
            self._mux(packet)

    def _mux(self, packet: av.Packet[Any]) -> None:
        assert self._container is not None  # noqa: S101 - start comes first
        ends_s = in_seconds((packet.pts or 0) + (packet.duration or 0), packet.time_base)
        try:
            self._container.mux_one(packet)
        except (av.FFmpegError, OSError) as error:
            raise self._failure("cannot be written on", error, "see that the disk is there and has room") from error
        self._margin.count(ends_s)

    def _failure(self, what: str, error: Exception, remedy: str) -> OutputError:
        # FFmpeg says of all that comes after the first failure that there was one.
        cause = self._file.error or error
        if self._file.met_the_end:
            return DiskFullError(f"{self.path} {what} ({_plain(cause)})", _MAKE_ROOM)
        return OutputError(f"{self.path} {what} ({_plain(cause)})", remedy)

    def size_bytes(self) -> int:
        """Bytes on disk now; any thread may ask."""
        if not self._file.closed:
            return self._file.size_bytes
        if self.is_gone:
            return 0
        try:
            return self.path.stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return 0
        except OSError:
            # A right was taken away.
            return self._closed_bytes

    @property
    def busy_s(self) -> float:
        """For how long the disk has been taking what is being written to it now; any thread may ask."""
        return self._file.busy_s

    def look_at_disk(self) -> OutputError | None:
        """What keeps the recording from going on, said once. To be called all the time: it looks only now and then."""
        if self._said or not self._margin.is_due:
            return None
        is_full = self._margin.is_gone_into()
        if self._own.is_gone:
            self._said = True
            return FileGoneError(f"{self.path} is gone", "somebody removed it while it was being recorded")
        return self.note_full() if is_full else None

    @property
    def is_full(self) -> bool:
        """Whether there is room for the end of the file alone."""
        return self._margin.is_used_up

    def note_full(self) -> DiskFullError | None:
        """What to say of that; None when it was said before."""
        said, self._said = self._said, True
        return None if said else DiskFullError(f"the disk has no room for more of {self.path}", _MAKE_ROOM)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever written."""
        return not self._margin.packets

    def close(self, chapters: Sequence[Chapter] = ()) -> None:
        """Make the file an ordinary, finished one; may be called twice. One that holds nothing is removed.

        `chapters` go into the formats that hold them.
        """
        held, self._held = list(self._held.values()), {}
        for packet in held:
            # No other follows that would tell how long it was shown: as long as all else that was recorded.
            packet.duration = max(0, round(self._margin.reached_s / (packet.time_base or 1)) - int(packet.pts or 0))
            with suppress(OutputError):
                self._mux(packet)
        container, self._container = self._container, None
        if self.is_empty:
            # Closing a container that never saw a packet crashes FFmpeg's fragmented writer, so it is left to be freed.
            self.discard()
            return
        if container is not None:
            if chapters and self._container_kind.format in WITH_CHAPTERS:
                # Whatever is wrong with them, the file has to be finished.
                with suppress(av.FFmpegError, ValueError):
                    container.set_chapters([_as_chapter(number, chapter) for number, chapter in enumerate(chapters, 1)])
            try:
                container.close()
                self._file.close()
            except (av.FFmpegError, OSError) as error:
                remedy = "what it holds plays; capture repair makes it whole where there is room"
                raise self._failure("could not be finished", error, remedy) from error
            finally:
                with suppress(OSError):
                    self._file.close()
                self._closed_bytes = self._file.size_bytes
                self.is_gone = self._own.is_gone
                self.path = self._own.find()

    def keep(self) -> None:
        """The recording stands: what it replaces is removed for good."""
        self._own.keep()

    def discard(self) -> None:
        """Remove the file, and put back what it would have replaced."""
        if self._container is not None and not self.is_empty:
            with suppress(OutputError):
                self.close()
        with suppress(OSError):
            self._file.close()
        self._own.discard()


def _as_chapter(number: int, chapter: Chapter) -> Any:
    return {
        "id": number,
        "start": round(chapter.start_s * 1000),
        "end": round(chapter.end_s * 1000),
        "time_base": Fraction(1, 1000),
        "metadata": {"title": chapter.title},
    }


def _with_length(stream_info: bytes, samples: int) -> bytes:
    """FLAC's description of a stream, whose 36 bits behind rate, channels and depth say how many samples there are."""
    packed = int.from_bytes(stream_info[10:18], "big") >> 36 << 36 | samples
    return stream_info[:10] + packed.to_bytes(8, "big") + stream_info[18:]


def _lasting(metadata: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in metadata.items() if name.lower() not in _OF_ONE_FILE}


def _plain(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
