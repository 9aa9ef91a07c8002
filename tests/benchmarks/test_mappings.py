"""The mappings of a process are sorted by kind."""

from __future__ import annotations

from benchmarks.mappings import Held, held_of

SMAPS = """\
7f0000000000-7f0000100000 r-xp 00000000 fe:00 7                          /usr/lib/a name.so
Size:               1024 kB
Rss:                 500 kB
Anonymous:             0 kB
VmFlags: rd ex
7f0000100000-7f0000200000 rw-p 00000000 fe:00 7                          /usr/lib/a name.so
Rss:                 100 kB
Anonymous:            60 kB
7f0000300000-7f0000400000 rw-s 00000000 00:01 7                          /memfd:capture (deleted)
Rss:                1000 kB
Anonymous:             0 kB
7f0000400000-7f0000900000 rw-p 00000000 00:00 0
Rss:                5000 kB
Anonymous:          5000 kB
AnonHugePages:      4096 kB
7f0000900000-7f0000a00000 rw-p 00000000 00:00 0                          [heap]
Rss:                 200 kB
Anonymous:           200 kB
AnonHugePages:         0 kB
"""


def test_mappings_are_sorted_by_kind() -> None:
    held = held_of(SMAPS)
    kinds = Held(*(round(part / 1.024, 3) for part in (held.files, held.shared, held.encoder, held.rest)))
    assert kinds == Held(0.54, 1.0, 4.096, 1.164)
    assert round(held.whole / 1.024, 3) == 6.8
