"""Pictures in every video codec are encoded, written, read back and compared with the input."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest

from capture.codecs.video_encoder import (
    CUTTABLE_KEY_FRAME_INTERVAL_S,
    CUTTABLE_STILL_KEY_FRAME_INTERVAL_S,
    KEY_FRAME_INTERVAL_S,
    REPEAT_KEY_FRAME_INTERVAL_S,
    STILL_KEY_FRAME_INTERVAL_S,
    VideoEncoder,
    is_repeat,
)
from capture.errors import EncoderError, NotReadyError, UsageError
from capture.formats import CONTAINERS, QUALITIES
from capture.media import VIDEO_TICKS_PER_S, Pixels
from capture.output.muxer import Muxer

WITH_PICTURE = [name for name, kind in CONTAINERS.items() if kind.holds_video]
VIDEO_CODECS = sorted({kind.video_codec for kind in CONTAINERS.values() if kind.video_codec})

WIDTH, HEIGHT = 320, 160
SLOT = VIDEO_TICKS_PER_S // 30

#: Numbers from H.273.
BT709, BT601_OF_PAL, BT601, LIMITED = 1, 5, 6, 1

PATCHES = [
    (0, 0, 0),
    (255, 255, 255),
    (0, 0, 255),
    (0, 255, 0),
    (255, 0, 0),
    (128, 128, 128),
    (30, 60, 200),
    (200, 220, 90),
]
PATCH = 80


def patches() -> Pixels:
    """Return eight patches of colour, BGR, in two rows."""
    picture = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    for number, colour in enumerate(PATCHES):
        top, left = number // 4 * PATCH, number % 4 * PATCH
        picture[top : top + PATCH, left : left + PATCH, :3] = colour
    return picture


def plain(level: int) -> Pixels:
    return np.full((HEIGHT, WIDTH, 4), level, np.uint8)


def page(number: int) -> Pixels:
    """Return a text-like picture scrolled up by `number` pixels, the hardest content that screens show."""
    ink = np.random.default_rng(5).random((HEIGHT * 3, WIDTH)) < 0.4
    ink[np.arange(len(ink)) % 16 > 11] = False
    picture = np.full((HEIGHT, WIDTH, 4), 255, np.uint8)
    picture[ink[number : number + HEIGHT]] = 20
    return picture


def write_pictures(path: Path, pictures: Sequence[tuple[int, Pixels]], **options: Any) -> None:
    kind = CONTAINERS[path.suffix[1:]]
    assert kind.video_codec is not None
    encoder = VideoEncoder(kind.video_codec, WIDTH, HEIGHT, 30, **options)
    muxer = Muxer(path, kind)
    muxer.start([encoder.template])
    for pts, pixels in pictures:
        for packet in encoder.encode(pixels, pts):
            muxer.write(0, packet)
    for packet in encoder.finish():
        muxer.write(0, packet)
    muxer.close()


@pytest.mark.parametrize("extension", WITH_PICTURE)
def test_colours_survive_and_are_tagged_correctly(extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"made.{extension}"
    write_pictures(path, [(number * SLOT, patches()) for number in range(4)], quality="high")
    # The same matrix has two numbers; VP8 decoders ignore the tag.
    matrix = BT601_OF_PAL if CONTAINERS[extension].video_codec == "vp8" else BT601
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.width, context.height) == (WIDTH, HEIGHT)
        assert context.colorspace == matrix
        assert (context.color_range, context.color_primaries, context.color_trc) == (LIMITED, BT709, BT709)
        frames = list(container.decode(stream))
    assert len(frames) == 4
    for frame in frames:
        assert (int(frame.colorspace), int(frame.color_range)) == (matrix, LIMITED)
        decoded = frame.reformat(
            format="bgr24", src_colorspace=frame.colorspace, src_color_range=frame.color_range
        ).to_ndarray()
        for number, colour in enumerate(PATCHES):
            top, left = number // 4 * PATCH + 16, number % 4 * PATCH + 16
            inside = decoded[top : top + PATCH - 32, left : left + PATCH - 32].astype(int)
            assert np.abs(inside - colour).max() <= 3, f"patch {colour} at {frame.time}"


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_the_stream_is_tagged_with_its_colour_space(codec: str) -> None:
    context = VideoEncoder(codec, WIDTH, HEIGHT, 30).template.codec_context
    assert context.colorspace == (BT601_OF_PAL if codec == "vp8" else BT601)
    assert (context.color_range, context.color_primaries, context.color_trc) == (LIMITED, BT709, BT709)


def decode(encoder: VideoEncoder, packets: Sequence[av.Packet[Any]]) -> list[Pixels]:
    """Decode `packets` to grey pictures, as a player that starts at the first one."""
    decoder = cast(av.VideoCodecContext, av.CodecContext.create(encoder.codec, "r"))
    decoder.extradata = encoder.template.codec_context.extradata
    frames = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    return [np.asarray(frame.to_ndarray(format="gray")) for frame in frames]


def encoded_and_decoded(
    codec: str, encode: Callable[[VideoEncoder], list[av.Packet[Any]]], **options: Any
) -> list[Pixels]:
    """Return the pictures that `encode` encodes, decoded to grey."""
    encoder = VideoEncoder(codec, WIDTH, HEIGHT, 30, **options)
    return decode(encoder, encode(encoder))


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_moving_text_stays_legible_and_higher_quality_is_better(codec: str) -> None:
    pages = [page(3 * number) for number in range(12)]

    def encode(encoder: VideoEncoder) -> list[av.Packet[Any]]:
        return [packet for number, one in enumerate(pages) for packet in encoder.encode(one, number * SLOT)]

    noise_db = []
    for quality in QUALITIES:
        found = encoded_and_decoded(codec, encode, quality=quality)
        errors = [np.mean((a.astype(float) - b[..., 1]) ** 2) for a, b in zip(found, pages, strict=True)]
        noise_db.append(10 * np.log10(255**2 / np.mean(errors)))
    assert noise_db == sorted(noise_db)
    assert noise_db[-1] - noise_db[0] > 3
    assert noise_db[QUALITIES.index("medium")] > 32


@pytest.mark.parametrize("rows", [26, 65, 104])
def test_text_that_jumps_by_lines_is_found_where_it_was(rows: int) -> None:
    random = np.random.default_rng(4)
    letters = (random.random((64, 13, 6)) < 0.35) * np.uint8(200)
    letters[:, [0, 1, 11, 12]] = letters[:, :, 5] = 0
    page = np.concatenate([np.concatenate(letters[random.integers(0, 64, 100)], axis=1) for _ in range(120)])
    pictures = [np.repeat(page[top : top + 600, :, None], 4, axis=2) for top in range(0, 9 * rows, rows)]
    encoder = VideoEncoder("h264", 600, 600, 30)
    key, *moved = [sum(p.size for p in encoder.encode(one, n * SLOT)) for n, one in enumerate(pictures)]
    encoder.close()
    # What comes into view is new.
    assert np.mean(moved) < key * (1.6 * rows / 600 + 0.02)


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_each_frame_becomes_a_packet_at_once(codec: str) -> None:
    encoder = VideoEncoder(codec, WIDTH, HEIGHT, 30)
    # The frame after minutes without change must not get lost.
    for level, pts in enumerate((0, 1, 3000, 3001, 90_000, 10_000_000, 10_003_000)):
        (packet,) = encoder.encode(plain(level), pts)
        assert (packet.pts, packet.dts) == (pts, pts)
        assert packet.size > 0
    assert encoder.finish() == []


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_a_picture_can_be_repeated(codec: str) -> None:
    encoder = VideoEncoder(codec, WIDTH, HEIGHT, 30)
    assert encoder.repeat(0) == [], "there is no picture to repeat yet"

    def encode(encoder: VideoEncoder) -> list[av.Packet[Any]]:
        return [*encoder.encode(page(0), 0), *encoder.repeat(3000), *encoder.repeat(60_000)]

    first, second, third = encoded_and_decoded(codec, encode, quality="high")
    assert np.abs(second.astype(int) - first).mean() < 2
    assert np.abs(third.astype(int) - first).mean() < 2


class HalfRead:
    """The strips of a new picture, of a screen that is lost after the first."""

    width, height = WIDTH, HEIGHT

    def read(self, put: Callable[[Pixels, int], None]) -> bool:
        put(plain(200)[: HEIGHT // 2], 0)
        return False


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_a_picture_that_is_half_written_is_not_shown(codec: str) -> None:
    def encode(encoder: VideoEncoder) -> list[av.Packet[Any]]:
        packets = encoder.encode(plain(40), 0)
        assert encoder.parts.convert_strips(HalfRead(), 0, 0, in_place=True) is None
        # A key frame is due.
        last = encoder.repeat(60 * VIDEO_TICKS_PER_S)
        return [*packets, *last, *encoder.encode(plain(200), 61 * VIDEO_TICKS_PER_S)]

    *pictures, new = encoded_and_decoded(codec, encode)
    assert all(abs(picture.astype(int) - 40).max() <= 3 for picture in pictures)
    assert abs(new.astype(int) - 200).max() <= 3


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_the_picture_around_a_part_stays(codec: str) -> None:
    def encode(encoder: VideoEncoder) -> list[av.Packet[Any]]:
        part = np.full((40, 50, 4), 40, np.uint8)
        return [*encoder.encode(plain(200), 0), *encoder.encode(part, SLOT, 34, 22), *encoder.repeat(2 * SLOT)]

    for picture in encoded_and_decoded(codec, encode, quality="high")[1:]:
        assert abs(int(picture[24:60, 36:82].mean()) - 40) <= 3
        picture[22:62, 34:84] = 200
        assert abs(float(picture.mean()) - 200) <= 2


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_a_picture_may_be_overwritten_after_encoding(codec: str) -> None:
    shared = plain(200)

    def encode(encoder: VideoEncoder) -> list[av.Packet[Any]]:
        packets = encoder.encode(shared, 0)
        shared[:] = 0
        return [*packets, *encoder.repeat(3000)]

    for picture in encoded_and_decoded(codec, encode):
        assert abs(int(picture.mean()) - 200) <= 2


@pytest.mark.parametrize(
    ("cuttable", "interval_s"), [(True, CUTTABLE_KEY_FRAME_INTERVAL_S), (False, KEY_FRAME_INTERVAL_S)]
)
@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_key_frames_are_spaced_by_time_not_by_count(codec: str, cuttable: bool, interval_s: float) -> None:
    encoder = VideoEncoder(codec, 64, 48, 30, cuttable=cuttable)
    random = np.random.default_rng(2)
    moments_s = np.cumsum(random.choice([0.01, 0.033, 0.1, 0.6], 500))
    keys_s: list[float] = []
    for number, at_s in enumerate(moments_s):
        (packet,) = encoder.encode(np.full((48, 64, 4), number % 256, np.uint8), round(at_s * VIDEO_TICKS_PER_S))
        assert packet.is_keyframe or at_s - keys_s[-1] < interval_s
        if packet.is_keyframe:
            keys_s.append(float(at_s))
    assert len(keys_s) > 10


@pytest.mark.parametrize(
    ("cuttable", "interval_s"), [(True, CUTTABLE_STILL_KEY_FRAME_INTERVAL_S), (False, STILL_KEY_FRAME_INTERVAL_S)]
)
@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_a_still_picture_has_fewer_key_frames(codec: str, cuttable: bool, interval_s: float) -> None:
    encoder = VideoEncoder(codec, 64, 48, 30, cuttable=cuttable)
    encoder.encode(np.full((48, 64, 4), 9, np.uint8), 0)
    keys = [0.0]
    for tenths in range(6, 660, 6):
        (packet,) = encoder.repeat(tenths * VIDEO_TICKS_PER_S // 10)
        keys += [tenths / 10] if packet.is_keyframe else []
    assert len(keys) == 1 + int(66 / (interval_s + 0.6))
    assert all(interval_s <= wait_s < interval_s + 0.6 for wait_s in np.diff(keys))
    (packet,) = encoder.encode(np.full((48, 64, 4), 90, np.uint8), 75 * VIDEO_TICKS_PER_S)
    assert packet.is_keyframe, "the last key frame is too long ago"


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_a_picture_that_stops_changing_has_a_key_frame_soon_and_then_few(codec: str) -> None:
    encoder = VideoEncoder(codec, 320, 240, 30, cuttable=True)
    picture, keys = _noise(1), []
    for tenths in range(0, 180, 6):
        pts = tenths * VIDEO_TICKS_PER_S // 10
        changed = tenths in (0, 6, 150)
        picture[:16, :16] = tenths
        (packet,) = encoder.encode(picture.copy(), pts) if changed else encoder.repeat(pts)
        assert is_repeat(packet) is not changed
        keys += [tenths / 10] if packet.is_keyframe else []
    assert keys == pytest.approx([0.0, 1.8, 12.0, 15.0])
    assert keys[1] - keys[0] >= REPEAT_KEY_FRAME_INTERVAL_S


def test_repeats_are_recognised_after_other_packets_are_freed() -> None:
    encoder = VideoEncoder("h264", 64, 48, 30)
    packets = encoder.encode(np.zeros((48, 64, 4), np.uint8), 0)
    packets += [packet for number in range(1, 9) for packet in encoder.repeat(number * 3000)]
    del packets[2:6]
    assert [is_repeat(packet) for packet in packets] == [False, True, True, True, True]


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_a_player_can_start_at_any_key_frame(codec: str) -> None:
    encoder = VideoEncoder(codec, WIDTH, HEIGHT, 30, cuttable=True)
    packets = [p for n in range(70) for p in encoder.encode(plain(n), n * SLOT)]
    later = next(n for n, packet in enumerate(packets) if packet.is_keyframe and n)
    pictures = decode(encoder, packets[later:])
    assert len(pictures) == 70 - later
    assert pictures[0].mean() == pytest.approx(later, abs=3)


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_the_picture_can_be_scaled(codec: str) -> None:
    encoder = VideoEncoder(codec, WIDTH, HEIGHT, 30, scale=(160, 80))
    assert (encoder.width, encoder.height) == (160, 80)
    half = plain(0)
    half[:, WIDTH // 2 :] = 255
    (grey,) = decode(encoder, encoder.encode(half, 0))
    assert grey.shape == (80, 160)
    assert grey[:, :72].max() < 16
    assert grey[:, 88:].min() > 239


@pytest.mark.parametrize("fps", [0.1, 1, 23.976, 29.97, 60, 240])
@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_the_encoder_opens_at_every_allowed_frame_rate(codec: str, fps: float) -> None:
    encoder = VideoEncoder(codec, 16, 16, fps)
    assert len(encoder.encode(np.zeros((16, 16, 4), np.uint8), 0)) == 1


def test_an_unknown_encoder_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(NotReadyError, match="libx264") as caught:
        VideoEncoder("h264", 64, 48, 30, encoder="no_such_encoder")
    assert "no_such_encoder" in caught.value.message
    with pytest.raises(NotReadyError, match="libvpx"):
        VideoEncoder("vp8", 64, 48, 30, encoder="libx264")


@pytest.mark.skipif(sys.platform == "darwin", reason="Apple's computers have this encoder")
def test_the_error_for_an_unavailable_encoder_names_the_available_ones() -> None:
    with pytest.raises(NotReadyError) as caught:
        VideoEncoder("h264", 64, 48, 30, encoder="h264_videotoolbox")
    assert "h264_videotoolbox" in caught.value.message
    assert "libx264" in caught.value.remedy


def test_the_default_encoder_is_the_one_that_always_works() -> None:
    encoder = VideoEncoder("h264", 64, 48, 30)
    assert (encoder.codec, encoder.encoder) == ("h264", "libx264")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_closed_encoder_leaves_no_threads_and_keeps_its_template() -> None:
    tasks = Path("/proc/self/task")
    before = len(list(tasks.iterdir()))
    encoder = VideoEncoder("h264", 1920, 1080, 240)
    encoder.encode(np.zeros((1080, 1920, 4), np.uint8), 0)
    parameters = encoder.template.codec_context.extradata
    encoder.close()
    encoder.close()
    # x264 ends them when its memory is freed.
    assert len(list(tasks.iterdir())) == before
    assert encoder.template.codec_context.extradata == parameters


def test_a_frame_with_an_earlier_pts_is_refused() -> None:
    encoder = VideoEncoder("vp8", 64, 48, 30)
    encoder.encode(np.zeros((48, 64, 4), np.uint8), 90_000)
    with pytest.raises(EncoderError, match="libvpx"):
        encoder.encode(np.zeros((48, 64, 4), np.uint8), 0)


def _noise(seed: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (240, 320, 4), dtype=np.uint8)


@pytest.mark.parametrize("codec", ["h264", "vp8"])
def test_a_picture_that_is_new_is_a_key_frame(codec: str) -> None:
    encoder = VideoEncoder(codec, 320, 240, 30)
    pictures = [_noise(1), _noise(1), _noise(2), _noise(2), _noise(3)]
    moments_s = [0.0, 1.5, 2.0, 2.5, 2.7]
    packets = []
    for picture, at_s in zip(pictures, moments_s, strict=True):
        packets += encoder.encode(picture, round(at_s * 90_000))
    for at_s in (2.9, 3.0, 4.5):
        packets += encoder.repeat(round(at_s * 90_000))
        moments_s.append(at_s)
    packets += encoder.finish()
    assert [(packet.pts, packet.dts) for packet in packets] == [(round(at_s * 90_000),) * 2 for at_s in moments_s]
    # The last one comes too soon after the second key frame; a repeat makes up for it.
    assert [packet.is_keyframe for packet in packets] == [True, False, True, False, False, False, True, False]
    decoder = cast(av.VideoCodecContext, av.CodecContext.create(codec, "r"))
    decoder.extradata = encoder.template.codec_context.extradata
    assert sum(len(decoder.decode(packet)) for packet in [*packets, None]) == len(packets)


def test_a_key_frame_comes_sooner_once_it_costs_little() -> None:
    # Low quality has no coarser quantiser for noise, which would come with a key frame of its own.
    encoder = VideoEncoder("h264", 320, 240, 30, quality="low")
    picture = _noise(1)
    keys_s = []
    for slot in range(150):
        # A band of a quarter changes all the time: within two seconds, fifteen times what a key frame has.
        picture[60 * (slot % 4) : 60 * (slot % 4) + 60] = _noise(slot)[:60]
        for packet in encoder.encode(picture, slot * 3000):
            if packet.is_keyframe:
                keys_s.append(slot / 30)
    assert keys_s == [0.0, 2.0, 4.0]
    encoder.close()


@pytest.mark.parametrize(
    ("codec", "name", "least", "most"), [("h264", "H.264", (2, 2), 16_384), ("vp8", "VP8", (8, 8), 16_382)]
)
def test_every_size_within_the_limits_is_encoded_and_no_other(
    codec: str, name: str, least: tuple[int, int], most: int
) -> None:
    for width, height in (least, (most, 16), (16, most)):
        encoder = VideoEncoder(codec, width, height, 30)
        packets = encoder.encode(np.zeros((height, width, 4), np.uint8), 0) + encoder.finish()
        assert [bool(packet.size) for packet in packets] == [True]
    with pytest.raises(
        UsageError, match=rf"is {most + 2}x64, but {name} needs sides of at most {most} pixels"
    ) as caught:
        VideoEncoder(codec, most + 2, 64, 30)
    assert f"--scale {most}x64" in caught.value.remedy
    VideoEncoder(codec, most + 2, 64, 30, scale=(most, 64)).close()
