"""What moves, and the little that is new next to it, is shown right without the encoder, by every decoder."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest

from capture.codecs import partial_pictures
from capture.codecs.h264_slices import SliceWriter
from capture.codecs.h264_units import units_in
from capture.codecs.partial_pictures import FIRST_WAIT_S, LEAST_RUN, MOST_SLICES, PartialPictures
from capture.codecs.tile_encoder import Run, TileEncoder, runs_in
from capture.codecs.video_context import VideoContext
from capture.codecs.video_encoder import VideoEncoder
from capture.errors import EncoderError
from capture.formats import CONTAINERS, QUALITIES
from capture.media import VIDEO_TICKS_PER_S, Pixels
from capture.output.muxer import Muxer
from capture.pixels.change import MOVED, NEW, Change, change_of
from capture.pixels.converter import Converter
from capture.pixels.macroblocks import planes_of
from capture.pixels.yuv import yuv_converter

#: Not multiples of a macroblock.
WIDTH, HEIGHT = 650, 490
SLOT = VIDEO_TICKS_PER_S // 30

#: The mean difference that the quantiser of medium quality leaves in such pictures.
MOST_ERROR = 2.5


def page(width: int, height: int, *, seed: int = 1, paper: tuple[int, int, int] = (255, 255, 255)) -> Pixels:
    """Return lines of letters: BGRX."""
    dice = np.random.default_rng(seed)
    letters = dice.integers(0, 2, (-(-height // 2), -(-width // 2)), np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    marked = letters[:height, :width].astype(bool)
    # Space between lines, and between words.
    marked[np.arange(height) % 18 < 8] = False
    marked[:, np.arange(width) % 40 < 6] = False
    pixels = np.empty((height, width, 4), np.uint8)
    pixels[..., :3], pixels[..., 3] = paper, 255
    pixels[marked] = (30, 30, 30, 255)
    return pixels


def opened_sheet(width: int, height: int, tile_macroblocks: int) -> VideoContext:
    return VideoContext("libx264", width, height, 30, "medium", tile_macroblocks=tile_macroblocks)


@dataclass
class Screen:
    """A screen, its encoder, and what came out of it."""

    quality: str = "medium"
    width: int = WIDTH
    height: int = HEIGHT
    seed: int = 1
    packets: list[av.Packet[Any]] = field(default_factory=list)
    shown: list[Pixels] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.encoder = VideoEncoder("h264", self.width, self.height, 30, quality=self.quality)
        self.long_page = page(self.width, 8 * self.height, seed=self.seed)
        self.behind = self.long_page[: self.height].copy()
        self.put(self.behind.copy(), 0, 0)

    @property
    def pts(self) -> int:
        return len(self.packets) * SLOT

    def put(self, pixels: Pixels, left: int, top: int) -> None:
        picture = self.shown[-1].copy() if self.shown else pixels.copy()
        picture[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        self.packets += self.encoder.encode(np.ascontiguousarray(pixels), self.pts, left, top)
        self.shown.append(picture)

    def repeat(self) -> None:
        self.packets += self.encoder.repeat(self.pts)
        self.shown.append(self.shown[-1])

    def scroll(self, rows: int, *, from_row: int = 0) -> None:
        """Scroll all but a margin on the left."""
        self.put(self.long_page[from_row + rows : from_row + rows + self.height, 40:], 40, 0)

    def drag(self, window: Pixels, before: tuple[int, int], after: tuple[int, int]) -> None:
        """Move a window over the page, and show what was behind it."""
        height, width = window.shape[:2]
        left, top = (min(a, b) & ~1 for a, b in zip(before, after, strict=True))
        right, bottom = (
            -(-(max(a, b) + size) // 2) * 2 for a, b, size in zip(before, after, (width, height), strict=True)
        )
        picture = self.behind.copy()
        picture[after[1] : after[1] + height, after[0] : after[0] + width] = window
        self.put(picture[top:bottom, left:right], left, top)

    def decoded(self) -> list[av.VideoFrame]:
        decoder = av.CodecContext.create("h264", "r")
        decoder.extradata = self.encoder.template.codec_context.extradata
        decoder.options = {"err_detect": "explode"}
        return [frame for packet in [*self.packets, None] for frame in decoder.decode(packet)]

    def check(self, most_error: float = MOST_ERROR) -> list[Pixels]:
        """Check that every picture shows the screen; return the decoded ones, YUV planes stacked."""
        frames = self.decoded()
        assert len(frames) == len(self.shown)
        for number, (frame, wanted) in enumerate(zip(frames, self.shown, strict=True)):
            error = np.abs(frame.to_ndarray(format="bgra")[..., :3].astype(int) - wanted[..., :3])
            assert error.mean() < most_error, f"picture {number}"
        return [cast(Pixels, frame.to_ndarray(format="yuv420p")) for frame in frames]


@pytest.fixture
def whole_pictures(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the pts of the pictures that the encoder makes; those with sheets do not count."""
    made: list[int] = []
    encode = VideoContext.encode

    def noted(self: VideoContext, frame: av.VideoFrame | None) -> list[av.Packet[Any]]:
        if frame is not None and frame.width > 256:
            made.append(cast(int, frame.pts))
        return encode(self, frame)

    monkeypatch.setattr(VideoContext, "encode", noted)
    return made


