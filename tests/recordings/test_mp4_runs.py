"""Parts of an MP4 that are copied as ranges of bytes hold the same packets as those that FFmpeg writes one by one."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from reopened import chapters
from test_trim import record, wave
from written import Picture, Sound, write

from capture.errors import OutputError, RecordingError, UsageError
from capture.media import SAMPLE_RATE, in_seconds
from capture.output.chapters import Chapter
from capture.output.mp4_boxes import box, child
from capture.recordings import splice
from capture.recordings.check import check
from capture.recordings.contents import read_contents
from capture.recordings.join import join
from capture.recordings.mp4 import assembly
from capture.recordings.mp4.contents import read_by_index
from capture.recordings.mp4.index import read_index
from capture.recordings.mp4.ranges import copy_ranges
from capture.recordings.mp4.runs import Store
from capture.recordings.progress import unwatched
from capture.recordings.trim import trim

LENGTH_S = 36.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for extension in ("mp4", "mov", "m4a"):
        record(folder / f"talk.{extension}", np.tile(wave(), (3, 1)))
    return folder


def packets(path: Path) -> list[list[tuple[Any, ...]]]:
    """Return what FFmpeg reads of each track."""
    with av.open(str(path)) as container:
        found: list[list[tuple[Any, ...]]] = [[] for _ in container.streams]
        for packet in container.demux():
            if packet.size:
                found[packet.stream_index].append(
                    (packet.pts, packet.dts, packet.duration, packet.is_keyframe, bytes(packet))
                )
        return found


def headers(path: Path) -> list[tuple[Any, ...]]:
    with av.open(str(path)) as container:
        return [(one.duration, one.start_time, one.frames, one.time_base) for one in container.streams]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collect the lengths of the runs that are copied."""
    found: list[int] = []

    def counted(written: Path, insertions: Any, *others: Any) -> None:
        found.extend(one.run.samples.length for one in insertions)
        assembly.assemble(written, insertions, *others)

    monkeypatch.setattr(splice, "assemble", counted)
    return found


def one_by_one(monkeypatch: pytest.MonkeyPatch, make: Callable[[], Any]) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Store, "track", lambda *arguments: None)
        make()


@pytest.mark.parametrize("extension", ["mp4", "mov", "m4a"])
@pytest.mark.parametrize("options", [{"from_s": 1.234, "to_s": 34.5}, {"from_s": 5.0}, {"cuts": [(18.4, 19.5)]}])
def test_the_new_file_is_the_same_as_one_written_packet_by_packet(
    extension: str, options: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: list[int]
) -> None:
    path = folder / f"talk.{extension}"
    made = trim(path, tmp_path / f"made.{extension}", **options).path
    assert len(runs) > (extension != "m4a")
    assert sum(runs) > 600
    runs.clear()
    other = tmp_path / f"other.{extension}"
    one_by_one(monkeypatch, lambda: trim(path, other, **options))
    assert not runs
    assert packets(made) == packets(other)
    assert headers(made) == headers(other)
    assert check(made).ok


@pytest.mark.parametrize("name", ["new", "written"])
def test_a_file_may_have_any_name(name: str, folder: Path, tmp_path: Path, runs: list[int]) -> None:
    made = trim(folder / "talk.m4a", tmp_path / f"{name}.m4a", 1.0, 30.0).path
    assert runs
    assert made.name == f"{name}.m4a"
    assert check(made).ok


def test_tracks_chapters_and_tags_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: list[int]) -> None:
    path = write(tmp_path / "talk.mp4", (Sound(end_s=30), Sound(start_s=1.5, end_s=30)), Picture(end_s=30))
    titles = [Chapter("one", 0, 12), Chapter("two", 12, 30)]
    with monkeypatch.context() as patched:
        patched.setattr("capture.recordings.trim.chapters_of", lambda container: titles)
        made = trim(path, tmp_path / "made.mp4", 0.5, 29.5).path
        # The picture is encoded again.
        assert len(runs) == 2
        one_by_one(patched, lambda: trim(path, tmp_path / "other.mp4", 0.5, 29.5))
    assert chapters(made) == chapters(tmp_path / "other.mp4") == [("one", 0.0, 11.5), ("two", 11.5, 29.0)]
    assert packets(made) == packets(tmp_path / "other.mp4")
    # The text track of the chapters is there, too.
    assert len(headers(made)) == 4


