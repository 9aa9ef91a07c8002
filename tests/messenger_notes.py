"""Voice notes as messengers store them, a home with a phone beside it, and `import` run on them."""

from __future__ import annotations

import json
import os
import random
import struct
import zipfile
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from datetime import datetime
from fractions import Fraction
from io import StringIO
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.stream import AudioStream

from capture.cli.main import main

__all__ = ["Home", "amr", "chunk", "imported", "opus_in_caf", "run", "voice", "wma"]


def voice(path: Path, length_s: float, layout: str = "mono", **metadata: str) -> bytes:
    """Write sound as messengers do, and return the file's content."""
    codec = "libopus" if path.suffix in (".ogg", ".opus") else "aac"
    rate = 16_000
    form = {".aac": "adts", ".m4a": "ipod", ".3gp": "3gp"}.get(path.suffix, "ogg")
    with av.open(str(path), "w", format=form) as container:
        container.metadata.update(metadata)
        stream = container.add_stream(codec, rate=rate, layout=layout)
        assert isinstance(stream, AudioStream)
        times = np.arange(round(length_s * rate)) / rate
        tone = (0.3 * np.sin(2 * np.pi * (300 + 100 * length_s) * times)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(np.tile(tone, (len(layout) // 4 or 1, 1)), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        resampler = av.AudioResampler(
            stream.codec_context.format, layout, rate, stream.codec_context.frame_size or None
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
            container.mux(stream.encode(piece))
    return path.read_bytes()


class Home:
    """The user's recordings folder, and a phone beside it."""

    def __init__(self, path: Path, notes: Mapping[str, bytes]) -> None:
        self.sounds, self.phone = path / "Music" / "Captures", path / "phone"
        self.notes = notes
        self.phone.mkdir()

    def put(self, name: str, note: str, at: str) -> Path:
        """Store a note on the phone, last changed at the local time `at`."""
        path = self.phone / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.notes[note])
        at_s = datetime.fromisoformat(at).timestamp()
        os.utime(path, (at_s, at_s))
        return path

    def zip(self, name: str, entries: dict[str, str], compression: int = zipfile.ZIP_DEFLATED) -> Path:
        path = self.phone.parent / name
        with zipfile.ZipFile(path, "w", compression) as archive:
            for entry, note in entries.items():
                archive.writestr(zipfile.ZipInfo(entry, (2023, 11, 9, 8, 0, 0)), self.notes[note], compression)
        return path


def run(*arguments: str | Path) -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([*map(str, arguments)])
    return code, out.getvalue(), err.getvalue()


def imported(*arguments: str | Path, code: int = 0) -> list[dict[str, Any]]:
    found, out, err = run("import", "--json", *arguments)
    assert (found, err) == (code, "")
    rows: list[dict[str, Any]] = json.loads(out)["notes"]
    return rows


#: The bytes of a frame of AMR in its most usual mode, 12.2 kbit/s, and of AMR-WB in 12.65 kbit/s; the types they have.
_NARROW = (b"#!AMR\n", 7, 32)
_WIDE = (b"#!AMR-WB\n", 2, 33)


def amr(length_s: float, *, is_wide: bool = False) -> bytes:
    """Return an AMR file of noise: all bits mean some sound."""
    mark, kind, size = _WIDE if is_wide else _NARROW
    noise = random.Random(1)
    return mark + b"".join(bytes([kind << 3 | 4]) + noise.randbytes(size - 1) for _ in range(round(length_s * 50)))


def chunk(kind: bytes, content: bytes, length: int | None = None) -> bytes:
    """Return a chunk of a CAF."""
    return kind + struct.pack(">q", len(content) if length is None else length) + content


def opus_in_caf(length_s: float, *, packets: bytes | None = None, data_length: int | None = None) -> bytes:
    """Return what Messages stores: FFmpeg writes no such file."""
    rate, size, skipped = 48_000, 960, 312
    encoder = av.CodecContext.create("libopus", "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format = rate, "mono", "s16"
    encoder.time_base = Fraction(1, rate)
    times = np.arange(round(length_s * rate)) / rate
    frame = av.AudioFrame.from_ndarray((9000 * np.sin(2 * np.pi * 440 * times)).astype(np.int16)[None], "s16", "mono")
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    encoder.open()
    pieces = av.AudioResampler("s16", "mono", rate, size)
    found = [
        bytes(packet)
        for piece in [*pieces.resample(frame), *pieces.resample(None), None]
        for packet in encoder.encode(piece)
    ]
    # None here is longer than 16,383 bytes.
    lengths = b"".join(
        bytes([len(one) >> 7 | 0x80, len(one) & 0x7F]) if len(one) > 0x7F else bytes([len(one)]) for one in found
    )
    listed = struct.pack(">qqii", len(found), len(found) * size - skipped, skipped, 0) + lengths
    described = struct.pack(">d4sIIIII", rate, b"opus", 0, 0, size, 1, 0)
    return (
        b"caff\0\1\0\0"
        + chunk(b"desc", described)
        + chunk(b"pakt", listed if packets is None else packets)
        + chunk(b"data", bytes(4) + b"".join(found), data_length)
    )


def wma(path: Path, length_s: float) -> bytes:
    rate = 44_100
    with av.open(str(path), "w", format="asf") as container:
        stream = container.add_stream("wmav2", rate=rate, layout="mono")
        assert isinstance(stream, AudioStream)
        stream.bit_rate = 64_000
        frame = av.AudioFrame.from_ndarray(np.zeros((1, round(length_s * rate)), np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        pieces = av.AudioResampler("fltp", "mono", rate, 2048)
        for piece in [*pieces.resample(frame), *pieces.resample(None), None]:
            container.mux(stream.encode(piece))
    return path.read_bytes()
