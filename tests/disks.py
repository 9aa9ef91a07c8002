"""Small real file systems, mounted for one test, that run full, freeze or turn read-only."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[Path]:
    """Mount a tmpfs of `size_bytes` in `folder`. Skip the test if mounting is not allowed."""
    place = folder / "disk"
    place.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={size_bytes},mode=700", "tmpfs", place)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True, timeout=60)
        place.rmdir()


@contextmanager
def block_disk(folder: Path, size_bytes: int) -> Iterator[Path]:
    """Mount an ext4 on its own block device in `folder`. Skip the test if mounting is not allowed."""
    place, image = folder / "disk", folder / "image"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(size_bytes)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True, timeout=60)
    _mount("-o", "loop", image, place)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True, timeout=60)
        place.rmdir()
        image.unlink()


def _mount(*arguments: str | Path) -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root can mount a disk")
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        Path(arguments[-1]).rmdir()
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")


def fill(place: Path, leaving_bytes: int = 0) -> Path:
    """Fill a disk except for `leaving_bytes`; return the file that takes the space."""
    path = place / "filler"
    with path.open("ab", buffering=0) as file:
        while (room := _room(place) - leaving_bytes) > 0:
            try:
                file.write(bytes(min(room, 1 << 20)))
            except OSError:
                break
    return path


def _room(place: Path) -> int:
    if sys.platform == "win32":
        raise OSError("not on Windows")
    found = os.statvfs(place)
    return found.f_bavail * found.f_frsize


class JournaledDisk:
    """A mounted ext4 with a journal and default options, whose content can be copied as a power cut would leave it.

    The image is in memory, so what the kernel has written to the disk is what a copy holds.
    """

    def __init__(self, place: Path, image: Path) -> None:
        self.place = place
        self._image = image

    def cut(self) -> Path:
        """Return a copy of the disk as it is at this moment."""
        copy = self._image.with_name(f"cut-{len(list(self._image.parent.iterdir()))}")
        content = self._image.read_bytes()
        # Two equal readings in a row are one moment: nothing was written between them.
        while (again := self._image.read_bytes()) != content:
            content = again
        copy.write_bytes(content)
        # Blocks of zeros take no memory.
        subprocess.run(["fallocate", "--dig-holes", copy], check=True, timeout=60)
        return copy

    @contextmanager
    def after(self, copy: Path) -> Iterator[Path]:
        """Mount a copy, as the next start does: the journal is replayed."""
        place = copy.with_suffix(".disk")
        place.mkdir()
        _mount("-o", "loop", copy, place)
        try:
            yield place
        finally:
            subprocess.run(["umount", place], check=True, timeout=60)
            place.rmdir()


@contextmanager
def journaled_disk(folder: Path, size_bytes: int) -> Iterator[JournaledDisk]:
    """Mount an ext4 in memory, of `size_bytes`, in `folder`. Skip the test if mounting is not allowed."""
    memory, place = folder / "memory", folder / "disk"
    memory.mkdir()
    place.mkdir()
    _mount("-t", "tmpfs", "-o", "size=90%,mode=700", "tmpfs", memory)
    try:
        image = memory / "image"
        with image.open("wb") as file:
            file.truncate(size_bytes)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=0", image], check=True, timeout=60)
        _mount("-o", "loop", image, place)
        try:
            yield JournaledDisk(place, image)
        finally:
            subprocess.run(["umount", "--lazy", place], check=True, timeout=60)
            place.rmdir()
    finally:
        subprocess.run(["umount", "--lazy", memory], check=True, timeout=60)
        memory.rmdir()
