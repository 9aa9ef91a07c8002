"""A copied file can be pasted by other programs, after the end of the program that copied it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from pasting import Program, holders
from running import eventually
from wayland_desk import has_sway, sway_desk
from xservers import server

from capture.desktop.clipboard import can_copy_file, copy_file
from capture.desktop.clipboard_holder import as_offers
from capture.errors import NotReadyError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has these clipboards")

#: What is offered besides the formats of a file.
PROTOCOL = {"TARGETS", "TIMESTAMP", "MULTIPLE", "SAVE_TARGETS"}


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with server(monkeypatch, "320x240x24"):
        yield


@pytest.mark.usefixtures("display")
def test_the_file_itself_is_pasted(tmp_path: Path) -> None:
    path = tmp_path / "für 100 %\n.ogg"
    copy_file(path)
    with closing(Program()) as other:
        assert {other.name(atom) for atom in other.paste("TARGETS")} == {*as_offers(path), *PROTOCOL}
        uri = f"file://{tmp_path}/f%C3%BCr%20100%20%25%0A.ogg"
        assert other.paste("text/uri-list") == f"{uri}\r\n".encode()
        assert other.paste("x-special/gnome-copied-files") == f"copy\n{uri}".encode()
        assert other.paste("UTF8_STRING") == os.fsencode(path)
        assert other.paste("image/png") is None
        # Clipboard managers ask for several formats at once.
        answer = other.paste("MULTIPLE", ("UTF8_STRING", "ONE", "image/png", "TWO"))
        assert [atom and other.name(atom) for atom in answer] == ["UTF8_STRING", "ONE", "image/png", 0]
        assert other.property_of("ONE") == os.fsencode(path)
        assert len(other.paste("TIMESTAMP")) == 1


@pytest.mark.usefixtures("display")
def test_it_outlives_the_program_that_copied_and_ends_when_another_copies(tmp_path: Path) -> None:
    code = "import sys, pathlib, capture.desktop.clipboard as c; c.copy_file(pathlib.Path(sys.argv[1]))"
    # Its output is a pipe: a holder that kept it open would keep this from returning.
    subprocess.run([sys.executable, "-c", code, "a.ogg"], cwd=tmp_path, check=True, capture_output=True, timeout=30)
    (holder,) = holders()
    session = Path(f"/proc/{holder}/stat").read_text().rpartition(")")[2].split()[3]
    assert int(session) == holder
    assert {str(Path(f"/proc/{holder}/fd/{stream}").readlink()) for stream in (0, 1, 2)} == {os.devnull}
    assert Path(f"/proc/{holder}/cwd").readlink() == Path("/")
    with closing(Program()) as other:
        assert other.paste("text/uri-list") == f"file://{tmp_path}/a.ogg\r\n".encode()
        copy_file(tmp_path / "b.ogg")
        eventually(lambda: holder not in holders(), "the second copy takes the place of the first")
        assert other.paste("text/uri-list") == f"file://{tmp_path}/b.ogg\r\n".encode()
        other.copy()
        eventually(lambda: not holders(), "the holder ends")


def test_it_ends_with_the_display(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with server(monkeypatch, "320x240x24"):
        copy_file(tmp_path / "a.ogg")
        assert len(holders()) == 1
    eventually(lambda: not holders(), "the holder ends")


def test_wayland_gets_it_through_wl_copy(tmp_path: Path) -> None:
    program, noted = tmp_path / "wl-copy", tmp_path / "noted"
    program.write_text(f'#!/bin/sh\n(echo "$@"; /bin/cat) > "{noted}"\n')
    program.chmod(0o700)
    copy_file(tmp_path / "a b.ogg", {"WAYLAND_DISPLAY": "wayland-1", "PATH": str(tmp_path)})
    assert noted.read_bytes() == f"--type text/uri-list\nfile://{tmp_path}/a%20b.ogg\r\n".encode()


@pytest.mark.usefixtures("display")
def test_a_compositor_that_has_ended_does_not_hide_the_x_servers_clipboard(tmp_path: Path) -> None:
    stale = {**os.environ, "WAYLAND_DISPLAY": "wayland-1", "XDG_RUNTIME_DIR": str(tmp_path), "PATH": ""}
    assert can_copy_file(stale)
    copy_file(tmp_path / "a.ogg", stale)
    with closing(Program()) as other:
        assert other.paste("text/uri-list") == f"file://{tmp_path}/a.ogg\r\n".encode()
    assert not can_copy_file({"WAYLAND_DISPLAY": "wayland-1", "PATH": ""})
    assert not can_copy_file({})


@pytest.mark.skipif(not (shutil.which("wl-paste") and has_sway()), reason="needs sway and wl-clipboard")
def test_a_wayland_program_pastes_the_file(tmp_path: Path, temporary_folder: Path) -> None:
    with (
        tempfile.TemporaryDirectory(dir=temporary_folder, prefix="w") as folder,
        sway_desk(Path(folder), "resolution 640x360 position 0 0") as desk,
    ):
        copy_file(tmp_path / "a b.ogg", desk.environment)
        pasted = subprocess.run(
            ["wl-paste", "--no-newline", "--type", "text/uri-list"],
            env=desk.environment,
            check=True,
            capture_output=True,
            timeout=30,
        )
    assert pasted.stdout == f"file://{tmp_path}/a%20b.ogg\r\n".encode()


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "there is no desktop here that has a clipboard"),
        ({"WAYLAND_DISPLAY": "wayland-1", "PATH": ""}, "the program wl-copy is missing"),
        ({"DISPLAY": ":54321"}, r"the clipboard did not take the file \(.*failed\)"),
    ],
)
def test_without_a_clipboard_it_is_not_ready(environment: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match=message):
        copy_file(tmp_path / "a.ogg", environment)