@pytest.mark.parametrize("quality", QUALITIES)
def test_a_page_that_scrolls_is_made_without_the_encoder(quality: str, whole_pictures: list[int]) -> None:
    screen = Screen(quality)
    for step in range(1, 25):
        screen.scroll(20 * step)
    assert whole_pictures == [0]
    found = screen.check(6.0 if quality == "low" else MOST_ERROR)
    # What moved is the same, to the bit.
    for before, after in pairwise(found):
        assert np.array_equal(after[:448, 64:], before[20:468, 64:])
    assert max(packet.size for packet in screen.packets[1:]) < 0.3 * screen.packets[0].size


@pytest.mark.parametrize("size", [(650, 490), (320, 160), (176, 144), (1280, 722)], ids=str)
def test_pages_of_any_size_scroll_as_far_as_their_level_allows(size: tuple[int, int]) -> None:
    screen, row = Screen(width=size[0], height=size[1]), 0
    for step in (2, 60, 66, 100, 120, 130, 230, -60, -130):
        row += step
        screen.scroll(row)
    screen.check(4.0)


@pytest.mark.parametrize("quality", QUALITIES)
def test_a_window_that_is_dragged_keeps_its_colours(quality: str, whole_pictures: list[int]) -> None:
    screen = Screen(quality)
    window = page(300, 200, seed=2, paper=(235, 250, 255))
    places = [(100 + 7 * step, 90 + 3 * step) for step in range(25)]
    screen.drag(window, places[0], places[0])
    for before, after in pairwise(places):
        screen.drag(window, before, after)
    found = screen.check(6.0 if quality == "low" else MOST_ERROR)
    if quality != "high":
        # Before it moved, it had to appear.
        assert len(whole_pictures) <= 3
    source = Converter(WIDTH, HEIGHT, (WIDTH, HEIGHT), yuv_converter(exact=quality == "high"), in_place=True)
    for picture, shown in zip(found, screen.shown, strict=True):
        wanted = cast(Pixels, source.convert(shown.copy(), 0, 0).to_ndarray())
        colours = np.abs(picture[HEIGHT:].astype(int) - wanted[HEIGHT:])
        assert colours.max() <= {"low": 26, "medium": 18, "high": 8}[quality]


def test_no_picture_has_more_slices_than_graphics_cards_take(whole_pictures: list[int]) -> None:
    """FFmpeg's decoders on Windows take 32, and its own warns from there on."""
    screen = Screen(width=1000, height=700)
    window = page(400, 300, seed=2, paper=(235, 250, 255))
    places = [(100 + 7 * step, 90 + 3 * step) for step in range(20)]
    screen.drag(window, places[0], places[0])
    for before, after in pairwise(places):
        screen.drag(window, before, after)
    for step in range(1, 20):
        screen.scroll(23 * step)
    screen.check()
    counts = [sum(kind in (1, 5) for kind, _, _ in units_in(bytes(packet))) for packet in screen.packets]
    assert max(counts) <= MOST_SLICES
    # The encoder did not have to make them.
    assert sum(count > 10 for count in counts) > 30
    assert len(whole_pictures) < 8


def test_soft_shades_keep_their_colours_however_long_they_are_dragged(whole_pictures: list[int]) -> None:
    screen, side = Screen(), 240
    window = page(side, side, seed=2)
    rows, columns = np.indices((side, side))
    shade = np.exp(-((rows - 120) ** 2 + (columns - 120) ** 2) / 450)[..., np.newaxis]
    window[..., :3] = window[..., :3] * (1 - shade) + np.array([0, 0, 255]) * shade
    places = [(40 + 3 * step, 20 + step) for step in range(120)]
    screen.drag(window, places[0], places[0])
    for before, after in pairwise(places):
        screen.drag(window, before, after)
    assert len(whole_pictures) < 12
    found = screen.check()
    source = Converter(WIDTH, HEIGHT, (WIDTH, HEIGHT), yuv_converter(exact=False), in_place=True)
    for picture, shown in zip(found, screen.shown, strict=True):
        wanted = cast(Pixels, source.convert(shown.copy(), 0, 0).to_ndarray())
        assert np.abs(picture[HEIGHT:].astype(int) - wanted[HEIGHT:]).max() <= 18


