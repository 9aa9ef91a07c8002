"""Shows a recording in the terminal: one live line, or plain lines in a log, and the result."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, TextIO

from capture.cli.live_line import Part, as_done, fitted, hint
from capture.events import Event, EventKind, Level, Progress, State, Summary

__all__ = ["Terminal", "as_clock", "as_size"]

#: How often a log gets a line when the output is no terminal: rarely enough that the log stays readable.
PLAIN_INTERVAL_S: Final = 60.0

#: How often progress is reported with a live line, and without one. Each report takes a millisecond.
_LIVE_INTERVAL_S: Final = 0.2
_UNSEEN_INTERVAL_S: Final = 0.5

#: The control code that clears everything from the cursor on: the rest of the line, the ^C that Ctrl+C leaves, and the
#: rows into which a terminal that became narrower has folded the line.
_CLEAR: Final = "\x1b[J"

#: Terminals that know no control codes.
_DUMB: Final = ("dumb", "unknown")

_MARKS: Final = {State.RECORDING: "●", State.PAUSED: "‖"}
_BARS: Final = " ▁▂▃▄▅▆▇█"
_METER_FLOOR_DBFS: Final = -60.0

#: The same as `media.SILENCE_DBFS`. That module imports numpy, which verbs such as `stop` do not wait for.
_SILENCE_DBFS: Final = -90.0


def as_clock(seconds: float) -> str:
    """Format seconds as `1:05.3` or `1:02:03`."""
    # Round to whole tenths first: 65.3 is stored as a little less, and would be shown as 65.2.
    minutes, tenths = divmod(int(max(0.0, seconds) * 10 + 1e-6), 600)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{tenths // 10:02d}" if hours else f"{minutes}:{tenths / 10:04.1f}"


def as_size(size_bytes: float) -> str:
    """Format bytes as `1.2 MB`, counted in thousands."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if size_bytes < 1000 or unit == "GB":
            break
        size_bytes /= 1000
    return f"{size_bytes:.0f} {unit}" if unit == "bytes" else f"{size_bytes:.1f} {unit}"


#: Events that get no line because the live line shows them: they are frequent, or the user caused them.
_IN_LIVE_LINE: Final = frozenset({"dropped", "pause", "resume"})

#: What comes before the detail of an event that is only a name.
_PREFIXES: Final[Mapping[EventKind, str]] = {EventKind.BEGUN: "recording ", EventKind.MARK: "mark: "}


