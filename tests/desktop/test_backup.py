"""`backup` copies complete recordings with rclone, once each; what fails waits, through crashes and dead networks."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from running import eventually
from written import Sound, write

from capture.cli.main import main
from capture.desktop.backup import BackupList, Copied, back_up, backup_path
from capture.desktop.backup_starter import BackupStarter
from capture.errors import OutputError
from capture.output.locked_file import create_locked

if sys.platform == "win32":
    pytest.skip("the programs here are shell scripts", allow_module_level=True)

#: An rclone that copies files, or does what a file beside it asks for.
FAKE = """#!/bin/sh
here=$(dirname "$0")
echo "$@" >>"$here/calls"
if [ -e "$here/down" ]; then echo "2026/11/29 20:00:00 ERROR : dial tcp: connection refused" >&2; exit 1; fi
verb=$1
for word; do source=$target; target=$word; done
case $verb in copyto) tool='cp -p' ;; moveto) tool=mv ;; *) exit 9 ;; esac
if [ -e "$here/slow" ]; then touch "$here/started"; while [ -e "$here/slow" ]; do sleep 0.02; done; fi
$tool -- "$source" "$target"
"""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("original") / "a.ogg", (Sound(end_s=0.5),))


class Home:
    """The user's folders, and a place for backups beside them."""

    def __init__(self, path: Path, original: Path) -> None:
        self.path, self.sounds, self.remote = path, path / "Music" / "Captures", path / "remote"
        self.programs = path / "programs"
        self._original = original
        for folder in (self.sounds, self.remote, self.programs):
            folder.mkdir(parents=True)

    def add(self, name: str, folder: Path | None = None) -> Path:
        return Path(shutil.copy(self._original, (folder or self.sounds) / name))

    def use(self, remote: str) -> None:
        assert run("config", "backup.remote", remote)[0] == 0

    def fake_rclone(self) -> None:
        program = self.programs / "rclone"
        program.write_text(FAKE)
        program.chmod(0o700)

    def ask(self, what: str) -> Path:
        path = self.programs / what
        path.touch()
        return path

    @property
    def calls(self) -> list[str]:
        path = self.programs / "calls"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def known(self) -> BackupList:
        return BackupList(backup_path())

    def copies(self) -> list[str]:
        return sorted(path.name for path in self.remote.iterdir())


