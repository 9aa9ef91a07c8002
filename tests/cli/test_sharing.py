"""`export` writes what others take, and `share` hands a file on: read back by other programs."""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import closing
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import cast

import pytest
from conftest import RunCapture, StartCapture
from pasting import Program
from running import eventually
from written import Picture, write
from xservers import server

from capture.cli.sharing import _PLACES
from capture.desktop.drafts import write_draft
from capture.output.locked_file import create_locked
from capture.recordings.presets import PRESETS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a virtual desk needs Linux")


@pytest.fixture
def programs(capture_environment: dict[str, str], tmp_path: Path) -> Path:
    """An empty folder that is the whole PATH, on a desktop without a session bus."""
    folder = tmp_path / "programs"
    folder.mkdir()
    capture_environment.update({"PATH": str(folder), "DBUS_SESSION_BUS_ADDRESS": "disabled:"})
    return folder


def program(folder: Path, name: str, then: str = "") -> Path:
    """Make a program that notes its arguments; return where."""
    path, noted = folder / name, folder / f"{name}.noted"
    path.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{noted}"\n{then}\n')
    path.chmod(stat.S_IRWXU)
    return noted


# export


def test_export_says_what_it_made(run_capture: RunCapture, tmp_path: Path) -> None:
    write(tmp_path / "talk.mkv")
    done = run_capture("export", "talk.mkv", "--for", "podcast")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("saved talk-podcast.mp3, 0:02.0, ")
    told = json.loads(run_capture("export", "talk.mkv", "note.opus", "--for", "voice-note", "--json").stdout)
    assert told["path"] == str(tmp_path / "note.opus")
    assert told["size_bytes"] == (tmp_path / "note.opus").stat().st_size
    assert (told["preset"], told["container"], told["notes"]) == ("voice-note", "opus", [])
    assert [stream["codec"] for stream in told["streams"]] == ["opus"]


def test_the_presets_are_listed(run_capture: RunCapture) -> None:
    listed = run_capture("export", "--list").stdout
    assert [line.split()[0] for line in listed.splitlines() if line[0] != " "] == list(PRESETS)
    assert "at most 10 MB (Discord, for free accounts)" in listed
    told = json.loads(run_capture("export", "--list", "--json").stdout)["presets"]
    assert [preset["name"] for preset in told] == list(PRESETS)
    assert {preset["name"]: preset["max_bytes"] for preset in told}["whatsapp"] == 16_000_000


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("a.mp4",), 2, "--for is missing: choose one of voice-note, whatsapp"),
        (("a.mp4", "--for", "telegram"), 2, "--for 'telegram' is unknown: use voice-note, "),
        (("a.mp4", "--for", "web", "--tracks", "0"), 2, "'0' names a track 0, or one twice: "),
        (("a.mp4", "--for", "web", "--tracks", "left"), 2, "'left' does not name audio tracks: write it like 1"),
        (("gone.mp4", "--for", "web"), 2, "gone.mp4 does not exist"),
        (("text.mp4", "--for", "web"), 1, "text.mp4 cannot be exported: this is not a recording"),
        (("a.mp4", "--for", "web", "-o", "a.mp4"), 2, "a.mp4 exists already"),
        (("a.mp4", "b.mp4", "--for", "web", "-o", "c.mp4"), 2, "two outputs were given"),
    ],
)
def test_a_wrong_export_is_said_in_one_line(
    arguments: tuple[str, ...], code: int, message: str, run_capture: RunCapture, tmp_path: Path
) -> None:
    write(tmp_path / "a.mp4")
    (tmp_path / "text.mp4").write_text("Dear diary,")
    done = run_capture("export", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"capture: {message}")
    assert done.stderr.count("\n") == 1


def test_ctrl_c_leaves_nothing(start_capture: StartCapture, tmp_path: Path, as_in_a_terminal: None) -> None:
    write(tmp_path / "long.mkv", (), Picture(end_s=200))
    with start_capture("export", "long.mkv", "--for", "editor") as exporting:
        eventually(lambda: any(tmp_path.glob(".capture-scratch-*/*")), "the new file grows")
        exporting.process.send_signal(signal.SIGINT)
        assert (exporting.wait(), exporting.stderr) == (1, "capture: interrupted\n")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["long.mkv"]
    assert not list(tmp_path.glob(".capture*"))


# share


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch, capture_environment: dict[str, str]) -> Iterator[None]:
    with server(monkeypatch, "320x240x24"):
        capture_environment["DISPLAY"] = os.environ["DISPLAY"]
        capture_environment.pop("XAUTHORITY", None)
        yield


