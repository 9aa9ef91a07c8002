"""Chooses one of FFmpeg's encoders for the picture, by whether it encodes a test picture here."""

from __future__ import annotations

from contextlib import closing

import av

from capture.codecs.video_context import opens
from capture.codecs.video_encoder import VideoEncoder
from capture.errors import EncoderError, NotReadyError
from capture.formats import ENCODERS

__all__ = ["choose_encoder"]


def choose_encoder(codec: str, wanted: str, width: int, height: int, fps: float) -> tuple[str, str]:
    """Choose one of FFmpeg's encoders for `codec`; return its name and a reason for the user, "" without a choice.

    `wanted` is a name or `auto`. `auto` takes the first hardware encoder that encodes a test picture of this size.
    """
    software, *hardware = ENCODERS[codec]
    if wanted != "auto":
        return wanted, ""
    for name in hardware:
        try:
            _try_out(codec, name, width, height, fps)
        except (NotReadyError, EncoderError, av.FFmpegError):
            continue
        return name, f"{name}: it encoded a test picture"
    return software, f"{software}: no hardware encoder works here ({', '.join(hardware)})" if hardware else ""


def _try_out(codec: str, name: str, width: int, height: int, fps: float) -> None:
    # Most of the encoders that FFmpeg lists fail here at once; `VideoEncoder` would take 0.1 s to list those that open.
    if not opens(name):
        raise NotReadyError(f"the encoder {name} cannot be opened", "use auto")
    with closing(VideoEncoder(codec, width, height, fps, encoder=name)) as encoder:
        grey = av.VideoFrame(width, height, "yuv420p")
        packets = [*encoder.encode_frame(grey, 0), *encoder.finish()]
    if not any(packet.size for packet in packets):
        raise EncoderError(f"{name} made no packet from a test picture")
