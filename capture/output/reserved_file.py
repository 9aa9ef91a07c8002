"""Creates a file under its final name, private to the user from the first byte.

A file that it replaces is set aside until the new one is complete and on the disk.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from capture.errors import OutputError
from capture.output.locked_file import create_locked
from capture.output.replaced_file import ReplacedFile
from capture.system.durable import CHECK_DISK, sync_content, sync_name
from capture.system.standard_streams import fill_closed

__all__ = ["ReservedFile"]


class ReservedFile:
    """Creates an empty file and holds its name until `keep` or `discard`. One thread at a time uses it.

    `descriptor` is open for reading and writing until then.
    """

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        """Raises `OutputError` when the file cannot be created, `UsageError` when it exists without `overwrite`.

        Raises `UsageError` also when another recorder is writing it.
        """
        # No file of ours may get the number of a closed standard stream, which libraries write to.
        fill_closed()
        self.path = path.absolute()
        self._is_discarded = False
        self._old = ReplacedFile.at(self.path) if overwrite else None
        if self._old is None:
            self.descriptor = create_locked(self.path)
            return
        try:
            self.descriptor = self._old.replace()
        except BaseException:
            self._old.close()
            raise

    @property
    def is_gone(self) -> bool:
        """Whether the file was deleted; its content is lost as soon as it is closed."""
        # Windows does not delete open files.
        return sys.platform != "win32" and self.descriptor >= 0 and os.fstat(self.descriptor).st_nlink == 0

    def find(self) -> Path:
        """Return where the file is now, and update `path`: the user may have moved it, or a folder that contains it."""
        if self.descriptor >= 0 and not self._is_in_place() and not self.is_gone:
            with suppress(OSError):
                # Only Linux has this.
                self.path = Path(f"/proc/self/fd/{self.descriptor}").readlink()
        return self.path

    def _is_in_place(self) -> bool:
        if sys.platform == "win32":
            return True
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self.descriptor))
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            # We lost the permission to look: assume that it is still there.
            return True

    @property
    def set_aside(self) -> Path | None:
        """Where the file is that this one replaces; None without one, and once it is gone or back in its place."""
        return self._old.aside if self._old is not None else None

    def keep(self, error: OSError | None = None) -> None:
        """Keep the new file. Once it and its name are on the disk, remove the file that it replaces for good.

        May be called twice. Raises `OutputError` when the disk could not store it, or has reported an `error` before,
        which it does only once. The file that it replaces is then kept too.
        """
        if self.descriptor < 0:
            return
        try:
            if error is not None:
                raise error
            sync_content(self.descriptor)
            sync_name(self.find())
        except OSError as found:
            if self._old is not None:
                self._old.close()
            raise OutputError(f"{self.path} could not be stored ({found.strerror or found})", CHECK_DISK) from found
        finally:
            self._close()
        old, self._old = self._old, None
        if old is not None:
            old.remove()

    def hand_over(self) -> None:
        """Close the new file, for a caller who brings it to the disk; it replaces none."""
        self._close()

    def discard(self) -> None:
        """Remove the file, and restore the one that it would have replaced; may be called twice.

        Raises `OutputError` when the disk does not allow it.
        """
        if self._is_discarded:
            # The name belongs to the restored file now, or to another one.
            return
        self._is_discarded = True
        old, self._old = self._old, None
        wanted = self.path
        # Do not touch a file that took the name in the meantime.
        is_ours = self.descriptor < 0 or (not self.is_gone and self.find() and self._is_in_place())
        if sys.platform == "win32":
            # Windows neither removes nor replaces open files.
            self._close()
        try:
            if is_ours and (old is None or self.path != wanted):
                self.path.unlink(missing_ok=True)
            if old is not None and (is_ours or not os.path.lexists(wanted)):
                old.restore()
        except OSError as error:
            later = "remove it once the disk can be written"
            remedy = later if old is None else f"{later}; the file that it was to replace is kept as {old.aside}"
            raise OutputError(f"{self.path} cannot be removed ({error.strerror or error})", remedy) from error
        finally:
            if old is not None:
                old.close()
            self._close()

    def _close(self) -> None:
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            # Some file systems report here, to every descriptor, what was reported before.
            with suppress(OSError):
                os.close(descriptor)