@pytest.mark.usefixtures("display")
def test_the_clipboard_has_the_file_itself(run_capture: RunCapture, tmp_path: Path) -> None:
    write(tmp_path / "a b.ogg")
    done = run_capture("share", "a b.ogg", "--to", "clipboard", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    path = str(tmp_path / "a b.ogg")
    assert json.loads(done.stdout) == {"path": path, "to": "clipboard", "exported": False}
    with closing(Program()) as other:
        assert other.paste("text/uri-list") == f"file://{tmp_path}/a%20b.ogg\r\n".encode()
        assert run_capture("share", "a b.ogg", "--to", "clipboard", "--size-limit", "6KB").returncode == 0
        fitted = tmp_path / "a b-6KB.m4a"
        assert other.paste("UTF8_STRING") == os.fsencode(fitted)
    assert fitted.stat().st_size <= 6_000


def test_a_draft_has_the_file_attached(
    run_capture: RunCapture, programs: Path, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    noted = program(programs, "xdg-open")
    path = write(tmp_path / 'für Ünal; "x" & más.mp4')
    drafts = Path(capture_environment["XDG_CACHE_HOME"], "capture", "drafts")
    for _ in range(3):
        write_draft(path, drafts)
    done = run_capture("share", path.name, "--to", "email")
    assert (done.returncode, done.stderr) == (0, "")
    draft = Path(noted.read_text().strip())
    assert draft.suffix == ".eml"
    assert stat.S_IMODE(draft.stat().st_mode) == 0o600
    # The earlier ones, which a mail program may still read, do not pile up.
    assert draft in (kept := list(drafts.iterdir()))
    assert len(kept) == 3
    content = draft.read_bytes()
    assert max(map(len, content.split(b"\r\n"))) <= 998
    mail = message_from_bytes(content, policy=default)
    assert (mail["X-Unsent"], mail["Subject"], mail["To"], mail.defects) == ("1", path.stem, None, [])
    (attached,) = mail.iter_attachments()
    assert (attached.get_content_type(), attached.get_filename()) == ("video/mp4", path.name)
    assert attached.get_content() == path.read_bytes()


def test_no_name_breaks_a_draft(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"a\nBcc: x@example.org\xff.ogg")
    path.write_bytes(b"content")
    mail = message_from_bytes(write_draft(path, tmp_path / "drafts").read_bytes(), policy=default)
    assert mail["Bcc"] is None
    (attached,) = mail.iter_attachments()
    assert attached.get_filename() == "a_Bcc: x@example.org\N{REPLACEMENT CHARACTER}.ogg"
    assert cast(bytes, attached.get_content()) == b"content"


def test_a_program_of_the_menu_opens_it(
    run_capture: RunCapture, programs: Path, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    noted = program(programs, "telegram")
    menu = Path(capture_environment["XDG_DATA_HOME"], "applications")
    menu.mkdir(parents=True)
    (menu / "broken.desktop").write_text("[Desktop Entry\n")
    entry = f'[Desktop Entry]\nName=Telegram Desktop\nIcon=t\nExec="{programs}/telegram" --icon %i -- %U\n'
    (menu / "org.telegram.desktop").write_text(entry)
    write(tmp_path / "a b.ogg")
    for name, last in (
        ("telegram desktop", f"file://{tmp_path}/a%20b.ogg"),
        ("org.telegram", f"file://{tmp_path}/a%20b.ogg"),
        ("telegram", f"{tmp_path}/a b.ogg"),
    ):
        done = run_capture("share", "a b.ogg", "--to", "app", name)
        assert (done.returncode, done.stderr) == (0, "")
        assert noted.read_text().splitlines()[-1] == last
        noted.unlink()


def test_a_menu_in_the_current_folder_does_not_count(
    run_capture: RunCapture, programs: Path, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    noted = program(programs, "telegram")
    (tmp_path / "applications").mkdir()
    (tmp_path / "applications" / "chat.desktop").write_text(
        f"[Desktop Entry]\nName=Chat\nExec={programs}/telegram %f\n"
    )
    write(tmp_path / "a.ogg")
    capture_environment["XDG_DATA_DIRS"] = ".:"
    done = run_capture("share", "a.ogg", "--to", "app", "Chat")
    assert (done.returncode, noted.exists()) == (3, False)
    assert "there is no program 'Chat' here" in done.stderr


def test_a_command_gets_the_path_and_no_shell(run_capture: RunCapture, programs: Path, tmp_path: Path) -> None:
    noted = program(programs, "send", "echo sent; exit ${2#--code=}")
    write(tmp_path / "a $(b).ogg")
    command = f"{programs}/send file={{path}} --code=0"
    done = run_capture("share", "a $(b).ogg", "--to", "command", command, "--json")
    assert (done.returncode, done.stderr) == (0, "sent\n")
    assert json.loads(done.stdout)["to"] == "command"
    assert noted.read_text().splitlines()[0] == f"file={tmp_path}/a $(b).ogg"
    failed = run_capture("share", "a $(b).ogg", "--to", "command", command.replace("=0", "=7"))
    assert failed.returncode == 1
    assert failed.stderr == f"capture: {programs}/send ended with exit code 7: the recording is unchanged\n"
    killer = program(programs, "killer", "kill $$")
    killed = run_capture("share", "a $(b).ogg", "--to", "command", f"{programs}/killer {{path}}")
    assert killer.exists()
    assert (killed.returncode, killed.stderr) == (
        1,
        f"capture: {programs}/killer was ended by signal 15: the recording is unchanged\n",
    )


def test_the_folder_is_shown(run_capture: RunCapture, programs: Path, tmp_path: Path) -> None:
    noted = program(programs, "xdg-open")
    write(tmp_path / "a.ogg")
    done = run_capture("share", "a.ogg", "--to", "folder")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path}/a.ogg is shown in the file manager\n")
    assert noted.read_text() == f"{tmp_path}\n"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("fax",), 2, "--to 'fax' is unknown: use clipboard, email, folder, app, command"),
        (("clipboard", "b.ogg"), 2, "'b.ogg' follows --to clipboard: name the recording before --to"),
        (("app",), 2, "--to app needs one word after it, not 0: write it like --to app Telegram"),
        (("command", "send"), 2, "'send' does not say where the file goes: write it like"),
        (("command", "send '{path}"), 2, '"send \'{path}" is not a command (No closing quotation): quote it'),
        (("command", "gone {path}"), 3, "gone cannot be run (No such file or directory): install it"),
        (("app", "Gone"), 3, "there is no program 'Gone' here: name it as the desktop's menu does"),
        (("email",), 3, "no mail program opened the draft: "),
        (("folder",), 3, "the program xdg-open is missing: "),
        (("clipboard",), 3, "the program wl-copy is missing: "),
    ],
)
def test_what_is_not_possible_here_is_said_with_the_next_best(
    words: tuple[str, ...],
    code: int,
    message: str,
    run_capture: RunCapture,
    capture_environment: dict[str, str],
    programs: Path,
    tmp_path: Path,
) -> None:
    capture_environment |= {"WAYLAND_DISPLAY": "wayland-1", "DISPLAY": ""}
    write(tmp_path / "a.ogg")
    done = run_capture("share", "a.ogg", "--to", *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"capture: {message}")
    assert done.stderr.count("\n") == 1
    if code == 3:
        assert any(
            hint in done.stderr for hint in ("--to folder", "--to clipboard", str(tmp_path), "install it", "menu")
        )
    assert not list(Path(capture_environment["XDG_CACHE_HOME"]).rglob("*.eml"))


