"""Every codec that a container wants, encoded, written, opened again and compared with what went in."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt
import pytest

from capture.encoder import (
    KEY_FRAME_INTERVAL_S,
    REPEAT_KEY_FRAME_INTERVAL_S,
    STILL_KEY_FRAME_INTERVAL_S,
    AudioEncoder,
    VideoEncoder,
    is_repeat,
)
from capture.errors import EncoderError, NotReadyError
from capture.media import SAMPLE_RATE, Pixels, SampleArray
from capture.muxer import Muxer
from capture.settings import CONTAINERS, QUALITIES
from capture.timeline import VIDEO_TICKS_PER_S

WITH_PICTURE = [name for name, kind in CONTAINERS.items() if kind.holds_video]
LOSSLESS = {"flac", "pcm_s16le"}
VIDEO_CODECS = sorted({kind.video_codec for kind in CONTAINERS.values() if kind.video_codec})
AUDIO_CODECS = sorted({kind.audio_codec for kind in CONTAINERS.values()})

WIDTH, HEIGHT = 320, 160
SLOT = VIDEO_TICKS_PER_S // 30

#: H.273's numbers.
BT709, BT601, LIMITED = 1, 5, 1


# Sound


def music(seconds: float, channels: int) -> SampleArray:
    """Tones that come and go: no two moments are alike. The right side is not the left."""
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    left = 0.4 * np.sin(2 * np.pi * (300 + 200 * times) * times) * (1 + np.sin(2 * np.pi * 1.7 * times)) / 2
    right = 0.3 * np.sin(2 * np.pi * 1100 * times) * (times % 0.5 > 0.2)
    return np.stack([left, right][:channels], axis=1).astype(np.float32)


def write_sound(path: Path, sound: SampleArray, *, block: int = 960, with_picture: bool = False) -> None:
    """Encode and write `sound` into the kind of file its name says, beside a still picture where that is wanted."""
    kind = CONTAINERS[path.suffix[1:]]
    encoder = AudioEncoder(kind.audio_codec, sound.shape[1])
    video = None
    if with_picture and kind.video_codec is not None:
        video = VideoEncoder(kind.video_codec, 64, 48, 30)
    muxer = Muxer(path, kind)
    muxer.start([encoder.template] if video is None else [encoder.template, video.template])
    for number, start in enumerate(range(0, len(sound), block)):
        for packet in encoder.encode(sound[start : start + block]):
            muxer.write(0, packet)
        if video is not None and number % 5 == 0:
            grey = np.full((48, 64, 4), number % 256, np.uint8)
            for packet in video.encode(grey, round(start / SAMPLE_RATE * VIDEO_TICKS_PER_S)):
                muxer.write(1, packet)
    for packet in encoder.finish():
        muxer.write(0, packet)
    if video is not None:
        for packet in video.finish():
            muxer.write(1, packet)
    muxer.close()


@dataclass(frozen=True)
class Heard:
    """A decoded track: float (n, channels), where its first sample is played, counted from the start of the file."""

    samples: npt.NDArray[np.float64]
    start_s: float


def read_sound(path: Path) -> Heard:
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        assert stream.rate == SAMPLE_RATE
        # Players count from here; MP3 has no place to write that its first samples are the encoder's own.
        zero_s = (container.start_time or 0) / av.time_base if container.format.name == "mp3" else 0.0
        frames = list(container.decode(stream))
        resampler = av.AudioResampler(format="fltp", layout=stream.layout, rate=SAMPLE_RATE)
        parts = [converted.to_ndarray() for frame in [*frames, None] for converted in resampler.resample(frame)]
        first_s = frames[0].time
        assert first_s is not None
        return Heard(np.concatenate(parts, axis=1).T.astype(float), first_s - zero_s)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("extension", CONTAINERS)
def test_sound_comes_back(extension: str, channels: int, tmp_path: Path) -> None:
    path = tmp_path / f"made.{extension}"
    sound = music(2.05, channels)
    write_sound(path, sound)
    heard = read_sound(path)
    codec = CONTAINERS[extension].audio_codec
    assert heard.samples.shape[1] == channels
    assert heard.start_s == pytest.approx(0, abs=0.001)
    # AAC ends with a whole frame.
    assert 0 <= len(heard.samples) - len(sound) <= (1023 if codec == "aac" else 0)
    decoded = heard.samples[: len(sound)]
    if codec in LOSSLESS:
        assert np.abs(decoded - sound).max() < 1 / 32767
        return
    for channel in range(channels):
        assert np.corrcoef(decoded[:, channel], sound[:, channel])[0, 1] > 0.995
        # LAME turns everything down by 5 % as a reserve against clipping.
        loudness = np.std(decoded[:, channel]) / (0.95 if codec == "mp3" else 1.0)
        assert loudness == pytest.approx(np.std(sound[:, channel]), rel=0.03)


def test_aac_spends_its_bits_where_a_voice_is(tmp_path: Path) -> None:
    times = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    overtones = [np.sin(2 * np.pi * 140 * n * times + n / 2 * np.sin(6 * np.pi * times)) / n for n in range(1, 20)]
    voice = (0.05 * sum(overtones) * (1 + np.sin(4 * np.pi * times))).astype(np.float32)
    write_sound(tmp_path / "voice.m4a", np.stack([voice, voice], axis=1))
    heard = read_sound(tmp_path / "voice.m4a").samples[: len(voice), 0]
    noise = (heard - voice)[SAMPLE_RATE // 10 : -SAMPLE_RATE // 10]
    assert 10 * np.log10(np.mean(voice**2) / np.mean(noise**2)) > 40


@pytest.mark.parametrize(
    ("extension", "with_picture"),
    [*((extension, False) for extension in CONTAINERS), *((extension, True) for extension in WITH_PICTURE)],
)
def test_what_was_heard_at_half_a_second_is_played_then(extension: str, with_picture: bool, tmp_path: Path) -> None:
    path = tmp_path / f"made.{extension}"
    sound = np.zeros((SAMPLE_RATE, 2), np.float32)
    sound[SAMPLE_RATE // 2 : SAMPLE_RATE // 2 + 3] = 0.9
    write_sound(path, sound, with_picture=with_picture)
    heard = read_sound(path)
    peak = int(np.argmax(np.abs(heard.samples[:, 0])))
    assert np.abs(heard.samples[peak, 0]) > 0.2
    assert heard.start_s + peak / SAMPLE_RATE == pytest.approx(0.5, abs=0.001)
    if with_picture:
        with av.open(str(path)) as container:
            first = next(container.decode(video=0))
        assert first.time == pytest.approx(0, abs=0.001)


@pytest.mark.parametrize("codec", AUDIO_CODECS)
def test_the_size_of_blocks_makes_no_difference_to_sound(codec: str) -> None:
    sound = music(1.03, 2)
    streams = []
    for block in (1, 999, len(sound)) if codec == "pcm_s16le" else (777, len(sound)):
        encoder = AudioEncoder(codec, 2)
        packets = [p for start in range(0, len(sound), block) for p in encoder.encode(sound[start : start + block])]
        assert encoder.duration_s == pytest.approx(1.03)
        packets += encoder.finish()
        # PCM packets are as long as what was put in; the samples in them are what counts.
        told = [(packet.pts, bytes(packet)) for packet in packets]
        streams.append([(0, b"".join(data for _, data in told))] if codec == "pcm_s16le" else told)
        assert encoder.duration_s == pytest.approx(1.03)
    assert all(stream == streams[0] for stream in streams)


@pytest.mark.parametrize("codec", AUDIO_CODECS)
def test_sound_packets_follow_each_other_without_a_gap(codec: str) -> None:
    encoder = AudioEncoder(codec, 2)
    packets = [*encoder.encode(music(1, 2)), *encoder.finish()]
    # FLAC's last packet holds no sound, but the checksum of all of it.
    spans = [(packet.pts or 0, packet.duration or 0) for packet in packets if packet.size]
    assert all(pts + length == next_pts for (pts, length), (next_pts, _) in pairwise(spans))
    assert all(length > 0 for _, length in spans)


@pytest.mark.parametrize("codec", AUDIO_CODECS)
def test_sound_reaches_its_packets_within_a_tenth_of_a_second(codec: str) -> None:
    encoder = AudioEncoder(codec, 2)
    packets: list[av.Packet[Any]] = []
    for start in range(0, SAMPLE_RATE, 960):
        packets += encoder.encode(np.zeros((960, 2), np.float32))
        ends = max(((packet.pts or 0) + (packet.duration or 0) for packet in packets), default=0)
        assert (start + 960 - ends) / SAMPLE_RATE < 0.1


def test_sound_louder_than_full_scale_is_limited_to_it() -> None:
    encoder = AudioEncoder("pcm_s16le", 1)
    packets = encoder.encode(np.array([[2.0], [-2.0], [1.0], [-1.0], [0.5]] * 960, np.float32))
    samples = np.frombuffer(b"".join(bytes(packet) for packet in packets), "<i2")
    assert samples[:5].tolist() == [32767, -32767, 32767, -32767, 16384]


def test_no_sound_is_a_file_of_no_length() -> None:
    for codec in AUDIO_CODECS:
        encoder = AudioEncoder(codec, 2)
        assert encoder.encode(np.zeros((0, 2), np.float32)) == []
        assert encoder.duration_s == 0.0
        assert len(encoder.finish()) <= 1


# Pictures

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
    # VP8 knows no matrix but that of BT.601; its decoders believe no label.
    matrix = BT601 if CONTAINERS[extension].video_codec == "vp8" else BT709
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
    assert context.colorspace == (BT601 if codec == "vp8" else BT709)
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


#: Left, top, width, height: at edges and corners, over all of it, on odd places and of one pixel.
PARTS = [
    *((0, 0, 1, 1), (WIDTH - 1, 0, 1, 1), (0, HEIGHT - 1, 1, 1), (WIDTH - 1, HEIGHT - 1, 1, 1)),
    *((0, 0, WIDTH, 1), (0, HEIGHT - 1, WIDTH, 1), (0, 0, 1, HEIGHT), (WIDTH - 1, 0, 1, HEIGHT)),
    *((31, 33, 1, 1), (32, 34, 2, 2), (15, 17, 33, 3), (1, 1, WIDTH - 2, HEIGHT - 2), (0, 0, WIDTH, HEIGHT)),
]


@pytest.mark.parametrize("options", [{}, {"scale": (WIDTH // 2, HEIGHT // 2)}], ids=["as it is", "scaled"])
def test_a_part_that_changed_is_as_good_as_the_whole(options: dict[str, Any]) -> None:
    # The highest quality, so that a pixel that differs makes other packets.
    by_parts, by_wholes = (VideoEncoder("h264", WIDTH, HEIGHT, 30, quality="high", **options) for _ in range(2))
    dice = np.random.default_rng(5)
    picture = dice.integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
    by_parts.encode(picture.copy(), 0)
    by_wholes.encode(picture.copy(), 0)
    random = [
        (left, top, int(dice.integers(1, WIDTH - left + 1)), int(dice.integers(1, HEIGHT - top + 1)))
        for left, top in zip(dice.integers(0, WIDTH, 40).tolist(), dice.integers(0, HEIGHT, 40).tolist(), strict=True)
    ]
    for number, (left, top, width, height) in enumerate([*PARTS, *random], start=1):
        part = dice.integers(0, 256, (height, width, 4), np.uint8)
        picture[top : top + height, left : left + width] = part
        (expected,) = by_wholes.encode(picture.copy(), number * SLOT)
        (found,) = by_parts.encode(part, number * SLOT, left, top)
        assert bytes(found) == bytes(expected), f"{width}x{height}+{left}+{top}"


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_what_is_around_a_part_stays(codec: str) -> None:
    def encode(encoder: VideoEncoder) -> list[av.Packet[Any]]:
        part = np.full((40, 50, 4), 40, np.uint8)
        return [*encoder.encode(plain(200), 0), *encoder.encode(part, SLOT, 33, 21), *encoder.repeat(2 * SLOT)]

    for picture in encoded_and_decoded(codec, encode, quality="high")[1:]:
        assert abs(int(picture[23:59, 35:81].mean()) - 40) <= 3
        picture[21:61, 33:83] = 200
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


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_key_frames_come_by_time_and_not_by_count(codec: str) -> None:
    encoder = VideoEncoder(codec, 64, 48, 30)
    random = np.random.default_rng(2)
    moments_s = np.cumsum(random.choice([0.01, 0.033, 0.1, 0.6], 150))
    keys_s: list[float] = []
    for number, at_s in enumerate(moments_s):
        (packet,) = encoder.encode(np.full((48, 64, 4), number % 256, np.uint8), round(at_s * VIDEO_TICKS_PER_S))
        assert packet.is_keyframe or at_s - keys_s[-1] < KEY_FRAME_INTERVAL_S
        if packet.is_keyframe:
            keys_s.append(at_s)
    assert len(keys_s) > 10


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_a_still_picture_has_fewer_key_frames(codec: str) -> None:
    encoder = VideoEncoder(codec, 64, 48, 30)
    encoder.encode(np.full((48, 64, 4), 9, np.uint8), 0)
    keys = []
    for tenths in range(6, 260, 6):
        (packet,) = encoder.repeat(tenths * VIDEO_TICKS_PER_S // 10)
        keys += [tenths / 10] if packet.is_keyframe else []
    assert keys == pytest.approx([10.2, 20.4])
    assert keys[0] >= STILL_KEY_FRAME_INTERVAL_S
    (packet,) = encoder.encode(np.full((48, 64, 4), 90, np.uint8), 26 * VIDEO_TICKS_PER_S)
    assert packet.is_keyframe, "when it changes again the last one is long ago"


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_a_picture_that_came_to_rest_has_a_key_frame_soon_and_then_few(codec: str) -> None:
    encoder = VideoEncoder(codec, 64, 48, 30)
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
    encoder = VideoEncoder(codec, WIDTH, HEIGHT, 30)
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


def test_auto_takes_what_always_works() -> None:
    encoder = VideoEncoder("h264", 64, 48, 30)
    assert (encoder.codec, encoder.encoder) == ("h264", "libx264")


def test_a_frame_that_goes_back_in_time_is_refused() -> None:
    encoder = VideoEncoder("vp8", 64, 48, 30)
    encoder.encode(np.zeros((48, 64, 4), np.uint8), 90_000)
    with pytest.raises(EncoderError, match="libvpx"):
        encoder.encode(np.zeros((48, 64, 4), np.uint8), 0)
