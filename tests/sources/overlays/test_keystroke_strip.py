"""`--show-keys`: pressed keys appear at the bottom of the picture for a while, and are then gone."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pytest
from conftest import RunCapture
from reopened import each_picture, pictures
from running import Recorder, eventually, kinds
from stage import BLUE, GREEN, Pane, Stage, press
from viewing import Heard, Viewer, place, standing_out

from capture.cli.terminal import Terminal
from capture.errors import NotReadyError, UsageError
from capture.events import Event, Progress, State
from capture.media import Rectangle
from capture.settings.record_settings import RecordSettings

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

from capture.sources.overlays.freetype import Typeface
from capture.sources.overlays.keystroke_strip import SHOWN_S, KeyStrip, Line, end_of, letters_for
from capture.sources.overlays.overlays import Overlays
from capture.sources.placement import Placement

SCREEN: Final = Rectangle(0, 0, 1280, 720)

#: How far high-quality coding may change a colour.
LOSS: Final = 3

pytestmark = pytest.mark.stage(ground=BLUE)


@pytest.fixture
def typeface() -> Iterator[Typeface]:
    opened = Typeface(30)
    yield opened
    opened.close()
    opened.close()


# The words


def line(*keys: str) -> Line:
    """Return the line after these words; a word in capitals is a key that types no character."""
    made = Line()
    for key in keys:
        if key.isupper():
            made.add(key, typed=False)
        else:
            for char in key:
                made.add(char, typed=True)
    return made


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (("hello world",), "hello world"),
        (("ls", "ENTER"), "ls  ENTER"),
        (("ls", "ENTER", "cd", "ENTER"), "ls  ENTER  cd  ENTER"),
        (("CTRL+Z", "CTRL+Z", "CTRL+Z"), "CTRL+Z ×3"),  # noqa: RUF001
        (("CTRL+Z", "CTRL+Y"), "CTRL+Z  CTRL+Y"),
        ((" ", "a b "), "Space  a b "),
        ((), ""),
    ],
)
def test_a_sequence_of_keys_becomes_a_line(keys: tuple[str, ...], text: str) -> None:
    assert str(line(*keys)) == text


def test_text_that_does_not_fit_keeps_its_end() -> None:
    assert end_of("abcdefghij", 10, len) == "abcdefghij"
    assert end_of("abcdefghijk", 10, len) == "…cdefghijk"
    assert end_of("abc", 0, len) == "…"
    assert 70 < len(end_of("abc " * 10_000, 10**6, len)) < 100


def test_the_line_is_bounded() -> None:
    assert str(line("ab" * 500)) == "ab" * 40
    assert len(str(line(*(f"F{number}" for number in range(500))))) < 700


def test_letters_have_the_intended_height(typeface: Typeface) -> None:
    assert [letters_for(height) for height in (1080, 720, 240)] == [30, 20, 16]
    rows = np.flatnonzero(typeface.set("H").max(axis=1) > 0.5)
    assert 20 <= len(rows) <= 24
    assert typeface.set("gÅ").max(axis=1)[[0, -1]].max() < 0.5


def test_each_letter_has_its_own_shape(typeface: Typeface) -> None:
    chars = "abcdefghijklmnopqrstuvwxyzABCDEFGHJKLMNOPQRSTUVWXYZ0123456789+-*/.,;:!?éñßжщЯωΔ€…"
    shapes = {typeface.set(char).tobytes() for char in chars}
    assert len(shapes) == len(chars)
    assert typeface.width("ab") == pytest.approx(typeface.width("a") + typeface.width("b"), abs=1)
    assert typeface.set("").shape == (typeface.height, 1)


def test_a_character_in_no_font_is_a_box(typeface: Typeface) -> None:
    # A private range: no font has letters here.
    first, second = typeface.set("\U000f0000"), typeface.set("\U000f0001")
    assert first.max() == 1.0
    assert np.array_equal(first, second)


@pytest.mark.parametrize("missing", ["FreeType", "font"])
def test_missing_freetype_or_font_says_what_to_install(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from capture.sources.overlays import freetype as module

    if missing == "font":
        monkeypatch.setattr(module, "_fonts", lambda char: [])
    else:
        monkeypatch.setattr("ctypes.util.find_library", lambda name: "libnothing.so.0")
    with pytest.raises(NotReadyError, match=f"showing keys needs (a )?{missing}, .*: .*fontconfig"):
        Typeface(30)


# The strip


class Blocks:
    """Lettering whose letters are blocks."""

    size = 20

    def width(self, text: str) -> int:
        return 10 * len(text)

    def set(self, text: str) -> npt.NDArray[np.float32]:
        return np.ones((26, max(1, self.width(text))), np.float32)

    def close(self) -> None: ...


class Shown:
    """A strip in a picture of 640×360, and the picture that an encoder makes of its parts."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.strip = KeyStrip(640, 360, Blocks(), lambda: self.now_s)
        self.picture = self.ground.copy()

    @property
    def ground(self) -> npt.NDArray[np.uint8]:
        return np.full((360, 640, 4), 100, np.uint8)

    def look(self) -> Rectangle | None:
        part = self.strip.update()
        if part is not None:
            rows, columns = slice(part.top, part.bottom), slice(part.left, part.right)
            fresh = self.ground[rows, columns].copy()
            self.strip.draw(fresh, part.left, part.top)
            self.picture[rows, columns] = fresh
        whole = self.ground
        self.strip.draw(whole, 0, 0)
        assert np.array_equal(self.picture, whole)
        return part


