"""What a person sees: one live line while it records, plain lines where nobody watches, and the result."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final, TextIO

from capture.event_kinds import EventKind
from capture.events import Event, Level, Progress, State, Summary

__all__ = ["Terminal", "as_clock", "as_size"]

#: Where the output is no terminal, one line in this time: a log that can be read.
PLAIN_INTERVAL_S: Final = 60.0

#: How often the live line is written anew, and how often it is asked how things are where there is none: each time
#: takes a thousandth of a second.
_LIVE_INTERVAL_S: Final = 0.2
_UNSEEN_INTERVAL_S: Final = 0.5

#: The terminal's own word for "clear from here to the end of the line"; takes the ^C away as well that Ctrl+C leaves.
_CLEAR_TO_END: Final = "\x1b[K"

_BARS: Final = " ▁▂▃▄▅▆▇█"
_METER_FLOOR_DBFS: Final = -60.0


def as_clock(seconds: float) -> str:
    """Seconds as `1:05.3` or `1:02:03`."""
    # Whole tenths: 65.3 is stored as a little less, and would be told as 65.2.
    minutes, tenths = divmod(int(max(0.0, seconds) * 10 + 1e-6), 600)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{tenths // 10:02d}" if hours else f"{minutes}:{tenths / 10:04.1f}"


def as_size(size_bytes: float) -> str:
    """Bytes in thousands, as `1.2 MB`."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if size_bytes < 1000 or unit == "GB":
            break
        size_bytes /= 1000
    return f"{size_bytes:.0f} {unit}" if unit == "bytes" else f"{size_bytes:.1f} {unit}"


#: What happens all the time, or at somebody's wish, and is seen in the live line.
_IN_THE_LINE: Final = frozenset({"dropped", "pause", "resume"})


class Terminal:
    """Takes a session's events from any thread and writes them to `stream`.

    `keys` is what to say about stopping. Nothing is written with `quiet`, except what went wrong.
    """

    def __init__(
        self,
        keys: str,
        stream: TextIO | None = None,
        *,
        quiet: bool = False,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._stream = stream or sys.stderr
        self._quiet = quiet
        # What people have to know all the time.
        self._shown = ""
        self._live = self._stream.isatty() and not quiet
        self._now_s = now_s
        self._plain_due_s = now_s() + PLAIN_INTERVAL_S
        self._line_open = False
        # The sources that there is no sound from now.
        self._lost: list[str] = []

    @property
    def progress_interval_s(self) -> float:
        """How often it is to be told how a recording goes."""
        return _LIVE_INTERVAL_S if self._live else _UNSEEN_INTERVAL_S

    def __call__(self, event: Event | Progress | Summary) -> None:
        if isinstance(event, Progress):
            self._show(event)
        elif isinstance(event, Summary):
            self.conclude(event)
        elif event.kind not in _IN_THE_LINE:
            if event.kind == EventKind.NO_HOTKEYS:
                self._keys = "Ctrl+C stops"
            elif event.kind == EventKind.KEYS_SHOWN:
                self._shown = "keys are shown"
            elif event.kind == EventKind.ENCODER and not self._live:
                # Who is not there to see how it goes finds it in the summary.
                return
            self._note_loss(event)
            text = f"mark: {event.detail}" if event.kind == EventKind.MARK else event.detail
            if event.kind in (EventKind.NO_DATA, EventKind.STOOD_STILL):
                text += f" for {event.end_s - event.at_s:.1f} s"
            text = f"{as_clock(event.at_s)} {text}" if event.at_s else text
            if event.kind == EventKind.DEVICE_LOST:
                self.complain(text)
            else:
                self.say(text)

    def say(self, text: str) -> None:
        """Write a line of its own."""
        if not self._quiet:
            self._erase()
            print(printable(text), file=self._stream, flush=True)

    def complain(self, text: str) -> None:
        """Write what went wrong, also when quiet."""
        self._erase()
        print(printable(text), file=self._stream, flush=True)

    def _note_loss(self, event: Event) -> None:
        source, colon, _ = event.detail.partition(": ")
        if colon and event.kind == EventKind.DEVICE_LOST and source not in self._lost:
            self._lost.append(source)
        elif event.kind == EventKind.DEVICE_BACK and source in self._lost:
            self._lost.remove(source)

    def end(self) -> None:
        """Leave no live line behind."""
        self._erase()
        self._stream.flush()

    def conclude(self, summary: Summary) -> None:
        """Say where the recording is, how long and how large."""
        self.say(f"saved {summary.path}  {as_clock(summary.duration_s)}  {as_size(summary.size_bytes)}")
        for track in summary.audio:
            if track.silent:
                why = track.silent_because or f"nothing was playing on {track.device}"
                self.say(f"the track {track.source} is silent: {why}")
        if summary.check != "ok":
            self.complain(f"the check found: {summary.check}")

    def _show(self, progress: Progress) -> None:
        if self._live:
            # The last column stays free: a line that fills it wraps on some terminals.
            width = _columns(self._stream) - 1
            text = printable(self._line(progress))[:width]
            self._stream.write(f"\r{text}{_CLEAR_TO_END}")
            self._stream.flush()
            self._line_open = True
        elif self._now_s() >= self._plain_due_s and progress.state is not State.ARMED:
            self._plain_due_s = self._now_s() + PLAIN_INTERVAL_S
            self.say(f"{progress.state.value} {as_clock(progress.elapsed_s)} {as_size(progress.size_bytes)}")

    def _line(self, progress: Progress) -> str:
        if progress.state is State.STANDBY:
            kept = f"  {as_clock(progress.buffer_s)} in memory, {as_size(progress.buffer_bytes)}"
            return self._told(f"○ standby{kept if progress.buffer_bytes else ', nothing is recorded'}")
        if progress.waiting_for:
            return self._told(f"○ waiting for {progress.waiting_for}")
        if progress.state is State.ARMED:
            return f"○ recording begins in {-progress.elapsed_s:.0f} s"
        mark = {State.RECORDING: "●", State.PAUSED: "‖"}.get(progress.state, "…")
        parts = [f"{mark} {progress.state.value} {as_clock(progress.elapsed_s)}"]
        if self._lost:
            # In front, where it is seen in a narrow terminal as well.
            parts.append(f"NO SOUND from {', '.join(self._lost)}")
        if progress.width:
            lost = f" ({progress.dropped} dropped)" if progress.dropped else ""
            parts.append(f"{progress.width}x{progress.height} {progress.fps:.0f} fps{lost}")
        parts += [_meter(level) for level in progress.levels]
        parts.append(as_size(progress.size_bytes))
        return self._told(*parts)

    def _told(self, *parts: str) -> str:
        """A line of these parts and what belongs into every one."""
        return "  ".join([*parts, *filter(None, (self._shown, self._keys))])

    def _erase(self) -> None:
        if self._line_open:
            self._stream.write(f"\r{_CLEAR_TO_END}")
            self._line_open = False


def _meter(level: Level) -> str:
    """A bar of eight and a number, or what is the matter."""
    if level.trouble:
        return f"{level.source}: {level.trouble}"
    filled = max(0.0, min(1.0, 1.0 - level.peak_dbfs / _METER_FLOOR_DBFS)) * 8
    bar = "".join(_BARS[round(max(0.0, min(1.0, filled - place)) * 8)] for place in range(8))
    return f"{level.source} {bar} {level.peak_dbfs:4.0f} dB"


def _columns(stream: TextIO) -> int:
    import os

    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return 80


def printable(text: str) -> str:
    """Without control codes: names from outside must not drive the terminal."""
    return "".join(char if char.isprintable() else "?" for char in text)
