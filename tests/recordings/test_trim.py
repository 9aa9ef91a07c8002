"""Trimmed recordings, compared with their source sample by sample and picture by picture."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from numbered import HEIGHT, WIDTH, number_of, numbered
from reopened import chapters, everything_heard, everything_shown, first_loud_s, sound, traced_headers
from written import Picture, Sound, write

from capture.cli.main import main
from capture.codecs.audio_encoder import AudioEncoder
from capture.codecs.video_encoder import VideoEncoder
from capture.errors import OutputError, RecordingError
from capture.formats import CONTAINERS
from capture.media import SAMPLE_RATE, SampleArray, in_seconds
from capture.output.chapters import Chapter
from capture.output.muxer import Muxer
from capture.recordings.check import CheckReport, check
from capture.recordings.join import join
from capture.recordings.pauses import Silence
from capture.recordings.structure import Ending
from capture.recordings.trim import trim

FPS = 15
LENGTH_S = 12.0

#: Late in the first group of pictures, in the middle of a packet of sound, and a second after a key frame.
FROM_S, TO_S = 1.234, 10.321

KEPT_HZ, CUT_HZ = 440.0, 5000.0

#: What a cut would leave of a picture for less than this goes as well; Matroska rounds times to a millisecond.
HALF_SLOT_S = 0.5 / FPS
ROUNDED_S = 0.0006

CHAPTERS = (Chapter("one", 0, 1), Chapter("two", 1, 4.5), Chapter("three", 4.5, 11), Chapter("four", 11, LENGTH_S))


def wave(channels: int = 2, kept: Sequence[tuple[float, float]] = ((FROM_S, TO_S),)) -> SampleArray:
    """Return noise with a tone: one in what is kept, another outside."""
    moments_s = np.arange(round(LENGTH_S * SAMPLE_RATE)) / SAMPLE_RATE
    is_kept = np.any([(moments_s >= from_s) & (moments_s < to_s) for from_s, to_s in kept], axis=0)
    tone = 0.2 * np.sin(2 * np.pi * np.where(is_kept, KEPT_HZ, CUT_HZ) * moments_s)
    noise = 0.01 * np.random.default_rng(1).standard_normal((len(moments_s), channels))
    slow = np.apply_along_axis(lambda one: np.convolve(one, np.ones(16) / 4, "same"), 0, noise)
    return cast(SampleArray, (tone[:, None] * np.linspace(1, 0.5, channels) + slow).astype(np.float32))


def record(path: Path, heard: SampleArray | None = None, quality: str = "medium", first: int = 0) -> Path:
    """Write a recording like those of capture, with numbered pictures, a still one among them, and chapters.

    The pictures are numbered from `first` on. Two channels are `heard`, or what is in `wave`.
    """
    heard = wave() if heard is None else heard
    kind = CONTAINERS[path.suffix[1:]]
    packets: list[tuple[float, int, Any]] = []
    video = None
    if kind.video_codec:
        video = VideoEncoder(kind.video_codec, WIDTH, HEIGHT, FPS, quality=quality, cuttable=True)
    audio = AudioEncoder(kind.audio_codec, 2)
    templates = [*([video.template] if video is not None else []), audio.template]
    muxer = Muxer(path, kind)
    # Before the end of the sound, which closes its encoder: PyAV takes no template from one that is closed.
    muxer.start(templates, {"title": "A talk"})
    if video is not None:
        for slot in range(round(len(heard) / SAMPLE_RATE * FPS)):
            made = video.repeat(slot * 6000) if slot % 5 == 4 else video.encode(numbered(first + slot), slot * 6000)
            packets += [(slot / FPS, 0, packet) for packet in made]
    for packet in [*audio.encode(heard), *audio.finish()]:
        packets.append((in_seconds(packet.pts, packet.time_base), len(templates) - 1, packet))
    for _, place, packet in sorted(packets, key=lambda one: one[0]):
        muxer.write(place, packet)
    muxer.close([each for each in CHAPTERS if each.end_s <= len(heard) / SAMPLE_RATE])
    muxer.keep()
    return path


@cache
def _source(folder: Path, extension: str) -> Path:
    return record(folder / f"talk.{extension}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trim")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def level_db(samples: SampleArray, hz: float) -> float:
    """Return the highest level of a tone in any 20 ms, in dB of full scale."""
    length = SAMPLE_RATE // 50
    window = np.exp(-2j * np.pi * hz * np.arange(length) / SAMPLE_RATE) * np.hanning(length) * 4 / length
    levels = [abs(np.dot(samples[at : at + length], window)) for at in range(0, len(samples) - length, length // 4)]
    return float(20 * np.log10(max(levels) + 1e-9))


def shown(path: Path) -> list[tuple[float, np.ndarray[Any, Any]]]:
    with av.open(str(path)) as container:
        return [(frame.time or 0.0, frame.to_ndarray(format="gray")) for frame in container.decode(video=0)]


def packets(path: Path, kind: str) -> list[tuple[float, bytes]]:
    """Return the packets of the first track of this kind, with their times."""
    with av.open(str(path)) as container:
        found = [one for one in container.demux(container.streams.get(**{kind: 0})[0]) if one.size]
        return [(in_seconds(one.pts, one.time_base), bytes(one)) for one in found]


def compare_sound(source: SampleArray, part: SampleArray, from_s: float, to_s: float) -> SampleArray:
    """Return by how much each sample of a part is off; assert that none is shifted.

    The last packet of AAC holds the next one's time as well.
    """
    return compare_samples(source[round(from_s * SAMPLE_RATE) : round(to_s * SAMPLE_RATE)], part)


def compare_samples(truth: SampleArray, part: SampleArray) -> SampleArray:
    """Return by how much each sample is off; assert that none is shifted."""
    assert 0 <= len(part) - len(truth) <= 1024
    part = part[: len(truth)]
    size = 1 << (2 * len(part)).bit_length()
    fits = np.fft.irfft(np.fft.rfft(truth, size) * np.conj(np.fft.rfft(part, size)), size)
    assert np.argmax(fits) == 0
    return cast(SampleArray, np.abs(truth - part))


def pictures_of(path: Path, from_s: float, to_s: float) -> list[tuple[float, np.ndarray[Any, Any]]]:
    """Return the pictures of a part with their times in it.

    What the cut would leave for less than half a slot is not among them.
    """
    found = [picture for picture in shown(path) if picture[0] < to_s - HALF_SLOT_S + ROUNDED_S]
    while from_s and len(found) > 1 and found[1][0] < from_s + HALF_SLOT_S - ROUNDED_S:
        found.pop(0)
    return [(at_s - from_s if place else 0.0, picture) for place, (at_s, picture) in enumerate(found)]


def compare_pictures(path: Path, made: Path, from_s: float, to_s: float, copied_from_s: float) -> None:
    """Assert that a part has the pictures of its source at their times; after the last one, it may repeat that."""
    truth = pictures_of(path, from_s, to_s)
    part = shown(made)
    assert len(part) - len(truth) in ((0, 1) if made.suffix in (".mkv", ".webm") else (0,))
    for (at_s, old), (moved_s, new) in zip(truth, part, strict=False):
        # MP4 has the first frames on a grid.
        assert moved_s == pytest.approx(at_s, abs=0.0011 if made.suffix in (".mkv", ".webm") else 1 / 60)
        assert number_of(new) == number_of(old)
        if from_s + at_s >= copied_from_s:
            assert np.array_equal(new, old)
    # No edit list hides anything.
    assert len(list(everything_shown(made))) == len(part)


@pytest.mark.parametrize("extension", CONTAINERS)
def test_a_part_is_exact_and_nothing_else_is_left(extension: str, folder: Path, tmp_path: Path) -> None:
    kind = CONTAINERS[extension]
    path = _source(folder, extension)
    before = path.read_bytes()
    made = trim(path, tmp_path / f"part.{extension}", FROM_S, TO_S).path
    assert path.read_bytes() == before
    report = check(made)
    assert report.ok, report.problems
    assert [one.duration_s for one in report.streams] == pytest.approx([TO_S - FROM_S] * len(report.streams), abs=2e-5)
    assert [one.silent for one in report.streams if one.kind == "audio"] == [False]

    off = compare_sound(sound(path).samples, sound(made).samples, FROM_S, TO_S)
    assert off.max() < 0.02
    copied = off[SAMPLE_RATE : round((TO_S - FROM_S - 1) * SAMPLE_RATE)]
    if kind.audio_codec in ("flac", "pcm_s16le"):
        assert not off.any()
    elif kind.audio_codec == "aac" or kind.format == "ogg":
        assert not copied.any()
    heard = everything_heard(made)
    assert level_db(heard, KEPT_HZ) > -18
    assert level_db(heard, CUT_HZ) < -55

    content = made.read_bytes()
    for track in report.streams:
        old = packets(path, track.kind)
        kept = {data for at_s, data in old if FROM_S - 0.2 < at_s < TO_S}
        # Pictures that change alike have the same packets, short ones by chance.
        cut = [data for _, data in old if data not in kept and len(data) > 40]
        if kind.format == "wav":
            cut = [data[:1000] for data in cut]
        assert len(cut) > 5
        assert not any(data in content for data in cut)
    if kind.holds_video:
        compare_pictures(path, made, FROM_S, TO_S, FROM_S + 2.0)
        until = [data for at_s, data in packets(path, "video") if at_s < TO_S]
        assert [data for _, data in packets(made, "video")][-90:] == until[-90:]
        assert chapters(made) == [("two", 0.0, 3.266), ("three", 3.266, 9.087)]
    with av.open(str(made)) as container:
        assert "A talk" in {**container.metadata, **container.streams[0].metadata}.values()


#: Within the first packet, at a key frame, in the middle of the stills, two frames, and to either end.
PARTS = [(0.005, 0.2), (4.0, 7.0), (2.0 + 1 / FPS, 5.5), (3.3, 3.37), (0.0, 6.543), (7.89, None)]


@pytest.mark.parametrize("extension", ["mp4", "mkv", "webm", "opus", "mp3", "flac"])
def test_any_part_is_in_place(extension: str, folder: Path, tmp_path: Path) -> None:
    path = _source(folder, extension)
    for number, (from_s, to_s) in enumerate(PARTS):
        made = trim(path, tmp_path / f"{number}.{extension}", from_s, to_s).path
        report = check(made)
        assert report.ok, report.problems
        end_s = LENGTH_S if to_s is None else to_s
        assert [one.duration_s for one in report.streams] == pytest.approx(
            [end_s - from_s] * len(report.streams), abs=0.002
        )
        compare_sound(sound(path).samples, sound(made).samples, from_s, end_s)
        if CONTAINERS[extension].holds_video:
            compare_pictures(path, made, from_s, end_s, 99.0)


#: Out of the middle, out of a still picture, within the first group, and at the end.
CUTS = [(0.52, 0.98), (2.5, 4.017), (7.301, 8.0), (11.5, LENGTH_S)]
KEPT = [(0.0, 0.52), (0.98, 2.5), (4.017, 7.301), (8.0, 11.5)]


def compare_parts(made: Path, parts: Sequence[tuple[Path, float, float]]) -> None:
    """Assert that a file has the pictures of its parts at their times, and no others."""
    wanted_s: list[tuple[int, float]] = []
    kept: set[int] = set()
    offset_s = 0.0
    for path, from_s, to_s in parts:
        for at_s, picture in pictures_of(path, from_s, to_s):
            number = number_of(picture)
            if not wanted_s or wanted_s[-1][0] != number:
                wanted_s.append((number, offset_s + at_s))
            kept.add(number)
        offset_s += to_s - from_s
    found_s: list[tuple[int, float]] = []
    for at_s, picture in shown(made):
        if not found_s or found_s[-1][0] != number_of(picture):
            found_s.append((number_of(picture), at_s))
    assert [number for number, _ in found_s] == [number for number, _ in wanted_s]
    # MP4 has the first frames on a grid.
    most_s = 0.0011 if made.suffix in (".mkv", ".webm") else 1 / 60
    assert [at_s for _, at_s in found_s] == pytest.approx([at_s for _, at_s in wanted_s], abs=most_s)
    # Also those that an edit list would hide.
    everything = {number_of(np.asarray(picture.mean(axis=2))) for picture in everything_shown(made)}
    assert everything == kept


@pytest.mark.parametrize("extension", CONTAINERS)
def test_cuts_are_exact_and_nothing_of_them_is_left(extension: str, tmp_path: Path) -> None:
    kind = CONTAINERS[extension]
    path = record(tmp_path / f"talk.{extension}", wave(kept=KEPT))
    made = trim(path, tmp_path / f"cut.{extension}", cuts=CUTS).path
    report = check(made)
    assert report.ok, report.problems
    length_s = sum(to_s - from_s for from_s, to_s in KEPT)
    assert [one.duration_s for one in report.streams] == pytest.approx([length_s] * len(report.streams), abs=2e-5)

    source = sound(path).samples
    truth = [source[round(from_s * SAMPLE_RATE) : round(to_s * SAMPLE_RATE)] for from_s, to_s in KEPT]
    off = compare_samples(np.concatenate(truth), sound(made).samples)
    assert off.max() < 0.03
    if kind.audio_codec in ("flac", "pcm_s16le"):
        assert not off.any()
    heard = everything_heard(made)
    assert level_db(heard, KEPT_HZ) > -18
    assert level_db(heard, CUT_HZ) < -55

    content = made.read_bytes()
    for track in report.streams:
        old = packets(path, track.kind)
        # Pictures that change alike have the same packets, short ones by chance.
        near = {data for at_s, data in old if any(from_s - 0.2 < at_s < to_s + 0.1 for from_s, to_s in KEPT)}
        cut = [data[:1000] for _, data in old if data not in near and len(data) > 40]
        assert len(cut) > 5
        assert not any(data in content for data in cut)
        if kind.audio_codec == "aac" or kind.format == "ogg" or track.kind == "video":
            # The longest part is copied but for its ends.
            new = {data for _, data in packets(made, track.kind)}
            # Key frames are two seconds apart.
            assert {data for at_s, data in old if 10.2 < at_s < 11.3} <= new
    if kind.holds_video:
        compare_parts(made, [(path, *one) for one in KEPT])
        titles = [("one", 0.0, 0.54), ("two", 0.54, 2.523), ("three", 2.523, 7.824), ("four", 7.824, 8.824)]
        assert [name for name, *_ in chapters(made)] == [name for name, *_ in titles[:4]]


def test_two_key_frames_in_a_row_have_different_numbers(folder: Path, tmp_path: Path) -> None:
    path = _source(folder, "mp4")
    with av.open(str(path)) as container:
        found = [packet for packet in container.demux(video=0) if packet.is_keyframe]
        keys_s = [in_seconds(packet.pts, packet.time_base) for packet in found]
    cut_s = keys_s[1] + 0.05, keys_s[1] + 1.03
    made = trim(path, tmp_path / "made.mp4", cuts=[cut_s]).path
    compare_parts(made, [(path, 0.0, cut_s[0]), (path, cut_s[1], LENGTH_S)])
    numbers = key_numbers(made)
    assert sum(number >= 0 for number in numbers) > 5
    pairs = [pair for pair in pairwise(numbers) if min(pair) >= 0]
    assert pairs
    assert all(one != other for one, other in pairs)


def key_numbers(path: Path) -> list[int]:
    """Return the number of each key frame (`idr_pic_id`) that FFmpeg's own parser finds, -1 for another frame."""
    frames = traced_headers(path).split("Slice Header")[1:]
    found = [re.search(r"idr_pic_id.*= (\d+)", frame) for frame in frames]
    return [int(one[1]) if one else -1 for one in found]


