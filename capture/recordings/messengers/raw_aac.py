"""Puts raw AAC, in which Signal sends voice messages, into an M4A, which programs can seek in and capture can read.

The samples are not encoded again.
"""

from __future__ import annotations

from pathlib import Path

import av

from capture.errors import RecordingError
from capture.recordings.check import check
from capture.system.durable import sync_content

__all__ = ["packed"]


def packed(path: Path) -> Path:
    """Return the M4A made of the raw AAC at `path`, beside it; its content is on the disk.

    Raises `RecordingError` when the file is damaged, `OSError` when the new one cannot be written.
    """
    made = path.with_suffix(".m4a")
    # FFmpeg would create it with the mode of the umask.
    made.touch(0o600)
    try:
        with (
            av.open(str(path.absolute()), format="aac", options={"protocol_whitelist": "file"}) as source,
            av.open(str(made.absolute()), "w", format="ipod") as output,
        ):
            (track,) = source.streams.audio
            stream = output.add_stream_from_template(track)
            for packet in source.demux(track):
                if packet.size:
                    packet.stream = stream
                    output.mux_one(packet)
    except (av.FFmpegError, ValueError) as error:
        raise RecordingError(f"its AAC cannot be read ({error})") from error
    report = check(made, listen=False)
    if not report.ok:
        raise RecordingError(f"its AAC is damaged: {report.problems[0]}")
    with made.open("rb+") as file:
        sync_content(file.fileno())
    return made
