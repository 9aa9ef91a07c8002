"""`transcribe` writes text and subtitles beside a recording; what goes wrong with library or model is said.

Real models are too large for tests: words come from a double in place of the library, which runs in the real process
beside. The real library runs with an empty model, which hears nothing. With the weights of tiny.en, it was run by hand.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from conftest import PROJECT
from running import eventually
from written import Picture, Sound, write

from capture.cli.main import main
from capture.recordings.check import check
from capture.speech import whisper
from capture.speech.transcript import Segment, as_srt, as_text
from capture.speech.whisper import heard_in

DOUBLE = """
import os


class Segment:
    def __init__(self, t0, t1, text):
        self.t0, self.t1, self.text = t0, t1, text


class Model:
    @staticmethod
    def available_languages():
        return ["en", "de"]

    def __init__(self, path, **options):
        self.language = options["language"]
        with open(path, "rb") as file:
            behaves = file.read()[48:]
        if behaves == b"crashes":
            os.kill(os.getpid(), 11)
        elif behaves != b"double":
            raise RuntimeError("no double")

    def transcribe(self, samples, new_segment_callback):
        assert str(samples.dtype) == "float32" and samples.ndim == 1
        peak = round(float(abs(samples).max()), 1)
        for found in (
            Segment(20, 90, " Hello,  {\\x1b}\\n wörld! "),
            Segment(90, 100, " "),
            Segment(110, 3000, f" {self.language}: {len(samples) / 16000:.1f} s up to {peak}"),
        ):
            new_segment_callback(found)
"""

HEARD = "auto: 2.0 s up to 0.3"


def header(words: int = 51_865) -> bytes:
    """The header of a model, smaller than any that exists; by the number of its words, it knows more than English."""
    return struct.pack("<4s11i", b"lmgg", words, 1500, 64, 1, 1, 448, 64, 1, 1, 80, 1)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("originals")
    write(folder / "a.mp4", (Sound(), Sound(peak=0.1)), Picture())
    write(folder / "a.mkv", (Sound(),), Picture())
    write(folder / "a.ogg", (Sound(),))
    return folder


@pytest.fixture
def folder(own_home: Path, originals: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's recordings folder, and the current one."""
    made = own_home / "Music" / "Captures"
    shutil.copytree(originals, made)
    monkeypatch.chdir(made)
    return made


