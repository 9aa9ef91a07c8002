"""`share --to email` through the real portal, with a mail program of the tests behind it, and without a portal."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import pytest
from buses import Service, bus
from jeepney import new_error, new_method_return
from portal_keys import start_portal, wayland_environment

from capture.desktop.drafts import write_draft
from capture.desktop.mail import open_draft
from capture.errors import CaptureError, NotReadyError

_NAME: Final = "org.freedesktop.impl.portal.desktop.mail"
_IMPLEMENTATION: Final = "org.freedesktop.impl.portal.Email"


class MailBackend(Service):
    """The desktop's part of the portal: a mail program that opens no window."""

    def __init__(self, address: str) -> None:
        #: The answer: 0 is an open mail, 1 a cancelled dialog, 2 a failure.
        self.code = 0
        self.asked: list[dict[str, Any]] = []
        #: The content of what was attached, read while the mail is made.
        self.attached: list[bytes] = []
        super().__init__(address, _NAME)

    def answer(self, member: str, message: Any) -> Any:
        body = message.body
        match member:
            case "GetAll":
                return new_method_return(message, "a{sv}", ({},))
            case "ComposeEmail":
                options = {name: value for name, (_, value) in body[3].items()}
                self.asked.append(options)
                paths = [unquote(urlsplit(address).path) for address in options["attachments"]]
                self.attached += [Path(path).read_bytes() for path in paths]
                return new_method_return(message, "ua{sv}", (self.code, {}))
        return new_error(message, "org.freedesktop.DBus.Error.UnknownMethod", "s", (str(message.header.fields),))


@contextmanager
def mail_desk(folder: Path, *, has_mail: bool = True) -> Iterator[tuple[MailBackend, dict[str, str]]]:
    """Run the real portal in `folder`; yield its backend, and the environment of programs."""
    folder.chmod(0o700)
    for made in ("portals", "home"):
        (folder / made).mkdir()
    interface = _IMPLEMENTATION if has_mail else "org.freedesktop.impl.portal.Nothing"
    (folder / "portals" / "desk.portal").write_text(
        f"[portal]\nDBusName={_NAME}\nInterfaces={interface};\nUseIn=desk\n"
    )
    with bus(folder) as address:
        environment = wayland_environment(folder, address)
        backend = MailBackend(address)
        try:
            portal = start_portal(environment)
            try:
                yield backend, environment
            finally:
                portal.kill()
                portal.wait()
        finally:
            backend.close()


@pytest.fixture
def folder(temporary_folder: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=temporary_folder, prefix="m") as made:
        yield Path(made)


