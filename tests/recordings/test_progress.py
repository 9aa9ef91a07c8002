"""Work on a file says how far it has got."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import written
from written import Picture, Sound, write

from capture.recordings.check import check
from capture.recordings.loudness import normalise
from capture.recordings.repair import repair
from capture.recordings.transcode import convert, fit


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


@pytest.mark.parametrize(("form", "limit_bytes"), [("gif", None), ("webp", None), ("mp4", None), ("ogg", 8_000)])
def test_the_share_of_a_conversion_rises_to_the_end(form: str, limit_bytes: int | None, tmp_path: Path) -> None:
    path = write(tmp_path / "made.mkv")
    shares: list[float] = []
    if limit_bytes is None:
        convert(path, form, shares.append)
        assert_rises(shares)
    else:
        # How many attempts there will be is not known.
        fit(path, limit_bytes, form, shares.append)
        assert shares == sorted(shares)
        assert 0.4 < shares[-1] < 1.0


def test_the_share_of_normalising_rises(tmp_path: Path) -> None:
    path = write(tmp_path / "made.mkv", (Sound(peak=0.02),))
    shares: list[float] = []
    normalise(path, -16.0, shares.append)
    assert shares == sorted(shares)
    assert shares[0] < 0.3
    assert 0.6 < shares[-1] <= 1.0
