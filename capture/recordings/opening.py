"""Opens recordings with FFmpeg, as the container that their first bytes announce."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import av
from av.container import InputContainer

from capture.recordings.headers.file import Form, form_of

__all__ = ["MOST_PIXELS", "PATIENCE_S", "open_recording", "origin_s", "patience_s", "reason_of"]

#: Pictures are decoded up to 8K (7680 x 4320): larger ones would take gigabytes.
MOST_PIXELS: Final = 36_000_000

#: How long FFmpeg may look for one packet of a file that is not trusted: it can skip billions of empty ones.
PATIENCE_S: Final = 5.0

#: Whatever a file contains, FFmpeg opens only files for it, never an address on a network. To find a track's format, it
#: decodes a few pictures.
_OPTIONS: Final = {"protocol_whitelist": "file", "max_pixels": str(MOST_PIXELS)}

#: Other demuxers would take a text file for a picture, or a playlist for the files it names. Some programs tag FLAC as
#: if it were MP3.
_DEMUXERS: Final = {form: form.value for form in Form} | {Form.MP3: "mp3,flac"}

#: PyAV 18 refuses a title that is not UTF-8 unless it is asked to replace the wrong bytes. PyAV 19 always does, and no
#: longer knows the word.
_REPLACING: Final[dict[str, Any]] = {"metadata_errors": "replace"} if av.__version__.startswith("18.") else {}


#: To find out more than headers and packets say, such as its pixel format, FFmpeg decodes the first picture: most of
#: the time that it takes to check a short recording.
_UNDECODED: Final = {"skip_frame": "all"}

#: FFmpeg reads packets of two tracks that are up to a second apart in the order of their bytes, others in that of their
#: times. In a file built for it, each packet takes a seek and a read of 32 kB then.
_IN_FILE_ORDER: Final = {"interleaved_read": "0"}


def open_recording(
    path: Path,
    timeout_s: float | None = None,
    *,
    probe_bytes: int | None = None,
    in_file_order: bool = False,
    undecoded: bool = False,
) -> InputContainer:
    """Open the file at `path` to read its packets. Raises `av.FFmpegError`, `OSError` and `ValueError`.

    FFmpeg reads up to `probe_bytes` of packets to find out what the headers leave open, by default 5 MB.
    Opening it, and reading a packet, ends with an `av.error.ExitError` after `timeout_s`. With `in_file_order`, packets
    of different tracks may come further apart than they are played. With `undecoded`, no picture is decoded to find out
    more about it, such as its pixel format.

    FFmpeg gets only the demuxer whose headers were walked, so no file can pass as one kind and be read as another.
    """
    with path.open("rb") as file:
        form = form_of(file.read(12))
    demuxers = ",".join(_DEMUXERS.values()) if form is None else _DEMUXERS[form]
    options = {**_OPTIONS, "format_whitelist": demuxers}
    if probe_bytes is not None:
        options["probesize"] = str(probe_bytes)
    if in_file_order and form is Form.MP4:
        options |= _IN_FILE_ORDER
    if undecoded:
        options |= _UNDECODED
    # A relative name with a colon would be taken for a protocol.
    container: InputContainer = av.open(str(path.absolute()), options=options, timeout=timeout_s, **_REPLACING)
    return container


def patience_s(limits: bool) -> float | None:
    """Return how long FFmpeg may look for one packet: without `limits` as long as it likes."""
    return PATIENCE_S if limits else None


def origin_s(container: InputContainer) -> float:
    """Return the time in a container at which its first track starts: players count from there."""
    return max(0.0, (container.start_time or 0) / av.time_base)


def reason_of(error: Exception) -> str:
    """Return why a recording could not be opened or read."""
    if isinstance(error, av.error.ExitError):
        return "it takes too long"
    return str(getattr(error, "strerror", None) or error)