def test_the_strip_comes_and_goes() -> None:
    shown = Shown()
    strip = shown.strip
    assert (strip.due_s(), shown.look(), strip.is_shown) == (math.inf, None, False)
    strip.add("a", typed=True)
    assert strip.due_s() <= shown.now_s
    first = shown.look()
    assert first is not None
    assert abs(first.left + first.width / 2 - 320) <= 2
    assert 330 < first.bottom < 360
    assert (shown.picture[first.top + 18, 320, :3] == 255).all()
    assert strip.due_s() == shown.now_s + SHOWN_S
    assert shown.look() is None
    shown.now_s += SHOWN_S / 2
    strip.add("b", typed=True)
    second = shown.look()
    assert second is not None
    assert second.contains(first)
    assert 8 <= second.width - first.width <= 12
    # The time counts from the last key.
    shown.now_s += SHOWN_S * 0.9
    assert shown.look() is None
    shown.now_s += SHOWN_S * 0.2
    assert shown.look() == second
    assert np.array_equal(shown.picture, shown.ground)
    assert (strip.due_s(), strip.is_shown) == (math.inf, False)
    # And earlier typing does not come back.
    strip.add("c", typed=True)
    assert shown.look() == first


def test_a_forgotten_strip_is_removed() -> None:
    shown = Shown()
    shown.strip.add("secret", typed=False)
    part = shown.look()
    shown.strip.add("more", typed=False)
    shown.strip.forget()
    assert shown.strip.due_s() <= shown.now_s
    assert shown.look() == part
    shown.strip.add("a", typed=True)
    again = shown.look()
    assert again is not None
    assert again.width < 40


def test_a_strip_forgotten_while_it_is_drawn_is_not_shown() -> None:
    shown = Shown()

    class Slow(Blocks):
        def set(self, text: str) -> npt.NDArray[np.float32]:
            shown.strip.forget()
            return super().set(text)

    shown.strip = KeyStrip(640, 360, Slow(), lambda: shown.now_s)
    shown.strip.add("secret", typed=False)
    assert shown.look() is None


def test_a_strip_appears_however_late_the_frame() -> None:
    shown = Shown()
    shown.strip.add("a", typed=True)
    shown.now_s += 2 * SHOWN_S
    part = shown.look()
    assert part is not None
    assert shown.strip.due_s() == shown.now_s + SHOWN_S
    shown.now_s += SHOWN_S
    assert shown.look() == part
    assert not shown.strip.is_shown


# In the frames


