"""Decoders show the inserted pictures exactly, and the encoder's own pictures as if nothing was inserted."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from av.codec.context import Flags
from av.video.reformatter import VideoReformatter

from capture.codecs import h264_units
from capture.codecs.h264_slices import SliceWriter
from capture.codecs.video_encoder import PATCH_BYTES_PER_S, PATCH_BYTES_SAVED, VideoEncoder, is_repeat
from capture.errors import EncoderError
from capture.formats import CONTAINERS
from capture.media import Pixels
from capture.output.muxer import Muxer
from capture.pixels.yuv import reformatted

WIDTH, HEIGHT = 320, 160
SLOT = 3000

#: A frame rate high enough for several slices per picture.
SLICED_FPS = 60 * 81


def noise(seed: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)


def encoded(plan: Sequence[bool], fps: float = 30, **options: Any) -> tuple[VideoEncoder, list[av.Packet[Any]]]:
    """Make a packet for each step of `plan`: a new picture if true, otherwise a repeat of the last one."""
    encoder = VideoEncoder("h264", WIDTH, HEIGHT, fps, **options)
    packets = []
    for number, changed in enumerate(plan):
        packets += encoder.encode(noise(number), number * SLOT) if changed else encoder.repeat(number * SLOT)
    assert [is_repeat(packet) for packet in packets] == [not changed for changed in plan]
    return encoder, packets


def decoded(encoder: VideoEncoder, packets: Sequence[av.Packet[Any]]) -> list[Pixels]:
    decoder = av.CodecContext.create("h264", "r")
    decoder.extradata = encoder.template.codec_context.extradata
    decoder.options = {"err_detect": "explode"}
    frames = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    return [cast(Pixels, frame.to_ndarray()) for frame in frames]


def plans() -> list[list[bool]]:
    dice = np.random.default_rng(3)
    random = [[True, *(dice.random(90) < share).tolist()] for share in (0.1, 0.5, 0.9)]
    # Picture numbers have four bits: forty of each kind in a row wrap more than once.
    return [*random, [True] + [False] * 40 + [True] * 40 + [False] * 3 + [True]]


@pytest.mark.parametrize("fps", [30, SLICED_FPS], ids=["whole", "slices"])
@pytest.mark.parametrize("cuttable", [False, True])
@pytest.mark.parametrize("plan", plans(), ids=["few changes", "half", "most", "in long runs"])
def test_inserted_pictures_do_not_change_the_encoders_own(plan: list[bool], cuttable: bool, fps: float) -> None:
    encoder, packets = encoded(plan, fps, cuttable=cuttable)
    if fps == SLICED_FPS:
        assert bytes(packets[0]).count(b"\0\0\1") > 2, "the test needs several slices"
    found = decoded(encoder, packets)
    assert len(found) == len(plan)
    # Encode the same without the inserted pictures, but with the repeats that became key frames.
    kept = [n for n, packet in enumerate(packets) if plan[n] or packet.is_keyframe]
    alone = VideoEncoder("h264", WIDTH, HEIGHT, fps, cuttable=cuttable)
    expected_packets = [
        packet for n in kept for packet in (alone.encode(noise(n), n * SLOT) if plan[n] else alone.repeat(n * SLOT))
    ]
    expected = decoded(alone, expected_packets)
    shown = -1
    for number in range(len(plan)):
        shown += number in kept
        assert np.array_equal(found[number], expected[shown]), f"picture {number}"


#: A picture whose width and height are not multiples of a macroblock, and spots in it: left, top, width, height.
ODD_WIDTH, ODD_HEIGHT = 330, 154
SPOTS = [
    (0, 0, 2, 2),
    (ODD_WIDTH - 2, ODD_HEIGHT - 2, 2, 2),
    (14, 30, 4, 4),
    (0, ODD_HEIGHT - 2, 60, 2),
    (328, 20, 2, 40),
]


@dataclass(frozen=True)
class Typed:
    """The packets for a picture in which spots changed now and then, and the pictures that went in."""

    encoder: VideoEncoder
    packets: list[av.Packet[Any]]
    #: Each picture in YUV, its planes stacked, and how it was encoded: `all`, `spot` or `repeat`.
    shown: list[Pixels]
    kinds: list[str]


def typed(count: int = 400, fps: float = 30) -> Typed:
    encoder = VideoEncoder("h264", ODD_WIDTH, ODD_HEIGHT, fps, quality="high")
    scaler = VideoReformatter()
    dice = np.random.default_rng(4)
    picture = dice.integers(0, 256, (ODD_HEIGHT, ODD_WIDTH, 4), np.uint8)
    packets, shown, kinds = [], [], []
    for number in range(count):
        kind = "all" if number == 0 else str(dice.choice(["all", "spot", "repeat"], p=[0.2, 0.5, 0.3]))
        if kind == "all":
            picture = np.roll(picture, 3, axis=0) if number % 2 else picture ^ np.uint8(number % 256)
            made = encoder.encode(picture.copy(), number * SLOT)
        elif kind == "spot":
            if number % 3 == 0:
                left, top, width, height = SPOTS[number % len(SPOTS)]
            else:
                left, top, width, height = (
                    2 * int(dice.integers(0, most // 2)) for most in (ODD_WIDTH - 40, ODD_HEIGHT - 40, 40, 40)
                )
            part = dice.integers(0, 256, (height + 2, width + 2, 4), np.uint8)[: ODD_HEIGHT - top, : ODD_WIDTH - left]
            picture[top : top + part.shape[0], left : left + part.shape[1]] = part
            made = encoder.encode(part, number * SLOT, left, top)
        else:
            made = encoder.repeat(number * SLOT)
        packets += made
        kinds.append(kind)
        shown.append(cast(Pixels, reformatted(scaler, picture.copy(), (ODD_WIDTH, ODD_HEIGHT)).to_ndarray()).copy())
    return Typed(encoder, packets, shown, kinds)


@pytest.mark.parametrize("fps", [30, SLICED_FPS], ids=["whole", "slices"])
def test_small_changes_are_exact_to_the_bit(fps: float) -> None:
    made = typed(fps=fps)
    found = decoded(made.encoder, made.packets)
    assert len(found) == len(made.shown)
    exact = 0
    for number, (picture, wanted) in enumerate(zip(found, made.shown, strict=True)):
        # Each picture is as good as the encoder makes it, because none is predicted from an inserted one.
        error = np.abs(picture.astype(int) - wanted)
        assert error.mean() < 3, f"picture {number}, {made.kinds[number]}"
        if made.kinds[number] == "repeat" and not made.packets[number].is_keyframe:
            assert np.array_equal(picture, found[number - 1])
        elif made.kinds[number] == "spot":
            differs = made.shown[number] != made.shown[number - 1]
            # When the byte budget was used up, the encoder made the picture.
            was_exact = np.array_equal(picture[differs], wanted[differs])
            exact += was_exact
    assert exact > 50


def test_small_changes_stay_within_their_byte_budget() -> None:
    encoder = VideoEncoder("h264", 1920, 1080, 30)
    dice = np.random.default_rng(8)
    encoder.encode(dice.integers(0, 256, (1080, 1920, 4), np.uint8), 0)
    sizes = []
    for number in range(1, 1800):
        spot = dice.integers(0, 256, (20, 20, 4), np.uint8)
        (packet,) = encoder.encode(spot, number * SLOT, 1000, 500)
        sizes.append(packet.size if not packet.is_keyframe else 0)
    samples = [size for size in sizes if size > 1536]
    assert len(samples) > 300
    assert sum(samples) < 1.05 * (PATCH_BYTES_SAVED + 60 * PATCH_BYTES_PER_S)


def test_a_repeat_takes_less_than_20_bytes() -> None:
    encoder, packets = encoded([True] + [False] * 100)
    assert all(packet.size < 20 for packet in packets[1:] if not packet.is_keyframe)
    big = VideoEncoder("h264", 1920, 1080, 30)
    big.encode(np.zeros((1080, 1920, 4), np.uint8), 0)
    (packet,) = big.repeat(SLOT)
    assert packet.size < 20
    assert not encoder.finish()


def test_the_ffmpeg_program_decodes_small_changes_to_the_same_pictures(tmp_path: Path) -> None:
    made = typed()
    path = tmp_path / "typed.mp4"
    muxer = Muxer(path, CONTAINERS["mp4"])
    muxer.start([made.encoder.template])
    for packet in made.packets:
        muxer.write(0, packet)
    muxer.close()
    decoding = ["ffmpeg", "-v", "warning", "-xerror", "-err_detect", "explode", "-i", str(path)]
    done = subprocess.run(
        [*decoding, "-fps_mode", "passthrough", "-pix_fmt", "yuv420p", "-f", "rawvideo", "-"],
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    pictures = np.frombuffer(done.stdout, np.uint8).reshape(len(made.shown), ODD_HEIGHT * 3 // 2, ODD_WIDTH)
    for number, (picture, expected) in enumerate(zip(pictures, decoded(made.encoder, made.packets), strict=True)):
        assert np.array_equal(picture, expected), f"picture {number}, {made.kinds[number]}"


def test_the_ffmpeg_program_decodes_repeats_without_errors(tmp_path: Path) -> None:
    plan = plans()[1]
    encoder, packets = encoded(plan)
    path = tmp_path / "made.mp4"
    muxer = Muxer(path, CONTAINERS["mp4"])
    muxer.start([encoder.template])
    for packet in packets:
        muxer.write(0, packet)
    muxer.close()
    decoding = ["ffmpeg", "-v", "warning", "-xerror", "-err_detect", "explode", "-i", str(path)]
    done = subprocess.run(
        [*decoding, "-fps_mode", "passthrough", "-f", "framehash", "-"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    hashes = [line.split(",")[-1].strip() for line in done.stdout.splitlines() if not line.startswith("#")]
    assert len(hashes) == len(plan)
    for number, changed in enumerate(plan[1:], start=1):
        # A repeat may be a key frame, which is encoded again.
        if not changed and not packets[number].is_keyframe:
            assert hashes[number] == hashes[number - 1]
        elif changed:
            assert hashes[number] != hashes[number - 1]


def test_payloads_never_contain_a_start_code() -> None:
    writer = SliceWriter(
        macroblocks=1 << 20, number_bits=4, controls_deblocking=True, takes_macroblocks=False, has_one_reference=True
    )
    for _ in range(40):
        picture = writer.picture()
        payload = picture[4:]
        assert b"\0\0\1" not in payload
        assert b"\0\0\0" not in payload
        assert b"\0\0\2" not in payload


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"x264-params": "cabac=1"}, id="arithmetic coding"),
        pytest.param({"x264-params": "bframes=2"}, id="pictures out of order"),
        pytest.param({"x264-params": "weightp=2"}, id="weights"),
        pytest.param({"x264-params": "interlaced=1"}, id="fields"),
    ],
)
def test_streams_with_unsupported_features_have_no_slice_writer(options: dict[str, str]) -> None:
    assert SliceWriter.of(parameters_of({"preset": "ultrafast", **options})) is None


def test_truncated_parameter_sets_have_no_slice_writer() -> None:
    whole = parameters_of({"preset": "ultrafast"})
    assert SliceWriter.of(whole) is not None
    second = whole.index(b"\0\0\1", 4)
    for length in range(second + 5):
        assert SliceWriter.of(whole[:length]) is None


def parameters_of(options: dict[str, str]) -> bytes:
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = 64, 64, "yuv420p"
    context.time_base = Fraction(1, 30)
    context.options = options
    context.flags |= Flags.global_header
    context.open()
    return bytes(context.extradata or b"")


@pytest.mark.parametrize("unit", [b"\x65", b"\x41", b"\x41\0\0"], ids=["key frame", "nothing", "no end"])
def test_a_slice_that_is_cut_off_cannot_be_followed(unit: bytes) -> None:
    encoder, _ = encoded([True])
    writer = SliceWriter.of(bytes(encoder.template.codec_context.extradata or b""), from_last_alone=True)
    assert writer is not None
    with pytest.raises(EncoderError, match=r"its H\.264 is damaged"):
        writer.followed(b"\0\0\0\1" + unit)


def test_parameters_that_are_cut_off_are_none() -> None:
    whole = b"\1\x42\0\x1e\xff\xe1\0\2\x67\x42\1\0\2\x68\xce"
    assert h264_units.parameters_of(whole) == b"\0\0\0\1\x67\x42\0\0\0\1\x68\xce"
    for length in range(len(whole)):
        h264_units.parameters_of(whole[:length])
