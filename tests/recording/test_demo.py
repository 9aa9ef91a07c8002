"""The program that `make demo` records: its voice, its lettering, its drawing, and a complete run on a desk."""

from __future__ import annotations

import subprocess
import sys
import wave
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from capture.errors import NotReadyError
from capture.virtual.desk import VirtualDesk
from demo import lettering
from demo.canvas import Canvas, blend
from demo.lettering import Lettering, set_in_type
from demo.voice import RATE, Voice, sing, speak, write_wav

SENTENCES = ("One sentence.", "And another.")


@pytest.mark.parametrize("perform", [speak, sing])
@pytest.mark.usefixtures("in_process_desk")  # espeak-ng looks for a sound server even when it writes a file
def test_the_sentences_are_heard_one_after_the_other(perform: Callable[[Sequence[str]], Voice]) -> None:
    voice = perform(SENTENCES)
    assert [line.text for line in voice.lines] == list(SENTENCES)
    moments_s = [moment_s for line in voice.lines for moment_s in (line.begins_s, line.ends_s)]
    assert moments_s == sorted(moments_s)
    assert moments_s[-1] < voice.duration_s
    for line in voice.lines:
        heard = voice.samples[round(line.begins_s * RATE) : round(line.ends_s * RATE)]
        assert np.abs(heard).max() > 0.3
    assert np.abs(voice.samples).max() == pytest.approx(0.7)


def test_the_voice_is_written_as_mono_wav(tmp_path: Path) -> None:
    voice = sing(SENTENCES)
    write_wav(voice, tmp_path / "voice.wav")
    with wave.open(str(tmp_path / "voice.wav")) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (1, RATE, len(voice.samples))


def test_letters_share_a_baseline_and_masks_fit_their_width() -> None:
    point, digit, word = set_in_type([Lettering(".", 40), Lettering("1", 40), Lettering("seconds", 20, bold=True)])
    assert word.shape[1] > digit.shape[1] > point.shape[1] > 1
    assert point.max() == digit.max() == word.max() == 1.0
    below_the_point = 40 - int(np.flatnonzero(point.any(axis=1)).max())
    below_the_digit = 40 - int(np.flatnonzero(digit.any(axis=1)).max())
    assert abs(below_the_point - below_the_digit) <= 1


def test_a_missing_font_is_reported_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lettering, "FONTS", tmp_path)
    with pytest.raises(NotReadyError, match="fonts-dejavu-core"):
        set_in_type([Lettering("word", 20)])


def test_a_disc_covers_its_centre_and_not_the_corners() -> None:
    canvas = Canvas(20, 10, (0, 0, 0))
    canvas.disc(10, 5, 4, (250, 100, 50))
    image = canvas.bgrx()
    assert image.shape == (10, 20, 4)
    assert image[5, 10].tolist() == [50, 100, 250, 0]
    assert image[0, 0].tolist() == [0, 0, 0, 0]
    assert 0 < image[2, 7, 2] < 250


def test_drawing_is_clipped_to_the_canvas() -> None:
    canvas = Canvas(4, 4, (0, 0, 0))
    for left, top in ((-2, -2), (2, 2), (-9, 0), (9, 0)):
        canvas.rounded(left, top, 4, 4, 0, (90, 90, 90))
    covered = canvas.bgrx()[..., 0] == 90
    assert covered.tolist() == [[True, True, False, False]] * 2 + [[False, False, True, True]] * 2


def test_blend_goes_from_one_colour_to_the_other() -> None:
    assert [blend((0, 0, 0), (10, 20, 30), share) for share in (0.0, 0.5, 1.0)] == [
        (0, 0, 0),
        (5, 10, 15),
        (10, 20, 30),
    ]


def test_the_demo_plays_to_its_end_on_a_desk(desk: VirtualDesk) -> None:
    program = (
        "from demo.__main__ import Window, perform\n"
        "from demo.voice import sing\n"
        "with Window('test') as window: perform(window, sing(['la']))"
    )
    assert desk.run([sys.executable, "-c", program]).wait(60) == 0


def test_a_missing_screen_is_reported_in_one_line(desk_environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "demo"],
        env={**desk_environment, "DISPLAY": ":12345"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("cannot show the demo: ")
    assert done.stderr.count("\n") == 1
