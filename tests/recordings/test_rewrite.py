"""A recording is rewritten whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from reopened import everything_shown, pictures, probe, sound
from written import FPS, Picture, Sound, write

from capture.codecs.audio_encoder import AudioEncoder
from capture.codecs.video_encoder import VideoEncoder
from capture.errors import OutputError, RecordingError, UsageError
from capture.formats import CONTAINERS
from capture.output.chapters import Chapter
from capture.output.muxer import Muxer
from capture.recordings.check import check
from capture.recordings.cut import cut_end
from capture.recordings.rewrite import chapters_of, opened, rewrite, tracks_of
from capture.recordings.transcode import convert

WITH_PICTURE = [name for name, kind in CONTAINERS.items() if kind.holds_video]


def copying(path: Path, *, leave_out: str = "", chapters: tuple[Chapter, ...] = ()) -> Callable[[Muxer], list[Chapter]]:
    """Return a `fill` that copies the packets of the file at `path`, except for tracks of the kind `leave_out`."""

    def fill(muxer: Muxer) -> list[Chapter]:
        with opened(path) as container:
            tracks = tracks_of(container)
            muxer.start(tracks, container.metadata)
            for packet in container.demux(tracks):
                if packet.pts is not None and packet.size and packet.stream.type != leave_out:
                    muxer.write(tracks.index(packet.stream), packet)
            return [*chapters_of(container), *chapters]

    return fill


def coded(path: Path) -> list[bytes]:
    """Return the checksum of every track's packets, as FFmpeg computes it."""
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", path, "-map", "0:v?", "-map", "0:a", "-c", "copy", "-f", "streamhash", "-"],
        capture_output=True,
        check=True,
        timeout=60,
    )
    return done.stdout.splitlines()


# Rewriting


@pytest.mark.parametrize("extension", CONTAINERS)
def test_a_copy_replaces_the_recording(extension: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"made.{extension}")
    before, packets = check(path), coded(path)
    inode = path.stat().st_ino
    report = rewrite(path, copying(path))
    assert path.stat().st_ino != inode
    assert list(tmp_path.iterdir()) == [path]
    assert report.ok
    assert report.path == path
    assert report == check(path)
    assert coded(path) == packets
    for old, new in zip(before.streams, report.streams, strict=True):
        assert (new.kind, new.codec) == (old.kind, old.codec)
        assert (new.start_s, new.duration_s) == pytest.approx((old.start_s, old.duration_s), abs=0.002)
    probe(path)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps permissions elsewhere")