@pytest.mark.parametrize("place", ["clipboard", "email", "folder"])
def test_without_a_desktop_the_folder_is_named(
    place: str, run_capture: RunCapture, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        capture_environment.pop(name, None)
    write(tmp_path / "a.ogg")
    done = run_capture("share", "a.ogg", "--to", place)
    assert done.returncode == 3
    assert done.stderr.endswith(f"run this in a terminal of the desktop; it is in {tmp_path}\n")


def test_a_share_without_a_place_names_them(run_capture: RunCapture, tmp_path: Path) -> None:
    write(tmp_path / "a.ogg")
    done = run_capture("share", "a.ogg")
    said = "capture: --to is missing: choose one of clipboard, email, folder, app, command\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)


def test_what_is_being_recorded_is_not_shared(run_capture: RunCapture, tmp_path: Path) -> None:
    descriptor = create_locked(tmp_path / "a.ogg")
    done = run_capture("share", "a.ogg", "--to", "folder")
    os.close(descriptor)
    assert (done.returncode, done.stderr) == (2, "capture: a.ogg is being recorded: share it when it is finished\n")


def test_every_place_is_named_in_the_help(run_capture: RunCapture) -> None:
    text = run_capture("help", "share").stdout
    assert all(place in text for place in _PLACES)


def test_a_large_attachment_is_warned_of(run_capture: RunCapture, programs: Path, tmp_path: Path) -> None:
    program(programs, "xdg-open")
    with (tmp_path / "large.wav").open("wb") as file:
        file.truncate(15_000_000)
    done = run_capture("share", "large.wav", "--to", "email")
    assert done.returncode == 0
    assert (
        done.stderr == "capture: large.wav is 15 MB, more than many mailboxes accept: --size-limit 14MB makes it fit\n"
    )
