"""Fixtures for the whole suite: a virtual desk, `capture` run on it, and a check that nothing outlives its test."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

import pytest
import written
from hypothesis import HealthCheck, settings
from programs import desk_with
from running import Recorder
from stage import Stage
from takes import Player

from capture.formats import CONTAINERS
from capture.remote.runtime_folder import RuntimeFolder
from capture.virtual.desk import VirtualDesk

# Hypothesis tries the same examples in every run, however long one takes: a failure must come from a change, neither
# from chance nor from a machine that stood still. The examples of a test share its fixtures, as those of a loop do.
settings.register_profile(
    "the same every time",
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("the same every time")

PROJECT: Final = Path(__file__).parent.parent

#: How long the threads and processes of a test may outlive it.
SETTLE_LIMIT_S: Final = 5.0


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """For `-n auto`: two processes per processor, because most tests wait for something that takes its time."""
    if sys.platform == "linux":
        return 2 * len(os.sched_getaffinity(0))
    return 2 * (os.cpu_count() or 1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Hand out tests one by one, so that all processes finish at about the same time.

    A module with a module-scoped fixture stays in one process; otherwise every process would set the fixture up again.
    These modules run first.
    """
    from xdist.scheduler import LoadScopeScheduling

    alone = {path.name for path in Path(__file__).parent.rglob("test_*.py") if 'scope="module"' in path.read_text()}

    class TestByTest(LoadScopeScheduling):  # type: ignore[misc]  # its package has no types
        def _split_scope(self, nodeid: str) -> str:
            module = nodeid.partition("::")[0]
            return module if Path(module).name in alone else nodeid

    return TestByTest(config, log)


class RunCapture(Protocol):
    """Runs `capture` on the desk with the given arguments, in the test's own folder, and waits for it to exit."""

    def __call__(self, *arguments: str | Path, timeout: float = 60) -> subprocess.CompletedProcess[str]: ...


class StartCapture(Protocol):
    """Starts `capture` on the desk with the given arguments, in the test's folder. `by` is a program that runs it."""

    def __call__(self, *arguments: str | Path, by: Sequence[str] = ()) -> Recorder: ...


@pytest.fixture(scope="session", autouse=True)
def temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The temporary folder of the suite and of every process it starts: nothing else writes there."""
    folder = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", str(folder))
        yield folder


@pytest.fixture(scope="session")
def desk(temporary_folder: Path) -> Iterator[VirtualDesk]:
    """A screen of 1280×720 without a window manager, and a sound output, shared by the suite."""
    if sys.platform != "linux":
        pytest.skip("a virtual desk needs Linux")
    with VirtualDesk(1280, 720, window_manager=False) as opened:
        yield opened


@pytest.fixture
def desk_environment(desk: VirtualDesk) -> dict[str, str]:
    """The complete environment for a program that uses the desk."""
    return desk.environment_of(os.environ)


@pytest.fixture
def in_process_desk(
    desk: VirtualDesk, desk_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> VirtualDesk:
    """The desk, with this process on it too: for tests that open screens and sound devices themselves."""
    for name in os.environ.keys() - desk_environment.keys():
        monkeypatch.delenv(name)
    for name, value in desk_environment.items():
        if os.environ.get(name) != value:
            monkeypatch.setenv(name, value)
    return desk


@pytest.fixture
def sound_desk(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VirtualDesk]:
    """A second desk, with this process on it. A test may add, remove or mute its outputs, or close it.

    Its sound server is PulseAudio's daemon, or PipeWire if the test's parameter says so: `servers.ON_BOTH_SERVERS`.
    """
    if sys.platform != "linux":
        pytest.skip("a virtual desk needs Linux")
    with desk_with(getattr(request, "param", "pulseaudio"), tmp_path_factory.mktemp("programs")) as opened:
        for name, value in opened.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        yield opened


@pytest.fixture
def stage(desk_environment: dict[str, str]) -> Iterator[Stage]:
    """A black window over the whole screen of the desk."""
    with Stage(desk_environment) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for recordings."""
    made = tmp_path / "made"
    made.mkdir()
    return made


