"""How each of FFmpeg's video encoders is run: so that no frame stays inside it, as a held one is lost in a crash."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

__all__ = ["BT709", "VIDEO_CODECS", "VideoCodec"]

#: What H.273 numbers BT.709, whose primaries, and nearly its transfer, screens have. The matrix is that of BT.601, as
#: it is in JPEG: converting and tagging must agree, or players that trust the tag show colours that are visibly off.
BT709: Final = 1

#: That matrix has two numbers. QuickTime knows the second alone, and VP8's decoders have the first whatever a file
#: says.
_BT601_OF_PAL: Final = 5
_BT601: Final = 6

#: Pixels a second that one thread of x264 codes with ease: 1080p at 60 fps. Each thread has a slice of its own, and two
#: take up to a tenth of bytes and a fifth of time more than one.
_PIXELS_PER_THREAD_S: Final = 2 * 1920 * 1080 * 30


class VideoCodec(NamedTuple):
    """One of FFmpeg's encoders. Options are those of FFmpeg's documentation."""

    options: Mapping[str, str]
    #: What stands for constant quality, by the words of `--quality`.
    quality: Mapping[str, Mapping[str, str]]
    #: For encoders that want a ceiling: bits per pixel and second at medium quality.
    bits_per_pixel_s: float = 0.0
    #: How H.273 numbers the matrix of BT.601.
    matrix: int = _BT601
    max_threads: int = 4
    #: Whether it is done with a picture when it has encoded it, so that the next can be made in the same memory.
    copies: bool = False
    #: Whether it predicts each picture from its last one and no other.
    from_last_alone: bool = False

    def threads(self, width: int, height: int, fps: float) -> int:
        """How many are of use for so large a picture, on a machine that has them."""
        return min(self.max_threads, 1 + int(width * height * fps / _PIXELS_PER_THREAD_S))


def _levels(option: str, low: int, medium: int, high: int) -> Mapping[str, Mapping[str, str]]:
    return {"low": {option: str(low)}, "medium": {option: str(medium)}, "high": {option: str(high)}}


#: A constant quantiser is constant quality on a screen, where what moves is as much to be read as what rests. `crf`
#: looks at a picture twice to tell how much moves in it, and when little does it codes all of the rest anew, finer and
#: finer: a typed letter costs 9 ms and 17 kB by it, 4 ms and 0.1 kB without. That scene cuts and lookahead are off
#: spares the smaller copy of each picture that they need. What was scrolled or dragged has to be found: a page that
#: moves takes a seventh of the bytes by `umh` of what it takes by `hex` or `dia`, and less time, as nothing is left to
#: be coded. Small blocks make letters sharp, and blocks that come out nearly empty are kept: they are the last of a
#: moved letter's edge. Of the two references that decoders are to keep the second is for pictures made elsewhere.
_X264: Final = "scenecut=0:me=umh:merange=24:partitions=i4x4:no-dct-decimate=1:ref=1:dpb-size=2"

VIDEO_CODECS: Final[Mapping[str, VideoCodec]] = {
    # zerolatency means sliced threads and no lookahead: one frame in, one packet out.
    "libx264": VideoCodec(
        {"preset": "ultrafast", "tune": "zerolatency", "forced-idr": "1", "x264-params": _X264},
        _levels("qp", 28, 22, 14),
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
    # Of 100; the encoder of Apple's processors alone has constant quality, others refuse to open with it.
    "h264_videotoolbox": VideoCodec(
        {"realtime": "1", "flags": "+qscale"},
        {name: {"global_quality": str(118 * q)} for name, q in (("low", 45), ("medium", 65), ("high", 85))},
    ),
    # 16 is VP8's fastest: 1080p at 30 fps with half of two cores to spare. With less than this ceiling it spends more
    # time, and where it may quantise coarser than this, text that scrolls turns to mush: 28 dB at any level of quality.
    "libvpx": VideoCodec(
        {"deadline": "realtime", "cpu-used": "16", "lag-in-frames": "0", "auto-alt-ref": "0"},
        {
            name: {"crf": crf, "qmax": qmax}
            for name, crf, qmax in (("low", "30", "34"), ("medium", "18", "26"), ("high", "8", "18"))
        },
        12.0,
        _BT601_OF_PAL,
        # VP8's threads wait for each other row by row. As soon as something else wants the processor, two of them take
        # ten times as long as one alone; on an idle machine they save a quarter, and the files are larger.
        max_threads=1,
        copies=True,
    ),
}