@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_the_new_file_is_private_while_it_grows_and_then_gets_the_old_permissions(mode: int, tmp_path: Path) -> None:
    path = write(tmp_path / "made.ogg")
    path.chmod(mode)
    seen: dict[str, int] = {}

    def fill(muxer: Muxer) -> list[Chapter]:
        seen.update((str(new), stat.S_IMODE(new.stat().st_mode)) for new in tmp_path.rglob("*") if new != path)
        return copying(path)(muxer)

    umask = os.umask(0)
    try:
        rewrite(path, fill)
    finally:
        os.umask(umask)
    folder, new = sorted(map(Path, seen))
    assert (folder.parent, new.parent, new.suffix) == (tmp_path, folder, ".ogg")
    assert folder.name.startswith(".")
    assert list(seen.values()) == [0o700, 0o600]
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps permissions elsewhere")
@pytest.mark.parametrize("work", [lambda path: cut_end(path, 0.5), lambda path: convert(path, "gif")])
def test_a_file_system_without_chmod_is_no_obstacle(
    work: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(*arguments: object, **options: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    path = write(tmp_path / "made.mp4", picture=Picture())
    for name in ("chmod", "fchmod"):
        monkeypatch.setattr(os, name, deny)
    monkeypatch.setattr(Path, "chmod", deny)
    work(path)
    assert check(path).ok


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_still_points_to_the_recording(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    path = write(tmp_path / "real" / "made.ogg")
    link = tmp_path / "link.ogg"
    link.symlink_to(path)
    rewrite(link, copying(path))
    assert link.is_symlink()
    assert check(path).ok
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("extension", WITH_PICTURE)
def test_chapters_and_titles_are_kept(extension: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"made.{extension}")
    chapters = (Chapter("First", 0.0, 1.0), Chapter("Second", 1.0, 2.0))
    rewrite(path, copying(path, chapters=chapters))
    titled = tmp_path / f"titled.{extension}"
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:v", "-map", "0:a", "-c", "copy"]
    subprocess.run([*command, "-metadata", "title=A talk", str(titled)], check=True, timeout=60)
    for file in (path, titled):
        with opened(file) as container:
            before = chapters_of(container)
        assert [chapter.title for chapter in before] == ["First", "Second"]
        rewrite(file, copying(file))
        with opened(file) as container:
            assert chapters_of(container) == before
    tags = {name.lower(): value for name, value in probe(titled)["format"]["tags"].items()}
    assert tags["title"] == "A talk"


def test_the_file_is_written_again_until_it_is_good(tmp_path: Path) -> None:
    path = write(tmp_path / "made.ogg")
    answers = iter([False, False, True])
    made: list[Path] = []

    def is_good(new: Path) -> bool:
        made.append(new)
        assert check(new).ok
        return next(answers)

    rewrite(path, copying(path), is_good=is_good)
    assert len(made) == 3
    assert list(tmp_path.iterdir()) == [path]


# Failures


def fails(path: Path, fill: Callable[[Muxer], list[Chapter]], error: type[BaseException], why: str) -> None:
    content, before = path.read_bytes(), path.stat()
    with pytest.raises(error, match=why):
        rewrite(path, fill)
    after = path.stat()
    assert path.read_bytes() == content
    assert (after.st_ino, after.st_mode, after.st_mtime_ns) == (before.st_ino, before.st_mode, before.st_mtime_ns)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("after_packets", [0, 1, 30])
@pytest.mark.parametrize(
    ("error", "raised", "why"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), OutputError, "was not changed: No space left on device"),
        (OutputError("the disk is full", "free some space"), OutputError, "was not changed: the disk is full: free"),
        (KeyboardInterrupt(), KeyboardInterrupt, "^$"),
        (ZeroDivisionError("a mistake"), ZeroDivisionError, "a mistake"),
    ],
)
@pytest.mark.parametrize("extension", ["mp4", "ogg"])
def test_the_old_file_survives_every_error(
    extension: str, error: BaseException, raised: type[BaseException], why: str, after_packets: int, tmp_path: Path
) -> None:
    path = write(tmp_path / f"made.{extension}")

    def fill(muxer: Muxer) -> list[Chapter]:
        with opened(path) as container:
            tracks = tracks_of(container)
            muxer.start(tracks)
            for number, packet in enumerate(container.demux(tracks)):
                if number == after_packets:
                    raise error
                muxer.write(tracks.index(packet.stream), packet)
        return []

    fails(path, fill, raised, why)


def test_a_full_disk_is_reported_with_the_path_that_the_user_knows(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("nothing limits the size of files there")
    import resource

    path = write(tmp_path / "made.mp4")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size // 2, limits[1]))
    try:
        fails(path, copying(path), OutputError, r"made\.mp4 was not changed: the new file c.*(large|damaged)")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_damaged_file_does_not_replace_the_recording(tmp_path: Path) -> None:
    path = write(tmp_path / "made.mkv")
    fails(path, copying(path, leave_out="audio"), OutputError, "damaged: the audio track is empty")


def test_a_file_that_lacks_a_track_does_not_replace_the_recording(tmp_path: Path) -> None:
    path = write(tmp_path / "made.mkv", (Sound(), Sound()))

    def fill(muxer: Muxer) -> list[Chapter]:
        with opened(path) as container:
            tracks = tracks_of(container)[:2]
            muxer.start(tracks)
            for packet in container.demux(tracks):
                if packet.pts is not None and packet.size:
                    muxer.write(tracks.index(packet.stream), packet)
        return []

    fails(path, fill, OutputError, "2 tracks instead of 3")


def test_an_empty_file_does_not_replace_the_recording(tmp_path: Path) -> None:
    path = write(tmp_path / "made.ogg")
    fails(path, lambda muxer: [], OutputError, "nothing was written")


def test_an_unwritable_folder_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "made.ogg")

    def refuse(*arguments: object, **more: object) -> str:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(OutputError, match=r"was not changed: .* cannot be written.*Permission denied.*another folder"):
        rewrite(path, copying(path))
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_rename_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "made.ogg")

    def refuse(self: Path, target: Path) -> Path:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    fails(path, copying(path), OutputError, "Permission denied")


