"""Work on a file says how far it has got."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import written
from written import Picture, Sound, write

from capture.recordings.check import check
from capture.recordings.repair import repair


def assert_rises(shares: list[float]) -> None:
    """Assert that these shares of one piece of work never fall, and reach its end."""
    assert shares == sorted(shares)
    assert len(set(shares)) > 5
    assert shares[0] < 0.3
    assert 0.9 < shares[-1] <= 1.0


@pytest.mark.parametrize("extension", ["mp4", "mkv", "ogg", "flac"])
def test_the_share_of_a_check_rises_to_the_end(extension: str, tmp_path: Path) -> None:
    picture = None if extension in ("ogg", "flac") else Picture()
    path = write(tmp_path / f"made.{extension}", (Sound(),), picture)
    shares: list[float] = []
    check(path, on_progress=shares.append)
    assert_rises(shares)


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_share_of_a_repair_rises_to_the_end(extension: str, elsewhere: bool, tmp_path: Path) -> None:
    path = tmp_path / f"made.{extension}"
    subprocess.run([sys.executable, written.__file__, path], check=True, timeout=60)
    shares: list[float] = []
    assert repair(path, tmp_path / f"new.{extension}" if elsewhere else None, on_progress=shares.append).was_needed
    assert_rises(shares)
