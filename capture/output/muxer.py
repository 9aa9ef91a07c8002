"""Writes packets into one file. It alone owns its container; one thread uses it.

A crash, even SIGKILL, leaves a file with everything up to about a second before, and a power cut one with everything
up to two:

* MP4, MOV and M4A are written in fragments of 0.3 s and become ordinary files (`ftyp`, `mdat`, `moov`) when they are
  closed. `delay_moov` keeps the edit list that cancels the encoder's priming, so that the tracks start together. A key
  frame begins a fragment, because players seek to fragments, and offsets count from the fragment (`default_base_moof`),
  because Media Source players accept nothing else.
* Matroska and WebM clusters and Ogg pages are kept short for the same reason.
* MP4, MOV and M4A get the key frames and the length so far into their headers (`FragmentIndex`), WAV and FLAC the
  length (`LengthField`).
* `flush_packets` hands each one to the operating system at once; without it up to 256 KiB stay in this process.
* `OutputFile` brings that to the disk about once a second, and the index before the header that makes use of it.

A file can be finished even on a full disk, and where files may not grow further: the room for that is kept back, and
grows with the recording.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import av
from av.audio.stream import AudioStream
from av.stream import Stream
from av.video.stream import VideoStream

from capture.errors import DiskFullError, FileGoneError, FileTooLargeError, NoRoomError, OutputError, UsageError
from capture.formats import Container
from capture.media import is_voice_note
from capture.output.chapters import WITH_CHAPTERS, Chapter, as_ffmpeg, fitted_chapters, put_in_header
from capture.output.file_size import limit_remedy
from capture.output.fragment_index import FragmentIndex
from capture.output.frame_times import rate_of
from capture.output.length_field import LengthField
from capture.output.margin import Margin
from capture.output.mp4_brands import restore_brands
from capture.output.muxer_options import FRAGMENTED, options_of
from capture.output.naming import candidates
from capture.output.opus_vendor import name_vendor
from capture.output.output_file import OutputFile
from capture.output.packet_times import PacketTimes
from capture.output.reserved_file import ReservedFile
from capture.output.tags import lasting
from capture.output.wav_cues import add_cues
from capture.system.durable import CHECK_DISK, FULL

__all__ = ["Muxer", "muxer_under_free_name"]

#: What to do about a full disk.
_MAKE_ROOM: Final = "free some space, or choose another disk"


def muxer_under_free_name(path: Path, container: Container) -> Muxer:
    """Return a muxer that writes to `path` or, if that is taken, under the next free name.

    Raises `OutputError` when no file can be created.
    """
    for candidate in candidates(path):
        with suppress(UsageError):
            return Muxer(candidate, container)
    raise AssertionError("candidates never end")


class Muxer:
    """Writes one file. Creating it creates the file, private to the user; nothing is written before `start`."""

    def __init__(self, path: Path, container: Container, *, overwrite: bool = False) -> None:
        """Raises `OutputError` when the file cannot be created, `UsageError` when it exists without `overwrite`."""
        # FFmpeg would take a relative "rec-12:30.mp4" for a protocol; this makes the path absolute.
        self._reserved = ReservedFile(path, overwrite=overwrite)
        self.path = self._reserved.path
        self._file = OutputFile(self._reserved)
        self._length = LengthField(self._file, container.format)
        self._index: FragmentIndex | None = None
        self._margin = Margin(self._file, container.format)
        self._container_kind = container
        self._is_mp4 = container.format in FRAGMENTED
        self._states_samples = container.format == "flac"
        self._container: av.container.OutputContainer | None = None
        self._streams: list[Stream] = []
        self._times: PacketTimes | None = None
        # A problem with the disk is reported once.
        self._reported = False
        self._closed_bytes = 0
        #: Whether the file had been deleted by the time it was closed.
        self.is_gone = False
        self._crash_safe = True

    def start(
        self,
        templates: Sequence[Stream],
        metadata: Mapping[str, str] | None = None,
        *,
        track_names: Sequence[str] = (),
        crash_safe: bool = True,
        durable: bool = False,
        frame_rate: Fraction | None = None,
        chapters: Sequence[Chapter] = (),
        rotations: Sequence[int] = (),
    ) -> None:
        """Open the container with a stream for each template, from an encoder or a file; `write` takes their indexes.

        `metadata` is for the whole file; streams from a file bring their own, others get `track_names`. Without
        `crash_safe`, writing is several times as fast, but the file is unusable until it is closed, and packets must
        come in the order of their times. With `durable`, a power cut costs the last two seconds, and `close` waits
        until the file is on the disk.
        `frame_rate` replaces that of the templates. `chapters` are for the formats that hold them `IN_HEADER`; others
        take them at `close`. Players turn pictures counterclockwise by `rotations`, in degrees. Raises `OutputError`.
        """
        self._crash_safe = crash_safe
        form = self._container_kind.format
        self._times = PacketTimes(form, crash_safe=crash_safe)
        options = options_of(form, crash_safe=crash_safe)
        try:
            self._container = av.open(cast(Any, self._file), "w", format=form, container_options=options)
            self._streams = [self._container.add_stream_from_template(item, opaque=True) for item in templates]
            self._container.metadata.update(lasting(metadata or {}))
            is_voice = any(is_voice_note(item.codec_context.extradata) for item in templates)
            put_in_header(self._container, fitted_chapters(chapters, form, voice=is_voice)[0], form)
            for stream, template in zip(self._streams, templates, strict=True):
                stream.metadata.update(lasting(template.metadata))
                if self._container_kind.holds_video and (name := "".join(track_names[stream.index : stream.index + 1])):
                    # Players and editors read one or the other.
                    stream.metadata.update(title=name, handler_name=name)
                if isinstance(stream, AudioStream) and template.codec_context.extradata:
                    # A trimmed track states another priming than its encoder.
                    stream.codec_context.extradata = template.codec_context.extradata
                if isinstance(stream, VideoStream) and isinstance(template, VideoStream):
                    rate = rate_of(template)
                    if rate is not None:
                        # A converted stream has other parameters than its file.
                        stream.codec_context.extradata = template.codec_context.extradata
                        # It gives the duration of the last frame, and files do not always keep it with the codec.
                        stream.codec_context.framerate = frame_rate or rate
                    self._times.add_picture(stream.index, rate if template.codec_context.is_encoder else None)
            for stream, degrees in zip(self._streams, rotations, strict=False):
                if degrees and isinstance(stream, VideoStream):
                    stream.set_display_rotation(degrees)
            if durable:
                self._file.keep_synced()
            self._container.start_encoding()
            if crash_safe and self._is_mp4:
                has_video = self._container_kind.holds_video
                self._index = FragmentIndex(self._file, self._container.set_chapters, has_video=has_video)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._failure(error, "choose another place") from error

    def write(self, stream: int, packet: av.Packet[Any], before_s: float = math.inf) -> bool:
        """Write a packet of stream number `stream`. Raises `OutputError`; a later packet may still succeed.

        Returns False if it left out the packet: the last repeat of a recording, right after a change. `before_s` is the
        end of the file, where it is known: no frame is moved there for the grid (`FrameTimes`).
        """
        assert self._times is not None  # noqa: S101 - start comes first
        packet.stream = self._streams[stream]
        ready, is_written = self._times.ready(stream, packet, before_s)
        for each in ready:
            self._mux(each)
        return is_written

    def _mux(self, packet: av.Packet[Any]) -> None:
        assert self._container is not None  # noqa: S101 - start comes first
        try:
            self._container.mux_one(packet)
        except (av.FFmpegError, OSError) as error:
            raise self._failure(error, CHECK_DISK) from error
        self._margin.count(packet)
        # An empty packet brings the final header of a FLAC.
        if self._states_samples and packet.size:
            self._length.count(packet.pts or 0, packet.duration or 0)

    def _failure(self, error: Exception, remedy: str, what: str = "cannot be written") -> OutputError:
        # After the first failure, FFmpeg's own errors only say that there was one.
        cause = self._file.error or error
        if self._file.has_been_full or getattr(cause, "errno", None) in FULL:
            return DiskFullError(f"{self.path} {what} ({_plain(cause)})", _MAKE_ROOM)
        if getattr(cause, "errno", None) == errno.EFBIG:
            return FileTooLargeError(f"{self.path} {what} ({_plain(cause)})", limit_remedy(cause, self.path.parent, ""))
        return OutputError(f"{self.path} {what} ({_plain(cause)})", remedy)

    def size_bytes(self) -> int:
        """Bytes on disk now. Any thread may call this."""
        if not self._file.closed:
            return self._file.size_bytes
        if self.is_gone:
            return 0
        try:
            return self.path.stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return 0
        except OSError:
            # We lost the permission to look.
            return self._closed_bytes

    @property
    def busy_s(self) -> float:
        """How long the current write has been blocked on the disk; 0 without one. Any thread may ask."""
        return self._file.busy_s

    @property
    def behind_s(self) -> float:
        """How much a power cut would cost now: the age of the oldest write not on the disk. Any thread may ask."""
        return self._file.behind_s

    def update_header(self) -> None:
        """Bring the length and the key frames in the header up to date, in formats that have such.

        Call it after every batch of packets, so that they are right if the file is cut off.
        """
        if self._index is not None:
            self._index.update()
        if self._crash_safe:
            self._length.update()

    def check_disk(self) -> OutputError | None:
        """Return the error that should end the recording, once; None otherwise.

        Call it after every batch of packets: it checks the disk only now and then.
        """
        if not self._reported and self._file.sync_error is not None:
            self._reported = True
            return self._failure(self._file.sync_error, CHECK_DISK, "could not be stored")
        if self._reported or not self._margin.is_due:
            return None
        is_full = self._margin.is_reached()
        if self._reserved.is_gone:
            self._reported = True
            return FileGoneError(f"{self.path} was deleted while it was being recorded")
        return self.report_full() if is_full else None

    @property
    def is_full(self) -> bool:
        """Whether the remaining room is needed to finish the file."""
        return self._margin.is_used_up

    def report_full(self) -> NoRoomError | None:
        """Return the error for a full disk, or for a file at its largest size; None if it was reported before."""
        reported, self._reported = self._reported, True
        if reported:
            return None
        if self._file.limit is not None and self._margin.is_at_limit:
            return self._file.limit.error(self.path)
        return DiskFullError(f"the disk has no room for more of {self.path}", _MAKE_ROOM)

    @property
    def reached_s(self) -> float:
        """Media time up to which packets were written."""
        return self._margin.reached_s

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever written."""
        return not self._margin.packets

    def close(self, chapters: Sequence[Chapter] = (), end_s: float = math.inf) -> None:
        """Finish the file; may be called twice. A file without packets is removed. Its last frame lasts until `end_s`.

        Formats leave out what they cannot hold of the `chapters` (`fitted_chapters`), and all that they hold
        `IN_HEADER`. Raises `OutputError`; with `at_close`, the file may be whole.
        """
        if self._times is not None:
            # No later packet shows how long these last: until the end of the recording.
            for packet in self._times.rest(end_s if end_s < math.inf else self._margin.reached_s):
                with suppress(OutputError):
                    self._mux(packet)
        container, self._container = self._container, None
        index, self._index = self._index, None
        if self.is_empty:
            self._container = container
            self.discard()
            return
        if index is not None:
            index.drop_chapters()
        if container is not None:
            if chapters and self._container_kind.format in WITH_CHAPTERS:
                made = as_ffmpeg(fitted_chapters(chapters, self._container_kind.format)[0])
                # Bad chapters must not keep the file from being finished.
                with suppress(av.FFmpegError, ValueError):
                    container.set_chapters(made)
                    if self._crash_safe and self._is_mp4:
                        self._file.before_header = partial(_add_chapter_track, self._file, made)
            try:
                try:
                    container.close()
                finally:
                    self._length.settle()
                if self._crash_safe and self._is_mp4:
                    restore_brands(self._file)
                if self._container_kind.format == "ogg":
                    name_vendor(self._file)
                elif self._container_kind.format == "wav":
                    add_cues(self._file, chapters)
                self._file.sync()
                self._file.close()
            except (av.FFmpegError, OSError) as error:
                remedy = "it plays up to there; capture repair can finish it"
                failure = self._failure(error, remedy, "could not be finished")
                # After a failed sync, what can be read may not be what is on the disk.
                failure.at_close = self._file.sync_error is None
                raise failure from error
            finally:
                with suppress(OSError):
                    self._file.close()
                self._closed_bytes = self._file.size_bytes
                self.is_gone = self._reserved.is_gone
                self.path = self._reserved.find()

    def keep(self) -> None:
        """Keep the recording; once it is on the disk, remove the file that it replaces. Raises `OutputError`."""
        self._reserved.keep(self._file.sync_error)

    @property
    def set_aside(self) -> Path | None:
        """Where the file is that this one replaces, until that is gone or back in its place."""
        return self._reserved.set_aside

    def hand_over(self) -> None:
        """Leave the closed file to the caller, who brings it to the disk. It replaces none."""
        self._reserved.hand_over()

    def discard(self) -> None:
        """Remove the file, and restore the one that it would have replaced; may be called twice."""
        self._file.stop_syncing()
        if self._container is not None and not self.is_empty:
            with suppress(OutputError):
                self.close()
        with suppress(OSError):
            self._file.close()
        container, self._container = self._container, None
        if container is not None:
            # FFmpeg's fragmented writer crashes if it has to finish a file that never saw a packet. With its file
            # closed, PyAV only separates the container from its streams, so that both can be freed.
            container.close()
        self._reserved.discard()


def _add_chapter_track(file: OutputFile, chapters: Sequence[Any]) -> None:
    # Imported here because few recordings have chapters.
    from capture.output.chapter_track import add_chapter_track

    # A disk that is full has room for the index, but perhaps not for this track.
    with suppress(av.FFmpegError, ValueError, OSError):
        add_chapter_track(file, chapters)


def _plain(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