def use_library(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `text` be the module of the library that the process beside loads."""
    package = tmp_path / "double" / "pywhispercpp"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "model.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    use_library(DOUBLE, tmp_path, monkeypatch)
    path = tmp_path / "double.bin"
    path.write_bytes(header() + b"double")
    return path


def run(*arguments: str | Path) -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([*map(str, arguments)])
    return code, out.getvalue(), err.getvalue()


def test_words_are_written_beside_the_recording_and_found(folder: Path, model: Path) -> None:
    assert run("config", "speech.model", model)[0] == 0
    code, out, err = run("transcribe", "a.ogg", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["segments"] == [
        {"start_s": 0.2, "end_s": 0.9, "text": "Hello, { } wörld!"},
        {"start_s": 1.1, "end_s": pytest.approx(2.0, abs=0.02), "text": HEARD},
    ]
    assert Path("a.txt").read_text() == f"Hello, {{ }} wörld!\n{HEARD}\n"
    assert (
        Path("a.srt").read_text().startswith("1\n00:00:00,200 --> 00:00:00,900\nHello, { } wörld!\n\n2\n00:00:01,100")
    )
    assert Path("a.txt").stat().st_mode & 0o777 == 0o600
    rows = json.loads(run("list", "--text", "WÖRLD", "--json")[1])["recordings"]
    assert {Path(row["path"]).name for row in rows} == {"a.mkv", "a.mp4", "a.ogg"}
    Path("a.txt").rename("other.txt")
    assert json.loads(run("list", "--text", "wörld", "--json")[1])["recordings"] == []
    code, out, err = run("transcribe", "a.ogg")
    assert (code, out) == (2, "")
    assert err == "capture: a.srt exists already: move it away, or give --overwrite\n"
    code, out, err = run("transcribe", "a.ogg", "--overwrite", "--language", "de")
    assert (code, out, err) == (0, "saved a.txt and a.srt\n", "")
    assert "de: 2.0 s" in Path("a.txt").read_text()


def test_one_track_can_be_chosen(folder: Path, model: Path) -> None:
    assert run("transcribe", "a.mp4", "--track", "2", "--model", model)[0] == 0
    assert "up to 0.1" in Path("a.txt").read_text()
    code, _, err = run("transcribe", "a.mp4", "--track", "3", "--model", model, "--overwrite")
    assert (code, err) == (2, "capture: there is no audio track 3 in a.mp4: there are audio tracks 1 to 2\n")


@pytest.mark.parametrize(("name", "heard"), [("a.mp4", "auto: 2.0 s up to 0.4"), ("a.mkv", HEARD)])
def test_subtitles_are_read_by_another_program(name: str, heard: str, folder: Path, model: Path) -> None:
    before = Path(name).read_bytes()
    code, out, err = run("transcribe", name, "--embed", "--model", model)
    made = Path(name).with_stem("a-subtitled")
    assert (code, out, err) == (0, f"saved a.txt and a.srt, and {made}\n", "")
    assert Path(name).read_bytes() == before
    assert check(made).ok
    assert [track.kind for track in check(made).streams] == [track.kind for track in check(Path(name)).streams]
    read = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", made, "-map", "0:s", "-f", "srt", "-"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    lines = read.stdout.splitlines()
    assert [line for line in lines if "wörld" in line or "up to" in line] == ["Hello, { } wörld!", heard]
    assert lines[1].startswith("00:00:00,20")
    with av.open(str(made)) as opened, av.open(name) as original:
        kinds = [stream.type for stream in original.streams]
        assert [stream.type for stream in opened.streams] == [*kinds, "subtitle"]
        assert [bytes(p) for p in opened.demux(video=0)] == [bytes(p) for p in original.demux(video=0)]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ("a.ogg",),
            3,
            "no speech model was named: download one, such as ggml-base.bin, from huggingface.co/",
        ),
        (("a.ogg", "--model", "no.bin"), 3, "the speech model no.bin cannot be read (No such file or directory): "),
        (("a.ogg", "--model", "a.ogg"), 3, "a.ogg is not a model of whisper.cpp, or is damaged: download one"),
        (("a.ogg", "--embed"), 2, "a .ogg file has no room for subtitles: players find the .srt file beside it"),
        (("a.ogg", "--track", "0"), 2, "there is no audio track 0 in a.ogg: there is one audio track"),
        (("a.mp4", "--track", "3"), 2, "there is no audio track 3 in a.mp4: there are audio tracks 1 to 2"),
        (("a.ogg", "--model", "~nobody-here/m.bin"), 3, "the speech model ~nobody-here/m.bin cannot be read (No such"),
        (("no.ogg",), 2, "no.ogg does not exist: name an existing recording"),
    ],
)
def test_what_cannot_be_heard_is_said(arguments: tuple[str, ...], code: int, message: str, folder: Path) -> None:
    found, out, err = run("transcribe", *arguments)
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert err.startswith(f"capture: {message}")
    assert not list(folder.glob("*.txt"))


def test_an_unknown_language_and_a_failing_model_are_said(folder: Path, model: Path) -> None:
    code, _, err = run("transcribe", "a.ogg", "--model", model, "--language", "xx")
    assert (code, err) == (
        2,
        "capture: the speech model does not know the language 'xx': give auto, or a code like en\n",
    )
    model.write_bytes(header() + b"other")
    code, _, err = run("transcribe", "a.ogg", "--model", model)
    assert (code, err) == (1, f"capture: the speech model {model} failed (no double): try another model\n")
    model.write_bytes(header() + b"crashes")
    code, _, err = run("transcribe", "a.ogg", "--model", model)
    assert code == 1
    assert err == f"capture: the speech model {model} crashed (SIGSEGV): the file may be damaged: download it again\n"


def test_a_full_temporary_folder_is_said(folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.TemporaryFile", partial(open, "/dev/full", "r+b", buffering=0))
    code, _, err = run("transcribe", "a.ogg", "--model", model)
    assert code == 1
    assert err.startswith("capture: the sound for the speech model cannot be stored (")
    assert err.endswith("): free some space in the temporary folder, or set TMPDIR to another\n")


def test_a_text_that_is_written_meanwhile_stays(folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def heard(*given: Any) -> list[Any]:
        Path("a.txt").write_text("mine")
        return []

    monkeypatch.setattr("capture.speech.whisper.heard_in", heard)
    code, _, err = run("transcribe", "a.ogg", "--model", model)
    assert (code, err) == (2, "capture: a.txt exists already: move it away, or give --overwrite\n")
    assert (Path("a.txt").read_text(), Path("a.srt").exists()) == ("mine", False)


def test_a_model_of_english_is_not_asked_for_other_languages(folder: Path, model: Path) -> None:
    model.write_bytes(header(51_864) + b"double")
    code, out, err = run("transcribe", "a.ogg", "--model", model, "--language", "de")
    assert (code, out) == (2, "")
    assert err.startswith("capture: double.bin knows English only, not 'de': use a model without .en in its name")
    assert run("transcribe", "a.ogg", "--model", model)[0] == 0
    assert run("transcribe", "a.ogg", "--model", model, "--language", "en", "--overwrite")[0] == 0


def test_tracks_that_end_apart_get_subtitles_too(folder: Path, model: Path) -> None:
    write(Path("apart.mkv"), (Sound(),), Picture(end_s=5.0))
    assert not check(Path("apart.mkv")).ok
    code, _, err = run("transcribe", "apart.mkv", "--embed", "--model", model)
    assert (code, err) == (0, "")
    with av.open("apart-subtitled.mkv") as opened:
        assert [stream.type for stream in opened.streams] == ["video", "audio", "subtitle"]


def test_what_would_take_all_memory_is_refused(folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whisper, "_LONGEST_S", 1)
    code, out, err = run("transcribe", "a.ogg", "--model", model)
    assert (code, out) == (1, "")
    assert err.startswith("capture: a.ogg has more than 0 hours of sound, too much at once: cut it into parts with")


def test_a_missing_library_is_said(folder: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "double" / "pywhispercpp" / "model.py").write_text("raise ImportError('none here')")
    code, out, err = run("transcribe", "a.ogg", "--model", model)
    assert (code, out) == (3, "")
    assert err == ("capture: the library pywhispercpp is missing (none here): pip install 'capture-recorder[speech]'\n")


@pytest.mark.usefixtures("as_in_a_terminal")
def test_ctrl_c_ends_the_model_and_leaves_nothing(folder: Path, model: Path, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    hangs = f"open({str(begun)!r}, 'w').close(); import time; time.sleep(600)"
    library = tmp_path / "double" / "pywhispercpp" / "model.py"
    library.write_text(DOUBLE.replace("peak = ", f"{hangs}\n        peak = "))
    command = [sys.executable, "-m", "capture", "transcribe", "a.ogg", "--model", str(model)]
    environment = {**os.environ, "PYTHONPATH": f"{PROJECT}:{library.parent.parent}"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        eventually(begun.exists, "the model's work")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, err) == (1, "capture: interrupted\n")
    assert not list(folder.glob("*.txt"))


def empty_model() -> bytes:
    """A model of whisper.cpp with a vocabulary and no weights, which the library takes for a test."""
    words = [" ", " -", " '", *(f" {number}" for number in range(3, 50_257))]
    parts = [header(51_864), struct.pack("<2i", 80, 201), bytes(80 * 201 * 4)]
    parts.append(struct.pack("<i", len(words)))
    parts += [struct.pack("<i", len(word)) + word.encode() for word in words]
    return b"".join(parts)


def test_the_real_library_hears_nothing_with_an_empty_model(tmp_path: Path) -> None:
    model = tmp_path / "empty.bin"
    model.write_bytes(empty_model())
    assert heard_in(np.zeros(16_000, np.float32), model, "en") == []


def test_times_and_paragraphs() -> None:
    segments = [Segment(0.0, 1.9996, "One."), Segment(2.5, 3.0, "Two."), Segment(3661.25, 3662.0, "Three.")]
    assert as_text(segments) == "One.\nTwo.\n\nThree.\n"
    assert as_srt(segments) == (
        "1\n00:00:00,000 --> 00:00:02,000\nOne.\n\n2\n00:00:02,500 --> 00:00:03,000\nTwo.\n\n"
        "3\n01:01:01,250 --> 01:01:02,000\nThree.\n"
    )
    assert (as_text([]), as_srt([])) == ("", "")
