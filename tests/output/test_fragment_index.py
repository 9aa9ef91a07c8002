"""An MP4 that was cut off has a table of its key frames at the start, and its length; a closed one has its index."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, NamedTuple

import av
import pytest
from numbered import HEIGHT, WIDTH, number_of, numbered
from reopened import chapters, probe
from test_fragments import boxes, write

from capture.codecs.video_encoder import VideoEncoder
from capture.formats import CONTAINERS
from capture.output.chapters import Chapter
from capture.output.fragment_index import FragmentIndex
from capture.output.muxer import Muxer
from capture.output.output_file import OutputFile
from capture.recordings.check import check
from capture.recordings.repair import repair

SLOT = 3000


class Table(NamedTuple):
    #: Where each entry begins in the file, and when, in 1/90000 s; then where the last one ends.
    places: list[int]
    times: list[int]
    length_s: float


def places(data: bytes, kind: bytes) -> list[int]:
    """Return where the outermost boxes of this kind begin."""
    found, place = [], 0
    for each, content in boxes(data):
        found += [place] if each == kind else []
        place += 8 + len(content)
    return found


def read(data: bytes) -> Table:
    outer = dict(boxes(data))
    moov = dict(boxes(outer[b"moov"]))
    timescale = struct.unpack_from(">I", moov[b"mvhd"], 12)[0]
    length = struct.unpack_from(">I", dict(boxes(moov[b"mvex"]))[b"mehd"], 4)[0]
    table = outer[b"sidx"]
    _, track, units_per_s, time, first_offset, _, count = struct.unpack_from(">IIIIIHH", table)
    assert (track, units_per_s) == (1, 90_000)
    place = places(data, b"sidx")[0] + 8 + len(table) + first_offset
    table_places, times = [place], [time]
    for size, duration, access in struct.iter_unpack(">III", table[24 : 24 + 12 * count]):
        assert access == 0x90000000
        table_places.append(table_places[-1] + size)
        times.append(times[-1] + duration)
    return Table(table_places, times, length / timescale)


def record(path: Path, frames: int, keys: range) -> bytes:
    """Record numbered pictures with these key frames; close the file, and return it as a kill leaves it."""
    kind = CONTAINERS[path.suffix[1:]]
    encoder = VideoEncoder("h264", WIDTH, HEIGHT, 30)
    # It would ask for more key frames.
    encoder._search = None
    muxer = Muxer(path, kind)
    muxer.start([encoder.template], {"title": "Kept"})
    for number in range(frames):
        encoder._last_key_pts = -(1 << 40) if number in keys else number * SLOT
        encoder._bytes_since_key = encoder._is_new_since_key = False
        for packet in encoder.encode(numbered(number), number * SLOT):
            assert packet.is_keyframe == (number in keys)
            muxer.write(0, packet)
        muxer.update_header()
    encoder.close()
    cut_off = path.read_bytes()
    muxer.close()
    muxer.keep()
    return cut_off


@pytest.mark.parametrize("extension", ["mp4", "mov"])
def test_a_file_that_was_cut_off_lists_its_key_frames(extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"made.{extension}"
    keys = range(0, 200, 17)
    cut_off = record(path, 210, keys)
    table = read(cut_off)
    assert table.times[:-1] == [key * SLOT for key in keys]
    fragments = places(cut_off, b"moof")
    assert set(table.places) <= set(fragments)
    # FFmpeg would take a table that reaches the end for one of all fragments.
    assert fragments[-2] <= table.places[-1] <= fragments[-1]
    path.write_bytes(cut_off)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        assert len(packets) >= 200
        assert table.length_s == pytest.approx(len(packets) / 30, abs=0.001)
        assert container.metadata["title"] == "Kept"
        assert container.chapters() == []
        for number in (150, 3, 16, 17, 18, 99, len(packets) - 1):
            container.seek(number * SLOT, stream=container.streams.video[0])
            shown = next(frame for frame in container.decode(video=0) if (frame.pts or 0) >= number * SLOT)
            assert number_of(shown.to_ndarray(format="gray")) == number
    repair(path)
    assert check(path).ok


@pytest.mark.parametrize("marks", [[], [Chapter("one", 0, 1), Chapter("two", 1, 2)]])
def test_a_closed_file_has_its_own_chapters_alone(marks: list[Chapter], tmp_path: Path) -> None:
    path = tmp_path / "made.mp4"
    encoder = VideoEncoder("h264", WIDTH, HEIGHT, 30)
    muxer = Muxer(path, CONTAINERS["mp4"])
    muxer.start([encoder.template])
    for number in range(60):
        for packet in encoder.encode(numbered(number), number * SLOT):
            muxer.write(0, packet)
        muxer.update_header()
    muxer.close(marks)
    assert [title for title, _, _ in chapters(path)] == [mark.title for mark in marks]
    assert [kind for kind, _ in boxes(path.read_bytes())][-1] == b"moov"
    assert b"sidx" not in dict(boxes(path.read_bytes()))
    assert b" " * 9 not in dict(boxes(path.read_bytes()))[b"moov"]
    assert probe(path)["format"]["nb_streams"] == 1 + bool(marks)


def test_a_full_table_leaves_out_every_second_key_frame(tmp_path: Path) -> None:
    table = read(record(tmp_path / "made.mp4", 800, range(800)))
    assert 160 < len(table.times) < 360
    # The last entry reaches up to the latest fragment: one frame is in FFmpeg, and one waits for its duration.
    distances = {(later - before) // SLOT for before, later in zip(table.times, table.times[1:-1], strict=False)}
    assert distances == {4}
    assert (table.times[0], table.times[-1]) == (0, 797 * SLOT)


def test_sound_alone_gets_its_length(tmp_path: Path) -> None:
    cut_off, closed = write(tmp_path / "made.m4a")
    moov = dict(boxes(dict(boxes(cut_off))[b"moov"]))
    (length_ms,) = struct.unpack_from(">I", dict(boxes(moov[b"mvex"]))[b"mehd"], 4)
    assert 1_000 < length_ms <= 2_000
    assert b"sidx" not in cut_off
    assert len(closed) - len(cut_off) < 4_000


@pytest.mark.parametrize("fails", ["overwrite", "read_at"])
def test_a_failure_costs_the_table_and_nothing_else(
    fails: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "made.mp4"
    with monkeypatch.context() as patched:
        patched.setattr(OutputFile, fails, refuse)
        with pytest.MonkeyPatch.context() as brands:
            brands.setattr("capture.output.muxer.restore_brands", lambda file: None)
            cut_off = record(path, 60, range(0, 60, 20))
    assert check(path).ok
    path.write_bytes(cut_off)
    with av.open(str(path)) as container:
        assert len([packet for packet in container.demux(video=0) if packet.size]) >= 50


def test_without_room_the_file_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capture.output.fragment_index._CHAPTERS", 0)
    path = tmp_path / "made.mp4"
    cut_off = record(path, 60, range(0, 60, 20))
    assert b"sidx" not in cut_off
    assert b"mehd" not in cut_off
    assert check(path).ok


def test_an_entry_holds_31_bits(tmp_path: Path) -> None:
    index = FragmentIndex.__new__(FragmentIndex)
    written: list[tuple[int, bytes]] = []

    class File:
        def overwrite(self, place: int, data: bytes) -> None:
            written.append((place, data))

    vars(index).update(_file=File(), _video_id=1, _timescales={1: 90_000}, _table_at=100, _table_end=600)
    vars(index).update(_keys=[(600, 0), (1000, 500)], _final=0, _latest=(1000 + (1 << 31), 900))
    index._write_table()
    assert written == []
    vars(index).update(_latest=(1000 + (1 << 31) - 1, 900))
    index._write_table()
    assert [place for place, _ in written] == [124, 100]
