"""The file formats that capture writes, and the encoders for them."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from capture.errors import UsageError

__all__ = ["CLIP_FORMATS", "CONTAINERS", "ENCODERS", "QUALITIES", "Container", "container_of"]

#: The formats that `clip --format` converts to.
CLIP_FORMATS: Final = ("gif", "webp", "mp4", "ogg", "m4a")


QUALITIES: Final = ("low", "medium", "high")


#: FFmpeg's encoders for each video codec. The first works everywhere, the others need their hardware.
ENCODERS: Final[dict[str, tuple[str, ...]]] = {
    "h264": ("libx264", "h264_nvenc", "h264_qsv", "h264_amf", "h264_videotoolbox"),
    "vp8": ("libvpx",),
}


class Container(NamedTuple):
    """A file format: FFmpeg's name for it, its codecs, and how many audio tracks it may have."""

    format: str
    video_codec: str | None
    audio_codec: str
    max_audio_tracks: int

    @property
    def holds_video(self) -> bool:
        return self.video_codec is not None


#: The formats by extension. Formats for sound alone get one track, because players show such a file as one song.
CONTAINERS: Final[dict[str, Container]] = {
    "mp4": Container("mp4", "h264", "aac", 16),
    "mov": Container("mov", "h264", "aac", 16),
    "mkv": Container("matroska", "h264", "opus", 16),
    "webm": Container("webm", "vp8", "opus", 16),
    "ogg": Container("ogg", None, "opus", 1),
    "opus": Container("ogg", None, "opus", 1),
    "m4a": Container("ipod", None, "aac", 1),
    "mp3": Container("mp3", None, "mp3", 1),
    "flac": Container("flac", None, "flac", 1),
    "wav": Container("wav", None, "pcm_s16le", 1),
}


def container_of(path: Path) -> Container:
    """Return the container that the extension of `path` selects. Raises `UsageError` for an unknown extension."""
    container = CONTAINERS.get(path.suffix[1:].lower())
    if container is None:
        known = ", ".join(f".{name}" for name in CONTAINERS)
        if not path.suffix:
            raise UsageError(f"{str(path)!r} has no extension", f"add one of {known}")
        raise UsageError(f"{path.suffix!r} is not a format that capture writes", f"use one of {known}")
    return container
