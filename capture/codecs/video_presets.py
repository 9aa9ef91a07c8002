"""The options for each of FFmpeg's video encoders.

No encoder may hold back frames: a crash loses what is inside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

__all__ = ["BT709", "VIDEO_CODECS", "VideoCodec"]

#: H.273's number for BT.709. Screens have its primaries and nearly its transfer function. The matrix, though, is that
#: of BT.601, as in JPEG. Conversion and tag must agree, or players that trust the tag show visibly wrong colours.
BT709: Final = 1

#: The BT.601 matrix has two numbers. QuickTime only knows the second; VP8 decoders assume the first, whatever a file
#: says.
_BT601_OF_PAL: Final = 5
_BT601: Final = 6

#: Pixels per second that one x264 thread encodes easily: 1080p at 60 fps. Each thread encodes its own slice, and two
#: threads take up to a tenth more bytes and a fifth more time than one.
_PIXELS_PER_THREAD_S: Final = 2 * 1920 * 1080 * 30


class VideoCodec(NamedTuple):
    """How to run one of FFmpeg's encoders; see FFmpeg's documentation for the options."""

    options: Mapping[str, str]
    #: The options for constant quality, by the values of `--quality`.
    quality: Mapping[str, Mapping[str, str]]
    #: For encoders that need a maximum bit rate: bits per pixel and second at medium quality.
    bits_per_pixel_s: float = 0.0
    #: H.273's number for the BT.601 matrix.
    matrix: int = _BT601
    max_threads: int = 4
    #: Whether the encoder no longer needs a picture once it has encoded it, so that the next can reuse its memory.
    copies: bool = False
    #: Whether it predicts each picture only from its previous one.
    from_last_alone: bool = False
    #: What to change for a narrow search for motion; the parameter sets must stay the same. Empty if there is none.
    narrow: Mapping[str, str] = {}
    #: The narrow search with a coarser quantiser, by the values of `--quality`; the parameter sets must stay the same.
    coarse: Mapping[str, Mapping[str, str]] = {}

    def threads(self, width: int, height: int, fps: float) -> int:
        """Return how many threads help with pictures of this size, if the machine has that many."""
        return min(self.max_threads, 1 + int(width * height * fps / _PIXELS_PER_THREAD_S))


def _levels(option: str, low: int, medium: int, high: int) -> Mapping[str, Mapping[str, str]]:
    return {"low": {option: str(low)}, "medium": {option: str(medium)}, "high": {option: str(high)}}


#: On a screen, a constant quantiser is constant quality: text has to be as readable while it moves as at rest. `crf`
#: analyses each picture first to see how much moves; when little does, it re-encodes the rest finer and finer. A typed
#: letter costs 9 ms and 17 kB with it, 4 ms and 0.1 kB without. With scene cuts and lookahead off, x264 does not make
#: the smaller copy of each picture that they need. The motion search has to find what was scrolled or dragged: with
#: `umh`, a moving page takes a seventh of the bytes that `hex` or `dia` take, and less time, because nothing is left to
#: encode. A range of 64 finds jumps of 60 to 120 rows, as of a terminal or of a mouse wheel: with 24, a page of text
#: that jumps by 65 rows takes five times the bytes and twice the time; one that moves less takes as long. Small blocks
#: keep letters sharp. Nearly empty blocks are kept, because they hold the remains of a moved letter's edge. Decoders
#: keep two references, see `h264_references`.
_X264: Final = "scenecut=0:ref=1"
_X264_WIDE: Final = f"{_X264}:me=umh:merange=64:partitions=i4x4:no-dct-decimate=1"

#: For films: the encoding takes 60 % of the time, for the same size; in one with much grain, half. See `search_choice`.
_X264_NARROW: Final = f"{_X264}:me=dia:merange=4:partitions=none"

#: For grain, which with this quantiser is as similar to the screen as FFmpeg's `crf` makes it, and 3 % smaller. The
#: picture parameter set states the quantiser that an encoder is opened with, so this one comes as that of a zone, which
#: is the whole recording. x264 takes no quantiser beyond that of B pictures, which `pbratio` raises by five; there are
#: none. See `quantiser_choice`.
_X264_COARSE: Final = f"{_X264_NARROW}:pbratio=1.8:zones=0,{1 << 30},q=27"

VIDEO_CODECS: Final[Mapping[str, VideoCodec]] = {
    # zerolatency means sliced threads and no lookahead: each frame comes out as a packet at once.
    "libx264": VideoCodec(
        {"preset": "ultrafast", "tune": "zerolatency", "forced-idr": "1", "x264-params": _X264_WIDE},
        _levels("qp", 28, 22, 14),
        narrow={"x264-params": _X264_NARROW},
        # Low quality has a coarser one anyway, and high quality keeps its own.
        coarse={"medium": {"x264-params": _X264_COARSE}},
        copies=True,
        from_last_alone=True,
    ),
    "h264_nvenc": VideoCodec(
        {"preset": "p2", "tune": "ull", "rc": "constqp", "delay": "0", "zerolatency": "1", "forced-idr": "1"},
        _levels("qp", 30, 24, 18),
    ),
    "h264_qsv": VideoCodec(
        {"preset": "veryfast", "async_depth": "1", "forced_idr": "1"}, _levels("global_quality", 30, 24, 18)
    ),
    "h264_amf": VideoCodec(
        {"usage": "ultralowlatency", "rc": "cqp", "forced_idr": "1"},
        {name: {"qp_i": qp, "qp_p": qp} for name, qp in (("low", "30"), ("medium", "24"), ("high", "18"))},
    ),
    # Quality out of 100. Only the encoder of Apple's processors supports constant quality; others fail to open with it.
    "h264_videotoolbox": VideoCodec(
        {"realtime": "1", "flags": "+qscale"},
        {name: {"global_quality": str(118 * q)} for name, q in (("low", 45), ("medium", 65), ("high", 85))},
    ),
    # 16 is VP8's fastest setting: 1080p at 30 fps with half of two cores to spare. With a lower bit rate limit it takes
    # more time. With a higher qmax, scrolling text turns to mush: 28 dB at any level of quality.
    "libvpx": VideoCodec(
        {"deadline": "realtime", "cpu-used": "16", "lag-in-frames": "0", "auto-alt-ref": "0"},
        {
            name: {"crf": crf, "qmax": qmax}
            for name, crf, qmax in (("low", "30", "34"), ("medium", "18", "26"), ("high", "8", "18"))
        },
        12.0,
        _BT601_OF_PAL,
        # VP8's threads wait for each other row by row. As soon as another program needs the processor, two threads take
        # ten times as long as one; on an idle machine they save a quarter, and the files are larger.
        max_threads=1,
        copies=True,
    ),
}
