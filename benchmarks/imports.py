"""How long does `capture import` take to list the voice notes of a phone?

Usage: python -m benchmarks.imports [--notes 5000] [--json [FILE]]

A made-up phone has voice notes of many weeks, each a file of its own, and as many pictures beside them; an exported
chat has a tenth as many in a zip. Each run is a process of its own, as a user starts it. `find -ls` of the same folder
is timed beside it. The exit code is 1 when the list of the phone breaks the bound.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from benchmarks.process import Outcome, run
from benchmarks.report import add_json_option, announce, publish, table

BOUND_S: Final = 3.0

_A_WEEK: Final = 50


def fill(phone: Path, note: bytes, count: int) -> None:
    """Put `count` voice notes and as many pictures where WhatsApp puts them."""
    media = phone / "Android" / "media" / "com.whatsapp" / "WhatsApp" / "Media"
    pictures = media / "WhatsApp Images"
    pictures.mkdir(parents=True)
    for number in range(count):
        week, nth = divmod(number, _A_WEEK)
        folder = media / "WhatsApp Voice Notes" / f"{2020 + week // 50}{1 + week % 50:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        day = f"{2020 + week // 50}{1 + week % 12:02d}{1 + nth % 28:02d}"
        (folder / f"PTT-{day}-WA{nth:04d}.opus").write_bytes(note)
        (pictures / f"IMG-{day}-WA{number:05d}.jpg").write_bytes(b"")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--notes", type=int, default=5_000)
    add_json_option(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        phone, chat, original = home / "phone", home / "chat.zip", home / "original.ogg"
        announce(f"making {arguments.notes} voice notes")
        command = [sys.executable, "-m", "capture", "record", str(original), "--source", "pattern", "--voice"]
        subprocess.run([*command, "--duration", "5s", "--quiet", "--no-hotkeys"], check=True, timeout=120)
        note = original.read_bytes()
        fill(phone, note, arguments.notes)
        with zipfile.ZipFile(chat, "w") as archive:
            for number in range(arguments.notes // 10):
                archive.writestr(f"PTT-20231103-WA{number:04d}.opus", note)
        environment = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home / "config")}
        listing = [sys.executable, "-m", "capture", "import"]
        commands = {
            "phone": [*listing, str(phone)],
            "phone, --json": [*listing, str(phone), "--json"],
            "zip": [*listing, str(chat)],
            "find -ls": ["find", str(phone), "-ls"],
        }
        runs: dict[str, Outcome] = {what: run(argv, environment, 600.0) for what, argv in commands.items()}
    rows = [[what, f"{outcome.lasted_s:.2f} s", f"{outcome.cpu_s:.2f} s"] for what, outcome in runs.items()]
    figures = {
        "notes": arguments.notes,
        "note_bytes": len(note),
        "runs": {what: {"lasted_s": outcome.lasted_s, "cpu_s": outcome.cpu_s} for what, outcome in runs.items()},
    }
    publish(table(["run", "time", "processor"], rows), figures, arguments.json)
    failed = any(outcome.exit_code for outcome in runs.values())
    return int(failed or runs["phone"].lasted_s > BOUND_S)


if __name__ == "__main__":
    sys.exit(main())