@pytest.fixture
def home(own_home: Path, original: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    made = Home(own_home, original)
    monkeypatch.setenv("PATH", f"{made.programs}:{os.environ['PATH']}")
    return made


def run(*arguments: str) -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(arguments)
    return code, out.getvalue(), err.getvalue()


def marks() -> dict[str, str]:
    return {Path(row["path"]).name: row["backup"] for row in json.loads(run("list", "--json")[1])["recordings"]}


def test_complete_recordings_are_copied_once(home: Home) -> None:
    home.fake_rclone()
    home.use(str(home.remote))
    for name in ("a.ogg", "b: c.ogg", "-d.ogg"):
        home.add(name)
    (home.sounds / "cut.ogg").write_bytes(home.add("a.ogg").read_bytes()[:3000])
    busy = create_locked(home.sounds / "busy.ogg")
    os.write(busy, (home.sounds / "a.ogg").read_bytes())
    try:
        assert run("backup") == (0, f"copied 3 recordings to {home.remote}\n", "")
    finally:
        os.close(busy)
    assert home.copies() == ["-d.ogg", "a.ogg", "b: c.ogg"]
    assert (home.remote / "a.ogg").read_bytes() == (home.sounds / "a.ogg").read_bytes()
    calls = len(home.calls)
    assert marks() == {"a.ogg": "copied", "b: c.ogg": "copied", "-d.ogg": "copied", "cut.ogg": "", "busy.ogg": ""}
    assert run("backup") == (0, f"copied 1 recording to {home.remote}\n", "")
    assert len(home.calls) == calls + 2
    assert run("backup", "--status") == (0, f"4 recordings copied to {home.remote}\n", "")


def test_a_recording_that_changed_is_copied_again(home: Home) -> None:
    home.fake_rclone()
    home.use(str(home.remote))
    path = home.add("a.ogg")
    run("backup")
    os.utime(path, (1e9, 1e9))
    assert marks() == {"a.ogg": ""}
    assert run("backup")[1] == f"copied 1 recording to {home.remote}\n"
    home.use(str(home.remote) + "/")
    assert marks() == {"a.ogg": ""}


def test_two_recordings_of_one_name_get_two_names(home: Home) -> None:
    home.fake_rclone()
    home.use(str(home.remote))
    home.add("a.ogg")
    elsewhere = home.path / "elsewhere"
    elsewhere.mkdir()
    other = home.add("a.ogg", elsewhere)
    assert run("backup", str(other))[0] == 0
    assert home.copies() == ["a (2).ogg", "a.ogg"]


def test_a_dead_network_is_waited_for(home: Home) -> None:
    home.fake_rclone()
    home.use(str(home.remote))
    for name in ("a.ogg", "b.ogg", "c.ogg"):
        home.add(name)
    down = home.ask("down")
    code, out, err = run("backup")
    assert code == 1
    assert err.splitlines()[0].endswith(".ogg was not copied: rclone failed: dial tcp: connection refused")
    # After two failures, the third is not tried.
    assert len(home.calls) == 2
    assert marks() == dict.fromkeys(("a.ogg", "b.ogg", "c.ogg"), "waiting")
    waiting = json.loads(run("backup", "--status", "--json")[1])["waiting"]
    assert sorted(each["failures"] for each in waiting) == [0, 1, 1]
    down.unlink()
    # The two that failed are not due yet.
    code, out, err = run("backup")
    assert (code, err) == (0, "")
    assert re.fullmatch(
        rf"copied 1 recording to {home.remote}\n2 recordings wait for the next attempt, due at \d\d:\d\d; --now tries "
        r"at once\n",
        out,
    )
    assert run("backup", "--now") == (0, f"copied 2 recordings to {home.remote}\n", "")
    assert home.copies() == ["a.ogg", "b.ogg", "c.ogg"]


class Scripted:
    """A copier that fails when its list says so."""

    def __init__(self, *fails: bool) -> None:
        self._fails = list(fails)
        self.copied: list[str] = []

    def copy(self, path: Path, name: str) -> None:
        if self._fails and self._fails.pop(0):
            raise OutputError("down")
        self.copied.append(name)


def test_each_failure_doubles_the_wait(home: Home) -> None:
    path, known = home.add("a.ogg"), home.known
    known.queue([path])
    waits = []
    now_s = 1e9
    for _ in range(9):
        back_up(known, "r:", Scripted(True), now_s=partial(float, now_s))
        next_s = known.waiting()[str(path)].next_s
        waits.append(next_s - now_s)
        assert back_up(known, "r:", Scripted(), now_s=partial(float, next_s - 1)) == []
        now_s = next_s
    assert waits == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert [outcome.error for outcome in back_up(known, "r:", Scripted(), now_s=partial(float, now_s))] == [""]
    assert known.waiting() == {}


def test_a_file_that_changes_while_it_is_copied_waits(home: Home) -> None:
    path, known = home.add("a.ogg"), home.known
    known.queue([path])

    class Changing(Scripted):
        def copy(self, path: Path, name: str) -> None:
            path.write_bytes(b"other")

    assert "changed while it was copied" in back_up(known, "r:", Changing())[0].error
    assert str(path) in known.waiting()


def test_what_is_not_complete_by_now_waits_and_hinders_nothing(home: Home) -> None:
    paths, known = [home.add(name) for name in ("a.ogg", "b.ogg", "c.ogg", "d.ogg")], home.known
    known.queue(paths)
    for path in paths[:3]:
        path.write_bytes(path.read_bytes()[:3000])
    copier = Scripted()
    outcomes = back_up(known, "r:", copier)
    assert [outcome.error for outcome in outcomes] == ["its end is missing: see capture check"] * 3 + [""]
    assert copier.copied == ["d.ogg"]
    assert len(known.waiting()) == 3


def test_a_deleted_recording_waits_no_more_and_a_damaged_list_is_none(home: Home) -> None:
    path, known = home.add("a.ogg"), home.known
    known.queue([path])
    path.unlink()
    assert back_up(known, "r:", Scripted()) == []
    assert known.waiting() == {}
    known.note_copied("/x", Copied(1, 2, "r:", "x"))
    assert backup_path().stat().st_mode & 0o777 == 0o600
    for content in (b"", b"[]", b'{"version": 1}', b'{"version": 1, "waiting": {"a": 3}, "copied": {}}', b"\xff"):
        backup_path().write_bytes(content)
        assert (known.waiting(), known.copied()) == ({}, {})
        known.queue([Path("/y")])
        assert list(known.waiting()) == ["/y"]


def test_a_list_that_cannot_be_read_now_is_not_replaced(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    known = home.known
    known.queue([Path("/y")])
    known.note_copied("/x", Copied(1, 2, "r:", "x"))
    before = backup_path().read_bytes()
    monkeypatch.setattr("capture.desktop.backup._LIMIT_BYTES", 10)
    with pytest.raises(OSError, match="larger than"):
        known.queue([Path("/z")])
    assert (known.waiting(), known.copied()) == ({}, {})
    assert backup_path().read_bytes() == before


@pytest.fixture
def process(home: Home, as_in_a_terminal: None) -> Iterator[subprocess.Popen[bytes]]:
    """A backup in a process of its own, whose rclone is in the middle of a copy."""
    home.fake_rclone()
    home.use(str(home.remote))
    home.add("a.ogg")
    slow = home.ask("slow")
    started = subprocess.Popen([sys.executable, "-m", "capture", "backup", "--quiet"], stderr=subprocess.DEVNULL)
    try:
        eventually((home.programs / "started").exists, "the copy")
        yield started
    finally:
        slow.unlink(missing_ok=True)
        started.kill()
        started.wait()


def test_one_rclone_at_a_time_even_after_a_kill(home: Home, process: subprocess.Popen[bytes]) -> None:
    another = "another backup is running; it copies these recordings too\n"
    assert run("backup") == (0, another, "")
    process.kill()
    process.wait()
    # The rclone of the killed one goes on.
    assert run("backup") == (0, another, "")
    assert marks() == {"a.ogg": "waiting"}
    (home.programs / "slow").unlink()
    eventually(lambda: run("backup")[1] != another, "the end of the rclone that was left")
    assert home.copies() == ["a.ogg"] or home.copies() == [".capture-partial-a.ogg", "a.ogg"]
    assert marks() == {"a.ogg": "copied"}


def test_ctrl_c_ends_a_backup_and_loses_nothing(home: Home, process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 1
    assert marks() == {"a.ogg": "waiting"}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ("backup",),
            2,
            "no place for backups is set: name a folder, or a place of rclone's: capture config backup.remote "
            "drive:Captures",
        ),
        (
            ("config", "backup.remote", " -x:"),
            2,
            "backup.remote: ' -x:' is not a place for backups: write it like drive:",
        ),
        (
            ("config", "backup.remote", "drive"),
            2,
            "backup.remote: 'drive' is not a place for backups: write it like drive:",
        ),
    ],
)
def test_a_missing_place_is_said(arguments: tuple[str, ...], code: int, message: str, home: Home) -> None:
    found, out, err = run(*arguments)
    assert (found, out) == (code, "")
    assert err.startswith(f"capture: {message}")


