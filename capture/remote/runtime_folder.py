"""The folder where running recorders are found: one per user, with a socket and a lock file for each recorder's name.

A recorder holds its lock until its process ends, however that happens. So a socket whose lock is free was left by a
crash. The lock file contains a note of the recorder's pid and the file it is writing, and survives a crash.
"""

from __future__ import annotations

import itertools
import json
import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from capture.errors import NotReadyError, UsageError
from capture.strict_json import to_json

__all__ = ["DEFAULT_NAME", "Claim", "RuntimeFolder", "check_name", "claim", "default_folder"]

DEFAULT_NAME: Final = "capture"

#: In bytes of UTF-8. A socket's path may have 107 bytes on Linux and 103 on macOS, including the folder.
NAME_LIMIT_BYTES: Final = 64

#: The length of `sun_path` on macOS, which is the shorter one, without the NUL at its end.
PATH_LIMIT_BYTES: Final = 103

_FOLDER_NAME: Final = "capture"
_SOCKET: Final = ".sock"
_LOCK: Final = ".lock"
_PRIVATE_FOLDER: Final = 0o700
_PRIVATE_FILE: Final = 0o600
_WRITABLE_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH

#: Room for a pid and the longest path that Linux allows, every byte escaped.
_LOCK_LIMIT_BYTES: Final = 65_536

#: How long to wait for a process that only checks whether a lock is free. It holds the lock for microseconds; one that
#: is stopped in that moment is not worth waiting for.
_LOOK_LIMIT_S: Final = 1.0
_LOOK_POLL_S: Final = 0.001

#: How often to try to open the folder. It can vanish meanwhile, when the last recorder in it ends, but not this often.
_ENTRIES: Final = 100


def check_name(name: str) -> None:
    """Raise `UsageError` unless `name` is valid for a recorder."""
    if trouble := _trouble_with(name):
        raise UsageError(trouble, f"use 1 to {NAME_LIMIT_BYTES} letters and digits")


def _trouble_with(name: str) -> str | None:
    if not name.strip():
        return "a recorder needs a name"
    if not name.isprintable() or any(separator in name for separator in "/\\"):
        return f"{name!r} is not a valid recorder name"
    return f"the name {name[:20]}… is too long" if len(name.encode()) > NAME_LIMIT_BYTES else None


