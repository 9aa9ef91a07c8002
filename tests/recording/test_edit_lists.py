"""No MP4 or MOV that capture writes hides or delays a picture by an edit list, whichever verb writes it.

The list of a video track may say only that everything is shown from the start, as FFmpeg writes it.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from takes import StandbyRecording

from capture.cli.main import main
from capture.events import Command
from capture.output.mp4_boxes import boxes_in


def content(data: bytes, *kinds: bytes) -> bytes:
    """Return the content of the box at the end of this path; empty if it is not there."""
    for kind in kinds:
        data = dict(boxes_in(data)).get(kind, b"")
    return data


def timescale(header: bytes) -> tuple[int, int]:
    """Return the units per second of an `mvhd` or `mdhd`, and its duration in them."""
    units, duration = struct.unpack_from(">IQ" if header[0] else ">II", header, 20 if header[0] else 12)
    return units, duration


def edits(path: Path) -> list[tuple[float, float, float]]:
    """Return for each edit of the video track where it begins in the track, its length and that of the track."""
    movie = content(path.read_bytes(), b"moov")
    found = []
    units, _ = timescale(content(movie, b"mvhd"))
    for kind, track in boxes_in(movie):
        if kind != b"trak" or content(track, b"mdia", b"hdlr")[8:12] != b"vide":
            continue
        track_units, track_duration = timescale(content(track, b"mdia", b"mdhd"))
        table = content(track, b"edts", b"elst")
        entry = ">QqI" if table[:1] == b"\1" else ">IiI"
        for place in range(8, len(table), struct.calcsize(entry)):
            duration, begins, _ = struct.unpack_from(entry, table, place)
            found.append((begins / track_units, duration / units, track_duration / track_units))
    return found


@pytest.mark.parametrize("extension", ["mp4", "mov"])
def test_no_verb_hides_or_delays_a_picture(extension: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    taken, clip, exact = (tmp_path / f"{name}.{extension}" for name in ("taken", "clip", "exact"))
    killed = tmp_path / f"killed.{extension}"
    with StandbyRecording(taken, video=True, fps=10.0, pre_roll_s=0.7) as recording:
        recording.until_kept(2.5)
        assert recording.ask(Command.CLIP, output=str(clip), last_s=1.7)["ok"]
        assert recording.ask(Command.CLIP, output=str(exact), last_s=1.3, exact=True)["ok"]
        recording.ask(Command.START)
        recording.until_elapsed(1.5)
        (taken,) = tmp_path.glob(f"taken*.{extension}")
        killed.write_bytes(taken.read_bytes())
        recording.ask(Command.STOP)
    out = f"out.{extension}"
    verbs: list[tuple[str | Path, ...]] = [
        ("trim", taken, "--from", "0.33", "--to", "1.21", "-o", f"trim-{out}"),
        ("trim", taken, "--cut", "0.4-0.9", "-o", f"cut-{out}"),
        ("trim", exact, "--from", "0.2", "--in-place"),
        ("trim", taken, "--silence", "--rest", "0.2s", "-o", f"silence-{out}"),
        ("join", taken, clip, "-o", f"join-{out}"),
        ("convert", taken, "--constant-fps", "-o", f"constant-{out}"),
        ("export", taken, "--for", "editor", "-o", f"editor-{out}"),
        ("export", taken, "--for", "whatsapp", "-o", "whatsapp-out.mp4"),
        ("repair", killed, "-o", f"repaired-{out}"),
    ]
    for arguments in verbs:
        assert main([str(argument) for argument in arguments]) == 0, arguments
    made = [path for path in tmp_path.glob("*.m[po][4v]") if path != killed]
    assert len(made) == 3 + 8
    for path in made:
        for begins_s, length_s, track_s in edits(path):
            assert begins_s == 0, path.name
            assert length_s == pytest.approx(track_s, abs=0.0015), path.name
        assert len(edits(path)) <= 1
