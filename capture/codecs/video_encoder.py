"""Encodes frames to packets.

An encoder is not tied to a file: its packets can go to several sinks, each of which makes its stream from `template`.
Use each encoder from one thread. Encoding, scaling and converting release the GIL; opening holds it.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final, cast

import av
from av.video.frame import PictureType
from av.video.stream import VideoStream

from capture.codecs.h264_frame_rate import with_rate_stated
from capture.codecs.h264_slices import SliceWriter
from capture.codecs.null_container import StreamCopy
from capture.codecs.quantiser_choice import QuantiserChoice
from capture.codecs.search_choice import SearchChoice
from capture.codecs.video_context import VIDEO_TIME_BASE, VideoContext, opens
from capture.codecs.video_presets import VIDEO_CODECS
from capture.errors import EncoderError, NotReadyError, UsageError
from capture.formats import ENCODERS
from capture.media import VIDEO_TICKS_PER_S, Pixels
from capture.pixels.frame_pool import FramePool
from capture.pixels.macroblocks import SAMPLES_BYTES, macroblock_count, planes_of, samples_of
from capture.pixels.part_converter import PartConverter
from capture.pixels.picture import YuvPicture
from capture.pixels.yuv import yuv_converter
from capture.pixels.yuv_part import YuvPart

__all__ = [
    "CUTTABLE_KEY_FRAME_INTERVAL_S",
    "CUTTABLE_STILL_KEY_FRAME_INTERVAL_S",
    "KEY_FRAME_INTERVAL_S",
    "REPEAT_KEY_FRAME_INTERVAL_S",
    "STILL_KEY_FRAME_INTERVAL_S",
    "VideoEncoder",
    "is_repeat",
]

#: Longest time between key frames while the picture changes. A player can only start at a key frame, but each costs as
#: much as a hundred typed letters. A cut can only be made at a key frame, so recordings for clips have more of them.
KEY_FRAME_INTERVAL_S: Final = 8.0
CUTTABLE_KEY_FRAME_INTERVAL_S: Final = 1.9

#: The interval at a repeat, and while nothing has changed since the last key frame. A repeat makes one a little earlier
#: than cuts need, because the next chance is a heartbeat away, 0.55 s. While nothing changes, every key frame would
#: show the same picture, and players decode the repeats quickly.
REPEAT_KEY_FRAME_INTERVAL_S: Final = 1.3
STILL_KEY_FRAME_INTERVAL_S: Final = 30.0
CUTTABLE_STILL_KEY_FRAME_INTERVAL_S: Final = 10.0

#: A key frame that costs little comes sooner. After this long, if the changes since the last key frame took this many
#: times its bytes; and after the second, in place of a picture that takes this share of them, or soon after one that
#: came earlier: nearly all of it is new, so predicting it hardly helps. Without its index, which a crash costs, some
#: players begin anywhere and show a mixture of old and new until the next key frame.
CHEAP_KEY_FRAME_INTERVAL_S: Final = 2.0
_CHEAP_AFTER_KEY_FRAMES: Final = 10
NEW_KEY_FRAME_INTERVAL_S: Final = 1.0
_NEW_SHARE: Final = 0.5

#: How many bytes uncompressed changes may take: in the long run as much as the sound, and up to four seconds' worth at
#: once. A typed letter with its caret takes 0.8 to 1.5 kB, and 0.2 ms instead of 4.
PATCH_BYTES_PER_S: Final = 16_000
PATCH_BYTES_SAVED: Final = 64_000

#: The name of each codec, and the smallest and the largest side of a picture: x264 takes no more than 16384, VP8 stores
#: 14 bits, and libvpx encodes nothing, without an error, if a side is below 8. All sides are even.
SIZES: Final = {"h264": ("H.264", 2, 16_384), "vp8": ("VP8", 8, 16_382)}

#: The smallest side that `scale` may have.
_LEAST_SCALED: Final = 16


class _Repeat:
    """Marks a packet that repeats the previous picture.

    Each packet needs a separate instance: PyAV looks them up by address and drops them with the first packet freed.
    """

    __slots__ = ()


def is_repeat(packet: av.Packet[Any]) -> bool:
    """Whether a packet returned by a `VideoEncoder` shows the same picture as the one before it."""
    return isinstance(packet.opaque, _Repeat)


class VideoEncoder:
    """Encodes pictures of one size.

    `codec` is `h264` or `vp8`; `encoder` is one of FFmpeg's encoders for it, or "" for the one that works everywhere.
    The input is `width` x `height`, both even; `scale` is the size of the encoded picture if it differs. `cuttable`
    makes key frames often enough to cut clips. `constant_fps` means that a frame comes in every slot, which H.264 then
    states. Raises `UsageError` for a size that the codec does not allow, `NotReadyError` when the encoder cannot be
    opened.
    """

    def __init__(
        self,
        codec: str,
        width: int,
        height: int,
        fps: float,
        *,
        scale: tuple[int, int] | None = None,
        quality: str = "medium",
        encoder: str = "",
        cuttable: bool = False,
        constant_fps: bool = False,
    ) -> None:
        known = ENCODERS[codec]
        self.codec = codec
        self.encoder = encoder or known[0]
        if self.encoder not in known:
            raise NotReadyError(f"there is no {codec} encoder {self.encoder!r}", f"use auto or {', '.join(known)}")
        self.width, self.height = scale or (width, height)
        _check_size(codec, self.width, self.height)
        self._key_interval_s = CUTTABLE_KEY_FRAME_INTERVAL_S if cuttable else KEY_FRAME_INTERVAL_S
        self._repeat_key_interval_s = REPEAT_KEY_FRAME_INTERVAL_S if cuttable else KEY_FRAME_INTERVAL_S
        self._still_key_interval_s = CUTTABLE_STILL_KEY_FRAME_INTERVAL_S if cuttable else STILL_KEY_FRAME_INTERVAL_S
        how = VIDEO_CODECS[self.encoder]
        size = (self.width, self.height)
        # Scaling makes pictures of its own.
        pool = FramePool(*size, keeps=how.copies and size == (width, height))
        self._picture = YuvPicture(*size, pool, in_place=how.copies)
        to_yuv = yuv_converter(exact=quality == "high")
        #: Converts what is to be encoded. Another thread may use it, one that grabs.
        self.parts = PartConverter(width, height, size, to_yuv, pool, self._picture)
        self._frame: av.VideoFrame | None = None
        self._last_key_pts = -VIDEO_TICKS_PER_S * 3600
        self._changed_since_key = True
        # The size of the last key frame, what came after it, and whether a picture that was new was among that.
        self._key_bytes = self._bytes_since_key = 0
        self._is_new_since_key = False
        self._open = partial(
            VideoContext, self.encoder, self.width, self.height, fps, quality, constant_fps=constant_fps
        )
        try:
            self._context = self._open()
        except (av.FFmpegError, ValueError) as error:
            openable = ", ".join(name for name in known if name != self.encoder and opens(name)) or "none here"
            # The full text of the error contains every option.
            reason = (error.strerror if isinstance(error, av.FFmpegError) else "") or "FFmpeg does not have it here"
            raise NotReadyError(
                f"the encoder {self.encoder} cannot be opened ({reason})", f"these can: {openable}"
            ) from error
        self._constant_fps = constant_fps
        # The context is replaced when the search changes.
        self.stream_copy = StreamCopy(self._context.stream)
        self.template = cast(VideoStream, self.stream_copy.stream)
        self._search = SearchChoice() if how.narrow else None
        self._quantiser = QuantiserChoice(macroblock_count(self.width, self.height))
        self._has_coarse = quality in how.coarse
        parameters = bytes(self.template.codec_context.extradata or b"")
        self._slices = SliceWriter.of(parameters, from_last_alone=how.from_last_alone) if codec == "h264" else None
        self._budget = _ByteBudget(PATCH_BYTES_PER_S, PATCH_BYTES_SAVED)

    def hurry(self, pts: int) -> None:
        """Take less time for each picture from now on, if the encoder can, because pictures before `pts` still wait."""
        if self._search is not None:
            self._search.hurry(pts)

    def encode(self, pixels: Pixels, pts: int, left: int = 0, top: int = 0) -> list[av.Packet[Any]]:
        """Encode a new picture: uint8 (height, width, 4), C-contiguous rows, shown from `pts` / 90000 s on.

        A smaller array replaces the part of the last picture at column `left` and row `top`; its position and size must
        be even. The encoder may keep a whole picture's array and write later parts into it. Raises `EncoderError`.
        """
        return self.encode_part(self.parts.convert(pixels, left, top, in_place=True), pts)

    def encode_part(self, part: YuvPart, pts: int) -> list[av.Packet[Any]]:
        """As `encode`, of what `parts` has converted, in its order."""
        frame = self._picture.put(part)
        if self._frame is not None and self._picture.changed == []:
            return self.repeat(pts)
        patch = self._patch(frame, pts)
        return self.encode_frame(frame, pts) if patch is None else [patch]

    def encode_frame(self, frame: av.VideoFrame, pts: int) -> list[av.Packet[Any]]:
        """Encode a picture that already has the encoder's size and pixel format, such as a decoded frame."""
        self._frame = frame
        self._changed_since_key = True
        packets = self._encode(frame, pts, self._wants_key(pts, self._key_interval_s))
        size = sum(packet.size for packet in packets)
        if packets and not packets[0].is_keyframe:
            self._bytes_since_key += size
            is_new = size >= _NEW_SHARE * self._key_bytes > 0
            self._is_new_since_key = self._is_new_since_key or is_new
            if is_new and self._is_past(pts, NEW_KEY_FRAME_INTERVAL_S) and VIDEO_CODECS[self.encoder].copies:
                # Nothing will refer to the picture that is thrown away. The encoder wants another pts.
                packets = self._encode(frame, pts + 1, as_key=True)
                self._last_key_pts = pts
                for packet in packets:
                    packet.pts = packet.dts = pts
        return [self._in_order(packet) for packet in packets]

    def _patch(self, frame: av.VideoFrame, pts: int) -> av.Packet[Any] | None:
        """Return a packet with only the changed macroblocks, or None if the encoder has to encode the picture."""
        changed, slices = self._picture.changed, self._slices
        if changed is None or slices is None or not slices.takes_macroblocks:
            return None
        if self._wants_key(pts, self._key_interval_s) or not self._budget.spend(len(changed) * SAMPLES_BYTES, pts):
            return None
        self._frame, self._changed_since_key = frame, True
        planes = planes_of(frame)
        packet = _packet(slices.picture([(address, samples_of(planes, address)) for address in changed]), pts)
        self._bytes_since_key += packet.size
        return packet

    def repeat(self, pts: int) -> list[av.Packet[Any]]:
        """Repeat the last picture at `pts` without converting it; `is_repeat` is true for the packets.

        Without a packet, the last picture is shown on: one that is being written cannot be encoded.
        """
        if self._frame is None:
            return []
        interval_s = self._repeat_key_interval_s if self._changed_since_key else self._still_key_interval_s
        wants_key = self._wants_key(pts, interval_s)
        # Only the last picture of a recording, when its screen is lost while it is read.
        is_ahead = self._picture.is_ahead
        if self._slices is not None and (is_ahead or not wants_key):
            packets = [_packet(self._slices.picture(), pts)]
        elif is_ahead:
            packets = []
        else:
            packets = [self._in_order(packet) for packet in self._encode(self._frame, pts, wants_key)]
        for packet in packets:
            packet.opaque = _Repeat()
        return packets

    def finish(self) -> list[av.Packet[Any]]:
        """Return the packets that are still in the encoder, and close it."""
        packets = [self._in_order(packet) for packet in self._context.encode(None)]
        self.close()
        return packets

    def close(self) -> None:
        """Release the encoder and its pictures; packets still in it are lost. May be called twice."""
        self._context.close()
        self._picture.close()
        self._frame = None

    def _wants_key(self, pts: int, interval_s: float) -> bool:
        search, quantiser = self._search, self._quantiser
        if search is not None:
            if quantiser.wants_key(pts, may_be_coarse=self._has_coarse and search.is_narrow):
                return True
            # Sizes with different quantisers say nothing about the search.
            if not quantiser.is_coarse and search.wants_key(pts):
                return True
        if self._bytes_since_key >= _CHEAP_AFTER_KEY_FRAMES * self._key_bytes > 0:
            interval_s = min(interval_s, CHEAP_KEY_FRAME_INTERVAL_S)
        if self._is_new_since_key:
            interval_s = min(interval_s, NEW_KEY_FRAME_INTERVAL_S)
        return self._is_past(pts, interval_s)

    def _is_past(self, pts: int, interval_s: float) -> bool:
        return pts - self._last_key_pts >= interval_s * VIDEO_TICKS_PER_S

    def _encode(self, frame: av.VideoFrame, pts: int, as_key: bool) -> list[av.Packet[Any]]:
        """Return the encoder's packets, which `_in_order` still has to renumber."""
        frame.pts, frame.time_base = pts, VIDEO_TIME_BASE
        frame.pict_type = PictureType.I if as_key else PictureType.NONE
        try:
            if as_key:
                self._choose(pts)
            packets = self._context.encode(frame)
        except av.FFmpegError as error:
            raise EncoderError(
                f"{self.encoder} refused a frame ({error})", "try another --encoder or --quality"
            ) from error
        size = sum(packet.size for packet in packets)
        self._quantiser.note(size, pts, is_key=as_key)
        if self._search is not None and not self._quantiser.is_coarse:
            self._search.note(size, is_key=as_key)
        if as_key:
            self._last_key_pts = pts
            self._changed_since_key = False
            self._key_bytes, self._bytes_since_key, self._is_new_since_key = size, 0, False
        return packets

    def _choose(self, pts: int) -> None:
        """Choose search and quantiser for the group that begins at `pts`, and use the encoder for them.

        Its parameter sets are the same, and it holds back nothing. An encoder takes 30 MB at 1080p, so there is never a
        second one.
        """
        if self._search is None:
            return
        was_narrow, was_coarse = self._search.is_narrow, self._quantiser.is_coarse
        if not was_coarse:
            self._search.choose(pts)
        is_settled = was_narrow and self._search.is_narrow
        self._quantiser.choose(pts, may_be_coarse=self._has_coarse and is_settled)
        is_narrow, is_coarse = self._search.is_narrow, self._quantiser.is_coarse
        if (is_narrow, is_coarse) == (was_narrow, was_coarse):
            return
        self._context.close()
        try:
            self._context = self._open(is_narrow=is_narrow, is_coarse=is_coarse)
        except (av.FFmpegError, ValueError):
            self._search, self._quantiser.is_coarse = None, False
            self._context = self._open()

    def _in_order(self, packet: av.Packet[Any]) -> av.Packet[Any]:
        """Return the encoder's packet, renumbered to fit the pictures written without the encoder.

        Some encoders repeat their parameters in key frames, where the frame rate has to be stated, too.
        """
        if self.codec != "h264":
            return packet
        data = made = bytes(packet)
        if packet.is_keyframe:
            made = with_rate_stated(made, constant=self._constant_fps)
        if self._slices is not None:
            made = self._slices.renumbered(made)
        return packet if made is data else _packet(made, packet.pts or 0, is_key=packet.is_keyframe)


