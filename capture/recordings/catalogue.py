"""Looks at recordings for a list, and remembers what it saw in an index, so that the next list is fast.

The index is a file in the user's cache. It may be deleted or damaged at any time: what it does not hold for a file of
exactly this size and time of change is read again. Several processes may use it at once: each reads it as a whole and
replaces it as a whole, and the last one wins.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from capture.output.locked_file import is_being_recorded
from capture.recordings.library import FoundRecording
from capture.recordings.overview import Glance, State, glance_of_json, kind_of
from capture.strict_json import to_json
from capture.system.private_files import make_folder, read_small, replace

__all__ = ["Entry", "Index", "index_path"]

#: Another number makes every older index invalid: raise it when `Glance` or what it says changes.
_VERSION: Final = 2

#: Room for 200,000 recordings.
_LIMIT_BYTES: Final = 64_000_000


class Entry(NamedTuple):
    """A recording with what was seen of it."""

    found: FoundRecording
    glance: Glance

    @property
    def kind(self) -> str:
        """One of `overview.KINDS`."""
        return kind_of(self.found.path, self.glance.tracks)


def index_path() -> Path:
    """Return where the index is; the file and its folder need not exist."""
    import platformdirs

    return platformdirs.user_cache_path("capture", appauthor=False) / "recordings.json"


class Index:
    """What was seen of recordings, kept in the file at `path`. For one thread.

    `look` looks at one file, and is `glance` except in tests.
    """

    def __init__(self, path: Path, look: Callable[[Path], Glance] | None = None) -> None:
        self._path = path
        self._look = look
        self._known = _read(path)
        self._changed = False

    def look_at(self, found: FoundRecording) -> Entry:
        """Return what is known about a recording, after a look at the file where the index does not say."""
        key = str(found.path)
        known = _valid(self._known.get(key), found)
        if known is not None and known.state is State.WHOLE:
            return Entry(found, known)
        if is_being_recorded(found.path):
            # It changes; and nothing of it may stay in the index, where its lock does not show.
            glance = self._see(found.path)
            return Entry(found, glance._replace(state=State.RECORDING, problem="it is being recorded"))
        if known is None:
            known = self._see(found.path)
            # Permissions may change without a change of the file.
            if known.state is not State.UNREADABLE:
                self._known[key] = [found.size_bytes, found.mtime_ns, *known]
                self._changed = True
        return Entry(found, known)

    def save(self, present: Iterable[FoundRecording]) -> None:
        """Write the index, without the files that are not `present`. A cache that cannot be written is no error."""
        kept = {key: self._known[key] for found in present if (key := str(found.path)) in self._known}
        if not self._changed and len(kept) == len(self._known):
            return
        with suppress(OSError):
            make_folder(self._path.parent)
            replace(self._path, to_json({"version": _VERSION, "files": kept}).encode())

    def _see(self, path: Path) -> Glance:
        if self._look is None:
            # It loads FFmpeg, which takes longer than a list that the index knows.
            from capture.recordings.glance import glance

            self._look = glance
        return self._look(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_small(path, _LIMIT_BYTES))
        files = content["files"] if content["version"] == _VERSION else {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return files if isinstance(files, dict) else {}


def _valid(value: Any, found: FoundRecording) -> Glance | None:
    """Return the glance in an item of the index, if it is one of exactly this file."""
    if not isinstance(value, list) or value[:2] != [found.size_bytes, found.mtime_ns]:
        return None
    try:
        return glance_of_json(value[2:])
    except (ValueError, TypeError, KeyError):
        return None


def looked_at(found: Sequence[FoundRecording], present: Sequence[FoundRecording], path: Path) -> list[Entry]:
    """Look at each `found`; keep in the index at `path` what was seen of those `present`, also when interrupted."""
    index = Index(path)
    try:
        return [index.look_at(each) for each in found]
    finally:
        index.save(present)
