"""Record a voice note whenever sound begins, three notes long, and hand each to a function of your own."""

import sys
from pathlib import Path

import capture


def on_note(note: capture.Summary) -> None:
    print(f"{Path(note.path).name}: {note.duration_s:.1f} s")


folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
for number in range(1, int(sys.argv[2] if len(sys.argv) > 2 else 3) + 1):
    note = capture.record(
        folder / f"note {number}.ogg", voice=True, wait_for_sound=True, stop_after_silence_s=1.0, duration_s=60
    )
    on_note(note)
