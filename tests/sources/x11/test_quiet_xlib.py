"""Nothing of python-xlib reaches standard output, which may be one JSON object."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from xservers import server

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)


@pytest.mark.parametrize("content", [b"", b"\x01\x00\x00\x04cut"])
def test_an_unusable_xauthority_file_breaks_no_json(
    content: bytes, monkeypatch: pytest.MonkeyPatch, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "authority").write_bytes(content)
    with server(monkeypatch, "320x240x24"):
        environment = {**capture_environment, "DISPLAY": os.environ["DISPLAY"]}
        environment["XAUTHORITY"] = str(tmp_path / "authority")
        done = subprocess.run(
            [sys.executable, "-m", "capture", "devices", "--json"],
            env=environment,
            stdout=subprocess.PIPE,
            timeout=60,
            check=True,
        )
    assert json.loads(done.stdout)["windows"] == []