def test_a_chapter_goes_with_its_cut(folder: Path, tmp_path: Path) -> None:
    made = trim(_source(folder, "mkv"), tmp_path / "made.mkv", 0.5, 11.5, cuts=[(0.9, 4.6)]).path
    assert chapters(made) == [("one", 0.0, 0.4), ("three", 0.4, 6.8), ("four", 6.8, 7.3)]


@pytest.mark.parametrize("voice", [False, True])
def test_parts_of_the_last_page_of_an_ogg_are_in_place(voice: bool, tmp_path: Path) -> None:
    path = tmp_path / "talk.ogg"
    audio = AudioEncoder("opus", 1, voice=voice)
    muxer = Muxer(path, CONTAINERS["ogg"])
    # Its pages last a second.
    muxer.start([audio.template], crash_safe=False)
    for packet in [*audio.encode(wave(1)[: 8 * SAMPLE_RATE]), *audio.finish()]:
        muxer.write(0, packet)
    muxer.close()
    muxer.keep()
    # The last two parts are on the same grid.
    kept = [(0.5, 2.0), (3.123, 6.5), (7.0, 7.9)]
    made = trim(path, tmp_path / "part.ogg", 0.5, 7.9, cuts=[(2.0, 3.123), (6.5, 7.0)]).path
    source = sound(path).samples
    truth = [source[round(from_s * SAMPLE_RATE) : round(to_s * SAMPLE_RATE)] for from_s, to_s in kept]
    assert compare_samples(np.concatenate(truth), sound(made).samples).max() < (0.3 if voice else 0.03)


