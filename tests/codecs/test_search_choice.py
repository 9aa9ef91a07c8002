"""The search for motion follows what is on the screen, and no decoder notices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import av
import numpy as np
import pytest

from capture.codecs.search_choice import (
    FAR_LARGER_PICTURES,
    FIRST_WAIT_S,
    HURRIED_S,
    LEAST_NEW_BYTES,
    LEAST_PICTURES,
    LONGEST_WAIT_S,
    SearchChoice,
)
from capture.codecs.video_context import VideoContext
from capture.codecs.video_encoder import VideoEncoder
from capture.formats import QUALITIES
from capture.media import VIDEO_TICKS_PER_S, Pixels

KEY_BYTES = 100_000
FPS = 30

#: How many bytes a picture takes with the wide and with the narrow search.
FILM = (40_000, 40_000)
FILM_IN_WHICH_MORE_IS_FOUND = (60_000, 80_000)
SCROLLED_PAGE = (5_000, 40_000)
TYPING = (500, 500)


class Screen:
    """Steps a choice through what a screen shows, with a key frame every two seconds or when one is wanted."""

    def __init__(self) -> None:
        self.choice = SearchChoice()
        self.number = 0
        self.key_number = -1000
        self.early_keys = 0
        self.returns_to_wide = 0

    @property
    def pts(self) -> int:
        return self.number * VIDEO_TICKS_PER_S // FPS

    def show(
        self,
        content: tuple[int, int],
        seconds: float,
        hurried: Callable[[int], bool] = lambda n: False,
        *,
        key_bytes: int = KEY_BYTES,
    ) -> float:
        """Return how much of the time was searched narrowly."""
        narrow = 0
        count = round(seconds * FPS)
        for step in range(count):
            if hurried(step):
                self.choice.hurry(self.pts)
            wanted = self.choice.wants_key(self.pts)
            if wanted or self.number - self.key_number >= 2 * FPS:
                self.early_keys += wanted
                was_narrow = self.choice.is_narrow
                self.choice.choose(self.pts)
                self.returns_to_wide += was_narrow and not self.choice.is_narrow
                self.choice.note(key_bytes, is_key=True)
                self.key_number = self.number
            else:
                self.choice.note(content[self.choice.is_narrow], is_key=False)
            narrow += self.choice.is_narrow
            self.number += 1
        return narrow / count


@pytest.mark.parametrize("content", [SCROLLED_PAGE, TYPING])
def test_a_page_is_always_searched_widely(content: tuple[int, int]) -> None:
    screen = Screen()
    assert screen.show(content, 60) == 0
    assert screen.early_keys == 0


def test_a_film_is_searched_narrowly_with_ever_rarer_trials() -> None:
    screen = Screen()
    first, later = screen.show(FILM, 60), screen.show(FILM, 600)
    assert first > 0.93
    assert later > 0.99
    # Each trial of the wide search ends as soon as it is known to have failed.
    assert screen.early_keys == screen.returns_to_wide < 15


def test_a_film_that_is_new_in_each_picture_is_searched_narrowly_at_once() -> None:
    screen = Screen()
    screen.show((60_000, 60_000), (LEAST_PICTURES + 2) / FPS)
    assert screen.choice.is_narrow


def test_a_plain_screen_has_no_early_key_frames() -> None:
    screen = Screen()
    screen.show((LEAST_NEW_BYTES - 1, LEAST_NEW_BYTES - 1), 1.9, key_bytes=LEAST_NEW_BYTES)
    assert screen.early_keys == 0


def test_a_film_in_which_the_wide_search_finds_more_keeps_it() -> None:
    screen = Screen()
    assert screen.show(FILM_IN_WHICH_MORE_IS_FOUND, 60) < 0.2
    assert screen.show(FILM_IN_WHICH_MORE_IS_FOUND, 600) < 0.05


def test_the_wide_search_returns_at_once_where_it_finds_far_more() -> None:
    # A page of which a quarter is new in each picture is taken for a film at first.
    screen = Screen()
    screen.show((25_000, 90_000), 2 + (FAR_LARGER_PICTURES + 1) / FPS)
    assert screen.choice.is_narrow
    screen.show((25_000, 90_000), 2 / FPS)
    assert not screen.choice.is_narrow
    assert screen.early_keys == 1


def test_a_page_after_a_film_is_searched_widely_within_half_a_second() -> None:
    screen = Screen()
    screen.show(FILM, 60)
    assert screen.choice.is_narrow
    screen.show((5_000, 90_000), (LEAST_PICTURES + 3 + 2 * FPS) / FPS)
    assert not screen.choice.is_narrow
    assert screen.show(SCROLLED_PAGE, 60) == 0


def test_a_film_in_which_a_seventh_is_new_is_searched_narrowly() -> None:
    screen = Screen()
    assert screen.show((13_000, 12_000), 60) > 0.8


def test_a_film_that_moves_now_more_now_less_is_searched_narrowly() -> None:
    screen = Screen()
    shares = [screen.show((size, size), 3) for size in (8_000, 19_000, 12_000, 17_000) for _ in range(10)]
    assert np.mean(shares[2:]) > 0.7


def test_a_film_that_begins_dark_is_searched_narrowly() -> None:
    # In the middle of the first trial, the pictures grow for a reason of their own.
    screen = Screen()
    screen.show((20_000, 20_000), 2 + LEAST_PICTURES / FPS)
    assert screen.show((60_000, 60_000), 60) > 0.85


def test_a_film_that_goes_on_after_a_calm_is_searched_narrowly_at_once() -> None:
    screen = Screen()
    screen.show(FILM, 10)
    screen.show(TYPING, 4)
    assert not screen.choice.is_narrow
    assert screen.show(FILM, 5) > 0.5


def test_a_page_that_is_taken_for_a_film_costs_few_pictures() -> None:
    screen = Screen()
    # A terminal that is flooded: an eighth of it is new in each picture.
    assert screen.show((13_000, 90_000), 600) * 600 * FPS < 20 * (FAR_LARGER_PICTURES + 1)


def test_after_a_film_the_wide_search_returns_with_the_calm() -> None:
    screen = Screen()
    screen.show(FILM, 10)
    screen.show(TYPING, 4)
    assert screen.show(TYPING, 30) == 0
    # And what was learned of the last film is forgotten.
    assert screen.show(FILM, FIRST_WAIT_S) > 0.5


def test_an_encoder_that_is_behind_searches_narrowly_at_once_and_for_a_while() -> None:
    screen = Screen()
    screen.show(SCROLLED_PAGE, 1)
    screen.show(SCROLLED_PAGE, 0.2, hurried=lambda step: step == 0)
    assert screen.choice.is_narrow
    assert screen.early_keys == 1
    assert screen.show(SCROLLED_PAGE, HURRIED_S - 1) == 1
    screen.show(SCROLLED_PAGE, LONGEST_WAIT_S)
    assert not screen.choice.is_narrow


def test_two_key_frames_in_a_row_are_made_by_one_encoder() -> None:
    choice = SearchChoice()
    choice.hurry(0)
    choice.note(KEY_BYTES, is_key=True)
    choice.choose(3000)
    assert not choice.is_narrow


@pytest.mark.parametrize("quality", QUALITIES)
def test_both_searches_have_the_same_parameters(quality: str) -> None:
    contexts = [VideoContext("libx264", 320, 160, 30, quality, is_narrow=narrow) for narrow in (False, True)]
    wide, narrow = (context.stream.codec_context for context in contexts)
    assert wide.extradata
    assert wide.extradata == narrow.extradata
    for context in contexts:
        context.close()


def film(number: int) -> Pixels:
    """Return a picture of colours that flow, with grain."""
    y, x = np.mgrid[0:160, 0:320].astype(np.float32)
    waves = [127 + 100 * np.sin((x * a + y * b) / 40 + number / 5) for a, b in ((1, 0), (0, 1), (1, 1), (0, 0))]
    grain = np.random.default_rng(number).normal(0, 9, (160, 320, 1))
    return cast(Pixels, np.clip(np.stack(waves, -1) + grain, 0, 255).astype(np.uint8))


def decoded(encoder: VideoEncoder, packets: list[av.Packet[Any]]) -> list[Pixels]:
    context = av.CodecContext.create("h264", "r")
    context.extradata = encoder.template.codec_context.extradata
    context.options = {"err_detect": "explode"}
    return [cast(Pixels, frame.to_ndarray()) for packet in [*packets, None] for frame in context.decode(packet)]


def test_a_film_with_still_and_typed_pictures_shows_them_all() -> None:
    encoder = VideoEncoder("h264", 320, 160, FPS, cuttable=True)
    shown: list[Pixels] = []
    packets: list[av.Packet[Any]] = []
    narrow = []
    for number in range(150):
        at = number * VIDEO_TICKS_PER_S // FPS
        if number % 20 == 19:
            packets += encoder.repeat(at)
            shown.append(shown[-1])
        elif number % 20 == 18:
            spot = np.full((4, 4, 4), number, np.uint8)
            packets += encoder.encode(spot, at, 16, 16)
            picture = shown[-1].copy()
            picture[16:20, 16:20] = number
            shown.append(picture)
        else:
            shown.append(film(number))
            packets += encoder.encode(shown[-1], at)
        narrow.append(encoder._context.is_narrow)
    assert 0.2 < np.mean(narrow) < 1
    assert len(packets) == len(shown)
    found = decoded(encoder, packets)
    encoder.close()
    for picture, original in zip(found, shown, strict=True):
        brightness = original[..., :3] @ np.array([0.114, 0.587, 0.299]) * 219 / 255 + 16
        assert np.abs(picture[:160].astype(float) - brightness).mean() < 4


def test_the_narrow_search_is_left_out_when_its_encoder_cannot_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = VideoEncoder("h264", 320, 160, FPS, cuttable=True)

    opened = encoder._open

    def fail(**options: Any) -> VideoContext:
        if options.get("is_narrow"):
            raise av.error.MemoryError(12, "Cannot allocate memory")
        return opened(**options)

    monkeypatch.setattr(encoder, "_open", fail)
    packets = [p for n in range(100) for p in encoder.encode(film(n), n * VIDEO_TICKS_PER_S // FPS)]
    assert len(packets) == 100
    assert encoder._search is None
    encoder.close()
