"""Grain is coded more coarsely, as long as it moves, and nothing else is."""

from __future__ import annotations

from typing import Any, cast

import av
import numpy as np
import pytest

from capture.codecs.quantiser_choice import COSTLY_BYTES, FIRST_STAY_S, LEAST_PICTURES, REST_S, QuantiserChoice
from capture.codecs.video_context import VideoContext
from capture.codecs.video_encoder import VideoEncoder
from capture.formats import QUALITIES
from capture.media import VIDEO_TICKS_PER_S, Pixels

FPS = 30
MACROBLOCKS = 8160

#: How many bytes a picture takes with the usual and with the coarse quantiser.
GRAIN = (560_000, 280_000)
FLOODED_TERMINAL = (90_000, 80_000)
TYPING = (500, 500)


class Screen:
    """Steps a choice through what a screen shows, with a key frame every two seconds or when one is wanted."""

    def __init__(self) -> None:
        self.choice = QuantiserChoice(MACROBLOCKS)
        self.slot = 0
        self.key_slot = -1000
        self.early_keys = 0

    @property
    def pts(self) -> int:
        return self.slot * VIDEO_TICKS_PER_S // FPS

    def show(
        self, content: tuple[int, int], seconds: float, *, is_settled: bool = True, repeated_every: int = 1000
    ) -> float:
        """Return for how much of the time the quantiser was coarse."""
        coarse, count = 0, round(seconds * FPS)
        for step in range(1, count + 1):
            wanted = self.choice.wants_key(self.pts, may_be_coarse=is_settled)
            if wanted or self.slot - self.key_slot >= 2 * FPS:
                self.early_keys += wanted
                self.choice.choose(self.pts, may_be_coarse=is_settled)
                self.choice.note(2 * content[0], self.pts, is_key=True)
                self.key_slot = self.slot
            elif step % repeated_every:
                self.choice.note(content[self.choice.is_coarse], self.pts, is_key=False)
            coarse += self.choice.is_coarse
            self.slot += 1
        return coarse / count


def test_grain_is_coded_coarsely_once_the_search_has_settled() -> None:
    screen = Screen()
    assert screen.show(GRAIN, 60, is_settled=False) == 0
    screen.show(GRAIN, 2 / FPS)
    assert screen.choice.is_coarse
    assert screen.show(GRAIN, 60) > 0.95
    assert screen.show(GRAIN, 600) > 0.98


@pytest.mark.parametrize("content", [FLOODED_TERMINAL, TYPING, (round(COSTLY_BYTES * MACROBLOCKS) - 1, 1)])
def test_nothing_else_is_coded_coarsely(content: tuple[int, int]) -> None:
    assert Screen().show(content, 60) == 0


def test_a_picture_that_comes_to_rest_is_coded_finely_at_once() -> None:
    screen = Screen()
    screen.show(GRAIN, 10)
    assert screen.choice.is_coarse
    last_pts = screen.pts - VIDEO_TICKS_PER_S // FPS
    rested_pts = last_pts + round(REST_S * VIDEO_TICKS_PER_S)
    assert not screen.choice.wants_key(rested_pts - 1, may_be_coarse=True)
    assert screen.choice.wants_key(rested_pts, may_be_coarse=True)
    screen.choice.choose(rested_pts, may_be_coarse=True)
    assert not screen.choice.is_coarse


def test_a_film_with_fewer_pictures_than_slots_does_not_rest() -> None:
    screen = Screen()
    screen.show(GRAIN, 4)
    keys = screen.early_keys
    assert screen.show(GRAIN, 10, repeated_every=5) == 1
    assert screen.early_keys == keys


def test_what_follows_the_grain_is_coded_finely_within_half_a_second() -> None:
    screen = Screen()
    screen.show(GRAIN, 10)
    screen.show(FLOODED_TERMINAL, (LEAST_PICTURES + 1) / FPS)
    assert not screen.choice.is_coarse
    assert screen.show(FLOODED_TERMINAL, 60) == 0


