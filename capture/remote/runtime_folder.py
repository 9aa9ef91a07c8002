"""Where running recorders are found: one folder of the user's, in it a socket and a lock for each recorder by name.

The lock is held as long as its recorder lives, however that ends; so a socket whose lock is free is what a crash left.
The lock's file tells the recorder's process and what it is writing, and outlives a crash.
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

__all__ = ["DEFAULT_NAME", "Claim", "RuntimeFolder", "check_name", "claim", "default_folder"]

DEFAULT_NAME: Final = "capture"

#: In bytes of UTF-8. A socket's path has room for 107 on Linux and 103 on macOS, and the folder's comes before it.
NAME_LIMIT_BYTES: Final = 64

#: `sun_path` of macOS, the shorter one, without the NUL at its end.
PATH_LIMIT_BYTES: Final = 103

_FOLDER_NAME: Final = "capture"
_SOCKET: Final = ".sock"
_LOCK: Final = ".lock"
_PRIVATE_FOLDER: Final = 0o700
_PRIVATE_FILE: Final = 0o600
_WRITABLE_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH

#: A pid and a path, at most as long as Linux lets one be, every byte escaped.
_LOCK_LIMIT_BYTES: Final = 65_536

#: Whoever only looks whether a lock is free holds it for microseconds; one that is stopped just then is not awaited.
_LOOK_LIMIT_S: Final = 1.0
_LOOK_POLL_S: Final = 0.001

#: The folder can vanish while it is entered, because another recorder was the last to leave. Not as often as this.
_ENTRIES: Final = 100


def check_name(name: str) -> None:
    """Raise `UsageError` unless a recorder can be called `name`."""
    if trouble := _trouble_with(name):
        raise UsageError(trouble, f"use 1 to {NAME_LIMIT_BYTES} letters and digits")


def _trouble_with(name: str) -> str | None:
    if not name.strip():
        return "a recorder needs a name"
    if not name.isprintable() or any(separator in name for separator in "/\\"):
        return f"{name!r} cannot be a recorder's name"
    return f"the name {name[:20]}… is too long" if len(name.encode()) > NAME_LIMIT_BYTES else None


def default_folder() -> Path:
    """Where this user's recorders meet. It need not exist.

    As `platformdirs.user_runtime_path`, which takes longer to load than an order to give, and warns where there is no
    such folder.
    """
    if sys.platform == "win32":
        raise _not_on_windows()
    user = os.geteuid()
    for parent in (os.environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{user}"):
        # After `su` the variable may still be that of another user.
        with suppress(OSError):
            if Path(parent).is_absolute() and Path(parent).stat().st_uid == user:
                return Path(parent) / _FOLDER_NAME
    import tempfile

    return Path(tempfile.gettempdir()) / f"{_FOLDER_NAME}-{user}"


class RuntimeFolder:
    """The folder, opened; what it says and does is about what was checked when it was, whatever its path leads to now.

    Any thread may use it. The context, or `close`, gives it back.
    """

    def __init__(self, path: Path, *, make: bool = False) -> None:
        """Open the folder at `path`, or make it if wanted.

        `FileNotFoundError` where there is none, `NotReadyError` where it cannot be used or others could meddle with it.
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
                raise NotReadyError(f"{path.parent} is no folder", "let XDG_RUNTIME_DIR name one") from None
            raise
        except OSError as error:
            self.close()
            raise NotReadyError(
                f"the folder {path} cannot be used ({error.strerror})", "remove it, or let XDG_RUNTIME_DIR name another"
            ) from error

    def _check(self) -> None:
        if sys.platform == "win32":
            raise _not_on_windows()
        found = os.fstat(self._descriptor)
        if found.st_uid != os.geteuid() or found.st_mode & _WRITABLE_BY_OTHERS:
            self.close()
            whose = "belongs to another user" if found.st_uid != os.geteuid() else "can be written by others"
            raise NotReadyError(f"the folder {self.path} {whose}", "remove it, or let XDG_RUNTIME_DIR name another")
        if stat.S_IMODE(found.st_mode) != _PRIVATE_FOLDER:
            # A umask can take from the owner, too.
            os.fchmod(self._descriptor, _PRIVATE_FOLDER)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """May be called twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def names(self) -> list[str]:
        """The names of all recorders that have a socket here, dead or alive."""
        entries = os.listdir(self._descriptor)  # noqa: PTH208 - a descriptor is no path
        names = [entry.removesuffix(_SOCKET) for entry in entries if entry.endswith(_SOCKET)]
        return sorted(name for name in names if not _trouble_with(name))

    def address(self, name: str) -> str:
        """What to bind or connect a socket to, while this folder is open. `NotReadyError` where no such path fits."""
        address = f"/proc/self/fd/{self._descriptor}/{name}{_SOCKET}"
        if sys.platform != "linux" or not os.path.lexists(f"/proc/self/fd/{self._descriptor}"):
            address = str(self.path / f"{name}{_SOCKET}")
        if len(os.fsencode(address)) > PATH_LIMIT_BYTES:
            raise NotReadyError(f"{address} is too long for a socket", "let XDG_RUNTIME_DIR name a shorter folder")
        return address

    def note(self, name: str) -> dict[str, Any]:
        """What the recorder called `name` wrote down, alive or not; empty where nothing can be read."""
        try:
            descriptor = self._open(name, os.O_RDONLY)
        except OSError:
            return {}
        try:
            return _read(descriptor)
        finally:
            os.close(descriptor)

    def clean(self, name: str) -> None:
        """Remove the socket that a crashed recorder left; one that lives loses nothing. What it wrote down stays."""
        if sys.platform == "win32":
            raise _not_on_windows()
        import fcntl

        try:
            descriptor = self._open(name, os.O_RDWR | os.O_CREAT)
        except OSError:
            return
        try:
            # Shared, so that a recorder that begins right now can tell a look from another recorder. While it is held
            # none can begin, and only a recorder removes a lock: the socket is not a new one.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if self.is_current(name, descriptor):
                self.remove_socket(name)
        except OSError:
            return
        finally:
            os.close(descriptor)

    def take_leftovers(self) -> list[dict[str, Any]]:
        """What recorders wrote down that crashed. Nothing of them is left here: it is told once."""
        if sys.platform == "win32":
            raise _not_on_windows()
        import fcntl

        found = []
        entries = os.listdir(self._descriptor)  # noqa: PTH208 - a descriptor is no path
        for name in sorted(entry.removesuffix(_LOCK) for entry in entries if entry.endswith(_LOCK)):
            try:
                descriptor = self._open(name, os.O_RDWR)
            except OSError:
                continue
            try:
                # Shared, as in `clean`.
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                if self.is_current(name, descriptor):
                    found.append(_read(descriptor))
                    self.remove_socket(name)
                    self.remove_lock(name)
            except OSError:
                # It lives.
                continue
            finally:
                os.close(descriptor)
        return found

    def take_lock(self, name: str) -> int | None:
        """The lock of `name`, held, as a descriptor; None when another recorder holds it."""
        if sys.platform == "win32":
            raise _not_on_windows()
        import fcntl

        gives_up_at_s = time.monotonic() + _LOOK_LIMIT_S
        while True:
            descriptor = self._open(name, os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Else its holder ended, and removed it, after it had been opened here.
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
        """Whether `descriptor` is of the file that is now the lock of `name`."""
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
        """So that nothing lies about when no recorder runs."""
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
    """A name that is this recorder's until `release`, or until its process ends. One thread at a time."""

    def __init__(self, name: str, folder: RuntimeFolder, lock: int) -> None:
        self.name = name
        self.folder = folder
        #: What a recorder of this name wrote down that crashed; empty when the last one ended well.
        self.left_behind = _read(lock)
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
        """Write down which file is being recorded, for whoever looks after a crash."""
        if self._lock < 0:
            return
        note: dict[str, Any] = {"pid": os.getpid()}
        if recording is not None:
            note["recording"] = str(recording)
        # Escaped, since not every name of a file is text.
        content = json.dumps(note).encode()
        os.ftruncate(self._lock, 0)
        os.lseek(self._lock, 0, os.SEEK_SET)
        os.write(self._lock, content)

    def release(self) -> None:
        """Give the name back, with all that stands in the folder for it; may be called twice."""
        lock, self._lock = self._lock, -1
        if lock < 0:
            return
        # In this order, and held until the end: what is removed is still this recorder's.
        self.folder.remove_socket(self.name)
        self.folder.remove_lock(self.name)
        self.folder.remove_if_empty()
        os.close(lock)
        self.folder.close()


