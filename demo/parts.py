"""The moving parts of the demo's picture. Each paints its static pixels once and then draws only what has changed.

That leaves the processor to the recorder.
"""

from __future__ import annotations

from itertools import pairwise
from math import cos, pi, sin
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from demo.canvas import Canvas, Colour, blend
from demo.stage import BRIGHT, CARD, DIM, FAINT, TEAL, VIOLET, Stage
from demo.voice import RATE, Voice

__all__ = ["Clock", "Note", "Part", "Spectrum", "Words"]


class Part(Protocol):
    """A part of the picture. Moments are seconds from the start of the voice and never decrease."""

    def paint(self, canvas: Canvas) -> None:
        """Draw the static pixels onto the window's background."""
        ...

    def draw(self, at_s: float) -> None:
        """Update the part to the moment `at_s`."""
        ...


class Clock:
    """A ring that fills while the voice plays, with the elapsed seconds in its middle."""

    DOTS: Final = 60
    RADIUS: Final = 138
    #: Less than the distance between dots, or a dot would cut into its neighbour.
    DOT: Final = 12
    MIDDLE: Final = (248, 300)
    SIZE: Final = 84

    def __init__(self, stage: Stage, voice: Voice) -> None:
        self._stage = stage
        self._duration_s = voice.duration_s
        self._lit = 0
        self._shown = "    "
        digit, point = stage.px(self.SIZE * 0.64), stage.px(self.SIZE * 0.34)
        self._widths = (digit, digit, point, digit)
        self._glyphs = {
            glyph: stage.on_card(mask, BRIGHT, point if glyph == "." else digit)
            for glyph, mask in zip("0123456789.", stage.letters("0123456789.", self.SIZE), strict=True)
        }
        self._dots = []
        for number in range(self.DOTS):
            dot = Canvas(stage.px(self.DOT), stage.px(self.DOT), CARD)
            dot.disc(dot.width / 2, dot.height / 2, stage.px(5), blend(TEAL, VIOLET, number / self.DOTS))
            self._dots.append(stage.window.keep(dot))

    def paint(self, canvas: Canvas) -> None:
        self._stage.card(canvas, 48, 120, 400, 360)
        half = self._stage.px(self.DOT) / 2
        for number in range(self.DOTS):
            left, top = self._corner(number)
            canvas.disc(left + half, top + half, self._stage.px(3.5), FAINT)
        (label,) = self._stage.letters(["seconds"], 19)
        x, y = self.MIDDLE
        canvas.stamp(label, self._stage.x(x) - label.shape[1] // 2, self._stage.y(y + 56), DIM)

    def draw(self, at_s: float) -> None:
        lit = min(self.DOTS, int(self.DOTS * at_s / self._duration_s))
        for number in range(self._lit, lit):
            self._stage.window.copy(self._dots[number], *self._corner(number))
        self._lit = lit
        text = f"{at_s:04.1f}"
        left = self._stage.x(self.MIDDLE[0]) - sum(self._widths) // 2
        for new, old, width in zip(text, self._shown, self._widths, strict=True):
            if new != old:
                self._stage.window.copy(self._glyphs[new], left, self._stage.y(self.MIDDLE[1] - self.SIZE + 22))
            left += width
        self._shown = text

    def _corner(self, number: int) -> tuple[int, int]:
        angle = 2 * pi * number / self.DOTS
        x, y = self.MIDDLE
        left, top = x + self.RADIUS * sin(angle) - self.DOT / 2, y - self.RADIUS * cos(angle) - self.DOT / 2
        return self._stage.x(left), self._stage.y(top)


class Words:
    """The sentences, with the one being spoken highlighted."""

    def __init__(self, stage: Stage, voice: Voice) -> None:
        self._stage = stage
        self._lines = voice.lines
        masks = stage.letters([line.text for line in voice.lines], 29)
        self._pictures = [{colour: stage.on_card(mask, colour) for colour in (FAINT, BRIGHT, DIM)} for mask in masks]
        self._shown: list[Colour | None] = [None] * len(masks)

    def paint(self, canvas: Canvas) -> None:
        self._stage.card(canvas, 472, 120, 760, 220)

    def draw(self, at_s: float) -> None:
        for number, line in enumerate(self._lines):
            colour = FAINT if at_s < line.begins_s else BRIGHT if at_s <= line.ends_s else DIM
            if colour != self._shown[number]:
                top = 137 + 47 * number
                self._stage.window.copy(self._pictures[number][colour], self._stage.x(512), self._stage.y(top))
                mark = TEAL if colour == BRIGHT else CARD
                self._stage.window.fill(
                    self._stage.x(494), self._stage.y(top + 6), self._stage.px(4), self._stage.px(28), mark
                )
                self._shown[number] = colour


class Spectrum:
    """A spectrum of the sound that is playing."""

    BANDS: Final = 44
    WIDTH: Final = 704
    HEIGHT: Final = 84
    #: The window of each spectrum, in samples: 46 ms.
    SAMPLES: Final = 1024
    #: The share of a bar's height that remains in the next frame, unless the sound is louder.
    FALL: Final = 0.85

    def __init__(self, stage: Stage, voice: Voice) -> None:
        self._stage = stage
        self._samples = np.concatenate([voice.samples, np.zeros(self.SAMPLES, np.float32)])
        self._levels: NDArray[np.float64] = np.zeros(self.BANDS)
        borders_hz = np.geomspace(90, 7000, self.BANDS + 1)
        bins = np.ceil(borders_hz * self.SAMPLES / RATE).astype(int)
        self._bands = [slice(low, max(high, low + 1)) for low, high in pairwise(bins)]
        self._drawn = stage.window.keep(Canvas(stage.px(self.WIDTH), stage.px(self.HEIGHT), CARD))

    def paint(self, canvas: Canvas) -> None:
        self._stage.card(canvas, 472, 364, 760, 116)

    def draw(self, at_s: float) -> None:
        begin = min(round(at_s * RATE), len(self._samples) - self.SAMPLES)
        heard = self._samples[begin : begin + self.SAMPLES] * np.hanning(self.SAMPLES)
        power = np.abs(np.fft.rfft(heard))
        strength_db = 20 * np.log10(np.array([power[band].max() for band in self._bands]) + 1e-6)
        self._levels = np.maximum(np.clip((strength_db + 12) / 52, 0.0, 1.0), self._levels * self.FALL)
        # Drawn off screen and copied at once, so that no grab catches a half-drawn bar.
        window, height, pitch = self._stage.window, self._drawn.height, self._drawn.width / self.BANDS
        window.fill(0, 0, self._drawn.width, height, CARD, self._drawn)
        for number, level in enumerate(self._levels):
            tall = max(self._stage.px(3), round(level * height))
            colour = blend(TEAL, VIOLET, number / self.BANDS)
            window.fill(
                round(number * pitch + pitch * 0.2), height - tall, round(pitch * 0.6), tall, colour, self._drawn
            )
        window.copy(self._drawn, self._stage.x(500), self._stage.y(380))


class Note:
    """The waveform of the whole sound from left to right; the part already played is bright."""

    BARS: Final = 141
    PITCH: Final = 8
    TALLEST: Final = 112

    def __init__(self, stage: Stage, voice: Voice) -> None:
        self._stage = stage
        self._duration_s = voice.duration_s
        loudness = np.array([np.sqrt(np.mean(part**2)) for part in np.array_split(voice.samples, self.BARS)])
        self._levels = (loudness / max(float(loudness.max()), 1e-6)) ** 0.7
        self._played = 0

    def paint(self, canvas: Canvas) -> None:
        self._stage.card(canvas, 48, 504, 1184, 168)
        for number in range(self.BARS):
            left, top, width, height = self._bar(number)
            canvas.rounded(left, top, width, height, width / 2, FAINT)

    def draw(self, at_s: float) -> None:
        played = min(self.BARS, round(self.BARS * at_s / self._duration_s))
        for number in range(self._played, played):
            left, top, width, height = self._bar(number)
            bar = Canvas(width, height, CARD)
            bar.rounded(0, 0, width, height, width / 2, blend(TEAL, VIOLET, number / self.BARS))
            self._stage.window.put(bar, left, top)
        self._played = played

    def _bar(self, number: int) -> tuple[int, int, int, int]:
        width = self._stage.px(4)
        height = max(width, self._stage.px(self._levels[number] * self.TALLEST))
        return self._stage.x(76 + self.PITCH * number), self._stage.y(588) - height // 2, width, height