class Terminal:
    """Writes a session's events to `stream`. Any thread may call it.

    `keys` is the hint at the end of the live line: which keys stop. A function returns those that work at present.
    With `quiet` it writes only what went wrong.
    """

    def __init__(
        self,
        keys: str | Callable[[], str],
        stream: TextIO | None = None,
        *,
        quiet: bool = False,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._stream = stream or sys.stderr
        self._quiet = quiet
        # Whether pressed keys are in the picture: the live line warns of that.
        self._keys_are_shown = False
        self._live = self._stream.isatty() and not quiet and os.environ.get("TERM") not in _DUMB
        self._now_s = now_s
        self._plain_due_s = now_s() + PLAIN_INTERVAL_S
        self._line_open = False
        self._finishing_since_s = now_s()
        # The names of the sources that are lost now.
        self._lost: list[str] = []

    @property
    def is_live(self) -> bool:
        """Whether there is a live line."""
        return self._live

    @property
    def progress_interval_s(self) -> float:
        """How often this wants a `Progress`."""
        return _LIVE_INTERVAL_S if self._live else _UNSEEN_INTERVAL_S

    def __call__(self, event: Event | Progress | Summary) -> None:
        if isinstance(event, Progress):
            self._show(event)
        elif isinstance(event, Summary):
            self.conclude(event)
        elif event.kind not in _IN_LIVE_LINE:
            if event.kind == EventKind.NO_HOTKEYS and isinstance(self._keys, str):
                self._keys = "Ctrl+C stops"
            elif event.kind == EventKind.KEYS_SHOWN:
                self._keys_are_shown = True
            elif event.kind == EventKind.ENCODER and not self._live:
                # A log does without it: the summary names the encoder.
                return
            self._note_loss(event)
            text = f"{_PREFIXES.get(event.kind, '')}{event.detail}"
            if event.kind in (EventKind.NO_DATA, EventKind.STOOD_STILL):
                text += f" for {event.end_s - event.at_s:.1f} s"
            text = f"{as_clock(event.at_s)} {text}" if event.at_s else text
            if event.kind == EventKind.DEVICE_LOST:
                self.complain(text)
            else:
                self.say(text)

    def say(self, text: str) -> None:
        """Write a line above the live line, unless quiet."""
        if not self._quiet:
            self.complain(text)

    def complain(self, text: str) -> None:
        """Write what went wrong, even when quiet."""
        self._write(f"{self._erasure()}{printable(text)}\n")

    def _note_loss(self, event: Event) -> None:
        source, colon, _ = event.detail.partition(": ")
        if colon and event.kind == EventKind.DEVICE_LOST and source not in self._lost:
            self._lost.append(source)
        elif event.kind == EventKind.DEVICE_BACK and source in self._lost:
            self._lost.remove(source)

    def end(self) -> None:
        """Erase the live line."""
        self._write(self._erasure())

    def conclude(self, summary: Summary) -> None:
        """Write where the recording is, its length and size, and what is wrong with it.

        One that was deleted meanwhile is nowhere.
        """
        if summary.size_bytes:
            self.say(f"saved {summary.path}  {as_clock(summary.duration_s)}  {as_size(summary.size_bytes)}")
        for track in summary.audio:
            if track.silent and summary.size_bytes:
                why = track.silent_because or f"nothing was playing on {track.device}"
                self.say(f"the track {track.source} is silent: {why}")
        if summary.check != "ok":
            self.complain(f"the check found: {summary.check}")

    def show(self, text: str, shorter: str) -> None:
        """Show `text` as the live line, if there is one, or `shorter` where it does not fit."""
        if self._live:
            self._draw([_part((text, 0), shorter)])

    def _draw(self, parts: Sequence[Part]) -> None:
        if not _in_foreground(self._stream):
            # The line would be drawn over the prompt, which is where the user types.
            self._line_open = False
            return
        # Leave the last column free: a line that fills it wraps on some terminals.
        text = fitted(parts, _columns(self._stream) - 1)
        # The cursor waits at the start of the line, which is where it still is when the terminal folds the line.
        self._write(f"\r{text}{_CLEAR}\r")
        self._line_open = True

    def _show(self, progress: Progress) -> None:
        if self._live:
            self._draw(self._parts(progress))
        elif self._now_s() >= self._plain_due_s and progress.state is not State.ARMED:
            self._plain_due_s = self._now_s() + PLAIN_INTERVAL_S
            self.say(f"{progress.state.value} {as_clock(progress.elapsed_s)} {as_size(progress.size_bytes)}")

    def _parts(self, progress: Progress) -> list[Part]:
        """Return the parts of the line, with hints that keep their place to the last."""
        hints = [_part(("keys are shown", 65), "keys shown")] if self._keys_are_shown else []
        # The hotkeys are not heard before the countdown ends.
        keys = self._keys if isinstance(self._keys, str) else self._keys()
        if keys and progress.elapsed_s >= 0.0:
            hints.append(hint(printable(keys)))
        return [*self._state_parts(progress), *hints]

    def _state_parts(self, progress: Progress) -> list[Part]:
        if progress.state is State.STANDBY:
            kept = ""
            if progress.buffer_bytes:
                kept = f"{as_clock(progress.buffer_s)} in memory"
            size = _part((f"{kept}, {as_size(progress.buffer_bytes)}", 20), (kept, 60), "")
            return [_part(("○ standby", 70), "○"), size if kept else _part(("nothing is recorded", 60), "")]
        if progress.waiting_for:
            return [_part((f"○ {progress.waiting_for}", 70), ("○ waiting", 90), "○")]
        if progress.state is State.ARMED:
            return [_part(f"○ recording starts in {-progress.elapsed_s:.0f} s")]
        if progress.state is not State.FINISHING:
            self._finishing_since_s = self._now_s()
        waited_s = self._now_s() - self._finishing_since_s
        mark, clock = _MARKS.get(progress.state, "…"), as_clock(progress.elapsed_s)
        # Normalising the loudness, for one, takes longer than a moment.
        waited = f", {as_done(waited_s, progress.done)}" if waited_s >= 1.0 else ""
        parts = [_part((f"{mark} {progress.state.value} {clock}{waited}", 70), (f"{mark} {clock}", 90), mark)]
        if self._lost:
            parts.append(_part((f"NO SOUND from {', '.join(self._lost)}", 72), "NO SOUND"))
        if progress.width:
            rate = f"{progress.fps:.0f} fps" if progress.fps >= 0.5 else "still"
            if progress.dropped:
                rate += f" ({progress.dropped} dropped)"
            parts.append(_part((f"{progress.width}x{progress.height} {rate}", 10), (rate, 40), ""))
        parts += [_meter(level) for level in progress.levels]
        return [*parts, _part((as_size(progress.size_bytes), 30), "")]

    def _erasure(self) -> str:
        """Return what erases the live line, if there is one."""
        is_open, self._line_open = self._line_open, False
        return f"\r{_CLEAR}" if is_open and _in_foreground(self._stream) else ""

    def _write(self, text: str) -> None:
        """Write to the stream. A full disk behind it, or a reader that has gone, does not end a recording."""
        with suppress(OSError):
            self._stream.write(text)
            self._stream.flush()


def _part(*forms: str | tuple[str, int]) -> Part:
    """Return a part of the live line, made printable; each form but the last comes with its rank."""
    texts = [printable(form if isinstance(form, str) else form[0]) for form in forms]
    return Part(texts, [form[1] for form in forms if not isinstance(form, str)])


def _meter(level: Level) -> Part:
    """Return the source's name and a bar of eight cells with the level, `silent`, or the problem."""
    if level.trouble:
        return _part((f"{level.source}: {level.trouble}", 62), (f"{level.source}: no sound", 80), "")
    filled = max(0.0, min(1.0, 1.0 - level.peak_dbfs / _METER_FLOOR_DBFS)) * 8
    bar = "".join(_BARS[round(max(0.0, min(1.0, filled - place)) * 8)] for place in range(8))
    reading = f"{level.peak_dbfs:.0f} dB" if level.peak_dbfs > _SILENCE_DBFS else "silent"
    # As wide as -60 dB with a space, so that the line stays steady.
    return _part((f"{level.source} {bar} {reading:>7}", 50), (f"{level.source} {reading:>7}", 60), "")


def _in_foreground(stream: TextIO) -> bool:
    """Whether this process may draw on the terminal of `stream`: a job that was started with `&` may not."""
    if sys.platform == "win32":
        return True
    try:
        return os.tcgetpgrp(stream.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        # A terminal that no shell controls.
        return True


def _columns(stream: TextIO) -> int:
    try:
        # Some terminals do not say, and give 0.
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def printable(text: str) -> str:
    """Return `text` without control codes: names from outside must not drive the terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)
