"""The source of a Wayland screen, on the real portal and PipeWire: pictures, cursor, sizes, and every kind of end."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from numbered import HEIGHT, WIDTH, number_of
from portal_desk import PortalDesk, Producer, portal_desk, producer
from portal_producer import CURSOR_BGRA, CURSOR_HOT, CURSOR_SIDE, GREY
from running import eventually

from capture.errors import DisplayLostError, NotReadyError, UsageError
from capture.events import EventKind
from capture.media import Frame, Pixels, Rectangle
from capture.settings.record_settings import RecordSettings

if sys.platform != "linux":
    pytest.skip("PipeWire needs Linux", allow_module_level=True)

from capture.sources.portal import stream
from capture.sources.portal.chooser import choose_in_dialog

#: Longer than anything here takes: only a hang reaches it.
LIMIT_S: Final = 20.0

LATE: Final = (EventKind.SCREEN_UNREADABLE, EventKind.SCREEN_READABLE)


@pytest.fixture(scope="module")
def shared_desk(temporary_folder: Path) -> Iterator[PortalDesk]:
    with (
        tempfile.TemporaryDirectory(dir=temporary_folder, prefix="w") as folder,
        portal_desk(Path(folder)) as desk,
    ):
        yield desk


@pytest.fixture
def wayland(shared_desk: PortalDesk, monkeypatch: pytest.MonkeyPatch) -> PortalDesk:
    """The desktop, with this process on it."""
    put_on(shared_desk, monkeypatch)
    return shared_desk


def put_on(desk: PortalDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "XAUTHORITY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in desk.environment.items():
        monkeypatch.setenv(name, value)


class Watcher:
    """A source and the picture that a recording of it would show."""

    def __init__(self, **options: Any) -> None:
        self.events: list[tuple[EventKind, str]] = []
        self.ended_by: list[str] = []
        settings = RecordSettings(Path("out.mp4"), **options)
        self.source = choose_in_dialog(settings, self._note, self.ended_by.append)
        self.picture: Pixels
        self.frames: list[Frame] = []

    def _note(self, kind: EventKind, detail: str) -> None:
        # On a busy machine, this portal answers as late as a user.
        if kind is not EventKind.WAITING:
            self.events.append((kind, detail))

    def open(self) -> None:
        self.source.open()
        self.source.begin(time.monotonic())
        assert self.look(), "a recording begins at once"

    def look(self, within_s: float = 0.0) -> bool:
        """Take the frame of a change, if there is one within that time."""
        if not self.source.wait_for_change(time.monotonic() + within_s):
            return False
        frame = self.source.grab()
        height, width = frame.pixels.shape[:2]
        if not self.frames:
            self.picture = np.zeros((self.source.height, self.source.width, 4), np.uint8)
            assert (width, height) == (self.source.width, self.source.height)
        assert [value % 2 for value in (frame.left, frame.top, width, height)] == [0] * 4
        self.picture[frame.top : frame.top + height, frame.left : frame.left + width] = frame.pixels
        self.frames.append(frame)
        return True

    def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline_s = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < deadline_s, f"waited in vain for {what}"
            self.look(0.05)

    def until_shown(self, number: int) -> None:
        self.until(lambda: self.number == number, f"picture {number}")

    @property
    def number(self) -> int:
        return number_of(self.picture[:HEIGHT, :WIDTH, 1])

    @property
    def said(self) -> list[tuple[EventKind, str]]:
        """The events, without those of a first picture that comes late, as on a busy machine."""
        return [event for event in self.events if event[0] not in LATE]

    @property
    def kinds(self) -> list[EventKind]:
        return [kind for kind, _ in self.said]


@contextmanager
def watcher(**options: Any) -> Iterator[Watcher]:
    made = Watcher(**options)
    try:
        made.open()
        yield made
    finally:
        made.source.close()


@contextmanager
def watched(desk: PortalDesk, *options: str, **settings: Any) -> Iterator[tuple[Producer, Watcher]]:
    with producer(desk, *options) as made, watcher(**settings) as seen:
        deadline_s = time.monotonic() + LIMIT_S
        is_repeated = False
        # What is drawn while both sides come together may be lost.
        while "--still" not in options and seen.number != 1:
            assert time.monotonic() < deadline_s, "waited in vain for the first picture"
            if not seen.look(0.2):
                made.tell("again")
                is_repeated = True
        while is_repeated and seen.look(0.3):
            pass
        yield made, seen


@pytest.mark.parametrize(
    "ways",
    [
        (),
        ("--no-pts", "--damage", "whole", "--shared-pool"),
        ("--no-pts", "--no-stride", "--damage", "none", "--width", "642", "--height", "362"),
    ],
)
def test_every_way_of_a_desktop_gives_whole_pictures(wayland: PortalDesk, ways: tuple[str, ...]) -> None:
    with watched(wayland, *ways) as (desk, seen):
        for _ in range(20):
            number = desk.draw()
            seen.until_shown(number)
            # Only what differs is delivered, whether the desktop says so or not.
            *_, last = seen.frames
            assert last.pixels.shape[:2] <= (HEIGHT, WIDTH)
            assert abs(last.captured_at_s - desk.drawn_s[number]) < (0.001 if not ways else LIMIT_S)
        assert (seen.picture[HEIGHT:, :, :3] == GREY).all()
        assert (seen.picture[:HEIGHT, WIDTH:, :3] == GREY).all()
        frames = len(seen.frames)
        assert not seen.look()
        assert len(seen.frames) == frames
    assert seen.said == []


def test_frames_stay_as_they_were_while_pictures_come(wayland: PortalDesk) -> None:
    with watched(wayland) as (desk, seen):
        for _ in range(30):
            seen.until_shown(desk.draw())
        parts = [frame.pixels for frame in seen.frames if frame.pixels.shape[:2] == (HEIGHT, WIDTH)]
        # More than there are buffers: none was used again while its frame was kept.
        assert [number_of(part[..., 1]) for part in parts][-20:] == list(range(12, 32))
    assert number_of(parts[-1][..., 1]) == 31, "frames outlive the stream"


def test_what_changes_while_nobody_looks_is_seen_afterwards(wayland: PortalDesk) -> None:
    with watched(wayland) as (desk, seen):
        for _ in range(40):
            last = desk.draw()
        seen.until_shown(last)


def test_no_picture_is_lost_after_the_thread_was_late_by_all_buffers(wayland: PortalDesk) -> None:
    with watched(wayland) as (desk, seen):
        # The stream's thread waits for this lock, with all buffers.
        with seen.source._picture._changed:
            for _ in range(6):
                desk.draw()
        for _ in range(8):
            seen.until_shown(desk.draw())


def test_the_picture_at_the_epoch_is_kept_while_the_recorder_loads(wayland: PortalDesk) -> None:
    with watched(wayland) as (desk, seen):
        epoch_s = time.monotonic()
        assert seen.source.settle()
        number = desk.draw()

        def has_come() -> bool:
            seen.source.idle()
            return seen.source._changed is not None

        eventually(has_come, "the next picture")
        seen.source.begin(epoch_s)
        assert seen.look()
        assert (seen.frames[-1].pixels.shape, seen.number) == (seen.picture.shape, number - 1)
        assert seen.look()
        assert seen.number == number
        assert abs(seen.frames[-1].captured_at_s - desk.drawn_s[number]) < 0.001
        # It is none of a recording that begins later.
        assert seen.source.settle()
        number = desk.draw()
        eventually(has_come, "the next picture")
        seen.source.begin(time.monotonic())
        assert seen.look()
        assert seen.number == number


def test_identical_pictures_are_no_change(wayland: PortalDesk) -> None:
    with watched(wayland, "--damage", "none") as (desk, seen):
        desk.tell("again")
        desk.tell("again")
        assert not seen.look(0.3)


def test_a_still_screen_is_black_until_it_changes(wayland: PortalDesk) -> None:
    begun_s = time.monotonic()
    with watched(wayland, "--still") as (desk, seen):
        assert [kind for kind, _ in seen.events] == [EventKind.SCREEN_UNREADABLE]
        assert "black until the screen changes" in seen.events[0][1]
        assert not seen.picture.any()
        assert time.monotonic() - begun_s < LIMIT_S
        seen.until_shown(desk.draw())
        assert [kind for kind, _ in seen.events] == list(LATE)
        assert (seen.picture[HEIGHT:, :, :3] == GREY).all()


def box(middle: tuple[int, int]) -> tuple[slice, slice]:
    x, y = middle
    return slice(y - CURSOR_HOT, y - CURSOR_HOT + CURSOR_SIDE), slice(x - CURSOR_HOT, x - CURSOR_HOT + CURSOR_SIDE)


def test_the_cursor_moves_in_a_corner_of_the_picture(wayland: PortalDesk) -> None:
    with watched(wayland) as (desk, seen):
        first, second = (100, 200), (131, 211)
        desk.tell("move", *first)
        seen.until(lambda: bool((seen.picture[box(first)] == CURSOR_BGRA).all()), "the cursor")
        before = len(seen.frames)
        desk.tell("move", *second)
        seen.until(lambda: bool((seen.picture[box(second)] == CURSOR_BGRA).all()), "the moved cursor")
        assert seen.frames[before].pixels.size < 4 * 64 * 48
        assert (seen.picture[box(first)][:8, :8, :3] == GREY).all()
        # A picture under it leaves it where it is.
        desk.tell("move", 20, 30)
        seen.until(lambda: bool((seen.picture[box((20, 30))] == CURSOR_BGRA).all()), "the cursor over the number")
        number = desk.draw()
        seen.until(lambda: number_of(seen.picture[48:64, :WIDTH, 1].repeat(4, axis=0)) == number, "the next picture")
        assert (seen.picture[box((20, 30))] == CURSOR_BGRA).all()
        desk.tell("hide")
        seen.until_shown(number)
        assert not (seen.picture[..., 2] == 255).all(axis=-1).any() or seen.number == number


def test_the_cursor_waits_for_its_first_move(wayland: PortalDesk) -> None:
    with watched(wayland, cursor_once_moved=True) as (desk, seen):
        desk.tell("move", 300, 200)
        desk.draw()
        seen.until_shown(2)
        assert (seen.picture[200, 300, :3] == GREY).all()
        desk.tell("move", 302, 200)
        seen.until(lambda: bool((seen.picture[box((302, 200))] == CURSOR_BGRA).all()), "the cursor")


@pytest.mark.parametrize(("modes", "wanted", "asked"), [(7, True, 4), (3, True, 2), (7, False, 1), (1, True, 1)])
def test_the_cursor_is_asked_for_as_the_desktop_can(
    wayland: PortalDesk, modes: int, wanted: bool, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from capture.sources.portal.screencast import ScreenCast

    # The portal asks its backend once, when it starts.
    ask = ScreenCast.__init__

    def init(self: ScreenCast) -> None:
        ask(self)
        self.cursor_modes = modes

    monkeypatch.setattr(ScreenCast, "__init__", init)
    with watched(wayland, cursor=wanted) as (_, seen):
        assert wayland.backend.asked[-1]["cursor_mode"] == asked
        assert seen.kinds == ([EventKind.NO_CURSOR] if (modes, wanted) == (1, True) else [])


def test_another_size_is_fitted_into_the_first(wayland: PortalDesk) -> None:
    with watched(wayland) as (desk, seen):

        def resize(width: int, height: int, is_seen: Callable[[], bool]) -> None:
            desk.tell("size", width, height)
            deadline_s = time.monotonic() + LIMIT_S
            # What is drawn while both sides agree on the new size may be lost.
            while not is_seen():
                assert time.monotonic() < deadline_s, f"waited in vain for {width}x{height}"
                desk.draw()
                seen.look(0.1)

        resize(400, 300, lambda: number_of(seen.picture[30:94, 120:376, 1]) > 1 and not seen.picture[:30].any())
        assert seen.said == [(EventKind.DISPLAY_CHANGED, "the screen is now 400x300+0+0, centred in 640x360")]
        assert (seen.picture[30 + HEIGHT : 330, 120:520, :3] == GREY).all()
        assert not seen.picture[:, :120].any()
        resize(1280, 720, lambda: bool((seen.picture[40:, :, :3] == GREY).all()))
        assert seen.said[1:] == [
            (EventKind.DISPLAY_CHANGED, "the screen is now 1280x720+0+0, scaled down to fit 640x360")
        ]
        resize(640, 360, lambda: seen.number == max(desk.drawn_s))
        assert (seen.picture[HEIGHT:, :, :3] == GREY).all()


def test_a_region_is_cut_out(wayland: PortalDesk) -> None:
    with watched(wayland, region=Rectangle(0, 0, WIDTH, HEIGHT + 3)) as (desk, seen):
        assert (seen.source.width, seen.source.height) == (WIDTH, HEIGHT + 2)
        assert seen.kinds == [EventKind.CROPPED]
        seen.until_shown(desk.draw())
        before = seen.picture.copy()
        desk.tell("move", 500, 300)
        seen.look(0.2)
        assert (seen.picture == before).all()
    with (
        producer(wayland),
        pytest.raises(UsageError, match="outside the screen"),
        watcher(region=Rectangle(600, 0, 64, 64)),
    ):
        pass


def test_the_end_of_the_sharing_ends_the_recording(wayland: PortalDesk) -> None:
    with watched(wayland) as (desk, seen):
        wayland.backend.end()
        seen.until(lambda: seen.ended_by == ["permission_revoked"], "the end")
        desk.kill()
        # It may take a while until the recording is finished.
        for _ in range(3):
            assert not seen.look(0.1)
        assert seen.ended_by == ["permission_revoked"]
        assert seen.kinds == [EventKind.PERMISSION_REVOKED]


def test_the_end_of_the_sharing_is_known_as_such_if_the_pictures_end_before(
    wayland: PortalDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in GNOME."""
    with watched(wayland) as (desk, seen):
        monkeypatch.setattr(stream, "PAUSED_LIMIT_S", 0.0)
        monkeypatch.setattr(stream, "REASON_LIMIT_S", LIMIT_S)
        desk.kill()
        eventually(lambda: seen.source._stream._ended, "the end of the pictures")
        wayland.backend.end()
        seen.until(lambda: seen.ended_by == ["permission_revoked"], "the end")
        assert seen.kinds == [EventKind.PERMISSION_REVOKED]


def test_a_killed_compositor_is_a_lost_display_and_no_camera_takes_its_place(wayland: PortalDesk) -> None:
    with watched(wayland) as (desk, seen):
        with Camera(wayland):
            desk.kill()
            with pytest.raises(DisplayLostError):
                seen.until(lambda: seen.number >= 1000, "the loss of the display")
        assert seen.number == 1


class Camera(Producer):
    """Another source of pictures, which must not be recorded."""

    def __init__(self, desk: PortalDesk) -> None:
        super().__init__(desk.environment, "--name", "camera", "--first", "1000", "--width", "640", "--height", "360")
        self.tell("run", 30)

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def test_the_session_is_ended_with_the_recording(wayland: PortalDesk) -> None:
    closed = wayland.backend.closed
    with watched(wayland):
        pass
    deadline_s = time.monotonic() + LIMIT_S
    while wayland.backend.closed == closed:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_a_refusal_is_said(wayland: PortalDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wayland.backend, "refuses", True)
    with pytest.raises(NotReadyError, match="recording was not allowed: allow it in the desktop's dialog"):
        Watcher()
