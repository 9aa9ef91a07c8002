"""Pictures that were put between an encoder's: every decoder shows the last one again, and those after as they were."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
from av.codec.context import Flags

from capture.encoder import VideoEncoder, is_repeat
from capture.media import Pixels
from capture.muxer import Muxer
from capture.repeats import Repeats
from capture.settings import CONTAINERS

WIDTH, HEIGHT = 320, 160
SLOT = 3000

#: Enough frames a second for several slices a picture.
SLICED_FPS = 60 * 81


def noise(seed: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)


def encoded(plan: Sequence[bool], fps: float = 30, **options: Any) -> tuple[VideoEncoder, list[av.Packet[Any]]]:
    """A packet for each step of `plan`: a new picture where it is true, else the last one once more."""
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
    # Picture numbers have four bits: forty of each kind in a row go round more than once.
    return [*random, [True] + [False] * 40 + [True] * 40 + [False] * 3 + [True]]


@pytest.mark.parametrize("fps", [30, SLICED_FPS], ids=["whole", "slices"])
@pytest.mark.parametrize("cuttable", [False, True])
@pytest.mark.parametrize("plan", plans(), ids=["few changes", "half", "most", "in long runs"])
def test_every_picture_is_what_the_encoder_alone_would_have_made(plan: list[bool], cuttable: bool, fps: float) -> None:
    encoder, packets = encoded(plan, fps, cuttable=cuttable)
    if fps == SLICED_FPS:
        assert bytes(packets[0]).count(b"\0\0\1") > 2, "one slice is no test"
    found = decoded(encoder, packets)
    assert len(found) == len(plan)
    # The same without what was put in between, but with the key frames that a repeat was made of.
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


def test_a_repeat_takes_next_to_nothing() -> None:
    encoder, packets = encoded([True] + [False] * 100)
    assert all(packet.size < 20 for packet in packets[1:] if not packet.is_keyframe)
    big = VideoEncoder("h264", 1920, 1080, 30)
    big.encode(np.zeros((1080, 1920, 4), np.uint8), 0)
    (packet,) = big.repeat(SLOT)
    assert packet.size < 20
    assert not encoder.finish()


def test_another_decoder_finds_nothing_wrong(tmp_path: Path) -> None:
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
        # A repeat may be a key frame, which is coded anew.
        if not changed and not packets[number].is_keyframe:
            assert hashes[number] == hashes[number - 1]
        elif changed:
            assert hashes[number] != hashes[number - 1]


def test_payloads_that_look_like_a_beginning_are_guarded() -> None:
    repeats = Repeats(macroblocks=1 << 20, number_bits=4, tells_deblocking=True)
    for _ in range(40):
        picture = repeats.picture()
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
def test_a_stream_of_another_kind_is_left_to_its_encoder(options: dict[str, str]) -> None:
    assert Repeats.of(parameters_of({"preset": "ultrafast", **options})) is None


def test_what_are_no_parameters_is_left_alone() -> None:
    whole = parameters_of({"preset": "ultrafast"})
    assert Repeats.of(whole) is not None
    second = whole.index(b"\0\0\1", 4)
    for length in range(second + 5):
        assert Repeats.of(whole[:length]) is None


def parameters_of(options: dict[str, str]) -> bytes:
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = 64, 64, "yuv420p"
    context.time_base = Fraction(1, 30)
    context.options = options
    context.flags |= Flags.global_header
    context.open()
    return bytes(context.extradata or b"")
