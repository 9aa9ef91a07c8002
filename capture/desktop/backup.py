"""Keeps a copy of every recording elsewhere: what waits for its copy, what has one, and the next attempt.

The list is a file in the user's state folder, changed as a whole under a lock: a crash loses nothing that was queued.
Only files that are complete are copied, one at a time, and each gets its name there once it is whole.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from capture.errors import OutputError
from capture.output.locked_file import is_being_recorded
from capture.output.naming import candidates
from capture.strict_json import to_json
from capture.system.private_files import make_folder, read_small, replace

__all__ = ["BackupList", "Copied", "Copier", "Outcome", "Waiting", "back_up", "backup_path"]

_VERSION: Final = 1

#: Room for 200,000 recordings.
_LIMIT_BYTES: Final = 64_000_000

#: After a failed copy the next attempt waits this long, after each further one twice as long, up to an hour.
_FIRST_WAIT_S: Final = 30.0
_LONGEST_WAIT_S: Final = 3600.0

#: This many failures in a row mean that the network is gone; each of the others would wait for it too.
_FAILURES_IN_A_ROW: Final = 2


@dataclass(frozen=True, slots=True)
class Waiting:
    """A file that waits for its copy. `next_s` is when to try next, in seconds since 1970."""

    failures: int = 0
    next_s: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Copied:
    """The copy of a file: which version of it was copied, where to, and under which name."""

    size_bytes: int
    mtime_ns: int
    remote: str
    name: str

    def is_of(self, size_bytes: int, mtime_ns: int, remote: str) -> bool:
        """Whether it is the copy, at `remote`, of a file that now has this size and date."""
        return (self.size_bytes, self.mtime_ns, self.remote) == (size_bytes, mtime_ns, remote)


@dataclass(slots=True)
class _Content:
    waiting: dict[str, Waiting] = field(default_factory=dict)
    copied: dict[str, Copied] = field(default_factory=dict)


class Copier(Protocol):
    """Copies a file to a name elsewhere. Raises `OutputError`."""

    def copy(self, path: Path, name: str) -> None: ...


class Outcome(NamedTuple):
    """What became of one file: `error` is "" if it was copied."""

    path: Path
    error: str = ""
    #: Whether the place is to blame, and not the file.
    copier_failed: bool = False


def backup_path() -> Path:
    """Return where the list is; the file and its folder need not exist."""
    import platformdirs

    return platformdirs.user_state_path("capture", appauthor=False) / "backup.json"


class BackupList:
    """The list in the file at `path`. Each method reads the file or replaces it under a lock. Any thread may call."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def queue(self, paths: Iterable[Path]) -> None:
        """Add files, unless they wait already; each is due at once. Raises `OSError`."""
        with self._changed() as content:
            for path in paths:
                content.waiting.setdefault(str(path.absolute()), Waiting())

    def waiting(self) -> Mapping[str, Waiting]:
        """Return the files that wait, by path; none where the list cannot be read."""
        return self._seen().waiting

    def copied(self) -> Mapping[str, Copied]:
        """Return the copies, by the path of their file; none where the list cannot be read."""
        return self._seen().copied

    def _seen(self) -> _Content:
        try:
            return _read(self._path)
        except OSError:
            return _Content()

    def due(self) -> set[str]:
        """Return the files whose next attempt is due."""
        return {path for path, each in self.waiting().items() if each.next_s <= time.time()}

    def forget(self, path: str) -> None:
        """Take a file out of those that wait. Raises `OSError`."""
        with self._changed() as content:
            content.waiting.pop(path, None)

    def note_copied(self, path: str, copied: Copied) -> None:
        """Raises `OSError`."""
        with self._changed() as content:
            content.waiting.pop(path, None)
            content.copied[path] = copied

    def note_failure(self, path: str, error: str, now_s: float) -> None:
        """Raises `OSError`."""
        with self._changed() as content:
            failures = content.waiting.get(path, Waiting()).failures + 1
            wait_s = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(failures - 1, 20))
            content.waiting[path] = Waiting(failures, now_s + wait_s, error)

    @contextmanager
    def copying(self) -> Iterator[int | None]:
        """Hold the right to copy; yields the descriptor of its lock, None if another process has it.

        Raises `OSError`.
        """
        with _locked(self._path.with_suffix(".copying"), waits=False) as descriptor:
            yield descriptor

    @contextmanager
    def _changed(self) -> Iterator[_Content]:
        with _locked(self._path.with_suffix(".lock"), waits=True):
            content = _read(self._path)
            yield content
            made = {
                "version": _VERSION,
                "waiting": {path: asdict(each) for path, each in content.waiting.items()},
                "copied": {path: asdict(each) for path, each in content.copied.items()},
            }
            replace(self._path, to_json(made).encode())