def test_the_usual_quantiser_is_tried_again() -> None:
    # What follows takes as much with the coarse quantiser as the grain did, so only the other one shows the difference.
    screen = Screen()
    screen.show(GRAIN, 4)
    screen.show((150_000, 280_000), FIRST_STAY_S)
    assert not screen.choice.is_coarse
    assert screen.show((150_000, 280_000), 60) == 0


def test_two_key_frames_in_a_row_are_made_by_one_encoder() -> None:
    screen = Screen()
    screen.show(GRAIN, 10)
    screen.choice.note(1_000_000, screen.pts, is_key=True)
    later = screen.pts + VIDEO_TICKS_PER_S
    assert not screen.choice.wants_key(later, may_be_coarse=True)
    screen.choice.choose(later, may_be_coarse=True)
    assert screen.choice.is_coarse


def test_the_coarse_quantiser_has_the_same_parameters() -> None:
    contexts = [
        VideoContext("libx264", 320, 160, 30, "medium", is_narrow=coarse, is_coarse=coarse) for coarse in (False, True)
    ]
    usual, coarse = (context.stream.codec_context for context in contexts)
    assert usual.extradata
    assert usual.extradata == coarse.extradata
    for context in contexts:
        context.close()


def grainy(number: int) -> Pixels:
    """Return colours that flow under grain."""
    y, x = np.mgrid[0:160, 0:320].astype(np.float32)
    waves = [127 + 90 * np.sin((x * a + y * b) / 40 + number / 5) for a, b in ((1, 0), (0, 1), (1, 1), (0, 0))]
    grain = np.random.default_rng(number).normal(0, 14, (160, 320, 1))
    return cast(Pixels, np.clip(np.stack(waves, -1) + grain, 0, 255).astype(np.uint8))


def encoded(quality: str, pictures: int = 150) -> tuple[VideoEncoder, list[av.Packet[Any]], list[bool]]:
    """Encode a film with grain that comes to rest, and whether each of its pictures is coarse."""
    encoder = VideoEncoder("h264", 320, 160, FPS, quality=quality)
    packets, coarse = [], []
    for number in range(pictures):
        packets += encoder.encode(grainy(number), number * VIDEO_TICKS_PER_S // FPS)
        coarse.append(encoder._context.is_coarse)
    packets += encoder.repeat(round((pictures / FPS + REST_S) * VIDEO_TICKS_PER_S))
    packets += encoder.finish()
    return encoder, packets, coarse


def errors_of(encoder: VideoEncoder, packets: list[av.Packet[Any]]) -> list[float]:
    """Return how far the brightness of each decoded picture is off, of 255 levels; the last one is a repeat."""
    context = av.CodecContext.create("h264", "r")
    context.extradata = encoder.template.codec_context.extradata
    context.options = {"err_detect": "explode"}
    found = [cast(Pixels, frame.to_ndarray()) for packet in [*packets, None] for frame in context.decode(packet)]
    originals = [grainy(number) for number in range(len(found) - 1)]
    brightness = [each[..., :3] @ np.array([0.114, 0.587, 0.299]) * 219 / 255 + 16 for each in originals]
    pairs = zip(found, [*brightness, brightness[-1]], strict=True)
    return [float(np.abs(picture[:160].astype(float) - original).mean()) for picture, original in pairs]


def test_a_film_with_grain_takes_far_fewer_bytes_and_rests_sharp() -> None:
    encoder, packets, coarse = encoded("medium")
    errors = errors_of(encoder, packets)
    assert len(packets) == 151
    assert 0.2 < np.mean(coarse) < 1
    assert coarse[-1]
    sizes = np.array([packet.size for packet in packets[:-1]])
    predicted = np.array([not packet.is_keyframe for packet in packets[:-1]])
    assert sizes[predicted & coarse].mean() < 0.7 * sizes[predicted & ~np.array(coarse)].mean()
    assert packets[-1].is_keyframe
    assert errors[-1] < 0.7 * np.mean(np.array(errors[:-1])[coarse])
    assert max(errors) < 6


@pytest.mark.parametrize("quality", [each for each in QUALITIES if each != "medium"])
def test_only_medium_quality_has_a_coarser_quantiser(quality: str) -> None:
    _, _, coarse = encoded(quality)
    assert not any(coarse)