class _ByteBudget:
    """A byte budget: earns `bytes_per_s` of media time and saves up to `most_saved`."""

    def __init__(self, bytes_per_s: int, most_saved: int) -> None:
        self._bytes_per_s = bytes_per_s
        self._most_saved = most_saved
        self._left: float = most_saved
        self._spent_pts = 0

    def spend(self, count: int, pts: int) -> bool:
        """Spend `count` bytes at `pts` if the budget allows; return whether it did."""
        earned = (pts - self._spent_pts) / VIDEO_TICKS_PER_S * self._bytes_per_s
        self._left, self._spent_pts = min(self._most_saved, self._left + earned), pts
        if count > self._left:
            return False
        self._left -= count
        return True


def _check_size(codec: str, width: int, height: int) -> None:
    """Raise `UsageError`, with the limit and a size within it, if `codec` cannot encode pictures of this size."""
    name, least, most = SIZES[codec]
    if least <= min(width, height) and max(width, height) <= most:
        return
    too_small = min(width, height) < least
    factor = _LEAST_SCALED / min(width, height) if too_small else most / max(width, height)
    fitting = [min(most, max(_LEAST_SCALED, round(side * factor) & ~1)) for side in (width, height)]
    limit = f"at least {least}" if too_small else f"at most {most}"
    raise UsageError(
        f"the picture is {width}x{height}, but {name} needs sides of {limit} pixels",
        f"scale it, as with --scale {fitting[0]}x{fitting[1]}, or record another part of the screen",
    )


def _packet(data: bytes, pts: int, *, is_key: bool = False) -> av.Packet[Any]:
    packet: av.Packet[Any] = av.Packet(data)
    packet.is_keyframe = is_key
    packet.pts = packet.dts = pts
    packet.time_base = VIDEO_TIME_BASE
    return packet
