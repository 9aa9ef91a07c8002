"""What is saved is safe: content before the header that needs it, the file before its name, the name before "saved"."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT, StartCapture
from disk_calls import DiskCalls
from reopened import sound
from takes import Recording, StandbyRecording
from test_muxer import Writing
from written import Picture, Sound, write

from capture.config.store import change
from capture.desktop.autostart import _replace
from capture.events import Command, Summary
from capture.formats import CONTAINERS
from capture.output.ledger_file import LedgerFile
from capture.output.naming import ledger_of
from capture.recordings.check import check
from capture.recordings.cut import cut_end
from capture.recordings.export import export
from capture.recordings.join import join
from capture.recordings.loudness import normalise
from capture.recordings.presets import PRESETS
from capture.recordings.repair import repair
from capture.recordings.transcode import convert, fit
from capture.recordings.trim import trim

if sys.platform != "linux":
    pytest.skip("the calls are those of Linux", allow_module_level=True)

#: The formats whose start is written again when the file is closed.
WITH_HEADER = [name for name in CONTAINERS if CONTAINERS[name].format != "ogg"]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> DiskCalls:
    # Only the syncs that an order asks for.
    monkeypatch.setattr("capture.output.syncer.INTERVAL_S", 3600.0)
    return DiskCalls(monkeypatch)


@pytest.mark.parametrize("extension", CONTAINERS)
def test_content_and_index_come_before_the_header(extension: str, tmp_path: Path, calls: DiskCalls) -> None:
    path = tmp_path / f"out.{extension}"
    writing = Writing(path, durable=True)
    writing.until(2)
    writing.close()
    closed = len(calls.calls)
    writing.muxer.keep()
    written = calls.where("write", path)
    headers = [place for place in written if calls.calls[place].is_header]
    appended = max(place for place in written if not calls.calls[place].is_start and place not in headers)
    assert bool(headers) is (extension in WITH_HEADER)
    synced = calls.where("fdatasync", path)
    if headers:
        assert appended < min(headers), "the header is last"
        assert any(appended < place < min(headers) for place in synced)
    assert any(max(written) < place < closed for place in synced), "it is finished, so it is safe"
    calls.assert_safe(path)
    assert check(path).problems == ()


@pytest.mark.parametrize("extension", ["mp4", "ogg"])
def test_the_old_file_goes_when_the_new_one_is_safe(extension: str, tmp_path: Path, calls: DiskCalls) -> None:
    path = tmp_path / f"out.{extension}"
    path.write_bytes(b"old")
    old = path.stat().st_ino

    def note(event: object) -> None:
        if isinstance(event, Summary):
            calls.note("saved")

    with Recording(path, video=extension == "mp4", overwrite=True, ledger=True, emit=note) as recording:
        recording.until_elapsed(1.0)
        recording.ask(Command.STOP)
        assert recording.finished().check == "ok"
    calls.assert_safe(path, named_first=True)
    calls.assert_safe(ledger_of(path))
    (removed,) = (place for place in calls.where("unlink") if calls.calls[place].file == old)
    (saved,) = calls.where("saved")
    named = calls.where("fsync", tmp_path)
    content = max(calls.where("fdatasync", path))
    assert any(content < place < removed for place in named)
    assert removed < saved
    assert max(calls.where("fdatasync", ledger_of(path))) < saved
    assert max(named) < saved
    assert sorted(tmp_path.iterdir()) == [path, ledger_of(path)]


def rewritten(path: Path) -> Path:
    cut_end(path, 1.5)
    return path


def made_louder(path: Path) -> Path:
    normalise(path, -30.0)
    return path


def repaired(path: Path) -> Path:
    repair(write(path, (Sound(end_s=4.0),), Picture(end_s=2.0)))
    return path


def repaired_elsewhere(path: Path) -> Path:
    return repair(path, path.with_name("other.mp4")).path


def made_smaller(path: Path) -> Path:
    return fit(path, round(path.stat().st_size * 0.9))


def set_up(path: Path) -> Path:
    settings = path.parent / "capture" / "settings.toml"
    change("record.fps", ["25"], settings)
    return settings


def started_at_login(path: Path) -> Path:
    entry = path.with_name("capture.desktop")
    _replace(entry, b"[Desktop Entry]\n")
    return entry


def ledger_written(path: Path) -> Path:
    file = LedgerFile(path, lambda error: pytest.fail(str(error)))
    file.end(1.0, "test")
    return file.path


@pytest.mark.parametrize(
    "make",
    [
        rewritten,
        made_louder,
        repaired,
        repaired_elsewhere,
        made_smaller,
        lambda path: convert(path, "gif"),
        lambda path: convert(path, "ogg"),
        lambda path: export(path, "web", PRESETS["web"]).path,
        lambda path: trim(path, path.with_name("part.mp4"), 0.5).path,
        lambda path: join([path, path], path.with_name("both.mp4")).path,
        set_up,
        started_at_login,
        ledger_written,
    ],
)
def test_a_file_gets_its_name_when_its_content_is_safe(
    make: Callable[[Path], Path], tmp_path: Path, calls: DiskCalls
) -> None:
    path = write(tmp_path / "out.mp4")
    del calls.calls[:]
    calls.assert_safe(make(path))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_a_read_only_file_gets_its_name(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    for name in ("one", "other"):
        (tmp_path / name).write_bytes(b"content")
        (tmp_path / name).chmod(0o444)
    program = """
