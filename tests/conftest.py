"""The desk that tests record, a way to run `capture` on it, and a watch that nothing outlives its test."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

import pytest
from hypothesis import settings
from takes import Player

from capture.remote.runtime_folder import RuntimeFolder
from capture.virtual.desk import VirtualDesk

# What is found today is found tomorrow: a run that fails without a change helps nobody.
settings.register_profile("the same every time", derandomize=True)
settings.load_profile("the same every time")

PROJECT: Final = Path(__file__).parent.parent

#: How long what a test started may take to end after the test has.
SETTLE_LIMIT_S: Final = 5.0


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """For `-n auto`: as many processes as processors. One more is no quicker, and keeps recorders from their slots."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Each process gets a test when it has none, so that all end together.

    A module that prepares something for all of its tests is one's alone, or it would be prepared by each of them. These
    come first.
    """
    from xdist.scheduler import LoadScopeScheduling

    alone = {path.name for path in Path(__file__).parent.rglob("test_*.py") if 'scope="module"' in path.read_text()}

    class TestByTest(LoadScopeScheduling):  # type: ignore[misc]  # its package has no types
        def _split_scope(self, nodeid: str) -> str:
            module = nodeid.partition("::")[0]
            return module if Path(module).name in alone else nodeid

    return TestByTest(config, log)


class RunCapture(Protocol):
    """Runs `capture` with the given arguments on the desk, in the test's own folder, and returns when it has ended."""

    def __call__(self, *arguments: str | Path, timeout: float = 60) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture(scope="session", autouse=True)
def temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The system's temporary folder, as far as the suite and all it starts can tell: nobody else writes there."""
    folder = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", str(folder))
        yield folder


@pytest.fixture(scope="session")
def desk(temporary_folder: Path) -> Iterator[VirtualDesk]:
    """A screen of 1280×720 and a sound output, shared by the suite."""
    if sys.platform != "linux":
        pytest.skip("a virtual desk needs Linux")
    with VirtualDesk(1280, 720) as opened:
        yield opened


@pytest.fixture
def desk_environment(desk: VirtualDesk) -> dict[str, str]:
    """The whole environment of a program that shall use the desk."""
    return desk.environment_of(os.environ)


@pytest.fixture
def in_process_desk(
    desk: VirtualDesk, desk_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> VirtualDesk:
    """The desk, with this very process on it: for tests that open screens and sound devices themselves."""
    for name in os.environ.keys() - desk_environment.keys():
        monkeypatch.delenv(name)
    for name, value in desk_environment.items():
        if os.environ.get(name) != value:
            monkeypatch.setenv(name, value)
    return desk


@pytest.fixture
def capture_environment(desk_environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The environment of a `capture` on the desk whose user owns nothing but the test's folder."""
    # What other tests killed is not named in this one.
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
def seed() -> int:
    """Another one in every run, for tests that try their luck; a failure shows it, and `SEED` repeats it."""
    found = int(os.environ.get("SEED") or secrets.randbelow(1 << 32))
    print(f"SEED={found}")
    return found


@pytest.fixture
def as_in_a_terminal() -> Iterator[None]:
    """The signals as a shell gives them to what it starts; under nohup, say, they are ignored, also by the recorder."""
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
    """Fails a test after which a thread, a child process or a temporary file is left that was not there before."""
    before = _running_and_lying_about(temporary_folder)
    yield
    deadline_s = time.monotonic() + SETTLE_LIMIT_S
    while (left := _left(before, temporary_folder)) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert not left, f"the test left behind {sorted(map(str, left))}"


def _left(before: set[threading.Thread | Path], folder: Path) -> set[threading.Thread | Path]:
    return {found for found in _running_and_lying_about(folder) - before if not _is_somebody_elses(found)}


def _running_and_lying_about(folder: Path) -> set[threading.Thread | Path]:
    """The threads of this process, what is in `folder`, and everybody's processes as they stand in /proc."""
    found: set[threading.Thread | Path] = {*threading.enumerate(), *folder.iterdir()}
    if sys.platform == "linux":
        found.update(path for path in Path("/proc").iterdir() if path.name.isdecimal())
    return found


def _is_somebody_elses(found: threading.Thread | Path) -> bool:
    """Whether it is a process that this one has not started; only few are new, and asking takes long."""
    if sys.platform == "linux" and isinstance(found, Path) and found.parent == Path("/proc"):
        from capture.virtual.supervisor import parent_of

        return parent_of(int(found.name)) != os.getpid()
    return False


@pytest.fixture
def player() -> Player:
    """What is played on the only device of a recording, where its `sources` are given to that."""
    return Player()


@pytest.fixture
def runtime_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The runtime folder of recorders, in the test's own folder. A test that leaves it behind fails."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    yield tmp_path / "capture"
    assert not (tmp_path / "capture").exists()
