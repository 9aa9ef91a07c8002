"""Terminal output: a live line that fits the terminal, plain lines in a log, no control characters from outside."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import replace
from io import StringIO
from typing import Final

import pytest

from capture.cli.live_line import cells
from capture.cli.terminal import Terminal, as_clock, as_size
from capture.events import AudioSummary, Event, EventKind, Level, Progress, State, Summary

RECORDING = Progress(
    State.RECORDING,
    elapsed_s=65.3,
    size_bytes=1_234_567,
    width=1920,
    height=1080,
    fps=29.97,
    levels=(Level("internal", -18.4),),
)


class Screen(StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True

    def shown(self) -> str:
        """Return the live line as it is now."""
        return re.sub(r"\x1b\[J", "", self.getvalue()).rstrip("\r").rpartition("\r")[2].rstrip(" ")


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    set_columns(monkeypatch, 200)
    monkeypatch.setenv("TERM", "xterm")
    return Screen()


def set_columns(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setattr("capture.cli.terminal._columns", lambda stream: columns)


def summary(path: str = "/home/me/out.mp4", check: str = "ok", *, silent: bool = False) -> Summary:
    track = AudioSummary("internal", "Speakers", "aac", 48_000, 2, 65.3, 0.0, 0.0, -120.0 if silent else -6.0, silent)
    return Summary(path, "mp4", 65.3, 1_234_567, None, (track,), 0.0, (), "duration", check)


# The live line


def meter(level_dbfs: float) -> str:
    """Return a level meter of eight cells that spans -60 dB to 0."""
    filled = (1 + level_dbfs / 60) * 8
    return "".join(" ▁▂▃▄▅▆▇█"[round(max(0.0, min(1.0, filled - place)) * 8)] for place in range(8))


METER: Final = f"{meter(-18.4)}  -18 dB"


def test_the_live_line_shows_time_picture_level_and_size(screen: Screen) -> None:
    Terminal("Ctrl+C stops", screen)(RECORDING)
    assert screen.shown() == (
        f"● recording 1:05.3  1920x1080 30 fps  internal {meter(-18.4)}  -18 dB  1.2 MB  Ctrl+C stops"
    )


def test_the_live_line_follows_keys_that_change(screen: Screen) -> None:
    keys = "Ctrl+C stops"
    terminal = Terminal(lambda: keys, screen)
    terminal(RECORDING)
    assert screen.shown().endswith("1.2 MB  Ctrl+C stops")
    keys = "F8\x1b or Ctrl+C stops"
    terminal(RECORDING)
    assert screen.shown().endswith("1.2 MB  F8? or Ctrl+C stops")
    terminal(Event(EventKind.NO_HOTKEYS, 0.0, "none"))
    keys = "Ctrl+C quits"
    terminal(RECORDING)
    assert screen.shown().endswith("1.2 MB  Ctrl+C quits")


def test_the_live_line_counts_dropped_frames(screen: Screen) -> None:
    Terminal("", screen)(Progress(State.RECORDING, 1.0, 0, 640, 480, 12.0, dropped=3))
    assert "640x480 12 fps (3 dropped)" in screen.shown()


def test_the_live_line_of_audio_has_no_picture_size(screen: Screen) -> None:
    Terminal("", screen)(Progress(State.RECORDING, 1.0, 500, levels=(Level("mic", -120.0),)))
    assert "fps" not in screen.shown()
    assert screen.shown().startswith("● recording 0:01.0  mic ")


def test_a_still_picture_and_silence_are_named(screen: Screen) -> None:
    terminal = Terminal("", screen)
    for fps, level_dbfs, shown in (
        (0.0, -120.0, f"640x480 still  internal {' ' * 8}  silent  0 bytes"),
        (0.4, -90.0, f"640x480 still  internal {' ' * 8}  silent  0 bytes"),
        (0.6, -89.0, f"640x480 1 fps  internal {' ' * 8}  -89 dB  0 bytes"),
    ):
        levels = (Level("internal", level_dbfs),)
        terminal(Progress(State.RECORDING, 1.0, 0, 640, 480, fps, levels=levels))
        assert screen.shown() == f"● recording 0:01.0  {shown}"


def test_the_live_line_says_what_starts_the_recording(screen: Screen) -> None:
    for waiting_for in ("waiting for sound", "hold Ctrl+Alt+Space to record"):
        Terminal("Ctrl+C stops", screen)(Progress(State.ARMED, 0.0, 0, waiting_for=waiting_for))
        assert screen.shown() == f"○ {waiting_for}  Ctrl+C stops"


@pytest.mark.parametrize(
    ("trouble", "shown"),
    [("nothing is playing", "internal: nothing is playing"), ("no data", "internal: no data"), ("", " -60 dB")],
)
def test_a_problem_replaces_the_level_meter(trouble: str, shown: str, screen: Screen) -> None:
    Terminal("", screen)(Progress(State.RECORDING, 1.0, 0, levels=(Level("internal", -60.0, trouble),)))
    assert shown in screen.shown()


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (State.PAUSED, "‖ paused 0:07.0"),
        (State.FINISHING, "… finishing 0:07.0"),
        (State.RECORDING, "● recording 0:07.0"),
    ],
)
def test_the_live_line_starts_with_the_state(state: State, shown: str, screen: Screen) -> None:
    Terminal("", screen)(Progress(state, 7.0, 0))
    assert screen.shown().startswith(shown)


def test_a_lost_source_stays_in_the_live_line_until_it_is_back(screen: Screen) -> None:
    terminal = Terminal("", screen)
    mixed = Progress(State.RECORDING, 65.3, 0, levels=(Level("internal+mic", -20.0),))
    for kind, source, shown in (
        (EventKind.DEVICE_LOST, "internal", "NO SOUND from internal  internal+mic"),
        (EventKind.DEVICE_CHANGED, "internal", "NO SOUND from internal  internal+mic"),
        (EventKind.DEVICE_LOST, "mic", "NO SOUND from internal, mic  internal+mic"),
        (EventKind.DEVICE_BACK, "internal", "NO SOUND from mic  internal+mic"),
        (EventKind.DEVICE_BACK, "mic", "● recording 1:05.3  internal+mic"),
        (EventKind.DEVICE_LOST, "the display", "NO SOUND from the display  internal"),
    ):
        terminal(Event(kind, 60.0, f"{source}: Speakers"))
        terminal(mixed)
        assert shown in screen.shown()
    terminal(Event(EventKind.DEVICE_BACK, 60.0, "the display: there"))
    # This event names no source.
    terminal(Event(EventKind.DEVICE_LOST, 60.0, "the display is gone"))
    terminal(mixed)
    assert "NO SOUND" not in screen.shown()


def test_the_live_line_counts_down(screen: Screen) -> None:
    Terminal("", screen)(Progress(State.ARMED, -3.0, 0))
    assert screen.shown() == "○ recording starts in 3 s"


TWO_TRACKS: Final = RECORDING._replace(levels=(Level("internal", -18.4), Level("mic", -30.0)))
WITH_TROUBLE: Final = RECORDING._replace(levels=(Level("internal", -120.0, "Speakers is muted"), Level("mic", -30.0)))
STANDBY: Final = Progress(State.STANDBY, 0.0, 0, buffer_s=30.2, buffer_bytes=12_345_678)
TO_CLIP: Final = "Ctrl+Alt+C saves a clip, "


@pytest.mark.parametrize(
    ("progress", "keys", "keys_are_shown", "columns", "shown"),
    [
        (RECORDING, "", False, 80, f"● recording 1:05.3  30 fps  internal {METER}  1.2 MB  Ctrl+C stops"),
        (RECORDING, "", False, 60, f"● recording 1:05.3  internal {METER}  Ctrl+C stops"),
        (RECORDING, "", False, 40, "● recording 1:05.3  Ctrl+C stops"),
        (RECORDING, "", False, 30, "● 1:05.3  Ctrl+C stops"),
        (RECORDING, "", False, 20, "●  Ctrl+C stops"),
        (
            RECORDING,
            TO_CLIP,
            False,
            100,
            f"● recording 1:05.3  1920x1080 30 fps  internal {METER}  1.2 MB  Ctrl+Alt+R or Ctrl+C stops",
        ),
        (TWO_TRACKS, "", True, 80, "● recording 1:05.3  internal  -18 dB  mic  -30 dB  keys are shown  Ctrl+C stops"),
        (TWO_TRACKS, "", True, 40, "● 1:05.3  keys are shown  Ctrl+C stops"),
        (TWO_TRACKS, "", True, 30, "●  keys shown  Ctrl+C stops"),
        (TWO_TRACKS, "", True, 20, "keys shown  Ctrl+C"),
        (WITH_TROUBLE, "", True, 80, "● recording 1:05.3  internal: Speakers is muted  keys are shown  Ctrl+C stops"),
        (WITH_TROUBLE, "", True, 60, "● 1:05.3  internal: no sound  keys are shown  Ctrl+C stops"),
        (STANDBY, TO_CLIP, False, 80, "○ standby  0:30.2 in memory, 12.3 MB  Ctrl+Alt+R or Ctrl+C stops"),
        (STANDBY, TO_CLIP, False, 40, "○ standby  Ctrl+Alt+R or Ctrl+C stops"),
    ],
)
def test_the_live_line_gives_up_the_least_important_parts_and_cuts_no_word(
    progress: Progress, keys: str, keys_are_shown: bool, columns: int, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_columns(monkeypatch, columns)
    screen = Screen()
    terminal = Terminal(f"{keys}Ctrl+Alt+R or Ctrl+C stops", screen)
    if keys_are_shown:
        terminal(Event(EventKind.KEYS_SHOWN, 0.0, "keys are shown"))
    terminal(progress)
    assert screen.shown() == shown


@pytest.mark.parametrize("columns", range(1, 160, 3))
def test_the_live_line_stops_before_the_last_column(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    set_columns(monkeypatch, columns)
    for name in ("internal", "微信"):
        for progress in (RECORDING, TWO_TRACKS, WITH_TROUBLE, STANDBY):
            screen = Screen()
            levels = tuple(level._replace(source=name) for level in progress.levels)
            Terminal("Ctrl+Alt+R or Ctrl+C stops", screen)(progress._replace(levels=levels))
            assert cells(screen.shown()) <= columns - 1
            assert "\n" not in screen.getvalue()
            # How to stop is the last to go, and no word is cut.
            assert columns < 8 or re.search(r"Ctrl\+C( stops)?$", screen.shown())


def test_wide_letters_count_twice() -> None:
    assert [cells(text) for text in ("", "abc", "微信", "a微", "e\u0301")] == [0, 3, 4, 3, 1]


def test_a_shorter_line_clears_the_rest_of_a_longer_one(screen: Screen) -> None:
    terminal = Terminal("Ctrl+C stops", screen)
    terminal(RECORDING)
    terminal(Progress(State.ARMED, -3.0, 0))
    # A control code clears the rest, also on the rows below, and the cursor waits at the start of the line.
    assert screen.getvalue().endswith("3 s\x1b[J\r")


def test_a_message_gets_its_own_line(screen: Screen) -> None:
    terminal = Terminal("Ctrl+C stops", screen)
    terminal(RECORDING)
    terminal(Event(EventKind.HOLE, 12.34, "internal: 0.250 s of sound missing"))
    terminal(RECORDING)
    lines = screen.getvalue().split("\n")
    assert lines[0].rpartition("\r\x1b[J")[2] == "0:12.3 internal: 0.250 s of sound missing"
    assert "● recording" in lines[1]


def test_an_event_before_the_start_has_no_time(screen: Screen) -> None:
    Terminal("", screen)(Event(EventKind.CROPPED, 0.0, "301x201 cropped to 300x200"))
    assert screen.getvalue() == "301x201 cropped to 300x200\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (31, "● 1:05.3  30 fps  Ctrl+C stops"),
        (0, f"● recording 1:05.3  30 fps  internal {METER}  1.2 MB  Ctrl+C stops"),
    ],
)
def test_the_width_of_a_real_terminal_is_used(columns: int, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform == "win32":
        return
    monkeypatch.setenv("TERM", "xterm")
    import fcntl
    import struct
    import termios

    controller, terminal_end = os.openpty()
    try:
        fcntl.ioctl(terminal_end, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))
        with open(terminal_end, "w", encoding="utf-8", closefd=False) as stream:
            Terminal("Ctrl+C stops", stream)(RECORDING)
        written = os.read(controller, 4096).decode()
    finally:
        os.close(controller)
        os.close(terminal_end)
    assert written == f"\r{shown}\x1b[J\r"


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_without_control_codes_gets_plain_lines(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", term)
    moments_s = [0.0]
    screen = Screen()
    terminal = Terminal("Ctrl+C stops", screen, now_s=lambda: moments_s[0])
    for moment_s in (1.0, 61.0):
        moments_s[0] = moment_s
        terminal(Progress(State.RECORDING, moment_s, 1_000))
    terminal.say("a word")
    terminal.end()
    assert screen.getvalue() == "recording 1:01.0 1.0 KB\na word\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no job control")
def test_a_job_in_the_background_does_not_draw_over_the_prompt(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform == "win32":
        return
    foreground = [os.getpgrp()]
    monkeypatch.setattr(os, "tcgetpgrp", lambda descriptor: foreground[0])
    monkeypatch.setattr(screen, "fileno", lambda: 2)
    terminal = Terminal("Ctrl+C stops", screen)
    terminal(RECORDING)
    # As after Ctrl+Z and `bg`.
    foreground[0] += 1
    drawn = screen.getvalue()
    terminal(RECORDING)
    terminal.say("a word")
    terminal.end()
    assert screen.getvalue() == f"{drawn}a word\n"
    foreground[0] = os.getpgrp()
    terminal(RECORDING)
    assert screen.getvalue() == f"{drawn}a word\n{drawn}"


def test_what_takes_long_to_finish_says_how_long(screen: Screen) -> None:
    moments_s = [0.0]
    terminal = Terminal("", screen, now_s=lambda: moments_s[0])
    terminal(Progress(State.RECORDING, 7.0, 0))
    moments_s[0] = 10.0
    for after_s, done, shown in (
        (0.2, 0.0, "… finishing 0:07.0"),
        (3.0, 0.0, "… finishing 0:07.0, 3 s so far"),
        (3.0, 0.75, "… finishing 0:07.0, 75%, 1 s left"),
    ):
        terminal(Progress(State.RECORDING, 7.0, 0))
        moments_s[0] += after_s
        terminal(Progress(State.FINISHING, 7.0, 0, done=done))
        assert screen.shown().startswith(shown)


# Logs


def test_a_log_gets_one_plain_line_a_minute() -> None:
    moments_s = [0.0]
    log = StringIO()
    terminal = Terminal("Ctrl+C stops", log, now_s=lambda: moments_s[0])
    for second in range(181):
        moments_s[0] = float(second)
        terminal(Progress(State.RECORDING, float(second), second * 10_000))
    assert log.getvalue() == "recording 1:00.0 600.0 KB\nrecording 2:00.0 1.2 MB\nrecording 3:00.0 1.8 MB\n"


def test_a_log_gets_events_at_once() -> None:
    log = StringIO()
    Terminal("", log)(Event(EventKind.DEVICE_LOST, 3.0, "Speakers is gone"))
    assert log.getvalue() == "0:03.0 Speakers is gone\n"


def test_a_log_gets_durations_and_skips_events_of_the_live_line() -> None:
    log = StringIO()
    terminal = Terminal("", log)
    terminal(Event(EventKind.NO_DATA, 3.0, "internal: no data", 5.5))
    for kind in (EventKind.DROPPED, EventKind.PAUSE, EventKind.RESUME):
        terminal(Event(kind, 4.0, "seen in the live line"))
    assert log.getvalue() == "0:03.0 internal: no data for 2.5 s\n"


def test_the_countdown_is_not_logged() -> None:
    moments_s = [0.0]
    log = StringIO()
    terminal = Terminal("", log, now_s=lambda: moments_s[0])
    moments_s[0] = 1000.0
    terminal(Progress(State.ARMED, -3.0, 0))
    assert log.getvalue() == ""


# Quiet


@pytest.mark.parametrize("kind", [StringIO, Screen])
def test_quiet_prints_only_problems(kind: type[StringIO]) -> None:
    stream = kind()
    terminal = Terminal("Ctrl+C stops", stream, quiet=True)
    terminal(Event(EventKind.BEGUN, 0.0, "/home/me/out.mp4"))
    terminal(RECORDING)
    terminal(Event(EventKind.CROPPED, 0.0, "cropped"))
    terminal(Event(EventKind.DEVICE_BACK, 4.0, "internal: now Speakers"))
    terminal.say("a word")
    terminal.conclude(summary(silent=True))
    assert stream.getvalue() == ""
    terminal(Event(EventKind.DEVICE_LOST, 3.0, "internal: Speakers is gone"))
    terminal.complain("capture: the disk is full")
    terminal.conclude(summary(check="the file is empty"))
    assert stream.getvalue().splitlines() == [
        "0:03.0 internal: Speakers is gone",
        "capture: the disk is full",
        "the check found: the file is empty",
    ]


# Names


@pytest.mark.parametrize("kind", [StringIO, Screen])
def test_the_file_is_named_when_its_recording_begins(kind: type[StringIO]) -> None:
    stream = kind()
    Terminal("Ctrl+C stops", stream)(Event(EventKind.BEGUN, 0.0, "/home/me/a\x1b.mp4"))
    assert stream.getvalue() == "recording /home/me/a?.mp4\n"


# The result


def test_the_result_shows_path_length_and_size() -> None:
    log = StringIO()
    Terminal("", log).conclude(summary())
    assert log.getvalue() == "saved /home/me/out.mp4  1:05.3  1.2 MB\n"


def test_a_silent_track_is_reported_with_its_device() -> None:
    log = StringIO()
    Terminal("", log).conclude(summary(silent=True))
    assert log.getvalue().splitlines()[1] == "the track internal is silent: nothing was playing on Speakers"


def test_a_silent_track_is_reported_with_what_was_muted() -> None:
    log = StringIO()
    muted = summary(silent=True)
    track = replace(muted.audio[0], silent_because="Speakers is muted")
    Terminal("", log).conclude(replace(muted, audio=(track,)))
    assert log.getvalue().splitlines()[1] == "the track internal is silent: Speakers is muted"


@pytest.mark.parametrize(
    "name", ["\x1b[2Jgone", "two\nlines", "back\rwards", "bell\x07", "\x9b31m", "\u202eright", "\udcff"]
)
def test_control_characters_are_removed_from_foreign_names(name: str, screen: Screen) -> None:
    terminal = Terminal("", screen)
    terminal.say(name)
    terminal.complain(name)
    terminal.conclude(summary(path=name))
    terminal(Event(EventKind.DEVICE_LOST, 1.0, name))
    assert screen.getvalue().count("\n") == 4
    assert all(char.isprintable() or char == "\n" for char in screen.getvalue())


def test_control_characters_are_removed_from_track_names_in_the_live_line(screen: Screen) -> None:
    for level in (Level("evil\x1b[2J\n", -20.0), Level("evil\x1b[2J\n", -120.0, "no data")):
        Terminal("", screen)(Progress(State.RECORDING, 1.0, 0, levels=(level,)))
    assert "\x1b[2J" not in screen.getvalue()
    assert "\n" not in screen.getvalue()


# Numbers


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        *((0.0, "0:00.0"), (0.04, "0:00.0"), (59.99, "0:59.9"), (65.3, "1:05.3"), (60.0, "1:00.0"), (65.37, "1:05.3")),
        *((3599.99, "59:59.9"), (3600.0, "1:00:00"), (36_061.9, "10:01:01"), (-3.0, "0:00.0")),
    ],
)
def test_times_are_formatted(seconds: float, shown: str) -> None:
    assert as_clock(seconds) == shown


@pytest.mark.parametrize(
    ("size_bytes", "shown"),
    [
        *((0, "0 bytes"), (999, "999 bytes"), (1000, "1.0 KB"), (1_234_567, "1.2 MB"), (5_000_000_000, "5.0 GB")),
        (7_200_000_000_000, "7200.0 GB"),
    ],
)
def test_sizes_are_formatted(size_bytes: int, shown: str) -> None:
    assert as_size(size_bytes) == shown