def test_what_a_window_leaves_behind_and_letters_in_a_run_are_shown() -> None:
    screen = Screen()
    dice = np.random.default_rng(3)
    for step in range(1, 80):
        if step % 3 == 0:
            left, top = 2 * int(dice.integers(0, 300)), 2 * int(dice.integers(0, 200))
            screen.put(dice.integers(0, 256, (20, 40, 4), np.uint8), left, top)
        elif step % 10 == 1:
            screen.repeat()
        else:
            screen.scroll(6 * step)
    screen.check()


def test_the_encoder_takes_over_and_gives_back(whole_pictures: list[int]) -> None:
    screen = Screen()
    for turn in range(4):
        for step in range(1, 2 * LEAST_RUN):
            screen.scroll(12 * step, from_row=turn * HEIGHT)
        screen.put(page(WIDTH, HEIGHT, seed=20 + turn), 0, 0)
        screen.put(screen.long_page[(turn + 1) * HEIGHT : (turn + 2) * HEIGHT].copy(), 0, 0)
    screen.check()
    # Twice for each turn, and a few key frames.
    assert 8 < len(whole_pictures) < 15


def test_after_runs_that_were_too_short_there_are_none_for_longer_and_longer() -> None:
    encoder = VideoEncoder("h264", WIDTH, HEIGHT, 30)
    parameters = bytes(encoder.template.codec_context.extradata or b"")
    slices = SliceWriter.of(parameters, from_last_alone=True)
    assert slices is not None
    partial = PartialPictures(slices, parameters, "medium", opened_sheet)
    frame = av.VideoFrame.from_ndarray(page(WIDTH, HEIGHT), "bgra").reformat(format="yuv420p")
    kinds = np.full((10, 10), MOVED, np.uint8)
    kinds[0, 0] = NEW
    change = Change(kinds, 2, 3, 0, 8)

    def waited_s(from_s: float) -> float:
        tried = (step / 30 for step in range(2000))
        return next(s for s in tried if partial.picture(change, frame, round((from_s + s) * VIDEO_TICKS_PER_S)))

    now_s = 0.0
    waits: list[float] = []
    for run in (1, LEAST_RUN - 1, 2, LEAST_RUN, 3):
        for _ in range(run - (len(waits) > 0)):
            assert partial.picture(change, frame, round(now_s * VIDEO_TICKS_PER_S))
        partial.note_encoded(600, 1000, round(now_s * VIDEO_TICKS_PER_S), is_key=False)
        waits.append(round(waited_s(now_s)))
        now_s += waits[-1]
    assert waits == [FIRST_WAIT_S, 2 * FIRST_WAIT_S, 4 * FIRST_WAIT_S, 0, FIRST_WAIT_S]
    # What is new anyway, and a key frame that was due, are no fault of the run.
    partial.note_encoded(600, 1000, round(now_s * VIDEO_TICKS_PER_S), is_key=True)
    assert waited_s(now_s) == 0
    all_new = Change(np.full((31, 41), NEW, np.uint8), 0, 0)
    assert partial.picture(all_new, frame, round(now_s * VIDEO_TICKS_PER_S)) is None
    partial.note_encoded(900, 1000, round(now_s * VIDEO_TICKS_PER_S), is_key=False)
    assert waited_s(now_s) == 0


