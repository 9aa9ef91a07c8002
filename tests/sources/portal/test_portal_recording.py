"""Recordings of a Wayland screen from the command line: asked once, kept whatever ends them."""

from __future__ import annotations

import random
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import av
import pytest
from numbered import HEIGHT, WIDTH, number_of
from portal_desk import Mutter, PortalDesk, Producer, portal_desk, producer
from running import Recorder, eventually, kinds
from scripted_compositor import compositor

if sys.platform != "linux":
    pytest.skip("PipeWire needs Linux", allow_module_level=True)

QUIET: Final = ("--audio", "none", "--no-cursor")


@contextmanager
def opened(temporary: Path) -> Iterator[PortalDesk]:
    with tempfile.TemporaryDirectory(dir=temporary, prefix="w") as folder, portal_desk(Path(folder)) as desk:
        yield desk


@pytest.fixture(scope="module")
def shared_desk(temporary_folder: Path) -> Iterator[PortalDesk]:
    with opened(temporary_folder) as desk:
        yield desk


@pytest.fixture
def wayland(shared_desk: PortalDesk) -> Iterator[PortalDesk]:
    """A desktop that forgets its permissions after each test."""
    yield shared_desk
    shared_desk.backend.shows_dialog = shared_desk.backend.refuses = False
    shared_desk.backend.remembered.clear()
    token(shared_desk).unlink(missing_ok=True)


def token(desk: PortalDesk) -> Path:
    return Path(desk.environment["XDG_STATE_HOME"], "capture", "screen-permission")


def numbers(path: Path) -> dict[int, float]:
    """Return the moment at which each number is first shown."""
    found: dict[int, float] = {}
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            assert frame.time is not None
            found.setdefault(number_of(frame.to_ndarray(format="gray")[:HEIGHT, :WIDTH]), frame.time)
    return found


def check_shown(path: Path, desk: Producer) -> list[int]:
    """Check that the pictures are in the file in their order, when they were shown; return their numbers."""
    shown = numbers(path)
    found = [number for number in shown if number]
    assert found == sorted(found)
    assert set(found) <= set(desk.drawn_s)
    # The first frame is what was on the screen at the start, whenever that was drawn. And none is shorter than half a
    # slot, so one that comes soon after another is put off.
    late_s = [shown[number] - desk.drawn_s[number] for number in found[4:]]
    assert not late_s or max(late_s) - min(late_s) < 0.02
    return found


def test_the_screen_is_recorded_with_what_plays(wayland: PortalDesk, folder: Path) -> None:
    with producer(wayland) as desk:
        desk.tell("run", 30)
        arguments = ("record", folder / "out.mkv", "--duration", "1.2s", "--json")
        with Recorder(wayland.environment, folder, *arguments) as recorder:
            summary = recorder.summary()
            assert recorder.wait() == 0
        assert (summary["check"], summary["stopped_by"]) == ("ok", "duration")
        assert [track["source"] for track in summary["audio"]] == ["internal"]
        check_shown(folder / "out.mkv", desk)


def record(desk: PortalDesk, folder: Path, *arguments: str) -> tuple[int, str]:
    """Record for a moment; return the exit code and what was said."""
    more = ("--overwrite", "--duration", "0.2s", *QUIET)
    with Recorder(desk.environment, folder, "record", "out.mp4", *more, *arguments) as recorder:
        return recorder.wait(), recorder.stderr


def test_the_user_is_asked_once(wayland: PortalDesk, folder: Path) -> None:
    backend = wayland.backend
    backend.shows_dialog = True
    with producer(wayland):
        more = ("--overwrite", "--duration", "0.2s", *QUIET)
        with Recorder(wayland.environment, folder, "record", "out.mp4", *more) as recorder:
            recorder.until_said("choose the screen to record in the desktop's dialog")
            assert list(folder.iterdir()) == [], "nothing is written before the answer"
            backend.answer_dialog()
            assert recorder.wait() == 0, recorder.stderr
        assert stat.S_IMODE(token(wayland).stat().st_mode) == 0o600
        assert "restore_data" not in backend.asked[-1]
        given = set(backend.remembered)

        code, said = record(wayland, folder)
        assert (code, "dialog" in said) == (0, False), said
        assert {backend.asked[-1]["restore_data"][2][1]} == given

        # Another permission, because the desktop has forgotten this one.
        backend.remembered.clear()
        with Recorder(wayland.environment, folder, "record", "out.mp4", *more) as recorder:
            recorder.until_said("the desktop asks again")
            backend.answer_dialog()
            assert recorder.wait() == 0, recorder.stderr

        with Recorder(wayland.environment, folder, "record", "out.mp4", *more, "--screen", "ask") as recorder:
            recorder.until_said("choose the screen")
            assert "restore_data" not in backend.asked[-1]
            # It ends at once, without the dialog.
            recorder.process.terminate()
            recorder.wait()
            eventually(lambda: not backend.dialogs, "the end of the dialog")


