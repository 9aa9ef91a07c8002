"""How long do the verbs that read recordings take for files built to keep a reader busy, and how much memory?

Usage: python -m benchmarks.hostile_files [--megabytes 50] [--only WORD …] [--verbs VERB …] [--json [FILE]]

Each file is built in a temporary folder, and each verb runs on it as a process of its own. A file within the bounds of
time, memory and exit code is `ok`, if the verb leaves no partial file behind. What encodes or decodes may take longer
for tracks that are long, as for any recording. CPU time is shown beside the time, for a machine that is busy with other
things. `transcribe` gets a speech model without content: only reading the sound is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import struct
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from benchmarks.hostile import FILES
from benchmarks.process import run
from benchmarks.report import add_json_option, announce, publish, table

MOST_S: Final = 10.0
MOST_BYTES: Final = 300_000_000

#: What more each hour of a track may take where it is decoded and encoded again, and where it is kept in memory.
MOST_S_PER_HOUR: Final = 60.0
MOST_BYTES_PER_HOUR: Final = 250_000_000

#: A verb that takes longer is ended.
_TIMEOUT_S: Final = 600.0

HEAD: Final = ("file", "verb", "time", "CPU", "memory", "", "what it says")

#: Done, refused, or not ready: anything else is a crash.
_VERDICTS: Final = (0, 1, 2, 3)

#: The header of a model of whisper.cpp.
_MODEL: Final = struct.pack("<4s11i", b"lmgg", 51_865, *[1] * 8, 80, 1)


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb and its arguments; `{file}`, `{folder}` and `{new}` become the file, its folder, and a new file."""

    arguments: Sequence[str]
    #: How often it encodes the tracks of the file, or decodes them.
    encodes: int = 0
    #: Whether it keeps the sound in memory.
    keeps: bool = False


VERBS: Final[dict[str, Verb]] = {
    "check": Verb(["{file}"]),
    "repair": Verb(["{file}"]),
    "export": Verb(["{file}", "--for", "web"], encodes=1),
    "trim": Verb(["{file}", "--from", "0.1s", "-o", "{new}"], encodes=1),
    "join": Verb(["{file}", "{file}", "-o", "{new}"], encodes=2),
    "convert": Verb(["{file}", "--constant-fps", "-o", "{new}"]),
    "transcribe": Verb(["{file}", "--model", "{model}"], encodes=1, keeps=True),
    "import": Verb(["{folder}", "--copy", "--format", "m4a"], encodes=1),
    "list": Verb([]),
}


@dataclass(frozen=True, slots=True)
class Result:
    """What one verb did with one file, and how long it may take."""

    name: str
    verb: str
    lasted_s: float
    cpu_s: float
    peak_bytes: int
    exit_code: int
    said: str
    most_s: float
    most_bytes: float
    #: What a partial file is called that it left behind; "" for none.
    left: str

    @property
    def ok(self) -> bool:
        in_time = min(self.lasted_s, self.cpu_s) <= self.most_s
        return in_time and self.peak_bytes <= self.most_bytes and self.exit_code in _VERDICTS and not self.left

    def row(self) -> tuple[str, ...]:
        figures = f"{self.lasted_s:.1f} s", f"{self.cpu_s:.1f} s", f"{self.peak_bytes / 1e6:.0f} MB"
        return (self.name, self.verb, *figures, "ok" if self.ok else "NOT OK", (self.left or self.said)[:90])


def judged(verb: str, name: str, content: bytes, home: Path, length_h: float) -> Result:
    """Run the verb on a file of this content, in the empty `home`, which is empty afterwards."""
    folder = home / "Music" / "Captures" if verb == "list" else home / "in"
    folder.mkdir(parents=True)
    # A voice note is known by its name.
    path = folder / (f"PTT-20261101-WA0001{Path(name).suffix}" if verb == "import" else name)
    path.write_bytes(content)
    (home / "model.bin").write_bytes(_MODEL)
    places = {"file": path, "folder": folder, "new": folder / f"new{path.suffix}", "model": home / "model.bin"}
    arguments = [argument.format(**places) for argument in VERBS[verb].arguments]
    most_s = MOST_S + VERBS[verb].encodes * length_h * MOST_S_PER_HOUR
    most_bytes = MOST_BYTES + VERBS[verb].keeps * length_h * MOST_BYTES_PER_HOUR
    own = {f"XDG_{kind}_HOME": str(home / kind) for kind in ("CONFIG", "CACHE", "STATE", "DATA")}
    try:
        command = [sys.executable, "-m", "capture", verb, *arguments]
        done = run(command, {**os.environ, **own, "HOME": str(home)}, _TIMEOUT_S)
    except TimeoutError:
        said = "it had to be ended"
        return Result(name, verb, _TIMEOUT_S, _TIMEOUT_S, 0, -1, said, most_s, most_bytes, "")
    finally:
        left = next((each.name for each in home.rglob(".capture-*")), "")
        shutil.rmtree(home)
        home.mkdir()
    lines = (done.output + done.errors).replace(str(path), name).split("\n")
    said = ([line for line in lines if line and line != "not ok"] or [""])[-1]
    figures = done.lasted_s, done.cpu_s, done.peak_bytes, done.exit_code
    return Result(name, verb, *figures, said, most_s, most_bytes, left)


def length_h(path: Path) -> float:
    """Return how long the tracks of a file are together, in hours, as `capture check` finds them."""
    try:
        done = run([sys.executable, "-m", "capture", "check", str(path), "--json"], os.environ, _TIMEOUT_S)
        return sum(float(stream["duration_s"]) for stream in json.loads(done.output)["streams"]) / 3600
    except (TimeoutError, ValueError):
        return 0.0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=50, help="size of each file (default: 50)")
    parser.add_argument("--only", nargs="+", metavar="WORD", help="only files with one of these words in their name")
    parser.add_argument("--verbs", nargs="+", choices=VERBS, default=[*VERBS], help="only these (default: all)")
    add_json_option(parser)
    options = parser.parse_args(arguments)
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        for name, build in FILES.items():
            if options.only and not any(word in name for word in options.only):
                continue
            announce(name)
            content = build(options.megabytes * 1_000_000)
            path = Path(folder) / name
            path.write_bytes(content)
            hours = length_h(path)
            path.unlink()
            home = Path(folder) / "home"
            home.mkdir(exist_ok=True)
            results += [judged(verb, name, content, home, hours) for verb in options.verbs]
    more = f"{MOST_S_PER_HOUR:g} s more for each hour of a track that is encoded again"
    bounds = f"bounds: {MOST_S:g} s, {more}, {MOST_BYTES / 1e6:.0f} MB, and a verdict"
    kept = f"{sum(result.ok for result in results)} of {len(results)} within them"
    text = f"{table(HEAD, [result.row() for result in results])}\n\n{bounds}; {kept}"
    publish(text, {"results": [asdict(result) | {"ok": result.ok} for result in results]}, options.json)
    return 0 if all(result.ok for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