def test_a_film_is_left_to_the_encoder_and_mostly_not_compared(
    whole_pictures: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[int] = []

    def counted(*arguments: Any) -> Change:
        compared.append(1)
        return change_of(*arguments)

    monkeypatch.setattr(partial_pictures, "change_of", counted)
    screen, dice = Screen(width=1280, height=720), np.random.default_rng(5)
    for _ in range(40):
        screen.put(dice.integers(0, 256, (720, 1280, 4), np.uint8), 0, 0)
    assert len(whole_pictures) >= 40
    assert len(compared) < 12


@pytest.mark.parametrize("fault", ["other parameters", "does not open"])
def test_without_an_encoder_for_parts_the_encoder_makes_everything(
    fault: str, whole_pictures: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_sheet(width: int, height: int, tile_macroblocks: int) -> VideoContext:
        if fault == "does not open":
            raise av.ArgumentError(22, "no")
        return VideoContext("libx264", width, height, 30, "low", tile_macroblocks=tile_macroblocks)

    monkeypatch.setattr("capture.codecs.video_encoder._sheet_opener", lambda *options: open_sheet)
    screen = Screen()
    for step in range(1, 10):
        screen.scroll(20 * step)
    assert len(whole_pictures) == 10
    screen.check()


def test_the_ffmpeg_program_shows_the_same(tmp_path: Path) -> None:
    screen = Screen()
    window = page(200, 150, seed=2, paper=(235, 250, 255))
    for step in range(1, 30):
        if step < 15:
            screen.scroll(13 * step)
        else:
            screen.behind = screen.shown[14]
            screen.drag(window, (50 + 5 * (step - 1), 80), (50 + 5 * step, 80))
    screen.repeat()
    path = tmp_path / "moved.mp4"
    muxer = Muxer(path, CONTAINERS["mp4"])
    muxer.start([screen.encoder.template])
    for packet in screen.packets:
        muxer.write(0, packet)
    muxer.close()
    decoding = ["ffmpeg", "-v", "warning", "-xerror", "-err_detect", "explode", "-i", str(path)]
    done = subprocess.run(
        [*decoding, "-fps_mode", "passthrough", "-pix_fmt", "yuv420p", "-f", "rawvideo", "-"],
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    pictures = np.frombuffer(done.stdout, np.uint8).reshape(len(screen.shown), HEIGHT * 3 // 2, WIDTH)
    for number, (picture, expected) in enumerate(zip(pictures, screen.decoded(), strict=True)):
        assert np.array_equal(picture, expected.to_ndarray(format="yuv420p")), f"picture {number}"


def test_pictures_inserted_into_the_finished_stream_leave_it_as_it_is() -> None:
    screen = Screen()
    for step in range(1, 12):
        screen.scroll(20 * step)
    expected = screen.check()
    parameters = bytes(screen.encoder.template.codec_context.extradata or b"")
    writer = SliceWriter.of(parameters, from_last_alone=True)
    assert writer is not None
    stream: list[bytes] = []
    for packet in screen.packets:
        stream += [writer.followed(bytes(packet)), writer.picture()]
    decoder = av.CodecContext.create("h264", "r")
    decoder.extradata = parameters
    packets: Sequence[Any] = [*map(av.Packet, stream), None]
    found = [frame.to_ndarray(format="yuv420p") for packet in packets for frame in decoder.decode(packet)]
    assert len(found) == 2 * len(expected)
    for number, picture in enumerate(expected):
        assert np.array_equal(found[2 * number], picture)
        assert np.array_equal(found[2 * number + 1], picture)


def test_runs_cover_what_is_marked_and_little_else() -> None:
    dice = np.random.default_rng(8)
    for _ in range(200):
        columns, rows = int(dice.integers(1, 60)), int(dice.integers(1, 6))
        first, row = int(dice.integers(0, columns)), int(dice.integers(0, 4))
        marked = dice.random((rows, columns - first)) < dice.choice([0.05, 0.5, 0.95])
        runs = runs_in(marked, row, first, columns)
        addresses = [address for run in runs for address in range(run.address, run.address + run.length)]
        assert addresses == sorted(set(addresses))
        wanted = {(row + y) * columns + first + x for y, x in np.argwhere(marked).tolist()}
        assert wanted <= set(addresses)
        # In the picture, and none beyond the end of a row.
        assert all(run.address // columns == (run.address + run.length - 1) // columns for run in runs)
        assert len(addresses) <= 4 / 3 * len(wanted) + 1


def test_runs_of_every_length_are_encoded_alike() -> None:
    """A picture put together of tiles alone shows what was encoded."""
    encoder = VideoEncoder("h264", WIDTH, HEIGHT, 30)
    parameters = bytes(encoder.template.codec_context.extradata or b"")

    columns = -(-WIDTH // 16)
    tiles = TileEncoder(parameters, columns, opened_sheet)
    frame = av.VideoFrame.from_ndarray(page(WIDTH, HEIGHT), "bgra").reformat(format="yuv420p")
    planes = planes_of(frame)
    one = tiles.encode(planes, [Run(5, 1), Run(0, 4), Run(columns, 16), Run(3 * columns - 1, 1)])
    assert [tile.run.address for tile in one] == sorted(tile.run.address for tile in one)
    again = tiles.encode(planes, [tile.run for tile in one])
    # Two key frames in a row have different numbers, which are not part of a tile.
    assert again == one
    tiles.close()
    tiles.close()


def test_a_sheet_that_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = VideoEncoder("h264", WIDTH, HEIGHT, 30)
    tiles = TileEncoder(
        bytes(encoder.template.codec_context.extradata or b""),
        -(-WIDTH // 16),
        opened_sheet,
    )
    monkeypatch.setattr(VideoContext, "encode", lambda self, frame: [])
    planes = planes_of(av.VideoFrame(WIDTH, HEIGHT, "yuv420p"))
    with pytest.raises(EncoderError, match="left some out"):
        tiles.encode(planes, [Run(0, 4)])
