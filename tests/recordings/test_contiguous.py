"""An M4A that is finished lies in one piece, so a decoder that only reads on from its first sample gets all of it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from reopened import chapters
from running import eventually
from written import Sound, write

import capture
from capture.codecs.audio_encoder import AudioEncoder
from capture.formats import CONTAINERS
from capture.media import SAMPLE_RATE
from capture.output.muxer import Muxer
from capture.recordings.check import check
from capture.recordings.contiguous import make_contiguous
from capture.recordings.repair import repair


def packets_in(path: Path) -> list[tuple[int, int, bytes]]:
    """Return the place, the time and the content of each packet."""
    with av.open(str(path)) as container:
        return [(packet.pos or 0, packet.pts or 0, bytes(packet)) for packet in container.demux(audio=0) if packet.size]


def is_contiguous(path: Path) -> bool:
    return all(place + len(data) == following for (place, _, data), (following, *_) in pairwise(packets_in(path)))


def test_a_finished_recording_is_laid_out_in_one_piece(tmp_path: Path) -> None:
    path = tmp_path / "talk.m4a"
    with capture.Recorder(path, pattern=True) as recorder:
        eventually(lambda: recorder.elapsed_s > 0.4, "a fragment")
        recorder.mark("later")
        eventually(lambda: recorder.elapsed_s > 1.0, "two more")
    assert recorder.summary is not None
    assert recorder.summary.check == "ok"
    assert is_contiguous(path)
    assert [title for title, *_ in chapters(path)][-1] == "later"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_packets_and_length_stay(tmp_path: Path) -> None:
    path = write(tmp_path / "made.m4a", (Sound(end_s=3),), None)
    before, length_s = packets_in(path), check(path).duration_s
    assert not is_contiguous(path)
    make_contiguous(path)
    assert is_contiguous(path)
    assert [packet[1:] for packet in packets_in(path)] == [packet[1:] for packet in before]
    assert check(path).duration_s == length_s


def test_a_repaired_recording_is_laid_out_in_one_piece(tmp_path: Path) -> None:
    path = tmp_path / "made.m4a"
    encoder = AudioEncoder("aac", 2)
    muxer = Muxer(path, CONTAINERS["m4a"])
    muxer.start([encoder.template])
    for packet in encoder.encode(np.random.default_rng(1).normal(0, 0.1, (3 * SAMPLE_RATE, 2)).astype(np.float32)):
        muxer.write(0, packet)
    content = path.read_bytes()
    muxer.close()
    muxer.keep()
    path.write_bytes(content)
    assert repair(path).was_needed
    assert is_contiguous(path)
