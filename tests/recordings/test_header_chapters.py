"""Files of sound alone have chapters: marks become them, and what is made of such files keeps them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from reopened import chapters
from running import eventually
from written import Sound, write

import capture
from capture.output.chapters import Chapter, fitted_chapters
from capture.recordings.check import check
from capture.recordings.contiguous import add_chapters
from capture.recordings.cut import cut_end
from capture.recordings.export import export
from capture.recordings.join import join
from capture.recordings.loudness import normalise
from capture.recordings.presets import PRESETS
from capture.recordings.repair import repair
from capture.recordings.transcode import convert
from capture.recordings.trim import trim

KINDS = ("ogg", "opus", "mp3", "flac", "wav")

#: 0.6 s is where FFmpeg's own comments would be a second late.
MARKED = [Chapter("Anfang", 0.0, 0.6), Chapter("zweitens; 始め", 0.6, 1.2), Chapter("c=d", 1.2, 2.0)]


def starts(path: Path) -> list[tuple[str, float]]:
    """Return the chapters as the system's FFmpeg reads them."""
    return [(title, round(start_s, 3)) for title, start_s, _ in chapters(path)]


def packets(path: Path) -> list[tuple[Any, bytes]]:
    with av.open(str(path)) as container:
        return [(packet.pts, bytes(packet)) for packet in container.demux(audio=0) if packet.size]


def samples(path: Path) -> Any:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)


def record_more(recorder: capture.Recorder, length_s: float) -> None:
    """Record on for a while: a mark at the very end begins no chapter."""
    until_s = recorder.elapsed_s + length_s
    eventually(lambda: recorder.elapsed_s > until_s, "more sound")


@pytest.fixture(params=KINDS)
def marked(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = write(tmp_path / f"talk.{request.param}", (Sound(),))
    add_chapters(path, MARKED)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_chapters_are_added_and_the_sound_stays_as_it_is(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"talk.{kind}", (Sound(),))
    before = packets(path), samples(path)
    add_chapters(path, MARKED)
    assert starts(path) == [(each.title, each.start_s) for each in MARKED]
    assert packets(path) == before[0]
    assert np.array_equal(samples(path), before[1])
    assert check(path).ok
    # In place of the old ones.
    add_chapters(path, MARKED[:1])
    assert starts(path) == [("Anfang", 0.0)]


@pytest.mark.parametrize("kind", KINDS)
def test_marks_of_a_recording_become_chapters(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"talk.{kind}"
    with capture.Recorder(path, pattern=True, title="Tälk") as recorder:
        for number in (1, 2):
            recorder.mark(f"Ähem {number}")
            record_more(recorder, 0.6)
    summary = recorder.summary
    assert summary is not None
    marked_s = [event.at_s for event in summary.events if event.kind == "mark"]
    found = starts(path)
    assert [title for title, _ in found[-2:]] == ["Ähem 1", "Ähem 2"]
    assert [start_s for _, start_s in found[-2:]] == pytest.approx(marked_s, abs=0.002)
    assert (summary.check, summary.size_bytes) == ("ok", path.stat().st_size)
    assert summary.duration_s == pytest.approx(check(path).duration_s, abs=0.01)
    with av.open(str(path)) as container:
        tags = {**container.metadata, **container.streams[0].metadata}
    assert {name.lower(): value for name, value in tags.items()}["title"] == "Tälk"


def test_a_voice_note_says_that_it_holds_none(tmp_path: Path) -> None:
    with capture.Recorder(tmp_path / "note.ogg", pattern=True, voice=True) as recorder:
        recorder.mark("here")
        record_more(recorder, 0.3)
    assert recorder.summary is not None
    (said,) = (event.detail for event in recorder.summary.events if event.kind == "chapters")
    assert said == "a voice note holds no chapters: record to .m4a, .flac or .wav to keep them"
    assert starts(tmp_path / "note.ogg") == []


def test_an_export_to_wav_keeps_the_chapters(tmp_path: Path) -> None:
    path = write(tmp_path / "talk.flac", (Sound(),))
    add_chapters(path, MARKED)
    made = export(path, "editor", PRESETS["editor"], tmp_path / "talk.wav").path
    assert starts(made) == [(each.title, each.start_s) for each in MARKED]
    assert check(made).ok


def test_what_is_made_of_a_file_keeps_its_chapters(marked: Path) -> None:
    kind = marked.suffix
    trim(marked, marked.with_name(f"trimmed{kind}"), 0.4, 1.4)
    assert starts(marked.with_name(f"trimmed{kind}")) == [
        ("Anfang", 0.0),
        ("zweitens; 始め", pytest.approx(0.2, abs=0.002)),
        ("c=d", pytest.approx(0.8, abs=0.002)),
    ]
    joined = marked.with_name(f"joined{kind}")
    join([marked, marked], joined)
    assert [title for title, _ in starts(joined)] == [each.title for each in MARKED] * 2
    exported = export(marked, "podcast", PRESETS["podcast"]).path
    assert exported.suffix == ".mp3"
    assert starts(exported) == starts(marked)
    assert starts(export(marked, "voice-note", PRESETS["voice-note"]).path) == []
    assert starts(convert(marked, "m4a")) == starts(marked)


def test_what_changes_a_file_keeps_its_chapters(marked: Path) -> None:
    before = starts(marked)
    normalise(marked, -30.0)
    assert starts(marked) == before
    if marked.suffix == ".flac":
        return
    cut_end(marked, 1.0)
    assert starts(marked) == before[:2]
    if marked.suffix not in (".mp3", ".wav"):
        # The last page is gone.
        marked.write_bytes(marked.read_bytes()[:-300])
        repair(marked)
        assert starts(marked) == before[:2]


def test_comments_number_999_chapters() -> None:
    many = [Chapter(f"Mark {number}", number, number + 1.0) for number in range(1_200)]
    kept, said = fitted_chapters(many, "flac")
    assert kept == many[:999]
    assert said == "the last 201 of 1200 chapters do not fit into the file: record to .mkv to keep everything"
    assert fitted_chapters(many, "mp3") == (many, "")