#: When there is sound; short pauses stay.
SPOKEN = [(0.3, 2.0), (5.0, 6.0), (6.8, 8.0)]


@pytest.mark.parametrize("extension", ["mp4", "mkv", "ogg", "wav"])
def test_long_silence_is_shortened(extension: str, tmp_path: Path) -> None:
    kind = CONTAINERS[extension]
    heard = wave()
    moments_s = np.arange(len(heard)) / SAMPLE_RATE
    heard[~np.any([(moments_s >= from_s) & (moments_s < to_s) for from_s, to_s in SPOKEN], axis=0)] = 0
    path = record(tmp_path / f"talk.{extension}", heard)
    made = trim(path, tmp_path / f"short.{extension}", silence=Silence(rest_s=1.0)).path
    assert check(made).ok
    # 3 s between words become 1 s, 4 s at the end as well, less than a packet longer.
    assert check(made).duration_s == pytest.approx(7.0, abs=0.031)
    words = sound(made).samples
    source = sound(path).samples
    longer_s = check(made).duration_s - 7.0
    for (from_s, to_s), earlier_s in zip(SPOKEN, (0.0, 2.0, 2.0), strict=True):
        at_s = from_s - (earlier_s - longer_s if earlier_s else 0)
        one = source[round((from_s + 0.1) * SAMPLE_RATE) : round((to_s - 0.1) * SAMPLE_RATE)]
        other = words[round((at_s + 0.1) * SAMPLE_RATE) :][: len(one)]
        assert np.abs(one - other).max() < 0.01
    if kind.audio_codec == "aac" or kind.format == "ogg":
        old = {data for _, data in packets(path, "audio")}
        assert sum(data in old for _, data in packets(made, "audio")) > 0.6 * len(packets(made, "audio"))
    if kind.holds_video:
        # The pictures of the silence went with it, also from what players do not show.
        gone_s = ((2.6, 4.4), (9.1, 12.0))
        gone = {slot for from_s, to_s in gone_s for slot in range(round(from_s * FPS), round(to_s * FPS))}
        found = {number_of(np.asarray(picture.mean(axis=2))) for picture in everything_shown(made)}
        assert {round(at_s * FPS) for at_s in (1.0, 5.4, 7.4)} <= found
        assert sorted(gone & found) == []


