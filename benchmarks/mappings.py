"""What the memory of a recorder consists of at its peak, by the kinds of its mappings."""

from __future__ import annotations

import mmap
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.process import text_of

__all__ = ["SAMPLING_S", "Held", "PeakWatch", "held_of"]

SAMPLING_S: Final = 0.02

#: Reading all mappings takes 5 ms of the recorder's time, so that is done only when it has grown by this much.
_STEP_BYTES: Final = 500_000

_HEAD: Final = re.compile(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \S+ *(.*)")
_FIELD: Final = re.compile(r"(\w+): +(\d+) kB")

#: Memory with a name that lies in no file: what is shared with a display or a sound server.
_SHARED: Final = ("/memfd:", "/dev/shm/", "/SYSV")  # noqa: S108 - a name is compared


@dataclass(slots=True)
class Held:
    """The memory of a process in MB.

    `files` are code and tables of libraries, which the system's file cache shares with every program; `shared` is what
    servers write into; `encoder` is in huge pages, as only x264 asks for them; `rest` are pictures, Python's objects
    and everything else that is its own.
    """

    files: float = 0.0
    shared: float = 0.0
    encoder: float = 0.0
    rest: float = 0.0

    @property
    def whole(self) -> float:
        return self.files + self.shared + self.encoder + self.rest


def held_of(smaps: str) -> Held:
    """Sort the mappings of `/proc/PID/smaps` by kind."""
    held, name = Held(), ""
    of_mapping: dict[str, float] = {}
    for line in [*smaps.splitlines(), "0-0 - 0 0 0"]:
        if field := _FIELD.match(line):
            of_mapping[field[1]] = int(field[2]) * 1024 / 1e6
        elif head := _HEAD.match(line):
            _add(held, name, of_mapping)
            name, of_mapping = head[1], {}
    return held


def _add(held: Held, name: str, of_mapping: dict[str, float]) -> None:
    resident = of_mapping.get("Rss", 0.0)
    if name.startswith(_SHARED):
        held.shared += resident
        return
    own = of_mapping.get("Anonymous", 0.0)
    huge = of_mapping.get("AnonHugePages", 0.0)
    held.files += resident - own
    held.encoder += huge
    held.rest += own - huge


class PeakWatch:
    """Keeps what a recorder that this process has started holds at its peak, by `look`, every `SAMPLING_S`."""

    def __init__(self) -> None:
        self.held = Held()
        self._most_bytes = 0

    def look(self) -> None:
        for pid in _recorders():
            pages = text_of(Path(f"/proc/{pid}/statm")).split()
            now_bytes = int(pages[1]) * mmap.PAGESIZE if pages else 0
            if now_bytes > self._most_bytes + _STEP_BYTES and (smaps := text_of(Path(f"/proc/{pid}/smaps"))):
                self._most_bytes, self.held = now_bytes, held_of(smaps)


def _recorders() -> list[int]:
    own = (text_of(each) for each in Path("/proc/self/task").glob("*/children"))
    pids = [int(pid) for children in own for pid in children.split()]
    return [pid for pid in pids if "\0capture\0record\0" in text_of(Path(f"/proc/{pid}/cmdline"))]
