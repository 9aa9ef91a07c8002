"""Builds the manual page into the wheel; everything else is in pyproject.toml."""

import sys
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from capture.cli.manual import manual  # noqa: E402 - found only with this folder in the path

page = HERE / "build" / "man" / "capture.1"
page.parent.mkdir(parents=True, exist_ok=True)
page.write_text(manual(), encoding="utf-8")
setup(data_files=[("share/man/man1", ["build/man/capture.1"])])