def test_a_window_is_chosen_in_the_dialog_each_time(wayland: PortalDesk, folder: Path) -> None:
    with producer(wayland):
        code, said = record(wayland, folder, "--window", "Editor")
    assert code == 0, said
    assert wayland.backend.asked[-1]["types"] == 2
    assert "persist_mode" not in wayland.backend.asked[-1]
    assert not token(wayland).exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--screen", "2"), 3, "no Wayland compositor can be reached at "),
        (("--show-keys",), 3, "cannot be shown on Wayland"),
        (("--region", "64x64+640+0"), 2, "the region 64x64+640+0 reaches outside the screen"),
    ],
)
def test_what_cannot_be_had_is_refused(
    wayland: PortalDesk, folder: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    with producer(wayland):
        found, said = record(wayland, folder, *arguments)
    assert (found, words in said) == (code, True), said
    assert list(folder.iterdir()) == []


def test_a_screen_that_only_the_dialog_can_choose_is_refused_by_name(wayland: PortalDesk, folder: Path) -> None:
    environment = wayland.environment
    address = Path(environment["XDG_RUNTIME_DIR"], environment["WAYLAND_DISPLAY"])
    with compositor(address, copies=None):
        code, said = record(wayland, folder, "--screen", "2")
    address.unlink(missing_ok=True)
    assert (code, "only its dialog chooses: use --screen ask" in said) == (2, True), said
    assert list(folder.iterdir()) == []


def test_a_refused_dialog_touches_nothing(wayland: PortalDesk, folder: Path) -> None:
    wayland.backend.refuses = True
    code, said = record(wayland, folder)
    assert code == 3
    assert "recording was not allowed: allow it in the desktop's dialog" in said
    assert list(folder.iterdir()) == []
    assert not token(wayland).exists()


def test_sharing_that_is_ended_finishes_the_file(wayland: PortalDesk, folder: Path) -> None:
    with producer(wayland) as desk, recording(wayland, folder) as recorder:
        desk.tell("run", 30)
        recorder.until_recording(folder / "out.mkv")
        wayland.backend.end()
        summary = recorder.summary()
        assert recorder.wait() == 0
        assert (summary["stopped_by"], summary["check"]) == ("permission_revoked", "ok")
        assert "permission_revoked" in kinds(summary)
        assert len(check_shown(folder / "out.mkv", desk)) > 1


def test_what_is_drawn_in_a_pause_is_seen_after_it(wayland: PortalDesk, folder: Path) -> None:
    with producer(wayland) as desk, recording(wayland, folder) as recorder:
        desk.tell("run", 30)
        recorder.until_recording(folder / "out.mkv")
        tell(wayland, "pause")
        paused = set(desk.drawn_s)
        # More pictures than there are buffers, the last of which stays.
        eventually(lambda: len(desk.drawn_s) > len(paused) + 20, "pictures in the pause")
        desk.tell("rest")
        last = desk.draw()
        tell(wayland, "resume")
        recorder.until_grown(folder / "out.mkv")
        tell(wayland, "stop")
        summary = recorder.summary()
        assert (recorder.wait(), summary["check"]) == (0, "ok")
        assert summary["paused_s"] > 0.5
    found = list(numbers(folder / "out.mkv"))
    assert found[-1] == last
    assert not set(found) & set(range(max(paused) + 3, last))


def tell(desk: PortalDesk, *words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "capture", *words], env=desk.environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


@contextmanager
def recording(desk: PortalDesk, folder: Path, *arguments: str) -> Iterator[Recorder]:
    with Recorder(desk.environment, folder, "record", folder / "out.mkv", *QUIET, "--json", *arguments) as recorder:
        yield recorder


@pytest.mark.parametrize("victim", ["compositor", "pipewire"])
def test_a_kill_costs_nothing_that_was_recorded(temporary_folder: Path, folder: Path, victim: str, seed: int) -> None:
    chance = random.Random(seed)
    with opened(temporary_folder) as wayland, producer(wayland) as desk, recording(wayland, folder) as recorder:
        desk.tell("run", 30)
        recorder.until_recording(folder / "out.mkv")
        # Without the portal the recording goes on.
        wayland.kill_portal()
        recorder.until_grown(folder / "out.mkv")
        time.sleep(chance.random() / 2)
        last = max(desk.drawn_s)
        if victim == "compositor":
            desk.kill()
        else:
            wayland.kill_pipewire()
        summary = recorder.summary()
        assert recorder.wait() == 1
        assert (summary["stopped_by"], summary["check"]) == ("display_lost", "ok")
        assert "Traceback" not in recorder.stderr
        # What was on its way at the kill may be missing.
        assert max(check_shown(folder / "out.mkv", desk)) >= last - 5


def test_a_clip_has_the_last_pictures(wayland: PortalDesk, folder: Path) -> None:
    with (
        producer(wayland) as desk,
        Recorder(wayland.environment, folder, "replay", folder / "clip.mkv", "--last", "5s", *QUIET) as recorder,
    ):
        desk.tell("run", 30)
        eventually(lambda: status(wayland).get("buffer_s", 0) > 1, "the buffer")
        done = subprocess.run(
            [sys.executable, "-m", "capture", "clip", str(folder / "saved.mkv")],
            env=wayland.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert done.returncode == 0, done.stderr
        assert len(numbers(folder / "saved.mkv")) > 10
        recorder.process.terminate()
        recorder.wait()


def status(desk: PortalDesk) -> dict[str, Any]:
    import json

    done = subprocess.run(
        [sys.executable, "-m", "capture", "status", "--json"],
        env=desk.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    running = json.loads(done.stdout or "{}").get("running", [])
    return dict(running[0]) if running else {}


@pytest.mark.skipif(not shutil.which("mutter"), reason="Mutter is not installed")
def test_the_screen_of_mutter_is_recorded(temporary_folder: Path, folder: Path) -> None:
    with opened(temporary_folder) as wayland:
        mutter = Mutter(wayland)
        try:
            wayland.backend.node = mutter.begin()
            program = subprocess.Popen(
                ["weston-simple-shm"], env=mutter.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            try:
                with recording(wayland, folder, "--duration", "2s") as recorder:
                    summary = recorder.summary()
            finally:
                program.kill()
                program.wait()
        finally:
            mutter.close()
    assert (summary["check"], summary["video"]["width"], summary["video"]["height"]) == ("ok", 640, 360)
    assert summary["video"]["frames"] > 10