def test_without_rclone_the_package_and_another_way_are_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.use("drive:Captures")
    home.add("a.ogg")
    monkeypatch.setenv("PATH", str(home.programs))
    code, out, err = run("backup")
    assert (code, out) == (3, "")
    assert err.startswith("capture: the program rclone is missing: ")
    assert "rclone" in err.partition(": ")[2]
    assert "capture config record.after_save 'cp -p {path} FOLDER'" in err


def test_a_recording_is_backed_up_when_it_is_saved(home: Home) -> None:
    home.fake_rclone()
    home.use(str(home.remote))
    pattern = ("--source", "pattern", "--duration", "0.5s", "--quiet", "--no-hotkeys")
    command = [sys.executable, "-m", "capture", "record", "named.ogg", *pattern]
    subprocess.run(command, cwd=home.path, check=True, timeout=60)
    eventually(lambda: home.copies() == ["named.ogg"], "the copy")
    eventually(lambda: home.known.waiting() == {}, "the note of the copy")


def test_standby_tries_again_what_is_due(home: Home) -> None:
    home.fake_rclone()
    home.use(str(home.remote))
    home.known.queue([home.add("a.ogg")])
    command = [sys.executable, "-m", "capture", "standby", "--source", "pattern", "--no-hotkeys", "--quiet"]
    standby = subprocess.Popen(command, cwd=home.path, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: home.known.copied(), "the copy")
    finally:
        standby.terminate()
        standby.wait(30)
    assert home.copies() == ["a.ogg"]


