"""No verb leaves a frame that is shown for less than half a slot: not where a part begins, and not where it ends.

Such a frame can hardly be seen, and programs take its length for the frame rate.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from buffers import EncodedBuffer
from numbered import HEIGHT, WIDTH, number_of, numbered
from reopened import everything_shown
from written import Picture, write

from capture.cli.main import main
from capture.codecs.audio_encoder import AudioEncoder
from capture.codecs.video_encoder import VideoEncoder
from capture.formats import CONTAINERS
from capture.media import SAMPLE_RATE, VIDEO_TICKS_PER_S, in_seconds
from capture.output.muxer import Muxer
from capture.recordings.check import check
from capture.recordings.cut import cut_end
from capture.replay.clip_writer import save
from capture.sources.pattern import draw_pattern, read_clock

WITH_PICTURE = [name for name, kind in CONTAINERS.items() if kind.video_codec]

FPS = 30
LENGTH_S = 14.0

#: There is sound for this long in every period, which pictures have nothing to do with.
PERIOD_S, SOUND_S = 1.37, 0.61


@cache
def recorded(folder: Path, extension: str) -> Path:
    """Record numbered pictures, about one in every slot, and sound with pauses."""
    path, kind = folder / f"made.{extension}", CONTAINERS[extension]
    video = VideoEncoder(str(kind.video_codec), WIDTH, HEIGHT, FPS, cuttable=True)
    audio = AudioEncoder(kind.audio_codec, 2)
    muxer = Muxer(path, kind)
    muxer.start([video.template, audio.template])
    moments_s = np.arange(round(LENGTH_S * SAMPLE_RATE)) / SAMPLE_RATE
    heard = 0.2 * np.sin(2 * np.pi * 440 * moments_s) * (moments_s % PERIOD_S < SOUND_S)
    packets = [(in_seconds(one.pts, one.time_base), 1, one) for one in audio.encode(_stereo(heard))]
    jitter_s = np.random.default_rng(3).uniform(0, 0.4 / FPS, round(LENGTH_S * FPS))
    for number, late_s in enumerate(jitter_s):
        at_s = number / FPS + float(late_s) if number else 0.0
        made = video.encode(numbered(number), round(at_s * VIDEO_TICKS_PER_S))
        packets += [(at_s, 0, packet) for packet in made]
    packets += [(LENGTH_S, 1, packet) for packet in audio.finish()]
    for _, place, packet in sorted(packets, key=lambda one: one[0]):
        muxer.write(place, packet)
    muxer.close(end_s=LENGTH_S)
    muxer.keep()
    return path


def _stereo(heard: np.ndarray) -> np.ndarray:
    return np.repeat(heard[:, None], 2, axis=1).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shortest")


def moments(path: Path) -> list[float]:
    """Return when each frame begins."""
    with av.open(str(path)) as container:
        return [in_seconds(packet.pts, packet.time_base) for packet in container.demux(video=0) if packet.size]


def assert_none_is_short(path: Path, *, end_together: bool = False) -> None:
    """Assert that every frame lasts half a slot, and that the tracks end together, if they do."""
    report = check(path)
    assert report.ok, report.problems
    ends_s = [track.start_s + track.duration_s for track in report.streams]
    # Matroska rounds times to a millisecond.
    rounded_s = 0.0001 if path.suffix in (".mp4", ".mov") else 0.0011
    lengths_s = [later - earlier for earlier, later in pairwise([*moments(path), ends_s[0]])]
    assert min(lengths_s) > 0.5 / FPS - rounded_s
    if end_together:
        # The last packet of Opus may end later.
        assert ends_s[0] == pytest.approx(ends_s[-1], abs=0.0005 if rounded_s < 0.001 else 0.025)


def begins_after(path: Path, number: int) -> float:
    """Return a moment 2 ms before a frame begins: what is left of the one before is shorter than half a slot."""
    return round(moments(path)[number] - 0.002, 6)


def ends_after(path: Path, number: int) -> float:
    """Return a moment 3 ms after a frame began."""
    return round(moments(path)[number] + 0.003, 6)


@pytest.mark.parametrize("extension", WITH_PICTURE)
def test_a_part_has_no_short_frame(extension: str, folder: Path, tmp_path: Path) -> None:
    path, made = recorded(folder, extension), tmp_path / f"part.{extension}"
    from_s, to_s = begins_after(path, 40), ends_after(path, 400)
    assert main(["trim", str(path), "--from", f"{from_s:f}s", "--to", f"{to_s:f}s", "-o", str(made)]) == 0
    assert_none_is_short(made, end_together=True)
    # The one that begins at the cut, and the one before the last.
    shown = [number_of(np.asarray(picture.mean(axis=2))) for picture in everything_shown(made)]
    assert list(dict.fromkeys(shown)) == list(range(40, 400))
    sound = check(made).streams[-1]
    assert sound.duration_s == pytest.approx(to_s - from_s, abs=2e-5)


@pytest.mark.parametrize("extension", WITH_PICTURE)
def test_cuts_leave_no_short_frame(extension: str, folder: Path, tmp_path: Path) -> None:
    path, made, joined = recorded(folder, extension), tmp_path / f"cut.{extension}", tmp_path / f"joined.{extension}"
    cuts = [(ends_after(path, number), begins_after(path, number + 9)) for number in (20, 41, 64, 120, 180)]
    # Between the last three, less than half a slot is left.
    at_s = ends_after(path, 300)
    cuts += [(at_s, at_s + 0.2), (at_s + 0.206, at_s + 0.4), (at_s + 0.406, at_s + 0.6)]
    # And a frame before the first.
    cuts.append((0.007, begins_after(path, 5)))
    options = [part for begin_s, end_s in cuts for part in ("--cut", f"{begin_s:f}s-{end_s:f}s")]
    assert main(["trim", str(path), *options, "-o", str(made)]) == 0
    assert_none_is_short(made)
    kept_s = LENGTH_S - sum(end_s - begin_s for begin_s, end_s in cuts)
    assert check(made).streams[-1].duration_s == pytest.approx(kept_s, abs=0.022)
    assert main(["join", str(made), str(path), str(made), "-o", str(joined)]) == 0
    assert_none_is_short(joined)
    numbers = {number_of(np.asarray(picture.mean(axis=2))) for picture in everything_shown(made)}
    assert numbers.isdisjoint(range(21, 29))
    assert {4, 5, 6, 19, 29, 30} - numbers == {4}


@pytest.mark.parametrize("extension", WITH_PICTURE)
def test_cut_silence_leaves_no_short_frame(extension: str, folder: Path, tmp_path: Path) -> None:
    path, made = recorded(folder, extension), tmp_path / f"silence.{extension}"
    assert main(["trim", str(path), "--silence", "--rest", "0.1s", "-o", str(made)]) == 0
    assert check(made).duration_s < 0.6 * LENGTH_S
    assert_none_is_short(made)


@pytest.mark.parametrize("extension", WITH_PICTURE)
def test_what_ends_with_silence_has_no_short_frame(extension: str, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / f"made.{extension}"
    path.write_bytes(recorded(folder, extension).read_bytes())
    assert cut_end(path, ends_after(path, 100)).ok
    assert_none_is_short(path)


@pytest.mark.parametrize("extension", WITH_PICTURE)
@pytest.mark.parametrize("exact", [True, False])
def test_a_clip_has_no_short_frame(exact: bool, extension: str, tmp_path: Path) -> None:
    kind = CONTAINERS[extension]
    buffer = EncodedBuffer(str(kind.video_codec), kind.audio_codec, fps=FPS, length_s=6.0)
    assert buffer.pictures is not None
    # Two changes within the last slot now and then.
    drawn_s = [slot / FPS + (0.02 if slot % 7 == 6 else 0.0) for slot in range(4 * FPS)]
    for at_s in drawn_s:
        buffer.add(0, buffer.pictures.encode(draw_pattern(at_s, 320, 180), round(at_s * VIDEO_TICKS_PER_S)))
        buffer.add_sound(np.zeros((SAMPLE_RATE // FPS, 2), np.float32))
    for number, (begin, last, after_s) in enumerate(
        [(20, 90, 0.003), (31, 62, 0.003), (33, 69, 0.002), (33, 70, 0.01)]
    ):
        begin_s, end_s = drawn_s[begin] - 0.002, drawn_s[last] + after_s
        path = tmp_path / f"clip-{number}.{extension}"
        save(buffer.snapshot(end_s - begin_s, end_s), path, exact=exact)
        assert_none_is_short(path, end_together=exact)
        shown_s = [read_clock(picture[..., ::-1]) / 1000 for picture in everything_shown(path)]
        # The last state is shown if the one before has time to spare.
        assert max(shown_s) >= drawn_s[last - 1] - 0.002


@pytest.mark.parametrize("extension", WITH_PICTURE)
@pytest.mark.parametrize("begins_s", [0.0, 0.01, 0.02, 0.03])
def test_a_clip_that_ends_after_short_pauses_has_no_short_frame(
    begins_s: float, extension: str, tmp_path: Path
) -> None:
    kind = CONTAINERS[extension]
    buffer = EncodedBuffer(str(kind.video_codec), kind.audio_codec, fps=FPS, length_s=6.0)
    assert buffer.pictures is not None
    # After each pause, the next frame follows at any distance.
    drawn_s = [slot / FPS for slot in range(2 * FPS)]
    drawn_s += [2.0 + begins_s + later_s for later_s in (0.0, 0.007, 0.013, 0.022, 0.037)]
    for at_s in drawn_s:
        buffer.add(0, buffer.pictures.encode(draw_pattern(at_s, 320, 180), round(at_s * VIDEO_TICKS_PER_S)))
    buffer.add_sound(np.zeros((3 * SAMPLE_RATE, 2), np.float32))
    for number, end_s in enumerate((2.03, 2.041, 2.05, 2.062, 2.07)):
        path = tmp_path / f"clip-{number}.{extension}"
        save(buffer.snapshot(1.5, end_s), path, exact=True)
        assert_none_is_short(path, end_together=True)


def test_nothing_is_cut_off_from_the_first_frame(tmp_path: Path) -> None:
    path, made = write(tmp_path / "other.mp4", (), Picture()), tmp_path / "part.mp4"
    assert main(["trim", str(path), "--to", "1s", "-o", str(made)]) == 0
    assert moments(made)[:3] == pytest.approx(moments(path)[:3], abs=1e-4)
