"""Recordings and clips in MP4 carry their chapters twice: as `chpl` and as a text track."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np
import pytest
from reopened import chapters, probe

from capture.codecs.audio_encoder import AudioEncoder
from capture.codecs.video_encoder import VideoEncoder
from capture.formats import CONTAINERS
from capture.output import chapter_track
from capture.output.chapters import Chapter, fitted_chapters
from capture.output.muxer import Muxer
from capture.output.output_file import OutputFile
from capture.recordings.check import check

CHAPTERS = [Chapter("Zu Beginn, 始め", 0, 0.5), Chapter("½", 0.5, 1.25), Chapter("long " * 60, 1.25, 2)]


def write(path: Path, marks: list[Chapter], *, crash_safe: bool = True) -> Path:
    kind = CONTAINERS[path.suffix[1:]]
    video = VideoEncoder("h264", 64, 48, 30) if kind.holds_video else None
    audio = AudioEncoder(kind.audio_codec, 2)
    muxer = Muxer(path, kind)
    muxer.start([audio.template] if video is None else [video.template, audio.template], crash_safe=crash_safe)
    for slot in range(60):
        if video is not None:
            for packet in video.encode(np.full((48, 64, 4), 4 * slot, np.uint8), slot * 3000):
                packet.duration = 3000
                muxer.write(0, packet)
        for packet in audio.encode(np.full((1600, 2), 0.1, np.float32)):
            muxer.write(int(video is not None), packet)
    muxer.close(marks)
    muxer.keep()
    return path


def texts(path: Path) -> list[tuple[float, str]]:
    """Return what the text track says, and when."""
    # FFmpeg reads the track itself, and leaves it out.
    with av.open(str(path), options={"ignore_chapters": "1"}) as container:
        stream = container.streams[-1]
        packets = [packet for packet in container.demux(stream) if packet.size]
        return [
            (
                float((packet.pts or 0) * packet.time_base),
                bytes(packet)[2 : 2 + int.from_bytes(bytes(packet)[:2], "big")].decode(),
            )
            for packet in packets
        ]


@pytest.mark.parametrize("crash_safe", [True, False], ids=["recording", "clip"])
@pytest.mark.parametrize("extension", ["mp4", "mov", "m4a"])
def test_chapters_are_a_text_track_as_well(extension: str, crash_safe: bool, tmp_path: Path) -> None:
    path = write(tmp_path / f"made.{extension}", CHAPTERS, crash_safe=crash_safe)
    kept, _ = fitted_chapters(CHAPTERS, CONTAINERS[extension].format)
    assert texts(path) == [(chapter.start_s, chapter.title) for chapter in kept]
    assert [title for title, _, _ in chapters(path)] == [chapter.title for chapter in kept]
    assert check(path).problems == ()
    streams = probe(path)["streams"]
    assert [stream["codec_type"] for stream in streams if stream["codec_type"] != "data"] == (
        ["audio"] if extension == "m4a" else ["video", "audio"]
    )
    # Every other track refers to it.
    assert path.read_bytes().count(b"chap" + struct.pack(">I", len(streams))) == len(streams) - 1


def test_the_track_has_no_more_chapters_than_the_list_holds(tmp_path: Path) -> None:
    marks = [Chapter(f"Mark {number}", number / 200, (number + 1) / 200) for number in range(400)]
    path = write(tmp_path / "made.mp4", marks)
    assert [title for _, title in texts(path)] == [chapter.title for chapter in marks[:255]]
    assert check(path).ok


@pytest.mark.parametrize("crash_safe", [True, False], ids=["recording", "clip"])
def test_a_chapter_may_last_for_hours(crash_safe: bool, tmp_path: Path) -> None:
    marks = [Chapter("morning", 0, 10_000), Chapter("afternoon", 10_000, 20_000)]
    path = write(tmp_path / "made.mp4", marks, crash_safe=crash_safe)
    assert texts(path) == [(0, "morning"), (10_000, "afternoon")]


def test_a_recording_without_chapters_has_no_text_track(tmp_path: Path) -> None:
    path = write(tmp_path / "made.mp4", [])
    assert [stream["codec_type"] for stream in probe(path)["streams"]] == ["video", "audio"]


@pytest.mark.parametrize("fails_at", [1, 2])
def test_a_full_disk_costs_the_track_and_nothing_else(
    fails_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_end, write_some = OutputFile.replace_end, OutputFile._write_some

    def replace(file: OutputFile, place: int, data: bytes) -> None:
        calls = 0

        def write_until_full(self: OutputFile, left: memoryview) -> int:
            nonlocal calls
            calls += 1
            if calls == fails_at:
                raise OSError(28, "No space left on device")
            return write_some(self, left[: max(1, len(left) // 2)])

        with monkeypatch.context() as patched:
            patched.setattr(OutputFile, "_write_some", write_until_full)
            replace_end(file, place, data)

    monkeypatch.setattr(OutputFile, "replace_end", replace)
    path = write(tmp_path / "made.mp4", CHAPTERS)
    assert check(path).problems == ()
    assert [title for title, _, _ in chapters(path)][:2] == [chapter.title for chapter in CHAPTERS[:2]]


def test_offsets_beyond_4_gb_get_64_bits() -> None:
    table = struct.pack(">III", 0, 2, 10) + struct.pack(">I", 20)
    assert chapter_track._moved(table, 5) == (b"stco", struct.pack(">IIII", 0, 2, 15, 25))
    kind, content = chapter_track._moved(table, 5_000_000_000)
    assert (kind, content) == (b"co64", struct.pack(">IIQQ", 0, 2, 5_000_000_010, 5_000_000_020))