def default_folder() -> Path:
    """Return the path of this user's runtime folder, which need not exist.

    Does what `platformdirs.user_runtime_path` does. Importing that takes longer than sending a command, and it warns
    when the system has no such folder.
    """
    if sys.platform == "win32":
        raise _not_on_windows()
    user = os.geteuid()
    for parent in (os.environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{user}"):
        # After `su` the variable may still belong to another user.
        with suppress(OSError):
            if Path(parent).is_absolute() and Path(parent).stat().st_uid == user:
                return Path(parent) / _FOLDER_NAME
    import tempfile

    return Path(tempfile.gettempdir()) / f"{_FOLDER_NAME}-{user}"


class RuntimeFolder:
    """The folder, opened by descriptor: all methods act on the folder that was checked, even if its path now differs.

    Any thread may use it. Leaving the context or `close` releases the descriptor.
    """

    def __init__(self, path: Path, *, make: bool = False) -> None:
        """Open the folder at `path`; with `make`, create it if necessary.

        Raises `FileNotFoundError` when it does not exist, `NotReadyError` when it cannot be used or is not safe: it
        belongs to another user, or others can write to it.
        """
        self.path = path
        self._descriptor = -1
        if sys.platform == "win32":
            raise _not_on_windows()
        try:
            if make:
                with suppress(FileExistsError):
                    path.mkdir(mode=_PRIVATE_FOLDER)
            self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            self._check()
        except FileNotFoundError:
            if make and not path.parent.is_dir():
                raise NotReadyError(f"{path.parent} is not a folder", "set XDG_RUNTIME_DIR to a folder") from None
            raise
        except OSError as error:
            self.close()
            raise NotReadyError(
                f"cannot use the folder {path} ({error.strerror})", "remove it, or set XDG_RUNTIME_DIR to another"
            ) from error

    def _check(self) -> None:
        """Raise `NotReadyError` unless the folder belongs to this user alone; make it private if necessary."""
        if sys.platform == "win32":
            raise _not_on_windows()
        found = os.fstat(self._descriptor)
        if found.st_uid != os.geteuid() or found.st_mode & _WRITABLE_BY_OTHERS:
            self.close()
            trouble = "belongs to another user" if found.st_uid != os.geteuid() else "is writable by others"
            raise NotReadyError(f"the folder {self.path} {trouble}", "remove it, or set XDG_RUNTIME_DIR to another")
        if stat.S_IMODE(found.st_mode) != _PRIVATE_FOLDER:
            # A umask can remove the owner's permissions too.
            os.fchmod(self._descriptor, _PRIVATE_FOLDER)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the folder's descriptor. May be called twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def names(self) -> list[str]:
        """Return the names of all recorders that have a socket here, running or crashed, sorted."""
        entries = os.listdir(self._descriptor)  # noqa: PTH208 - a descriptor is not a path
        names = [entry.removesuffix(_SOCKET) for entry in entries if entry.endswith(_SOCKET)]
        return sorted(name for name in names if not _trouble_with(name))

    def address(self, name: str) -> str:
        """Return the address to bind or connect a socket to, valid while this folder is open.

        Raises `NotReadyError` when the path is too long for a socket.
        """
        address = f"/proc/self/fd/{self._descriptor}/{name}{_SOCKET}"
        if sys.platform != "linux" or not os.path.lexists(f"/proc/self/fd/{self._descriptor}"):
            address = str(self.path / f"{name}{_SOCKET}")
        if len(os.fsencode(address)) > PATH_LIMIT_BYTES:
            raise NotReadyError(f"{address} is too long for a socket", "set XDG_RUNTIME_DIR to a shorter path")
        return address

    def note(self, name: str) -> dict[str, Any]:
        """Return the note of the recorder called `name`, running or crashed; empty when it cannot be read."""
        try:
            descriptor = self._open(name, os.O_RDONLY)
        except OSError:
            return {}
        try:
            return _read(descriptor)
        finally:
            os.close(descriptor)

    def clean(self, name: str) -> None:
        """Remove the socket if its recorder has crashed; its note stays. Does nothing while the recorder runs."""
        if sys.platform == "win32":
            raise _not_on_windows()
        import fcntl

        try:
            descriptor = self._open(name, os.O_RDWR | os.O_CREAT)
        except OSError:
            return
        try:
            # A shared lock, so that a recorder that is just starting can tell this check from another recorder. While
            # it is held no recorder can start, and only recorders remove locks: the socket cannot be a new one.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if self.is_current(name, descriptor):
                self.remove_socket(name)
        except OSError:
            return
        finally:
            os.close(descriptor)

    def take_leftovers(self) -> list[dict[str, Any]]:
        """Return the notes of all crashed recorders and remove their files, so that each note is reported once."""
        if sys.platform == "win32":
            raise _not_on_windows()
        import fcntl

        found = []
        entries = os.listdir(self._descriptor)  # noqa: PTH208 - a descriptor is not a path
        for name in sorted(entry.removesuffix(_LOCK) for entry in entries if entry.endswith(_LOCK)):
            try:
                descriptor = self._open(name, os.O_RDWR)
            except OSError:
                continue
            try:
                # A shared lock, as in `clean`.
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                if self.is_current(name, descriptor):
                    found.append(_read(descriptor))
                    self.remove_socket(name)
                    self.remove_lock(name)
            except OSError:
                # Its recorder is running.
                continue
            finally:
                os.close(descriptor)
        return found

    def take_lock(self, name: str) -> int | None:
        """Take the lock of `name` and return its descriptor; None when another recorder holds it."""
        if sys.platform == "win32":
            raise _not_on_windows()
        import fcntl

        gives_up_at_s = time.monotonic() + _LOOK_LIMIT_S
        while True:
            descriptor = self._open(name, os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Otherwise its holder ended, and removed the file, after it was opened here.
                if self.is_current(name, descriptor):
                    return descriptor
            except BlockingIOError:
                if not _is_only_looked_at(descriptor) or time.monotonic() > gives_up_at_s:
                    os.close(descriptor)
                    return None
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
            time.sleep(_LOOK_POLL_S)

    def is_current(self, name: str, descriptor: int) -> bool:
        """Whether `descriptor` refers to the file that is the lock of `name` now."""
        try:
            found = os.stat(f"{name}{_LOCK}", dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(found, os.fstat(descriptor))

    def remove_socket(self, name: str) -> None:
        self._remove(f"{name}{_SOCKET}")

    def remove_lock(self, name: str) -> None:
        self._remove(f"{name}{_LOCK}")

    def remove_if_empty(self) -> None:
        """Remove the folder if it is empty, so that nothing is left when no recorder runs."""
        with suppress(OSError):
            self.path.rmdir()

    def _open(self, name: str, flags: int) -> int:
        if sys.platform == "win32":
            raise _not_on_windows()
        return os.open(f"{name}{_LOCK}", flags | os.O_NOFOLLOW, _PRIVATE_FILE, dir_fd=self._descriptor)

    def _remove(self, entry: str) -> None:
        with suppress(OSError):
            os.unlink(entry, dir_fd=self._descriptor)


class Claim:
    """Holds a recorder's name until `release` or the end of the process. For one thread at a time."""

    def __init__(self, name: str, folder: RuntimeFolder, lock: int) -> None:
        self.name = name
        self.folder = folder
        #: The note of a recorder of this name that crashed; empty when the last one ended properly.
        self.crash_note = _read(lock)
        self._lock = lock
        try:
            self.note(None)
        except BaseException:
            os.close(lock)
            raise

    @property
    def address(self) -> str:
        return self.folder.address(self.name)

    def note(self, recording: Path | None) -> None:
        """Write a note of the pid and the file being recorded, which survives a crash."""
        if self._lock < 0:
            return
        note: dict[str, Any] = {"pid": os.getpid()}
        if recording is not None:
            note["recording"] = str(recording)
        # ASCII with escapes: file names may contain lone surrogates.
        content = to_json(note).encode()
        os.ftruncate(self._lock, 0)
        os.lseek(self._lock, 0, os.SEEK_SET)
        os.write(self._lock, content)

    def release(self) -> None:
        """Release the name and remove its files from the folder. May be called twice."""
        lock, self._lock = self._lock, -1
        if lock < 0:
            return
        # In this order, with the lock held until the end: the files removed are still this recorder's.
        self.folder.remove_socket(self.name)
        self.folder.remove_lock(self.name)
        self.folder.remove_if_empty()
        os.close(lock)
        self.folder.close()


def claim(name: str | None = None, path: Path | None = None) -> Claim:
    """Claim `name`, or without one the first free name of `capture`, `capture-2`, …

    `path` is the runtime folder, by default that of `default_folder`. Raises `UsageError` when the name is taken or
    invalid, `NotReadyError` when the folder cannot be used.
    """
    if name is not None:
        check_name(name)
    path = default_folder() if path is None else path
    for _ in range(_ENTRIES):
        with suppress(FileNotFoundError):
            return _claim_in(RuntimeFolder(path, make=True), name)
    raise NotReadyError(f"the folder {path} keeps being removed", "set XDG_RUNTIME_DIR to another")


def _claim_in(folder: RuntimeFolder, wanted: str | None) -> Claim:
    """Claim a name in `folder`, which is closed on an error.

    Raises `FileNotFoundError` when the folder was removed meanwhile, and what `claim` raises.
    """
    try:
        for name in _names() if wanted is None else (wanted,):
            lock = folder.take_lock(name)
            if lock is not None:
                return Claim(name, folder, lock)
        raise UsageError(f"a recorder called {wanted!r} is already running", "choose another --name")
    except BaseException as error:
        folder.close()
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            raise NotReadyError(
                f"cannot use the folder {folder.path} ({error.strerror})", "set XDG_RUNTIME_DIR to another"
            ) from error
        raise


def _names() -> Iterator[str]:
    yield DEFAULT_NAME
    for number in itertools.count(2):
        yield f"{DEFAULT_NAME}-{number}"


def _read(descriptor: int) -> dict[str, Any]:
    if sys.platform == "win32":
        raise _not_on_windows()
    try:
        found = json.loads(os.pread(descriptor, _LOCK_LIMIT_BYTES, 0))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_only_looked_at(descriptor: int) -> bool:
    """Whether a lock that could not be taken is only shared by processes that check it, not held by a recorder."""
    if sys.platform == "win32":
        raise _not_on_windows()
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _not_on_windows() -> NotReadyError:
    return NotReadyError("the remote control does not work on Windows", "use the hotkeys")
