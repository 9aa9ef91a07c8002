"""What the system says about the size of files: a limit on this process, and the file system of a folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

__all__ = ["is_fat", "limit_of_process_bytes"]

#: Linux calls it vfat or msdos, Windows FAT or FAT32.
_FAT: Final = frozenset({"vfat", "msdos", "fat", "fat32"})

#: macOS gives the size of file sizes in bits, with a sign. Only on FAT are there so few.
_FAT_BITS: Final = 33

#: The mounted disks of this process, on Linux.
MOUNTS: Final = Path("/proc/self/mountinfo")


def limit_of_process_bytes() -> int | None:
    """Return how large a file this process may write; None without a limit.

    Beyond it a write fails with EFBIG; Python ignores the signal that comes with it.
    """
    if sys.platform == "win32":
        return None
    import resource

    allowed, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return None if allowed == resource.RLIM_INFINITY else allowed


def is_fat(folder: Path) -> bool:
    """Whether `folder` is on FAT; False if that is unknown."""
    try:
        if sys.platform == "darwin":
            return os.pathconf(folder, "PC_FILESIZEBITS") <= _FAT_BITS
        return _name(folder) in _FAT
    except (OSError, ValueError):
        return False


if sys.platform == "win32":

    def _name(folder: Path) -> str:
        """Return the name of the file system of `folder` in lower case, "" if it is unknown."""
        import ctypes

        kernel = ctypes.windll.kernel32
        root, name = ctypes.create_unicode_buffer(1024), ctypes.create_unicode_buffer(64)
        if not kernel.GetVolumePathNameW(str(folder.absolute()), root, len(root)):
            return ""
        if not kernel.GetVolumeInformationW(root, None, 0, None, None, None, name, len(name)):
            return ""
        return name.value.lower()

else:

    def _name(folder: Path) -> str:
        """Return the name of the file system of `folder`, "" if it is unknown. Raises `OSError`."""
        device = folder.stat().st_dev
        wanted = f"{os.major(device)}:{os.minor(device)}"
        for line in MOUNTS.read_text(errors="surrogateescape").splitlines():
            # See proc(5): the device is the third field, and the name comes after a lone dash.
            fields = line.split()
            if fields[2] == wanted and "-" in fields:
                return fields[fields.index("-") + 1]
        return ""
