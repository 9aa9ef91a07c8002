"""Verbs that write from a recording refuse one that would keep them busy out of all proportion, and leave nothing."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from conftest import RunCapture
from written import Sound, write

from benchmarks.hostile import FILES
from capture.errors import RecordingError
from capture.recordings import contents, proportion
from capture.recordings.constant_rate import with_constant_rate
from capture.recordings.headers import bounds
from capture.recordings.join import join
from capture.recordings.pauses import Silence
from capture.recordings.sound_reader import SoundReader
from capture.recordings.trim import trim
from capture.speech.whisper import sound_for_speech

Verb = Callable[[Path, Path], object]

VERBS: dict[str, Verb] = {
    "trim": lambda path, made: trim(path, made, 0.1),
    "silence": lambda path, made: trim(path, made, silence=Silence()),
    "join": lambda path, made: join([path, path], made),
    "transcribe": lambda path, made: sound_for_speech(path),
    "convert": lambda path, made: with_constant_rate(path, made, 30.0),
}

#: What `check` finds as well, and what only shows when packets are decoded.
FLOODS = ("tiny-blocks.webm", "laced-bytes.webm", "packets-of-one-byte.opus", "tiny-frames.mp3")


@pytest.fixture
def few_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_UNWATCHED", 100), ("_MOST_AT_ONCE", 1_000), ("_MOST_PACKETS", 1_000)):
        monkeypatch.setattr(proportion, name, value)
    for module in (contents, proportion):
        monkeypatch.setattr(module, "most_packets", lambda size_bytes: 2_000)


@pytest.mark.usefixtures("few_packets")
@pytest.mark.parametrize("verb", ["trim", "join", "transcribe"])
@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_of_packets_is_refused(name: str, verb: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name](100_000))
    with pytest.raises(RecordingError, match=r"has \d+,\d+ packets|holds more than 2,000 packets|it was cut off"):
        VERBS[verb](path, path.with_stem("made"))
    assert [each.name for each in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("name", ["many-tracks.mp4", "many-tags.wav", "nested-tags.mkv", "many-comments.opus"])
def test_headers_are_held_before_ffmpeg_opens_the_file(
    name: str, verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("FFmpeg opened the file")

    monkeypatch.setattr("av.open", refuse)
    path = tmp_path / name
    path.write_bytes(FILES[name](3_000_000))
    with pytest.raises(RecordingError, match=f"{re.escape(name)} cannot be ") as caught:
        VERBS[verb](path, path.with_stem("made"))
    assert "see capture check" not in str(caught.value)
    assert [each.name for each in tmp_path.iterdir()] == [name]


def far_apart(path: Path) -> Path:
    """Write sound with a hole of two days."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libopus", rate=48_000, layout="stereo")
        assert isinstance(stream, AudioStream)
        for at_s in (0, 180_000):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1_920), np.float32), format="flt", layout="stereo")
            frame.sample_rate, frame.pts = 48_000, at_s * 48_000
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_a_length_of_days_is_refused(tmp_path: Path) -> None:
    path = far_apart(tmp_path / "a.mkv")
    with pytest.raises(RecordingError, match=r"a\.mkv cannot be trimmed: it claims to last longer than 24 hours"):
        trim(path, tmp_path / "b.mkv", 0.1)
    reader = SoundReader(path, 0, 2, sixteen_bits=False)
    with pytest.raises(RecordingError, match="it claims to last longer than 24 hours"):
        list(reader.read(0, float("inf")))
    reader.close()
    assert [each.name for each in tmp_path.iterdir()] == ["a.mkv"]


@pytest.mark.usefixtures("few_packets")
@pytest.mark.parametrize("verb", ["trim", "join", "transcribe"])
def test_a_recording_within_the_bounds_is_taken(verb: str, tmp_path: Path) -> None:
    path = write(tmp_path / "talk.mkv", (Sound(),))
    VERBS[verb](path, tmp_path / "made.mkv")


def test_the_user_can_lift_the_limits(run_capture: RunCapture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "many.wav"
    path.write_bytes(FILES["many-tags.wav"](300_000) + bytes(200_000))
    chunk = path.read_bytes().rfind(b"data") + 4
    content = bytearray(path.read_bytes())
    content[chunk : chunk + 4] = (len(content) - chunk - 4).to_bytes(4, "little")
    path.write_bytes(content)
    held = run_capture("trim", path, "--from", "0.1s")
    assert held.returncode == 1
    assert f"10,001 tags, more than {bounds.MOST_TAGS:,}: if you trust the file, add --no-limits" in held.stderr
    assert run_capture("trim", path, "--from", "0.1s", "--no-limits").returncode == 0


def test_import_does_not_name_an_option_that_it_lacks(
    run_capture: RunCapture, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "phone"
    folder.mkdir()
    (folder / "PTT-20261101-WA0001.opus").write_bytes(FILES["many-comments.opus"](3_000_000))
    done = run_capture("import", folder, "--copy", "--format", "m4a")
    assert done.returncode == 1
    assert "PTT-20261101-WA0001.opus was not converted: " in done.stderr
    assert "tags, more than 10,000" in done.stderr
    assert "--no-limits" not in done.stderr
    shutil.rmtree(folder)
