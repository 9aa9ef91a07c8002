"""The program that runs a speech model, in a process of its own: with a damaged one, the library may do anything.

It takes the model's path and a language, and on standard input the sound as float32 at 16 kHz. It prints a JSON object
a line: `{"text", "start_s", "end_s"}` for each segment as it is found, or `{"missing" or "language" or "failed": why}`.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from capture.strict_json import to_json

__all__ = ["main"]


def main(model_path: str, language: str) -> int:
    """Return the exit code: 0 if the sound was heard to its end."""
    import numpy as np

    try:
        library: Any = importlib.import_module("pywhispercpp.model")
    except ImportError as error:
        return _give_up("missing", error)
    if language != "auto" and language not in library.Model.available_languages():
        return _give_up("language", language)
    samples = np.frombuffer(sys.stdin.buffer.read(), np.float32)
    try:
        model = library.Model(model_path, print_progress=False, print_realtime=False, language=language)
        model.transcribe(samples, new_segment_callback=_report)
    except Exception as error:
        return _give_up("failed", error)
    return 0


def _report(segment: Any) -> None:
    # The library counts in hundredths of a second.
    found = {"text": segment.text, "start_s": segment.t0 / 100, "end_s": segment.t1 / 100}
    print(to_json(found), flush=True)


def _give_up(what: str, why: object) -> int:
    print(to_json({what: str(why)}), flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
