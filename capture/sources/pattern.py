"""The built-in test picture and tone: a running clock, and a flash and a beep at each whole second.

They need no screen and no sound server, are exact to the sample, and run on any `Clock`: in real time for a first try
of the recorder, stepped by a test. Their content depends on the media time alone, so a recording can be compared with
what it must show: `read_clock` reads the time back out of a decoded picture.
"""

from __future__ import annotations

import threading
from typing import Final

import numpy as np

from capture.clock import Clock
from capture.media import SAMPLE_RATE, Frame, Pixels, SampleArray, Samples

__all__ = ["PATTERN_SIZE", "PatternFrames", "PatternTone", "draw_pattern", "pattern_tone", "read_clock"]

#: Width and height of the test picture.
PATTERN_SIZE: Final = (1280, 720)

#: How long the flash and the beep last at the start of each second.
FLASH_S: Final = 0.1
BEEP_S: Final = 0.1
BEEP_HZ: Final = 1000.0
_BEEP_LEVEL: Final = 0.5

#: The clock is drawn twice: as digits, and along the top as this many black or white squares, the milliseconds since
#: the start in binary, most significant bit first. 32 bits last seven weeks.
_CODE_BITS: Final = 32

#: Samples per block: 20 ms.
_BLOCK: Final = 960

#: Which of the seven segments (top, upper left, upper right, middle, lower left, lower right, bottom) a digit lights.
_SEGMENTS: Final = (
    "1110111",
    "0010010",
    "1011101",
    "1011011",
    "0111010",
    "1101011",
    "1101111",
    "1010010",
    "1111111",
    "1111011",
)


def draw_pattern(media_s: float, width: int = PATTERN_SIZE[0], height: int = PATTERN_SIZE[1]) -> Pixels:
    """Return the picture at `media_s`: uint8 (height, width, 4)."""
    picture = np.empty((height, width, 4), np.uint8)
    column = np.linspace(40, 140, width).astype(np.uint8)
    picture[..., 0], picture[..., 1], picture[..., 2], picture[..., 3] = column, 60, column[::-1], 255
    cell = width // _CODE_BITS
    milliseconds = int(media_s * 1000 + 1e-6)
    for bit in range(_CODE_BITS):
        lit = milliseconds >> (_CODE_BITS - 1 - bit) & 1
        picture[:cell, bit * cell : (bit + 1) * cell, :3] = 255 * lit
    _draw_digits(picture, milliseconds, top=height // 4, size=height // 5)
    if media_s % 1.0 < FLASH_S:
        picture[height * 3 // 5 : height * 9 // 10, width // 10 : width * 9 // 10, :3] = 255
    # A block that crosses the picture once in four seconds makes uneven motion visible.
    left = int(media_s / 4 % 1 * (width - cell))
    picture[height - cell :, left : left + cell, :3] = (80, 200, 250)
    return picture


def read_clock(pixels: Pixels) -> int:
    """Return the milliseconds that a picture of the pattern shows, even after lossy coding and scaling."""
    cell = pixels.shape[1] / _CODE_BITS
    row = pixels[int(cell / 2), :, 1]
    lit = (row[int((bit + 0.5) * cell)] > 127 for bit in range(_CODE_BITS))
    return sum(int(on) << (_CODE_BITS - 1 - bit) for bit, on in enumerate(lit))


def pattern_tone(start: int, count: int) -> SampleArray:
    """Return samples `start` to `start + count` of the tone, counted from its start: float32 (count, 2)."""
    index = np.arange(start, start + count)
    wave = _BEEP_LEVEL * np.sin(2 * np.pi * BEEP_HZ / SAMPLE_RATE * (index % SAMPLE_RATE))
    wave[index % SAMPLE_RATE >= BEEP_S * SAMPLE_RATE] = 0.0
    return np.repeat(wave.astype(np.float32)[:, None], 2, axis=1)


def _draw_digits(picture: Pixels, milliseconds: int, top: int, size: int) -> None:
    minutes, rest = divmod(milliseconds, 60_000)
    text = f"{minutes % 100:02d}{rest // 1000:02d}{rest % 1000:03d}"
    width, thick = size // 2, max(2, size // 10)
    left = (picture.shape[1] - int(width * 1.4 * (len(text) + 1))) // 2
    for place, digit in enumerate(text):
        # A gap after the minutes and after the seconds.
        x = left + int(width * 1.4 * (place + (place >= 2) * 0.5 + (place >= 4) * 0.5))
        half = size // 2
        boxes = (
            (x, top, width, thick),
            (x, top, thick, half),
            (x + width - thick, top, thick, half),
            (x, top + half - thick // 2, width, thick),
            (x, top + half, thick, half),
            (x + width - thick, top + half, thick, half),
            (x, top + size - thick, width, thick),
        )
        for (box_x, box_y, box_width, box_height), lit in zip(boxes, _SEGMENTS[int(digit)], strict=True):
            if lit == "1":
                picture[box_y : box_y + box_height, box_x : box_x + box_width, :3] = 255


class PatternFrames:
    """The test picture as a source; every frame is a change."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._epoch_s = clock.now_s()
        self.width, self.height = PATTERN_SIZE

    def open(self) -> None: ...

    def begin(self, epoch_s: float) -> None:
        self._epoch_s = epoch_s

    def wait_for_change(self, until_s: float) -> bool:
        return True

    def grab(self) -> Frame:
        now_s = self._clock.now_s()
        return Frame(draw_pattern(max(0.0, now_s - self._epoch_s)), now_s)

    def idle(self) -> None: ...

    def wake(self) -> None: ...

    def close(self) -> None: ...


class PatternTone:
    """The test tone as a source. Delivers each block of 20 ms when its time is over, as a device would."""

    channels = 2
    device = "test tone"

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self._clock = clock
        self._epoch_s = clock.now_s()
        self._next = 0
        self._woken = threading.Event()

    def open(self) -> None: ...

    def begin(self, epoch_s: float) -> None:
        self._epoch_s = epoch_s

    def read(self, until_s: float) -> Samples | None:
        ends_at_s = self._epoch_s + (self._next + _BLOCK) / SAMPLE_RATE
        if self._clock.now_s() < ends_at_s:
            self._clock.wait_until(min(until_s, ends_at_s), self._woken)
            self._woken.clear()
            if self._clock.now_s() < ends_at_s:
                return None
        start, self._next = self._next, self._next + _BLOCK
        return Samples(pattern_tone(start, _BLOCK), self._epoch_s + start / SAMPLE_RATE)

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None: ...