def test_a_file_that_is_not_a_recording_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "made.ogg"
    path.write_text("a letter")
    fails(path, copying(path), RecordingError, "not a recording")
    with pytest.raises(UsageError, match="does not exist"):
        rewrite(tmp_path / "other.ogg", copying(path))


# Cutting


@pytest.mark.parametrize("extension", WITH_PICTURE)
def test_a_cut_removes_the_end_and_keeps_the_rest(extension: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"made.{extension}", (Sound(end_s=3), Sound(end_s=3, heard_from_s=1)), Picture(end_s=3))
    rewrite(path, copying(path, chapters=(Chapter("First", 0, 1), Chapter("Second", 1, 2.5), Chapter("Third", 2.5, 3))))
    before = pictures(path).moments_s
    report = cut_end(path, 2.01)
    assert report.ok
    for stream in report.streams:
        assert stream.start_s == pytest.approx(0, abs=0.001)
        assert stream.duration_s == pytest.approx(2.01, abs=0.025)
    found = pictures(path)
    # The last frame before the end would be shown for less than half a slot.
    assert found.moments_s == [moment_s for moment_s in before if moment_s < 2.0 - 1e-6]
    assert len(found.moments_s) == 2 * FPS
    assert [round(sound(path, number).end_s, 1) for number in (0, 1)] == [2.0, 2.0]
    with opened(path) as container:
        first, second = chapters_of(container)
    assert first == Chapter("First", 0, 1)
    # MP4 makes the last chapter as long as the longest track.
    assert (second.title, second.start_s) == ("Second", 1)
    assert second.end_s == pytest.approx(2.01, abs=0.025)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("extension", [name for name in CONTAINERS if name != "flac"])
def test_sound_is_cut_to_the_packet(extension: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"made.{extension}", picture=None)
    report = cut_end(path, 1.2)
    assert report.ok
    if extension == "wav":
        assert report.duration_s == pytest.approx(1.2, abs=0.0001)
    else:
        assert 1.2 - (0.026 if extension == "mp3" else 0.002) <= report.duration_s <= 1.2 + 0.024


@pytest.mark.parametrize("extension", WITH_PICTURE)
def test_a_still_picture_is_cut_as_well(extension: str, tmp_path: Path) -> None:
    kind = CONTAINERS[extension]
    assert kind.video_codec is not None
    video, audio = VideoEncoder(kind.video_codec, 64, 48, 30), AudioEncoder(kind.audio_codec, 2)
    muxer = Muxer(tmp_path / f"made.{extension}", kind)
    muxer.start([video.template, audio.template])
    for tenth in range(25):
        if tenth in (0, 5, 10, 16, 22):
            for packet in video.encode(np.full((48, 64, 4), 10 * tenth, np.uint8), tenth * 9000):
                muxer.write(0, packet)
        for packet in audio.encode(np.full((4800, 2), 0.1, np.float32)):
            muxer.write(1, packet)
    for packet in audio.finish():
        muxer.write(1, packet)
    muxer.close()
    report = cut_end(muxer.path, 1.55)
    assert report.ok
    for stream in report.streams:
        assert stream.duration_s == pytest.approx(1.55, abs=0.025)
    # The picture of 1.0 s is shown to the end, and that of 1.6 s is gone.
    shown = [frame.mean() for frame in everything_shown(muxer.path)]
    assert len(shown) == (4 if extension in ("mkv", "webm") else 3)
    assert shown[-1] == pytest.approx(100, abs=4)
    assert max(shown) < 104


def test_flac_is_not_cut(tmp_path: Path) -> None:
    path = write(tmp_path / "made.flac")
    content = path.read_bytes()
    with pytest.raises(UsageError, match="is FLAC, which capture cannot cut"):
        cut_end(path, 1)
    assert path.read_bytes() == content


@pytest.mark.parametrize("end_s", [0.0, -1.0, float("nan")])
def test_a_cut_that_leaves_nothing_is_refused(end_s: float, tmp_path: Path) -> None:
    path = write(tmp_path / "made.mkv")
    content = path.read_bytes()
    with pytest.raises(UsageError, match="would leave nothing of"):
        cut_end(path, end_s)
    assert path.read_bytes() == content


def test_a_cut_after_the_end_cuts_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "made.mp4")
    packets = coded(path)
    assert cut_end(path, 100).duration_s == pytest.approx(2, abs=0.001)
    assert coded(path) == packets
