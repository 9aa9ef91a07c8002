"""Impossible recordings are refused in one line that names the value and the alternatives, and no file is touched."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import RunCapture
from stage import BLUE, RED, Pane

from capture.codecs.video_encoder import VideoEncoder
from capture.errors import NotReadyError
from capture.formats import ENCODERS

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)


@pytest.fixture
def panes(desk_environment: dict[str, str]) -> Iterator[None]:
    with (
        Pane(desk_environment, "Editor 1", (0, 0, 300, 200), RED),
        Pane(desk_environment, "Editor 2", (301, 101, 300, 200), BLUE),
    ):
        yield


@pytest.mark.usefixtures("panes")
@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        # The desk is 1280x720.
        (
            ("--region", "100x100+1181+0"),
            2,
            ("the region 100x100+1181+0 reaches outside", "the screen is 1280x720+0+0"),
        ),
        (("--region", "1281x720+0+0"), 2, ("the region 1281x720+0+0 reaches outside", "the screen is 1280x720+0+0")),
        (("--region", "100x100-1+0"), 2, ("the region 100x100-1+0 reaches outside", "the screen is 1280x720+0+0")),
        (("--region", "1x1+0+0"), 2, ("'1x1+0+0' has no area to record", "at least 2x2")),
        (("--screen", "2"), 2, ("there is no screen '2'", "use primary, all, ")),
        (
            ("--window", "Shell"),
            2,
            ("there is no window 'Shell'", "'Editor 1' (0x", "'Editor 2' (0x", "300x200+301+101)"),
        ),
        (("--window", "editor"), 2, ("2 windows match 'editor'", "give the id of one", "'Editor 1' (0x")),
        (("--encoder", "h264_videotoolbox"), 3, ("h264_videotoolbox cannot be opened", "these can: ", "libx264")),
        (("--encoder", "libvpx"), 2, ("--encoder libvpx is not an encoder for .mkv", "use auto, libx264, ")),
        (("--scale", "33x33"), 2, ("'33x33' is not a size that can be encoded", "even numbers")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_mistakes_are_refused_and_the_existing_file_stays(
    arguments: tuple[str, ...], exit_code: int, said: tuple[str, ...], run_capture: RunCapture, tmp_path: Path
) -> None:
    path = tmp_path / "out.mkv"
    path.write_bytes(b"what was there")
    done = run_capture("record", path, "--overwrite", "--duration", "0.3", "--audio", "none", *arguments)
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (exit_code, 1, "")
    assert done.stderr.startswith("capture: ")
    for words in said:
        assert words in done.stderr
    assert path.read_bytes() == b"what was there"
    assert {entry.name for entry in tmp_path.iterdir()} == {"home", "out.mkv"}


@pytest.mark.parametrize("verb", ["record", "replay", "standby"])
def test_a_picture_that_the_encoder_cannot_take_is_a_mistake(verb: str, run_capture: RunCapture, folder: Path) -> None:
    path = folder / "out.webm"
    done = run_capture(verb, path, "--region", "4x80+0+0", "--audio", "none")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "capture: the picture is 4x80, but VP8 needs sides of at least 8 pixels: "
        "scale it, as with --scale 16x320, or record another part of the screen\n"
    )
    assert list(folder.iterdir()) == []
    again = run_capture(
        "record", path, "--region", "4x80+0+0", "--audio", "none", "--scale", "16x320", "--duration", "1"
    )
    assert again.returncode == 0, again.stderr
    assert path.exists()


def test_the_reason_why_an_encoder_does_not_open_is_short() -> None:
    failures = []
    for encoder in ENCODERS["h264"]:
        try:
            VideoEncoder("h264", 640, 480, 30.0, encoder=encoder)
        except NotReadyError as error:
            failures.append(error)
    # The encoder of macOS exists on no Linux.
    assert any("h264_videotoolbox" in failure.message for failure in failures)
    for failure in failures:
        assert "cannot be opened (" in failure.message
        assert len(failure.message) < 120
        assert failure.remedy.startswith("these can: libx264")
