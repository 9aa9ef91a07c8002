"""Keeps a table of key frames and the length at the start of an MP4 while it grows.

FFmpeg writes an index when it closes the file. Until then the file is a row of fragments, and some programs need more:

* VLC 3 begins at the fragment that holds the moment it is asked for, which is rarely a key frame, and shows old and new
  mixed up to the next one. With a table of key frames (`sidx`) it begins at the one before, and shows every frame
  right. For that it has to know the length (`mehd`), too.
* GStreamer takes the length of the first fragments for that of the file.

FFmpeg leaves no room for these boxes. So it gets blank chapters before it writes the first `moov`, and none before the
last one: the two boxes replace the list of chapters in the first `moov`. Nothing else in the file moves.

The boxes keep their place and size, so that a kill in the middle of a write costs at most the last entry. They may
reach the disk before the fragments; then the last entries lead nowhere.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final

from capture.output.fragments import parts
from capture.output.mp4_boxes import (
    HEADER_BYTES,
    Box,
    box,
    boxes,
    boxes_in,
    child,
    handler_of,
    timescale_of,
    track_id_of,
)
from capture.output.output_file import OutputFile

__all__ = ["FragmentIndex"]

#: How many blank chapters to write, and the length of their titles, the longest that there is. Each makes room for 22
#: key frames. When they are full, every second one is left out: an hour of film has one in 12 s, and players decode
#: what is in between.
_CHAPTERS: Final = 16
_TITLE_BYTES: Final = 255

#: With sound alone there is no table.
_CHAPTERS_OF_SOUND: Final = 1

#: `sidx` of version 0 up to the number of entries, and an entry.
_TABLE: Final = struct.Struct(">IIIIIHH")
_ENTRY: Final = struct.Struct(">III")

#: An entry leads to fragments, the first of which begins with a key frame of no other kind than an instantaneous
#: decoder refresh (`starts_with_SAP`, `SAP_type` 1).
_KEY_FRAME: Final = 0x90000000

#: The largest size that an entry holds.
_MOST_BYTES: Final = 0x7FFFFFFF

#: `mehd` of version 0 without its header, and its length at most.
_LENGTH: Final = struct.Struct(">II")
_LONGEST: Final = 0xFFFFFFFF


class FragmentIndex:
    """The table of key frames and the length of one file. The thread that writes the file uses it."""

    def __init__(self, file: OutputFile, set_chapters: Callable[[list[Any]], None], *, has_video: bool) -> None:
        """`set_chapters` replaces the chapters that FFmpeg will write. Call this before the first packet."""
        self._file = file
        self._set_chapters = set_chapters
        set_chapters([_blank_chapter(number) for number in range(_CHAPTERS if has_video else _CHAPTERS_OF_SOUND)])
        # How much of the file was looked at: up to a size, and up to a box.
        self._seen_bytes = self._place = 0
        self._timescales: dict[int, int] = {}
        self._video_id = 0
        self._movie_timescale = 1
        # Where the boxes are, once there is room; the table ends where the fragments begin.
        self._length_at = self._table_at = self._table_end = 0
        # Where the fragment of every so many key frames is, and its time; the same of the latest fragment with video.
        self._keys: list[tuple[int, int]] = []
        self._every, self._found = 1, 0
        self._latest = (0, 0)
        # How many entries of the table will not change.
        self._final = 0
        self._length_s = 0.0

    def update(self) -> None:
        """Add the fragments that were written since the last call. A failure leaves the file as it is."""
        size = self._file.size_bytes
        if size == self._seen_bytes:
            return
        self._seen_bytes = size
        # Nothing here may cost the recording.
        with suppress(OSError, struct.error, LookupError):
            for outer in boxes(self._file.read_at, self._place, size):
                if outer.end > size:
                    break
                self._place = outer.end
                if outer.kind == b"moov":
                    self._take_room(outer)
                elif outer.kind == b"moof" and self._length_at:
                    self._add(outer)

    def drop_chapters(self) -> None:
        """Let FFmpeg write no blank chapters from now on."""
        self._set_chapters([])

    def _take_room(self, outer: Box) -> None:
        self.drop_chapters()
        head, length_at = b"", 0
        for kind, content in boxes_in(self._file.read_at(outer.body, outer.end - outer.body)):
            if kind == b"mvex":
                length_at = outer.body + len(head) + 2 * HEADER_BYTES
                content = box(b"mehd", _LENGTH.pack(0, 0)) + content
            elif kind == b"udta":
                content = b"".join(box(each, tag) for each, tag in boxes_in(content) if each != b"chpl")
            elif kind == b"mvhd":
                self._movie_timescale = timescale_of(content)
            elif kind == b"trak":
                self._note_track(content)
            head += box(kind, content)
        head = box(b"moov", head)
        table = outer.end - outer.position - len(head) - HEADER_BYTES
        if not length_at or table < _TABLE.size:
            return
        self._file.overwrite(outer.position, head + box(b"sidx" if self._video_id else b"free", bytes(table)))
        self._length_at, self._table_at, self._table_end = length_at, outer.end - table, outer.end

    def _note_track(self, track: bytes) -> None:
        number = track_id_of(child(track, b"tkhd"))
        self._timescales[number] = timescale_of(child(track, b"mdhd"))
        if handler_of(track) == b"vide":
            self._video_id = number

    def _add(self, outer: Box) -> None:
        for part in parts(self._file.read_at(outer.body, outer.end - outer.body)):
            self._length_s = max(self._length_s, part.ends / self._timescales[part.track_id])
            if part.track_id == self._video_id:
                self._latest = outer.position, part.begins
                if part.begins_with_key:
                    self._note_key()
                self._write_table()
        length = min(round(self._length_s * self._movie_timescale), _LONGEST)
        self._file.overwrite(self._length_at, _LENGTH.pack(0, length))

    def _note_key(self) -> None:
        if self._found % self._every == 0:
            self._keys.append(self._latest)
        self._found += 1
        if len(self._keys) > (self._table_end - self._table_at - _TABLE.size) // _ENTRY.size:
            del self._keys[1::2]
            self._every, self._final = 2 * self._every, 0

    def _write_table(self) -> None:
        """Write the table of what comes before the latest fragment.

        If it reached the end of the file, FFmpeg would take it for a list of all fragments, and find no others.
        """
        keys = self._keys[self._final :]
        entries = b""
        for (place, at), (next_place, next_at) in pairwise([*keys, self._latest]):
            if next_place - place > _MOST_BYTES:
                return
            if next_place > place:
                entries += _ENTRY.pack(next_place - place, next_at - at, _KEY_FRAME)
        if entries:
            (place, at), count = self._keys[0], self._final + len(entries) // _ENTRY.size
            numbers = (0, self._video_id, self._timescales[self._video_id], at, place - self._table_end, 0, count)
            self._file.overwrite(self._table_at + _TABLE.size + self._final * _ENTRY.size, entries)
            self._file.overwrite(self._table_at, _TABLE.pack(*numbers))
            self._final = count - 1


def _blank_chapter(number: int) -> dict[str, Any]:
    title = " " * _TITLE_BYTES
    return {"id": number, "start": 0, "end": 1, "time_base": Fraction(1, 1000), "metadata": {"title": title}}