def strip_of(text: str, width: int, height: int) -> tuple[npt.NDArray[np.uint8], Rectangle]:
    """Return a blue RGB picture with just this text in the strip, and the strip's place."""
    face = Typeface(letters_for(height))
    strip = KeyStrip(width, height, face)
    strip.add(text, typed=False)
    part = strip.update()
    assert part is not None
    pixels = np.zeros((height, width, 4), np.uint8)
    pixels[..., :3] = BLUE[::-1]
    strip.draw(pixels, 0, 0)
    strip.close()
    return pixels[..., 2::-1], part


def test_only_the_strip_is_read_and_the_picture_below_returns(stage: Stage, desk_environment: dict[str, str]) -> None:
    reported: list[tuple[str, str]] = []
    overlays = Overlays(keys=True, report=lambda kind, detail: reported.append((kind, detail)))
    stage.point_at(0, 0)
    with Viewer(SCREEN, overlays=overlays) as opened:
        assert [kind for kind, _ in reported] == ["keys_shown"]
        assert "only known password prompts" in reported[0][1]
        opened.source.wait_for_change(0.0)
        press(desk_environment, "ctrl+alt+t")
        part = place(opened.see())
        wanted, where = strip_of("Ctrl+Alt+T", 1280, 720)
        assert part == where
        assert np.array_equal(opened.picture[..., 2::-1], wanted)
        # The strip stays above what is drawn below it.
        stage.paint(600, 0, 20, 720, GREEN)
        stage.paint(600, 0, 20, 720, BLUE)
        opened.see()
        assert np.array_equal(opened.picture[..., 2::-1], wanted)
        assert place(opened.see()) == where
        opened.assert_sees_all()
        assert overlays.due_s() == math.inf
        # Each recording of a session reports it.
        opened.source.begin(0.0)
        assert [kind for kind, _ in reported] == ["keys_shown"] * 2


def test_keys_pressed_while_not_recording_are_never_shown(stage: Stage, desk_environment: dict[str, str]) -> None:
    overlays = Heard(keys=True)
    with Viewer(SCREEN, overlays=overlays) as opened:
        press(desk_environment, "a")
        overlays.await_count(1)
        opened.source.wait_for_change(0.0)
        press(desk_environment, "b")
        opened.see()
        opened.source.idle()
        opened.see()
        assert standing_out(opened.picture[..., 2::-1], BLUE) is None
        opened.source.idle()
        press(desk_environment, "c")
        overlays.await_count(3)
        assert not opened.source.wait_for_change(0.0)
        press(desk_environment, "ctrl+d")
        opened.see()
        assert np.array_equal(opened.picture[..., 2::-1], strip_of("Ctrl+D", 1280, 720)[0])


# In the file


class Watched:
    """The pictures of a running recording on a blue ground, and the text in their strips."""

    def __init__(self, path: Path, width: int, height: int) -> None:
        self.path = path
        self._size = width, height

    def has_shown(self, text: str) -> bool:
        """Whether some picture has exactly this in its strip, as coded."""
        wanted, where = strip_of(text, *self._size)
        rows, columns = slice(where.top, where.bottom), slice(where.left, where.right)
        # Colours shared by several lines extend this far.
        around = Rectangle(where.left - 2, where.top - 2, where.width + 4, where.height + 4)
        assert not (where.left | where.top | where.width | where.height) & 1
        return any(
            (found := standing_out(picture, BLUE)) is not None
            and around.contains(found)
            and np.abs(picture[rows, columns].astype(int) - wanted[rows, columns]).mean() < 6
            for _, picture in each_picture(self.path)
        )

    def is_clean(self) -> bool:
        """Whether the last picture has no trace of the strip."""
        return standing_out(pictures(self.path).last, BLUE) is None


