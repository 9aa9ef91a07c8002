"""The file formats that capture writes, and which encoders make them."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from capture.errors import UsageError

__all__ = ["CLIP_FORMATS", "CONTAINERS", "ENCODERS", "QUALITIES", "Container", "container_of"]

#: What a clip can be turned into.
CLIP_FORMATS: Final = ("gif", "webp", "mp4", "ogg", "m4a")


QUALITIES: Final = ("low", "medium", "high")


#: Which of FFmpeg's encoders make a video codec: the first works everywhere, the others need a device of theirs.
ENCODERS: Final[dict[str, tuple[str, ...]]] = {
    "h264": ("libx264", "h264_nvenc", "h264_qsv", "h264_amf", "h264_videotoolbox"),
    "vp8": ("libvpx",),
}


class Container(NamedTuple):
    """A file format: the name FFmpeg knows it by and what is put inside."""

    format: str
    video_codec: str | None
    audio_codec: str
    max_audio_tracks: int

    @property
    def holds_video(self) -> bool:
        return self.video_codec is not None


#: By extension. Sound-only formats are what players show as one song: one track each.
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
    """The container that the extension of `path` names; `UsageError` for one that is not known."""
    container = CONTAINERS.get(path.suffix[1:].lower())
    if container is None:
        known = " ".join(f".{name}" for name in CONTAINERS)
        found = f"the extension {path.suffix!r}" if path.suffix else f"{str(path)!r} has no extension; a missing one"
        raise UsageError(f"{found} names no format that can be written", f"use one of {known}")
    return container