import os
from pathlib import Path
from capture.output.free_name import under_free_name
from capture.system.durable import publish

if os.geteuid() == 0:
    for name in ("one", "other"):
        os.chown(name, 65534, 65534)
    os.setuid(65534)
publish(Path("one"), Path("published"))
under_free_name(Path("other"), Path("named"))
"""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True, timeout=60)
    assert {"published", "named"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize("options", [{}, {"format": "gif"}, {"max_bytes": 20_000}])
def test_a_clip_is_safe_before_it_is_reported(options: dict[str, Any], tmp_path: Path, calls: DiskCalls) -> None:
    path = tmp_path / f"clip.{options.get('format', 'mp4')}"
    with StandbyRecording(tmp_path / "out.mp4", video=True) as recording:
        recording.until_kept(1.5)
        answer = recording.ask(Command.CLIP, output=str(path), **options)
        calls.note("answered")
        assert answer["ok"], answer
    calls.assert_safe(path)
    (answered,) = calls.where("answered")
    assert max(calls.where("fsync", path.parent)) < answered
    assert path.stat().st_size > 100
    if path.suffix == ".mp4":
        assert sound(path).end_s > 1.0


# As the system sees it


def traced(path: Path) -> list[str]:
    """Return the calls of a trace in the order in which they ended, without their process ids."""
    found, open_calls = [], {}
    for line in path.read_text(errors="replace").splitlines():
        process, _, call = line.partition(" ")
        call = call.strip()
        if call.endswith("<unfinished ...>"):
            open_calls[process] = call.removesuffix("<unfinished ...>").rstrip()
        elif call.startswith("<... "):
            found.append(open_calls.pop(process, "") + call.partition(" resumed>")[2])
        else:
            found.append(call)
    return found


def test_the_system_gets_the_calls_in_that_order(start_capture: StartCapture, folder: Path, tmp_path: Path) -> None:
    trace, path = tmp_path / "trace", folder / "out.mp4"
    path.write_bytes(b"old")
    strace = ("strace", "-f", "-y", "-o", str(trace), "-e", "trace=write,fdatasync,fsync,unlink,unlinkat")
    if shutil.which("strace") is None or subprocess.run([*strace, "true"], check=False, timeout=60).returncode != 0:
        pytest.skip("strace is not installed, or may not trace here")
    arguments = ("record", path, "--source", "pattern", "--fps", "10", "--duration", "4s", "--overwrite")
    with start_capture(*arguments, by=strace) as recorder:
        assert recorder.wait() == 0, recorder.stderr
    calls = traced(trace)

    def where(words: str) -> list[int]:
        return [place for place, call in enumerate(calls) if re.search(words, call)]

    name = re.escape(str(path))
    (header,) = where(rf"^write\(\d+<{name}>, .*mdat\", 8\)")
    index = max(place for place in where(rf"^write\(\d+<{name}>") if place < header)
    synced = where(rf"^fdatasync\(\d+<{name}>\).* = 0$")
    named = where(rf"^fsync\(\d+<{re.escape(str(folder))}>\).* = 0$")
    (removed,) = where(r"^unlink(at)?\(.*\.out\.mp4\.replaced-[0-9a-f]{16}\"")
    (saved,) = where(rf"\"saved {re.escape(str(path)[:12])}")
    assert any(index < place < header for place in synced)
    content = min(place for place in synced if place > header)
    assert any(content < place < removed for place in named)
    assert removed < saved
    # Four seconds of recording, and what is done at the end.
    assert 3 <= len([place for place in synced if place < index]) <= 5