def test_the_file_shows_keys_but_never_those_of_a_password_prompt(
    stage: Stage, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "typed.mkv"
    stage.point_at(0, 0)
    arguments = ("--region", "640x360+301+151", "--show-keys", "--quality", "high", "--audio", "none", "--json")
    with (
        Pane(capture_environment, "Editor", (0, 0, 9, 9), BLUE, program="editor") as editor,
        Pane(capture_environment, "Key", (20, 0, 9, 9), BLUE, program="pinentry-gtk-2") as prompt,
        Recorder(capture_environment, tmp_path, "record", path, *arguments) as recorder,
    ):
        editor.take_focus()
        recorder.until_recording(path)
        subprocess.run(["xdotool", "type", "--delay", "20", "hello"], env=capture_environment, check=True, timeout=30)
        watched = Watched(path, 640, 360)
        recorder.until(lambda: watched.has_shown("hello"), "what was typed")
        recorder.until(watched.is_clean, "its end")
        prompt.take_focus()
        subprocess.run(["xdotool", "type", "--delay", "20", "secret"], env=capture_environment, check=True, timeout=30)
        press(capture_environment, "Return")
        # The key after those: whatever came before it would be to its left.
        editor.take_focus()
        press(capture_environment, "ctrl+s")
        recorder.until(lambda: watched.has_shown("Ctrl+S"), "the key alone")
        summary = recorder.stop()
        assert "the recording shows the keys you press" in recorder.stderr
    assert summary["check"] == "ok"
    assert kinds(summary) == ["keys_shown"]
    shown = [picture for _, picture in each_picture(path)]
    clean = [picture for picture in shown if standing_out(picture, BLUE) is None]
    assert len(clean) >= 2
    assert max(np.abs(picture.astype(int) - BLUE).max() for picture in clean) <= LOSS


def test_in_a_window_the_strip_is_at_the_bottom_of_the_picture(
    stage: Stage, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "window.mkv"
    arguments = ("--window", "Editor", "--show-keys", "--quality", "high", "--audio", "none", "--no-cursor", "--json")
    with (
        Pane(capture_environment, "Editor", (101, 51, 320, 240), BLUE) as pane,
        Recorder(capture_environment, tmp_path, "record", path, *arguments) as recorder,
    ):
        recorder.until_recording(path)
        pane.take_focus()
        press(capture_environment, "F5")
        watched = Watched(path, 320, 240)
        recorder.until(lambda: watched.has_shown("F5"), "the key")
        # While the window is hidden its last picture is repeated, but the keys are not.
        pane.show(False)
        recorder.until(watched.is_clean, "its end")
        press(capture_environment, "F6")
        recorder.until(lambda: watched.has_shown("F6"), "the next one")
        recorder.until(watched.is_clean, "its end")
        recorder.stop()


# Reports and refusals


def test_the_live_line_says_that_keys_are_shown() -> None:
    from io import StringIO

    from capture.sources.overlays.overlays import KEYS_SHOWN

    class Screen(StringIO):
        def isatty(self) -> bool:
            return True

    stream = Screen()
    terminal = Terminal("Ctrl+C stops", stream)
    terminal(Event(KEYS_SHOWN, 0.0, "the keys are shown"))
    for state, waiting_for in ((State.RECORDING, ""), (State.STANDBY, "a key"), (State.ARMED, "sound")):
        stream.truncate(0)
        terminal(Progress(state, 1.0, 1, waiting_for=waiting_for))
        assert "keys are shown  Ctrl+C stops" in stream.getvalue()


@pytest.mark.parametrize("option", ["--show-keys", "--show-clicks"])
@pytest.mark.parametrize("more", [("out.ogg",), ("out.mp4", "--screen", "none"), ("out.mp4", "--source", "pattern")])
def test_overlays_without_a_screen_are_a_usage_error(
    option: str, more: tuple[str, ...], run_capture: RunCapture
) -> None:
    done = run_capture("record", *more, option, "--duration", "0.2")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert option in done.stderr


def test_the_settings_enable_it_and_the_command_line_overrides(
    run_capture: RunCapture, capture_environment: dict[str, str]
) -> None:
    settings = Path(capture_environment["XDG_CONFIG_HOME"]) / "capture" / "settings.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text("[record]\nshow_keys = true\n")
    shown = run_capture("record", "shown.mkv", "--audio", "none", "--duration", "0.2")
    assert (shown.returncode, "keys you press" in shown.stderr) == (0, True), shown.stderr
    hidden = run_capture("record", "hidden.mkv", "--audio", "none", "--no-show-keys", "--duration", "0.2")
    assert (hidden.returncode, "keys you press" in hidden.stderr) == (0, False), hidden.stderr


def test_nothing_listens_unless_asked_to(in_process_desk: object) -> None:
    overlays = Overlays()
    with Viewer(SCREEN, overlays=overlays):
        assert "presses" not in {thread.name for thread in threading.enumerate()}
        assert (overlays.due_s(), overlays.update()) == (math.inf, (None, None))


@pytest.mark.parametrize(
    ("area", "bounds", "place", "part"),
    [
        (Rectangle(100, 50, 640, 360), SCREEN, Rectangle(10, 300, 64, 32), Rectangle(110, 350, 64, 32)),
        # Centred, with bars around.
        (Rectangle(100, 50, 320, 240), SCREEN, Rectangle(170, 100, 64, 32), Rectangle(110, 90, 64, 32)),
        (Rectangle(100, 50, 320, 240), SCREEN, Rectangle(170, 300, 64, 32), None),
        # Scaled down, half beyond the screen, and off it.
        (SCREEN, SCREEN, Rectangle(10, 300, 64, 32), None),
        (Rectangle(100, 50, 640, 360), Rectangle(0, 0, 800, 400), Rectangle(10, 300, 64, 60), None),
        (None, SCREEN, Rectangle(10, 300, 64, 32), None),
    ],
    ids=str,
)
def test_the_part_of_the_screen_below_a_strip(
    area: Rectangle | None, bounds: Rectangle, place: Rectangle, part: Rectangle | None
) -> None:
    placement = Placement(640, 360, area, bounds)
    assert placement.part_at(place) == part
    if part is not None:
        assert placement.corner(part) == (place.left, place.top)


@pytest.mark.parametrize(("platform", "system"), [("win32", "Windows"), ("darwin", "macOS")])
@pytest.mark.parametrize("window", [None, "Editor"])
@pytest.mark.parametrize(("option", "what"), [("show_keys", "pressed keys"), ("show_clicks", "clicks")])
def test_overlays_are_refused_on_other_systems(
    *,
    platform: str,
    system: str,
    window: str | None,
    option: str,
    what: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from capture.clock import MonotonicClock
    from capture.sources.chooser import choose_frames

    monkeypatch.setattr(sys, "platform", platform)
    shown: dict[str, Any] = {option: True}
    wanted = RecordSettings(tmp_path / "out.mp4", window=window, **shown)
    with pytest.raises(NotReadyError, match=rf"{what} cannot be shown on {system} yet: "):
        choose_frames(wanted, MonotonicClock())


def test_a_sound_file_shows_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="show_keys=True needs a picture"):
        RecordSettings(tmp_path / "out.ogg", screen=None, show_keys=True).check()


def test_overlays_need_the_record_extension(in_process_desk: object, monkeypatch: pytest.MonkeyPatch) -> None:
    from Xlib.display import Display

    from capture.sources.x11.input_record import PressReader

    monkeypatch.setattr(Display, "has_extension", lambda self, name: name != "RECORD")
    with pytest.raises(NotReadyError, match="does not report presses"):
        PressReader(keys=True)


def test_the_end_of_the_display_ends_the_listening(in_process_desk: object, monkeypatch: pytest.MonkeyPatch) -> None:
    from capture.sources.overlays.input_listener import InputListener
    from capture.virtual.desk import VirtualDesk

    with VirtualDesk(320, 240, window_manager=False) as desk:
        for name, value in desk.environment.items():
            monkeypatch.setenv(name, value)
        hearing = InputListener(lambda x, y: None, lambda label: None)
    eventually(lambda: hearing._worker.join(0.0), "the end of the thread")
    hearing.close()
    hearing.close()
    assert hearing._worker.error is None
