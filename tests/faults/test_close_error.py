"""Closing the file reports an error: it is read again, and a whole file is a success."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest
from reopened import pictures
from takes import Recording

from capture.errors import DiskFullError, OutputError
from capture.events import Command
from capture.output.output_file import OutputFile
from capture.recordings.check import check

if sys.platform != "linux":
    pytest.skip("what a descriptor belongs to is known on Linux alone", allow_module_level=True)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("extension", ["mp4", "mkv", "wav"])
def test_a_whole_file_is_a_success(extension: str, number: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / f"out.{extension}"
    path.write_bytes(b"old")
    close = os.close

    def close_badly(descriptor: int) -> None:
        try:
            is_ours = Path(f"/proc/self/fd/{descriptor}").readlink() == path
        except OSError:
            is_ours = False
        close(descriptor)
        if is_ours:
            raise OSError(number, os.strerror(number))

    with Recording(path, video=extension != "wav", fps=10, overwrite=True) as recording:
        recording.until_elapsed(0.5)
        monkeypatch.setattr(os, "close", close_badly)
        recording.send(Command.STOP)
        summary = recording.finished()
        monkeypatch.setattr(os, "close", close)
    assert recording.session.error is None
    assert summary.check == "ok"
    assert [event.detail for event in recording.events("close_error")] == [
        f"{path} could not be finished ({os.strerror(number)}), but the file is whole"
    ]
    assert check(path).ok
    assert list(folder.iterdir()) == [path], "the old file is gone"


@pytest.mark.parametrize(("number", "kind"), [(errno.EIO, OutputError), (errno.ENOSPC, DiskFullError)])
def test_a_file_without_its_end_is_a_failure(
    number: int, kind: type[OutputError], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "out.mp4"
    write = OutputFile.write

    def refuse_the_last_header(file: OutputFile, data: bytes) -> int:
        if file.tell() < file.size_bytes:
            raise OSError(number, os.strerror(number))
        return write(file, data)

    monkeypatch.setattr(OutputFile, "write", refuse_the_last_header)
    with Recording(path, video=True, fps=10) as recording:
        recording.until_elapsed(0.5)
        recording.send(Command.STOP)
        summary = recording.finished()
    assert type(recording.session.error) is kind
    assert summary.check != "ok"
    assert (summary.stopped_by == "disk_full") == (kind is DiskFullError)
    assert recording.events("close_error") == []
    assert pictures(path).end_s > 0.2, "what is there plays"
