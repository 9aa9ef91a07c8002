"""Every codec of pictures that a container wants, encoded, written, opened again and compared with what went in."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest

from capture.codecs import video_encoder as module
from capture.codecs.video_encoder import (
    CUTTABLE_KEY_FRAME_INTERVAL_S,
    CUTTABLE_STILL_KEY_FRAME_INTERVAL_S,
    KEY_FRAME_INTERVAL_S,
    REPEAT_KEY_FRAME_INTERVAL_S,
    STILL_KEY_FRAME_INTERVAL_S,
    VideoEncoder,
    choose_encoder,
    is_repeat,
)
from capture.errors import EncoderError, NotReadyError
from capture.formats import CONTAINERS, QUALITIES
from capture.media import VIDEO_TICKS_PER_S, Pixels
from capture.output.muxer import Muxer

WITH_PICTURE = [name for name, kind in CONTAINERS.items() if kind.holds_video]
VIDEO_CODECS = sorted({kind.video_codec for kind in CONTAINERS.values() if kind.video_codec})

WIDTH, HEIGHT = 320, 160
SLOT = VIDEO_TICKS_PER_S // 30

#: H.273's numbers.
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
    """Eight patches of colour, blue-green-red, in two rows."""
    picture = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    for number, colour in enumerate(PATCHES):
        top, left = number // 4 * PATCH, number % 4 * PATCH
        picture[top : top + PATCH, left : left + PATCH, :3] = colour
    return picture


def plain(level: int) -> Pixels:
    return np.full((HEIGHT, WIDTH, 4), level, np.uint8)


def page(number: int) -> Pixels:
    """Something like text, which has moved up by `number` lines of pixels: the hardest that screens show."""
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
def test_colours_come_back_as_they_were_and_are_labelled_so(extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"made.{extension}"
    write_pictures(path, [(number * SLOT, patches()) for number in range(4)], quality="high")
    # One matrix with two numbers; VP8's decoders believe no label.
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
def test_the_stream_itself_is_labelled(codec: str) -> None:
    context = VideoEncoder(codec, WIDTH, HEIGHT, 30).template.codec_context
    assert context.colorspace == (BT601_OF_PAL if codec == "vp8" else BT601)
    assert (context.color_range, context.color_primaries, context.color_trc) == (LIMITED, BT709, BT709)


def decode(encoder: VideoEncoder, packets: Sequence[av.Packet[Any]]) -> list[Pixels]:
    """What a player sees that begins with the first of `packets`, grey."""
    decoder = cast(av.VideoCodecContext, av.CodecContext.create(encoder.codec, "r"))
    decoder.extradata = encoder.template.codec_context.extradata
    frames = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    return [np.asarray(frame.to_ndarray(format="gray")) for frame in frames]


def encoded_and_decoded(
    codec: str, encode: Callable[[VideoEncoder], list[av.Packet[Any]]], **options: Any
) -> list[Pixels]:
    """What becomes of the pictures that `encode` encodes, grey."""
    encoder = VideoEncoder(codec, WIDTH, HEIGHT, 30, **options)
    return decode(encoder, encode(encoder))


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_moving_text_stays_legible_and_quality_means_something(codec: str) -> None:
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


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_each_frame_in_is_one_packet_out_at_once(codec: str) -> None:
    encoder = VideoEncoder(codec, WIDTH, HEIGHT, 30)
    # A screen that stood still for minutes must not swallow the frame after it.
    for level, pts in enumerate((0, 1, 3000, 3001, 90_000, 10_000_000, 10_003_000)):
        (packet,) = encoder.encode(plain(level), pts)
        assert (packet.pts, packet.dts) == (pts, pts)
        assert packet.size > 0
    assert encoder.finish() == []


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_a_picture_can_be_repeated(codec: str) -> None:
    encoder = VideoEncoder(codec, WIDTH, HEIGHT, 30)
    assert encoder.repeat(0) == [], "there is nothing to repeat yet"

    def encode(encoder: VideoEncoder) -> list[av.Packet[Any]]:
        return [*encoder.encode(page(0), 0), *encoder.repeat(3000), *encoder.repeat(60_000)]

    first, second, third = encoded_and_decoded(codec, encode, quality="high")
    assert np.abs(second.astype(int) - first).mean() < 2
    assert np.abs(third.astype(int) - first).mean() < 2


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_what_is_around_a_part_stays(codec: str) -> None:
    def encode(encoder: VideoEncoder) -> list[av.Packet[Any]]:
        part = np.full((40, 50, 4), 40, np.uint8)
        return [*encoder.encode(plain(200), 0), *encoder.encode(part, SLOT, 34, 22), *encoder.repeat(2 * SLOT)]

    for picture in encoded_and_decoded(codec, encode, quality="high")[1:]:
        assert abs(int(picture[24:60, 36:82].mean()) - 40) <= 3
        picture[22:62, 34:84] = 200
        assert abs(float(picture.mean()) - 200) <= 2


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_the_pictures_memory_is_not_needed_any_more(codec: str) -> None:
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
def test_key_frames_come_by_time_and_not_by_count(codec: str, cuttable: bool, interval_s: float) -> None:
    encoder = VideoEncoder(codec, 64, 48, 30, cuttable=cuttable)
    random = np.random.default_rng(2)
    moments_s = np.cumsum(random.choice([0.01, 0.033, 0.1, 0.6], 500))
    keys_s: list[float] = []
    for number, at_s in enumerate(moments_s):
        (packet,) = encoder.encode(np.full((48, 64, 4), number % 256, np.uint8), round(at_s * VIDEO_TICKS_PER_S))
        assert packet.is_keyframe or at_s - keys_s[-1] < interval_s
        if packet.is_keyframe:
            keys_s.append(at_s)
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
    assert packet.is_keyframe, "when it changes again the last one is long ago"


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_a_picture_that_came_to_rest_has_a_key_frame_soon_and_then_few(codec: str) -> None:
    encoder = VideoEncoder(codec, 64, 48, 30, cuttable=True)
    keys = []
    for tenths in range(0, 180, 6):
        pts = tenths * VIDEO_TICKS_PER_S // 10
        changed = tenths in (0, 6, 150)
        (packet,) = encoder.encode(np.full((48, 64, 4), tenths, np.uint8), pts) if changed else encoder.repeat(pts)
        assert is_repeat(packet) is not changed
        keys += [tenths / 10] if packet.is_keyframe else []
    assert keys == pytest.approx([0.0, 1.8, 12.0, 15.0])
    assert keys[1] - keys[0] >= REPEAT_KEY_FRAME_INTERVAL_S


def test_repeats_are_known_while_others_are_freed() -> None:
    encoder = VideoEncoder("h264", 64, 48, 30)
    packets = encoder.encode(np.zeros((48, 64, 4), np.uint8), 0)
    packets += [packet for number in range(1, 9) for packet in encoder.repeat(number * 3000)]
    del packets[2:6]
    assert [is_repeat(packet) for packet in packets] == [False, True, True, True, True]


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_a_player_can_begin_at_any_key_frame(codec: str) -> None:
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
def test_every_rate_that_can_be_asked_for_opens(codec: str, fps: float) -> None:
    encoder = VideoEncoder(codec, 16, 16, fps)
    assert len(encoder.encode(np.zeros((16, 16, 4), np.uint8), 0)) == 1


def test_an_encoder_nobody_knows_is_refused_with_those_that_are() -> None:
    with pytest.raises(NotReadyError, match="libx264") as caught:
        VideoEncoder("h264", 64, 48, 30, encoder="no_such_encoder")
    assert "no_such_encoder" in caught.value.message
    with pytest.raises(NotReadyError, match="libvpx"):
        VideoEncoder("vp8", 64, 48, 30, encoder="libx264")


@pytest.mark.skipif(sys.platform == "darwin", reason="Apple's computers have this encoder")
def test_an_encoder_that_does_not_open_here_names_those_that_do() -> None:
    with pytest.raises(NotReadyError) as caught:
        VideoEncoder("h264", 64, 48, 30, encoder="h264_videotoolbox")
    assert "h264_videotoolbox" in caught.value.message
    assert "libx264" in caught.value.remedy


def test_without_a_choice_what_always_works_is_taken() -> None:
    encoder = VideoEncoder("h264", 64, 48, 30)
    assert (encoder.codec, encoder.encoder) == ("h264", "libx264")


def test_auto_takes_a_hardware_encoder_that_encodes_and_else_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def try_out(working: str) -> Callable[..., None]:
        def one(codec: str, name: str, *size: float) -> None:
            tried.append(name)
            if name != working:
                raise EncoderError("made nothing of a picture")

        return one

    monkeypatch.setattr(module, "_try_out", try_out("h264_qsv"))
    name, why = choose_encoder("h264", "auto", 640, 480, 30)
    assert (name, tried) == ("h264_qsv", ["h264_nvenc", "h264_qsv"])
    assert why.startswith("h264_qsv: ")
    monkeypatch.setattr(module, "_try_out", try_out("none of them"))
    name, why = choose_encoder("h264", "auto", 640, 480, 30)
    assert name == "libx264"
    assert all(hardware in why for hardware in ("h264_nvenc", "h264_qsv", "h264_amf", "h264_videotoolbox"))
    # What was asked for by name is not tried before, and of what is alone there is nothing to say.
    tried.clear()
    assert choose_encoder("h264", "h264_amf", 640, 480, 30) == ("h264_amf", "")
    assert choose_encoder("vp8", "auto", 640, 480, 30) == ("libvpx", "")
    assert tried == []


def test_trying_an_encoder_out_encodes_a_picture() -> None:
    module._try_out("h264", "libx264", 640, 480, 30)
    with pytest.raises(NotReadyError):
        module._try_out("h264", "h264_nvenc" if sys.platform != "darwin" else "h264_amf", 640, 480, 30)


def test_a_frame_that_goes_back_in_time_is_refused() -> None:
    encoder = VideoEncoder("vp8", 64, 48, 30)
    encoder.encode(np.zeros((48, 64, 4), np.uint8), 90_000)
    with pytest.raises(EncoderError, match="libvpx"):
        encoder.encode(np.zeros((48, 64, 4), np.uint8), 0)
