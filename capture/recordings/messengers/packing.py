"""Puts the sound of voice notes whose files other programs hardly play into files that capture and they can.

AAC is moved into an M4A without encoding it again. Other sound is decoded into a FLAC, for `transcode` to encode.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av

from capture.errors import RecordingError
from capture.recordings.check import check
from capture.recordings.messengers.note_sound import NoteSound
from capture.system.durable import sync_content

__all__ = ["packed"]

#: What opening the file, or reading one packet of it, may take.
_PATIENCE_S: Final = 5.0

#: A longer one was built to fill the disk.
_LONGEST_S: Final = 10 * 3600

#: The most damaged packets before the whole counts as damaged: a note was cut off, or a bit fell over.
_MOST_UNDECODABLE: Final = 50


def packed(path: Path, sound: NoteSound) -> Path:
    """Return the M4A or FLAC made of the note at `path`, beside it; its content is on the disk.

    Raises `RecordingError` when the note is damaged, `OSError` when the new file cannot be written.
    """
    is_copied = sound.codec == "aac"
    made = path.with_suffix(".m4a" if is_copied else ".flac")
    # FFmpeg would create it with the mode of the umask.
    made.touch(0o600)
    name = sound.codec.upper().replace("_", "-")
    try:
        with (
            # With this demuxer alone: the headers were read as those of such a file.
            av.open(
                str(path.absolute()),
                format=sound.form,
                options={"protocol_whitelist": "file"},
                timeout=_PATIENCE_S,
            ) as source,
            av.open(str(made.absolute()), "w", format="ipod" if is_copied else "flac") as output,
        ):
            if is_copied:
                _copy(source, output)
            else:
                _decode(source, output)
    except (av.FFmpegError, ValueError) as error:
        raise RecordingError(f"its {name} cannot be read ({getattr(error, 'strerror', None) or error})") from error
    report = check(made, listen=False)
    if not report.ok:
        raise RecordingError(f"its {name} is damaged: {report.problems[0]}")
    with made.open("rb+") as file:
        sync_content(file.fileno())
    return made


def _copy(source: Any, output: Any) -> None:
    (track,) = source.streams.audio
    stream = output.add_stream_from_template(track)
    for packet in source.demux(track):
        if packet.size:
            packet.stream = stream
            output.mux_one(packet)


def _decode(source: Any, output: Any) -> None:
    # Without a codec that FFmpeg knows, PyAV gives a track no context.
    track = next((track for track in source.streams.audio if track.codec_context is not None), None)
    if track is None:
        raise ValueError("FFmpeg knows no such sound")
    rate, layout = track.codec_context.sample_rate, "mono" if track.codec_context.channels == 1 else "stereo"
    stream = output.add_stream("flac", rate=rate, layout=layout)
    resampler = av.AudioResampler("s16", layout, rate)
    samples = undecodable = 0
    for packet in source.demux(track):
        try:
            frames = packet.decode()
        except av.FFmpegError:
            undecodable += 1
            if undecodable > _MOST_UNDECODABLE:
                raise
            continue
        for frame in frames:
            samples += frame.samples
            if samples > _LONGEST_S * rate:
                raise RecordingError(f"it is longer than {_LONGEST_S // 3600} hours")
            # Those of the container count packets, and may have gaps.
            frame.pts, frame.time_base = None, Fraction(1, rate)
            for made in resampler.resample(frame):
                output.mux(stream.encode(made))
    if not samples:
        raise RecordingError("there is no sound in it")
    for made in resampler.resample(None):
        output.mux(stream.encode(made))
    output.mux(stream.encode(None))
