"""The verbs play and open: what a person does with one saved recording."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, NoReturn

from capture.cli.parser import Arguments, Verb
from capture.cli.text import say, write_json
from capture.errors import NotReadyError, RecordingError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from capture.cli.keyboard import Keyboard
    from capture.cli.terminal import Terminal
    from capture.playback.playing import Playing
    from capture.recordings.overview import Glance, TrackGlance

__all__ = ["VERBS"]

#: How far an arrow key goes.
_STEP_S: Final = 5.0

#: What the key for the speed goes through.
_SPEEDS: Final = (1.0, 1.5, 2.0)

_HINT: Final = "space pauses, ←/→ 5 s, s speed, q ends"

#: How often the position is shown.
_INTERVAL_S: Final = 0.1


def _play(arguments: Arguments) -> int:
    from capture.cli.recordings import check_track, recording_named
    from capture.parsing import parse_speed, parse_time
    from capture.recordings.check import size_bytes_of
    from capture.recordings.glance import glance
    from capture.recordings.overview import kind_of

    from_s = parse_time(arguments.from_time or "0", zero_allowed=True)
    speed = parse_speed(arguments.speed)
    path = recording_named(arguments.file)
    size_bytes_of(path)
    seen = glance(path)
    if kind_of(path, seen.tracks) in ("video", "animation") and not arguments.sound and seen.tracks:
        return _play_picture(arguments, path)
    sounds = [track for track in seen.tracks if track.kind == "audio"]
    if not sounds:
        raise RecordingError(f"{path} has no sound to play", _instead_of_sound(seen))
    check_track(path, sounds, arguments.track)
    if seen.duration_s is not None and from_s >= seen.duration_s:
        from capture.cli.terminal import as_clock

        length = as_clock(seen.duration_s)
        raise UsageError(f"--from {arguments.from_time} is not within {path}", f"it is {length} long")
    return _play_sound(arguments, path, seen.duration_s, from_s, speed)


def _instead_of_sound(seen: Glance) -> str:
    if seen.problem:
        return seen.problem
    return f"it holds {', '.join(map(_described, seen.tracks))}"


def _described(track: TrackGlance) -> str:
    return f"{track.kind} ({track.codec}, {track.width}x{track.height})"


def _play_picture(arguments: Arguments, path: Path) -> int:
    from capture.desktop.programs import open_with_desktop

    for option, value in (("--from", arguments.from_time), ("--track", arguments.track)):
        if value is not None:
            raise UsageError(f"{option} works for sound only, and {path} has a picture", "add --sound")
    if arguments.speed != "1":
        raise UsageError(f"--speed works for sound only, and {path} has a picture", "add --sound")
    try:
        open_with_desktop(path)
    except NotReadyError as error:
        raise NotReadyError(error.message, f"{error.remedy}; or hear its sound: capture play --sound") from error
    say(arguments, f"opened {path} in the desktop's player")
    if arguments.json:
        write_json({"path": str(path.absolute()), "opened": True})
    return 0


def _play_sound(arguments: Arguments, path: Path, duration_s: float | None, from_s: float, speed: float) -> int:
    from functools import partial

    from capture.cli.keyboard import keyboard
    from capture.cli.terminal import Terminal
    from capture.playback.player import choose_player
    from capture.playback.playing import Playing

    track = None if arguments.track is None else arguments.track - 1
    choose = partial(choose_player, "capture")
    playing = Playing(path, choose=choose, from_s=from_s, speed=speed, track=track)
    terminal = Terminal("", quiet=arguments.quiet)
    say(arguments, f"playing {path}")
    with _ended_by_signals(), suppress(KeyboardInterrupt):
        try:
            playing.start()
            with keyboard() as keys:
                show = _Line(terminal, playing, duration_s, has_keys=keys is not None)
                while _goes_on(keys, playing):
                    show()
        finally:
            playing.stop()
            terminal.end()
    if playing.error is not None:
        raise playing.error
    if arguments.json:
        ended_by = "end" if playing.reached_end else "user"
        # An arrow key may have gone beyond the end.
        to_s = round(min(playing.position_s, math.inf if duration_s is None else duration_s), 3)
        write_json({"path": str(path.absolute()), "from_s": from_s, "to_s": to_s, "ended_by": ended_by})
    return 0


class _Line:
    """Shows the position in the live line."""

    def __init__(self, terminal: Terminal, playing: Playing, duration_s: float | None, *, has_keys: bool) -> None:
        self._terminal = terminal
        self._playing = playing
        self._duration_s = duration_s
        self._hint = _HINT if has_keys else "Ctrl+C ends"

    def __call__(self) -> None:
        from capture.cli.terminal import as_clock

        if not self._terminal.is_live:
            return
        position_s = self._playing.position_s
        line = f"{'‖' if self._playing.is_paused else '▶'} {as_clock(position_s)}"
        if self._duration_s is not None:
            line = f"{line} / {as_clock(self._duration_s)}"
        if self._playing.speed != 1.0:
            line = f"{line}  {self._playing.speed:g}x"
        self._terminal.show(f"{line}  {self._hint}", line)


def _goes_on(keys: Keyboard | None, playing: Playing) -> bool:
    """Wait a moment, and obey a key that was pressed; return False at the end, or when the user wants it."""
    key = None
    if keys is not None:
        key = keys.key(_INTERVAL_S)
    elif playing.wait(_INTERVAL_S):
        return False
    if key in ("left", "right"):
        playing.seek(playing.position_s + (_STEP_S if key == "right" else -_STEP_S))
    elif key in ("s", "S"):
        playing.change_speed(next((speed for speed in _SPEEDS if speed > playing.speed), _SPEEDS[0]))
    elif key == " ":
        if playing.is_paused:
            playing.resume()
        else:
            playing.pause()
    return key not in ("q", "Q") and not playing.wait(0.0)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as Ctrl+C does, so that the terminal gets its modes back."""

    def interrupt(number: int, frame: object) -> NoReturn:
        # One is enough: another would interrupt the end.
        for heeded_one in heeded:
            signal.signal(heeded_one, signal.SIG_IGN)
        raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    # nohup sets SIGHUP to be ignored on purpose.
    heeded = [number for number in numbers if before[number] is not signal.SIG_IGN]
    for number in heeded:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in heeded:
            signal.signal(number, before[number])


def _open(arguments: Arguments) -> int:
    from capture.cli.recordings import recording_named
    from capture.desktop.programs import show_in_file_manager

    path = recording_named(arguments.file)
    if not os.path.lexists(path):
        raise UsageError(f"{path} does not exist", "name an existing recording")
    try:
        show_in_file_manager(path)
    except NotReadyError as error:
        raise NotReadyError(error.message, f"{error.remedy}; it is in {path.absolute().parent}") from error
    say(arguments, f"{path} is shown in the file manager")
    if arguments.json:
        write_json({"path": str(path.absolute()), "shown": True})
    return 0


VERBS: Final[dict[str, Verb]] = {
    "play": _play,
    "open": _open,
}