def test_a_recording_is_joined_to_itself(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "talk.mp4"
    made = join([path, path], tmp_path / "made.mp4").path
    one_by_one(monkeypatch, lambda: join([path, path], tmp_path / "other.mp4"))
    assert packets(made) == packets(tmp_path / "other.mp4")


def test_the_bytes_are_in_the_order_of_their_times(folder: Path, tmp_path: Path, runs: list[int]) -> None:
    made = trim(folder / "talk.mp4", tmp_path / "made.mp4", 1.234).path
    with av.open(str(made)) as container:
        moments = [
            (packet.pos, in_seconds(packet.dts, packet.time_base)) for packet in container.demux() if packet.size
        ]
    moments.sort()
    latest_s = 0.0
    for _, at_s in moments:
        assert at_s > latest_s - 0.6
        latest_s = max(latest_s, at_s)
    # Nothing is between them, as some decoders want it for sound.
    made = trim(folder / "talk.m4a", tmp_path / "made.m4a", 1.234).path
    samples = read_index(made)[1].samples
    assert (samples.places[1:] == samples.places[:-1] + samples.sizes[:-1]).all()


def test_the_index_is_that_of_ffmpeg(folder: Path) -> None:
    path = folder / "talk.mp4"
    tables = read_index(path)
    with av.open(str(path)) as container:
        for stream in (*container.streams.video, *container.streams.audio):
            table = tables[stream.id]
            assert stream.time_base == Fraction(1, table.units_per_s)
            found = [(one.pos, one.size, one.dts, one.is_keyframe) for one in container.demux(stream) if one.size]
            later = found[0][2] or 0
            rows = list(zip(*(each.tolist() for each in table.samples), strict=True))
            # FFmpeg leaves out a first packet of sound that is not heard.
            rows = rows[len(rows) - len(found) :]
            assert len(rows) >= table.samples.length - 1
            assert [(place, size, (at or 0) - later, key) for place, size, at, key in found] == [
                (place, size, at - rows[0][2], key) for place, size, at, key in rows
            ]
            container.seek(0)


def changed(path: Path, kind: bytes, at: int, value: bytes) -> None:
    """Overwrite some bytes of the first table of this kind."""
    data = bytearray(path.read_bytes())
    place = data.rindex(b"moov")
    place = data.index(kind, place) + 4 + at
    data[place : place + len(value)] = value
    path.write_bytes(data)


#: Tables that do not fit together, or lead out of the file.
DAMAGE = {
    "more samples": (b"stsz", 8, struct.pack(">I", 5000)),
    "a size for all": (b"stsz", 4, struct.pack(">I", 7)),
    "a large sample": (b"stsz", 12, b"\x7f\xff\xff\xff"),
    "other times": (b"stts", 8, struct.pack(">I", 3)),
    "a far chunk": (b"stco", 8, b"\xff\xff\xff\xf0"),
    "a late first chunk": (b"stsc", 8, struct.pack(">I", 2)),
    "another description": (b"stsc", 16, struct.pack(">I", 2)),
    "two descriptions": (b"stsd", 4, struct.pack(">I", 2)),
    "no unit": (b"mdhd", 12, bytes(4)),
    "another file": (b"url ", 0, bytes(4)),
    "no table": (b"stsz", -4, b"free"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_unusual_tables_are_left_to_ffmpeg(name: str, tmp_path: Path, runs: list[int]) -> None:
    path = write(tmp_path / "talk.m4a", (Sound(end_s=30),))
    assert list(read_index(path)) == [1]
    changed(path, *DAMAGE[name])
    assert read_index(path) == {}
    try:
        trim(path, tmp_path / "made.m4a", 1.0, 20.0)
    except (RecordingError, OutputError, UsageError):
        assert not (tmp_path / "made.m4a").exists()
    assert not runs


def test_fragments_are_left_to_ffmpeg(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "talk.mp4"
    path.write_bytes((folder / "talk.mp4").read_bytes() + box(b"moof", bytes(8)))
    assert read_index(path) == {}
    path.write_bytes(b"")
    assert read_index(path) == {}


def test_samples_that_share_bytes_are_left_to_ffmpeg(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "talk.mp4"
    data = bytearray((folder / "talk.mp4").read_bytes())
    place = data.index(b"stsz", data.rindex(b"moov")) + 16
    count = struct.unpack_from(">I", data, place - 4)[0]
    data[place : place + 4 * count] = struct.pack(">I", 20_000) * count
    path.write_bytes(data)
    # Those of the sound and of the chapters are their own.
    assert list(read_index(path)) == [2, 3]


def test_times_that_ffmpeg_reads_otherwise_are_left_to_it(tmp_path: Path, runs: list[int]) -> None:
    path = write(tmp_path / "talk.m4a", (Sound(end_s=30),))
    # The edit list leaves the second half out. What its length is counted in differs between versions of FFmpeg.
    movie = child(path.read_bytes(), b"mvhd")
    (units_per_s,) = struct.unpack_from(">I", movie, 12)
    changed(path, b"elst", 8, struct.pack(">I", 15 * units_per_s))
    trim(path, tmp_path / "made.m4a", 1.0)
    assert not runs


def test_by_index_a_file_has_the_same_contents(folder: Path, tmp_path: Path) -> None:
    for path in sorted(folder.iterdir()):
        by_index, read = read_by_index(path), read_contents(path, listen=False)
        assert by_index is not None
        for one, other in zip(by_index.tracks, read.tracks, strict=True):
            # The first packet of AAC is not heard.
            assert one.packets - other.packets in (0, 1)
            unlike = {"packets", "held_s"}
            assert {name: value for name, value in one._asdict().items() if name not in unlike} == {
                name: value for name, value in other._asdict().items() if name not in unlike
            }
    assert read_by_index(write(tmp_path / "talk.mkv")) is None


def test_ranges_are_copied_with_and_without_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = os.urandom(400_000)
    (tmp_path / "source").write_bytes(data)
    wanted = [(5, 10), (100_000, 200_000), (7, 1), (300_000, 100_000)]

    def copied(name: str) -> bytes:
        with (tmp_path / "source").open("rb") as source, (tmp_path / name).open("xb") as out:
            out.write(b"start")
            copy_ranges(((source, place, size) for place, size in wanted), out, 300_011, unwatched)
        return (tmp_path / name).read_bytes()

    def unable(*arguments: Any) -> int:
        raise OSError(errno.EXDEV, "not here")

    truth = b"start" + b"".join(data[place : place + size] for place, size in wanted)
    assert copied("one") == truth
    monkeypatch.setattr(os, "copy_file_range", unable, raising=False)
    assert copied("two") == truth
    for place, size in ((399_999, 2), (350_000, 90_000)):
        wanted = [(place, size)]
        with pytest.raises(OSError, match="became shorter"):
            copied(f"short-{size}")


def test_a_copy_that_went_wrong_is_not_kept(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def zeros(ranges: Any, out: Any, total_bytes: int, on_progress: Any) -> None:
        out.write(bytes(total_bytes))

    monkeypatch.setattr(assembly, "copy_ranges", zeros)
    with pytest.raises(OutputError, match="does not hold what was copied"):
        trim(folder / "talk.mp4", tmp_path / "made.mp4", 1.0)
    assert list(tmp_path.iterdir()) == []


def test_a_file_beyond_4_gb_has_a_long_header() -> None:
    assert assembly._header(2**32 - 9) == bytes.fromhex("00000008") + b"free" + b"\xff\xff\xff\xffmdat"
    assert assembly._header(2**32 - 8) == b"\0\0\0\1mdat" + struct.pack(">Q", 2**32 + 8)


def test_a_silence_of_the_last_packet_is_kept(folder: Path, tmp_path: Path) -> None:
    made = trim(folder / "talk.m4a", tmp_path / "made.m4a", 2.0, 30.0).path
    assert check(made).duration_s == pytest.approx(28.0, abs=1 / SAMPLE_RATE)