@pytest.fixture
def note(tmp_path: Path) -> Path:
    path = tmp_path / 'für, "Ünal" \' & más.ogg'
    path.write_bytes(b"a voice note")
    return path


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, to be the whole PATH of `open_draft`."""
    made = tmp_path / "programs"
    made.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return made


def program(folder: Path, name: str, then: str = "") -> Path:
    """Make a program that notes its arguments; return where."""
    noted = folder / f"{name}.noted"
    (folder / name).write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{noted}"\n{then}\n')
    (folder / name).chmod(stat.S_IRWXU)
    return noted


def use(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DBUS_SESSION_BUS_ADDRESS", "WAYLAND_DISPLAY"):
        monkeypatch.setenv(name, environment[name])


def test_the_portal_gives_the_file_to_the_mail_program(
    folder: Path, note: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mail_desk(folder) as (backend, environment):
        use(environment, monkeypatch)
        monkeypatch.setenv("PATH", str(programs))
        assert not open_draft(note)
        (asked,) = backend.asked
        assert asked["subject"] == note.stem
        assert [unquote(urlsplit(address).path) for address in asked["attachments"]] == [str(note)]
        assert backend.attached == [b"a voice note"]
        assert not (programs.parent / "cache").exists()
        backend.code = 1
        with pytest.raises(CaptureError, match="no mail was opened: the desktop's dialog was closed"):
            open_draft(note)
        # The desktop has no mail program: a draft may still be opened.
        backend.code = 2
        opened = program(programs, "xdg-open")
        open_draft(note)
        assert Path(opened.read_text().strip()).read_bytes().startswith(b"Date: ")
        assert len(backend.asked) == 3


def test_the_verb_goes_by_the_portal(folder: Path, note: Path, programs: Path) -> None:
    with mail_desk(folder) as (backend, environment):
        done = subprocess.run(
            [sys.executable, "-m", "capture", "share", note, "--to", "email"],
            # The mail program of this machine is not the test's.
            env={**environment, "PATH": str(programs)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        # A portal says that it gave the file away, and not whether the program took it.
        assert done.stdout == f"your mail program got {note}: check that it is attached before you send the mail\n"
        assert backend.attached == [b"a voice note"]


@pytest.mark.parametrize("how", ["no bus", "no portal", "no mail in it"])
def test_without_such_a_portal_a_draft_is_opened(
    how: str, folder: Path, note: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", ":99")
    opened = program(programs, "xdg-open")
    if how == "no bus":
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "disabled:")
        monkeypatch.setenv("PATH", str(programs))
        open_draft(note)
    elif how == "no portal":
        with bus(folder) as address:
            monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
            monkeypatch.setenv("PATH", str(programs))
            open_draft(note)
    else:
        with mail_desk(folder, has_mail=False) as (backend, environment):
            use(environment, monkeypatch)
            monkeypatch.setenv("PATH", str(programs))
            open_draft(note)
            assert backend.asked == []
    assert opened.read_text().strip().endswith(".eml")


@pytest.mark.parametrize("mailer", ["org.gnome.Evolution.desktop", "claws-mail.desktop", "org.kde.kmail2.desktop"])
def test_programs_that_take_a_path_get_one(
    mailer: str, note: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "disabled:")
    monkeypatch.setenv("PATH", str(programs))
    opened, mailed = program(programs, "xdg-open"), program(programs, "xdg-email")
    program(programs, "xdg-mime", f"echo {mailer}")
    assert open_draft(note)
    assert mailed.read_text().splitlines() == ["--utf8", "--subject", note.stem, "--attach", str(note)]
    assert not opened.exists()
    program(programs, "xdg-email", "exit 4")
    assert open_draft(note)
    assert opened.read_text().strip().endswith(".eml")


def test_a_browser_is_no_mail_program(note: Path, programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "disabled:")
    monkeypatch.setenv("PATH", str(programs))
    opened = program(programs, "xdg-open")
    # Nothing for mails in files, whatever opens addresses.
    for addresses in ("", "chrome.desktop"):
        program(programs, "xdg-mime", f'test "$3" = message/rfc822 || echo {addresses}')
        with pytest.raises(NotReadyError, match="there is no mail program here that takes a file: install one"):
            open_draft(note)
    assert not opened.exists()
    assert not (programs.parent / "cache").exists()


def test_thunderbird_gets_a_draft_whatever_opens_other_mails(
    folder: Path, note: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mail_desk(folder) as (backend, environment):
        use(environment, monkeypatch)
        monkeypatch.setenv("XDG_DATA_HOME", str(programs))
        monkeypatch.setenv("PATH", str(programs))
        opened, composed = program(programs, "xdg-open"), program(programs, "thunderbird")
        program(programs, "xdg-mime", "echo org.mozilla.Thunderbird.desktop")
        (programs / "applications").mkdir()
        (programs / "applications" / "org.mozilla.Thunderbird.desktop").write_text(
            f"[Desktop Entry]\nName=Thunderbird\nExec={programs}/thunderbird --name %c @@u %u @@\n"
        )
        assert open_draft(note)
        (draft,) = (word for word in composed.read_text().splitlines() if word.endswith(".eml"))
        assert Path(urlsplit(draft).path).read_bytes().startswith(b"Date: ")
        # The portal of Debian 12 would open a mail without the file, and say that all is well.
        assert (backend.asked, opened.exists()) == ([], False)


@pytest.mark.skipif(shutil.which("file") is None, reason="needs the program file")
def test_a_draft_is_taken_for_a_mail_by_its_content(note: Path, tmp_path: Path) -> None:
    draft = write_draft(note, tmp_path / "drafts")
    kind = subprocess.run(["file", "--brief", "--mime-type", draft], capture_output=True, text=True, check=True)
    assert kind.stdout == "message/rfc822\n"


def test_a_draft_that_another_process_removes_is_no_failure(note: Path, tmp_path: Path) -> None:
    folder = tmp_path / "drafts"
    folder.mkdir()
    # As one that was listed and has gone since.
    (folder / "gone.eml").symlink_to(folder / "nowhere")
    assert write_draft(note, folder).is_file()