def test_silence_is_looked_for_within_the_part(tmp_path: Path) -> None:
    heard = wave()
    heard[2 * SAMPLE_RATE : 9 * SAMPLE_RATE] = 0
    path = record(tmp_path / "talk.flac", heard)
    made = trim(path, tmp_path / "short.flac", 1.5, 5.0, silence=Silence(rest_s=0.25)).path
    assert check(made).duration_s == pytest.approx(0.75)
    assert not np.any(sound(made).samples[round(0.51 * SAMPLE_RATE) :])


def test_pictures_of_another_encoder_are_all_encoded_again(tmp_path: Path) -> None:
    path = tmp_path / "other.mp4"
    with av.open(str(path), "w") as container:
        # With frames that are stored in another order than they are shown in.
        stream = container.add_stream("libx264", rate=FPS, options={"bf": "3", "g": "30", "b_strategy": "0"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for slot in range(6 * FPS):
            frame = av.VideoFrame.from_ndarray(numbered(slot)[..., :3], format="bgr24")
            frame.pts, frame.time_base = slot, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    # The second part begins with a key frame.
    for number, (from_s, to_s) in enumerate([(1.5, 4.03), (2.0, 5.03), (0.0, 3.5)]):
        made = trim(path, tmp_path / f"{number}.mp4", from_s, to_s).path
        assert check(made).ok
        compare_pictures(path, made, from_s, to_s, 99.0)


def turned(path: Path, made: Path, degrees: int) -> Path:
    """Copy the picture of a recording, to be turned by players; phones store what they record upright like this."""
    with av.open(str(path)) as source, av.open(str(made), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0], opaque=True)
        stream.set_display_rotation(degrees)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    return made


def test_a_picture_that_players_turn_stays_turned(folder: Path, tmp_path: Path) -> None:
    path = turned(_source(folder, "mp4"), tmp_path / "turned.mp4", 90)
    for number, (from_s, to_s) in enumerate([(0.0, 5.0), (1.5, 5.0), (1.5, None)]):
        made = trim(path, tmp_path / f"{number}.mp4", from_s, to_s).path
        with av.open(str(made)) as container:
            assert {frame.rotation for frame in container.decode(video=0)} == {90}
    still = write(tmp_path / "one.mp4", (), Picture())
    other = turned(still, tmp_path / "other.mp4", 180)
    with pytest.raises(RecordingError, match="are not turned alike: turn them upright first"):
        join([still, other], tmp_path / "both.mp4")


@pytest.mark.parametrize("from_s", [0.2, 64 / 30, 3.456])
def test_programs_guess_the_frame_rate_of_a_part(from_s: float, tmp_path: Path) -> None:
    video = VideoEncoder("h264", WIDTH, HEIGHT, 30)
    muxer = Muxer(tmp_path / "caret.mp4", CONTAINERS["mp4"])
    muxer.start([video.template])
    # A caret blinks for a minute.
    for number in range(120):
        for packet in video.encode(numbered(number), number * 16 * 3000):
            muxer.write(0, packet)
    muxer.close()
    muxer.keep()
    made = trim(muxer.path, tmp_path / "part.mp4", from_s).path
    with av.open(str(made)) as container:
        assert container.streams.video[0].guessed_rate == 30
    compare_pictures(muxer.path, made, from_s, 99.0, 99.0)


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
def test_tracks_that_begin_late_stay_in_sync(extension: str, tmp_path: Path) -> None:
    sounds = (Sound(end_s=4), Sound(start_s=1.5, end_s=4, heard_from_s=2.5))
    path = write(tmp_path / f"late.{extension}", sounds, Picture(end_s=4))
    made = trim(path, tmp_path / f"part.{extension}", 0.7, 3.7).path
    report = check(made)
    # Not the fault of the cut.
    assert [problem for problem in report.problems if "start" not in problem] == []
    assert [one.kind for one in report.streams] == ["video", "audio", "audio"]
    began_s = [max(0, one.start_s - 0.7) for one in check(path).streams]
    assert [one.start_s for one in report.streams] == pytest.approx(began_s, abs=0.001)
    late = sound(made, 1)
    assert first_loud_s(late) == pytest.approx(1.8, abs=0.01)


def test_a_voice_note_stays_one(tmp_path: Path) -> None:
    path = tmp_path / "note.ogg"
    audio = AudioEncoder("opus", 1, voice=True)
    muxer = Muxer(path, CONTAINERS["ogg"])
    muxer.start([audio.template])
    for packet in [*audio.encode(wave(1)), *audio.finish()]:
        muxer.write(0, packet)
    muxer.close()
    muxer.keep()
    made = trim(path, tmp_path / "part.ogg", FROM_S, TO_S).path
    report = check(made)
    assert report.ok
    assert report.duration_s == pytest.approx(TO_S - FROM_S, abs=2e-5)
    off = compare_sound(sound(path).samples, sound(made).samples, FROM_S, TO_S)
    assert off[SAMPLE_RATE:-SAMPLE_RATE].max() < 1e-5
    # What the codec adds around a sudden end.
    assert level_db(everything_heard(made), CUT_HZ) < -48
    # Packets of 60 ms.
    assert len(packets(made, "audio")) == pytest.approx((TO_S - FROM_S) / 0.06, abs=2)


def test_it_replaces_the_recording_once_the_new_file_is_good(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "talk.ogg"
    before = _source(folder, "ogg").read_bytes()
    path.write_bytes(before)
    path.chmod(0o640)
    bad = CheckReport(path, ("it is bad",), (), Ending.DAMAGED, plays=False)
    with monkeypatch.context() as patched:
        patched.setattr("capture.recordings.splice.check", lambda *args, **options: bad)
        with pytest.raises(OutputError, match="it is bad"):
            trim(path, path, 1.0)
    assert path.read_bytes() == before
    assert names(tmp_path) == ["talk.ogg"]
    assert trim(path, path, 1.0).duration_s == pytest.approx(LENGTH_S - 1, abs=2e-5)
    assert path.stat().st_mode & 0o777 == 0o640
    assert names(tmp_path) == ["talk.ogg"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--from", "13"], "not within"),
        (["--to", "0:12.5"], "not within"),
        (["--from", "5", "--to", "5"], "later --to"),
        ([], "nothing of"),
        (["--cut", "5-4"], "earlier time first"),
        (["--cut", "11-13"], "not within"),
        (["--cut", "5"], "1:30-2:00"),
        (["--cut", "0-6", "--cut", "5.5-12"], "nothing of"),
        (["--cut", "0-4", "--to", "3"], "nothing of"),
        (["--silence"], "nowhere below -50 dB"),
        (["--to", "2", "--rest", "1s"], "add --silence"),
        (["--silence", "--sound-threshold", "-3dB"], "nothing of"),
        (["--to", "2", "-o", "talk.ogg"], "--in-place"),
        (["--to", "2", "-o", "talk.mp3"], ".ogg"),
        (["--to", "2", "-o", "other.ogg"], "exists already"),
    ],
)
def test_mistakes_touch_nothing(
    options: list[str],
    words: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    before = _source(folder, "ogg").read_bytes()
    for name in ("talk.ogg", "other.ogg"):
        (tmp_path / name).write_bytes(before)
    assert main(["trim", "talk.ogg", *options]) == 2
    assert words in capsys.readouterr().err
    assert names(tmp_path) == ["other.ogg", "talk.ogg"]
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before, before]


def test_what_is_no_recording_or_not_complete_is_refused(folder: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("Not a recording.\n" * 100)
    with pytest.raises(RecordingError, match="not a recording"):
        trim(text, tmp_path / "out.mp4", 1.0)
    half = tmp_path / "half.ogg"
    half.write_bytes(_source(folder, "ogg").read_bytes()[:50_000])
    with pytest.raises(RecordingError, match="capture repair"):
        trim(half, tmp_path / "out.ogg", 1.0)
    assert names(tmp_path) == ["half.ogg", "text.mp4"]


def test_sound_that_cannot_be_decoded_is_named(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "talk.m4a"
    data = bytearray(_source(folder, "m4a").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 9000] = b"\xff" * 9000
    path.write_bytes(data)
    with pytest.raises(RecordingError, match=r"talk\.m4a cannot be decoded"):
        trim(path, tmp_path / "out.m4a", silence=Silence(rest_s=0.1))
    assert names(tmp_path) == ["talk.m4a"]


def test_the_verb_names_the_new_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "talk.wav").write_bytes(_source(folder, "wav").read_bytes())
    assert main(["trim", "talk.wav", "--from", "0:01.5", "--to", "3500ms"]) == 0
    assert capsys.readouterr().out == "saved talk-trimmed.wav, 0:02.0\n"
    assert main(["trim", "talk.wav", "--from", "11s", "--in-place", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"path": "talk.wav", "duration_s": 1.0}
    assert names(tmp_path) == ["talk-trimmed.wav", "talk.wav"]