@contextmanager
def _locked(path: Path, *, waits: bool) -> Iterator[int | None]:
    make_folder(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield descriptor if _lock(descriptor, waits=waits) else None
    finally:
        os.close(descriptor)


def _lock(descriptor: int, *, waits: bool) -> bool:
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def _read(path: Path) -> _Content:
    """Return the list; an empty one where there is none. Raises `OSError` when it cannot be read.

    Then it must not be replaced by an empty one: it may be whole.
    """
    try:
        text = read_small(path, _LIMIT_BYTES)
    except FileNotFoundError:
        return _Content()
    try:
        content: Any = json.loads(text)
        if content["version"] != _VERSION:
            return _Content()
        return _Content(
            {path: Waiting(**each) for path, each in content["waiting"].items()},
            {path: Copied(**each) for path, each in content["copied"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        # Damaged, it is as good as none: files in the recordings folders are found again.
        return _Content()


def back_up(
    known: BackupList,
    remote: str,
    copier: Copier,
    *,
    even_if_not_due: bool = False,
    now_s: Callable[[], float] = time.time,
    tried: set[str] | None = None,
) -> list[Outcome]:
    """Copy every file that waits and is due; return what became of each, in order. Raises `OSError`.

    Files that are queued meanwhile are copied too. A file that is being recorded goes on waiting, one that is gone does
    not. After two failures of the copier in a row the rest waits for the next backup. `tried` are the files that this
    backup does not try, or not again; it adds those that it has tried or given up.
    """
    outcomes: list[Outcome] = []
    tried = set() if tried is None else tried
    failures = 0
    while failures < _FAILURES_IN_A_ROW:
        due = (path for path, each in known.waiting().items() if even_if_not_due or each.next_s <= now_s())
        path = next((path for path in due if path not in tried), None)
        if path is None:
            break
        tried.add(path)
        outcome = _copied(known, Path(path), remote, copier)
        if outcome is None:
            continue
        outcomes.append(outcome)
        failures = failures + 1 if outcome.copier_failed else 0
        if outcome.error:
            known.note_failure(path, outcome.error, now_s())
    else:
        tried.update(known.waiting())
    return outcomes


def _copied(known: BackupList, path: Path, remote: str, copier: Copier) -> Outcome | None:
    """Copy one file and note that; None if there is nothing to copy now."""
    # It loads FFmpeg, which recorders that only queue have no use for.
    from capture.recordings.glance import glance

    if is_being_recorded(path):
        return None
    try:
        before = path.stat()
        if problem := glance(path).problem:
            return Outcome(path, f"{problem}: see capture check")
        name = _name_for(path, remote, known.copied())
        copier.copy(path, name)
        after = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        known.forget(str(path))
        return None
    except OutputError as error:
        return Outcome(path, str(error), copier_failed=True)
    except OSError as error:
        return Outcome(path, error.strerror or str(error))
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        return Outcome(path, "it changed while it was copied")
    known.note_copied(str(path), Copied(before.st_size, before.st_mtime_ns, remote, name))
    return Outcome(path)


def _name_for(path: Path, remote: str, copied: Mapping[str, Copied]) -> str:
    """Return the name that the copy gets: its own, unless a file from another folder has that one."""
    taken = {each.name for other, each in copied.items() if other != str(path) and each.remote == remote}
    return next(each.name for each in candidates(path) if each.name not in taken)