def claim(name: str | None = None, path: Path | None = None) -> Claim:
    """Take `name`, or without one the first of `capture`, `capture-2`, … that no recorder has.

    `UsageError` for a name that is taken or cannot be one, `NotReadyError` where the folder, by default that of
    `default_folder`, cannot be used.
    """
    if name is not None:
        check_name(name)
    path = default_folder() if path is None else path
    for _ in range(_ENTRIES):
        with suppress(FileNotFoundError):
            return _claim_in(RuntimeFolder(path, make=True), name)
    raise NotReadyError(f"the folder {path} does not stay", "let XDG_RUNTIME_DIR name another")


def _claim_in(folder: RuntimeFolder, wanted: str | None) -> Claim:
    """`FileNotFoundError` when the folder was removed meanwhile."""
    try:
        for name in _names() if wanted is None else (wanted,):
            lock = folder.take_lock(name)
            if lock is not None:
                return Claim(name, folder, lock)
        raise UsageError(f"a recorder called {wanted!r} is running already", "choose another --name")
    except BaseException as error:
        folder.close()
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            raise NotReadyError(
                f"the folder {folder.path} cannot be used ({error.strerror})", "let XDG_RUNTIME_DIR name another"
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
    """Whether a lock that could not be taken is shared by those who look, rather than a recorder's."""
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
