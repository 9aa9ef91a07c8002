"""Records a desktop as its user would, and looks at each file."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import av
import numpy as np

from benchmarks.desks.hands import Hands, hands_of
from benchmarks.desks.session import Session
from benchmarks.process import REPOSITORY

__all__ = ["Trial", "versions"]

_LIMIT_S: Final = 60.0
_LOOK_S: Final = 0.02

_WINDOW: Final = """
import itertools, time
from benchmarks.stimulus.wayland_screen import WaylandScreen
with WaylandScreen() as screen:
    for colour in itertools.cycle((0x4080C0, 0x80C040)):
        screen.fill(colour)
        time.sleep(0.2)
"""

#: How long a window takes to be shown, and listed.
_WINDOW_S: Final = 4.0

#: How often the pointer is moved.
_MOVES: Final = 40

#: A desktop's picture is no plain black.
_BLACK: Final = 20.0


@dataclass
class Running:
    """A recorder that runs; what it says goes to the file `said`."""

    process: subprocess.Popen[str]
    said: Path

    def until(self, words: str) -> None:
        """Wait until it says these words. Raises `TimeoutError`."""
        deadline_s = time.monotonic() + _LIMIT_S
        while words not in self.said.read_text():
            if self.process.poll() is not None or time.monotonic() > deadline_s:
                raise TimeoutError(f"it did not say {words!r}: {self.said.read_text()}")
            time.sleep(_LOOK_S)

    def end(self) -> tuple[int, dict[str, Any]]:
        """Wait for its end; return its exit code and its summary."""
        output, _ = self.process.communicate(timeout=_LIMIT_S)
        return self.process.returncode, json.loads(output) if output.strip() else {}


@dataclass
class Trial:
    """A trial in `session`, whose recordings and pictures go to `folder`. `rows` says what was run, and what came."""

    session: Session
    folder: Path
    rows: list[list[str]] = field(default_factory=list)
    has_failed: bool = False

    def __post_init__(self) -> None:
        self.hands: Hands = hands_of(self.session)

    def check(self, name: str, act: Callable[[], str]) -> None:
        """Run one part, whose answer becomes a row."""
        try:
            found = act()
        except Exception as error:
            self.has_failed, found = True, f"FAILED: {type(error).__name__}: {error}"
        self.rows.append([name, found])
        print(f"{name}: {found}", file=sys.stderr, flush=True)

    # The parts

    def doctor(self) -> str:
        found = json.loads(self._capture("doctor", "--json"))
        _expect(found["ready"], found)
        return str(next(check["found"] for check in found["checks"] if check["name"] == "display"))

    def first(self) -> str:
        """Record for the first time, by the portal."""
        with self._recording("first.mp4", "--screen", "ask") as running:
            self.hands.accept()
            running.until("recording ")
        return self._whole(running, "first.mp4")

    def again(self) -> str:
        """Record without being asked."""
        launched_s = time.monotonic()
        with self._recording("again.mp4") as running:
            running.until("recording ")
            begun_s = time.monotonic() - launched_s
        _expect("choose" not in running.said.read_text(), "it was asked again")
        return f"{self._whole(running, 'again.mp4')}; begun {begun_s:.2f} s after its launch"

    def region(self) -> str:
        with self._recording("region.mp4", "--region", "640x360+100+50") as running:
            running.until("recording ")
        found = self._whole(running, "region.mp4")
        _expect("640x360" in found, found)
        return found

    def cursor(self) -> str:
        """Move the pointer over a desktop that rests: its moves are frames, and small ones."""
        self.hands.quiet()
        self.hands.move_pointer(-4000, -4000)
        self.hands.move_pointer(300, 200)
        with self._recording("cursor.mp4", seconds=5) as running:
            running.until("recording ")
            for _ in range(_MOVES):
                self.hands.move_pointer(15, 8)
                time.sleep(_LOOK_S)
        found = self._whole(running, "cursor.mp4")
        with av.open(self.folder / "cursor.mp4") as file:
            sizes = sorted(packet.size for packet in file.demux(video=0) if packet.size)
        _expect(len(sizes) > _MOVES / 4, f"{len(sizes)} frames")
        return f"{found}; a move takes {sizes[len(sizes) // 2] / 1000:.1f} KB"

    def replay(self) -> str:
        running = self._start("replay", "--last", "5s", "--no-hotkeys")
        time.sleep(4)
        path = self.folder / "clip.mp4"
        clip = json.loads(self._capture("clip", str(path), "--last", "3s", "--overwrite", "--json"))
        running.process.send_signal(signal.SIGINT)
        running.process.communicate(timeout=_LIMIT_S)
        _expect(self._look(path) > _BLACK, "the clip is black")
        return f"a clip of {clip['duration_s']:.1f} s"

    def standby(self) -> str:
        running = self._start("standby", "--no-hotkeys")
        time.sleep(3)
        for _ in range(4):
            self._capture("toggle")
            time.sleep(2)
        running.process.send_signal(signal.SIGINT)
        running.process.communicate(timeout=_LIMIT_S)
        saved = running.said.read_text().count("saved ")
        _expect(saved == 2, running.said.read_text())
        return f"{saved} recordings by capture toggle"

    def refused(self) -> str:
        with self._recording("refused.mp4", "--screen", "ask") as running:
            self.hands.refuse()
        code, _ = running.end()
        _expect(code == 3 and not (self.folder / "refused.mp4").exists(), running.said.read_text())
        return running.said.read_text().splitlines()[-1].removeprefix("capture: ")

    def window(self) -> str:
        """Record the window that is chosen in the dialog."""
        with self._shown_window(), self._recording("window.mp4", "--window", "any") as running:
            self.hands.accept_window()
            return self._whole(running, "window.mp4")

    def window_closed(self) -> str:
        """Close the window while it is recorded. The portal says no more than that the sharing has ended."""
        with self._shown_window() as window, self._recording("closed.mp4", "--window", "any", seconds=30) as running:
            self.hands.accept_window()
            running.until("recording ")
            time.sleep(1.5)
            window.kill()
            window.wait()
        return self._whole(running, "closed.mp4", "permission_revoked")

    def revoked(self) -> str:
        with self._recording("revoked.mp4", seconds=30) as running:
            running.until("recording ")
            time.sleep(1.5)
            if not self.hands.end_sharing():
                return "there is no sign of it to end it by"
        return self._whole(running, "revoked.mp4", "permission_revoked")

    def killed(self, program: str, stopped_by: str, code: int) -> str:
        """Kill one of the desktop's programs during a recording."""
        with self._recording(f"without {program}.mp4", seconds=5) as running:
            running.until("recording ")
            time.sleep(1.5)
            self.session.kill(program)
        return self._whole(running, f"without {program}.mp4", stopped_by, code)

    # How they do it

    @contextmanager
    def _shown_window(self) -> Iterator[subprocess.Popen[bytes]]:
        """Show a window over the whole screen, in two colours by turns."""
        window = subprocess.Popen([sys.executable, "-c", _WINDOW], env=self.session.environment, cwd=REPOSITORY)
        try:
            time.sleep(_WINDOW_S)
            yield window
        finally:
            window.kill()
            window.wait()

    @contextmanager
    def _recording(self, name: str, *options: str, seconds: float = 3) -> Iterator[Running]:
        words = ("record", str(self.folder / name), "--overwrite", "--json", "--no-hotkeys")
        running = self._start(*words, "--duration", f"{seconds}", *options)
        try:
            yield running
        except BaseException:
            running.process.kill()
            raise

    def _start(self, *words: str) -> Running:
        said = self.folder / "said.txt"
        with said.open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "capture", *words],
                env=self.session.environment,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        return Running(process, said)

    def _capture(self, *words: str) -> str:
        return self.session.run(sys.executable, "-m", "capture", *words)

    def _whole(self, running: Running, name: str, stopped_by: str = "duration", code: int = 0) -> str:
        """Make sure that the recording ended this way, is whole and not black; return what it holds."""
        found, summary = running.end()
        said = running.said.read_text()
        _expect((found, summary.get("stopped_by"), summary.get("check")) == (code, stopped_by, "ok"), said)
        level = self._look(self.folder / name)
        _expect(level > _BLACK, "the picture is black")
        video = summary["video"]
        how = "" if stopped_by == "duration" else f", {stopped_by}, exit code {code}"
        return f"{video['width']}x{video['height']}, {summary['duration_s']:.1f} s, {video['frames']} frames{how}"

    def _look(self, path: Path) -> float:
        """Save the last picture of a recording as PNG; return its mean brightness."""
        with av.open(path) as file:
            *_, frame = file.decode(video=0)
        pixels = frame.to_ndarray(format="rgb24")
        with av.open(path.with_suffix(".png"), "w", format="image2") as picture:
            stream = picture.add_stream("png", rate=1)
            stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "rgb24"
            for packet in (*stream.encode(av.VideoFrame.from_ndarray(pixels)), *stream.encode()):
                picture.mux(packet)
        return float(np.mean(pixels))


def _expect(condition: bool, found: object) -> None:
    if not condition:
        raise RuntimeError(str(found).strip())


def versions(session: Session) -> str:
    """Return the versions of what makes up the desktop."""
    portals = ["xdg-desktop-portal", *(f"xdg-desktop-portal-{name}" for name in ("gnome", "kde", "wlr"))]
    packages = ["gnome-shell", "kwin-wayland", "sway", *portals]
    asked = ["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *packages, "pipewire", "wireplumber"]
    # What is not installed is complained about elsewhere.
    lines = [line.split() for line in session.run(*asked).splitlines()]
    return ", ".join(f"{name} {version}" for name, version in (line for line in lines if len(line) == 2))
