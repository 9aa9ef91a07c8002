"""Records what a program asks of the disk, in order: writes, syncs, and changes of names."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from capture.output.output_file import OutputFile


class Call(NamedTuple):
    """One call. `file` is the inode that it concerns, so that it stays the same under another name."""

    name: str
    path: Path
    file: int
    #: Where a write began, and whether the file was longer already. What `OutputFile.overwrite` writes, and what
    #: replaces the first bytes, is right at any time.
    at: int = 0
    is_header: bool = False
    is_start: bool = False
    #: The new name, if there is one.
    to: Path | None = None


class DiskCalls:
    """Records the calls of this process while it carries them out. Libraries that write by themselves are not seen."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[Call] = []
        self._overwrites = False
        monkeypatch.setattr(OutputFile, "overwrite", self._overwriting(OutputFile.overwrite))
        for name in ("write", "pwrite", "fdatasync", "fsync"):
            monkeypatch.setattr(os, name, self._of_descriptor(name.removeprefix("p"), getattr(os, name)))
        for name in ("replace", "rename", "link", "unlink"):
            monkeypatch.setattr(os, name, self._of_path(name, getattr(os, name)))

    def _of_descriptor(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def record(descriptor: int, *more: Any) -> Any:
            path, found = Path(f"/proc/self/fd/{descriptor}").readlink(), os.fstat(descriptor)
            at = more[1] if len(more) == 2 else 0
            if name == "write" and len(more) == 1 and path.is_file():
                at = os.lseek(descriptor, 0, os.SEEK_CUR)
            result = call(descriptor, *more)
            # Noted when it is over: a sync counts from its end.
            is_again = name == "write" and at < found.st_size
            is_start = is_again and (at == 0 or self._overwrites)
            self.calls.append(Call(name, path, found.st_ino, at, is_again and not is_start, is_start))
            return result

        return record

    def _overwriting(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def overwrite(*arguments: Any) -> None:
            self._overwrites = True
            try:
                call(*arguments)
            finally:
                self._overwrites = False

        return overwrite

    def _of_path(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def record(path: Any, *more: Any, **options: Any) -> Any:
            file = os.lstat(path).st_ino if os.path.lexists(path) else 0
            # Noted when it begins: what has to come before it is over by then.
            self.calls.append(Call(name, Path(path), file, to=Path(more[0]) if more else None))
            return call(path, *more, **options)

        return record

    def note(self, name: str) -> None:
        """Note something else that happens now."""
        self.calls.append(Call(name, Path(), 0))

    def where(self, name: str, path: Path | None = None) -> list[int]:
        """Return the places of the calls called `name`, on `path` if given."""
        return [place for place, call in enumerate(self.calls) if call.name == name and path in (None, call.path)]

    def assert_safe(self, path: Path, *, named_first: bool = False) -> None:
        """Assert that the file at `path` was synced after its last write, then got its name, and that was synced.

        With `named_first`, it had its name before it had any content. Names that it had before, in hidden folders, do
        not count.
        """
        file = path.stat().st_ino
        synced = max(place for place, call in enumerate(self.calls) if (call.name, call.file) == ("fdatasync", file))
        written = [place for place, call in enumerate(self.calls) if (call.name, call.file) == ("write", file)]
        assert max(written, default=-1) < synced
        names = [call.to == path and call.file == file for call in self.calls]
        named = [place for place, is_named in enumerate(names) if is_named and not named_first]
        assert all(synced < place for place in named)
        assert max([synced, *named]) < max(self.where("fsync", path.parent))