@pytest.fixture
def capture_environment(desk_environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The environment for `capture` on the desk, with a home and all user folders inside the test's folder."""
    # Forget the recorders that other tests killed, or `capture` would report them here.
    with (
        suppress(FileNotFoundError),
        RuntimeFolder(Path(desk_environment["XDG_RUNTIME_DIR"], "capture")) as runtime,
    ):
        runtime.take_leftovers()
    home = tmp_path / "home"
    home.mkdir()
    own = {
        "HOME": home,
        "XDG_CACHE_HOME": home / "cache",
        "XDG_CONFIG_HOME": home / "config",
        "XDG_DATA_HOME": home / "data",
        "XDG_STATE_HOME": home / "state",
        "XDG_MUSIC_DIR": home / "Music",
        "XDG_VIDEOS_DIR": home / "Videos",
        "PYTHONPATH": PROJECT,
    }
    return {**desk_environment, **{name: str(value) for name, value in own.items()}}


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a user with nothing in it, in the test's folder, for verbs that run in this process."""
    folders = {"HOME": "", "XDG_VIDEOS_DIR": "Videos", "XDG_MUSIC_DIR": "Music"}
    folders |= {name: name for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME")}
    for name, folder in folders.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    return tmp_path


@pytest.fixture
def run_capture(capture_environment: dict[str, str], tmp_path: Path) -> RunCapture:
    def run(*arguments: str | Path, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "capture", *map(str, arguments)],
            cwd=tmp_path,
            env=capture_environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture
def start_capture(capture_environment: dict[str, str], tmp_path: Path) -> StartCapture:
    def start(*arguments: str | Path, by: Sequence[str] = ()) -> Recorder:
        return Recorder(capture_environment, tmp_path, *arguments, by=by)

    return start


@pytest.fixture
def seed() -> int:
    """A new random seed for each run. A failure shows it; set `SEED` to repeat that run."""
    found = int(os.environ.get("SEED") or secrets.randbelow(1 << 32))
    print(f"SEED={found}")
    return found


@pytest.fixture
def as_in_a_terminal() -> Iterator[None]:
    """Signals as a shell hands them to its children. Under nohup they are ignored, and the recorder inherits that."""
    if sys.platform == "win32":
        pytest.skip("there are no such signals there")
    ignored = [number for number in (signal.SIGINT, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture(autouse=True)
def nothing_left_behind(temporary_folder: Path) -> Iterator[None]:
    """Fail a test that leaves behind a thread, a child process or a temporary file."""
    before = _present(temporary_folder)
    yield
    deadline_s = time.monotonic() + SETTLE_LIMIT_S
    while (left := _left(before, temporary_folder)) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert not left, f"the test left behind {sorted(map(str, left))}"


def _left(before: set[threading.Thread | Path], folder: Path) -> set[threading.Thread | Path]:
    return {found for found in _present(folder) - before if not _is_foreign(found)}


def _present(folder: Path) -> set[threading.Thread | Path]:
    """The threads of this process, the entries of `folder`, and the /proc entries of all processes."""
    found: set[threading.Thread | Path] = {*threading.enumerate(), *folder.iterdir()}
    if sys.platform == "linux":
        found.update(path for path in Path("/proc").iterdir() if path.name.isdecimal())
    return found


def _is_foreign(found: threading.Thread | Path) -> bool:
    """Whether `found` is a process that this one did not start, or libpulse's. Slow, so ask it only about new ones.

    Without XDG_RUNTIME_DIR, the first program that loads libpulse makes a folder that all others of that user share.
    """
    if sys.platform == "linux" and isinstance(found, Path) and found.parent == Path("/proc"):
        from capture.virtual.supervisor import parent_of

        return parent_of(int(found.name)) != os.getpid()
    return isinstance(found, Path) and found.name.startswith("pulse-")


@pytest.fixture
def undisturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recordings in this process report neither that it stood still nor that the disk did, as on a busy machine."""
    from capture.session.vitals import Vitals

    monkeypatch.setattr(Vitals, "look_at_standstill", lambda *_, **__: [])
    monkeypatch.setattr(Vitals, "look_at_disk", lambda *_: [])


@pytest.fixture
def player() -> Player:
    """Plays into the only sound device of a recording that is given its `sources`."""
    return Player()


@pytest.fixture
def runtime_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The runtime folder of recorders, in the test's own folder. A test that leaves it behind fails."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    yield tmp_path / "capture"
    assert not (tmp_path / "capture").exists()


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Let SIGINT raise `KeyboardInterrupt`, as at a terminal; a suite that runs in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def own_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """An X server whose keyboard the test may change, with this process on it. It has a US keyboard."""
    from x11_keys import server

    with server(monkeypatch) as process:
        yield process


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write two seconds of each kind of recording, properly closed."""
    folder = tmp_path_factory.mktemp("whole")
    return {extension: written.write(folder / f"whole.{extension}") for extension in CONTAINERS}


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write the same recordings in a process that dies before it closes them."""
    folder = tmp_path_factory.mktemp("killed")
    paths = {extension: folder / f"killed.{extension}" for extension in CONTAINERS}
    subprocess.run([sys.executable, written.__file__, *paths.values()], check=True)
    return paths


@pytest.fixture
def untouched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder of a call, with `taken.mp4` and `sub` in it. Fails a test that changes anything there."""
    inside = tmp_path / "inside"
    (inside / "sub").mkdir(parents=True)
    (inside / "taken.mp4").write_text("precious")
    monkeypatch.chdir(inside)
    for name in ("HOME", "XDG_VIDEOS_DIR", "XDG_MUSIC_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(inside / "home"))
    yield inside
    assert sorted(path.name for path in inside.rglob("*")) == ["sub", "taken.mp4"]
    assert (inside / "taken.mp4").read_text() == "precious"