def test_what_is_queued_at_the_last_moment_is_copied(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.fake_rclone()
    home.use(str(home.remote))
    home.add("a.ogg")
    others: list[tuple[int, str, str]] = []

    def back_up_and_let_another_ask(*given: Any, **more: Any) -> Any:
        outcomes = back_up(*given, **more)
        if not others:
            # It finds no right to copy, and this one has had its last look.
            others.append(run("backup", str(home.add("late.ogg", home.path))))
        return outcomes

    monkeypatch.setattr("capture.desktop.backup.back_up", back_up_and_let_another_ask)
    assert run("backup") == (0, f"copied 2 recordings to {home.remote}\n", "")
    assert others == [(0, "another backup is running; it copies these recordings too\n", "")]
    assert home.copies() == ["a.ogg", "late.ogg"]


def test_a_missing_rclone_is_said_once(home: Home) -> None:
    said: list[str] = []
    starter = BackupStarter({"PATH": str(home.programs)}, said.append)
    for name in ("a.ogg", "b.ogg"):
        starter.add(home.add(name))
    starter.close()
    assert len(said) == 1
    assert said[0].startswith("recordings wait for their backup, rclone is missing: ")
    assert len(home.known.waiting()) == 2


def test_the_real_rclone_copies_to_a_folder(home: Home) -> None:
    home.use(str(home.remote))
    home.add("b: c.ogg")
    assert run("backup") == (0, f"copied 1 recording to {home.remote}\n", "")
    assert home.copies() == ["b: c.ogg"]
    assert (home.remote / "b: c.ogg").read_bytes() == (home.sounds / "b: c.ogg").read_bytes()


class WebDav:
    """A WebDAV server on this machine, which serves the folder `root` while it runs."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = self._root.parent / "webdav.log"
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                ["rclone", "serve", "webdav", "--addr", f"127.0.0.1:{self._port}", str(self._root)], stderr=file
            )
        eventually(lambda: re.search(r"http://127.0.0.1:\d+", log.read_text()), "the WebDAV server")
        found = re.search(r"http://127.0.0.1:(\d+)", log.read_text())
        assert found is not None
        self._port = int(found[1])

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    @property
    def remote(self) -> str:
        return f":webdav,url='http://127.0.0.1:{self._port}':"


def test_the_real_rclone_waits_for_a_server(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = WebDav(home.remote)
    server.start()
    try:
        home.use(server.remote)
        home.add("a.ogg")
        assert run("backup")[::2] == (0, "")
        server.stop()
        home.add("b.ogg")
        code, _, err = run("backup")
        assert code == 1
        assert "b.ogg was not copied: rclone failed: " in err
        assert "connection refused" in err
        assert marks() == {"a.ogg": "copied", "b.ogg": "waiting"}
        server.start()
        assert run("backup", "--now")[::2] == (0, "")
    finally:
        server.stop()
    assert home.copies() == ["a.ogg", "b.ogg"]
    assert (home.remote / "b.ogg").read_bytes() == (home.sounds / "b.ogg").read_bytes()
