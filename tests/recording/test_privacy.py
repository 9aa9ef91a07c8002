"""Recordings are readable by their owner alone from the first byte, with any umask, and never touch the network."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

import pytest
from callers import Control
from conftest import RunCapture, StartCapture
from reopened import loudness, sound
from running import eventually
from stage import playing, write_tone

from capture.recordings.check import check
from capture.virtual.desk import VirtualDesk

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

#: The permissions of group and others.
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO

#: The tables in /proc/PID/net that list sockets to other machines.
NETWORK_TABLES: Final = ("tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6", "icmp", "icmp6", "packet")


class Watch:
    """Scans some folders in a loop and collects, for every entry, the permissions that others had."""

    def __init__(self, *folders: Path) -> None:
        self._folders = folders
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.seen: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ends.wait(0.0005):
            for folder in self._folders:
                self._look(folder)

    def _look(self, folder: Path) -> None:
        try:
            entries = list(os.scandir(folder))
        except OSError:
            return
        for entry in entries:
            try:
                mode = entry.stat(follow_symlinks=False).st_mode
            except OSError:
                continue
            # A socket is out of reach for users who may not enter its folder.
            if not stat.S_ISSOCK(mode):
                self.seen[entry.path] = self.seen.get(entry.path, 0) | (mode & OTHERS)
            if stat.S_ISDIR(mode):
                self._look(Path(entry.path))


@contextmanager
def open_umask() -> Iterator[None]:
    """Set a umask of 0: files are open to everyone unless the program restricts them."""
    before = os.umask(0)
    try:
        yield
    finally:
        os.umask(before)


def test_files_and_folders_are_private_from_the_first_byte(
    capture_environment: dict[str, str], start_capture: StartCapture, run_capture: RunCapture, tmp_path: Path
) -> None:
    folder, run = tmp_path / "made", tmp_path / "run"
    folder.mkdir()
    run.mkdir(0o700)
    capture_environment["XDG_RUNTIME_DIR"] = str(run)
    videos = Path(capture_environment["XDG_VIDEOS_DIR"])
    path = folder / "out.mkv"
    arguments = ("record", path, "--source", "pattern", "--fps", "5", "--replay", "20s", "--log", "--json")
    with Watch(folder, run, videos) as watch, open_umask():
        with start_capture(*arguments, "--loudness", "-20LUFS") as recorder:
            recorder.until_recording(path)
            control = Control(recorder)
            control.until("recording", buffer_s=1.0)
            for name, more in (("clip.mkv", {}), ("exact.mkv", {"exact": True}), ("clip.gif", {}), ("small.mp4", {})):
                options: dict[str, Any] = {"output": str(folder / name), "last_s": 1.0, **more}
                if name == "small.mp4":
                    options["max_bytes"] = 100_000
                assert control.ask("clip", **options)["check"] == "ok"
            copy = folder / "cut off.mkv"
            copy.write_bytes(path.read_bytes())
            copy.chmod(0o600)
            assert recorder.stop()["check"] == "ok"
        assert run_capture("repair", copy, "--output", folder / "repaired.mkv").returncode == 0
        assert run_capture("repair", copy).returncode == 0
        # Into the recordings folder, which the recorder creates.
        assert run_capture("record", "--source", "pattern", "--duration", "0.3").returncode == 0
    others = {place: oct(mode) for place, mode in watch.seen.items() if mode}
    # The test itself made the copy, and the video folder of the user has ordinary permissions.
    assert others.keys() <= {str(copy), str(videos)}
    seen = {Path(place).relative_to(tmp_path).as_posix() for place in watch.seen}
    assert {"run/capture", "run/capture/capture.lock", "made/out.mkv", "made/out.mkv.ledger.jsonl"} <= seen
    assert {"made/clip.mkv", "made/exact.mkv", "made/clip.gif", "made/small.mp4", "made/repaired.mkv"} <= seen
    assert any("/.capture-" in place for place in seen), "and what is made on the way"
    assert any(place.startswith("home/Videos/Captures/Capture ") for place in seen)


def test_the_watch_notices_open_permissions(tmp_path: Path) -> None:
    with Watch(tmp_path) as watch, open_umask():
        (tmp_path / "open").touch(0o644)
        eventually(lambda: str(tmp_path / "open") in watch.seen, "a look at it")
    assert watch.seen[str(tmp_path / "open")] == 0o044


# The network


def sockets_of(process: int) -> set[str]:
    """Return the inodes of the open sockets of a process."""
    found = set()
    for link in Path(f"/proc/{process}/fd").iterdir():
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            found.add(target.removeprefix("socket:[").removesuffix("]"))
    return found


def network_sockets(process: int) -> set[str]:
    """Return those that lead to other machines, or could."""
    known = set()
    for table in NETWORK_TABLES:
        try:
            lines = Path(f"/proc/{process}/net/{table}").read_text().splitlines()
        except OSError:
            continue
        known |= {word for line in lines for word in line.split()}
    return sockets_of(process) & known


def test_network_sockets_are_noticed() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        assert network_sockets(os.getpid()) == {str(os.fstat(one.fileno()).st_ino)}
    with socket.socket(socket.AF_UNIX):
        assert network_sockets(os.getpid()) == set()


def test_it_records_without_a_network(
    desk: VirtualDesk, capture_environment: dict[str, str], start_capture: StartCapture, tmp_path: Path
) -> None:
    by = ("unshare", "--net")
    if subprocess.run([*by, "true"], check=False, capture_output=True, timeout=60).returncode != 0:
        pytest.skip("no network can be taken away here")
    path, clip = tmp_path / "out.mp4", tmp_path / "clip.mp4"
    tone = write_tone(tmp_path / "tone.wav", 440.0, 60.0)
    with (
        playing(capture_environment, tone, desk.sink),
        start_capture("record", path, "--replay", "10s", "--json", by=by) as recorder,
    ):
        recorder.until_recording(path)
        control = Control(recorder)
        # This uses everything: the clip the control socket, the recording the screen, the sound server and the keys.
        control.until("recording", buffer_s=1.0)
        assert control.ask("clip", output=str(clip))["check"] == "ok"
        assert sockets_of(recorder.process.pid)
        assert network_sockets(recorder.process.pid) == set()
        summary = recorder.stop()
    assert (summary["check"], summary["audio"][0]["silent"]) == ("ok", False)
    assert check(clip).ok
    track = sound(path)
    assert loudness(track.between(0.3, track.end_s - 0.2), 440.0, track.rate) > 0.3


def test_an_available_network_is_not_used(start_capture: StartCapture, tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    with start_capture("record", path, "--replay", "10s", "--json") as recorder:
        used: set[str] = set()

        def has_begun() -> bool:
            used.update(network_sockets(recorder.process.pid))
            return path.exists() and path.stat().st_size > 0

        recorder.until(has_begun, "the file")
        recorder.until_grown(path)
        used |= network_sockets(recorder.process.pid)
        recorder.stop()
    assert used == set()
